"""Keep the certificate of this process fresh, for as long as it runs.

`services.process` runs this in a thread of its own: keys and directories are written to
the disk, and no request waits for that. It looks at the identity each second, so what a
play installs meanwhile is simply the present certificate from then on.

A try that fails costs nothing while life remains: the next one comes after a pause that
doubles up to a bound. Only what no further try can mend is logged as an error: a new
certificate that is not served, a refusal, and a certificate that is over. For the last
one a play must come, because SSH is then what vouches for the host; unless there is a
grace, in which the expired certificate is still tried with.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import ERROR, WARNING
from threading import Event, Thread

from pki.clock import to_text, utc_now
from services import log, metrics
from services.config import ProcessConfig, RenewalConfig
from services.renewal.attempt import Place, renew
from services.renewal.errors import (
    ExpiredError,
    NotServedError,
    OvertakenError,
    RefusedError,
    RenewalError,
)
from services.renewal.moment import due, pause
from services.watched import Watched
from services.wire.generation import Generation, LiveIdentity

_TICK = 1.0  # seconds between two looks at the identity
_GOODBYE = 5.0  # seconds; what it was at is whole on the disk, or not begun
_ALARMS = (NotServedError, RefusedError, ExpiredError)


@dataclass
class Renewal:
    """What is known between two looks."""

    config: Watched[ProcessConfig]
    identity: LiveIdentity
    wait: Callable[[float], bool]
    clock: Callable[[], datetime] = utc_now
    _failures: int = 0
    _not_before: datetime | None = None  # the next try
    _seen: Generation | None = None

    def run(self) -> None:
        """Look each second, until `wait` says that the process ends."""
        while not self.wait(_TICK):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the next look may go better
                log.event("renewal.broken", level=ERROR, cause=repr(error))
                self._postpone(RenewalError(type(error).__name__), None)

    def look(self) -> None:
        """Renew the certificate if that is due."""
        present, now = self.identity.current(), self.clock()
        metrics.certificate(
            not_after=present.not_after,
            age=now - present.certificate.not_valid_before_utc,
        )
        if self._seen is None or present.serial != self._seen.serial:
            self._welcome(present)
        if now < (self._not_before or due(present.certificate)):
            return
        config = self.config.current()
        wanted = config.renewal
        # A link that was turned a moment ago: the next look sees where to.
        if wanted is None or config.identity.resolve() != present.directory:
            return
        self._try(Place(config, wanted, self.clock, self.wait), present, now)

    def _try(self, place: Place, present: Generation, now: datetime) -> None:
        try:
            if now > present.not_after + timedelta(seconds=place.renewal.grace):
                raise ExpiredError(
                    f"serial {present.serial:x} ended at {to_text(present.not_after)}"
                    f"{_and_so_did(place.renewal.grace)}: run the roll-out, nothing "
                    "else can vouch for this host"
                )
            self._welcome(renew(place, present))
            metrics.renewed()
        except OvertakenError as error:
            log.event("renewal.overtaken", reason=error)
        except RenewalError as error:
            over = now > present.not_after
            self._postpone(error, place.renewal, alarm=over)

    def _welcome(self, present: Generation) -> None:
        self._seen, self._failures, self._not_before = present, 0, None

    def _postpone(
        self,
        error: RenewalError,
        config: RenewalConfig | None,
        *,
        alarm: bool = False,
    ) -> None:
        metrics.not_renewed(error)
        self._failures += 1
        first, longest = (
            (config.first_pause, config.longest_pause) if config else (_TICK, 60.0)
        )
        wait = pause(
            self._failures,
            first=timedelta(seconds=first),
            longest=timedelta(seconds=longest),
        )
        self._not_before = self.clock() + max(wait, error.retry_after)
        log.event(
            "renewal.failed",
            level=ERROR if alarm or isinstance(error, _ALARMS) else WARNING,
            cause=type(error).__name__,
            reason=error,
            failures=self._failures,
            again_at=to_text(self._not_before),
        )


def _and_so_did(grace: int) -> str:
    return f", and its grace {grace} s later" if grace else ""


@contextmanager
def renewing(config: Watched[ProcessConfig], identity: LiveIdentity) -> Iterator[None]:
    """Keep `identity` fresh in a thread while the context lasts."""
    if config.current().renewal is None:
        yield
        return
    ends = Event()
    renewal = Renewal(config, identity, ends.wait)
    thread = Thread(target=renewal.run, name="renewal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(_GOODBYE)
