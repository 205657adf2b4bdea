"""The CA's office: its key in hand, it renews whatever certificates wait for it.

`queue` brings them here, into the one thread that signs: the ledger has one writer at
a time, and the event loop waits for no disk. Those that came while it was at work are
renewed together: one opening of the ledger and two commits for all of them, as in a
batch of the play's. `python -m pki issue` may run beside it; both hold the CA's lock
while they work.

The issuing key is opened with the first certificate and kept (`pki.keyring`), another
one if the issuing CA has got another. What holds the key is this process: nothing of it
is written.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.authority import look, open_desk, sign
from pki.decision import Answer, Request
from pki.errors import PkiError
from pki.keyring import Keyring
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from pki.passphrase import from_file
from pki.present import present
from pki.request import RequestError, proved_key, spki_sha256
from pki.signing import Order, check_clock
from pki.storage import exclusive
from services.enrolment.errors import (
    EnrolmentError,
    RefusedByPolicyError,
    UnavailableError,
)
from services.enrolment.kept import KeptLedgers
from services.enrolment.renewal import check_request, holder_of


class Wish(NamedTuple):
    """A certificate to be renewed."""

    request: x509.CertificateSigningRequest  # as it came; nothing in it is proved
    present: x509.Certificate  # the handshake has proved it


@dataclass(frozen=True, slots=True)
class Renewed:
    """A certificate, and whose it is in the ledger."""

    identity: str
    certificate: x509.Certificate


class Office:
    """The CA in one directory; used by one thread at a time."""

    def __init__(
        self, layout: Layout, passphrase: Path, *, clock: Callable[[], datetime]
    ) -> None:
        self._layout = layout
        self._keyring = keyring_of(layout, passphrase)
        self._clock = clock
        self._reading = KeptLedgers(layout.ledger, clock)

    def open(self) -> None:
        """Return if the CA is whole, and its key can be used.

        Raises:
            UnavailableError: it is not.
        """
        try:
            self._layout.check_complete()
            with open_ledger(self._layout.ledger) as ledger:
                self._keyring.open("issuing", present(ledger).issuing)
                check_clock(ledger, self._clock())
        except (PkiError, OSError, ValueError) as error:
            raise UnavailableError(f"the CA cannot sign: {error}") from error

    def authorities(self) -> list[x509.Certificate]:
        """Return what is presented above a certificate, and the roots.

        Raises:
            UnavailableError: they cannot be read.
        """
        try:
            standing = look(self._layout)
        except (PkiError, OSError) as error:
            raise UnavailableError(f"the CA's certificates: {error}") from error
        return [*standing.chain, *standing.roots]

    def renew(self, wishes: Sequence[Wish]) -> list[Renewed | Exception]:
        """Return for each wish the certificate that follows, or why there is none.

        What is issued is durable in the ledger, all of it by the same two commits. A
        wish that is refused, or that nobody foresaw, spoils nothing for the others.
        Most exceptions are of EnrolmentError.
        """
        try:
            return self._renew(wishes)
        except Exception as error:  # noqa: BLE001 - it is found out whose it is
            if len(wishes) == 1:
                return [_refusal(error)]
        return [outcome for wish in wishes for outcome in self.renew([wish])]

    def _renew(self, wishes: Sequence[Wish]) -> list[Renewed | Exception]:
        outcomes: dict[int, Renewed | Exception] = {}
        waiting: dict[int, _Case] = {}
        for number, wish in enumerate(wishes):
            try:
                check_request(wish.request, wish.present)
            except EnrolmentError as error:
                outcomes[number] = error
            else:
                waiting[number] = _Case.of(wish)
        try:
            self._layout.check_complete()
            # While somebody has it open to read, SQLite does not end each batch by
            # folding its log into the file: that takes longer than a batch.
            with suppress(PkiError, OSError):
                self._reading.read(lambda _ledger: None)
            with (
                exclusive(self._layout.lock),
                open_ledger(self._layout.ledger) as ledger,
            ):
                while waiting:
                    done = self._together(ledger, waiting)
                    outcomes |= done
                    for number in done:
                        del waiting[number]
        except PkiError as error:
            outcomes |= dict.fromkeys(waiting, _refusal(error))
        return [outcomes[number] for number in range(len(wishes))]

    def _together(
        self, ledger: Ledger, waiting: Mapping[int, "_Case"]
    ) -> dict[int, Renewed | Exception]:
        """Renew the first of each identity and each key.

        The ledger must know what came of it before it can judge the next.
        """
        desk = open_desk(self._layout, ledger, self._clock(), "renewals")
        outcomes: dict[int, Renewed | Exception] = {}
        asked: dict[int, Request] = {}
        seen: set[str] = set()
        for number, case in waiting.items():
            if not seen.isdisjoint(case.keys):
                continue
            seen.update(case.keys)
            try:
                request = case.request_by(ledger)
            except EnrolmentError as error:
                outcomes[number] = error
                continue
            if request.identity not in seen:
                seen.add(request.identity)
                asked[number] = request
        orders: dict[int, Order] = {}
        for number, decided in zip(
            asked, desk.decide_all([*asked.values()]), strict=True
        ):
            if isinstance(decided, Order):
                orders[number] = waiting[number].noted_in(decided)
            else:
                outcomes[number] = _certified(decided)
        if orders:
            signed = sign(self._layout, desk, [*orders.values()], self._keyring)
            for number, certificate in zip(orders, signed, strict=True):
                outcomes[number] = Renewed(asked[number].identity, certificate)
        return outcomes


def keyring_of(layout: Layout, passphrase: Path) -> Keyring:
    """Return the CA's keys, sealed with what the private file `passphrase` holds."""
    return Keyring(layout, issuing=partial(from_file, "issuing", passphrase))


@dataclass(frozen=True, slots=True)
class _Case:
    """A wish whose request is signed by its key and for the same names."""

    wish: Wish
    keys: tuple[str, str]  # of the certificate and of the request: SHA-256 of the SPKI
    serial: str  # of the certificate

    @classmethod
    def of(cls, wish: Wish) -> "_Case":
        serial = format(wish.present.serial_number, "x")
        keys = wish.present.public_key(), proved_key(wish.request)
        present, wanted = map(spki_sha256, keys)
        return cls(wish, (present, wanted), serial)

    def request_by(self, ledger: Ledger) -> Request:
        """Return the request of whom the ledger names, if he may renew.

        Raises:
            EnrolmentError: he may not.
        """
        present, wanted = self.keys
        identity = holder_of(ledger, serial=self.serial, present=present, wanted=wanted)
        return Request(identity, self.wish.request.public_bytes(Encoding.PEM).decode())

    def noted_in(self, order: Order) -> Order:
        """Return the order so that the ledger says what it follows."""
        planned = replace(order.planned, run_id=f"renewal of {self.serial}")
        return replace(order, planned=planned)


def _certified(answer: Answer) -> Renewed | Exception:
    """Return the certificate that was issued before, or the refusal."""
    if answer.certificate is not None:
        return Renewed(answer.identity, answer.certificate)
    refusal = answer.refusal or PkiError("the CA gave no answer")
    refused = RefusedByPolicyError(str(refusal), refusal.code)
    if isinstance(refusal, RequestError):
        refused.description = "the CA takes no request of this form"
    refused.__cause__ = refusal
    return refused


def _refusal(error: Exception) -> Exception:
    """Return what the caller is told: of the CA's own troubles, that there are some."""
    if not isinstance(error, PkiError | OSError | ValueError):
        return error
    refused = UnavailableError(f"the CA cannot sign: {error}")
    refused.__cause__ = error
    return refused
