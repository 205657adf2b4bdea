"""Peers of other trust domains: each verified by its own domain's bundle.

TLS knows one pool of roots, so it can only let certificates in (`wire.tls`, `Anchors`):
by that pool any of these domains could name a workload of any other, and of ours. Who
the peer is, is decided here, for every request: the trust domain of the ID picks the
bundle, and the chain must be good by that bundle and no other (X509-SVID.md, section 5;
SPIFFE_Federation.md, section 7.3).

1. The ID is one of those that may call this process.
2. `pki.trust.verify_chain` finds the chain good by the bundle of the ID's domain.

So a connection ends with its bundle: a root that is taken away is missed at the next
request. A chain is verified once for each bundle, and its dates are looked at every
time.

The way out needs no pool: each callee's context trusts its own domain's bundle
(`wire.client`).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from pki.clock import utc_now
from pki.errors import PkiError
from pki.trust import TrustBundle, VerifiedChain, verify_chain
from services import federation_config
from services.federation_config import FederatedDomain
from services.revocation_config import POLL, RevocationConfig
from services.wire.bundles import ForeignBundle, paths_of
from services.wire.peer import NoCallerError, Peer, UntrustedForeignerError
from services.wire.status import CertificateStatus

_REMEMBERED = 1024  # chains
_Dates = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class _Domain:
    said: FederatedDomain
    bundle: ForeignBundle
    # What was found good, by the bundle it is good by.
    verified: dict[object, tuple[TrustBundle, _Dates]] = field(default_factory=dict)


class Federation:
    """The other trust domains of a process; it follows its document and the files."""

    def __init__(
        self,
        said: Callable[[], federation_config.Federation],
        *,
        fetched: Path | None = None,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the bundles.

        Args:
            said: what the process's document says today.
            fetched: the directory of the bundles that `services.following` fetches.
            clock: the time by which revocation lists are young enough.
            monotonic: seconds between looks at the files.
        """
        self._said = said
        self._fetched = fetched
        self._clock = clock
        self._monotonic = monotonic
        self._statuses: dict[str, CertificateStatus] = {}
        self._known: federation_config.Federation = {}
        self._domains: dict[str, _Domain] = {}
        self._seen: list[TrustBundle] = []
        self._anchors = b""
        self._present()

    def has(self, trust_domain: str) -> bool:
        """Return whether this is one of the other trust domains."""
        return trust_domain in self._present()

    def bundle(self, trust_domain: str) -> TrustBundle:
        """Return the bundle of a domain; of one that is none of these, an empty one."""
        domain = self._present().get(trust_domain)
        return domain.bundle.current() if domain else TrustBundle(trust_domain, ())

    def check(self, peer: Peer, issuers: Sequence[str], *, now: datetime) -> None:
        """Return if the peer may call here, and its own domain vouches for it.

        Raises:
            NoCallerError: nobody has said that it may call this process.
            UntrustedForeignerError: its chain is not good by its domain's bundle.
        """
        name = peer.spiffe_id
        domain = self._present()[name.trust_domain]
        if str(name) not in domain.said.callers:
            raise NoCallerError(f"{name} is none of the callers of this process")
        bundle, key = domain.bundle.current(), (peer.thumbprint, tuple(issuers))
        by, dates = domain.verified.get(key, (None, None))
        if by is not bundle or dates is None or not dates[0] <= now <= dates[1]:
            dates = _dates(_verified(peer, issuers, bundle, now))
            if len(domain.verified) >= _REMEMBERED:
                domain.verified.clear()
            domain.verified[key] = bundle, dates

    def status(self, trust_domain: str) -> CertificateStatus:
        """Return what is known of revocations in one of these domains.

        It looks at nothing unless the document says where the domain tells of them.
        """
        if trust_domain not in self._statuses:
            self._statuses[trust_domain] = CertificateStatus(
                partial(self._revocation, trust_domain), self._clock
            )
        return self._statuses[trust_domain]

    async def follow(self) -> None:
        """Fetch each second the lists that were used lately, until cancelled."""
        while True:
            await asyncio.sleep(POLL)
            for status in self._statuses.values():
                status.refresh()

    async def aclose(self) -> None:
        """Ask for no more lists."""
        for status in self._statuses.values():
            await status.aclose()

    def _revocation(self, trust_domain: str) -> RevocationConfig | None:
        domain = self._present().get(trust_domain)
        return domain.said.revocation if domain else None

    def current(self) -> bytes:
        """Return the roots that TLS lets callers in by; see `wire.tls`, `Anchors`.

        OpenSSL finds issuers by name and key identifier, and takes the first that fits:
        ours, which were there before. So nobody who copies the two keeps our own peers
        out. Of two other domains, one could so keep out the other; in, it cannot get.
        """
        bundles = [
            domain.bundle.current()
            for domain in self._present().values()
            if domain.said.callers
        ]
        if bundles != self._seen:
            self._seen = bundles
            self._anchors = b"".join(
                root.public_bytes(Encoding.DER)
                for bundle in bundles
                for root in bundle.roots
            )
        return self._anchors

    def missed(self) -> None:
        """Do nothing: who comes with a self-signed certificate is nobody here."""

    def _present(self) -> dict[str, _Domain]:
        said = self._said()
        if said != self._known:
            self._known = dict(said)
            self._domains = {
                name: self._read(name, domain) for name, domain in said.items()
            }
        return self._domains

    def _read(self, name: str, said: FederatedDomain) -> _Domain:
        known = self._domains.get(name)
        if known is not None and known.said == said:
            return known
        paths = paths_of(name, said, self._fetched)
        bundle = ForeignBundle(name, *paths, monotonic=self._monotonic)
        return _Domain(said, bundle)


def _verified(
    peer: Peer, issuers: Sequence[str], bundle: TrustBundle, now: datetime
) -> VerifiedChain:
    try:
        pem = "".join(issuers).encode()
        between = x509.load_pem_x509_certificates(pem) if pem else []
        return verify_chain([peer.certificate, *between], bundle, now=now)
    except (PkiError, ValueError, UnsupportedAlgorithm) as error:
        raise UntrustedForeignerError(f"{peer.spiffe_id}: {error}") from error


def _dates(chain: VerifiedChain) -> _Dates:
    return (
        max(each.not_valid_before_utc for each in chain.certificates),
        min(each.not_valid_after_utc for each in chain.certificates),
    )
