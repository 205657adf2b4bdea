"""The revocation lists of one authority: which there are, which are due, made, stored.

`publication` and `founding` come here inside a transaction, with the authority's key.
A list lasts a day, a root's a year, and is made anew after half of it; a revocation
makes the lists anew that it stands in. An entry stays until one list was made after
its certificate ended (RFC 5280, section 3.3).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki import clock, revocation
from pki.entry import Revocation
from pki.errors import PkiError
from pki.ledger import Ledger
from pki.pointers import Addresses, authority_of
from pki.published import Crl, Published
from pki.signing import sign_crl

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


class ShardsFixedError(PkiError):
    """The number of shards changed while certificates point to them."""

    code = "shards_fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The lists of one authority: which there are, and which are due at a moment."""

    published: Published
    issuer: x509.Certificate
    now: datetime
    addresses: Addresses | None = None
    by: str = "issuing"  # or root

    @property
    def authority(self) -> str:
        """The key identifier that tells generations apart."""
        return authority_of(self.issuer)

    def known(self) -> list[Addresses]:
        """Return all addresses that certificates of this authority point to.

        Raises:
            ShardsFixedError: the newest of them has another number of shards.
        """
        found = [
            Addresses(url, shards)
            for url, shards in self.published.addresses(self.authority).items()
        ]
        if self.addresses is None or self.addresses in found:
            return found
        if found and found[0].shards != self.addresses.shards:
            raise ShardsFixedError(
                f"certificates point to {found[0].shards} shards, the policy says "
                f"{self.addresses.shards}: that takes a new issuing CA"
            )
        return [*found, self.addresses]

    def due(self) -> list[str]:
        """Return the scopes whose list is missing, half through its life, or moved.

        An authority that has ended has none: nothing verifies under it. A list of
        before a restoration may be older than one that was lost.
        """
        if self.issuer.not_valid_after_utc <= self.now:
            return []
        lives, moved = self.published.lives(self.authority), self.has_moved()
        outdated = self.published.of_before_restoration(self.authority)
        return [
            scope
            for scope in self.scopes()
            if moved
            or scope not in lives
            or scope in outdated
            or self._is_over_half(*lives[scope])
        ]

    def has_moved(self) -> bool:
        """Return whether no certificate points to the addresses of today yet."""
        return len(self.known()) > len(self.published.addresses(self.authority))

    def scopes(self) -> list[str]:
        """Return the scopes that have a list of their own."""
        known = self.known()
        return ["full", *map(str, range(known[0].shards if known else 0))]

    def _is_over_half(self, begins: str, ends: str) -> bool:
        moments = map(clock.from_text, (begins, ends))
        return self.now >= revocation.half_life(*moments)


def publish_lists(
    ledger: Ledger,
    series: Series,
    key: ec.EllipticCurvePrivateKey,
    *,
    touched: Iterable[int] = (),
) -> list[Crl]:
    """Make and store the lists that are due, and those that `touched` serials are in.

    The caller holds the transaction.

    Raises:
        ShardsFixedError: see `Series.known`.
    """
    scopes, known = set(series.due()), series.known()
    for serial in touched:
        scopes |= {"full", *(known[0].shard_of(serial) for _ in known[:1])}
    if not scopes:
        return []
    if series.addresses and series.has_moved():
        series.published.put_address(
            series.authority, series.addresses.url, series.addresses.shards
        )
    made = _Printer(ledger, series, key).make(scopes)
    for crl in made:
        series.published.put_crl(crl)
    return made


class _Printer:
    """Makes lists of one number out of one look at the ledger."""

    def __init__(
        self, ledger: Ledger, series: Series, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self._series, self._key = series, key
        self._before = {
            crl.scope: crl
            for crl in series.published.crls()
            if crl.authority == series.authority
        }
        numbers = [crl.number for crl in self._before.values()]
        numbers.append(series.published.highest_restored())
        lifetime = (
            revocation.ROOT_LIFETIME if series.by == "root" else revocation.LIFETIME
        )
        self._edition = revocation.Edition(
            issuer=series.issuer,
            number=revocation.next_number(max(numbers), series.now),
            this_update=series.now,
            lifetime=lifetime,
        )
        self._covers, _ = ledger.newest()
        self._known = series.known()
        since = min(map(self._since, series.scopes()))
        self._revoked = ledger.revocations(series.authority, ending=since)

    def make(self, scopes: Iterable[str]) -> list[Crl]:
        made = []
        for scope in sorted(scopes):
            if scope == "full":
                made += self._full()
            else:
                made.append(self._shard(scope))
        return made

    def _full(self) -> list[Crl]:
        """Return the full list and, once there was one before, the delta."""
        standing = self._standing("full")
        before = self._before.get("full")
        delta_at = [place.crl(self._series.authority, "delta") for place in self._known]
        builder = revocation.full(
            self._edition, standing, delta_at=delta_at if before else ()
        )
        complete = self._sign("full", "full", builder)
        if before is None or self._series.by == "root":
            return [complete]
        base = self._base(before)
        covered = base.base_covers or 0
        newer = [found for found in standing if found.sequence > covered]
        builder = revocation.delta(self._edition, newer, base=base.base_number or 0)
        delta = self._sign("delta", "delta", builder)
        return [
            complete,
            replace(
                delta,
                base_number=base.base_number,
                base_covers=base.base_covers,
                base_update=base.base_update,
            ),
        ]

    def _base(self, before: Crl) -> Crl:
        """Return what the delta goes on from, in the members that say so.

        The base stays for a day: who fetched any full list since then can use it.
        """
        delta = self._before.get("delta")
        if delta and delta.base_update:
            age = self._series.now - clock.from_text(delta.base_update)
            if age < revocation.LIFETIME:
                return delta
        return replace(
            before,
            base_number=before.number,
            base_covers=before.covers,
            base_update=before.this_update,
        )

    def _shard(self, scope: str) -> Crl:
        standing = [
            found
            for found in self._standing(scope)
            if self._known[0].shard_of(found.serial) == scope
        ]
        names = [place.crl(self._series.authority, scope) for place in self._known]
        return self._sign(
            scope, "shard", revocation.shard(self._edition, standing, names=names)
        )

    def _standing(self, scope: str) -> Sequence[Revocation]:
        since = self._since(scope)
        return [found for found in self._revoked if found.not_after >= since]

    def _since(self, scope: str) -> datetime:
        """Return when the last list of a scope was made: what ended later is kept."""
        before = self._before.get(scope)
        return clock.from_text(before.this_update) if before else _EVER

    def _sign(
        self, scope: str, kind: str, builder: x509.CertificateRevocationListBuilder
    ) -> Crl:
        der = sign_crl(
            builder,
            self._key,
            kind=kind,
            by=self._series.by,
            issuer=self._series.issuer,
        )
        edition = self._edition
        return Crl(
            authority=self._series.authority,
            scope=scope,
            number=edition.number,
            covers=self._covers,
            this_update=clock.to_text(edition.this_update),
            next_update=clock.to_text(edition.this_update + edition.lifetime),
            der=der,
        )
