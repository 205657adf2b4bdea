"""What a certificate request may say (RFC 2986): a key, and nothing but that key.

`authority` calls `verify_request` with the names the policy gives the asking
identity. A request may repeat exactly these names or stay silent; one that asks for
anything else is refused as a whole, not trimmed, because it shows that the host and
the topology disagree.

What this does not prove: who sent the request. The signature inside shows only that
its maker held the key.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from pki.errors import PkiError
from pki.identity import Names

_LARGEST = 8192  # characters; a P-256 request with a dozen names has about 800
_BEGIN = "-----BEGIN CERTIFICATE REQUEST-----"
_EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")  # RFC 2985
_UNREADABLE = (
    ValueError,
    TypeError,  # a name constraint on what is no network
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,  # x400Address and EDIPartyName
)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_ECDSA = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: ec.ECDSA(hashes.SHA256()),
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: ec.ECDSA(hashes.SHA384()),
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: ec.ECDSA(hashes.SHA512()),
}


class RequestError(PkiError):
    """A certificate request is refused."""

    code = "request_refused"


class OversizedRequestError(RequestError):
    """It is longer than any honest request."""

    code = "request_too_large"


class UnreadableRequestError(RequestError):
    """It is not one PEM block that holds a request."""

    code = "request_unreadable"


class NoPossessionError(RequestError):
    """Its signature does not show that the sender holds the private key."""

    code = "no_proof_of_possession"


class WrongKeyTypeError(RequestError):
    """The key is not P-256, or the request was signed with a weak hash."""

    code = "wrong_key_type"


class AuthorityKeyError(RequestError):
    """The key is one of the CA's own."""

    code = "authority_key"


class ForeignNamesError(RequestError):
    """It asks for other names than the policy gives."""

    code = "foreign_names"


class UnexpectedContentError(RequestError):
    """It asks for an extension or carries an attribute that no service needs."""

    code = "unexpected_content"


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """A key whose possession was proved, and that may be certified."""

    public_key: ec.EllipticCurvePublicKey
    spki_sha256: str  # lower-case hex


def verify_request(
    pem: str, *, names: Names, authority_keys: Collection[str]
) -> VerifiedRequest:
    """Return the key of the request `pem`, after these checks in this order.

    1. Size, before any parsing.
    2. Exactly one PEM block that is a PKCS #10 request.
    3. Proof of possession (RFC 2986, section 4.2): before anything in it is read.
    4. The key is P-256, the hash one of 256 bits or more.
    5. The key is none of `authority_keys` (SHA-256 of their SPKI, lower-case hex).
    6. The subject is empty: the policy gives none.
    7. No attribute but the extension request; no extension but names.
    8. The names asked for, if any, are exactly `names`.

    Raises:
        RequestError: one of the eight does not hold; each has its own class.
    """
    if len(pem) > _LARGEST:  # 1
        raise OversizedRequestError(
            f"request of {len(pem)} characters, {_LARGEST} are allowed"
        )
    request = _parse(pem)  # 2
    proved = proved_key(request)  # 3
    key = _p256(proved, request)  # 4
    spki = spki_sha256(key)
    if spki in authority_keys:  # 5
        raise AuthorityKeyError("the request holds a key of the CA itself")
    if request.subject.rdns:  # 6
        raise ForeignNamesError(
            f"the request asks for the subject {request.subject.rfc4514_string()!r}, "
            "the policy gives none"
        )
    asked = _alternative_names(request)  # 7
    if asked is not None:  # 8
        _check_names(asked, names)
    return VerifiedRequest(key, spki)


def spki_sha256(key: CertificatePublicKeyTypes) -> str:
    """Return the SHA-256 of a key's SubjectPublicKeyInfo in lower-case hex."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def _parse(pem: str) -> x509.CertificateSigningRequest:
    text = pem.strip()
    if not text.startswith(_BEGIN) or text.count("-----BEGIN") != 1:
        raise UnreadableRequestError(f"expected one PEM block {_BEGIN}")
    try:
        return x509.load_pem_x509_csr(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnreadableRequestError(f"not a PKCS #10 request: {error}") from error


@lru_cache(maxsize=128)  # who renews is asked by the CA's front first
def proved_key(request: x509.CertificateSigningRequest) -> CertificatePublicKeyTypes:
    """Return the key of a request, which has signed it (RFC 2986, section 4.2).

    Raises:
        NoPossessionError: another one has, or none that can be checked.
    """
    try:
        key = request.public_key()
        proved = _is_proved(request, key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NoPossessionError(f"signature cannot be checked: {error}") from error
    if not proved:
        raise NoPossessionError("the request is not signed by the key it holds")
    return key


def _is_proved(
    request: x509.CertificateSigningRequest, key: CertificatePublicKeyTypes
) -> bool:
    digest = _ECDSA.get(request.signature_algorithm_oid)
    if digest is None or not isinstance(key, ec.EllipticCurvePublicKey):
        return request.is_signature_valid
    # As `is_signature_valid`, which reads the key a second time: a third of the price.
    try:
        key.verify(request.signature, request.tbs_certrequest_bytes, digest)
    except InvalidSignature:
        return False
    return True


def _p256(
    key: CertificatePublicKeyTypes, request: x509.CertificateSigningRequest
) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise WrongKeyTypeError("the key is not an elliptic curve key, P-256 is needed")
    if not isinstance(key.curve, ec.SECP256R1):
        raise WrongKeyTypeError(f"the key is on {key.curve.name}, P-256 is needed")
    if not isinstance(request.signature_hash_algorithm, _HASHES):
        used = request.signature_hash_algorithm
        raise WrongKeyTypeError(
            f"the request is signed with {used.name if used else 'no hash'}, "
            "SHA-256, SHA-384 or SHA-512 is needed"
        )
    return key


def _alternative_names(
    request: x509.CertificateSigningRequest,
) -> x509.SubjectAlternativeName | None:
    for attribute in request.attributes:
        if attribute.oid != _EXTENSION_REQUEST:
            # Its value is never shown: a challenge password is a secret.
            raise UnexpectedContentError(
                f"the request carries the attribute {attribute.oid.dotted_string}"
            )
    try:
        extensions = request.extensions
    except _UNREADABLE as error:
        raise UnexpectedContentError(f"extensions are unreadable: {error}") from error
    for extension in extensions:
        if extension.oid != ExtensionOID.SUBJECT_ALTERNATIVE_NAME:
            name = getattr(extension.oid, "_name", "")
            raise UnexpectedContentError(
                f"the request asks for the extension {extension.oid.dotted_string} "
                f"({name}), the policy alone decides on it"
            )
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            return extension.value
    return None


def _check_names(asked: x509.SubjectAlternativeName, names: Names) -> None:
    wanted = sorted(map(_text, asked))
    given = sorted(map(_text, names.as_general_names()))
    if wanted != given:
        raise ForeignNamesError(
            f"the request asks for {', '.join(wanted)}; "
            f"the policy gives {', '.join(given)}"
        )


def _text(name: x509.GeneralName) -> str:
    return f"{type(name).__name__}:{name.value}"
