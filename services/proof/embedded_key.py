"""Read the public key that a DPoP proof carries in its own header (RFC 9449, 4.2).

Such a key is whatever the caller says: it identifies nobody. It becomes worth something
through its thumbprint alone, once a token is bound to it. So what is checked here is
that it is one key in one spelling, of a kind whose signatures mean something.

Three algorithms are taken, those of FAPI 2.0, section 5.4.1: ES256, which every client
has; Ed25519; PS256, for keys in hardware that knows nothing else. `EdDSA`, the older
name, is not: it leaves the curve open, and RFC 9864 deprecates it. Each algorithm
belongs to one kind of key, so that neither `none` nor a symmetric one can be asked for.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from services.proof.dpop_errors import (
    PrivateKeyError,
    ProofKeyError,
    WrongAlgorithmError,
)
from services.proof.jws import VerificationKey

# RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1; `priv` is that of post-quantum keys.
_SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
# FAPI 2.0 sets the lower limit; the upper ones keep a stranger's key from being costly
# to use, and the exponent is that of every library (65537).
_RSA_BITS = range(2048, 4096 + 1)
_RSA_EXPONENT = "AQAB"
_MEMBER = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class _Kind:
    """The kind of key that an algorithm belongs to."""

    reader: type[VerificationKey]
    fixed: Mapping[str, str]
    numbers: tuple[str, ...]


_KINDS = {
    "ES256": _Kind(ECKey, {"kty": "EC", "crv": "P-256"}, ("x", "y")),
    "Ed25519": _Kind(OKPKey, {"kty": "OKP", "crv": "Ed25519"}, ("x",)),
    "PS256": _Kind(RSAKey, {"kty": "RSA"}, ("n", "e")),
}
# Also what metadata and challenges name (RFC 9449, sections 5.1 and 7.1).
PROOF_ALGORITHMS = tuple(_KINDS)


def embedded_key(unverified_header: Mapping[str, Any]) -> tuple[str, VerificationKey]:
    """Return the algorithm that a header names, and the public key it carries.

    Raises:
        WrongAlgorithmError: the algorithm is none of ours.
        PrivateKeyError: the key is not only a public one.
        ProofKeyError: there is no key, or it is of another kind than the algorithm's,
            for another use, too weak, off its curve or oddly spelt.
    """
    algorithm = unverified_header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in _KINDS:
        raise WrongAlgorithmError(f"alg is {algorithm!r}, not one of {list(_KINDS)}")
    member = unverified_header.get("jwk")
    if not isinstance(member, dict):
        raise ProofKeyError("no jwk in the header")
    if not _SECRET_MEMBERS.isdisjoint(member):
        raise PrivateKeyError("jwk with a private or symmetric key")
    kind = _KINDS[algorithm]
    fits = (
        all(member.get(name) == value for name, value in kind.fixed.items())
        and member.get("use", "sig") == "sig"
        and member.get("alg", algorithm) == algorithm
    )
    if not fits:
        raise ProofKeyError(f"jwk of another kind, use or algorithm than {algorithm}")
    return algorithm, _imported(member, kind)


def _imported(member: Mapping[str, Any], kind: _Kind) -> VerificationKey:
    """Return the key made of its required members, which must be spelt as we would.

    The thumbprint is taken over the text of the members (RFC 7638, section 3), so a
    second spelling of a number would be a second name of the same key.
    """
    numbers = {name: _number(member, name) for name in kind.numbers}
    try:
        if kind.reader is RSAKey:
            _check_rsa(**numbers)
        raw = kind.reader.import_key({**kind.fixed, **numbers}).raw_value
    except (JoseError, ValueError) as error:
        raise ProofKeyError(f"jwk: {type(error).__name__}") from None
    key = kind.reader(raw, raw)  # type: ignore[arg-type]  # each reader's own raw key
    if any(key.get(name) != value for name, value in numbers.items()):
        raise ProofKeyError("jwk in another spelling than RFC 7518's")
    return key


def _number(member: Mapping[str, Any], name: str) -> str:
    value = member.get(name)
    if not isinstance(value, str) or not _MEMBER.fullmatch(value):
        raise ProofKeyError(f"{name} of the jwk is no base64url number")
    return value


def _check_rsa(n: str, e: str) -> None:
    # Before the key is made: the library warns of a weak one, and would go on.
    modulus = int.from_bytes(urlsafe_b64decode(n + "=="))
    bits = modulus.bit_length()
    if bits not in _RSA_BITS or modulus % 2 == 0 or e != _RSA_EXPONENT:
        raise ProofKeyError(f"RSA key of {bits} bits, even, or of another exponent")
