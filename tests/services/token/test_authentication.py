"""Tests of `services.token.authentication`: one method, and who signs assertions."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.token.assertion import TYPE
from tests.services.logged import lines
from tests.services.many_clients import (
    SIGNER,
    cause,
    confirmed,
    every_method,
    signing,
)
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.proofs import Prover
from tests.services.registered import (
    asserted,
    assertion,
    error_of,
)
from tests.services.running import (
    Tokens,
    request,
    token_service,
)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    """Return a CA whose certificates have the names of ours, and other keys."""
    return Mesh(tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh,
    foreign_mesh: Mesh,
    twin: Mesh,
    serve: Serve,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Tokens]:
    """Return a token service that has clients of every method."""
    home = tmp_path_factory.mktemp("tokens")
    with every_method(mesh, foreign_mesh, twin, serve, home) as running:
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return an instance with a certificate of our own CA."""
    return mesh.instance("storefront")


numbers = count()


def fresh(tokens: Tokens, client_id: str = "signing", **changes: Any) -> str:
    """Return an assertion that was never used, for the moment of `tokens`."""
    at = int(tokens.clock().timestamp())
    good = {
        "iss": client_id,
        "sub": client_id,
        "iat": at,
        "nbf": at,
        "exp": at + 60,
        "jti": f"number-{next(numbers)}",
    }
    return assertion(SIGNER, **{**good, **changes})


def ask_signed(
    tokens: Tokens, caller: Instance, text: str, **changes: Any
) -> httpx.Response:
    """Send a token request with an assertion, over the caller's connection."""
    return tokens.ask(caller, **{"client_id": None, **asserted(text), **changes})


def test_an_assertion_authenticates_and_the_certificate_binds(
    tokens: Tokens, storefront: Instance
) -> None:
    """The binding does not depend on the method (RFC 8705, section 3)."""
    answer = ask_signed(tokens, storefront, fresh(tokens))
    assert confirmed(answer) == {"x5t#S256": storefront.generation.thumbprint}


def test_an_assertion_authenticates_without_a_binding(
    tokens: Tokens, storefront: Instance
) -> None:
    """Where the registration says so, the token is bound to nothing."""
    text = fresh(tokens, "signing-bearer")
    assert confirmed(ask_signed(tokens, storefront, text)) is None


def test_the_client_id_may_be_said_as_well(
    tokens: Tokens, storefront: Instance
) -> None:
    """It must then be that of the assertion (RFC 7521, section 4.2)."""
    answer = ask_signed(tokens, storefront, fresh(tokens), client_id="signing")
    assert answer.status_code == 200


