"""SPIFFE bundles: the roots of one trust domain as a JWK Set, beside PEM.

The form is that of SPIFFE_Trust_Domain_and_Bundle.md, section 4, and of X509-SVID.md,
section 6. `read_bundle` takes either form, so that whoever is given a file need not be
told which it is. What is read speaks for the trust domain that the reader names: the
document itself names none, and must come from where that domain's bundle is known to
lie.

A set without keys trusts nothing. Whatever cannot be understood is refused as a whole,
but for entries of unknown kinds or uses, which the standard says to pass over.

This file loads nothing that signs, and no key.
"""

import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from pki.trust import BundleError, TrustBundle

MEDIA_TYPE = "application/json"  # SPIFFE_Federation.md, section 5.2
LONGEST = 256 * 1024  # bytes; a root has about 1 kB in it

_USE = "x509-svid"
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_LARGEST = 2**63 - 1  # what every consumer can hold (section 4.1.1)
_KINDS = {"EC", "RSA"}
_SCHEME = "spiffe://"
_UNREADABLE = (
    ValueError,
    TypeError,  # a name constraint on what is no network
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class ForeignAuthorityError(BundleError):
    """A root in the bundle names another trust domain than the bundle's."""

    code = "foreign_authority"


class WrongJwkError(BundleError):
    """A JWK describes another key than the certificate in it."""

    code = "wrong_jwk"


@dataclass(frozen=True, slots=True)
class SpiffeBundle:
    """The roots of a trust domain, and what is told beside them."""

    trust: TrustBundle
    sequence: int | None  # rises with every change; None: the publisher counts nothing
    refresh_hint: int | None  # seconds after which to ask again


def read_bundle(trust_domain: str, content: bytes) -> SpiffeBundle:
    """Return the bundle of `trust_domain` in PEM or as a JWK Set.

    Raises:
        BundleError: it is neither, or not one of that trust domain.
    """
    if content.lstrip()[:1] == b"{":
        return read_spiffe(trust_domain, content)
    if content.strip() and b"-----BEGIN CERTIFICATE-----" not in content:
        raise BundleError("trust bundle is neither PEM nor a JWK Set")
    bundle = TrustBundle.from_pem(trust_domain, content)
    _check_authorities(bundle)
    return SpiffeBundle(bundle, sequence=None, refresh_hint=None)


def read_spiffe(trust_domain: str, document: bytes) -> SpiffeBundle:
    """Return the bundle of `trust_domain` that the JWK Set holds.

    Raises:
        BundleError: it is no JWK Set, or one of the certificates in it is no root.
        WrongJwkError: a key is not that of the certificate beside it.
        ForeignAuthorityError: a root is another trust domain's by its own name.
    """
    if len(document) > LONGEST:
        raise BundleError(f"SPIFFE bundle of {len(document)} bytes")
    try:
        members = json.loads(document, object_pairs_hook=_members)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"SPIFFE bundle is unreadable: {error}") from error
    keys = members.get("keys") if isinstance(members, dict) else None
    if not isinstance(keys, list):
        raise BundleError("SPIFFE bundle has no list of keys")
    found = [root for jwk in keys if (root := _root(jwk)) is not None]
    # One root twice is one root.
    trust = TrustBundle(trust_domain, tuple(dict.fromkeys(found)))
    _check_authorities(trust)
    return SpiffeBundle(
        trust,
        sequence=_number(members, "spiffe_sequence"),
        refresh_hint=_number(members, "spiffe_refresh_hint"),
    )


def write_spiffe(bundle: SpiffeBundle) -> dict[str, object]:
    """Return the document, ready for JSON; each root is one JWK, without a kid."""
    told = {
        "spiffe_sequence": bundle.sequence,
        "spiffe_refresh_hint": bundle.refresh_hint,
    }
    return {
        "keys": [_jwk(root) for root in bundle.trust.roots],
        **{name: value for name, value in told.items() if value is not None},
    }


def _jwk(root: x509.Certificate) -> dict[str, object]:
    der = b64encode(root.public_bytes(Encoding.DER)).decode()
    return {**_parameters(root), "use": _USE, "x5c": [der]}


def _parameters(root: x509.Certificate) -> dict[str, str]:
    """Return the key as RFC 7518, section 6, writes it.

    Raises:
        BundleError: it is of a kind that has no such form here.
    """
    key = root.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        numbers, size = key.public_numbers(), (key.key_size + 7) // 8
        return {
            "kty": "EC",
            "crv": _CURVES[key.curve.name],
            "x": _uint(numbers.x, size),
            "y": _uint(numbers.y, size),
        }
    if isinstance(key, rsa.RSAPublicKey):
        public = key.public_numbers()
        return {"kty": "RSA", "n": _uint(public.n), "e": _uint(public.e)}
    raise BundleError("a root's key is neither EC nor RSA")


def _uint(value: int, size: int | None = None) -> str:
    length = size or (value.bit_length() + 7) // 8
    return urlsafe_b64encode(value.to_bytes(length, "big")).rstrip(b"=").decode()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("one member twice")
    return members


def _number(members: dict[str, Any], name: str) -> int | None:
    value = members.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise BundleError(f"{name} is no whole number of 63 bits")
    return value


def _root(jwk: object) -> x509.Certificate | None:
    """Return the certificate of an entry, None for one that is not for X509-SVIDs."""
    if not isinstance(jwk, dict):
        raise BundleError("SPIFFE bundle holds a key that is no object")
    if jwk.get("kty") not in _KINDS or jwk.get("use") != _USE:
        return None
    chain = jwk.get("x5c")
    if chain is None or chain == []:
        return None  # X509-SVID.md, section 6.2, which also says that the first counts
    try:
        root = x509.load_der_x509_certificate(b64decode(chain[0], validate=True))
        expected = _parameters(root)
    except (*_UNREADABLE, TypeError, KeyError, IndexError) as error:
        raise BundleError(f"x5c holds no certificate: {error}") from error
    if {name: jwk.get(name) for name in expected} != expected:
        raise WrongJwkError(f"a JWK is not of the key in {root.subject}")
    return root


def _check_authorities(bundle: TrustBundle) -> None:
    """Refuse roots that are another's: a file in the wrong place merges two domains."""
    for root in bundle.roots:
        named = {uri.removeprefix(_SCHEME).partition("/")[0] for uri in _uris(root)}
        if named - {bundle.trust_domain}:
            raise ForeignAuthorityError(
                f"a root of {sorted(named)} in the bundle of {bundle.trust_domain}"
            )


def _uris(root: x509.Certificate) -> list[str]:
    """Return the SPIFFE IDs of a CA's certificate; it need not have one."""
    try:
        names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    except _UNREADABLE as error:
        raise BundleError(f"a root's names are unreadable: {error}") from error
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    return [uri for uri in uris if uri.lower().startswith(_SCHEME)]
