"""Certificates to be: root, cross, issuing CA, service, OCSP responder.

`certifying` builds the first three, `decision` the fourth, `publication` the last;
`signing` signs what comes out (RFC 5280, section 4; RFC 6960, section 4.2.2.2).
The contents were chosen by trying them on nine independent verifiers:

- The issuing CA is held to DNS names by a critical name constraint. There is none on
  URIs, though X509-SVID.md, section 4.2 would allow it: two of the nine then refuse
  every certificate. The trust domain is checked by `trust` instead.
- A service has an empty subject, so nobody can mistake a common name for a host, and
  both TLS usages, as X509-SVID.md, section 4.4 asks of every SVID.

That a certificate built here keeps all rules is checked by `lint`, which shares
nothing with this file.
"""

import secrets
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pki import leaf
from pki.errors import PkiError
from pki.identity import DnsName, Names, trust_domain_uri
from pki.pointers import Addresses, authority_of
from pki.profile import CROSS, ISSUING_CA, RESPONDER, ROOT, Profile
from pki.unsigned import Unsigned

BACKDATING = timedelta(minutes=5)  # clocks that differ; counted in the life
_SERIAL_BITS = 159  # of the 160 that 20 octets hold: the top bit would mean negative


class ProfileError(PkiError):
    """No certificate of this kind can be built from what was given."""

    code = "profile_refused"


class NamesNotPermittedError(ProfileError):
    """A DNS name lies outside what the issuing CA is held to."""

    code = "names_not_permitted"


class IssuerExpiredError(ProfileError):
    """The issuer's own life has ended, so it can give none."""

    code = "issuer_expired"


def root(
    key: ec.EllipticCurvePublicKey,
    *,
    trust_domain: str,
    lifetime: timedelta,
    now: datetime,
) -> x509.CertificateBuilder:
    """Return the certificate of a root with `key`, to be signed by that key."""
    subject = _common_name(trust_domain, ROOT)
    builder = _begin(ROOT, key, subject=subject, issuer=subject, issuer_key=key)
    builder = _within(builder, now - BACKDATING, now - BACKDATING + lifetime)
    return _name_authority(builder, trust_domain)


def issuing_ca(  # noqa: PLR0913 - each is told apart by its name
    key: ec.EllipticCurvePublicKey,
    *,
    trust_domain: str,
    permitted_dns: tuple[DnsName, ...],
    issuer: x509.Certificate,
    lifetime: timedelta,
    now: datetime,
) -> x509.CertificateBuilder:
    """Return the certificate of an issuing CA with `key`, to be signed by a root.

    Raises:
        IssuerExpiredError: `issuer` has no life left.
    """
    builder = _begin(
        ISSUING_CA,
        key,
        subject=_common_name(trust_domain, ISSUING_CA),
        issuer=issuer.subject,
        issuer_key=key_of(issuer),
    )
    builder = _within(builder, *_life_under(issuer, lifetime, now))
    builder = _name_authority(builder, trust_domain)
    permitted = [x509.DNSName(name.text) for name in permitted_dns]
    constraints = x509.NameConstraints(permitted, excluded_subtrees=None)
    return builder.add_extension(constraints, critical=True)


def cross(
    other: x509.Certificate,
    *,
    issuer: x509.Certificate,
    lifetime: timedelta,
    now: datetime,
) -> x509.CertificateBuilder:
    """Return the certificate of another root's name and key, to be signed by a root.

    Who trusts `issuer` alone trusts with it what `other` certified (RFC 4210, 4.4).

    Raises:
        IssuerExpiredError: `issuer` or `other` has no life left.
    """
    begins, ends = _life_under(issuer, lifetime, now)
    _, others = _life_under(other, lifetime, now)
    key = key_of(other)
    builder = _begin(
        CROSS,
        key,
        subject=other.subject,
        issuer=issuer.subject,
        issuer_key=key_of(issuer),
    )
    builder = _within(builder, begins, min(ends, others))
    names = other.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return builder.add_extension(names.value, critical=False)


