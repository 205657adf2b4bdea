"""Lists of revoked certificates, as data (RFC 5280, section 5): full, shard, delta.

`publication` decides which are due and puts them where they are served; `signing`
signs. That a list built here keeps all rules is checked by `lint_crl`, which shares
nothing with this file.

A full list has everything an authority revoked, a shard the part that certificates
with one distribution point look for, a delta what came since an earlier full list.
Indirect lists, lists of some reasons only and certificateHold are not offered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from pki.entry import Reason, Revocation
from pki.pointers import distribution_point

LIFETIME = timedelta(hours=24)
ROOT_LIFETIME = timedelta(days=365)  # its key is kept offline
_WITHIN_A_SECOND = 20  # bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """What all lists made at one moment by one authority have in common."""

    issuer: x509.Certificate
    number: int
    this_update: datetime
    lifetime: timedelta = LIFETIME

    def begin(
        self,
        revocations: Sequence[Revocation],
        *extensions: tuple[x509.ExtensionType, bool],
    ) -> x509.CertificateRevocationListBuilder:
        """Return the list of `revocations`, with some extensions more."""
        key = self.issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        always = (
            (x509.AuthorityKeyIdentifier(key.value.digest, None, None), False),
            (x509.CRLNumber(self.number), False),
        )
        builder = x509.CertificateRevocationListBuilder(
            # All at once: the builder copies the list each time one is added.
            revoked_certificates=[_entry(revocation) for revocation in revocations]
        )
        builder = (
            builder.issuer_name(self.issuer.subject)
            .last_update(self.this_update)
            .next_update(self.this_update + self.lifetime)
        )
        for value, critical in (*always, *extensions):
            builder = builder.add_extension(value, critical=critical)
        return builder


def full(
    edition: Edition, revocations: Sequence[Revocation], *, delta_at: Sequence[str] = ()
) -> x509.CertificateRevocationListBuilder:
    """Return the list of all `revocations`, saying where its delta is, if anywhere."""
    if not delta_at:
        return edition.begin(revocations)
    freshest = x509.FreshestCRL([distribution_point(*delta_at)])
    return edition.begin(revocations, (freshest, False))


def shard(
    edition: Edition, revocations: Sequence[Revocation], *, names: Sequence[str]
) -> x509.CertificateRevocationListBuilder:
    """Return the list for the certificates whose distribution point is in `names`."""
    point = x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(name) for name in names],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    return edition.begin(revocations, (point, True))


def delta(
    edition: Edition, revocations: Sequence[Revocation], *, base: int
) -> x509.CertificateRevocationListBuilder:
    """Return what is to be added to the full list with the number `base`."""
    return edition.begin(revocations, (x509.DeltaCRLIndicator(base), True))


def next_number(previous: int, now: datetime) -> int:
    """Return a number above `previous`, and above all given before this second.

    The number before may be unknown: the ledger may have been restored from an old
    backup. So the time is in it, and the count only tells lists of one second apart.
    """
    return max(previous + 1, int(now.timestamp()) << _WITHIN_A_SECOND)


def half_life(begins: datetime, ends: datetime) -> datetime:
    """Return when what lasts from `begins` to `ends` is to be made anew."""
    return begins + (ends - begins) / 2


def _entry(revocation: Revocation) -> x509.RevokedCertificate:
    return x509.RevokedCertificateBuilder(
        serial_number=revocation.serial,
        revocation_date=_naive(revocation.at),
        extensions=_REASONS[revocation.reason],
    ).build()


def _reason(reason: Reason) -> list[x509.Extension[x509.ExtensionType]]:
    if reason is Reason.UNSPECIFIED:  # left out (section 5.3.1)
        return []
    value = x509.CRLReason(x509.ReasonFlags(reason))
    return [x509.Extension(value.oid, critical=False, value=value)]


_REASONS = {reason: _reason(reason) for reason in Reason}  # made once: lists are long


def _naive(moment: datetime) -> datetime:
    """Return `moment` as the library keeps it: UTC, without saying so."""
    return moment.replace(tzinfo=None)
