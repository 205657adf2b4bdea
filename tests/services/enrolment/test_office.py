"""Tests of `services.enrolment.office`: many are renewed together, each by itself."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pki.entry import Event
from services.enrolment.errors import (
    NoPossessionError,
    RefusedByPolicyError,
    SupersededError,
    UnavailableError,
)
from services.enrolment.office import Office, Renewed, Wish
from tests.services.authority import Authority, request_of
from tests.services.mesh import Instance, now


@pytest.fixture
def office(house: Authority) -> Office:
    """Return the office of a CA."""
    return Office(house.layout, house.passphrase, clock=now)


def wish(instance: Instance, key: Any = None) -> Wish:
    """Return what an instance sends, for a new key if no other is given."""
    return Wish(request_of(instance, key), instance.generation.certificate)


def unsigned(instance: Instance) -> Wish:
    """Return a wish whose request another key has signed."""
    der = bytearray(wish(instance).request.public_bytes(Encoding.DER))
    der[-1] ^= 1
    broken = x509.load_der_x509_csr(bytes(der))
    return Wish(broken, instance.generation.certificate)


def serials(house: Authority, event: Event) -> list[str]:
    """Return the serials of an event, in the order of the ledger."""
    with house.ledger() as ledger:
        ledger.verify()
        return [entry.serial for entry in ledger.entries() if entry.event is event]


def test_all_who_wait_are_renewed_together(house: Authority, office: Office) -> None:
    """All are planned before one is issued; each entry says what it follows."""
    instances = [house.instance(name) for name in ("orders", "stock", "storefront")]
    outcomes = office.renew([wish(one) for one in instances])
    renewed = [one for one in outcomes if isinstance(one, Renewed)]
    made = [format(one.certificate.serial_number, "x") for one in renewed]
    assert [one.identity for one in renewed] == [
        "orders@localhost",
        "stock@localhost",
        "storefront@localhost",
    ]
    with house.ledger() as ledger:
        newest = [*ledger.entries()][-9:]
    assert [entry.event for entry in newest[:3]] == [Event.PLANNED] * 3
    assert [entry.serial for entry in newest[:3]] == made
    assert [entry.run_id for entry in newest[:3]] == [
        f"renewal of {one.generation.serial:x}" for one in instances
    ]
    assert serials(house, Event.ISSUED)[-3:] == made


def test_one_refusal_spoils_nothing_for_the_others(
    house: Authority, office: Office
) -> None:
    """Whoever stands behind and before it gets a certificate."""
    orders, stock = house.instance("orders"), house.instance("stock")
    first, refused, last = office.renew([wish(orders), unsigned(stock), wish(stock)])
    assert isinstance(refused, NoPossessionError)
    assert isinstance(first, Renewed)
    assert isinstance(last, Renewed)


def test_what_nobody_foresaw_spoils_nothing_either(
    house: Authority, office: Office
) -> None:
    """The others are renewed one after the other."""
    orders, stock = house.instance("orders"), house.instance("stock")
    nothing: Any = None
    strange = Wish(nothing, stock.generation.certificate)
    first, failed, last = office.renew([wish(orders), strange, wish(stock)])
    assert isinstance(failed, AttributeError)
    assert isinstance(first, Renewed)
    assert isinstance(last, Renewed)


def test_one_certificate_is_renewed_once(house: Authority, office: Office) -> None:
    """Of two keys that are asked for with it, the first: the other comes too late."""
    orders = house.instance("orders")
    first, second = office.renew([wish(orders), wish(orders)])
    assert isinstance(first, Renewed)
    assert isinstance(second, SupersededError)


def test_whoever_asks_twice_for_one_key_gets_one_certificate(
    house: Authority, office: Office
) -> None:
    """As if the answer to the first had been lost."""
    key = ec.generate_private_key(ec.SECP256R1())
    orders = house.instance("orders")
    first, second = office.renew([wish(orders, key), wish(orders, key)])
    assert isinstance(first, Renewed)
    assert first == second


def test_two_do_not_get_one_key(house: Authority, office: Office) -> None:
    """Who stands first has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    orders, stock = house.instance("orders"), house.instance("stock")
    first, second = office.renew([wish(orders, key), wish(stock, key)])
    assert isinstance(first, Renewed)
    assert isinstance(second, RefusedByPolicyError)


def test_an_older_certificate_does_not_slip_in(
    house: Authority, office: Office
) -> None:
    """The newest of the identity renews, in whatever order the two come."""
    older, newest = house.instance("orders"), house.instance("orders")
    refused, renewed = office.renew([wish(older), wish(newest)])
    assert isinstance(refused, SupersededError)
    assert isinstance(renewed, Renewed)


def test_a_ca_that_cannot_sign_says_so_to_each(
    house: Authority, office: Office
) -> None:
    """But to whom it would have refused anyway."""
    orders, stock = house.instance("orders"), house.instance("stock")
    house.layout.ledger.unlink()
    first, refused = office.renew([wish(orders), unsigned(stock)])
    assert isinstance(first, UnavailableError)
    assert isinstance(refused, NoPossessionError)
