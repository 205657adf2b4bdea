"""Decide whether a chain that somebody presented is trusted, and whose it is.

The path is checked by `cryptography.x509.verification` (RFC 5280, section 6, with the
web's profile), everything the library leaves open by us: X509-SVID.md asks for more
than the web does, and the library neither binds a SPIFFE trust domain to its roots nor
looks at a common name. Who has certificates and no TLS session to rely on comes here:
a generation before it is used, an enrolment, an inspection.

Two things are not proved: that whoever presents the chain holds its key (TLS does
that), and that nothing in it was revoked (`revocation_list` says so).

This file loads nothing that signs, and no key.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from pki.errors import PkiError
from pki.identity import Names, names_of, trust_domain_uri

_LONGEST_CHAIN = (
    5  # certificates; ours have two, a rotation adds one or two for a while
)
_SHORTEST_RSA = 2048  # bits (NIST SP 800-131A)
_CURVES = (ec.SECP256R1, ec.SECP384R1)


class TrustError(PkiError):
    """A chain is not trusted."""

    code = "untrusted"


class BundleError(TrustError):
    """The trust bundle is unreadable or holds what is no root."""

    code = "bad_bundle"


class EmptyBundleError(BundleError):
    """The trust bundle is empty, so nothing of its trust domain is trusted."""

    code = "empty_bundle"


class ChainLengthError(TrustError):
    """Nothing was presented, or far more than any honest chain has."""

    code = "chain_length"


class OtherTrustDomainError(TrustError):
    """The identity belongs to a trust domain this bundle does not speak for."""

    code = "other_trust_domain"


class UntrustedPathError(TrustError):
    """No valid path leads from the certificate to a root of the bundle."""

    code = "untrusted_path"


class AuthorityAsWorkloadError(TrustError):
    """A certificate that may sign others presents itself as a workload."""

    code = "authority_as_workload"


class KeyUsageError(TrustError):
    """The key usages are not those of an X509-SVID."""

    code = "wrong_key_usage"


class CommonNameError(TrustError):
    """The subject's common name is none of the alternative names."""

    code = "foreign_common_name"


class WeakKeyError(TrustError):
    """The key is of a kind or length that is not relied on."""

    code = "weak_key"


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """The roots of one trust domain. They speak for that domain and no other."""

    trust_domain: str
    roots: tuple[x509.Certificate, ...]

    def __post_init__(self) -> None:
        trust_domain_uri(self.trust_domain)
        for root in self.roots:
            _check_root(root)

    @classmethod
    def from_pem(cls, trust_domain: str, pem: bytes) -> "TrustBundle":
        """Read the PEM form; no certificate in it is an empty bundle.

        Raises:
            BundleError: it is unreadable or holds a certificate that is no CA.
        """
        if b"-----BEGIN" not in pem:
            return cls(trust_domain, ())
        try:
            return cls(trust_domain, tuple(x509.load_pem_x509_certificates(pem)))
        except ValueError as error:
            raise BundleError(f"trust bundle is unreadable: {error}") from error


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """A chain found valid at one moment; only `verify_chain` makes it."""

    names: Names
    certificates: tuple[x509.Certificate, ...]  # the workload first, a root last

    @property
    def certificate(self) -> x509.Certificate:
        """The workload's own certificate."""
        return self.certificates[0]


def verify_chain(
    presented_chain: Sequence[x509.Certificate], bundle: TrustBundle, *, now: datetime
) -> VerifiedChain:
    """Return whose chain this is, if it is trusted at `now`; the workload comes first.

    1. There is a chain, of a sane length.
    2. The first certificate has exactly one SPIFFE ID and otherwise DNS names only
       (X509-SVID.md, section 2).
    3. The bundle speaks for that ID's trust domain, and is not empty (section 5).
    4. A valid path leads to one of its roots (RFC 5280, section 6).
    5. The first certificate is no CA (X509-SVID.md, section 4.1).
    6. Its key usage is critical digitalSignature, its extended key usage server and
       client (sections 4.3 and 4.4).
    7. A common name, if there is one, repeats a DNS name: some libraries still read it.
    8. Its key is P-256, P-384 or RSA of 2048 bits and more: the library checks that of
       CAs alone.

    Raises:
        IdentityError: step 2.
        TrustError: any other step; each has its own class.
    """
    if not 1 <= len(presented_chain) <= _LONGEST_CHAIN:  # 1
        raise ChainLengthError(
            f"{len(presented_chain)} certificates presented, expected 1 to "
            f"{_LONGEST_CHAIN}"
        )
    leaf = presented_chain[0]
    names = names_of(leaf)  # 2
    if names.spiffe_id.trust_domain != bundle.trust_domain:  # 3
        raise OtherTrustDomainError(
            f"{names.spiffe_id} is not in the trust domain {bundle.trust_domain}"
        )
    path = _verified_path(presented_chain, bundle, now)  # 4
    _check_no_authority(leaf)  # 5
    _check_usages(leaf)  # 6
    _check_common_names(leaf, names)  # 7
    _check_key(leaf)  # 8
    return VerifiedChain(names, path)


