"""Follow the bundles of other trust domains at the endpoints that publish them.

`services.process` runs this in a thread of its own, for each domain whose document
names an endpoint (SPIFFE_Federation.md, section 5.2.2: https_spiffe). Who serves it is
verified by the bundle of that domain that is held already, by name and host name; what
is fetched lies in the process's own directory, and `wire.federation` finds it there.

1. The bundle is of that domain, readable and whole (`pki.bundle`).
2. Its number is not below the one that is held; under the same number nothing differs.

Whatever fails leaves what is held in place, and is logged: an endpoint that is away
costs nothing until a root is replaced. A bundle without a key is taken as any other:
from then on nothing of the domain is trusted, nor is its endpoint, until a person puts
another bundle where the document says.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from logging import ERROR, WARNING
from pathlib import Path
from threading import Event, Thread

import httpx

from pki.bundle import LONGEST, SpiffeBundle, read_bundle, read_spiffe
from pki.clock import utc_now
from pki.errors import PkiError
from pki.identity import SpiffeId
from pki.storage import make_private_directory, write_atomically
from pki.trust import TrustBundle
from services import log
from services.config import ProcessConfig
from services.errors import ServiceError
from services.federation_config import BundleEndpoint
from services.watched import Watched
from services.wire.bundles import fetched_bundle, fetched_bundles, newest, paths_of
from services.wire.tls import client_context

_TICK = 1.0  # seconds between two looks at what is due
_PATIENCE = 10.0  # seconds for an answer
_GOODBYE = 15.0  # seconds
_USUAL = 300  # seconds, where no hint is given (SPIFFE_Federation.md, section 4.1)
_SOONEST, _LATEST = 60, 86400  # seconds, whatever the hint says
_UNREADABLE = (PkiError, ServiceError, httpx.HTTPError, ssl.SSLError, OSError)


class EndpointError(ServiceError):
    """An endpoint gives no bundle that could be used."""

    code = "bundle_endpoint"


class OlderBundleError(EndpointError):
    """The endpoint went back to an earlier bundle, or numbers two of them alike."""

    code = "older_bundle"


@dataclass
class Following:
    """What is known between two looks."""

    config: Watched[ProcessConfig]
    wait: Callable[[float], bool]
    clock: Callable[[], datetime] = utc_now
    _due: dict[str, datetime] = field(default_factory=dict)

    def run(self) -> None:
        """Look each second, until `wait` says that the process ends."""
        while not self.wait(_TICK):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the next look may go better
                log.event("bundle.broken", level=ERROR, cause=repr(error))

    def look(self) -> None:
        """Fetch what is due."""
        config, now = self.config.current(), self.clock()
        directory = fetched_bundles(config)
        for domain, said in config.federation.items():
            if said.endpoint is None or directory is None:
                continue
            if now < self._due.get(domain, now):
                continue
            pause = _SOONEST
            try:
                paths = paths_of(domain, said, directory)
                pause = _fetch(domain, said.endpoint, directory, paths)
            except _UNREADABLE as error:
                log.event(
                    "bundle.not_fetched",
                    level=WARNING,
                    domain=domain,
                    cause=type(error).__name__,
                    reason=error,
                )
            self._due[domain] = now + timedelta(seconds=pause)


def _fetch(
    domain: str, endpoint: BundleEndpoint, directory: Path, paths: tuple[Path, ...]
) -> int:
    """Keep the domain's newest bundle, and return after how many seconds to ask again.

    Raises:
        EndpointError, PkiError, httpx.HTTPError, ssl.SSLError, OSError: there is none.
    """
    held = read_bundle(domain, newest(paths).read_bytes())
    content = _answer(endpoint, held.trust)
    found = read_spiffe(domain, content)
    _check_order(held, found)
    if found != held:
        make_private_directory(directory)
        write_atomically(fetched_bundle(directory, domain), content)
        log.event(
            "bundle.fetched",
            domain=domain,
            sequence=found.sequence,
            roots=len(found.trust.roots),
        )
    hint = _USUAL if found.refresh_hint is None else found.refresh_hint
    return min(max(hint, _SOONEST), _LATEST)


def _answer(endpoint: BundleEndpoint, trust: TrustBundle) -> bytes:
    context = client_context(None, SpiffeId.parse(endpoint.spiffe_id), trust)
    with (
        httpx.Client(verify=context, trust_env=False, timeout=_PATIENCE) as client,
        client.stream("GET", endpoint.url) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise EndpointError(f"{endpoint.url}: status {response.status_code}")
        content = bytearray()
        for part in response.iter_raw():
            content += part
            if len(content) > LONGEST:
                raise EndpointError(f"{endpoint.url}: more than {LONGEST} bytes")
        return bytes(content)


def _check_order(held: SpiffeBundle, found: SpiffeBundle) -> None:
    """Check that what was found does not come before what is held.

    Raises:
        OlderBundleError: it does, or its number is that of other roots.
    """
    if held.sequence is None:
        return  # a person's PEM file, or a publisher that does not count
    number = -1 if found.sequence is None else found.sequence
    if number < held.sequence:
        raise OlderBundleError(f"number {number} after {held.sequence}")
    if number == held.sequence and set(found.trust.roots) != set(held.trust.roots):
        raise OlderBundleError(f"two bundles have the number {number}")


@contextmanager
def following(config: Watched[ProcessConfig]) -> Iterator[None]:
    """Follow the endpoints in a thread while the context lasts."""
    ends = Event()
    thread = Thread(
        target=Following(config, ends.wait).run, name="bundles", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(_GOODBYE)
