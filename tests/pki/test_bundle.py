"""SPIFFE bundles: what is written is read, and each fault has its own refusal."""

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwcrypto.jwk import JWK

from pki import bundle_series, trust
from pki.bundle import (
    ForeignAuthorityError,
    SpiffeBundle,
    WrongJwkError,
    read_bundle,
    read_spiffe,
    write_spiffe,
)
from pki.profiles import root
from pki.rotation_steps import What
from pki.trust import BundleError, EmptyBundleError, TrustBundle
from tests.pki.builders import NOW, Ca, Forge, p256
from tests.pki.command import pki
from tests.pki.rotating import Rotating

Document = dict[str, Any]
Fault = Callable[[Document], object]
DOMAIN = "shop.internal"


@pytest.fixture(scope="module")
def other_root() -> x509.Certificate:
    """Return the root of partner.example."""
    return _root("partner.example")


def _root(domain: str) -> x509.Certificate:
    key = p256()
    life = timedelta(days=3650)
    builder = root(key.public_key(), trust_domain=domain, lifetime=life, now=NOW)
    return builder.sign(key, hashes.SHA256())


def _document(*roots: x509.Certificate) -> Document:
    bundle = SpiffeBundle(TrustBundle(DOMAIN, roots), 7, 300)
    return json.loads(json.dumps(write_spiffe(bundle)))  # type: ignore[no-any-return]


def _read(document: object) -> SpiffeBundle:
    return read_spiffe(DOMAIN, json.dumps(document).encode())


def test_what_is_written_is_read(forge: Forge) -> None:
    """Roots, number and hint come back as they were."""
    assert _read(_document(forge.root)) == SpiffeBundle(
        TrustBundle(DOMAIN, (forge.root,)), 7, 300
    )


def test_a_jwk_is_as_the_standards_say(forge: Forge) -> None:
    """A use, one certificate, the key's parameters, and no kid."""
    (jwk,) = _document(forge.root)["keys"]
    assert jwk["use"] == "x509-svid"
    assert jwk["x5c"] == [b64encode(forge.root.public_bytes(Encoding.DER)).decode()]
    assert set(jwk) == {"kty", "crv", "x", "y", "use", "x5c"}


def test_another_jose_reads_the_key_of_the_certificate(forge: Forge) -> None:
    """jwcrypto, another hand than ours, sees in the JWK the key that x5c certifies."""
    (jwk,) = _document(forge.root)["keys"]
    expected = forge.root.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    assert JWK(**jwk).export_to_pem() == expected