def verify_path(
    presented_chain: Sequence[x509.Certificate], bundle: TrustBundle, *, now: datetime
) -> tuple[x509.Certificate, ...]:
    """Return the path from a certificate to a root of `bundle`; say nothing of names.

    For certificates that need not be X509-SVIDs: a client's that another PKI has issued
    (RFC 8705, section 2.1). Issuers are found by their keys; what they are called
    proves nothing. Steps 1, 4, 5 and 8 of `verify_chain`, and no key that signs others.

    Raises:
        TrustError: the subclass says which.
    """
    if not 1 <= len(presented_chain) <= _LONGEST_CHAIN:
        raise ChainLengthError(f"{len(presented_chain)} certificates presented")
    leaf = presented_chain[0]
    path = _verified_path(presented_chain, bundle, now, any_name=True)
    _check_no_authority(leaf)
    with suppress(x509.ExtensionNotFound):
        _check_signs_none(leaf.extensions.get_extension_for_class(x509.KeyUsage).value)
    _check_key(leaf)
    return path


def _check_root(root: x509.Certificate) -> None:
    try:
        basic = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise BundleError(f"trust bundle holds what is no CA: {error}") from error
    if not basic.ca:
        raise BundleError("trust bundle holds a certificate that is no CA")


def _verified_path(
    presented_chain: Sequence[x509.Certificate],
    bundle: TrustBundle,
    now: datetime,
    *,
    any_name: bool = False,
) -> tuple[x509.Certificate, ...]:
    if not bundle.roots:
        raise EmptyBundleError(f"nothing of {bundle.trust_domain} is trusted")
    # The client's side: a server's name is compared by whoever dialled it, and step 6
    # asks for both usages anyway.
    builder = PolicyBuilder().store(Store(list(bundle.roots))).time(now)
    if any_name:
        # The web's profile wants an alternative name; a subject alone will do here.
        workload = ExtensionPolicy.webpki_defaults_ee().may_be_present(
            x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
        )
        builder = builder.extension_policies(
            ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=workload
        )
    leaf, *others = presented_chain
    try:
        return tuple(builder.build_client_verifier().verify(leaf, others).chain)
    except (VerificationError, ValueError, UnsupportedAlgorithm) as error:
        raise UntrustedPathError(f"no valid path to a root: {error}") from error


def _check_no_authority(leaf: x509.Certificate) -> None:
    try:
        basic = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return
    if basic.ca:  # pragma: no cover - the library's profile refuses it in step 4
        raise AuthorityAsWorkloadError("a CA certificate presents itself as a workload")


def _check_usages(leaf: x509.Certificate) -> None:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
        extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound as error:
        raise KeyUsageError(f"a key usage is missing: {error}") from error
    _check_signs_none(usage.value)
    if not usage.critical or not usage.value.digital_signature:
        raise KeyUsageError("key usage is not critical digitalSignature")
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    if not both <= set(extended):
        raise KeyUsageError("extended key usage is not server and client")


def _check_signs_none(usage: x509.KeyUsage) -> None:
    if usage.key_cert_sign or usage.crl_sign:
        raise AuthorityAsWorkloadError("a workload's key may sign certificates or CRLs")


def _check_common_names(leaf: x509.Certificate, names: Names) -> None:
    dns_names = {name.text for name in names.dns_names}
    for attribute in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        if attribute.value not in dns_names:
            raise CommonNameError(
                f"common name {attribute.value!r} is none of the DNS names"
            )


def _check_key(leaf: x509.Certificate) -> None:
    key = leaf.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _SHORTEST_RSA:
        return
    raise WeakKeyError("the workload's key is not P-256, P-384 or RSA of 2048 bits")
