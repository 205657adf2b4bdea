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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.authority import look, open_desk, sign
from pki.decision import Answer, Desk, Request
from pki.errors import PkiError
from pki.keyring import Keyring
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from pki.passphrase import from_file
from pki.present import present
from pki.request import RequestError
from pki.signing import Order, check_clock
from pki.storage import exclusive
from services.enrolment.errors import (
    EnrolmentError,
    RefusedByPolicyError,
    UnavailableError,
)
from services.enrolment.renewal import check_request, holder_of

# What a request can run into; the last three are troubles of the CA's own.
_REFUSALS = (EnrolmentError, PkiError, OSError, ValueError)


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
                return [error]
        return [outcome for wish in wishes for outcome in self.renew([wish])]

    def _renew(self, wishes: Sequence[Wish]) -> list[Renewed | Exception]:
        outcomes: list[Renewed | Exception | None] = [None] * len(wishes)
        waiting: dict[int, _Case] = {}
        for number, wish in enumerate(wishes):
            try:
                check_request(wish.request, wish.present)
                waiting[number] = _Case.of(wish)
            except _REFUSALS as error:
                outcomes[number] = _refusal(error)
        try:
            self._layout.check_complete()
            with (
                exclusive(self._layout.lock),
                open_ledger(self._layout.ledger) as ledger,
            ):
                while waiting:
                    for number, outcome in self._together(ledger, waiting).items():
                        outcomes[number] = outcome
                        del waiting[number]
        except _REFUSALS as error:
            for number in waiting:
                outcomes[number] = _refusal(error)
        return [outcome for outcome in outcomes if outcome is not None]

    def _together(
        self, ledger: Ledger, waiting: dict[int, "_Case"]
    ) -> dict[int, Renewed | Exception]:
        """Renew the first of each identity and each key.

        The ledger must know what came of it before it can judge the next.
        """
        desk = open_desk(self._layout, ledger, self._clock(), "renewals")
        outcomes: dict[int, Renewed | Exception] = {}
        orders: dict[int, Order] = {}
        seen: set[str] = set()
        for number, case in waiting.items():
            if case.wanted in seen or case.present in seen:
                continue
            seen |= {case.wanted, case.present}
            try:
                decided = _decide(desk, case)
            except _REFUSALS as error:
                outcomes[number] = _refusal(error)
                continue
            if not isinstance(decided, Order):
                outcomes[number] = decided
            elif decided.planned.identity not in seen:
                seen.add(decided.planned.identity)
                orders[number] = decided
        if orders:
            signed = sign(self._layout, desk, [*orders.values()], self._keyring)
            for number, certificate in zip(orders, signed, strict=True):
                identity = orders[number].planned.identity
                outcomes[number] = Renewed(identity, certificate)
        return outcomes


def keyring_of(layout: Layout, passphrase: Path) -> Keyring:
    """Return the CA's keys, sealed with what the private file `passphrase` holds."""
    return Keyring(layout, issuing=partial(from_file, "issuing", passphrase))


@dataclass(frozen=True, slots=True)
class _Case:
    """A wish whose request is signed by its key and for the same names."""

    wish: Wish
    serial: str  # of the present certificate
    present: str  # SHA-256 of its SPKI, in hex
    wanted: str  # that of the request

    @classmethod
    def of(cls, wish: Wish) -> "_Case":
        serial = format(wish.present.serial_number, "x")
        return cls(wish, serial, _spki(wish.present), _spki(wish.request))


def _decide(desk: Desk, case: _Case) -> Order | Renewed:
    """Return the order for what follows, or what was issued for the same key before."""
    identity = holder_of(
        desk.ledger, serial=case.serial, present=case.present, wanted=case.wanted
    )
    own = replace(desk, run_id=f"renewal of {case.serial}")
    text = case.wish.request.public_bytes(Encoding.PEM).decode()
    (decided,) = own.decide_all([Request(identity, text)])
    if isinstance(decided, Order):
        return decided
    return Renewed(identity, _certified(decided))


def _refusal(error: Exception) -> Exception:
    """Return what the caller is told: of the CA's own troubles, that there are some."""
    if isinstance(error, EnrolmentError):
        return error
    refused = UnavailableError(f"the CA cannot sign: {error}")
    refused.__cause__ = error
    return refused


def _certified(answer: Answer) -> x509.Certificate:
    """Return the certificate that was issued before, or raise the refusal."""
    if answer.certificate is not None:
        return answer.certificate
    refusal = answer.refusal or PkiError("the CA gave no answer")
    refused = RefusedByPolicyError(str(refusal), refusal.code)
    if isinstance(refusal, RequestError):
        refused.description = "the CA takes no request of this form"
    raise refused from refusal


def _spki(holder: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """Return what the ledger knows a key by, of whatever kind it is."""
    der = holder.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(der).hexdigest()