def test_an_rsa_root_has_the_form_of_its_key() -> None:
    """Other trust domains may have RSA roots, as in the standard's own example."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    document = _document(made)
    assert document["keys"][0]["e"] == "AQAB"
    assert _read(document).trust.roots == (made,)


def test_either_form_is_recognised(forge: Forge) -> None:
    """Whoever is given a file need not be told which form it has."""
    pem = forge.root.public_bytes(Encoding.PEM)
    spiffe = json.dumps(_document(forge.root)).encode()
    assert read_bundle(DOMAIN, pem).trust == read_bundle(DOMAIN, spiffe).trust


@pytest.mark.parametrize("content", [b'{"keys": []}', b"", b"\n"])
def test_no_keys_are_nothing_to_trust(forge: Forge, content: bytes) -> None:
    """A set without keys is a bundle, by which no chain is good."""
    bundle = read_bundle(DOMAIN, content).trust
    chain = [forge.leaf_draft.sign(forge.issuing_key), forge.issuing]
    with pytest.raises(EmptyBundleError):
        trust.verify_chain(chain, bundle, now=NOW)


@pytest.mark.parametrize(
    "change",
    [
        lambda jwk: jwk.update(use="jwt-svid"),
        lambda jwk: jwk.pop("use"),
        lambda jwk: jwk.update(kty="AKP"),
        lambda jwk: jwk.update(x5c=[]),
        lambda jwk: jwk.pop("x5c"),
    ],
)
def test_entries_for_something_else_are_passed_over(
    forge: Forge, change: Callable[[Document], object]
) -> None:
    """Other uses and kinds of keys, and entries without a certificate, are ignored."""
    document = _document(forge.root, forge.root)
    change(document["keys"][0])
    assert _read(document).trust.roots == (forge.root,)
    del document["keys"][1]
    assert _read(document).trust.roots == ()


def test_of_several_certificates_the_first_counts(
    forge: Forge, other_root: x509.Certificate
) -> None:
    """X509-SVID.md, section 6.2: all but the first are passed over."""
    document = _document(forge.root)
    der = b64encode(other_root.public_bytes(Encoding.DER)).decode()
    document["keys"][0]["x5c"].append(der)
    assert _read(document).trust.roots == (forge.root,)


@pytest.mark.parametrize(
    "fault",
    [
        lambda it: it.pop("keys"),
        lambda it: it.update(keys={}),
        lambda it: it["keys"].append("root"),
        lambda it: it["keys"][0].update(x5c=["AAAA"]),
        lambda it: it["keys"][0].update(x5c=["no base64"]),
        lambda it: it["keys"][0].update(x5c=7),
        lambda it: it["keys"][0].update(x5c={}),
        lambda it: it.update(spiffe_sequence=-1),
        lambda it: it.update(spiffe_sequence=2**63),
        lambda it: it.update(spiffe_sequence=1.5),
        lambda it: it.update(spiffe_sequence=True),
        lambda it: it.update(spiffe_sequence="8"),
        lambda it: it.update(spiffe_refresh_hint=-1),
        lambda it: it.update(more="x" * 300_000),
    ],
)
def test_one_fault_refuses_the_whole(forge: Forge, fault: Fault) -> None:
    """What cannot be understood is no smaller bundle, it is none."""
    document = _document(forge.root)
    fault(document)
    with pytest.raises(BundleError):
        _read(document)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"keys": [], "keys": []}', "[" * 100_000, "\udcff"]
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    """One member twice is two documents in one, and refused with the rest."""
    with pytest.raises(BundleError):
        read_spiffe(DOMAIN, text.encode(errors="surrogateescape"))


def test_what_is_neither_form_is_refused() -> None:
    """A file of something else is not an empty bundle."""
    with pytest.raises(BundleError):
        read_bundle(DOMAIN, b"-----BEGIN PUBLIC KEY-----")


def test_a_jwk_of_another_key_is_refused(forge: Forge) -> None:
    """Readers of the key and readers of the certificate would trust two things."""
    document = _document(forge.root)
    document["keys"][0]["x"] = document["keys"][0]["y"]
    with pytest.raises(WrongJwkError):
        _read(document)


@pytest.mark.parametrize("form", ["spiffe", "pem"])
def test_a_root_of_another_domain_is_refused(
    other_root: x509.Certificate, form: str
) -> None:
    """A file in the wrong place would let one trust domain speak for another."""
    content = other_root.public_bytes(Encoding.PEM)
    if form == "spiffe":
        content = json.dumps(_document(other_root)).encode()
    with pytest.raises(ForeignAuthorityError):
        read_bundle(DOMAIN, content)
    assert read_bundle("partner.example", content).trust.roots == (other_root,)


def test_a_workloads_certificate_is_no_root(forge: Forge) -> None:
    """An entry with a leaf in it would make the leaf's holder a CA to some readers."""
    leaf = forge.leaf_draft.sign(forge.issuing_key)
    key = leaf.public_bytes(Encoding.DER)
    document = _document(forge.root)
    document["keys"][0]["x5c"] = [b64encode(key).decode()]
    with pytest.raises(BundleError):
        _read(document)


