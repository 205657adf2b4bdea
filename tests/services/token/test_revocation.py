"""Tests of `services.token.revocation`: tokens voided before their time (RFC 7009)."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from services.proof.jws import parse, verify
from tests.services.fleet import TokenService, replicas
from tests.services.logged import lines, listen
from tests.services.mesh import Instance, Mesh, Serve


@pytest.fixture(scope="module")
def both(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sequence[TokenService]]:
    """Return two replicas that share a store."""
    with replicas(mesh, serve, tmp_path_factory.mktemp("tokens"), 2) as running:
        yield running


@pytest.fixture
def tokens(both: Sequence[TokenService]) -> TokenService:
    """Return the first of them."""
    return both[0]


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the client that tokens are issued to."""
    return mesh.instance("storefront")


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the resource service."""
    return mesh.instance("orders")


def is_active(tokens: TokenService, orders: Instance, token: str) -> bool:
    """Return what introspection says."""
    answer = tokens.post(orders, "/introspect", client_id="orders", token=token)
    return bool(answer.raise_for_status().json()["active"])


def void(tokens: TokenService, caller: Instance) -> list[str]:
    """Return the list of what is void."""
    with tokens.client(caller) as client:
        found: list[str] = (
            client.get("/revocations").raise_for_status().json()["revoked"]
        )
        return found


def id_of(tokens: TokenService, caller: Instance, token: str) -> str:
    """Return the id of a JWT."""
    unverified = parse(token)
    key = tokens.keys(caller)[unverified.key_id]
    return str(verify(unverified, key, types=frozenset({"at+jwt"}))["jti"])


@pytest.mark.parametrize("hint", ["", "access_token", "refresh_token"])
@pytest.mark.parametrize("client_id", ["storefront", "opaque"])
def test_a_client_revokes_its_own_token(
    both: Sequence[TokenService],
    storefront: Instance,
    orders: Instance,
    client_id: str,
    hint: str,
) -> None:
    """At either replica, whatever the hint says, and at once (section 2.1)."""
    first, second = both
    token = first.token(storefront, client_id=client_id)
    form = {"client_id": client_id, "token": token}
    answer = second.post(
        storefront, "/revoke", **form, **({"token_type_hint": hint} if hint else {})
    )
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert not is_active(first, orders, token)
    assert not is_active(second, orders, token)


def test_a_revoked_token_is_on_the_list_of_each_replica(
    both: Sequence[TokenService], storefront: Instance
) -> None:
    """Guards poll any of them, and find the id alone."""
    first, second = both
    token = first.token(storefront)
    token_id = id_of(first, storefront, token)
    assert token_id not in void(second, storefront)
    first.post(storefront, "/revoke", client_id="storefront", token=token)
    for replica in both:
        assert token_id in void(replica, storefront)
        assert token not in str(void(replica, storefront))


def test_twice_is_once(tokens: TokenService, storefront: Instance) -> None:
    """What is void already is as good as unknown."""
    token = tokens.token(storefront)
    for _ in range(2):
        form = {"client_id": "storefront", "token": token}
        assert tokens.post(storefront, "/revoke", **form).status_code == 200
    ids = void(tokens, storefront)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("client_id", ["storefront", "opaque"])
@pytest.mark.parametrize("thief", ["orders", "other-bearer"])
def test_another_clients_token_stays(
    tokens: TokenService,
    storefront: Instance,
    orders: Instance,
    client_id: str,
    thief: str,
) -> None:
    """Not even its audience, nor a client with the same certificate, may void it."""
    token = tokens.token(storefront, client_id=client_id)
    caller = {"orders": orders, "other-bearer": storefront}[thief]
    answer = tokens.post(caller, "/revoke", client_id=thief, token=token)
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    assert is_active(tokens, orders, token)


@pytest.mark.parametrize("token", ["x", "a.b.c", "cbo_x", "cbo_" + "A" * 43], ids=repr)
def test_an_unknown_token_is_no_error(
    tokens: TokenService, storefront: Instance, token: str
) -> None:
    """The client cannot do better than to forget it (section 2.2)."""
    answer = tokens.post(storefront, "/revoke", client_id="storefront", token=token)
    assert (answer.status_code, answer.content) == (200, b"")


def test_an_expired_token_is_no_error(
    tokens: TokenService, storefront: Instance
) -> None:
    """It is void already, and need not be on the list."""
    token = tokens.token(storefront)
    before = void(tokens, storefront)
    tokens.clock.move(seconds=300)
    answer = tokens.post(storefront, "/revoke", client_id="storefront", token=token)
    assert answer.status_code == 200
    assert set(void(tokens, storefront)) <= set(before)


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"client_id": "storefront"}, 400, "invalid_request"),
        ({"token": "x"}, 400, "invalid_request"),
        ({"client_id": "orders", "token": "x"}, 401, "invalid_client"),
        ({"client_id": "nobody", "token": "x"}, 401, "invalid_client"),
    ],
    ids=["no-token", "no-client", "another-client", "unknown-client"],
)
def test_each_error_has_its_code(
    tokens: TokenService,
    storefront: Instance,
    form: dict[str, str],
    status: int,
    code: str,
) -> None:
    """Clients are authenticated as at the token endpoint (section 2.1)."""
    answer = tokens.post(storefront, "/revoke", **form)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_a_sibling_that_is_down_is_not_taken_for_an_unknown_token(
    mesh: Mesh,
    serve: Serve,
    storefront: Instance,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A token of its may be live: 200 would say that it is void (section 2.2.1)."""
    home = tmp_path_factory.mktemp("down")
    with replicas(mesh, serve, home, 2) as (first, second):
        token = second.token(storefront)
        second.stop()
        form = {"client_id": "storefront", "token": token}
        answer = first.post(storefront, "/revoke", **form)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


def test_a_revocation_is_logged_without_the_token(
    tokens: TokenService, storefront: Instance, caplog: Any
) -> None:
    """Who, which id, over which certificate."""
    listen(caplog)
    token = tokens.token(storefront)
    tokens.post(storefront, "/revoke", client_id="storefront", token=token)
    line = lines(caplog)[-1]
    assert (line["event"], line["client_id"]) == ("token.revoked", "storefront")
    assert line["token_id"] == id_of(tokens, storefront, token)
    assert line["certificate"] == format(storefront.generation.serial, "x")
    assert token.split(".")[1] not in str(line)


def test_an_asker_who_knows_the_list_is_told_so(
    both: Sequence[TokenService], storefront: Instance
) -> None:
    """A poll with nothing new is a 304 at either replica, until there is something."""
    first, second = both
    with first.client(storefront) as client:
        answer = client.get("/revocations")
        tag = answer.headers["etag"]
        assert answer.headers["cache-control"] == "no-cache"
        known = {"If-None-Match": tag}
        again = client.get("/revocations", headers=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        with second.client(storefront) as other:
            assert other.get("/revocations", headers=known).status_code == 304
        form = {"client_id": "storefront", "token": first.token(storefront)}
        client.post("/revoke", data=form)
        changed = client.get("/revocations", headers=known)
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag


def test_the_list_forgets_what_is_over(
    tokens: TokenService, storefront: Instance
) -> None:
    """An expired token needs no revocation, so the list stays short."""
    token = tokens.token(storefront)
    token_id = id_of(tokens, storefront, token)
    tokens.post(storefront, "/revoke", client_id="storefront", token=token)
    tokens.clock.move(seconds=300)
    assert token_id in void(tokens, storefront)  # through its last second
    tokens.clock.move(seconds=1)
    assert token_id not in void(tokens, storefront)
