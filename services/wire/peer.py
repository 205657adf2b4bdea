"""The peer: who is at the other end of the connection a request arrived on.

The guard and the token service call `peer_of` with the ASGI scope of each request. It
reads the `tls` extension that `wire.extension` put there (ASGI TLS extension 0.2).

TLS has proved, when the connection began, that the peer holds the key of a certificate
that chains to the bundle. A connection outlives its certificate, though, so the expiry
is looked at again here at each request. Whether the peer may do what it asks for is
decided elsewhere: this says only who it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509

from pki.identity import IdentityError, SpiffeId, spiffe_id_of
from services.errors import ServiceError
from services.wire.generation import thumbprint

_REMEMBERED = 1024  # certificates; about 4 kB each


class PeerError(ServiceError):
    """The other end cannot be named."""

    code = "invalid_peer"


class NoCertificateError(PeerError):
    """The request came without TLS or without a client certificate."""

    code = "certificate_missing"


class ExpiredCertificateError(PeerError):
    """The connection is older than its certificate may become."""

    code = "certificate_expired"


class UnreadableNameError(PeerError):
    """The certificate does not carry exactly one well-formed SPIFFE ID."""

    code = "certificate_unreadable"


class AuthorityAsPeerError(PeerError):
    """The certificate may sign others, so it may not speak for itself."""

    code = "certificate_of_authority"


class WrongTrustDomainError(PeerError):
    """The peer belongs to another trust domain."""

    code = "wrong_trust_domain"


@dataclass(frozen=True, slots=True)
class Peer:
    """A service whose certificate TLS has verified; only `peer_of` makes one."""

    certificate: x509.Certificate
    spiffe_id: SpiffeId
    thumbprint: str
    serial: int
    not_after: datetime


def peer_of(scope: Mapping[str, Any], *, trust_domain: str, now: datetime) -> Peer:
    """Return the peer of a request that arrived over mutual TLS.

    Raises:
        NoCertificateError: no TLS, or no certificate.
        UnreadableNameError: the certificate names not exactly one workload.
        AuthorityAsPeerError: it belongs to a certification authority.
        WrongTrustDomainError: it names one of another domain than `trust_domain`.
        ExpiredCertificateError: the certificate's time is over at `now`.
    """
    tls = (scope.get("extensions") or {}).get("tls")
    der = tls.get("client_cert") if isinstance(tls, Mapping) else None
    if not isinstance(der, bytes) or not der:
        raise NoCertificateError("the request came without a client certificate")
    peer = _parse(der)
    if peer.spiffe_id.trust_domain != trust_domain:
        raise WrongTrustDomainError(f"{peer.spiffe_id} is not of {trust_domain}")
    # The last second belongs to the validity (RFC 5280, section 4.1.2.5).
    if now > peer.not_after:
        raise ExpiredCertificateError(
            f"certificate {peer.serial:x} of {peer.spiffe_id} expired at "
            f"{peer.not_after.isoformat()}"
        )
    return peer


@lru_cache(maxsize=_REMEMBERED)
def _parse(der: bytes) -> Peer:
    """Read a certificate; the same bytes come with each request of a connection."""
    certificate, spiffe_id = workload_of(der)
    return Peer(
        certificate=certificate,
        spiffe_id=spiffe_id,
        thumbprint=thumbprint(certificate),
        serial=certificate.serial_number,
        not_after=certificate.not_valid_after_utc,
    )


def workload_of(verified: bytes) -> tuple[x509.Certificate, SpiffeId]:
    """Return the leaf that TLS has verified, and the one workload it names.

    OpenSSL asks whether a certificate may be a client's or a server's, and lets a CA's
    own pass as such; X509-SVID.md, sections 3 to 5, does not.

    Raises:
        UnreadableNameError: it names not exactly one workload.
        AuthorityAsPeerError: it is a CA's, or its key may sign certificates.
    """
    try:
        certificate = x509.load_der_x509_certificate(verified)
        spiffe_id = spiffe_id_of(certificate)
    except (ValueError, IdentityError) as error:
        raise UnreadableNameError(f"the peer's certificate: {error}") from error
    # The extensions can be read: the name was found among them.
    for extension in certificate.extensions:
        match extension.value:
            case x509.BasicConstraints(ca=True) | x509.KeyUsage(key_cert_sign=True):
                raise AuthorityAsPeerError(f"{spiffe_id} shows a CA's certificate")
    return certificate, spiffe_id
