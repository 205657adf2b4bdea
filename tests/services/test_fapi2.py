"""Tests of `services.fapi2`: each line of FAPI 2.0 that concerns us, O173 to O184.

Everything here runs under `"profile": "fapi2"`, so that what the profile demands is
seen to hold with it, wherever in the kit it is kept.
"""

import ssl
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.config import ConfigError
from services.fapi2 import LONGEST_TOKEN
from services.guard.token_source import TokenUnavailableError
from services.proof.access_token import TYPE
from services.proof.dpop_client import DpopKey
from services.proof.embedded_key import PROOF_ALGORITHMS, embedded_key
from services.proof.jws import parse, verify
from services.proof.key_set import KeySetUnavailableError, read_key_set
from services.wire.tls import ServerContext
from tests.services.asking import Asking
from tests.services.documents import (
    ISSUER,
    STOREFRONT,
    client_document,
    service_config,
    service_document,
    token_service_config,
    write,
)
from tests.services.guarding import Service, bearer, guarded
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.proofs import EdProver, Prover, Proving, RsaProver
from tests.services.registered import asserted, assertion, error_of
from tests.services.running import (
    Clock,
    Tokens,
    client_of,
    registrations,
    request,
    token_service,
)
from tests.services.tokens import Signer, encode

FAPI: dict[str, Any] = {"profile": "fapi2"}
SIGNER = Prover()


def clients() -> dict[str, Any]:
    """Return the clients of the sample that the profile allows, and two more."""
    kept = {
        name: each
        for name, each in registrations().items()
        if each["binding"] != "none"
    }
    jwk = {**SIGNER.public(), "kid": "one"}
    signing = client_document(private_key_jwt={"jwks": {"keys": [jwk]}})
    del signing["tls_client_auth"]
    return {**kept, "partner": signing, "prover": client_document(binding="dpop")}


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tokens]:
    """Return a token service under the profile."""
    directory = tmp_path_factory.mktemp("tokens")
    with token_service(mesh, serve, directory, clients=clients(), **FAPI) as running:
        yield running