def service(  # noqa: PLR0913 - each is told apart by its name
    key: ec.EllipticCurvePublicKey,
    *,
    names: Names,
    issuer: x509.Certificate,
    lifetime: timedelta,
    now: datetime,
    addresses: Addresses | None = None,
) -> Unsigned:
    """Return the certificate of a service with `key`, to be signed by an issuing CA.

    With `addresses` it says where its revocation is told.

    Raises:
        IssuerExpiredError: `issuer` has no life left.
        ProfileError: its key is not on an elliptic curve.
        NamesNotPermittedError: `issuer` is not held to a domain of one of `names`.
    """
    key_of(issuer)
    permitted = permitted_dns_of(issuer)
    for name in names.dns_names:
        if not any(map(name.lies_within, permitted)):
            raise NamesNotPermittedError(
                f"{name} lies outside what the issuing CA may certify: "
                f"{', '.join(map(str, permitted)) or 'nothing'}"
            )
    serial = _new_serial()
    begins, ends = _life_under(issuer, lifetime, now)
    return leaf.write(
        key,
        serial=serial,
        names=names,
        issuer=issuer,
        begins=begins,
        ends=ends,
        pointers=addresses.pointers(authority_of(issuer), serial)
        if addresses
        else None,
    )


def responder(
    key: ec.EllipticCurvePublicKey,
    *,
    trust_domain: str,
    issuer: x509.Certificate,
    lifetime: timedelta,
    now: datetime,
) -> x509.CertificateBuilder:
    """Return the certificate of an OCSP responder, to be signed by an issuing CA.

    Raises:
        IssuerExpiredError: `issuer` has no life left.
    """
    builder = _begin(
        RESPONDER,
        key,
        subject=_common_name(trust_domain, RESPONDER),
        issuer=issuer.subject,
        issuer_key=key_of(issuer),
    )
    builder = _within(builder, *_life_under(issuer, lifetime, now))
    # Nobody can ask a responder whether it is revoked itself: it lives shortly instead.
    return builder.add_extension(x509.OCSPNoCheck(), critical=False)


@lru_cache(maxsize=16)  # of the few issuers that there are
def permitted_dns_of(issuer: x509.Certificate) -> tuple[DnsName, ...]:
    """Return the DNS domains that a CA certificate is held to, none if it says none."""
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return ()
    subtrees = constraints.value.permitted_subtrees or []
    return tuple(
        DnsName(name.value) for name in subtrees if isinstance(name, x509.DNSName)
    )


def _begin(
    profile: Profile,
    key: ec.EllipticCurvePublicKey,
    *,
    subject: x509.Name,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    """Return what every certificate has, by the data of its profile."""
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key)
    builder = (
        x509.CertificateBuilder()
        .serial_number(_new_serial())
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .add_extension(profile.basic_constraints, critical=True)
        .add_extension(profile.usages, critical=True)
        .add_extension(subject_key, critical=False)
        .add_extension(authority, critical=False)
    )
    if profile.extended_key_usage:
        usages = x509.ExtendedKeyUsage(profile.extended_key_usage)
        builder = builder.add_extension(usages, critical=False)
    return builder


def _new_serial() -> int:
    return secrets.randbits(_SERIAL_BITS) or _new_serial()


def _life_under(
    issuer: x509.Certificate, lifetime: timedelta, now: datetime
) -> tuple[datetime, datetime]:
    ends = issuer.not_valid_after_utc
    if ends <= now:
        raise IssuerExpiredError(f"the issuer's certificate ended at {ends}")
    begins = now - BACKDATING
    return begins, min(begins + lifetime, ends)


def _within(
    builder: x509.CertificateBuilder, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return builder.not_valid_before(begins).not_valid_after(ends)


def _common_name(trust_domain: str, profile: Profile) -> x509.Name:
    text = f"{trust_domain} {profile.common_name}"
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _name_authority(
    builder: x509.CertificateBuilder, trust_domain: str
) -> x509.CertificateBuilder:
    """Let a CA say its trust domain (X509-SVID.md, section 3.2)."""
    uri = x509.UniformResourceIdentifier(trust_domain_uri(trust_domain))
    return builder.add_extension(x509.SubjectAlternativeName([uri]), critical=False)


@lru_cache(maxsize=16)  # of the few CAs that there are
def key_of(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Return the key of a CA certificate of ours.

    Raises:
        ProfileError: it is not on an elliptic curve.
    """
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ProfileError("the issuer's key is not on an elliptic curve")
    return key
