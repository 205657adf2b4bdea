"""Take certificates back.

`python -m pki revoke` comes here. A revocation is one transaction: the entry
in the ledger, the lists, the OCSP answers. Asking again changes nothing. An identity's
certificates are revoked all, also those that a newer one has superseded: each of them
still works for whoever has its key.

What this does not do: keep the identity from asking for another certificate, with
another key. The policy decides on that.
"""

from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from pki import clock
from pki.authority import open_desk, open_press
from pki.crl_series import publish_lists
from pki.decision import Desk
from pki.entry import Entry, Event, Reason
from pki.errors import PkiError
from pki.keyring import Keyring, has_key
from pki.layout import Layout
from pki.ledger import open_ledger
from pki.pointers import authority_of, signer_of
from pki.present import certificates, is_revoked
from pki.published import Imprint
from pki.storage import exclusive
from pki.upkeep import series_of


class WithdrawalError(PkiError):
    """Nothing can be revoked."""

    code = "not_revocable"


class UnknownCertificateError(WithdrawalError):
    """The ledger has no certificate of this identity or serial."""

    code = "unknown_certificate"


class AuthorityCertificateError(WithdrawalError):
    """It is the certificate of a CA: only the root revokes it, and nobody the root."""

    code = "authority_certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be revoked: one certificate, or all of an identity."""

    identity: str | None = None
    serial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """What was revoked now, what had been before, and the lists of today.

    `untold` is what was recorded as revoked but stands in no list, because the issuing
    CA that would sign that is revoked itself, or its key is gone.
    """

    revoked: tuple[Entry, ...]
    before: tuple[Entry, ...]
    untold: tuple[Entry, ...]
    crls: tuple[Imprint, ...]


def revoke(  # noqa: PLR0913 - each is told apart by its name
    layout: Layout,
    target: Target,
    *,
    reason: Reason,
    keyring: Keyring,
    run_id: str,
    now: Callable[[], datetime] = clock.utc_now,
) -> Withdrawn:
    """Revoke what `target` names and still serves, in one transaction.

    That is what has not ended, and the newest of an identity in any case: the CA's
    front may have a grace in which an expired one renews (`services.enrolment`).

    The certificate of an issuing CA takes its serial and the root's key. A key is
    opened only if there is something to revoke.

    Raises:
        NoAuthorityError: there is no CA in the directory.
        ClockBehindError: the clock is behind the newest entry of the ledger.
        UnknownCertificateError, AuthorityCertificateError: there is nothing like that.
        SealedKeyError, WrongIssuingKeyError: the issuing key cannot be used.
    """
    layout.check_complete()
    with exclusive(layout.lock), open_ledger(layout.ledger) as ledger:
        desk = open_desk(layout, ledger, now(), run_id)
        found, before = _aim(desk, target)
        entries = tuple(revocation(entry, reason, desk) for entry in found)
        if entries and _is_of_root(entries[0], desk):
            revoke_authorities(desk, entries, keyring)
        elif entries:
            _revoke(layout, desk, entries, keyring)
        return _withdrawn(layout, desk, entries, before)


def preview(
    layout: Layout, target: Target, *, reason: Reason, run_id: str, now: datetime
) -> Withdrawn:
    """Return what `revoke` would, revoking nothing.

    Raises:
        NoAuthorityError, ClockBehindError, UnknownCertificateError,
        AuthorityCertificateError: as `revoke`.
    """
    layout.check_complete()
    with open_ledger(layout.ledger) as ledger:
        desk = open_desk(layout, ledger, now, run_id)
        found, before = _aim(desk, target)
        entries = tuple(revocation(entry, reason, desk) for entry in found)
        return _withdrawn(layout, desk, entries, before)


def _aim(desk: Desk, target: Target) -> tuple[list[Entry], tuple[Entry, ...]]:
    """Return the certificates to revoke, and the entries of those that were before."""
    issued = _issued(desk, target)
    found, before = [], []
    for entry in issued:
        revoked = desk.ledger.find(
            Event.REVOKED, issuer=entry.issuer, serial=entry.serial
        )
        if revoked:
            before.append(revoked)
        elif entry.not_after > clock.to_text(desk.now) or _is_newest(entry, desk):
            found.append(entry)
    return found, tuple(before)


def _is_newest(entry: Entry, desk: Desk) -> bool:
    return entry == desk.ledger.newest_issued(entry.identity)


