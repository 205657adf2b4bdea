"""Publish for as long as the CA's front runs: a listener, and what keeps lists fresh.

`services.process` enters `publishing` around the front's own server. Two threads of
their own: whoever fetches lists slowly holds up no renewal, and what is due is made
while nobody asks. Lists and answers are due after half their life of a day
(`pki.upkeep`), so a look that fails costs nothing for twelve hours; each failed one is
an error in the log. The root's list needs the root's key: a person makes it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from logging import ERROR, WARNING
from threading import Event, Thread

from pki import upkeep
from pki.clock import from_text, utc_now
from pki.keyring import Keyring
from pki.layout import Layout
from services import log, metrics
from services.config import EnrolmentConfig
from services.enrolment.office import keyring_of
from services.enrolment.publication import create_app
from services.wire.server import Server, plain_server

_TICK = 60.0  # seconds between two looks at what is due
_GOODBYE = 15.0  # seconds; more than a server takes for what is under way


@dataclass(slots=True)
class Upkeep:
    """Makes what is due, a look a minute."""

    layout: Layout
    keyring: Keyring
    wait: Callable[[float], bool]
    clock: Callable[[], datetime] = utc_now
    _root_waits: bool = False  # and it was said

    def run(self) -> None:
        """Look at once and each minute, until `wait` says that the process ends."""
        while True:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the next look may go better
                metrics.not_published(error)
                log.event(
                    "publication.failed",
                    level=ERROR,
                    cause=type(error).__name__,
                    reason=error,
                )
            if self.wait(_TICK):
                return

    def look(self) -> None:
        """Make the lists and answers that are due.

        Raises:
            PkiError, OSError: the CA cannot sign.
        """
        made = upkeep.publish(
            self.layout, keyring=self.keyring, run_id="publication", now=self.clock
        )
        ends: dict[str, datetime] = {}
        for by, authority in made.authorities:
            for crl in made.crls:
                if crl.authority == authority:
                    end = from_text(crl.next_update)
                    ends[by] = min(end, ends.get(by, end))
        metrics.published(ends)
        if made.root_waits and not self._root_waits:
            log.event("publication.root_waits", level=WARNING)
        self._root_waits = made.root_waits
        if made.changed:
            log.event(
                "publication.made",
                lists=",".join(scope for _, scope in made.lists),
                answers=made.answers,
                responder=made.responder,
            )


@contextmanager
def publishing(
    config: EnrolmentConfig, *, clock: Callable[[], datetime] = utc_now
) -> Iterator[None]:
    """Publish in threads of their own while the context lasts, if `config` says where.

    Raises:
        AddressError: another process listens on the port.
    """
    wanted = config.publication
    if wanted is None:
        yield
        return
    layout, ends = Layout(config.ca), Event()
    listening = plain_server(
        create_app(layout, path=wanted.path, clock=clock),
        address=config.address,
        port=wanted.port,
    )
    keyring = keyring_of(layout, config.issuing_passphrase)
    keeper = Upkeep(layout, keyring, ends.wait, clock)
    threads = (
        Thread(target=keeper.run, name="upkeep", daemon=True),
        Thread(target=_serve, args=(listening, ends), name="publication", daemon=True),
    )
    for thread in threads:
        thread.start()
    log.event("publication.started", port=listening.port)
    try:
        yield
    finally:
        ends.set()
        listening.should_exit = True
        for thread in threads:
            thread.join(_GOODBYE)


def _serve(listening: Server, ends: Event) -> None:
    try:
        listening.run()
    finally:
        if not ends.is_set():
            log.event("publication.stopped", level=ERROR, port=listening.port)
