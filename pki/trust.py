"""Decide whether a chain that somebody presented is trusted, and whose it is.

The path is checked by `cryptography.x509.verification` (RFC 5280, section 6, with the
web's profile), what the library leaves open by us: faults in its certificates by `path`
and `conformance`, the rest here. X509-SVID.md asks for more than the web does, and the
library neither binds a SPIFFE trust domain to its roots nor looks at a common name. Who
has certificates and no TLS session to rely on comes here: a generation before it is
used, an enrolment, an inspection.

Two things are not proved: that whoever presents the chain holds its key (TLS does
that), and that nothing in it was revoked (`path_revocation` says so).

This file loads nothing that signs, and no key.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
)

from pki.identity import Names, names_of, trust_domain_uri
from pki.path import (
    DEEPEST,
    ChainLengthError,
    TrustError,
    UntrustedPathError,
    verified_path,
)

Host = x509.DNSName | x509.IPAddress


class BundleError(TrustError):
    """The trust bundle is unreadable or holds what is no root."""

    code = "bad_bundle"


class EmptyBundleError(BundleError):
    """The trust bundle is empty, so nothing of its trust domain is trusted."""

    code = "empty_bundle"


class OtherTrustDomainError(TrustError):
    """The identity belongs to a trust domain this bundle does not speak for."""

    code = "other_trust_domain"


class KeyUsageError(TrustError):
    """The key usages are not those of an X509-SVID, or of a server."""

    code = "wrong_key_usage"


class CommonNameError(TrustError):
    """The subject's common name is none of the alternative names."""

    code = "foreign_common_name"


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

    1. There is a certificate, and it has exactly one SPIFFE ID and otherwise DNS names
       only (X509-SVID.md, section 2).
    2. The bundle speaks for that ID's trust domain, and is not empty (section 5).
    3. A valid path leads to one of its roots (RFC 5280, section 6), and the certificate
       is no CA (X509-SVID.md, section 4.1): all of `path`.
    4. Its key usage is critical digitalSignature, its extended key usage server and
       client (sections 4.3 and 4.4).
    5. A common name, if there is one, repeats a DNS name: some libraries still read it.

    Raises:
        IdentityError: step 1.
        ConformanceError: step 3, where there is a path.
        TrustError: any other step; each has its own class.
    """
    if not presented_chain:  # 1
        raise ChainLengthError("0 certificates presented, one is needed")
    leaf = presented_chain[0]
    names = names_of(leaf)
    if names.spiffe_id.trust_domain != bundle.trust_domain:  # 2
        raise OtherTrustDomainError(
            f"{names.spiffe_id} is not in the trust domain {bundle.trust_domain}"
        )
    # The client's side: a server's name is compared by whoever dialled it, and step 4
    # asks for both usages anyway.
    verifier = _policy(bundle, now).build_client_verifier()
    path = verified_path(verifier, presented_chain)  # 3
    _check_usages(leaf)  # 4
    _check_common_names(leaf, {name.text for name in names.dns_names})  # 5
    return VerifiedChain(names, path)


def verify_path(
    presented_chain: Sequence[x509.Certificate],
    bundle: TrustBundle,
    *,
    now: datetime,
    depth: int = DEEPEST,
) -> tuple[x509.Certificate, ...]:
    """Return the path from a certificate to a root of `bundle`; say nothing of names.

    For certificates that need not be X509-SVIDs: a client's that another PKI has issued
    (RFC 8705, section 2.1). Issuers are found by their keys; what they are called
    proves nothing. `depth` says how many CAs may stand between certificate and root.

    Raises:
        ConformanceError, TrustError: the subclass says which.
    """
    # The web's profile wants an alternative name; a subject alone will do here.
    workload = ExtensionPolicy.webpki_defaults_ee().may_be_present(
        x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
    )
    policy = _policy(bundle, now, depth).extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=workload
    )
    return verified_path(policy.build_client_verifier(), presented_chain)


def verify_server(
    presented_chain: Sequence[x509.Certificate],
    bundle: TrustBundle,
    host: Host,
    *,
    now: datetime,
    depth: int = DEEPEST,
) -> tuple[x509.Certificate, ...]:
    """Return the path of a server that need not be an X509-SVID, if it is `host`.

    As `verify_path`, and: the server has `host` among its alternative names (RFC 9525);
    a common name repeats one of them, letter for letter, and it says that it is for
    servers (CA/B baseline requirements, 7.1.4.3 and 7.1.2.7).

    Raises:
        ConformanceError, TrustError: the subclass says which.
    """
    try:
        verifier = _policy(bundle, now, depth).build_server_verifier(host)
    except ValueError as error:
        raise UntrustedPathError(f"no server can be {host.value}: {error}") from error
    path = verified_path(verifier, presented_chain)
    leaf = path[0].extensions
    try:
        leaf.get_extension_for_class(x509.ExtendedKeyUsage)  # the library has read it
    except x509.ExtensionNotFound as error:
        raise KeyUsageError("the certificate does not say what it is for") from error
    names = leaf.get_extension_for_class(x509.SubjectAlternativeName).value
    listed = set(names.get_values_for_type(x509.DNSName))
    listed |= set(map(str, names.get_values_for_type(x509.IPAddress)))
    _check_common_names(path[0], listed)
    return path


def _check_root(root: x509.Certificate) -> None:
    try:
        basic = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        TypeError,
        ValueError,
    ) as error:
        raise BundleError(f"trust bundle holds what is no CA: {error}") from error
    if not basic.ca:
        raise BundleError("trust bundle holds a certificate that is no CA")


def _policy(bundle: TrustBundle, now: datetime, depth: int = DEEPEST) -> PolicyBuilder:
    if not bundle.roots:
        raise EmptyBundleError(f"nothing of {bundle.trust_domain} is trusted")
    roots = Store(list(bundle.roots))
    return PolicyBuilder().store(roots).time(now).max_chain_depth(depth)


def _check_usages(leaf: x509.Certificate) -> None:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
        extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound as error:
        raise KeyUsageError(f"a key usage is missing: {error}") from error
    if not usage.critical or not usage.value.digital_signature:
        raise KeyUsageError("key usage is not critical digitalSignature")
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    if not both <= set(extended):
        raise KeyUsageError("extended key usage is not server and client")


def _check_common_names(leaf: x509.Certificate, names: Collection[str]) -> None:
    for attribute in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        if attribute.value not in names:
            raise CommonNameError(
                f"common name {attribute.value!r} is none of the alternative names"
            )