@pytest.fixture(scope="module")
def orders(
    mesh: Mesh, serve: Serve, tokens: Tokens, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Return a resource service under the profile, which takes DPoP as well."""
    directory = tmp_path_factory.mktemp("orders")
    with guarded(
        tokens,
        serve,
        mesh.instance("orders"),
        directory,
        token_service=address(tokens.url),
        guard={**service_document()["guard"], "origins": ["https://orders.internal"]},
        state=str(directory),
        **FAPI,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the caller."""
    return mesh.instance("storefront")


def address(url: str = ISSUER, **changes: Any) -> dict[str, Any]:
    """Return where the token service is, for a resource service."""
    return {
        **service_document()["token_service"],
        "token_endpoint": f"{url}/token",
        "jwks_uri": f"{url}/jwks",
        "revocations_uri": f"{url}/revocations",
        **changes,
    }


def signed(tokens: Tokens, **changes: Any) -> dict[str, Any]:
    """Return the parameters of an assertion made now, good but for the `changes`."""
    at = int(tokens.clock().timestamp())
    tokens.clock.move(seconds=1)  # so that no two have one id
    times = {"iat": at, "nbf": at, "exp": at + 60, "jti": f"assertion-{at}"}
    return asserted(assertion(SIGNER, **{**times, **changes}))


def claims(tokens: Tokens, storefront: Instance, text: str) -> dict[str, Any]:
    """Return what a token says, once its issuer's key has proved it."""
    unverified = parse(text)
    key = tokens.keys(storefront)[unverified.key_id]
    return verify(unverified, key, types=frozenset({TYPE}))


def confirmation(tokens: Tokens, storefront: Instance, text: str) -> Any:
    """Return what a token is bound to."""
    return claims(tokens, storefront, text).get("cnf")


def with_proof(tokens: Tokens, storefront: Instance, key: DpopKey) -> httpx.Response:
    """Ask for a token that is bound to a key, nonce and all."""
    nonce = None
    with tokens.client(storefront) as client:
        for _ in range(2):
            proof = key.proof(
                "POST", f"{ISSUER}/token", now=tokens.clock(), nonce=nonce
            )
            form = request(client_id="prover")
            answer = client.post("/token", data=form, headers={"DPoP": proof})
            nonce = answer.headers.get("dpop-nonce")
    return answer


def test_o173_tls_1_2_has_the_four_suites_of_bcp_195(mesh: Mesh) -> None:
    """Where 1.2 is allowed at all; 1.3 is what is spoken otherwise."""
    for minimum in ("1.2", "1.3"):
        context = ServerContext(mesh.instance("orders").live(), minimum=minimum)
        suites = {
            suite["name"]
            for suite in context._context.get_ciphers()
            if suite["protocol"] == "TLSv1.2"
        }
        assert suites == {
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-RSA-AES256-GCM-SHA384",
        }
        assert context._context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_o174_metadata_is_published(tokens: Tokens, storefront: Instance) -> None:
    """With the issuer that clients are to compare."""
    with tokens.client(storefront) as client:
        document = client.get("/.well-known/oauth-authorization-server").json()
    assert document["issuer"] == ISSUER


def test_o174_there_is_no_password_grant(tokens: Tokens, storefront: Instance) -> None:
    """It is not offered, with or without the profile."""
    answer = tokens.ask(storefront, grant_type="password")
    assert error_of(answer) == (400, "unsupported_grant_type")


def test_o174_every_client_is_confidential(tmp_path: Path) -> None:
    """A client without a way to authenticate cannot be registered."""
    public = client_document()
    del public["tls_client_auth"]
    with pytest.raises(ConfigError, match="exactly one of"):
        token_service_config(tmp_path, clients={"public": public}, **FAPI)


def test_o175_a_bearer_client_is_refused(tmp_path: Path) -> None:
    """When the document is read: none is issued for a single request."""
    named = {"drill-bearer": client_document(binding="none")}
    with pytest.raises(ConfigError, match=r"clients\.drill-bearer.*bearer"):
        token_service_config(tmp_path, clients=named, **FAPI)
    assert token_service_config(tmp_path, clients=named).clients


def test_o175_a_resource_takes_no_bearer_tokens(tmp_path: Path) -> None:
    """Nor can it be told to."""
    guard = {**service_document()["guard"], "bearer_clients": ["drill-bearer"]}
    with pytest.raises(ConfigError, match=r"guard\.bearer_clients"):
        service_config(tmp_path, guard=guard, token_service=address(), **FAPI)


def test_o175_tokens_are_bound_to_a_certificate_or_a_key(
    tokens: Tokens, storefront: Instance
) -> None:
    """To one of the two, for each kind of client."""
    plain = tokens.token(storefront)
    assert confirmation(tokens, storefront, plain) == {
        "x5t#S256": storefront.generation.thumbprint
    }
    answer = with_proof(tokens, storefront, DpopKey())
    token = str(answer.json()["access_token"])
    assert set(confirmation(tokens, storefront, token)) == {"jkt"}


def test_o175_a_switch_turned_while_it_runs_ends_bearer_tokens(
    mesh: Mesh, serve: Serve, tmp_path: Path, storefront: Instance
) -> None:
    """The next document with the profile and without the client counts at once."""
    with token_service(mesh, serve, tmp_path) as tokens:
        assert tokens.ask(storefront, client_id="bearer").status_code == 200
        state = str(tmp_path / "state")
        tokens.configure(state=state, clients=clients(), **FAPI)
        tokens.clock.move(seconds=1)
        answer = tokens.ask(storefront, client_id="bearer")
    assert error_of(answer) == (401, "invalid_client")


def test_o176_the_spiffe_draft_is_no_method_of_the_profile(tmp_path: Path) -> None:
    """Mutual TLS as RFC 8705 has it, or private_key_jwt."""
    draft = client_document(spiffe_x509={})
    del draft["tls_client_auth"]
    with pytest.raises(ConfigError, match="fapi2 forbids spiffe_x509"):
        token_service_config(tmp_path, clients={STOREFRONT: draft}, **FAPI)
    assert token_service_config(tmp_path, clients={STOREFRONT: draft}).clients


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": "Basic c3RvcmVmcm9udDp4"}},
        {"data": request(client_secret="x")},
    ],
    ids=["basic", "post"],
)
def test_o176_no_secret_is_taken(
    tokens: Tokens, storefront: Instance, options: dict[str, Any]
) -> None:
    """Neither in a header nor in the form."""
    with tokens.client(storefront) as client:
        answer = client.post("/token", **{"data": request(), **options})
    assert error_of(answer) == (400, "invalid_request")


