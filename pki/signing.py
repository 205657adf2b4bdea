"""The one place where a CA key signs: check, plan, sign, record (in that order).

`founding`, `authority` and `publication` come here with certificates, revocation lists
and heads of the ledger to be signed. When `sign_and_record` returns, every certificate
it returns is durable in the ledger, with all that was to be told of it; when it is
killed, every serial that may have been signed stands there as planned.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)

from pki import clock, lint, lint_crl
from pki.entry import Entry, Event
from pki.errors import PkiError
from pki.ledger import Ledger
from pki.pointers import authority_of
from pki.published import Head, head_text
from pki.unsigned import Unsigned

# What a newer certificate takes the place of. Those of a CA stand beside each other.
_ENTITIES = {"service", "responder"}


class ClockBehindError(PkiError):
    """The clock stands before the newest entry of the ledger."""

    code = "clock_behind"


@dataclass(frozen=True, slots=True)
class Order:
    """A certificate that passed the lint and waits for its signature."""

    to_sign: x509.CertificateBuilder | Unsigned
    planned: Entry
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """For whom a certificate is: the identity the ledger files it under, its names."""

    kind: str  # root, cross, issuing, service or responder
    identity: str
    spiffe_id: str
    spki_sha256: str


def place_order(
    to_sign: x509.CertificateBuilder | Unsigned,
    holder: Holder,
    *,
    issuer: x509.Certificate | None,
    now: datetime,
    run_id: str,
) -> Order:
    """Return the order for a certificate, if the lint finds nothing.

    Raises:
        LintError: it breaks a rule for certificates of its kind.
    """
    draft = lint.verify_draft(to_sign, kind=holder.kind, issuer=issuer)
    planned = Entry(
        event=Event.PLANNED,
        recorded_at=clock.to_text(now),
        run_id=run_id,
        issuer=_name_of(issuer or draft),
        serial=f"{draft.serial_number:x}",
        identity=holder.identity,
        spiffe_id=holder.spiffe_id,
        spki_sha256=holder.spki_sha256,
        not_before=clock.to_text(draft.not_valid_before_utc),
        not_after=clock.to_text(draft.not_valid_after_utc),
        authority=authority_of(issuer or draft),
    )
    return Order(to_sign, planned, holder.kind)


@lru_cache(maxsize=16)  # of the few issuers that there are
def _name_of(issuer: x509.Certificate) -> str:
    """Return its subject: the lint has seen that what it signs names that."""
    return issuer.subject.rfc4514_string()


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
    ledger: Ledger,
    orders: Sequence[Order],
    key: CertificateIssuerPrivateKeyTypes,
    *,
    also: Callable[[Sequence[x509.Certificate]], None] = lambda _: None,
) -> list[x509.Certificate]:
    """Return the signed certificates, in the order of `orders`: one or more.

    Two commits for the whole batch, whatever its size: the plans, so that no serial
    is lost if the machine stops while the key is in use; then all certificates, and
    what `also` writes when it is called with them.

    Raises:
        ClockBehindError: an order is older than the newest entry.
        SerialTakenError: the issuer has given one of the serials before.
    """
    # The one form of a moment sorts as text.
    oldest = min(order.planned.recorded_at for order in orders)
    check_clock(ledger, clock.from_text(oldest))
    with ledger.transaction():
        ledger.append(*[order.planned for order in orders])
    digest = hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None
    signed = [order.to_sign.sign(key, digest) for order in orders]  # ML-DSA has none
    with ledger.transaction():
        ledger.append(*_what_follows(ledger, orders, signed))
        also(signed)
    return signed


def sign_crl(
    builder: x509.CertificateRevocationListBuilder,
    key: ec.EllipticCurvePrivateKey,
    *,
    kind: str,
    by: str,
    issuer: x509.Certificate,
) -> bytes:
    """Return the signed list in DER, if the lint finds nothing.

    Raises:
        LintError: it breaks a rule for lists of its kind.
    """
    lint_crl.verify_draft(builder, kind=kind, by=by, issuer=issuer)
    crl = builder.sign(key, hashes.SHA256())
    return crl.public_bytes(serialization.Encoding.DER)


def sign_head(ledger: Ledger, key: ec.EllipticCurvePrivateKey, now: datetime) -> None:
    """Put a signature over the newest entry's hash beside the ledger."""
    sequence, digest = ledger.newest()
    time = clock.to_text(now)
    signature = key.sign(
        head_text(sequence=sequence, digest=digest, time=time),
        ec.ECDSA(hashes.SHA256()),
    )
    encoded = b64encode(signature).decode()
    ledger.published.put_head(Head(sequence, digest, time, encoded))


def _what_follows(
    ledger: Ledger, orders: Sequence[Order], signed: Sequence[x509.Certificate]
) -> Iterator[Entry]:
    """Yield what is recorded of each certificate, and of that whose place it takes."""
    who = [one.planned.identity for one in orders if one.kind in _ENTITIES]
    standing = {entry.identity: entry for entry in ledger.standing(who)}
    for order, certificate in zip(orders, signed, strict=True):
        issued = _issued(order.planned, certificate)
        if order.kind in _ENTITIES:
            before = standing.get(issued.identity)
            if before and _takes_place_of(before, order):
                yield _superseded(before, order.planned)
            standing[issued.identity] = issued
        yield issued


def _takes_place_of(before: Entry, order: Order) -> bool:
    """Return whether a new certificate ends the one before, which has its issuer."""
    if before.not_after <= order.planned.recorded_at:
        return False
    # Each issuing key has its own responder.
    return order.kind != "responder" or before.authority == order.planned.authority


def _superseded(before: Entry, planned: Entry) -> Entry:
    return replace(
        before,
        event=Event.SUPERSEDED,
        recorded_at=planned.recorded_at,
        run_id=planned.run_id,
        certificate=None,
    )


def _issued(planned: Entry, certificate: x509.Certificate) -> Entry:
    der = certificate.public_bytes(serialization.Encoding.DER)
    return replace(planned, event=Event.ISSUED, certificate=b64encode(der).decode())
