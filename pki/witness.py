"""Heads of the ledger, kept elsewhere: how a rewritten history is found.

The newest hash is signed by the issuing CA whenever its key is open (`signing`), shown
by `python -m pki ledger head`, and left where who may write the ledger may not write.
Each of them says: at this time the chain had this hash at this place.

A chain that verifies, and that has every witnessed hash at its place, has not been
rewritten up to the last witness, nor cut short before it, nor is it the one of an older
backup. What came after the last witness, nobody vouches for.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pki import database
from pki.entry import Event
from pki.errors import PkiError
from pki.ledger import Ledger, read_ledger
from pki.pointers import authority_of
from pki.published import Head, head_text


class WitnessError(PkiError):
    """A witness is of no use, or contradicts the ledger."""

    code = "bad_witness"


class UnreadableWitnessError(WitnessError):
    """The file is no head as it was printed."""

    code = "unreadable_witness"


class ForgedWitnessError(WitnessError):
    """No issuing CA of this ledger signed the head."""

    code = "forged_witness"


class NoHeadError(WitnessError):
    """No head was signed yet."""

    code = "no_head"


class TruncatedLedgerError(WitnessError):
    """The ledger ends before an entry that was witnessed."""

    code = "ledger_truncated"


class RewrittenLedgerError(WitnessError):
    """The ledger has another entry where one was witnessed."""

    code = "ledger_rewritten"


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    sequence: int
    hash: str
    signature: str
    time: str


class _Documents(msgspec.Struct, forbid_unknown_fields=True):
    witnesses: dict[str, _Document]


def newest_head(ledger: Ledger) -> Head:
    """Return the head that was signed last.

    Raises:
        NoHeadError: there is none.
    """
    head = ledger.published.head()
    if head is None:
        raise NoHeadError("no head is signed before the issuing key is first used")
    return head


def read_head(document: bytes) -> Head:
    """Return the head in the JSON that `ledger head` printed. It is not checked yet.

    Raises:
        UnreadableWitnessError: it is something else.
    """
    try:
        read = msgspec.json.decode(document, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableWitnessError(f"the witness is no head: {error}") from error
    return Head(read.sequence, read.hash, read.time, read.signature)


def read_heads(document: bytes) -> dict[str, Head]:
    """Return the heads in `{"witnesses": {host: head}}`, by host. They are not checked.

    Raises:
        UnreadableWitnessError: it is something else.
    """
    try:
        read = msgspec.json.decode(document, type=_Documents)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableWitnessError(f"the witnesses are no heads: {error}") from error
    return {
        host: Head(said.sequence, said.hash, said.time, said.signature)
        for host, said in read.witnesses.items()
    }


def check_head(ledger: Ledger, unverified: Head) -> None:
    """Return if the ledger says at the head's place what the head says.

    1. An issuing CA that the ledger knows has signed the head.
    2. The ledger reaches as far.
    3. The hash there is the same.

    Raises:
        ForgedWitnessError: step 1. A whole ledger put in place of this one by someone
            without the CA's key shows here, too.
        TruncatedLedgerError: step 2; so does an old backup.
        RewrittenLedgerError: step 3.
    """
    text = head_text(
        sequence=unverified.sequence, digest=unverified.hash, time=unverified.time
    )
    try:
        signature = b64decode(unverified.signature, validate=True)
    except binascii.Error as error:
        raise ForgedWitnessError("the head's signature is no base64") from error
    keys = authority_keys(ledger, ("issuing",))
    if not any(_signed(key, signature, text) for _, key in keys):
        raise ForgedWitnessError("no issuing CA of this ledger signed the head")  # 1
    found = ledger.hash_of(unverified.sequence)
    if found is None:  # 2
        last, _ = ledger.newest()
        raise TruncatedLedgerError(
            f"entry {unverified.sequence} was witnessed at {unverified.time}, the "
            f"ledger ends with {last}: it was cut short, or is from an old backup"
        )
    if found != unverified.hash:  # 3
        raise RewrittenLedgerError(
            f"entry {unverified.sequence} is another one than at {unverified.time}: "
            "the history was rewritten"
        )


def check_heads(ledger: Ledger, heads: Mapping[str, Head]) -> None:
    """Check the heads of many hosts, all of them.

    Raises:
        WitnessError: of the class of the first that does not fit; the message names
            every host whose head does not.
    """
    found: list[WitnessError] = []
    for host, head in sorted(heads.items()):
        try:
            check_head(ledger, head)
        except WitnessError as error:
            found.append(type(error)(f"{host}: {error}"))
    if found:
        raise type(found[0])("; ".join(map(str, found)))


def newest_at(path: Path) -> Head | None:
    """Return the head that was signed last in the ledger at `path`, if there is one."""
    if database.is_missing(path):
        return None
    with read_ledger(path) as ledger:
        return ledger.published.head()


def authority_keys(
    ledger: Ledger, identities: Sequence[str] = ("issuing", "root")
) -> list[tuple[str, ec.EllipticCurvePublicKey]]:
    """Return key identifier and key of every CA certificate that the ledger has."""
    found = []
    for entry in chain(*(ledger.entries_of(who, Event.ISSUED) for who in identities)):
        der = b64decode(entry.certificate or "")
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey):
            found.append((authority_of(certificate), key))
    return found


def _signed(key: ec.EllipticCurvePublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
