"""Take certificates back, and publish what is told of it.

`python -m pki revoke` and `crl` come here. A revocation is one transaction: the entry
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
from pki.authority import open_desk, open_key, open_press, read_certificate
from pki.crl_series import Series, publish_lists
from pki.decision import Desk
from pki.entry import Entry, Event, Reason
from pki.errors import PkiError
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from pki.pointers import authority_of, signer_of
from pki.publication import answers_due
from pki.published import Crl
from pki.responder import read_responder
from pki.storage import exclusive


class WithdrawalError(PkiError):
    """Nothing can be revoked."""

    code = "not_revocable"


class UnknownCertificateError(WithdrawalError):
    """The ledger has no certificate of this identity or serial."""

    code = "unknown_certificate"


class AuthorityCertificateError(WithdrawalError):
    """It is the certificate of a CA: only the one above could revoke it."""

    code = "authority_certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be revoked: one certificate, or all of an identity."""

    identity: str | None = None
    serial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """What was revoked now, what had been before, and the lists of today.

    `untold` is what was recorded as revoked but stands in no list, because the key of
    an earlier issuing CA would have to sign that.
    """

    revoked: tuple[Entry, ...]
    before: tuple[Entry, ...]
    untold: tuple[Entry, ...]
    crls: tuple[Crl, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What was made, or is due, of lists and answers; and the lists there are."""

    lists: tuple[tuple[str, str], ...]  # root or issuing, and a scope
    answers: int
    responder: bool
    crls: tuple[Crl, ...]

    @property
    def changed(self) -> bool:
        """Whether there is anything."""
        return bool(self.lists or self.answers or self.responder)


def revoke(  # noqa: PLR0913 - each is told apart by its name
    layout: Layout,
    target: Target,
    *,
    reason: Reason,
    passphrase: Callable[[], bytes],
    run_id: str,
    now: Callable[[], datetime] = clock.utc_now,
) -> Withdrawn:
    """Revoke what `target` names and what has not ended, in one transaction.

    The passphrase is asked for only if there is something to revoke.

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
        entries = tuple(_revocation(entry, reason, desk) for entry in found)
        if entries:
            press = open_press(layout, desk, passphrase)
            responder = press.prepare()
            told = [int(entry.serial, 16) for entry in entries if _is_told(entry, desk)]
            with ledger.transaction():
                for entry in entries:
                    ledger.append(entry)
                press.publish(responder, revoked=told)
        return _withdrawn(desk, entries, before)


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
        entries = tuple(_revocation(entry, reason, desk) for entry in found)
        return _withdrawn(desk, entries, before)


def publish(
    layout: Layout,
    *,
    passphrase: Callable[[], bytes],
    root_passphrase: Callable[[], bytes] | None = None,
    run_id: str,
    now: Callable[[], datetime] = clock.utc_now,
) -> Publication:
    """Make what is due of lists and answers; of the root's only with its passphrase.

    The issuing key's passphrase is asked for only if something is due.

    Raises:
        NoAuthorityError: there is no CA in the directory.
        ClockBehindError: the clock is behind the newest entry of the ledger.
        SealedKeyError, WrongIssuingKeyError: a key cannot be used.
    """
    layout.check_complete()
    with exclusive(layout.lock), open_ledger(layout.ledger) as ledger:
        desk = open_desk(layout, ledger, now(), run_id)
        due = _due(layout, desk, root=root_passphrase is not None)
        authorities = {by for by, _ in due.lists}
        if due.responder or due.answers or "issuing" in authorities:
            _print(layout, desk, passphrase)
        if root_passphrase and "root" in authorities:
            series, root = _series(desk, "root"), read_certificate(layout, "root")
            key = open_key(layout, "root", root, root_passphrase)
            with ledger.transaction():
                publish_lists(ledger, series, key)
        return replace(due, crls=tuple(ledger.published.crls()))


def show(layout: Layout, *, run_id: str, now: datetime) -> Publication:
    """Return what is due, the root's list included, and what there is.

    Raises:
        NoAuthorityError: there is no CA in the directory.
        ClockBehindError: the clock is behind the newest entry of the ledger.
    """
    layout.check_complete()
    with open_ledger(layout.ledger) as ledger:
        desk = open_desk(layout, ledger, now, run_id)
        return _due(layout, desk, root=True)


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
        elif entry.not_after > clock.to_text(desk.now):
            found.append(entry)
    return found, tuple(before)


def _issued(desk: Desk, target: Target) -> Sequence[Entry]:
    if target.identity is not None:
        if target.identity in {"root", "issuing"}:
            raise AuthorityCertificateError(f"{target.identity} is a CA of its own")
        if desk.ledger.newest_issued(target.identity) is None:
            raise UnknownCertificateError(f"{target.identity!r} had no certificate")
        return desk.ledger.issued(after=desk.now, identity=target.identity)
    text = f"{target.serial or 0:x}"
    by_root = desk.root.subject.rfc4514_string()
    if desk.ledger.find(Event.ISSUED, issuer=by_root, serial=text):
        raise AuthorityCertificateError(f"{text} is the certificate of a CA")
    issuer = desk.issuing.subject.rfc4514_string()
    entry = desk.ledger.find(Event.ISSUED, issuer=issuer, serial=text)
    if entry is None:
        raise UnknownCertificateError(f"no certificate with serial {text} was issued")
    return [entry]


def _revocation(issued: Entry, reason: Reason, desk: Desk) -> Entry:
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


def _withdrawn(
    desk: Desk, entries: tuple[Entry, ...], before: tuple[Entry, ...]
) -> Withdrawn:
    return Withdrawn(
        revoked=entries,
        before=before,
        untold=tuple(entry for entry in entries if not _is_told(entry, desk)),
        crls=tuple(desk.ledger.published.crls()),
    )


def _is_told(entry: Entry, desk: Desk) -> bool:
    """Return whether the present issuing key can list the certificate as revoked.

    It cannot if an earlier key signed it: each has lists of its own.
    """
    return entry.authority == authority_of(desk.issuing)


def _series(desk: Desk, by: str) -> Series:
    return Series(
        published=desk.ledger.published,
        issuer=desk.root if by == "root" else desk.issuing,
        now=desk.now,
        addresses=None if by == "root" else desk.policy.addresses,
        by=by,
    )


def _due(layout: Layout, desk: Desk, *, root: bool) -> Publication:
    authorities = ("issuing", "root") if root else ("issuing",)
    lists = [(by, scope) for by in authorities for scope in _series(desk, by).due()]
    answers, responder_due = 0, False
    if desk.policy.addresses and desk.now < desk.issuing.not_valid_after_utc:
        own = authority_of(desk.issuing)
        responder = read_responder(layout.responder(own))
        responder_due = responder is None or responder.is_due(own, desk.now)
        answers = len(answers_due(desk.ledger, desk.issuing, desk.now))
    return Publication(
        lists=tuple(lists),
        answers=answers,
        responder=responder_due,
        crls=tuple(desk.ledger.published.crls()),
    )


def _print(layout: Layout, desk: Desk, passphrase: Callable[[], bytes]) -> None:
    press = open_press(layout, desk, passphrase)
    responder = press.prepare()
    ledger: Ledger = desk.ledger
    due = answers_due(ledger, desk.issuing, desk.now) if responder else []
    with ledger.transaction():
        press.publish(responder, issued=due)
        ledger.published.drop_answers(ended=desk.now)