def _issued(desk: Desk, target: Target) -> Sequence[Entry]:
    if target.identity is not None:
        if target.identity in {"root", "issuing"}:
            raise AuthorityCertificateError(f"{target.identity}: name it by its serial")
        newest = desk.ledger.newest_issued(target.identity)
        if newest is None:
            raise UnknownCertificateError(f"{target.identity!r} had no certificate")
        living = desk.ledger.issued(after=desk.now, identity=target.identity)
        return living if newest in living else [*living, newest]
    text = f"{target.serial or 0:x}"
    for issuer in (desk.issuing, desk.standing.root):
        name = issuer.subject.rfc4514_string()
        entry = desk.ledger.find(Event.ISSUED, issuer=name, serial=text)
        if entry and entry.identity == "root":
            raise AuthorityCertificateError(f"{text} is the root: nobody revokes it")
        if entry:
            return [entry]
    raise UnknownCertificateError(f"no certificate with serial {text} was issued")


def revocation(issued: Entry, reason: Reason, desk: Desk) -> Entry:
    """Return the entry that says that a certificate is revoked."""
    authority = issued.authority
    if authority is None:  # issued by the first release
        der = b64decode(issued.certificate or "")
        authority = signer_of(x509.load_der_x509_certificate(der))
    return replace(
        issued,
        event=Event.REVOKED,
        recorded_at=clock.to_text(desk.now),
        run_id=desk.run_id,
        certificate=None,
        reason=reason,
        authority=authority,
    )


def _is_of_root(entry: Entry, desk: Desk) -> bool:
    return entry.issuer == desk.standing.root.subject.rfc4514_string()


def _revoke(
    layout: Layout, desk: Desk, entries: Sequence[Entry], keyring: Keyring
) -> None:
    """Record it, and let each issuing CA tell of what it signed."""
    signers = {entry.authority for entry in entries}
    presses = [
        open_press(layout, desk, keyring, issuing)
        for authority, issuing in _telling(layout, desk).items()
        if authority in signers
    ]
    prepared = [(press, press.prepare()) for press in presses]
    with desk.ledger.transaction():
        for entry in entries:
            desk.ledger.append(entry)
        for press, responder in prepared:
            told = _serials(entries, authority_of(press.issuing))
            press.publish(responder, revoked=told)


def revocations_of(desk: Desk, identity: str, authority: str) -> list[Entry]:
    """Return what revokes each certificate of a CA key that lasts, as superseded.

    `identity` is issuing or cross, `authority` the identifier of the certified key.
    """
    found = []
    for entry in desk.ledger.issued(after=desk.now, identity=identity):
        der = b64decode(entry.certificate or "")
        certificate = x509.load_der_x509_certificate(der)
        if authority_of(certificate) == authority and not is_revoked(
            desk.ledger, certificate
        ):
            found.append(revocation(entry, Reason.SUPERSEDED, desk))
    return found


def revoke_authorities(
    desk: Desk,
    entries: Sequence[Entry],
    keyring: Keyring,
    also: Callable[[], None] = lambda: None,
) -> None:
    """Revoke certificates of CAs in the lists of their roots, in one transaction.

    Raises:
        AuthorityCertificateError: the keyring has no root.
    """
    if not keyring.has_root:
        raise AuthorityCertificateError(
            "to revoke an issuing CA takes the root's key: --root-passphrase-fd"
        )
    signers = {entry.authority or "" for entry in entries}
    roots = [certificates(desk.ledger, "root")[signer] for signer in signers]
    opened = [(root, keyring.open("root", root)) for root in roots]
    with desk.ledger.transaction():
        for entry in entries:
            desk.ledger.append(entry)
        for root, key in opened:
            touched = _serials(entries, authority_of(root))
            series = series_of(desk, "root", root)
            publish_lists(desk.ledger, series, key, touched=touched)
        also()


def _withdrawn(
    layout: Layout, desk: Desk, entries: tuple[Entry, ...], before: tuple[Entry, ...]
) -> Withdrawn:
    by_issuing = [entry for entry in entries if not _is_of_root(entry, desk)]
    telling = _telling(layout, desk) if by_issuing else {}
    return Withdrawn(
        revoked=entries,
        before=before,
        untold=tuple(one for one in by_issuing if one.authority not in telling),
        crls=tuple(desk.ledger.published.imprints()),
    )


def _telling(layout: Layout, desk: Desk) -> dict[str, x509.Certificate]:
    """Return the issuing CAs that can list what they signed, by key identifier.

    Each has lists of its own. One whose key is gone, or that is revoked itself, has
    none any more.
    """
    found = {authority_of(desk.issuing): desk.issuing}
    for authority, issuing in certificates(desk.ledger, "issuing").items():
        if (
            issuing.not_valid_after_utc > desk.now
            and not is_revoked(desk.ledger, issuing)
            and has_key(layout, "issuing", issuing)
        ):
            found.setdefault(authority, issuing)
    return found


def _serials(entries: Sequence[Entry], authority: str) -> list[int]:
    """Return the serials of what one CA key signed."""
    return [int(one.serial, 16) for one in entries if one.authority == authority]
