"""Revoking: all that follows is there at once, and asking again changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pki import clock, upkeep, withdrawal
from pki.decision import Request, Verdict
from pki.entry import Event, Reason
from pki.envelope import WrongPassphraseError
from pki.keyring import Keyring
from pki.ledger import open_ledger
from pki.pointers import authority_of
from pki.published import Crl, read_published
from pki.signing import ClockBehindError
from tests.pki.builders import (
    ADDRESSES,
    ROOT_PASSPHRASE,
    Ca,
    csr,
    number,
    p256,
    serials,
)

ORDERS = "orders@localhost"
STOCK = "stock@localhost"
REASONS = [reason for reason in Reason if reason is not Reason.UNSPECIFIED]


def no_passphrase() -> bytes:
    """Fail where no passphrase may be asked for."""
    pytest.fail("the passphrase was asked for")


def later(**by: float) -> Callable[[], datetime]:
    """Return a clock that is ahead."""
    return lambda: clock.utc_now() + timedelta(**by)


def events(ca: Ca, serial: int) -> list[Event]:
    """Return what the ledger has on one certificate."""
    with open_ledger(ca.layout.ledger) as ledger:
        ledger.verify()
        return [line.event for line in ledger.entries() if line.serial == f"{serial:x}"]


def test_revoked_certificate_is_in_ledger_and_lists(telling: Ca) -> None:
    """One entry, the full list, the list of its shard; no other shard."""
    certificate = telling.one()
    done = telling.revoke(ORDERS)
    (entry,) = done.revoked
    assert entry.serial == f"{certificate.serial_number:x}"
    assert entry.reason is Reason.KEY_COMPROMISE
    assert events(telling, certificate.serial_number)[-1] is Event.REVOKED
    mine = ADDRESSES.shard_of(certificate.serial_number)
    for scope in ("full", "delta", "0", "1", "2", "3"):
        listed = certificate.serial_number in serials(telling.crl(scope))
        assert listed is (scope in {"full", "delta", mine}), scope


def test_shard_is_the_one_the_certificate_points_to(telling: Ca) -> None:
    """The names of list and certificate are the same bytes (RFC 5280, 5.2.5)."""
    certificate = telling.one()
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    (point,) = points.value
    shard = telling.crl(ADDRESSES.shard_of(certificate.serial_number))
    named = shard.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert named.critical
    assert named.value.full_name == point.full_name


@pytest.mark.parametrize("reason", REASONS)
def test_list_says_why(telling: Ca, reason: Reason) -> None:
    """The reason of RFC 5280, by its name there."""
    certificate = telling.one()
    telling.revoke(ORDERS, reason=reason)
    (entry,) = telling.crl()
    assert entry.serial_number == certificate.serial_number
    said = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert said.value == reason


def test_unspecified_reason_is_left_out(telling: Ca) -> None:
    """No extension says nothing (RFC 5280, 5.3.1)."""
    telling.one()
    telling.revoke(ORDERS, reason=Reason.UNSPECIFIED)
    (entry,) = telling.crl()
    assert not list(entry.extensions)


def test_every_certificate_of_an_identity_is_revoked(telling: Ca) -> None:
    """Also the one a newer one superseded; those of others stay."""
    mine = {telling.one().serial_number for _ in range(3)}
    telling.one(STOCK)
    done = telling.revoke(ORDERS)
    assert {int(entry.serial, 16) for entry in done.revoked} == mine
    assert serials(telling.crl()) == mine


def test_one_certificate_is_revoked_by_its_serial(telling: Ca) -> None:
    """The other one of the same identity goes on."""
    first, second = telling.one(), telling.one()
    telling.revoke(serial=first.serial_number)
    assert serials(telling.crl()) == {first.serial_number}
    done = telling.revoke(ORDERS)
    assert [int(entry.serial, 16) for entry in done.revoked] == [second.serial_number]
    assert [int(entry.serial, 16) for entry in done.before] == [first.serial_number]


def test_revoking_again_changes_nothing(telling: Ca) -> None:
    """Not the ledger, not the lists, and no passphrase is asked for."""
    telling.one()
    telling.revoke(ORDERS)
    with open_ledger(telling.layout.ledger) as ledger:
        before = (ledger.verify(), ledger.published.crls())
    done = withdrawal.revoke(
        telling.layout,
        withdrawal.Target(identity=ORDERS),
        reason=Reason.SUPERSEDED,
        keyring=Keyring(telling.layout, issuing=no_passphrase),
        run_id="run",
    )
    assert not done.revoked
    assert done.before[0].reason is Reason.KEY_COMPROMISE
    with open_ledger(telling.layout.ledger) as ledger:
        assert (ledger.verify(), ledger.published.crls()) == before


def test_expired_certificate_is_not_revoked(telling: Ca) -> None:
    """Nothing is left to take back of one that was followed."""
    certificate = telling.one()
    telling.issue((ORDERS, csr(p256())))
    assert not telling.revoke(
        serial=certificate.serial_number, now=later(days=2)
    ).revoked
    assert len(telling.revoke(ORDERS, now=later(days=2)).revoked) == 1  # the newer one
    assert Event.REVOKED not in events(telling, certificate.serial_number)


def test_preview_revokes_nothing(telling: Ca) -> None:
    """It says what would be."""
    certificate = telling.one()
    would = withdrawal.preview(
        telling.layout,
        withdrawal.Target(identity=ORDERS),
        reason=Reason.KEY_COMPROMISE,
        run_id="run",
        now=clock.utc_now(),
    )
    assert [int(entry.serial, 16) for entry in would.revoked] == [
        certificate.serial_number
    ]
    assert Event.REVOKED not in events(telling, certificate.serial_number)
    assert not serials(telling.crl())


@pytest.mark.parametrize(
    "target",
    [withdrawal.Target(identity="billing@localhost"), withdrawal.Target(serial=77)],
)
def test_unknown_target_is_refused(telling: Ca, target: withdrawal.Target) -> None:
    """A name or serial mistyped is no revocation that succeeded."""
    telling.one()
    with pytest.raises(withdrawal.UnknownCertificateError):
        telling.revoke(target.identity, serial=target.serial)


def test_root_revokes_an_issuing_ca(telling: Ca) -> None:
    """By serial and with its passphrase; then nothing is issued any more."""
    telling.one()
    issuing = telling.certificate("issuing")
    before = telling.crl(by="root")
    assert not serials(before)
    done = telling.revoke(serial=issuing.serial_number, root_passphrase=ROOT_PASSPHRASE)
    assert not done.untold
    assert serials(telling.crl(by="root")) == {issuing.serial_number}
    assert number(telling.crl(by="root")) > number(before)
    (answer,) = telling.issue((STOCK, csr())).answers
    assert answer.refusal
    assert answer.refusal.code == "issuer_revoked"
    again = telling.revoke(serial=issuing.serial_number)
    assert (len(again.revoked), len(again.before)) == (0, 1)


@pytest.mark.parametrize("which", ["by identity", "without the key", "the root"])
def test_certificate_of_a_ca_is_refused(telling: Ca, which: str) -> None:
    """By a name that might be mistyped, without the root's key; the root always."""
    serial = {
        "by identity": None,
        "without the key": telling.certificate("issuing").serial_number,
        "the root": telling.certificate("root").serial_number,
    }[which]
    identity = "issuing" if serial is None else None
    key = None if which == "without the key" else ROOT_PASSPHRASE
    with pytest.raises(withdrawal.AuthorityCertificateError):
        telling.revoke(identity, serial=serial, root_passphrase=key)
    assert not serials(telling.crl(by="root"))


