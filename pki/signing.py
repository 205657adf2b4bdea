"""The one place where a CA key signs: check, plan, sign, record (in that order).

`founding` and `authority` come here with certificates to be signed. When
`sign_and_record` returns, every certificate it returns is durable in the ledger; when
it is killed, every serial that may have been signed stands there as planned.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki import clock, lint
from pki.entry import Entry, Event
from pki.errors import PkiError
from pki.ledger import Ledger


class ClockBehindError(PkiError):
    """The clock stands before the newest entry of the ledger."""

    code = "clock_behind"


@dataclass(frozen=True, slots=True)
class Order:
    """A certificate that passed the lint and waits for its signature."""

    builder: x509.CertificateBuilder
    planned: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """For whom a certificate is: the identity the ledger files it under, its names."""

    kind: str  # root, issuing or service
    identity: str
    spiffe_id: str
    spki_sha256: str


def place_order(
    builder: x509.CertificateBuilder,
    holder: Holder,
    *,
    issuer: x509.Certificate | None,
    now: datetime,
    run_id: str,
) -> Order:
    """Return the order for what `builder` makes, if the lint finds nothing.

    Raises:
        LintError: it breaks a rule for certificates of its kind.
    """
    draft = lint.verify_draft(builder, kind=holder.kind, issuer=issuer)
    planned = Entry(
        event=Event.PLANNED,
        recorded_at=clock.to_text(now),
        run_id=run_id,
        issuer=draft.issuer.rfc4514_string(),
        serial=f"{draft.serial_number:x}",
        identity=holder.identity,
        spiffe_id=holder.spiffe_id,
        spki_sha256=holder.spki_sha256,
        not_before=clock.to_text(draft.not_valid_before_utc),
        not_after=clock.to_text(draft.not_valid_after_utc),
    )
    return Order(builder, planned)


def check_clock(ledger: Ledger, now: datetime) -> None:
    """Return if `now` is not before the newest entry.

    Raises:
        ClockBehindError: it is. A clock that went back would make certificates that
            are valid before, and after, they should be.
    """
    newest = ledger.newest_moment()
    if newest and now < newest:
        raise ClockBehindError(
            "the clock is behind the ledger, whose newest entry is of "
            f"{clock.to_text(newest)}: set it before signing"
        )


def sign_and_record(
    ledger: Ledger, orders: Sequence[Order], key: ec.EllipticCurvePrivateKey
) -> list[x509.Certificate]:
    """Return the signed certificates, in the order of `orders`: one or more.

    Two commits for the whole batch, whatever its size: the plans, so that no serial
    is lost if the machine stops while the key is in use; then all certificates.

    Raises:
        ClockBehindError: an order is older than the newest entry.
        SerialTakenError: the issuer has given one of the serials before.
    """
    # The one form of a moment sorts as text.
    oldest = min(order.planned.recorded_at for order in orders)
    check_clock(ledger, clock.from_text(oldest))
    with ledger.transaction():
        for order in orders:
            ledger.append(order.planned)
    signed = [order.builder.sign(key, hashes.SHA256()) for order in orders]
    with ledger.transaction():
        for order, certificate in zip(orders, signed, strict=True):
            ledger.append(_issued(order.planned, certificate))
    return signed


def _issued(planned: Entry, certificate: x509.Certificate) -> Entry:
    der = certificate.public_bytes(serialization.Encoding.DER)
    return replace(planned, event=Event.ISSUED, certificate=b64encode(der).decode())
