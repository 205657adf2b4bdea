"""Names of services: what can be built, and what is refused."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from pki.identity import (
    DnsName,
    IdentityError,
    Names,
    SpiffeId,
    names_of,
    spiffe_id_of,
    trust_domain_uri,
)
from tests.pki.builders import NAMES, NO_NETWORK, Forge, alternative, dns, uri

ORDERS = "spiffe://shop.internal/service/orders"


def test_spiffe_id_is_read_and_written() -> None:
    """The URI form comes back unchanged."""
    assert str(SpiffeId.parse(ORDERS)) == ORDERS
    assert SpiffeId.parse(ORDERS).trust_domain == "shop.internal"


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.internal/service/orders",
        "SPIFFE://shop.internal/service/orders",
        "spiffe://shop.internal",
        "spiffe://shop.internal/",
        "spiffe:///service/orders",
        "spiffe://Shop.internal/service/orders",
        "spiffe://user@shop.internal/service/orders",
        "spiffe://shop.internal:443/service/orders",
        "spiffe://shop.internal/service/orders/",
        "spiffe://shop.internal//orders",
        "spiffe://shop.internal/./orders",
        "spiffe://shop.internal/../orders",
        "spiffe://shop.internal/service/orders?x=1",
        "spiffe://shop.internal/service/orders#x",
        "spiffe://shop.internal/service/or%64ers",
        "spiffe://shop.internal/service/ordérs",
        "spiffe://shop.internal/service/orders\n",
        "spiffe://" + "a" * 256 + "/service/orders",
        "spiffe://shop.internal/" + "a" * 2048,
    ],
)
def test_malformed_spiffe_id_is_refused(text: str) -> None:
    """Each of these differs from a right ID in one thing (SPIFFE-ID.md, section 2)."""
    with pytest.raises(IdentityError):
        SpiffeId.parse(text)


@given(st.text(max_size=40))
def test_what_is_read_is_written_the_same(path: str) -> None:
    """Whatever is accepted has one spelling, so comparing texts is enough."""
    text = f"spiffe://shop.internal/{path}"
    try:
        parsed = SpiffeId.parse(text)
    except IdentityError:
        return
    assert str(parsed) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Orders.shop.internal",
        "orders.",
        ".orders",
        "a..b",
        "a_b",
        "*.a",
        "-a",
        "é",
        "a" * 64,
        ".".join(["a" * 60] * 5),
    ],
)
def test_malformed_dns_name_is_refused(text: str) -> None:
    """No upper case, trailing dot, underscore, wildcard or overlong label or name."""
    with pytest.raises(IdentityError):
        DnsName(text)


def test_a_name_lies_within_its_domain_and_no_other() -> None:
    """A domain covers itself and what is below it, not what merely ends alike."""
    domain = DnsName("shop.internal")
    assert DnsName("shop.internal").lies_within(domain)
    assert DnsName("a.shop.internal").lies_within(domain)
    assert not DnsName("webshop.internal").lies_within(domain)
    assert not DnsName("internal").lies_within(domain)


def test_names_need_a_dns_name() -> None:
    """A service that can be reached nowhere is refused."""
    with pytest.raises(IdentityError, match="no DNS name"):
        Names(NAMES.spiffe_id, ())


def test_names_are_not_repeated() -> None:
    """The same DNS name twice is refused."""
    with pytest.raises(IdentityError, match="twice"):
        Names(NAMES.spiffe_id, (DnsName("a"), DnsName("a")))


def test_trust_domain_has_an_id_without_path() -> None:
    """A CA carries the ID of its trust domain."""
    assert trust_domain_uri("shop.internal") == "spiffe://shop.internal"
    with pytest.raises(IdentityError):
        trust_domain_uri("Shop.internal")


def test_names_of_a_certificate(forge: Forge) -> None:
    """A certificate built for names gives the same names back."""
    certificate = forge.leaf_draft.sign(forge.issuing_key)
    assert names_of(certificate) == NAMES
    assert spiffe_id_of(certificate) == NAMES.spiffe_id


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (dns("localhost"), "0 URI names"),
        (dns("localhost") + uri(ORDERS, ORDERS + "2"), "2 URI names"),
        (uri(ORDERS), "no DNS name"),
        (dns("localhost") + uri("spiffe://shop.internal"), "does not begin with /"),
        (dns("local_host") + uri(ORDERS), "no lower-case DNS name"),
    ],
)
def test_certificate_with_wrong_names_is_refused(
    forge: Forge, names: list[x509.GeneralName], reason: str
) -> None:
    """Exactly one SPIFFE ID with a path, and DNS names that are well-formed."""
    draft = forge.leaf_draft.with_extension(alternative(*names), critical=True)
    with pytest.raises(IdentityError, match=reason):
        names_of(draft.sign(forge.issuing_key))


def test_certificate_with_an_email_address_is_refused(forge: Forge) -> None:
    """Names of other kinds are not ours."""
    more = [*NAMES.as_general_names(), x509.RFC822Name("a@shop.internal")]
    draft = forge.leaf_draft.with_extension(alternative(*more), critical=True)
    with pytest.raises(IdentityError, match="neither DNS nor SPIFFE"):
        names_of(draft.sign(forge.issuing_key))


def test_certificate_with_an_x400_address_is_refused(forge: Forge) -> None:
    """A kind of name that the library does not parse is no name of ours."""
    odd = x509.UnrecognizedExtension(
        x509.SubjectAlternativeName.oid, b"\x30\x02\xa3\x00"
    )
    draft = forge.leaf_draft.without(x509.SubjectAlternativeName)
    draft = draft.with_extension(odd, critical=True)
    with pytest.raises(IdentityError, match="no readable"):
        spiffe_id_of(draft.sign(forge.issuing_key))


def test_certificate_with_an_unreadable_constraint_is_refused(forge: Forge) -> None:
    """One unreadable extension makes all of them unreadable, names included."""
    odd = x509.UnrecognizedExtension(x509.NameConstraints.oid, NO_NETWORK)
    draft = forge.leaf_draft.with_extension(odd, critical=True)
    with pytest.raises(IdentityError, match="no readable"):
        names_of(draft.sign(forge.issuing_key))


def test_certificate_without_names_is_refused(forge: Forge) -> None:
    """No alternative names, no identity."""
    draft = forge.leaf_draft.without(x509.SubjectAlternativeName)
    with pytest.raises(IdentityError, match="no readable"):
        spiffe_id_of(draft.sign(forge.issuing_key))
