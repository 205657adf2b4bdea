"""Read one public key as a JWK: one spelling, and fit for its algorithm (RFC 7517).

Three algorithms are taken, those of FAPI 2.0, section 5.4.1: ES256, which every client
has; Ed25519; PS256, for keys in hardware that knows nothing else. `EdDSA`, the older
name, is not: it leaves the curve open, and RFC 9864 deprecates it. Each algorithm
belongs to one kind of key, so that neither `none` nor a symmetric one can be asked for.

`registration` reads the keys of clients with this, `proof.embedded_key` the key of a
DPoP proof. Whose key it is, is not said here.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from services.errors import ServiceError

# RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1; `priv` is that of post-quantum keys.
_SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
# FAPI 2.0 sets the lower limit; the upper ones keep a stranger's key from being costly
# to use, and the exponent is that of every library (65537).
_RSA_BITS = range(2048, 4096 + 1)
_RSA_EXPONENT = "AQAB"
_MEMBER = re.compile(r"[A-Za-z0-9_-]+")

PublicKey = ECKey | OKPKey | RSAKey


@dataclass(frozen=True, slots=True)
class _Kind:
    """The kind of key that an algorithm belongs to."""

    reader: type[PublicKey]
    fixed: Mapping[str, str]
    numbers: tuple[str, ...]


_KINDS = {
    "ES256": _Kind(ECKey, {"kty": "EC", "crv": "P-256"}, ("x", "y")),
    "Ed25519": _Kind(OKPKey, {"kty": "OKP", "crv": "Ed25519"}, ("x",)),
    "PS256": _Kind(RSAKey, {"kty": "RSA"}, ("n", "e")),
}
SIGNING_ALGORITHMS = tuple(_KINDS)


class JwkError(ServiceError):
    """A JWK cannot be used."""

    code = "invalid_key"


class SecretJwkError(JwkError):
    """The JWK holds more than a public key."""


def check_public(member: Mapping[str, Any]) -> None:
    """Return if nothing in `member` belongs to a private or symmetric key.

    Raises:
        SecretJwkError: something does.
    """
    if not _SECRET_MEMBERS.isdisjoint(member):
        raise SecretJwkError("jwk with a private or symmetric key")


def algorithm_of(member: Mapping[str, Any]) -> str | None:
    """Return the one algorithm that a key of this kind is used with, if it is ours."""
    for algorithm, kind in _KINDS.items():
        if all(member.get(name) == value for name, value in kind.fixed.items()):
            return algorithm
    return None


def public_key(member: Mapping[str, Any], algorithm: str) -> PublicKey:
    """Return the key made of the required members, which must be spelt as we would.

    The thumbprint is taken over the text of the members (RFC 7638, section 3), so a
    second spelling of a number would be a second name of the same key.

    Raises:
        JwkError: the key is weak, off its curve or oddly spelt.
    """
    kind = _KINDS[algorithm]
    numbers = {name: _number(member, name) for name in kind.numbers}
    try:
        if kind.reader is RSAKey:
            _check_rsa(**numbers)
        raw = kind.reader.import_key({**kind.fixed, **numbers}).raw_value
    except (JoseError, ValueError) as error:
        raise JwkError(f"jwk: {type(error).__name__}") from None
    key = kind.reader(raw, raw)  # type: ignore[arg-type]  # each reader's own raw key
    if any(key.get(name) != value for name, value in numbers.items()):
        raise JwkError("jwk in another spelling than RFC 7518's")
    return key


def _number(member: Mapping[str, Any], name: str) -> str:
    value = member.get(name)
    if not isinstance(value, str) or not _MEMBER.fullmatch(value):
        raise JwkError(f"{name} of the jwk is no base64url number")
    return value


def _check_rsa(n: str, e: str) -> None:
    # Before the key is made: the library warns of a weak one, and would go on.
    modulus = int.from_bytes(urlsafe_b64decode(n + "=="))
    bits = modulus.bit_length()
    if bits not in _RSA_BITS or modulus % 2 == 0 or e != _RSA_EXPONENT:
        raise JwkError(f"RSA key of {bits} bits, even, or of another exponent")
