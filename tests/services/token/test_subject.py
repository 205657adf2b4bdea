"""Tests of `services.token.subject`: five attributes, each compared as what it is."""

from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from services.registration.methods import SubjectMatch
from services.token.errors import WrongSubjectError
from services.token.subject import check_subject
from tests.services.certificates import KEY, certificate, rdn, with_names

GOOD = {
    "subject_dn": "CN=storefront,O=Shop,C=DE",
    "san_dns": "storefront.shop.internal",
    "san_uri": "spiffe://shop.internal/service/storefront",
    "san_ip": "10.1.2.3",
    "san_email": "storefront@shop.internal",
}


SUBJECT = [
    rdn((NameOID.COUNTRY_NAME, "DE")),
    rdn((NameOID.ORGANIZATION_NAME, "Shop")),
    rdn((NameOID.COMMON_NAME, "storefront")),
]


@pytest.fixture(scope="module")
def whole() -> x509.Certificate:
    """Return a certificate that matches every value of `GOOD`."""
    return certificate(
        x509.DNSName(GOOD["san_dns"]),
        x509.UniformResourceIdentifier(GOOD["san_uri"]),
        x509.IPAddress(ip_address(GOOD["san_ip"])),
        x509.RFC822Name(GOOD["san_email"]),
        subject=SUBJECT,
    )


def check(attribute: str, value: str, against: x509.Certificate) -> None:
    """Check a certificate against one registered attribute."""
    check_subject(SubjectMatch(**{attribute: value}), against)


def refuses(attribute: str, value: str, against: x509.Certificate) -> None:
    """Check that the certificate is refused for this attribute."""
    with pytest.raises(WrongSubjectError, match=f"has no {attribute} "):
        check(attribute, value, against)


@pytest.mark.parametrize("attribute", GOOD)
def test_each_attribute_matches(attribute: str, whole: x509.Certificate) -> None:
    """Each of the five attributes of RFC 8705, section 2.1.2, names a client."""
    check(attribute, GOOD[attribute], whole)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("subject_dn", "CN=orders,O=Shop,C=DE"),
        ("san_dns", "orders.shop.internal"),
        ("san_uri", "spiffe://shop.internal/service/orders"),
        ("san_ip", "10.1.2.4"),
        ("san_email", "orders@shop.internal"),
    ],
)
def test_each_attribute_tells_others_apart(
    attribute: str, value: str, whole: x509.Certificate
) -> None:
    """A trusted certificate of somebody else is not this client's."""
    refuses(attribute, value, whole)


@pytest.mark.parametrize("attribute", GOOD)
def test_a_certificate_without_names_is_nobody(attribute: str) -> None:
    """A name that is not there matches nothing, not even an empty one."""
    refuses(attribute, GOOD[attribute], certificate())


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("san_dns", x509.UniformResourceIdentifier("storefront.shop.internal")),
        ("san_uri", x509.DNSName("spiffe://shop.internal/service/storefront")),
        ("san_email", x509.DNSName("storefront@shop.internal")),
        ("san_ip", x509.DNSName("10.1.2.3")),
    ],
)
def test_the_same_text_under_another_type_does_not_match(
    attribute: str, name: x509.GeneralName
) -> None:
    """A name is what its type says, not what its letters look like."""
    refuses(attribute, GOOD[attribute], certificate(name))


def test_one_name_of_several_is_enough() -> None:
    """A certificate for several hosts is that of each of them."""
    several = certificate(x509.DNSName("a.shop.internal"), x509.DNSName("b.internal"))
    check("san_dns", "b.internal", several)


# Distinguished names


def test_a_common_name_is_no_dns_name() -> None:
    """Only the alternative name is a host name, however the subject reads."""
    named = certificate(subject=[rdn((NameOID.COMMON_NAME, GOOD["san_dns"]))])
    refuses("san_dns", GOOD["san_dns"], named)


@pytest.mark.parametrize(
    "value",
    [
        "C=DE,O=Shop,CN=storefront",
        "CN=storefront,C=DE,O=Shop",
        "CN=Storefront,O=Shop,C=DE",
        "CN=storefront,O=Shop",
        "CN=storefront",
        "CN=storefront,O=Shop,C=DE,DC=internal",
        "CN=storefront+O=Shop,C=DE",
    ],
)
def test_a_distinguished_name_is_all_of_it_in_order(
    value: str, whole: x509.Certificate
) -> None:
    """Order, case and number of the parts make the name."""
    refuses("subject_dn", value, whole)


def test_a_distinguished_name_may_be_spelt_otherwise(whole: x509.Certificate) -> None:
    """Parsed names are compared: an attribute may be given by its number (RFC 4514)."""
    check("subject_dn", "2.5.4.3=storefront,2.5.4.10=Shop,2.5.4.6=DE", whole)


