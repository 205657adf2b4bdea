"""The policy document: read strictly, and refused with the name of the wrong key."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pki.policy import Policy, PolicyError, read_policy
from tests.pki.builders import ADDRESSES, NAMES, policy_document

Change = Callable[[dict[str, Any]], object]
ORDERS = "orders@localhost"


def read(document: object) -> Policy:
    """Return the policy of a document given as a value."""
    return read_policy(json.dumps(document).encode())


def test_right_document_is_read() -> None:
    """Names and lifetimes come out as values."""
    policy = read_policy(json.dumps(policy_document()).encode())
    assert policy.trust_domain == "shop.internal"
    assert policy.root_lifetime == timedelta(days=3650)
    assert policy.issuing_lifetime == timedelta(days=180)
    assert policy.identities[ORDERS].names == NAMES
    assert policy.identities[ORDERS].lifetime == timedelta(days=1)


def test_spelling_on_the_disk_is_one() -> None:
    """Order of members and white space do not make another policy."""
    document = policy_document()
    turned = dict(reversed(document.items()))
    one = read_policy(json.dumps(document).encode())
    other = read_policy(json.dumps(turned, indent=7).encode())
    assert one.text == other.text
    assert read_policy(one.text) == one


def test_two_hosts_may_share_a_spiffe_id() -> None:
    """One service on two hosts is two identities with one SPIFFE ID."""
    document = policy_document()
    document["identities"]["orders@second"] = document["identities"][ORDERS]
    read(document)


def test_no_identity_is_no_mistake() -> None:
    """A CA may be founded before there is anybody to certify."""
    read({**policy_document(), "identities": {}})


def orders(**changes: Any) -> Change:
    """Return what changes the members of one identity."""
    return lambda document: document["identities"][ORDERS].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("trust_domain"), "policy: .*field `trust_domain`"),
        (lambda d: d.update(more=1), "policy: .*unknown field `more`"),
        (lambda d: d.update(trust_domain=1), "trust_domain: Expected `str`, got `int`"),
        (lambda d: d.update(trust_domain="Shop"), "trust_domain: 'Shop' is no"),
        (lambda d: d.update(trust_domain="a" * 49), "trust_domain: longer than 48"),
        (
            lambda d: d.update(permitted_dns=[]),
            "permitted_dns: Expected .* length >= 1",
        ),
        (lambda d: d.update(permitted_dns=["A"]), "permitted_dns: 'A' is no"),
        (lambda d: d["permitted_dns"].append("localhost"), "permitted_dns: .* twice"),
        (
            lambda d: d["lifetimes"].pop("root"),
            "lifetimes: .*missing required field `root`",
        ),
        (
            lambda d: d["lifetimes"].update(root="10y"),
            r"lifetimes\.root: Expected `int`, got `str`",
        ),
        (
            lambda d: d["lifetimes"].update(root=10**15),
            r"lifetimes\.root: Expected `int` <= 3155760000",
        ),
        (
            lambda d: d["lifetimes"].update(root=0),
            r"lifetimes\.root: Expected `int` >= 600",
        ),
        (
            lambda d: d["lifetimes"].update(issuing_ca=315360001),
            "lifetimes.issuing_ca: 315360001s is longer than the 3650d of ",
        ),
        (lambda d: d["lifetimes"].update(leaf=1), "lifetimes: .*unknown field `leaf`"),
        (lambda d: d["identities"].update(orders={}), "identities.*service@host"),
        (
            lambda d: d["identities"].update({ORDERS: 1}),
            "orders@localhost.*: Expected `object`, got `int`",
        ),
        (orders(lifetime=599), r"orders@localhost'\]\.lifetime: Expected `int` >= 600"),
        (
            orders(lifetime=7776001),
            (
                r"\.lifetime: an issuing CA signs for 7776001s and lasts for 7776001s"
                r".* has 180d, not 15552002s"
            ),
        ),
        (orders(more=1), "orders@localhost.*: .*unknown field `more`"),
        (orders(dns_names=[]), "orders@localhost.*no DNS name"),
        (orders(dns_names=["localhost", "localhost"]), "orders@localhost.*twice"),
        (orders(dns_names=["*.shop.internal"]), "no lower-case DNS name"),
        (
            orders(dns_names=["orders.other.internal"]),
            r"dns_names: orders.other.internal lies in none of permitted_dns",
        ),
        (orders(spiffe_id="orders"), "does not begin with spiffe://"),
        (
            orders(spiffe_id="spiffe://other.internal/orders"),
            r"spiffe_id: .* not in the trust domain shop\.internal",
        ),
    ],
)
def test_one_wrong_key_is_named(change: Change, message: str) -> None:
    """The document is right but for one thing, and the message says which."""
    document = policy_document()
    change(document)
    with pytest.raises(PolicyError, match=message):
        read(document)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    """No JSON, no policy."""
    with pytest.raises(PolicyError, match="not JSON"):
        read_policy(text)


def test_other_values_are_refused() -> None:
    """A JSON value that is no object is no policy."""
    with pytest.raises(PolicyError, match="Expected `object`"):
        read([])


def test_key_that_stands_there_twice_is_refused() -> None:
    """JSON parsers differ on which one counts, so neither does."""
    with pytest.raises(PolicyError, match="trust_domain: the key stands there twice"):
        read_policy(b'{"trust_domain": "a", "trust_domain": "b"}')


def test_addresses_of_revocation_are_read() -> None:
    """An optional section; without it certificates do not say where."""
    assert read(policy_document()).addresses is None
    assert read(policy_document(addresses=ADDRESSES)).addresses == ADDRESSES


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"url": "https://ca.shop.internal", "shards": 4}, "revocation: 'https:"),
        ({"url": "http://ca.shop.internal/", "shards": 4}, "revocation: "),
        ({"url": "http://ca.shop.internal", "shards": 0}, "revocation: 0 shards"),
        ({"url": "http://ca.shop.internal"}, "revocation: .*`shards`"),
        ({"url": "http://ca", "shards": "4"}, "revocation.shards: Expected `int`"),
        ({"url": "http://ca", "shards": 4, "more": 1}, "revocation: .*`more`"),
    ],
)
def test_wrong_section_on_revocation_is_refused(
    section: dict[str, object], message: str
) -> None:
    """The message names the key."""
    with pytest.raises(PolicyError, match=message):
        read({**policy_document(), "revocation": section})