def test_serial_that_was_planned_only_is_refused(telling: Ca) -> None:
    """A run was cut off before its bytes left."""
    telling.one()
    with open_ledger(telling.layout.ledger) as ledger, ledger.transaction():
        entry = next(ledger.entries_of(ORDERS, Event.PLANNED))
        ledger.append(replace(entry, serial="77"))
    with pytest.raises(withdrawal.UnknownCertificateError):
        telling.revoke(serial=0x77)


def test_wrong_passphrase_revokes_nothing(telling: Ca) -> None:
    """No entry without the lists that say so."""
    certificate = telling.one()
    with pytest.raises(WrongPassphraseError):
        withdrawal.revoke(
            telling.layout,
            withdrawal.Target(identity=ORDERS),
            reason=Reason.KEY_COMPROMISE,
            keyring=Keyring(telling.layout, issuing=lambda: b"another passphrase"),
            run_id="run",
        )
    assert Event.REVOKED not in events(telling, certificate.serial_number)


def test_clock_behind_the_ledger_revokes_nothing(telling: Ca) -> None:
    """A list would be older than what it says."""
    telling.one()
    with pytest.raises(ClockBehindError):
        telling.revoke(ORDERS, now=later(hours=-1))


def test_revoked_key_gets_no_certificate(telling: Ca) -> None:
    """Neither the one it had, given again, nor a new one; another key does."""
    key = p256()
    telling.issue((ORDERS, csr(key)))
    telling.revoke(ORDERS)
    (again,) = telling.issue((ORDERS, csr(key))).answers
    assert again.verdict is Verdict.REFUSED
    assert again.refusal
    assert again.refusal.code == "revoked_key"
    (other,) = telling.issue((ORDERS, csr())).answers
    assert other.verdict is Verdict.ISSUED


