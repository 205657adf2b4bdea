"""What there is: every certificate with its owner and state; what hosts present of it.

`python -m pki inventory` comes here. The ledger says what was issued; what runs, hosts
say. Where the two differ, somebody has to look: a certificate that the ledger does not
know, one that should not be presented any more, one that nobody presents.
"""

import csv
import io
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pki import clock
from pki.entry import Entry, Event
from pki.errors import PkiError
from pki.ledger import Ledger
from pki.ml_dsa.coverage import Coverage, is_statement, key_exchange
from pki.pointers import signer_of


class UnreadablePresentedError(PkiError):
    """What hosts present is not told as it should be."""

    code = "unreadable_presented"


class State(StrEnum):
    """What a certificate is at a moment; the first that holds."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    ISSUED = "issued"


class Finding(StrEnum):
    """How hosts and ledger differ."""

    UNKNOWN = "unknown"  # presented, and the ledger has never heard of it
    FOREIGN = "foreign"  # presented by another identity than it was issued to
    REVOKED = "revoked_presented"
    EXPIRED = "expired_presented"
    SUPERSEDED = "superseded_presented"
    NOWHERE = "presented_nowhere"  # issued last to its identity, and nobody presents it


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One certificate. Moments are as `clock.to_text` writes them."""

    identity: str
    owner: str
    host: str
    spiffe_id: str
    serial: str
    issuer: str  # its key identifier: the generation of the CA
    not_before: str
    not_after: str
    state: State
    key_algorithm: str
    # What would outlast a quantum computer: yes, no, unknown; nothing of the CA's own.
    quantum_safe_key_exchange: str
    quantum_safe_authentication: str
    quantum_safe_statement: str


class Presented(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What the ports of one identity present; why nothing, if so."""

    serials: list[str] = []
    groups: list[str] = []  # in which its ports agree on keys, such as X25519MLKEM768
    owner: str | None = None
    reason: str | None = None


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    presented: dict[str, Presented]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing to look at."""

    finding: Finding
    identity: str
    serial: str
    text: str


_PRESENTED_THOUGH = {
    State.REVOKED: Finding.REVOKED,
    State.EXPIRED: Finding.EXPIRED,
    State.SUPERSEDED: Finding.SUPERSEDED,
}


def read_presented(document: bytes) -> dict[str, Presented]:
    """Return what hosts say, by identity: `{"presented": {identity: {"serials": []}}}`.

    Raises:
        UnreadablePresentedError: it is something else.
    """
    try:
        return msgspec.json.decode(document, type=_Document).presented
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadablePresentedError(f"standard input: {error}") from error


def take(
    ledger: Ledger, now: datetime, *, presented: Mapping[str, Presented] | None = None
) -> list[Item]:
    """Return every certificate that was ever issued, oldest first.

    Statements of the parallel CA are told of with the certificates they are about.

    Args:
        ledger: read in one pass.
        now: the moment of the states.
        presented: what hosts say by identity: an owner other than whom the identity
            names, and how keys are agreed on.
    """
    issued: list[Entry] = []
    marked: dict[Event, set[tuple[str, str]]] = {event: set() for event in Event}
    for entry in ledger.entries():
        marked[entry.event].add((entry.issuer, entry.serial))
        if entry.event is Event.ISSUED:
            issued.append(entry)
    coverage, told = Coverage(issued), presented or {}
    return [
        _item(
            entry,
            _state(entry, marked, clock.to_text(now)),
            told.get(entry.identity, Presented()),
            coverage,
        )
        for entry in issued
        if not is_statement(entry)
    ]


def reconcile(
    items: Sequence[Item], presented: Mapping[str, Presented]
) -> list[Difference]:
    """Return how what hosts present differs from the ledger, identity by identity.

    1. What is presented was issued, to whom presents it, and still stands.
    2. The certificate that an identity got last is presented by it.
    """
    by_serial = {item.serial: item for item in items}
    found: list[Difference] = []
    for identity, said in sorted(presented.items()):
        for serial in said.serials:
            found += _check(identity, serial, by_serial.get(serial))  # 1
    newest = {item.identity: item for item in items if "@" in item.identity}
    for identity, item in sorted(newest.items()):
        said = presented.get(identity, Presented(reason="no host has this identity"))
        if item.state is State.ISSUED and item.serial not in said.serials:  # 2
            why = said.reason or "its port presents another one"
            found.append(
                Difference(
                    finding=Finding.NOWHERE,
                    identity=identity,
                    serial=item.serial,
                    text=f"{identity}: {item.serial} is presented nowhere: {why}",
                )
            )
    return found


def as_csv(items: Iterable[Item]) -> str:
    """Return the items as RFC 4180 has it, with a line of names."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Item)])
    writer.writeheader()
    writer.writerows(asdict(item) for item in items)
    return text.getvalue()


def _check(identity: str, serial: str, item: Item | None) -> list[Difference]:
    if item is None:
        finding, text = Finding.UNKNOWN, "which the ledger does not know"
    elif item.identity != identity:
        finding, text = Finding.FOREIGN, f"which was issued to {item.identity}"
    elif item.state is State.ISSUED:
        return []
    else:
        finding, text = _PRESENTED_THOUGH[item.state], f"which is {item.state}"
    return [
        Difference(
            finding=finding,
            identity=identity,
            serial=serial,
            text=f"{identity} presents {serial}, {text}",
        )
    ]


def _state(
    entry: Entry, marked: Mapping[Event, set[tuple[str, str]]], now: str
) -> State:
    key = (entry.issuer, entry.serial)
    if key in marked[Event.REVOKED]:
        return State.REVOKED
    if entry.not_after <= now:
        return State.EXPIRED
    return State.SUPERSEDED if key in marked[Event.SUPERSEDED] else State.ISSUED


def _item(entry: Entry, state: State, said: Presented, coverage: Coverage) -> Item:
    certificate = x509.load_der_x509_certificate(b64decode(entry.certificate or ""))
    service, _, host = entry.identity.partition("@")
    return Item(
        identity=entry.identity,
        owner=said.owner or service,
        host=host,
        spiffe_id=entry.spiffe_id,
        serial=entry.serial,
        issuer=entry.authority or signer_of(certificate) or "",
        not_before=entry.not_before,
        not_after=entry.not_after,
        state=state,
        key_algorithm=key_algorithm(certificate),
        quantum_safe_key_exchange=key_exchange(said.groups) if host else "",
        quantum_safe_authentication="no" if host else "",  # key and signatures: ECDSA
        quantum_safe_statement=coverage.of(entry) if host else "",
    )


def key_algorithm(certificate: x509.Certificate) -> str:
    """Return what kind of key a certificate is for: `P-256`, `RSA 3072`, `Ed25519`."""
    try:
        key = certificate.public_key()
    except ValueError:
        return certificate.public_key_algorithm_oid.dotted_string
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "P-256", "secp384r1": "P-384"}.get(
            key.curve.name, key.curve.name
        )
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey")
