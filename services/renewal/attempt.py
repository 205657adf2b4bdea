"""One renewal, from a new key to the live port: it is done, or all is as it was.

1. A key of its own, and a request for the names of the present certificate.
2. The CA answers over mutual TLS with the present one (`exchange`).
3. The answer is checked: key, chain, dates, names (`answer`).
4. It is installed as a generation, in one step (`directory`).
5. The live port presents it within `patience`; else the old generation comes back.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pki.clock import to_text
from pki.errors import PkiError
from pki.trust import TrustBundle
from services import log
from services.config import ProcessConfig, RenewalConfig
from services.renewal.answer import verify_answer
from services.renewal.directory import Directory
from services.renewal.errors import (
    NotServedError,
    OvertakenError,
    StorageError,
    UsedKeyError,
)
from services.renewal.exchange import Answered, ask, request_for
from services.renewal.live import presented
from services.wire.generation import Generation, GenerationError

_LOOK = 0.25  # seconds between two looks at the live port


@dataclass(frozen=True, slots=True)
class Place:
    """What one process needs to renew its certificate."""

    config: ProcessConfig
    renewal: RenewalConfig
    clock: Callable[[], datetime]
    wait: Callable[[float], bool]  # so many seconds; true if the process ends

    @property
    def directory(self) -> Directory:
        """Where its identity lies."""
        return Directory(self.config.identity)


def renew(place: Place, present: Generation) -> Generation:
    """Return the generation that has followed `present` and is served.

    Raises:
        RenewalError: the subclass says why `present` is still in place, or, if it has
            been overtaken, why another is.
    """
    directory = place.directory
    try:
        key = directory.pending_key()
        request = request_for(key, present.certificate)
        directory.write_request(request)
        answered = ask(request, present, place.renewal)
        pem = present.bundle_path.read_bytes()
        bundle = TrustBundle.from_pem(present.spiffe_id.trust_domain, pem)
        chain = verify_answer(
            answered, key, present.certificate, bundle, now=place.clock()
        )
        made = directory.install(key, chain, pem, over=present.directory)
        renewed = _served(place, present, Generation.load(made, present.spiffe_id))
    except UsedKeyError:
        directory.drop_pending()
        raise
    except (OSError, PkiError, GenerationError) as error:
        raise StorageError(f"{type(error).__name__}: {error}") from error
    log.event(
        "renewal.done",
        serial=format(renewed.serial, "x"),
        before=format(present.serial, "x"),
        not_after=to_text(renewed.not_after),
        clock_offset_s=_offset(answered, place.clock()),
    )
    return renewed


def _served(place: Place, present: Generation, made: Generation) -> Generation:
    """Return `made` if the live port presents it, or put `present` back."""
    deadline = time.monotonic() + place.renewal.patience
    found, ends = None, False
    while time.monotonic() < deadline and not ends:
        found = presented(
            made,
            address=place.config.address,
            port=place.config.port,
            patience=place.renewal.patience,
        )
        if found == made.serial:
            return made
        ends = place.wait(_LOOK)
    if ends:  # the port is closed because the process ends: the next one will look
        return made
    try:
        place.directory.take_back(made.directory, old=present.directory)
    except OvertakenError:
        return made
    shows = "nobody answers" if found is None else f"it presents {found:x}"
    raise NotServedError(
        f"port {place.config.port} does not present serial {made.serial:x}: {shows}; "
        f"{present.serial:x} is back"
    )


def _offset(answered: Answered, now: datetime) -> float | None:
    """Return how far this clock is ahead of the CA's, to a second or two."""
    if answered.date is None:
        return None
    return (now - answered.date) / timedelta(seconds=1)
