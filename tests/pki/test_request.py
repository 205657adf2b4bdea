"""Certificate requests: a key and nothing else, or a refusal with the reason."""

import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, NameOID

from pki import request
from tests.pki.builders import NAMES, NO_NETWORK, alternative, csr, dns, p256, uri

SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "orders")])


def verify(pem: str, *authority_keys: str) -> request.VerifiedRequest:
    """Verify a request for orders@localhost."""
    return request.verify_request(pem, names=NAMES, authority_keys=authority_keys)


def test_silent_request_is_accepted() -> None:
    """A request that asks for no name gives its key."""
    key = p256()
    verified = verify(csr(key))
    assert verified.public_key == key.public_key()
    assert verified.spki_sha256 == request.spki_sha256(key.public_key())


def test_request_for_exactly_the_names_is_accepted() -> None:
    """Repeating the policy's names, in any order, is no mistake."""
    asked = alternative(*reversed(NAMES.as_general_names()))
    verify(csr(extensions=[asked]))


def test_oversized_request_is_refused_before_parsing() -> None:
    """A request longer than any honest one is not even parsed."""
    with pytest.raises(request.OversizedRequestError, match="8193"):
        verify("x" * 8193)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "orders",
        csr().replace("CERTIFICATE REQUEST", "CERTIFICATE"),
        csr() + csr(),
        "text before\n" + csr(),
        csr()[:200] + "\n-----END CERTIFICATE REQUEST-----\n",
    ],
)
def test_what_is_no_request_is_refused(pem: str) -> None:
    """Exactly one PEM block that holds a request."""
    with pytest.raises(request.UnreadableRequestError):
        verify(pem)


def tampered(pem: str) -> str:
    """Return the request with its signature cut from another one."""
    der = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()


def test_request_without_possession_is_refused() -> None:
    """A signature that is not by the key inside proves nothing."""
    with pytest.raises(request.NoPossessionError):
        verify(tampered(csr()))


def test_unknown_signature_algorithm_proves_nothing() -> None:
    """What cannot be checked is not believed."""
    der = x509.load_pem_x509_csr(csr().encode()).public_bytes(Encoding.DER)
    # ecdsa-with-SHA256 (1.2.840.10045.4.3.2) becomes an algorithm that is none.
    unknown = der.replace(
        b"\x2a\x86\x48\xce\x3d\x04\x03\x02", b"\x2a\x86\x48\xce\x3d\x04\x03\x7f"
    )
    pem = x509.load_der_x509_csr(unknown).public_bytes(Encoding.PEM).decode()
    with pytest.raises(request.NoPossessionError):
        verify(pem)


def test_possession_is_checked_before_anything_is_read() -> None:
    """Where names and signature are both wrong, the signature is the reason."""
    with pytest.raises(request.NoPossessionError):
        verify(tampered(csr(subject=SUBJECT)))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "secp384r1"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
        (
            rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "not an elliptic curve",
        ),
        (ed25519.Ed25519PrivateKey.generate(), "not an elliptic curve"),
    ],
    ids=["p384", "secp256k1", "rsa", "ed25519"],
)
def test_other_keys_are_refused(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    reason: str,
) -> None:
    """P-256 only."""
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    with pytest.raises(request.WrongKeyTypeError, match=reason):
        verify(csr(key, digest=digest))


def test_signature_with_another_hash_is_refused() -> None:
    """A proof of possession rests on a hash of 256 bits or more."""
    with pytest.raises(request.WrongKeyTypeError, match="sha224"):
        verify(csr(digest=hashes.SHA224()))


def test_key_of_the_ca_is_refused() -> None:
    """A CA's own key never becomes a service's."""
    key = p256()
    with pytest.raises(request.AuthorityKeyError):
        verify(csr(key), "0" * 64, request.spki_sha256(key.public_key()))


def test_subject_is_refused() -> None:
    """The policy gives no subject, so asking for one is asking for another name."""
    with pytest.raises(request.ForeignNamesError, match="CN=orders"):
        verify(csr(subject=SUBJECT))


OURS = NAMES.as_general_names()


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([*OURS, *dns("stock.shop.internal")], "DNSName:stock.shop.internal"),
        ([*OURS, *uri("spiffe://shop.internal/service/stock")], "service/stock"),
        ([*OURS, *uri("https://orders.shop.internal")], "https://"),
        ([*OURS, x509.RFC822Name("a@shop.internal")], "RFC822Name:a@shop.internal"),
        (
            [*OURS, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))],
            "IPAddress:127.0.0.1",
        ),
        ([*OURS, x509.DirectoryName(SUBJECT)], "DirectoryName"),
        ([*OURS, x509.RegisteredID(NameOID.COMMON_NAME)], "RegisteredID"),
        (OURS[:-1], "the policy gives"),
        (OURS[1:], "the policy gives"),
        ([*OURS, OURS[0]], "the policy gives"),
        (dns("ORDERS.shop.internal") + OURS[1:], "ORDERS"),
    ],
)
def test_other_names_are_refused(names: list[x509.GeneralName], reason: str) -> None:
    """One name more, fewer or otherwise, of whatever kind; the message shows it."""
    with pytest.raises(request.ForeignNamesError, match=reason):
        verify(csr(extensions=[alternative(*names)]))


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        (x509.BasicConstraints(ca=True, path_length=None), "basicConstraints"),
        (x509.BasicConstraints(ca=False, path_length=None), "basicConstraints"),
        (
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
            "extendedKeyUsage",
        ),
        (
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
            r"1\.2\.3\.4",
        ),
    ],
)
def test_other_extensions_are_refused(
    extension: x509.ExtensionType, reason: str
) -> None:
    """The policy alone decides on extensions."""
    with pytest.raises(request.UnexpectedContentError, match=reason):
        verify(csr(extensions=[extension]))


def test_challenge_password_is_refused_and_not_shown() -> None:
    """An attribute other than the extension request is refused, its value kept."""
    password = (AttributeOID.CHALLENGE_PASSWORD, b"secret")
    with pytest.raises(request.UnexpectedContentError) as caught:
        verify(csr(attributes=[password]))
    assert "1.2.840.113549.1.9.7" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "der"),
    [
        (x509.SubjectAlternativeName, b"\x04\x01\x00"),
        (x509.SubjectAlternativeName, b"\x30\x02\xa3\x00"),
        (x509.NameConstraints, NO_NETWORK),
    ],
    ids=["no-sequence", "x400-address", "constraint-on-no-network"],
)
def test_unreadable_extension_is_refused(
    kind: type[x509.ExtensionType], der: bytes
) -> None:
    """What cannot be parsed, or is of a kind nobody parses, is nothing to certify."""
    broken = x509.UnrecognizedExtension(kind.oid, der)
    with pytest.raises(request.UnexpectedContentError, match="unreadable"):
        verify(csr(extensions=[broken]))
