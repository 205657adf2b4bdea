"""Chains off the wire: trusted, or refused for exactly one reason."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki import path, trust
from pki.identity import IdentityError, Names, SpiffeId
from tests.pki.builders import NAMES, NOW, Draft, Forge, alternative, dns, uri

Fault = Callable[[Draft], Draft]
OURS = NAMES.as_general_names()
KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@pytest.fixture(scope="module")
def bundle(forge: Forge) -> trust.TrustBundle:
    """Return the bundle of shop.internal."""
    return trust.TrustBundle("shop.internal", (forge.root,))


def presented(forge: Forge, draft: Draft) -> list[x509.Certificate]:
    """Return what a service presents: its own certificate and the issuing CA's."""
    return [draft.sign(forge.issuing_key), forge.issuing]


def common_name(text: str) -> x509.Name:
    """Return a subject with this common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(*names: str) -> x509.KeyUsage:
    """Return a key usage with these bits."""
    return x509.KeyUsage(**{name: name in names for name in KEY_USAGES})


def test_right_chain_is_trusted(forge: Forge, bundle: trust.TrustBundle) -> None:
    """Names and the path to the root come back."""
    chain = presented(forge, forge.leaf_draft)
    verified = trust.verify_chain(chain, bundle, now=NOW)
    assert verified.names == NAMES
    assert verified.certificates == (*chain, forge.root)
    assert verified.certificate == chain[0]


def test_root_in_the_presented_chain_does_no_harm(
    forge: Forge, bundle: trust.TrustBundle
) -> None:
    """Some peers send their root, too."""
    chain = [*presented(forge, forge.leaf_draft), forge.root]
    trust.verify_chain(chain, bundle, now=NOW)


def test_common_name_that_repeats_a_dns_name_is_taken(
    forge: Forge, bundle: trust.TrustBundle
) -> None:
    """A subject is not ours, but says nothing new."""
    draft = forge.leaf_draft.but(subject=common_name("localhost")).critical(
        x509.SubjectAlternativeName, to=False
    )
    trust.verify_chain(presented(forge, draft), bundle, now=NOW)


def test_basic_constraints_may_be_absent(
    forge: Forge, bundle: trust.TrustBundle
) -> None:
    """Who does not say to be a CA is none (RFC 5280, section 4.2.1.9)."""
    draft = forge.leaf_draft.without(x509.BasicConstraints)
    trust.verify_chain(presented(forge, draft), bundle, now=NOW)


LEAF_FAULTS: list[tuple[str, type[Exception], Fault]] = [
    (
        "two SPIFFE IDs",
        IdentityError,
        lambda d: d.with_extension(
            alternative(*OURS, *uri("spiffe://shop.internal/b")), critical=True
        ),
    ),
    (
        "no SPIFFE ID",
        IdentityError,
        lambda d: d.with_extension(alternative(*dns("localhost")), critical=True),
    ),
    (
        "SPIFFE ID without path",
        IdentityError,
        lambda d: d.with_extension(
            alternative(*dns("localhost"), *uri("spiffe://shop.internal")),
            critical=True,
        ),
    ),
    (
        "other trust domain",
        trust.OtherTrustDomainError,
        lambda d: d.with_extension(
            alternative(*dns("localhost"), *uri("spiffe://other.internal/orders")),
            critical=True,
        ),
    ),
    (
        "expired",
        path.UntrustedPathError,
        lambda d: d.but(ends=NOW - timedelta(seconds=1)),
    ),
    (
        "not yet valid",
        path.UntrustedPathError,
        lambda d: d.but(begins=NOW + timedelta(seconds=1)),
    ),
    (
        "DNS name outside the issuer's constraint",
        path.UntrustedPathError,
        lambda d: d.with_extension(
            alternative(*OURS, *dns("orders.other.internal")), critical=True
        ),
    ),
    (
        "unknown critical extension",
        path.UntrustedPathError,
        lambda d: d.with_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
            critical=True,
        ),
    ),
    (
        "server only",
        path.UntrustedPathError,
        lambda d: d.with_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        ),
    ),
    (
        "client only",
        trust.KeyUsageError,
        lambda d: d.with_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        ),
    ),
    (
        "no extended key usage",
        trust.KeyUsageError,
        lambda d: d.without(x509.ExtendedKeyUsage),
    ),
    ("no key usage", trust.KeyUsageError, lambda d: d.without(x509.KeyUsage)),
    (
        "key usage not critical",
        trust.KeyUsageError,
        lambda d: d.critical(x509.KeyUsage, to=False),
    ),
    (
        "no digital signature",
        trust.KeyUsageError,
        lambda d: d.with_extension(usage("key_agreement"), critical=True),
    ),
    (
        "may sign CRLs",
        path.AuthorityAsWorkloadError,
        lambda d: d.with_extension(
            usage("digital_signature", "crl_sign"), critical=True
        ),
    ),
    (
        "foreign common name",
        trust.CommonNameError,
        lambda d: d.but(subject=common_name("stock")).critical(
            x509.SubjectAlternativeName, to=False
        ),
    ),
    (
        "RSA of 1024 bits",
        path.WeakKeyError,
        lambda d: d.but(key=weak_rsa()),
    ),
    (
        "P-521",
        path.WeakKeyError,
        lambda d: d.but(key=ec.generate_private_key(ec.SECP521R1())),
    ),
    (
        "Ed25519",
        path.WeakKeyError,
        lambda d: d.but(key=ed25519.Ed25519PrivateKey.generate()),
    ),
]


def weak_rsa() -> rsa.RSAPrivateKey:
    """Return a key that was fine in the last century."""
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - the point


@pytest.mark.parametrize(
    ("refusal", "fault"),
    [item[1:] for item in LEAF_FAULTS],
    ids=[item[0] for item in LEAF_FAULTS],
)
def test_one_fault_in_the_certificate_is_refused(
    forge: Forge, bundle: trust.TrustBundle, refusal: type[Exception], fault: Fault
) -> None:
    """A chain with exactly one fault is refused for exactly that."""
    chain = presented(forge, fault(forge.leaf_draft))
    with pytest.raises(refusal):
        trust.verify_chain(chain, bundle, now=NOW)


def test_rsa_of_2048_bits_is_taken(forge: Forge, bundle: trust.TrustBundle) -> None:
    """Our CA gives none, but another one of the trust domain may."""
    draft = forge.leaf_draft.but(key=rsa.generate_private_key(65537, 2048))
    trust.verify_chain(presented(forge, draft), bundle, now=NOW)


def test_rogue_ca_is_refused(bundle: trust.TrustBundle) -> None:
    """Same names, same everything, another root."""
    rogue = Forge()
    with pytest.raises(path.UntrustedPathError):
        trust.verify_chain(presented(rogue, rogue.leaf_draft), bundle, now=NOW)


def test_missing_intermediate_is_refused(
    forge: Forge, bundle: trust.TrustBundle
) -> None:
    """The bundle holds roots only: the path between has to be presented."""
    chain = presented(forge, forge.leaf_draft)[:1]
    with pytest.raises(path.UntrustedPathError):
        trust.verify_chain(chain, bundle, now=NOW)


def test_leaf_that_signs_a_leaf_is_refused(
    forge: Forge, bundle: trust.TrustBundle
) -> None:
    """A service cannot pass its identity on (pathLen 0, and no CA)."""
    middle_draft = forge.leaf_draft
    assert isinstance(middle_draft.key, ec.EllipticCurvePrivateKey)
    middle = middle_draft.sign(forge.issuing_key)
    leaf = forge.draft(NAMES).but(issuer=middle.subject).sign(middle_draft.key)
    with pytest.raises(path.UntrustedPathError):
        trust.verify_chain([leaf, middle, forge.issuing], bundle, now=NOW)


def test_issuing_ca_makes_no_ca_below_itself(
    forge: Forge, bundle: trust.TrustBundle
) -> None:
    """A stolen issuing key cannot make a CA that is believed (pathLen 0)."""
    below = Forge()
    middle = (
        below.issuing_draft.but(
            subject=common_name("below"), issuer=forge.issuing.subject
        )
        .with_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                forge.issuing_key.public_key()
            )
        )
        .sign(forge.issuing_key)
    )
    draft = below.leaf_draft.but(issuer=common_name("below"))
    leaf = draft.sign(below.issuing_key)
    with pytest.raises(path.UntrustedPathError, match="path length"):
        trust.verify_chain([leaf, middle, forge.issuing], bundle, now=NOW)


def test_issuing_ca_is_no_workload(forge: Forge, bundle: trust.TrustBundle) -> None:
    """A CA certificate with a workload's name does not authenticate anything."""
    draft = (
        forge.leaf_draft.with_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        .with_extension(usage("digital_signature", "key_cert_sign"), critical=True)
    )  # fmt: skip
    with pytest.raises(path.TrustError):
        trust.verify_chain(presented(forge, draft), bundle, now=NOW)


