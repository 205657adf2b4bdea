"""The revocation lists of one authority: which there are, which are due, made, stored.

`publication` and `founding` come here inside a transaction, with the authority's key.
A list lasts a day, a root's a year, and is made anew after half of it; a revocation
makes the lists anew in which somebody looks for it. That is the shard its certificate
points to; the full list if the certificate points to none, and while it is short.
Else the delta goes on from the full list of before (section 5.2.4). An entry stays
until one list was made after its certificate ended (RFC 5280, section 3.3).
"""

from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki import clock, revocation
from pki.entry import Event, Revocation
from pki.errors import PkiError
from pki.ledger import Ledger
from pki.listed import Listed
from pki.pointers import Addresses, PointerError, authority_of, pointers_of
from pki.published import Crl, Imprint, Published
from pki.signing import sign_crl

MANY = 500  # revocations, which take about 20 ms to be signed and checked
_SHORT = MANY * 40  # bytes
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
    scopes = {*series.due(), *_touched(ledger, series, list(touched))}
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


def _touched(ledger: Ledger, series: Series, serials: Sequence[int]) -> set[str]:
    """Return the scopes in which somebody looks for `serials`."""
    known = series.known()
    if not serials:
        return set()
    if not known:
        return {"full"}
    shards = {known[0].shard_of(serial) for serial in serials}
    if series.published.size(series.authority, "full") > _SHORT and all(
        _points_to_shard(ledger, series, known, serial) for serial in serials
    ):
        return {*shards, "delta"}
    return {*shards, "full"}


def _points_to_shard(
    ledger: Ledger, series: Series, known: Sequence[Addresses], serial: int
) -> bool:
    issuer = series.issuer.subject.rfc4514_string()
    entry = ledger.find(Event.ISSUED, issuer=issuer, serial=f"{serial:x}")
    if entry is None or entry.certificate is None:
        return False
    try:
        certificate = x509.load_der_x509_certificate(b64decode(entry.certificate))
        pointers = pointers_of(certificate)
    except (ValueError, PointerError):
        return False
    names = [place.pointers(series.authority, serial).crl for place in known]
    return pointers is not None and pointers.crl in names


class _Printer:
    """Makes lists of one number out of one look at the ledger."""

    def __init__(
        self, ledger: Ledger, series: Series, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self._series, self._key = series, key
        self._before = {
            crl.scope: crl
            for crl in series.published.imprints()
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
        self._ledger = ledger
        self._listed = Listed(ledger.connection, series.authority)
        if self._known:
            self._listed.take_up(self._known[0].shard_of)

    def make(self, scopes: Iterable[str]) -> list[Crl]:
        made, rest = [], set(scopes)
        if rest & {"full", "delta"}:
            made = self._whole(anew="full" in rest)
        return made + [self._shard(one) for one in sorted(rest - {"full", "delta"})]

    def _whole(self, *, anew: bool) -> list[Crl]:
        """Return what tells of all: the delta, if there was a full list before; that.

        The full list comes with it if it is to be made `anew`, or the delta is long.
        """
        before = self._before.get("full")
        if before is None or self._series.by == "root":
            return [self._full()]
        base, newer = self._newer(before)
        builder = revocation.delta(self._edition, newer, base=base.number)
        delta = replace(
            self._sign("delta", "delta", builder),
            base_number=base.number,
            base_covers=base.covers,
            base_update=base.this_update,
        )
        return [delta, self._full()] if anew or len(newer) > MANY else [delta]

    def _full(self) -> Crl:
        own = self._series.authority
        standing = self._ledger.revocations(own, ending=self._since("full"))
        told = [place.crl(own, "delta") for place in self._known]
        delta_at = told if "full" in self._before else []
        builder = revocation.full(self._edition, standing, delta_at=delta_at)
        return self._sign("full", "full", builder)

    def _newer(self, before: Imprint) -> tuple[Imprint, Sequence[Revocation]]:
        """Return the full list that the delta goes on from, and what came since.

        The base stays for a day, so that who fetched any full list since then can use
        it; or until too much came since, if there is a newer one.
        """
        base = self._base(before)
        newer = self._since_entry(base.covers)
        if len(newer) > MANY and base.number < before.number:
            return before, self._since_entry(before.covers)
        return base, newer

    def _base(self, before: Imprint) -> Imprint:
        delta = self._before.get("delta")
        if not (delta and delta.base_number and delta.base_update):
            return before
        age = self._series.now - clock.from_text(delta.base_update)
        if age >= revocation.LIFETIME:
            return before
        return replace(
            before,
            number=delta.base_number,
            covers=delta.base_covers or 0,
            this_update=delta.base_update,
        )

    def _since_entry(self, covered: int) -> Sequence[Revocation]:
        return self._ledger.revocations(
            self._series.authority, ending=self._since("full"), after=covered
        )

    def _shard(self, scope: str) -> Crl:
        standing = self._listed.of(scope, ending=self._since(scope))
        names = [place.crl(self._series.authority, scope) for place in self._known]
        return self._sign(
            scope, "shard", revocation.shard(self._edition, standing, names=names)
        )

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
