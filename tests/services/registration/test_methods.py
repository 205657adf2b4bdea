"""Tests of `services.registration`: one method a client, and no mistake in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.config import ConfigError
from services.jwk import JwkError
from services.registration.methods import (
    MOST_KEYS,
    KeySource,
    PrivateKeyJwt,
    SelfSigned,
)
from tests.services.documents import (
    client_document,
    token_service_config,
    token_service_document,
    write,
)
from tests.services.proofs import Prover, RsaProver
from tests.services.registered import Owner

SPIFFE_ID = "spiffe://shop.internal/service/storefront"
OWNER, PROVER = Owner(), Prover()
URI = "https://client.example/jwks"
REGISTERED: dict[str, dict[str, Any]] = {
    "tls_client_auth": {"san_uri": SPIFFE_ID},
    "self_signed_tls_client_auth": {"jwks": {"keys": [OWNER.jwk()]}},
    "private_key_jwt": {"jwks": {"keys": [PROVER.public()]}},
    "spiffe_x509": {},
}


def registration(**members: Any) -> dict[str, Any]:
    """Return a client with these members and no method of its own."""
    document = client_document(**members)
    if "tls_client_auth" not in members:
        del document["tls_client_auth"]
    return document


def refused(
    directory: Path, member: str, value: object, client_id: str = SPIFFE_ID
) -> str:
    """Return why a client is refused whose method is `value`."""
    clients = {client_id: registration(**{member: value})}
    with pytest.raises(ConfigError) as refusal:
        token_service_config(directory, clients=clients)
    assert "clients" in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("name", REGISTERED)
def test_each_method_reads(tmp_path: Path, name: str) -> None:
    """A client has the method under whose name its registration stands."""
    clients = {SPIFFE_ID: registration(**{name: REGISTERED[name]})}
    config = token_service_config(tmp_path, clients=clients)
    found, _ = config.clients[SPIFFE_ID].method
    assert found == name


def test_no_method_is_refused(tmp_path: Path) -> None:
    """A client that cannot authenticate would be nobody, or anybody."""
    assert "exactly one of" in refused(tmp_path, "format", "jwt")


@pytest.mark.parametrize("name", [name for name in REGISTERED if name[0] != "t"])
def test_two_methods_are_refused(tmp_path: Path, name: str) -> None:
    """Nobody could say which of them counts (RFC 6749, section 2.3)."""
    both = registration(
        tls_client_auth={"san_uri": SPIFFE_ID}, **{name: REGISTERED[name]}
    )
    path = write(tmp_path, token_service_document(clients={SPIFFE_ID: both}))
    with pytest.raises(ConfigError, match="exactly one of"):
        token_service_config(path.parent, clients={SPIFFE_ID: both})


@pytest.mark.parametrize("name", REGISTERED)
def test_unknown_members_are_refused(tmp_path: Path, name: str) -> None:
    """A misspelt member must not leave a check switched off."""
    reason = refused(tmp_path, name, {**REGISTERED[name], "extra": 1})
    assert f".{name}" in reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "exactly one of jwks and jwks_uri"),
        ({"jwks": {"keys": [PROVER.public()]}, "jwks_uri": URI}, "exactly one of"),
        ({"jwks": {"keys": []}}, ".jwks.keys"),
        ({"jwks": {}}, ".jwks"),
        ({"jwks": {"keys": ["x"]}}, ".jwks.keys"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "x"}]}}, "private or symmetric"),
        ({"jwks": {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}}, "RSA key"),
        ({"jwks": {"keys": [{**PROVER.public(), "alg": "RS256"}]}}, "alg is not"),
        ({"jwks": {"keys": [{**PROVER.public(), "x": "AA"}]}}, "jwk"),
        ({"jwks": {"keys": [PROVER.public()] * (MOST_KEYS + 1)}}, "more than"),
        ({"jwks": {"keys": [PROVER.public()]}, "networks": ["::/0"]}, "belong to"),
        ({"jwks_uri": "http://client.example/jwks"}, ".jwks_uri"),
        ({"jwks_uri": "https://client.example/jwks?x=y"}, ".jwks_uri"),
        ({"jwks_uri": "https://me@client.example/jwks"}, "no user"),
        ({"jwks_uri": "https://:443/jwks"}, "expected a host"),
        ({"jwks_uri": "https://client.example:x/"}, "Port"),
        ({"jwks_uri": URI, "networks": ["10.0.0.1/8"]}, "host bits"),
        ({"jwks_uri": URI, "trust_bundle": "bundle.pem"}, "absolute path"),
    ],
)
def test_a_bad_source_of_keys_is_refused(
    tmp_path: Path, value: dict[str, Any], reason: str
) -> None:
    """What is wrong is said with the member it is wrong in."""
    said = refused(tmp_path, "private_key_jwt", value)
    assert reason in said
    assert ".private_key_jwt" in said


def test_a_key_without_certificate_is_no_self_signed_client(tmp_path: Path) -> None:
    """The certificate is what is compared (RFC 8705, section 2.2)."""
    value = {"jwks": {"keys": [PROVER.public()]}}
    assert "no certificate" in refused(tmp_path, "self_signed_tls_client_auth", value)


def test_a_ca_is_no_self_signed_client(tmp_path: Path) -> None:
    """It is refused before TLS could ever trust it (measured: F1)."""
    value = {"jwks": {"keys": [Owner(authority=True, signs=True).jwk()]}}
    reason = refused(tmp_path, "self_signed_tls_client_auth", value)
    assert "a CA's certificate" in reason


@pytest.mark.parametrize("client_id", ["storefront", "spiffe://shop.internal"])
def test_a_spiffe_client_is_called_by_its_spiffe_id(
    tmp_path: Path, client_id: str
) -> None:
    """The client id is what the certificate is compared with."""
    assert "spiffe_x509" in refused(tmp_path, "spiffe_x509", {}, client_id)


@pytest.mark.parametrize(
    ("member", "value", "client_id"),
    [
        ("spiffe_x509", {}, "spiffe://other.internal/service/storefront"),
        ("tls_client_auth", {"san_dns": "a", "trust_domain": "other.internal"}, "a"),
    ],
)
def test_a_trust_domain_without_roots_is_refused(
    tmp_path: Path, member: str, value: object, client_id: str
) -> None:
    """Nobody could vouch for such a client."""
    assert "without a bundle" in refused(tmp_path, member, value, client_id)


@pytest.mark.parametrize("domain", ["shop.internal", "Other.Internal", "a b", ""])
def test_a_bad_trust_domain_is_refused(tmp_path: Path, domain: str) -> None:
    """Our own roots come with the identity alone, and a domain has one spelling."""
    with pytest.raises(ConfigError, match="trust_bundles"):
        token_service_config(tmp_path, trust_bundles={domain: "/srv/bundle.pem"})


def published(source: KeySource, *keys: object) -> list[str | None]:
    """Return the ids of the usable keys of a document."""
    document = json.dumps({"keys": keys, "extra": 1}).encode()
    return [key.key_id for key in source.published(document)]


def test_published_keys_of_other_kinds_are_passed_over() -> None:
    """Others may have a use for them (RFC 7517, section 5)."""
    source = PrivateKeyJwt(jwks_uri=URI)
    good = [{**PROVER.public(), "kid": "one"}, {**RsaProver().public(), "kid": "two"}]
    others = [
        {**PROVER.public(), "use": "enc", "kid": "three"},
        {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
        {"kty": "new"},
        {},
    ]
    assert published(source, *others, *good) == ["one", "two"]


def test_a_published_ca_is_passed_over() -> None:
    """It must not become an anchor, and spoils nothing for the others."""
    source = SelfSigned(jwks_uri=URI)
    trap = Owner(authority=True, signs=True).jwk(kid="trap")
    assert published(source, trap, OWNER.jwk(kid="good")) == ["good"]


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b'{"keys":{}}', b'{"keys":[1]}', b"{}", b"\xff", b"[" * 100_000],
    ids=lambda document: document[:12],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    """Half a document is none."""
    with pytest.raises(JwkError):
        PrivateKeyJwt(jwks_uri=URI).published(document)


def test_a_published_private_key_spoils_the_set() -> None:
    """Whoever publishes one has lost control of the others, too."""
    source = PrivateKeyJwt(jwks_uri=URI)
    with pytest.raises(JwkError, match="private"):
        published(source, {**PROVER.public(), "d": "AA"}, PROVER.public())


def test_too_many_published_keys_are_refused() -> None:
    """Each of them might have to be tried on an assertion."""
    with pytest.raises(JwkError, match="more than"):
        published(PrivateKeyJwt(jwks_uri=URI), *[PROVER.public()] * (MOST_KEYS + 1))
