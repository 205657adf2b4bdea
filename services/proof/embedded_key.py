"""Read the public key that a DPoP proof carries in its own header (RFC 9449, 4.2).

Such a key is whatever the caller says: it identifies nobody. It becomes worth something
through its thumbprint alone, once a token is bound to it. So what is checked here is
that it is one key in one spelling, of a kind whose signatures mean something (`jwk`
says which), and the algorithm's.
"""

from collections.abc import Mapping
from typing import Any

from services.jwk import (
    SIGNING_ALGORITHMS,
    JwkError,
    PublicKey,
    SecretJwkError,
    algorithm_of,
    check_public,
    public_key,
)
from services.proof.dpop_errors import (
    PrivateKeyError,
    ProofKeyError,
    WrongAlgorithmError,
)

# Also what metadata and challenges name (RFC 9449, sections 5.1 and 7.1).
PROOF_ALGORITHMS = SIGNING_ALGORITHMS


def embedded_key(unverified_header: Mapping[str, Any]) -> tuple[str, PublicKey]:
    """Return the algorithm that a header names, and the public key it carries.

    Raises:
        WrongAlgorithmError: the algorithm is none of ours.
        PrivateKeyError: the key is not only a public one.
        ProofKeyError: there is no key, or it is of another kind than the algorithm's,
            for another use, too weak, off its curve or oddly spelt.
    """
    algorithm = unverified_header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in PROOF_ALGORITHMS:
        known = list(PROOF_ALGORITHMS)
        raise WrongAlgorithmError(f"alg is {algorithm!r}, not one of {known}")
    member = unverified_header.get("jwk")
    if not isinstance(member, dict):
        raise ProofKeyError("no jwk in the header")
    try:
        check_public(member)
        fits = (
            algorithm_of(member) == algorithm
            and member.get("use", "sig") == "sig"
            and member.get("alg", algorithm) == algorithm
        )
        if not fits:
            raise ProofKeyError(
                f"jwk of another kind, use or algorithm than {algorithm}"
            )
        return algorithm, public_key(member, algorithm)
    except SecretJwkError as error:
        raise PrivateKeyError(str(error)) from None
    except JwkError as error:
        raise ProofKeyError(str(error)) from None