def test_presented_root_is_no_workload(forge: Forge, bundle: trust.TrustBundle) -> None:
    """A root presents itself and has no path in its ID."""
    with pytest.raises(IdentityError):
        trust.verify_chain([forge.root], bundle, now=NOW)


def test_empty_bundle_trusts_nothing(forge: Forge) -> None:
    """No root, no trust; and it is no error to have such a bundle."""
    empty = trust.TrustBundle.from_pem("shop.internal", b"")
    with pytest.raises(trust.EmptyBundleError):
        trust.verify_chain(presented(forge, forge.leaf_draft), empty, now=NOW)


def test_bundle_of_another_trust_domain_is_refused(forge: Forge) -> None:
    """The right root under the wrong name speaks for nobody."""
    other = trust.TrustBundle("other.internal", (forge.root,))
    with pytest.raises(trust.OtherTrustDomainError):
        trust.verify_chain(presented(forge, forge.leaf_draft), other, now=NOW)


@pytest.mark.parametrize("length", [0, 11])
def test_chain_of_odd_length_is_refused(
    forge: Forge, bundle: trust.TrustBundle, length: int
) -> None:
    """Nothing, or so much that looking at it is a service to an attacker."""
    chain = presented(forge, forge.leaf_draft)
    with pytest.raises(path.ChainLengthError, match=f"{length} certificates"):
        trust.verify_chain((chain * 6)[:length], bundle, now=NOW)


