"""The CA's office: its key in hand, it renews one certificate after the other.

`app` brings each request here, into the one thread that signs: the ledger has one
writer at a time, and the event loop waits for no disk. `python -m pki issue` may run
beside it; both hold the CA's lock while they work.

The issuing key is opened with the first certificate and kept (`pki.keyring`), another
one if the issuing CA has got another. What holds the key is this process: nothing of it
is written.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.authority import look, open_desk, sign
from pki.decision import Answer, Request
from pki.errors import PkiError
from pki.keyring import Keyring
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from pki.passphrase import from_file
from pki.present import present
from pki.request import RequestError
from pki.signing import Order, check_clock
from pki.storage import exclusive
from services.enrolment.errors import RefusedByPolicyError, UnavailableError
from services.enrolment.renewal import check_request, holder_of


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

    def renew(
        self, request: x509.CertificateSigningRequest, present: x509.Certificate
    ) -> Renewed:
        """Return the certificate that follows `present`, durable in the ledger.

        Args:
            request: as it came; nothing in it is proved.
            present: the certificate that the handshake has proved.

        Raises:
            EnrolmentError: the subclass says why there is none.
        """
        check_request(request, present)
        try:
            self._layout.check_complete()
            with (
                exclusive(self._layout.lock),
                open_ledger(self._layout.ledger) as ledger,
            ):
                return self._renew(ledger, request, present)
        except (PkiError, OSError, ValueError) as error:
            raise UnavailableError(f"the CA cannot sign: {error}") from error

    def _renew(
        self,
        ledger: Ledger,
        request: x509.CertificateSigningRequest,
        present: x509.Certificate,
    ) -> Renewed:
        serial = format(present.serial_number, "x")
        identity = holder_of(
            ledger,
            serial=serial,
            present=_spki(present),
            wanted=_spki(request),
        )
        desk = open_desk(self._layout, ledger, self._clock(), f"renewal of {serial}")
        text = request.public_bytes(Encoding.PEM).decode()
        (decided,) = desk.decide_all([Request(identity, text)])
        if isinstance(decided, Order):
            (certificate,) = sign(self._layout, desk, [decided], self._keyring)
            return Renewed(identity, certificate)
        return Renewed(identity, _certified(decided))


def keyring_of(layout: Layout, passphrase: Path) -> Keyring:
    """Return the CA's keys, sealed with what the private file `passphrase` holds."""
    return Keyring(layout, issuing=partial(from_file, "issuing", passphrase))


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
