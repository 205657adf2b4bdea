"""Open a DPoP proof: what it claims, and by the signature of which key.

Steps 2 and 4 to 7 of `dpop`: those that ask the proof alone. Whoever makes proofs makes
them with one key, so that their headers are the same text; what the header says is
found out once, and every proof's signature and claims are looked at anew. A header is
remembered only when its key has signed under it: nobody else can fill the memory.
"""

from typing import NamedTuple

from joserfc.jws import JWSRegistry

from services.jwk import PublicKey
from services.proof.dpop_errors import (
    MalformedProofError,
    ProofSignatureError,
    WrongProofTypeError,
)
from services.proof.embedded_key import PROOF_ALGORITHMS, embedded_key
from services.proof.errors import MalformedTokenError, SignatureError, WrongTypeError
from services.proof.jws import SignedClaims, read, reopen, verify

TYPE = "dpop+jwt"  # RFC 9449, section 4.2
MOST = 1024  # headers; about 4 kB each


class _ProofRegistry(JWSRegistry):
    """What a proof's header may hold: whatever it likes, and a whole RSA key.

    Members nobody here knows are ignored, as RFC 7515, section 4, demands: clients are
    others' software. Among them are `jku` and `x5u`, which are never followed.
    """

    max_header_length = 2048


_REGISTRIES = {
    name: _ProofRegistry(algorithms=[name], strict_check_header=False)
    for name in PROOF_ALGORITHMS
}
_ANY = _ProofRegistry()


class Head(NamedTuple):
    """What the header of a proof says, all of it a matter of its text."""

    algorithm: str
    key: PublicKey
    thumbprint: str


remembered: dict[str, Head] = {}


def opened(unverified: str) -> tuple[SignedClaims, str]:
    """Return the signed claims, and the thumbprint of the key that signed them.

    Raises:
        InvalidProofError: the subclass says which step refused.
    """
    head = unverified.partition(".")[0]
    known = remembered.get(head)
    try:
        if known is None:
            known, claims = _read(unverified)
            _remember(head, known)
        else:
            claims = reopen(
                unverified,
                known.key,
                algorithm=known.algorithm,
                registry=_REGISTRIES[known.algorithm],
            )
    except MalformedTokenError as error:
        raise MalformedProofError(str(error)) from None
    except SignatureError as error:
        raise ProofSignatureError(str(error)) from None
    except WrongTypeError as error:
        raise WrongProofTypeError(str(error)) from None
    return claims, known.thumbprint


def _read(unverified: str) -> tuple[Head, SignedClaims]:
    token = read(unverified, registry=_ANY)  # 2
    algorithm, key = embedded_key(token.unverified_header)  # 5, 7
    claims = verify(  # 6, 4, 2
        token, key, types=frozenset({TYPE}), registry=_REGISTRIES[algorithm]
    )
    return Head(algorithm, key, key.thumbprint()), claims


def _remember(head: str, read: Head) -> None:
    """Keep a head under which its key has signed: nobody else can fill the memory."""
    if len(remembered) >= MOST:
        remembered.clear()
    remembered[head] = read