def test_the_number_stays_until_the_roots_change(
    ca: Ca, other_root: x509.Certificate
) -> None:
    """Asked again, nothing is new; another root raises the number."""
    own = trust_of(ca)
    first = bundle_series.published(ca.layout, own, now=NOW)
    again = bundle_series.published(ca.layout, own, now=NOW + timedelta(days=1))
    assert again == first
    both = (*own, _root(DOMAIN))
    later = bundle_series.published(ca.layout, both, now=NOW + timedelta(days=1))
    assert later.sequence is not None
    assert first.sequence is not None
    assert later.sequence > first.sequence
    assert set(later.trust.roots) == set(both)


def test_the_number_rises_with_a_clock_that_went_back(ca: Ca) -> None:
    """Two changes in a second, or a clock put right, are two numbers still."""
    own = trust_of(ca)
    first = bundle_series.published(ca.layout, own, now=NOW).sequence
    both = (*own, _root(DOMAIN))
    earlier = NOW - timedelta(days=1)
    assert first is not None
    assert bundle_series.published(ca.layout, both, now=earlier).sequence == first + 1
    assert bundle_series.published(ca.layout, own, now=earlier).sequence == first + 2


def test_the_number_rises_with_every_change_of_a_rotation(ca: Ca) -> None:
    """A new root comes, the old one goes: two changes, and none in the phases between.

    Whoever follows the numbers trusts both roots while either signs.
    """
    rotating = Rotating(ca, What.ROOT)
    rotating.begin()
    told = []
    while rotating.phase:
        roots = rotating.standing.roots
        bundle = bundle_series.published(ca.layout, roots, now=NOW)
        told.append((bundle.sequence, len(bundle.trust.roots)))
        rotating.advance()
    first, *_ = told
    assert first[0] is not None
    assert told == [
        (first[0], 1),
        *[(first[0] + 1, 2)] * 3,
        (first[0] + 2, 1),
    ]


def test_the_number_rises_after_the_file_was_lost(ca: Ca) -> None:
    """What a CA has published is numbered below what it will."""
    own = trust_of(ca)
    first = bundle_series.published(ca.layout, own, now=NOW).sequence
    ca.layout.bundle.unlink()
    later = NOW + timedelta(seconds=1)
    again = bundle_series.published(ca.layout, own, now=later).sequence
    assert first is not None
    assert again is not None
    assert again > first


def trust_of(ca: Ca) -> tuple[x509.Certificate, ...]:
    """Return the CA's roots."""
    pem = ca.layout.certificate("root").read_bytes()
    return tuple(x509.load_pem_x509_certificates(pem))


def test_the_command_writes_each_form(ca: Ca) -> None:
    """What `bundle` prints is a file for whoever is to trust this CA."""
    asked = ("bundle", "--directory", ca.layout.directory)
    pem = pki(*asked, "--format", "pem").output
    assert pem == ca.layout.certificate("root").read_text()
    done = pki(*asked, "--format", "spiffe")
    bundle = read_spiffe(DOMAIN, done.output.encode())
    assert bundle.trust == read_bundle(DOMAIN, pem.encode()).trust
    assert bundle.refresh_hint == bundle_series.REFRESH_HINT
    assert pki(*asked, "--format", "spiffe").output == done.output


def test_reading_a_bundle_loads_nothing_that_signs(
    loaded_by: Callable[[str], set[str]],
) -> None:
    """A relying party that reads the other domain's roots cannot sign."""
    signing = {"pki.authority", "pki.keys", "pki.ledger", "pki.profiles"}
    assert not loaded_by("pki.bundle") & signing


def test_an_intermediate_is_not_published(ca: Ca, forge: Forge) -> None:
    """Only what `trust` takes as a root gets a number."""
    leaf = forge.leaf_draft.sign(forge.issuing_key)
    with pytest.raises(BundleError):
        bundle_series.published(ca.layout, (leaf,), now=NOW)
    assert not ca.layout.bundle.exists()
