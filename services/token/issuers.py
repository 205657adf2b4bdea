"""Whose certificates may be whose: each trust domain has roots of its own.

The TLS of the token service lets in certificates of several issuers, and of none
(`registry`). So the handshake says too little about a client that is known by a name:
a name is unique only within a CA (RFC 8705, section 7.4). Here the path is verified
again, to the roots of the client's trust domain and to no others. What counts of an
issuer is its key: a second CA of the same name, trusted for something else, can mint no
client, and a registered self-signed certificate can vouch for nobody.

The issuing CAs between are those TLS has seen, and our own; either is a link of the
path and no anchor. A path is verified once for each certificate and bundle, and its
dates are looked at every time.

Not proved: that the caller holds the key (TLS), and which client it is (`subject`).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from pki.errors import PkiError
from pki.trust import TrustBundle, verify_path
from services import log
from services.token.errors import (
    OtherTrustDomainError,
    UnnamedWorkloadError,
    UntrustedIssuerError,
)
from services.wire.bundles import ForeignBundle
from services.wire.generation import Generation, LiveIdentity
from services.wire.peer import Presented

_REMEMBERED = 1024  # paths


@dataclass(frozen=True, slots=True)
class _Trust:
    """What one trust domain's certificates are verified by, and what was."""

    bundle: TrustBundle
    issuing: tuple[x509.Certificate, ...] = ()
    verified: dict[object, tuple[datetime, datetime]] = field(default_factory=dict)


class Issuers:
    """The trust bundles by trust domain, each as young as its file."""

    def __init__(
        self, identity: LiveIdentity, others: Mapping[str, ForeignBundle]
    ) -> None:
        """Read our own bundle.

        Raises:
            BundleError: our own cannot be read.
        """
        self._identity = identity
        self._seen = identity.current()
        self._own = _own(self._seen)
        self._bundles = others
        self._others: dict[str, _Trust] = {}

    def roots(self) -> bytes:
        """Return the roots of all trust domains but our own, in DER, one by one."""
        return b"".join(
            root.public_bytes(Encoding.DER)
            for bundle in self._bundles.values()
            for root in bundle.current().roots
        )

    def check(
        self, presented: Presented, *, trust_domain: str | None, now: datetime
    ) -> None:
        """Return if `trust_domain` has issued the certificate; None is our own.

        Raises:
            OtherTrustDomainError: it names a workload of another trust domain.
            UnnamedWorkloadError: it names none, which ours always do.
            UntrustedIssuerError: no path leads from it to a root of the domain.
        """
        trust = self._trust(trust_domain)
        named, domain = presented.spiffe_id, trust.bundle.trust_domain
        if named is None and trust is self._own:
            raise UnnamedWorkloadError(f"a certificate of {domain} without SPIFFE ID")
        if named is not None and named.trust_domain != domain:
            raise OtherTrustDomainError(f"{named} is not of {domain}")
        key = presented.thumbprint, presented.issuers
        dates = trust.verified.get(key)
        if dates is None or not dates[0] <= now <= dates[1]:
            dates = _verified(presented, trust, now)
            if len(trust.verified) >= _REMEMBERED:
                trust.verified.clear()
            trust.verified[key] = dates

    def _trust(self, trust_domain: str | None) -> _Trust:
        if trust_domain is not None and trust_domain in self._bundles:
            return self._other(trust_domain)
        generation = self._identity.current()
        if generation is not self._seen:
            self._seen = generation
            try:
                self._own = _own(generation)
            except (OSError, ValueError, PkiError) as error:
                # As in `wire.tls`: what was good before still serves.
                log.event(
                    "issuers.generation_refused", level=logging.ERROR, reason=error
                )
        return self._own

    def _other(self, domain: str) -> _Trust:
        bundle, known = self._bundles[domain].current(), self._others.get(domain)
        if known is None or known.bundle is not bundle:
            known = self._others[domain] = _Trust(bundle)
        return known


def _own(generation: Generation) -> _Trust:
    presented = generation.certificate_path.read_bytes()
    _, *issuing = x509.load_pem_x509_certificates(presented)
    bundle = TrustBundle.from_pem(
        generation.spiffe_id.trust_domain, generation.bundle_path.read_bytes()
    )
    return _Trust(bundle, tuple(issuing))


def _verified(
    presented: Presented, trust: _Trust, now: datetime
) -> tuple[datetime, datetime]:
    """Return the dates between which the whole path is good."""
    try:
        pem = "".join(presented.issuers).encode()
        between = x509.load_pem_x509_certificates(pem) if pem else []
        # A certificate twice would use up the length that a chain may have.
        chain = tuple(dict.fromkeys([presented.certificate, *between, *trust.issuing]))
        path = verify_path(chain, trust.bundle, now=now)
    except (PkiError, ValueError, UnsupportedAlgorithm) as error:
        raise UntrustedIssuerError(f"{trust.bundle.trust_domain}: {error}") from error
    return (
        max(each.not_valid_before_utc for each in path),
        min(each.not_valid_after_utc for each in path),
    )