def test_revoking_works_without_addresses(ca: Ca) -> None:
    """Certificates point nowhere; the full list says it all the same."""
    certificate = ca.one()
    ca.revoke(ORDERS)
    assert serials(ca.crl()) == {certificate.serial_number}
    assert {stored.scope for stored in stored_lists(ca)} == {"full", "delta"}


def stored_lists(ca: Ca) -> list[Crl]:
    """Return the lists of the issuing CA."""
    authority = authority_of(ca.certificate("issuing"))
    with read_published(ca.layout.ledger) as published:
        return [crl for crl in published.crls() if crl.authority == authority]


def test_certificate_of_the_first_release_is_revoked(telling: Ca) -> None:
    """Its entry does not say who signed it; the certificate does."""
    certificate = telling.one()
    with open_ledger(telling.layout.ledger) as ledger:
        connection = ledger.connection
        connection.execute("DROP TRIGGER entry_is_never_changed")
        connection.execute("UPDATE entry SET authority = NULL")
    done = withdrawal.revoke(
        telling.layout,
        withdrawal.Target(identity=ORDERS),
        reason=Reason.KEY_COMPROMISE,
        keyring=telling.keyring(),
        run_id="run",
    )
    assert done.revoked[0].authority == authority_of(telling.certificate("issuing"))
    assert serials(telling.crl()) == {certificate.serial_number}


def test_certificate_of_an_earlier_issuing_key_is_said_to_be_untold(
    telling: Ca,
) -> None:
    """It is recorded, and the present key cannot list it; the newer one is listed."""
    old = telling.one()
    with open_ledger(telling.layout.ledger) as ledger:
        ledger.connection.execute("DROP TRIGGER entry_is_never_changed")
        ledger.connection.execute("UPDATE entry SET authority = 'aa'")
    new = telling.one()
    done = withdrawal.revoke(
        telling.layout,
        withdrawal.Target(identity=ORDERS),
        reason=Reason.KEY_COMPROMISE,
        keyring=telling.keyring(),
        run_id="run",
    )
    assert [int(entry.serial, 16) for entry in done.untold] == [old.serial_number]
    assert len(done.revoked) == 2
    assert serials(telling.crl()) == {new.serial_number}