def test_bundle_is_read_from_pem(forge: Forge, bundle: trust.TrustBundle) -> None:
    """As many roots as the file holds."""
    pem = forge.root.public_bytes(Encoding.PEM)
    assert trust.TrustBundle.from_pem("shop.internal", pem) == bundle


def test_unreadable_bundle_is_refused() -> None:
    """Half a file is not an empty bundle."""
    with pytest.raises(trust.BundleError, match="unreadable"):
        trust.TrustBundle.from_pem("shop.internal", b"-----BEGIN CERTIFICATE-----\n")


def test_bundle_with_a_service_in_it_is_refused(forge: Forge) -> None:
    """A service is no root."""
    leaf = forge.leaf_draft.sign(forge.issuing_key)
    with pytest.raises(trust.BundleError, match="no CA"):
        trust.TrustBundle("shop.internal", (leaf,))


def test_bundle_without_basic_constraints_is_refused(forge: Forge) -> None:
    """What does not say that it is a CA is none."""
    root = forge.root_draft.without(x509.BasicConstraints).sign(forge.root_key)
    with pytest.raises(trust.BundleError, match="no CA"):
        trust.TrustBundle("shop.internal", (root,))


def test_verifying_loads_nothing_that_signs() -> None:
    """Importing `trust` loads no key, ledger or authority."""
    program = "import sys, pki.trust; print(*[m for m in sys.modules if 'pki' in m])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= {
        "pki",
        "pki.errors",
        "pki.clock",
        "pki.conformance",
        "pki.identity",
        "pki.path",
        "pki.trust",
    }


def test_other_service_keeps_its_own_name(
    forge: Forge, bundle: trust.TrustBundle
) -> None:
    """The verified name is the certificate's, whoever was expected."""
    names = Names(SpiffeId("shop.internal", "/service/stock"), NAMES.dns_names)
    chain = presented(forge, forge.draft(names))
    assert trust.verify_chain(chain, bundle, now=NOW).names == names
