"""Tests of `pki.trust.verify_path`: a way to a root, whatever the names are."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki.errors import PkiError
from pki.path import (
    AuthorityAsWorkloadError,
    ChainLengthError,
    UntrustedPathError,
    WeakKeyError,
)
from pki.trust import EmptyBundleError, TrustBundle, verify_path
from tests.services.mesh import now
from tests.services.profiles import authority_key, builder, key_usage
from tests.services.registered import Owner, named

ROOT = Owner("root", authority=True, signs=True)
BUNDLE = TrustBundle("partner.internal", (ROOT.certificate,))
SUBJECT = named("billing")


def leaf(
    *extensions: x509.ExtensionType, key: Any = None, root: Owner = ROOT
) -> x509.Certificate:
    """Return a certificate under `root`."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    wanted = [(extension, True) for extension in extensions]
    return root._signed(SUBJECT, key, wanted, None)


def test_a_path_is_found_without_any_alternative_name() -> None:
    """A client may have a subject alone (RFC 8705, section 2.1.2)."""
    certificate = leaf()
    path = verify_path([certificate], BUNDLE, now=now())
    assert path == (certificate, ROOT.certificate)


def test_a_path_leads_over_what_was_presented() -> None:
    """An issuing CA is a link, whoever hands it over."""
    key = ec.generate_private_key(ec.SECP256R1())
    between = (
        builder(named("issuing"), key.public_key(), ROOT.subject)
        .not_valid_before(now() - timedelta(hours=1))
        .not_valid_after(now() + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(key_cert_sign=True), critical=True)
        .add_extension(authority_key(ROOT.key), critical=False)
        .sign(ROOT.key, SHA256())
    )
    issuing = Owner("issuing")
    issuing.key = key
    certificate = leaf(root=issuing)
    path = verify_path([certificate, between], BUNDLE, now=now())
    assert path == (certificate, between, ROOT.certificate)
    with pytest.raises(UntrustedPathError):
        verify_path([certificate], BUNDLE, now=now())


@pytest.mark.parametrize(
    ("chain", "error"),
    [
        ([], ChainLengthError),
        ([leaf()] * 11, ChainLengthError),
        ([leaf(root=Owner("root", authority=True, signs=True))], UntrustedPathError),
        ([Owner("billing").certificate], UntrustedPathError),
        ([leaf(key_usage(key_cert_sign=True))], UntrustedPathError),
        ([leaf(key_usage(crl_sign=True))], AuthorityAsWorkloadError),
        ([leaf(key=rsa.generate_private_key(65537, 1024))], WeakKeyError),  # noqa: S505 - refused
        ([leaf(key=ed25519.Ed25519PrivateKey.generate())], WeakKeyError),
        ([leaf(x509.BasicConstraints(ca=True, path_length=None))], UntrustedPathError),
    ],
    ids=[
        *("nothing", "too-long", "same-name", "self-signed", "signs-certificates"),
        *("signs-crls", "rsa-1024", "ed25519", "authority"),
    ],
)
def test_each_fault_is_refused(
    chain: list[x509.Certificate], error: type[PkiError]
) -> None:
    """Names of issuers prove nothing; what may sign others is nobody's client."""
    with pytest.raises(error):
        verify_path(chain, BUNDLE, now=now())


def test_a_server_is_no_client() -> None:
    """An extended key usage, if there is one, allows clients (RFC 5280, 4.2.1.12)."""
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    with pytest.raises(UntrustedPathError):
        verify_path([leaf(server)], BUNDLE, now=now())


def test_an_expired_certificate_is_refused() -> None:
    """Its time is over for this moment's verification."""
    with pytest.raises(UntrustedPathError):
        verify_path([leaf()], BUNDLE, now=now() + timedelta(hours=2))


def test_an_empty_bundle_trusts_nobody() -> None:
    """An empty policy refuses."""
    with pytest.raises(EmptyBundleError):
        verify_path([leaf()], TrustBundle("partner.internal", ()), now=now())
