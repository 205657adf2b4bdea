"""What the CA's host asks an offline root for: a certificate for its issuing key.

The key stays on that host; the request shows that it is held there. `found` on the
offline machine is not needed: names, domains and life stand in the request, and the
people who read the plan agree on them.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki.errors import PkiError
from pki.identity import DnsName, IdentityError
from pki.policy import Policy

_FORMAT = "certbound-ceremony-request"
_VERSION = 1


class CeremonyRequestError(PkiError):
    """It is no request of a CA's host, or does not show that the key is held."""

    code = "ceremony_request"


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    version: int
    trust_domain: str
    permitted_dns: list[str]
    lifetime: int
    csr: str


@dataclass(frozen=True, slots=True)
class CeremonyRequest:
    """A request that was read, and whose signature shows that the key is held."""

    trust_domain: str
    permitted_dns: tuple[DnsName, ...]
    lifetime: timedelta
    public_key: ec.EllipticCurvePublicKey
    sha256: str


def make_request(key: ec.EllipticCurvePrivateKey, policy: Policy) -> bytes:
    """Return the request for a certificate of the issuing key `key`."""
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = csr.sign(key, hashes.SHA256())
    document = _Document(
        format=_FORMAT,
        version=_VERSION,
        trust_domain=policy.trust_domain,
        permitted_dns=[str(name) for name in policy.permitted_dns],
        lifetime=int(policy.issuing_lifetime.total_seconds()),
        csr=signed.public_bytes(serialization.Encoding.PEM).decode(),
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def read_request(text: bytes) -> CeremonyRequest:
    """Return what a request asks for.

    Raises:
        CeremonyRequestError: it is of another form, for a key that is not P-256, or its
            signature is wrong (RFC 2986, section 4.2).
    """
    try:
        document = msgspec.json.decode(text, type=_Document)
        csr = x509.load_pem_x509_csr(document.csr.encode())
        proved, key = csr.is_signature_valid, csr.public_key()
        permitted = tuple(map(DnsName, document.permitted_dns))
        lifetime = timedelta(seconds=document.lifetime)
    except (
        *(msgspec.MsgspecError, ValueError, UnsupportedAlgorithm),
        *(IdentityError, OverflowError),
    ) as error:
        raise CeremonyRequestError(f"no request of a CA: {error}") from error
    if (document.format, document.version) != (_FORMAT, _VERSION):
        raise CeremonyRequestError(
            f"request of version {document.version}, only {_VERSION} is known"
        )
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
        key.curve, ec.SECP256R1
    ):
        raise CeremonyRequestError("the request is for a key that is not P-256")
    if not proved:
        raise CeremonyRequestError("the request does not show that its key is held")
    return CeremonyRequest(
        trust_domain=document.trust_domain,
        permitted_dns=permitted,
        lifetime=lifetime,
        public_key=key,
        sha256=hashlib.sha256(text).hexdigest(),
    )


def stands_for(text: bytes, key: ec.EllipticCurvePublicKey, policy: Policy) -> bool:
    """Return whether a request that was made before still asks for the same."""
    try:
        before = read_request(text)
    except CeremonyRequestError:
        return False
    return (
        before.public_key == key
        and before.trust_domain == policy.trust_domain
        and before.permitted_dns == policy.permitted_dns
        and before.lifetime == policy.issuing_lifetime
    )