def test_another_client_id_is_refused(
    tokens: Tokens, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody could say which of them is meant."""
    answer = ask_signed(tokens, storefront, fresh(tokens), client_id="signing-bearer")
    assert error_of(answer) == (401, "invalid_client")
    assert cause(caplog) == "AssertionSubjectError"


def test_an_assertion_is_good_once(
    tokens: Tokens, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """Seen by somebody else, it is of no use to him (RFC 7523, section 3)."""
    text = fresh(tokens)
    assert ask_signed(tokens, storefront, text).status_code == 200
    caplog.clear()
    assert error_of(ask_signed(tokens, storefront, text)) == (401, "invalid_client")
    assert cause(caplog) == "ReplayedAssertionError"


def test_a_token_id_is_used_up_at_all_endpoints(
    tokens: Tokens, storefront: Instance
) -> None:
    """One memory serves /token, /introspect and /revoke."""
    text = fresh(tokens)
    assert ask_signed(tokens, storefront, text).status_code == 200
    for path in ("/introspect", "/revoke"):
        with tokens.client(storefront) as client:
            answer = client.post(path, data={**asserted(text), "token": "x"})
        assert error_of(answer) == (401, "invalid_client")


def test_two_clients_may_use_one_token_id(tokens: Tokens, storefront: Instance) -> None:
    """A `jti` is its issuer's own (RFC 7519, section 4.1.7)."""
    for client_id in ("signing", "signing-bearer"):
        text = fresh(tokens, client_id, jti="the same")  # a blank is refused
        assert ask_signed(tokens, storefront, text).status_code == 401
        text = fresh(tokens, client_id, jti="the-same")
        assert ask_signed(tokens, storefront, text).status_code == 200


def test_a_refused_assertion_is_not_used_up(
    tokens: Tokens, storefront: Instance
) -> None:
    """Who cannot sign cannot void an honest client's assertion either."""
    forged = assertion(Prover(), iss="signing", sub="signing", jti="honest")
    assert ask_signed(tokens, storefront, forged).status_code == 401
    good = fresh(tokens, jti="honest")
    assert ask_signed(tokens, storefront, good).status_code == 200


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"client_id": "signing"}, (401, "AssertionMissingError")),
        ({"client_assertion": "x"}, (400, "InvalidRequestError")),
        ({"client_assertion_type": TYPE}, (400, "InvalidRequestError")),
        (
            {"client_assertion": "x", "client_assertion_type": "saml"},
            (401, "AssertionTypeError"),
        ),
        (
            {"client_assertion": "x", "client_assertion_type": TYPE},
            (401, "MalformedAssertionError"),
        ),
    ],
    ids=["none", "no-type", "no-assertion", "other-type", "no-jws"],
)
def test_half_an_assertion_is_none(
    tokens: Tokens,
    storefront: Instance,
    changes: dict[str, Any],
    expected: tuple[int, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both parameters are there, and of the one type that is taken (7523, 2.2)."""
    answer = tokens.ask(storefront, **{"client_id": None, **changes})
    assert (answer.status_code, cause(caplog)) == expected


def test_an_assertion_for_an_unknown_client_is_refused(
    tokens: Tokens, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """It names nobody."""
    assert ask_signed(tokens, storefront, fresh(tokens, "nobody")).status_code == 401
    assert cause(caplog) == "UnknownClientError"


@pytest.mark.parametrize(
    "client_id", ["storefront", "partner", "spiffe://shop.internal/service/orders"]
)
def test_an_assertion_beside_another_method_is_refused(
    tokens: Tokens, storefront: Instance, client_id: str
) -> None:
    """One request, one method (RFC 6749, section 2.3)."""
    answer = ask_signed(tokens, storefront, fresh(tokens, client_id))
    assert error_of(answer) == (400, "invalid_request")


@pytest.mark.parametrize("extra", [{"client_secret": "x"}, {}], ids=["form", "header"])
def test_a_secret_beside_an_assertion_is_refused(
    tokens: Tokens, storefront: Instance, extra: dict[str, str]
) -> None:
    """One request, one method (RFC 6749, section 2.3)."""
    headers = {} if extra else {"Authorization": "Basic c2lnbmluZzp4"}
    data = request(client_id=None, **asserted(fresh(tokens)), **extra)
    with tokens.client(storefront) as client:
        answer = client.post("/token", data=data, headers=headers)
    assert error_of(answer) == (400, "invalid_request")


def test_the_endpoints_of_a_service_take_assertions_too(
    tokens: Tokens, storefront: Instance
) -> None:
    """The same admission stands before introspection and revocation."""
    token = tokens.token(storefront)
    with tokens.client(storefront) as client:
        body = {"token": token, **asserted(fresh(tokens, "signing-service"))}
        assert client.post("/introspect", data=body).json()["active"] is True
        body = {"token": token, **asserted(fresh(tokens, "signing-service"))}
        answer = client.post("/revoke", data=body)
    assert error_of(answer) == (400, "unauthorized_client")


def test_the_log_holds_no_assertion(
    tokens: Tokens, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever reads the log must not be able to use what was refused."""
    text = fresh(tokens, aud=["https://localhost:8440"])
    ask_signed(tokens, storefront, text)
    assert lines(caplog)
    for part in text.split("."):
        assert part not in caplog.text
        assert part not in str(lines(caplog))


def test_without_a_memory_no_assertion_is_taken(
    mesh: Mesh, serve: Serve, tmp_path: Path, storefront: Instance
) -> None:
    """Whether it is new cannot be said: unknown is no."""
    own = {"signing": signing(SIGNER)}
    absent = f"sqlite:///{tmp_path / 'absent' / 'store.sqlite'}"
    with token_service(mesh, serve, tmp_path, clients=own, store=absent) as tokens:
        answer = ask_signed(tokens, storefront, fresh(tokens))
    assert error_of(answer) == (503, "temporarily_unavailable")
    assert answer.headers["retry-after"]


def test_the_metadata_says_how_clients_authenticate(
    tokens: Tokens, storefront: Instance
) -> None:
    """All registered methods, and the algorithms of assertions (RFC 8414, 2)."""
    with tokens.client(storefront) as client:
        told = client.get("/.well-known/oauth-authorization-server").json()
    for endpoint in ("token", "introspection", "revocation"):
        assert told[f"{endpoint}_endpoint_auth_methods_supported"] == [
            "private_key_jwt",
            "self_signed_tls_client_auth",
            "spiffe_x509",
            "tls_client_auth",
        ]
        algorithms = told[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert sorted(algorithms) == ["ES256", "Ed25519", "PS256"]
