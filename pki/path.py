"""The path from a certificate to a root, found and checked: what `trust` is built on.

`cryptography.x509.verification` finds it (RFC 5280, section 6), `conformance` looks at
what the library lets pass, and this file at the keys and at who may not be at the end.
Whose the certificate is, `trust` asks.
"""

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.verification import (
    ClientVerifier,
    ServerVerifier,
    VerificationError,
)

from pki.conformance import check_path
from pki.errors import PkiError

LONGEST_CHAIN = 10  # certificates; ours have two, some more while a root is replaced
DEEPEST = 8  # CAs between a certificate and a root; as the library has it
_SHORTEST_RSA = 2048  # bits (NIST SP 800-131A)
_OCTET = 8
_CURVES = (ec.SECP256R1, ec.SECP384R1)


class TrustError(PkiError):
    """A chain is not trusted."""

    code = "untrusted"


class ChainLengthError(TrustError):
    """Nothing was presented, or far more than any honest chain has."""

    code = "chain_length"


class UntrustedPathError(TrustError):
    """No valid path leads from the certificate to a root of the bundle."""

    code = "untrusted_path"


class AuthorityAsWorkloadError(TrustError):
    """A certificate that may sign others presents itself as a workload."""

    code = "authority_as_workload"


class WeakKeyError(TrustError):
    """The key is of a kind or length that is not relied on."""

    code = "weak_key"


def verified_path(
    verifier: ClientVerifier | ServerVerifier,
    presented_chain: Sequence[x509.Certificate],
) -> tuple[x509.Certificate, ...]:
    """Return the path of the first certificate presented; a root of the store is last.

    1. There is a chain, of a sane length.
    2. A valid path leads to a root (RFC 5280, section 6).
    3. What the library lets pass on it is sound, too. If it is not, no other path is
       looked for: whoever presented the faulty certificate can leave it out.
    4. The first certificate is no CA, and its key signs no others.
    5. Its key is P-256, P-384 or RSA of 2048 bits and more: the library looks at those
       of CAs alone. No RSA key on the path has bits beyond whole octets (CA/B baseline
       requirements, 6.1.5).

    Raises:
        ConformanceError: step 3.
        TrustError: any other step; each has its own class.
    """
    if not 1 <= len(presented_chain) <= LONGEST_CHAIN:  # 1
        raise ChainLengthError(
            f"{len(presented_chain)} certificates presented, expected 1 to "
            f"{LONGEST_CHAIN}"
        )
    leaf, *others = presented_chain
    try:
        found = verifier.verify(leaf, others)  # 2
    except (VerificationError, ValueError, UnsupportedAlgorithm) as error:
        raise UntrustedPathError(f"no valid path to a root: {error}") from error
    path = tuple(found if isinstance(found, list) else found.chain)
    check_path(path)  # 3
    _check_no_authority(leaf)  # 4
    _check_keys(path)  # 5
    return path


def _check_no_authority(leaf: x509.Certificate) -> None:
    for extension in leaf.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and value.ca:
            # The library's profile refuses it in step 2.
            raise AuthorityAsWorkloadError(  # pragma: no cover
                "a CA certificate presents itself as a workload"
            )
        if isinstance(value, x509.KeyUsage) and (value.key_cert_sign or value.crl_sign):
            raise AuthorityAsWorkloadError(
                "a workload's key may sign certificates or CRLs"
            )


def _check_keys(path: Sequence[x509.Certificate]) -> None:
    for certificate in path:
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size % _OCTET:
            raise WeakKeyError(f"an RSA key of {key.key_size} bits")
    key = path[0].public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _SHORTEST_RSA:
        return
    raise WeakKeyError("the workload's key is not P-256, P-384 or RSA of 2048 bits")