def test_o176_private_key_jwt_is_taken_and_bound(
    tokens: Tokens, storefront: Instance
) -> None:
    """The token is bound to the certificate of the connection."""
    form = {"client_id": "partner", **signed(tokens)}
    token = tokens.token(storefront, **form)
    bound = confirmation(tokens, storefront, token)
    assert bound == {"x5t#S256": storefront.generation.thumbprint}


@pytest.mark.parametrize(
    "audience", [[ISSUER], f"{ISSUER}/token", [ISSUER, "x"], f"{ISSUER}/"], ids=repr
)
def test_o177_the_audience_of_an_assertion_is_the_issuer_alone(
    tokens: Tokens, storefront: Instance, audience: Any
) -> None:
    """As a string: an array and the endpoint's URL are refused."""
    form = {"client_id": "partner", **signed(tokens, aud=audience)}
    assert error_of(tokens.ask(storefront, **form)) == (401, "invalid_client")


@pytest.mark.parametrize("member", ["iat", "nbf"])
@pytest.mark.parametrize(("ahead", "taken"), [(10, True), (61, False)])
def test_o178_a_clock_may_be_ten_seconds_ahead(
    tokens: Tokens, storefront: Instance, member: str, ahead: int, *, taken: bool
) -> None:
    """And no minute."""
    at = int(tokens.clock().timestamp()) + 1 + ahead
    changes = {member: at, "exp": at + 30}
    answer = tokens.ask(storefront, client_id="partner", **signed(tokens, **changes))
    assert (answer.status_code == 200) == taken


