"""The peer: who is at the other end of the connection a request arrived on.

The guard and the token service call `peer_of` with the ASGI scope of each request. It
reads the `tls` extension that `wire.extension` put there (ASGI TLS extension 0.2).

TLS has proved, when the connection began, that the peer holds the key of a certificate
that chains to the bundle. A connection outlives its certificate, though, so the expiry
is looked at again here at each request. Whether the peer may do what it asks for is
decided elsewhere: this says only who it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from cryptography import x509

from pki.identity import IdentityError, SpiffeId, spiffe_id_of
from services.errors import ServiceError
from services.wire.generation import thumbprint

# Beside the members of ASGI's extension: TLS let the certificate in by an anchor that
# is none of our roots, so that no name in it is worth anything here.
OUTSIDE = "certbound.outside"
# And what `wire.checked` has found against it, a `PeerError`.
STATUS = "certbound.status"

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


class OutsidePeerError(PeerError):
    """The certificate was let in, and our trust domain does not vouch for it."""

    code = "certificate_untrusted"


class WrongTrustDomainError(PeerError):
    """The peer belongs to another trust domain."""

    code = "wrong_trust_domain"


class NoCallerError(PeerError):
    """The peer is of a federated trust domain, and may not call this process."""

    code = "not_a_caller"


class UntrustedForeignerError(PeerError):
    """The bundle of the trust domain that the peer names does not vouch for it."""

    code = "foreign_certificate_untrusted"


class RevokedCertificateError(PeerError):
    """The certificate, or one above it, is revoked."""

    code = "certificate_revoked"


class StatusUnknownError(PeerError):
    """Whether the certificate is revoked cannot be learnt now: nobody is let in."""

    code = "temporarily_unavailable"


@dataclass(frozen=True, slots=True)
class Presented:
    """A certificate that TLS let in, whoever it is trusted by, if by anybody.

    Only `presented_of` makes one, for the token service, whose TLS has further anchors
    (`wire.tls`). A name in it means nothing until somebody has looked at the issuer.
    """

    certificate: x509.Certificate
    spiffe_id: SpiffeId | None
    thumbprint: str
    serial: int
    not_after: datetime
    issuers: tuple[str, ...] = ()  # PEM, as TLS has seen them; not to be relied upon


@dataclass(frozen=True, slots=True)
class Peer(Presented):
    """A service whose certificate TLS has verified; only `peer_of` makes one."""

    spiffe_id: SpiffeId


class Vouching(Protocol):
    """Other trust domains whose workloads may be peers (`wire.federation`)."""

    def has(self, trust_domain: str) -> bool:
        """Return whether this is one of them."""

    def check(self, peer: Peer, issuers: Sequence[str], *, now: datetime) -> None:
        """Return if its own trust domain vouches for a peer that may call here."""


def peer_of(
    scope: Mapping[str, Any],
    *,
    trust_domain: str,
    now: datetime,
    others: Vouching | None = None,
) -> Peer:
    """Return the peer of a request that arrived over mutual TLS.

    Without `others`, peers are of `trust_domain` alone.

    Raises:
        NoCertificateError: no TLS, or no certificate.
        UnreadableNameError: the certificate names not exactly one workload.
        AuthorityAsPeerError: it belongs to a certification authority.
        OutsidePeerError: it chains to no root of ours (`wire.tls`, `Anchors`).
        WrongTrustDomainError: it names one of another domain than `trust_domain`.
        NoCallerError, UntrustedForeignerError: it names one of a domain of `others`.
        ExpiredCertificateError: the certificate's time is over at `now`.
        RevokedCertificateError, StatusUnknownError: as `wire.checked` has found.
    """
    tls = _tls(scope)
    peer = _parse(_leaf(tls))
    named = peer.spiffe_id.trust_domain
    if named != trust_domain and others is not None and others.has(named):
        _, *issuers = tls.get("client_cert_chain") or (None,)
        others.check(peer, issuers, now=now)
    elif tls.get(OUTSIDE):
        raise OutsidePeerError(f"{peer.spiffe_id} in a certificate of somebody else")
    elif named != trust_domain:
        raise WrongTrustDomainError(f"{peer.spiffe_id} is not of {trust_domain}")
    _check_time(peer, now)
    _check_status(tls)
    return peer


def presented_of(scope: Mapping[str, Any], *, now: datetime) -> Presented:
    """Return the certificate of a request, of whichever issuer.

    Raises:
        NoCertificateError: no TLS, or no certificate.
        UnreadableNameError: it cannot be read, or has SPIFFE IDs, and not just one.
        AuthorityAsPeerError: it belongs to a certification authority.
        ExpiredCertificateError: its time is over at `now`.
        RevokedCertificateError, StatusUnknownError: as `wire.checked` has found.
    """
    tls = _tls(scope)
    _, *issuers = tls.get("client_cert_chain") or (None,)
    presented = _parse_any(_leaf(tls), tuple(issuers))
    _check_time(presented, now)
    _check_status(tls)
    return presented


def presented_name(tls: Mapping[str, Any]) -> SpiffeId | None:
    """Return the one SPIFFE ID in a certificate that TLS let in, proved or not."""
    try:
        return _parse_any(_leaf(tls), ()).spiffe_id
    except PeerError:
        return None


def _tls(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    tls = (scope.get("extensions") or {}).get("tls")
    return tls if isinstance(tls, Mapping) else {}


def _leaf(tls: Mapping[str, Any]) -> bytes:
    der = tls.get("client_cert")
    if not isinstance(der, bytes) or not der:
        raise NoCertificateError("the request came without a client certificate")
    return der


def _check_time(presented: Presented, now: datetime) -> None:
    # The last second belongs to the validity (RFC 5280, section 4.1.2.5).
    if now > presented.not_after:
        raise ExpiredCertificateError(
            f"certificate {presented.serial:x} of {presented.spiffe_id} expired at "
            f"{presented.not_after.isoformat()}"
        )


def _check_status(tls: Mapping[str, Any]) -> None:
    found = tls.get(STATUS)
    if isinstance(found, PeerError):
        raise found


@lru_cache(maxsize=_REMEMBERED)
def _parse_any(der: bytes, issuers: tuple[str, ...]) -> Presented:
    try:
        certificate = x509.load_der_x509_certificate(der)
        spiffe_id = spiffe_id_of(certificate) if _names_workload(certificate) else None
        _check_no_authority(certificate)
    except (ValueError, x509.InvalidVersion, IdentityError) as error:
        raise UnreadableNameError(f"the client's certificate: {error}") from error
    return Presented(
        certificate=certificate,
        spiffe_id=spiffe_id,
        thumbprint=thumbprint(certificate),
        serial=certificate.serial_number,
        not_after=certificate.not_valid_after_utc,
        issuers=issuers,
    )


def _names_workload(certificate: x509.Certificate) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except x509.ExtensionNotFound:
        return False
    except (
        TypeError,  # a name constraint on what is no network
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise ValueError(str(error)) from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return any(uri.lower().startswith("spiffe:") for uri in uris)


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
    _check_no_authority(certificate)
    return certificate, spiffe_id


def _check_no_authority(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        match extension.value:
            case x509.BasicConstraints(ca=True) | x509.KeyUsage(key_cert_sign=True):
                raise AuthorityAsPeerError(
                    f"a CA's certificate, {certificate.serial_number:x}, as a peer's"
                )