def test_publishing_makes_what_is_due(telling: Ca) -> None:
    """Nothing before half of the life; then every list, with a higher number."""
    telling.one()
    assert not telling.publish(now=later(hours=11)).changed
    before = {scope: telling.crl(scope) for scope in ("full", "0", "3")}
    done = telling.publish(now=later(hours=12, seconds=1))
    assert {scope for _, scope in done.lists} == {"full", "0", "1", "2", "3"}
    assert done.answers == 1
    for scope, earlier in before.items():
        assert number(telling.crl(scope)) > number(earlier)
        assert telling.crl(scope).last_update_utc > earlier.last_update_utc


def test_nothing_due_asks_for_no_passphrase(telling: Ca) -> None:
    """A timer may ask as often as it likes."""
    telling.one()
    closed = Keyring(telling.layout, issuing=no_passphrase)
    done = upkeep.publish(telling.layout, keyring=closed, run_id="run")
    assert not done.changed
    assert len(done.crls) == 6


def test_what_is_due_is_shown_and_not_made(telling: Ca) -> None:
    """The check mode."""
    shown = upkeep.show(telling.layout, root=False, run_id="run", now=clock.utc_now())
    assert ("issuing", "full") in shown.lists
    assert shown.responder
    assert not stored_lists(telling)


def test_roots_list_lasts_a_year_and_is_renewed_with_its_passphrase(
    telling: Ca,
) -> None:
    """Made at the founding; due after half of it, which the check says."""
    first = telling.crl(by="root")
    assert first.next_update_utc
    assert first.next_update_utc - first.last_update_utc == timedelta(days=365)
    assert first.is_signature_valid(telling.certificate("root").public_key())  # type: ignore[arg-type]  # P-256
    far = later(days=170)
    now = far()
    telling.publish(now=far, root_passphrase=ROOT_PASSPHRASE)
    assert number(telling.crl(by="root")) == number(first)
    for days, due in ((9, False), (13, True)):
        for root in (False, True):
            shown = upkeep.show(
                telling.layout, root=root, run_id="run", now=now + timedelta(days=days)
            )
            assert (("root", "full") in shown.lists) is (due and root)
            assert shown.root_waits is (due and not root)
    telling.publish(now=later(days=183), root_passphrase=ROOT_PASSPHRASE)
    assert number(telling.crl(by="root")) > number(first)


def test_issuing_publishes_what_its_certificates_point_to(telling: Ca) -> None:
    """Before a certificate leaves, its list and its answers are there."""
    request = Request(ORDERS, csr())
    (answer,) = telling.issue((request.identity, request.csr)).answers
    assert answer.certificate
    assert {stored.scope for stored in stored_lists(telling)} == {
        *("full", "0", "1", "2", "3")
    }
    issuer = telling.certificate("issuing").subject.rfc4514_string()
    with read_published(telling.layout.ledger) as published:
        for digest in ("sha1", "sha256"):
            serial = f"{answer.certificate.serial_number:x}"
            assert published.answer(issuer, serial, digest)


def test_answers_on_what_has_ended_are_forgotten(telling: Ca, tmp_path: Path) -> None:
    """The store does not grow with the years."""
    certificate = telling.one()
    telling.publish(now=later(days=2))
    issuer = telling.certificate("issuing").subject.rfc4514_string()
    with read_published(telling.layout.ledger) as published:
        assert not published.answer(issuer, f"{certificate.serial_number:x}", "sha1")


def test_what_has_ended_is_revoked_if_it_is_the_newest(telling: Ca) -> None:
    """The CA's front may have a grace in which it renews; its key never again does."""
    certificate = telling.one()
    done = telling.revoke(ORDERS, now=later(hours=25))
    assert [entry.serial for entry in done.revoked] == [
        f"{certificate.serial_number:x}"
    ]
    assert events(telling, certificate.serial_number)[-1] is Event.REVOKED