def test_values_of_one_level_have_no_order() -> None:
    """A level of several values is a set (RFC 4514, section 2.2)."""
    pair = (NameOID.COMMON_NAME, "a"), (NameOID.ORGANIZATION_NAME, "b")
    named = certificate(subject=[rdn(*pair)])
    check("subject_dn", "CN=a+O=b", named)
    check("subject_dn", "O=b+CN=a", named)


def test_a_comma_in_a_value_is_no_separator() -> None:
    """A value that looks like two attributes is one value."""
    tricky = certificate(subject=[rdn((NameOID.COMMON_NAME, "storefront,O=Shop"))])
    refuses("subject_dn", "CN=storefront,O=Shop", tricky)
    check("subject_dn", r"CN=storefront\,O=Shop", tricky)


# Host names


def test_host_names_have_no_case() -> None:
    """Upper and lower case are the same host (RFC 4343)."""
    upper = certificate(x509.DNSName("StoreFront.SHOP.internal"))
    check("san_dns", "storefront.shop.INTERNAL", upper)


@pytest.mark.parametrize(
    "name",
    ["*.shop.internal", "storefront.shop.internal.", "storefront.shop.internal.x"],
)
def test_host_names_are_no_patterns(name: str) -> None:
    """A wildcard or a longer name is another name: a client is one, not many."""
    refuses("san_dns", GOOD["san_dns"], certificate(x509.DNSName(name)))


# URIs


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://SHOP.internal/service/storefront",
        "spiffe://shop.internal/service/storefront/",
        "spiffe://shop.internal/service/Storefront",
        "spiffe://shop.internal/service/%73torefront",
        "SPIFFE://shop.internal/service/storefront",
    ],
)
def test_uris_are_compared_as_texts(uri: str) -> None:
    """A SPIFFE ID has one spelling, so every other one is another name."""
    refuses(
        "san_uri", GOOD["san_uri"], certificate(x509.UniformResourceIdentifier(uri))
    )


# Addresses


@pytest.mark.parametrize(
    ("registered", "presented"),
    [
        ("2001:db8::1", "2001:0db8:0000:0000:0000:0000:0000:0001"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("::ffff:10.1.2.3", "::ffff:a01:203"),
    ],
)
def test_addresses_are_numbers(registered: str, presented: str) -> None:
    """An address has many spellings, and one value (RFC 8705, section 2.1.2)."""
    check("san_ip", registered, certificate(x509.IPAddress(ip_address(presented))))


@pytest.mark.parametrize(
    "name",
    [
        x509.IPAddress(ip_address("::ffff:10.1.2.3")),
        x509.IPAddress(ip_address("::a01:203")),
        x509.IPAddress(ip_network("10.1.2.3/32")),
    ],
    ids=str,
)
def test_an_address_of_another_length_is_another(name: x509.IPAddress) -> None:
    """Four octets are never sixteen, nor a network of one."""
    refuses("san_ip", "10.1.2.3", certificate(name))


# Mailboxes


def test_the_domain_of_a_mailbox_has_no_case() -> None:
    """What follows the @ is a host name (RFC 5321, section 2.4)."""
    check(
        "san_email", "a@SHOP.internal", certificate(x509.RFC822Name("a@shop.INTERNAL"))
    )


def test_the_user_of_a_mailbox_has_case() -> None:
    """What stands before the @ is for its host alone to read."""
    named = certificate(x509.RFC822Name("Storefront@shop.internal"))
    refuses("san_email", GOOD["san_email"], named)


# Certificates that cannot be read


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"\x30\x03\x99\x7f\x00", id="no-der"),
        pytest.param(b"\x30\x02\xa3\x00", id="x400-address"),
        pytest.param(b"\x30\x02\xa5\x00", id="edi-party-name"),
        pytest.param(b"\x30\x05\x87\x03\x0a\x01\x02", id="address-of-three-octets"),
        pytest.param(b"\x30\x03\x86\x01\xff", id="uri-not-ascii"),
    ],
)
def test_unreadable_names_are_no_match(value: bytes) -> None:
    """An alternative name that is no such thing refuses, under our own error."""
    broken = with_names(value).sign(KEY, SHA256())
    with pytest.raises(WrongSubjectError, match="unreadable names"):
        check("san_uri", GOOD["san_uri"], broken)


def test_two_lists_of_names_are_no_match() -> None:
    """With the extension there twice, nobody could say which of them counts."""
    good = x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(GOOD["san_uri"])]
    )
    other = x509.ObjectIdentifier("2.5.29.99")
    once = with_names(good.public_bytes()).add_extension(
        x509.UnrecognizedExtension(other, good.public_bytes()), critical=False
    )
    der = once.sign(KEY, SHA256()).public_bytes(Encoding.DER)
    twice = x509.load_der_x509_certificate(
        der.replace(b"\x55\x1d\x63", b"\x55\x1d\x11")
    )
    with pytest.raises(WrongSubjectError, match="unreadable names"):
        check("san_uri", GOOD["san_uri"], twice)
