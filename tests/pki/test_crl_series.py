"""The lists over time: numbers, entries that go, deltas, addresses that move."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pki import clock
from pki.crl_series import MANY, Series, ShardsFixedError, publish_lists
from pki.engine import LedgerError
from pki.entry import Event, Reason
from pki.ledger import open_ledger
from pki.pointers import Addresses, authority_of
from tests.pki.builders import (
    ADDRESSES,
    NOW,
    Ca,
    Forge,
    number,
    policy_document,
    serials,
)

ORDERS = "orders@localhost"
STOCK = "stock@localhost"


def later(**by: float) -> Callable[[], datetime]:
    """Return a clock that is ahead."""
    return lambda: clock.utc_now() + timedelta(**by)


def base(crl: x509.CertificateRevocationList) -> int:
    """Return the number of the full list that a delta goes on from."""
    indicator = crl.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert indicator.critical
    return indicator.value.crl_number


def test_number_rises_with_every_list(telling: Ca) -> None:
    """Also within one second."""
    telling.one()
    telling.one(STOCK)
    now = clock.utc_now()
    numbers = []
    for identity in (ORDERS, STOCK):
        telling.revoke(identity, now=lambda: now)
        numbers.append(number(telling.crl()))
    assert numbers == sorted(set(numbers))


def test_number_rises_after_an_old_backup_is_restored(telling: Ca) -> None:
    """The backup knows nothing of the lists that were made since."""
    telling.one()
    backup = shutil.copytree(telling.layout.directory, telling.layout.directory / "old")
    now = clock.utc_now()
    for seconds in range(20):
        telling.publish(now=lambda moment=now + timedelta(days=seconds): moment)  # type: ignore[misc]  # a constant of the loop
    lost = number(telling.crl())
    restored = Ca.at(Path(backup))
    restored.publish(now=lambda: now + timedelta(days=19, seconds=1))
    assert number(restored.crl()) > lost


def test_store_takes_no_lower_number(telling: Ca) -> None:
    """Whatever made it."""
    telling.one()
    with open_ledger(telling.layout.ledger) as ledger:
        (crl, *_) = ledger.published.crls()
    with (
        pytest.raises(LedgerError, match="must rise"),
        open_ledger(telling.layout.ledger) as ledger,
    ):
        ledger.published.put_crl(crl)


def test_list_is_never_forgotten(telling: Ca) -> None:
    """Its number would be with it."""
    telling.one()
    with (
        pytest.raises(LedgerError, match="forgotten"),
        open_ledger(telling.layout.ledger) as ledger,
    ):
        ledger.connection.execute("DELETE FROM crl")


def test_entry_stays_for_one_list_after_the_end(telling: Ca) -> None:
    """In full list and shard; then it goes (RFC 5280, 3.3)."""
    certificate = telling.one()
    shard = ADDRESSES.shard_of(certificate.serial_number)
    telling.revoke(ORDERS)
    seen = []
    for hours in (20, 33, 46):  # it ends after a day
        telling.publish(now=later(hours=hours))
        seen.append([bool(serials(telling.crl(scope))) for scope in ("full", shard)])
    assert seen == [[True, True], [True, True], [False, False]]


def test_delta_goes_on_from_an_earlier_full_list(telling: Ca) -> None:
    """With the number of the full list of its moment, and what came since its base."""
    certificate = telling.one()
    first = number(telling.crl())
    telling.revoke(ORDERS)
    assert base(telling.crl("delta")) == first
    assert number(telling.crl("delta")) == number(telling.crl())
    other = telling.one(STOCK)
    telling.revoke(STOCK)
    assert base(telling.crl("delta")) == first
    assert serials(telling.crl("delta")) == {
        certificate.serial_number,
        other.serial_number,
    }


def test_base_of_the_delta_follows_after_a_day(telling: Ca) -> None:
    """A delta does not grow for ever, and lists are not told twice."""
    telling.one()
    telling.revoke(ORDERS)
    before = number(telling.crl())
    telling.publish(now=later(hours=25))
    assert base(telling.crl("delta")) == before
    assert not serials(telling.crl("delta"))


def test_full_list_says_where_its_delta_is(telling: Ca) -> None:
    """Once there is one."""
    telling.one()
    with pytest.raises(x509.ExtensionNotFound):
        telling.crl().extensions.get_extension_for_class(x509.FreshestCRL)
    telling.revoke(ORDERS)
    freshest = telling.crl().extensions.get_extension_for_class(x509.FreshestCRL)
    (point,) = freshest.value
    assert point.full_name
    assert point.full_name[0].value.endswith("/delta.crl")


def test_moved_address_is_added_to_the_lists(telling: Ca) -> None:
    """Certificates that point to the old one find their list under both names."""
    old = telling.one()
    moved = Addresses("http://other.shop.internal:8445", ADDRESSES.shards)
    telling.complete(policy_document(addresses=moved))
    new = telling.one(STOCK)
    for certificate, addresses in ((old, ADDRESSES), (new, moved)):
        points = certificate.extensions.get_extension_for_class(
            x509.CRLDistributionPoints
        )
        (point,) = points.value
        assert point.full_name
        assert point.full_name[0].value.startswith(addresses.url)
        shard = telling.crl(ADDRESSES.shard_of(certificate.serial_number))
        named = shard.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
        assert point.full_name[0] in (named.value.full_name or [])


def test_number_of_shards_is_fixed_for_a_ca(telling: Ca) -> None:
    """Certificates that point to them could not be listed otherwise."""
    telling.one()
    document = policy_document(addresses=Addresses(ADDRESSES.url, 8))
    with pytest.raises(ShardsFixedError, match="4 shards, the policy says 8"):
        telling.complete(document)


def test_lists_go_on_when_the_policy_says_no_more_where(telling: Ca) -> None:
    """Certificates that point to them are still around."""
    certificate = telling.one()
    telling.complete(policy_document())
    telling.revoke(ORDERS)
    shard = telling.crl(ADDRESSES.shard_of(certificate.serial_number))
    assert serials(shard) == {certificate.serial_number}


def test_each_generation_has_its_own_lists_and_numbers(telling: Ca) -> None:
    """A new issuing key of the same name: other addresses, another series."""
    telling.one()
    telling.revoke(ORDERS)
    old = telling.crl()
    renewed = Forge()
    with open_ledger(telling.layout.ledger) as ledger, ledger.transaction():
        series = Series(
            published=ledger.published,
            issuer=renewed.issuing,
            now=NOW,
            addresses=ADDRESSES,
        )
        made = publish_lists(ledger, series, renewed.issuing_key)
    assert {crl.authority for crl in made} == {authority_of(renewed.issuing)}
    assert all(number(old) > crl.number for crl in made)  # of an earlier moment
    assert not any(serials(x509.load_der_x509_crl(crl.der)) for crl in made)
    assert number(telling.crl()) == number(old)
    for crl in made:
        parsed = x509.load_der_x509_crl(crl.der)
        if crl.scope != "full":
            named = parsed.extensions.get_extension_for_class(
                x509.IssuingDistributionPoint
            )
            (name,) = named.value.full_name or []
            assert authority_of(renewed.issuing) in name.value


def fill(ca: Ca, like: x509.Certificate, count: int) -> None:
    """Let the ledger have `count` revocations more, of certificates as `like`."""
    issuer = like.issuer.rfc4514_string()
    with open_ledger(ca.layout.ledger) as ledger, ledger.transaction():
        serial = f"{like.serial_number:x}"
        entry = ledger.find(Event.ISSUED, issuer=issuer, serial=serial)
        assert entry
        for _ in range(count):
            ledger.append(
                replace(
                    entry,
                    event=Event.REVOKED,
                    serial=f"{x509.random_serial_number():x}",
                    certificate=None,
                    reason=Reason.SUPERSEDED,
                )
            )


def with_long_list(ca: Ca, certificate: x509.Certificate) -> None:
    """Let the full list have more revocations than are told anew with each."""
    fill(ca, certificate, MANY + 1)
    ca.publish(now=later(hours=13))


def test_long_full_list_waits_and_the_delta_goes_on_from_it(telling: Ca) -> None:
    """One revocation makes one shard and a delta; the full list comes in its time."""
    certificate, other = telling.one(), telling.one(STOCK)
    with_long_list(telling, certificate)
    scopes = ("full", *map(str, range(ADDRESSES.shards)))
    before = {scope: number(telling.crl(scope)) for scope in scopes}
    telling.revoke(STOCK, now=later(hours=14))
    mine = ADDRESSES.shard_of(other.serial_number)
    changed = {scope for scope in scopes if number(telling.crl(scope)) > before[scope]}
    assert changed == {mine}
    assert other.serial_number in serials(telling.crl(mine))
    telling.revoke(ORDERS, now=later(hours=15))
    delta = telling.crl("delta")
    assert base(delta) <= before["full"]
    assert serials(telling.crl()) | serials(delta) >= {
        certificate.serial_number,
        other.serial_number,
    }
    telling.publish(now=later(hours=26))
    assert other.serial_number in serials(telling.crl())


def test_certificate_without_pointer_is_told_in_the_full_list(ca: Ca) -> None:
    """That is where somebody looks for it, however long it is."""
    unpointed = ca.one()
    ca.complete(policy_document(addresses=ADDRESSES))
    pointed = ca.one(STOCK)
    with_long_list(ca, pointed)
    before = number(ca.crl())
    ca.revoke(STOCK, now=later(hours=14))
    assert number(ca.crl()) == before
    ca.revoke(ORDERS, now=later(hours=14))
    assert serials(ca.crl()) >= {unpointed.serial_number, pointed.serial_number}


def test_delta_that_gets_long_brings_the_full_list(telling: Ca) -> None:
    """It goes on from that one afterwards, and is short again."""
    first, second, third = (telling.one(one).serial_number for one in (ORDERS,) * 3)
    stock = telling.one(STOCK)
    with_long_list(telling, stock)
    before = number(telling.crl())
    telling.revoke(serial=first, now=later(hours=14))
    assert number(telling.crl()) == before
    fill(telling, stock, MANY)
    telling.revoke(serial=second, now=later(hours=15))
    anew = number(telling.crl())
    assert anew > before
    assert len(serials(telling.crl())) == 2 * MANY + 3
    telling.revoke(serial=third, now=later(hours=16))
    assert number(telling.crl()) == anew
    assert base(telling.crl("delta")) == anew
    assert serials(telling.crl("delta")) == {third}


def test_shards_have_what_was_revoked_before_there_were_any(ca: Ca) -> None:
    """And each revocation stands in one of them."""
    fill(ca, ca.one(), 20)
    ca.complete(policy_document(addresses=ADDRESSES))
    ca.one(STOCK)
    found = [
        serial
        for shard in range(ADDRESSES.shards)
        for serial in serials(ca.crl(str(shard)))
    ]
    assert len(found) == 20
    ca.publish(now=later(hours=13))
    assert set(found) == serials(ca.crl())
