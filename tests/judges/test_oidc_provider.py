"""Our guard and our way out work with a token service of somebody else: oidc-provider.

It stands where ours would, with the same identity, and issues JWTs (RFC 9068) bound to
certificates or to DPoP keys.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from services.proof.dpop_client import DpopKey
from tests.judges import processes
from tests.judges.npm import Node
from tests.judges.presenting import Caller
from tests.judges.standing import (
    AUDIENCE,
    SCOPE,
    Standing,
    guarded_document,
    start,
    token_service_address,
)
from tests.judges.tokens import unverified_claims
from tests.judges.verdicts import Judge, Verdict
from tests.services.mesh import Mesh
from tests.services.proxies.standing import free_ports

_RELAYS = {"certificate": "storefront", "dpop": "storefront-dpop"}


@pytest.fixture(scope="module")
def elsewhere(
    mesh: Mesh, node: Node, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standing]:
    """Return orders under the other token service, and a caller for each binding."""
    directory = tmp_path_factory.mktemp("oidc-provider")
    names = ("token-service", "orders", *_RELAYS)
    instances = {
        name: mesh.instance(name)
        for name in ("token-service", "orders", "storefront", "stock")
    }
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    made = Standing(mesh, directory, instances, ports)
    with ExitStack() as stack:
        _start_provider(stack, made, node)
        for name, document in _documents(made).items():
            start(stack, name, document, directory)
        yield made


def _start_provider(stack: ExitStack, made: Standing, node: Node) -> None:
    port = made.ports["token-service"]
    command = node.command("oidc-provider.mjs")
    given = made.given() | {"port": port}
    log = made.directory / "provider.log"
    stack.enter_context(processes.running(command, log, port=port, given=given))


def _documents(made: Standing) -> dict[str, dict[str, Any]]:
    address = token_service_address(made.issuer)
    callee = {
        "url": made.resource,
        "spiffe_id": str(made.instances["orders"].spiffe_id),
        "audience": AUDIENCE,
        "scopes": [SCOPE],
    }
    relays = {
        binding: guarded_document(
            binding,
            made.instances["storefront"],
            made.ports[binding],
            made.directory,
            address,
            app="tests.judges.relay:create_app",
            client_id=client_id,
            binding=binding,
            calls={"orders": callee},
        )
        for binding, client_id in _RELAYS.items()
    }
    orders = guarded_document(
        "orders",
        made.instances["orders"],
        made.ports["orders"],
        made.directory,
        address,
    )
    return {"orders": orders, **relays}


@pytest.fixture
def judge(node: Node) -> Judge:
    """Return the token service by name and version."""
    return node.judge("oidc-provider")


@pytest.fixture
def storefront(elsewhere: Standing) -> Caller:
    """Return a caller whose tokens are bound to its certificate."""
    return Caller(elsewhere, "storefront")


@pytest.fixture
def keyed(elsewhere: Standing) -> Caller:
    """Return a caller whose tokens are bound to its key."""
    return Caller(elsewhere, "storefront", DpopKey())


def _is_refused(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_our_guard_takes_its_bound_token(
    elsewhere: Standing, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """Its token names our certificate, and opens our service with it."""
    token = storefront.token()
    thumbprint = elsewhere.instances["storefront"].generation.thumbprint
    assert unverified_claims(token)["cnf"] == {"x5t#S256": thumbprint}
    answer = storefront.show(token, elsewhere.resource)
    assert answer.json() == {"service": "orders", "caller": "storefront"}
    verdict(judge, accepted="its certificate-bound token by our guard")


def test_our_guard_takes_its_token_bound_to_a_key(
    elsewhere: Standing, keyed: Caller, judge: Judge, verdict: Verdict
) -> None:
    """It takes our proof with its nonce; our guard takes its token with our proof."""
    assert keyed.key is not None
    token = keyed.token("storefront-dpop")
    assert unverified_claims(token)["cnf"] == {"jkt": keyed.key.thumbprint}
    answer = keyed.show(token, elsewhere.resource)
    assert answer.json() == {"service": "orders", "caller": "storefront-dpop"}
    verdict(judge, accepted="its DPoP token by our guard")


@pytest.mark.parametrize("binding", _RELAYS)
def test_our_way_out_gets_tokens_there(
    elsewhere: Standing,
    storefront: Caller,
    judge: Judge,
    verdict: Verdict,
    binding: str,
) -> None:
    """A service of ours asks it for tokens of either binding, and calls with them."""
    url = f"https://localhost:{elsewhere.ports[binding]}/relay"
    answer = storefront.send("GET", url, "storefront").json()
    caller = _RELAYS[binding]
    assert answer["body"] == {"service": "orders", "caller": caller}
    verdict(judge, accepted=f"our outbound with a {binding} binding")


def test_our_guard_refuses_its_stolen_token(
    elsewhere: Standing, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """Its token is nothing to who holds another certificate."""
    thief = Caller(elsewhere, "stock")
    assert _is_refused(thief.show(storefront.token(), elsewhere.resource))
    verdict(judge, refused="its stolen token")


def test_our_guard_refuses_its_token_with_another_key(
    elsewhere: Standing, keyed: Caller, judge: Judge, verdict: Verdict
) -> None:
    """Its token is nothing to who holds another key."""
    thief = Caller(elsewhere, "storefront", DpopKey())
    answer = thief.show(keyed.token("storefront-dpop"), elsewhere.resource)
    assert _is_refused(answer)
    verdict(judge, refused="its DPoP token with another key")


def test_our_guard_refuses_its_unbound_token(
    elsewhere: Standing, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """Its bearer token is taken from nobody."""
    token = storefront.token("storefront-bearer")
    assert "cnf" not in unverified_claims(token)
    assert _is_refused(storefront.show(token, elsewhere.resource))
    verdict(judge, refused="its bearer token")


def test_our_guard_refuses_its_token_for_another(
    elsewhere: Standing, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """A token that names another audience does not open orders."""
    token = storefront.token(resource="https://stock.shop.internal")
    assert _is_refused(storefront.show(token, elsewhere.resource))
    verdict(judge, refused="its token for another service")


def test_it_refuses_another_clients_certificate(
    elsewhere: Standing, judge: Judge, verdict: Verdict
) -> None:
    """It gives storefront's tokens to nobody else."""
    answer = Caller(elsewhere, "stock").ask(
        "/token",
        grant_type="client_credentials",
        client_id="storefront",
        resource=AUDIENCE,
    )
    assert answer.json()["error"] == "invalid_client"
    verdict(judge, refused="another client's certificate")


def test_our_guard_refuses_the_tokens_of_our_own_service(
    elsewhere: Standing, stand: Standing, judge: Judge, verdict: Verdict
) -> None:
    """Where it is the issuer, a token that ours has signed opens nothing."""
    caller = Caller(stand, "storefront")
    assert _is_refused(caller.show(caller.token(), elsewhere.resource))
    verdict(judge, refused="a token of another issuer")