def test_o179_our_own_client_sends_no_assertion(
    mesh: Mesh, serve: Serve, storefront: Instance
) -> None:
    """It authenticates by its certificate: there is no audience to get wrong."""
    sent = bytearray()

    async def listening(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            sent.extend(await Request(scope, receive).body())
            await Response(status_code=400)(scope, receive, send)

    instance = mesh.instance("token-service")
    with (
        serve(listening, instance) as running,
        pytest.raises(TokenUnavailableError),
    ):
        Asking(running.url, storefront, instance, Clock()).token()
    assert set(parse_qs(sent.decode())) == set(request())


def test_o180_a_token_is_taken_from_the_header_alone(
    tokens: Tokens, orders: Service, storefront: Instance
) -> None:
    """Never from the query, nor from a form."""
    token = tokens.token(storefront)
    with orders.client(storefront) as client:
        assert client.get("/orders", headers=bearer(token)).status_code == 200
        query = client.get(f"/orders?access_token={token}")
        form = client.post("/orders", data={"access_token": token})
    assert (query.status_code, form.status_code) == (400, 401)


def test_o180_an_expired_token_is_refused(
    tokens: Tokens, orders: Service, storefront: Instance
) -> None:
    """There is no grace for its end."""
    token = tokens.token(storefront)
    tokens.clock.move(seconds=300)
    assert orders.get(storefront, token).status_code == 401


def test_o180_a_revoked_token_is_refused(
    tokens: Tokens, orders: Service, storefront: Instance
) -> None:
    """Within seconds, at every resource."""
    token = tokens.token(storefront)
    assert orders.get(storefront, token).status_code == 200
    with tokens.client(storefront) as client:
        client.post("/revoke", data=request(token=token)).raise_for_status()
    tokens.clock.move(seconds=5)
    answer = orders.get(storefront, token)
    assert answer.status_code == 401
    assert "revoked" in answer.headers["www-authenticate"]


def test_o180_a_resource_must_know_what_is_revoked(tmp_path: Path) -> None:
    """Without the list a JWT would live until its end."""
    with pytest.raises(ConfigError, match=r"token_service\.revocations_uri"):
        service_config(tmp_path, token_service=address(revocations_uri=None), **FAPI)


def test_o180_a_switch_turned_while_it_runs_lets_nothing_through_unknown(
    mesh: Mesh, serve: Serve, tmp_path: Path, tokens: Tokens, storefront: Instance
) -> None:
    """A process that started without the list refuses until it is started anew."""
    instance = mesh.instance("orders")
    plain = address(tokens.url, revocations_uri=None)
    with guarded(tokens, serve, instance, tmp_path, token_service=plain) as service:
        assert service.get(storefront, tokens.token(storefront)).status_code == 200
        document = service_document(
            identity=str(instance.current), token_service=address(tokens.url), **FAPI
        )
        write(tmp_path, document)
        tokens.clock.move(seconds=1)
        assert service.get(storefront, tokens.token(storefront)).status_code == 503


def test_o180_a_scope_and_a_binding_are_demanded(
    tokens: Tokens, orders: Service, storefront: Instance, mesh: Mesh
) -> None:
    """A token that does not reach, or is another's, opens nothing."""
    token = tokens.token(storefront, scope="orders.read")
    with orders.client(storefront) as client:
        assert client.post("/orders", headers=bearer(token)).status_code == 403
    assert orders.get(mesh.instance("stock"), token).status_code == 401


def test_o181_three_algorithms_and_no_others_are_offered(
    tokens: Tokens, storefront: Instance
) -> None:
    """Wherever the metadata names algorithms."""
    with tokens.client(storefront) as client:
        document = client.get("/.well-known/oauth-authorization-server").json()
    named = [value for name, value in document.items() if "_alg_values" in name]
    assert named
    for algorithms in named:
        assert set(algorithms) <= {"PS256", "ES256", "Ed25519"}


@pytest.mark.parametrize(
    "prover",
    [Prover(), EdProver(), RsaProver()],
    ids=["ES256", "Ed25519", "PS256"],
)
def test_o181_each_of_the_three_is_taken(prover: Proving) -> None:
    """With the kind of key that belongs to it."""
    assert prover.algorithm in PROOF_ALGORITHMS
    assert embedded_key(prover.header())[0] == prover.algorithm


def test_o181_a_token_has_an_id_of_128_bits(
    tokens: Tokens, storefront: Instance
) -> None:
    """In base64url that is 22 characters, different each time."""
    ids = {
        claims(tokens, storefront, tokens.token(storefront))["jti"] for _ in range(3)
    }
    assert len(ids) == 3
    assert all(len(token_id) >= 22 for token_id in ids)


def test_o181_tokens_are_signed_with_es256(
    tokens: Tokens, storefront: Instance
) -> None:
    """By a P-256 key, whatever the metadata of another server would offer."""
    assert parse(tokens.token(storefront)).unverified_header["alg"] == "ES256"
    with tokens.client(storefront) as client:
        (key,) = client.get("/jwks").json()["keys"]
    assert (key["crv"], key["alg"]) == ("P-256", "ES256")


@pytest.mark.parametrize(("bits", "taken"), [(2048, True), (1024, False)])
def test_o181_a_small_rsa_key_cannot_be_registered(
    tmp_path: Path, bits: int, *, taken: bool
) -> None:
    """2048 bits are the least."""
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    modulus = encode(numbers.n.to_bytes(bits // 8))
    jwk = {"kty": "RSA", "n": modulus, "e": "AQAB", "kid": "one"}
    client = client_document(private_key_jwt={"jwks": {"keys": [jwk]}})
    del client["tls_client_auth"]
    with nullcontext() if taken else pytest.raises(ConfigError, match="jwks"):
        token_service_config(tmp_path, clients={"partner": client}, **FAPI)


@pytest.mark.parametrize("uri", ["http://orders.internal/jwks", "file:///jwks"])
def test_o182_keys_come_over_tls(tmp_path: Path, uri: str) -> None:
    """No other scheme can be configured, for the token service's or a client's."""
    with pytest.raises(ConfigError, match="jwks_uri"):
        service_config(tmp_path, token_service=address(jwks_uri=uri), **FAPI)
    client = client_document(private_key_jwt={"jwks_uri": uri})
    del client["tls_client_auth"]
    with pytest.raises(ConfigError, match="jwks_uri"):
        token_service_config(tmp_path, clients={"partner": client}, **FAPI)


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_o182_a_token_cannot_say_where_its_key_is(
    orders: Service, storefront: Instance, member: str
) -> None:
    """The URL is not asked; the key id is not known."""
    signer = Signer()
    header = signer.header(**{member: "https://evil.example/keys"})
    answer = orders.get(storefront, signer.sign(header, {}))
    assert answer.status_code == 401
    assert "unknown key" in answer.headers["www-authenticate"]


def test_o183_a_key_id_given_twice_is_refused() -> None:
    """We are stricter than to choose: such a set names no key at all."""
    one, other = Signer(), Signer()
    keys = {"keys": [one.jwk(), other.jwk(kid=one.key_id)]}
    with pytest.raises(KeySetUnavailableError):
        read_key_set(httpx.Request("POST", "/", json=keys).content)


def test_o184_a_token_for_another_resource_is_refused(
    tokens: Tokens, orders: Service, mesh: Mesh
) -> None:
    """The cuckoo's token: good, bound to its sender, and for somebody else."""
    caller = mesh.instance("orders")
    token = tokens.token(
        caller, client_id="orders", resource="https://stock.shop.internal", scope=None
    )
    answer = orders.get(caller, token)
    assert answer.status_code == 401
    assert "another audience" in answer.headers["www-authenticate"]


def test_o184_a_proof_is_good_once_and_needs_a_nonce(
    tokens: Tokens, orders: Service, storefront: Instance
) -> None:
    """What was overheard, or made in advance, opens nothing."""
    key = DpopKey()
    token = str(with_proof(tokens, storefront, key).json()["access_token"])
    uri = "https://orders.internal/orders"

    def ask(client: httpx.Client, nonce: str | None) -> httpx.Response:
        proof = key.proof(
            "GET", uri, now=tokens.clock(), access_token=token, nonce=nonce
        )
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        first = client.get("/orders", headers=headers)
        return client.get("/orders", headers=headers) if nonce else first

    with client_of(storefront, orders.instance, base_url=orders.url) as client:
        wanted = ask(client, None)
        assert "use_dpop_nonce" in wanted.headers["www-authenticate"]
        again = ask(client, wanted.headers["dpop-nonce"])
    assert again.status_code == 401
    assert "used before" in again.headers["www-authenticate"]


def test_a_long_token_is_refused(tmp_path: Path) -> None:
    """The limit itself is allowed."""
    for lifetime in (LONGEST_TOKEN, LONGEST_TOKEN + 1):
        named = {"storefront": client_document(lifetime=lifetime)}
        if lifetime == LONGEST_TOKEN:
            token_service_config(tmp_path, clients=named, **FAPI)
            continue
        with pytest.raises(ConfigError, match=r"clients\.storefront.*600 s"):
            token_service_config(tmp_path, clients=named, **FAPI)


def test_another_profile_is_refused(tmp_path: Path) -> None:
    """A mistyped switch must not leave it off."""
    with pytest.raises(ConfigError, match="profile"):
        token_service_config(tmp_path, profile="fapi")


def test_the_lifetime_of_a_token_is_its_clients(
    tokens: Tokens, storefront: Instance
) -> None:
    """The profile shortens none by itself."""
    answer = tokens.ask(storefront).json()
    assert answer["expires_in"] == 300
