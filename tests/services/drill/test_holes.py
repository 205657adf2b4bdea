"""A drill that finds a hole goes red: guards are broken on purpose, one at a time.

In place of one process of the deployment stands one that lets a thief in somewhere;
everything else is the real thing.
"""

from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.attempt import caller, fetch
from services.deployment import Deployment
from services.drill.bearer_api import bearer_api
from services.drill.drill import run_drill
from services.drill.result import Result
from services.proof.key_set import read_key_set
from services.report.observations import Observations
from services.report.tables import render
from tests.services.deployed import Running
from tests.services.mesh import Mesh, Serve


async def _answer(_: Request) -> Response:
    return JSONResponse({})


OPEN = Starlette(routes=[Route("/{path:path}", _answer, methods=["GET", "POST"])])


def replaced(deployment: Deployment, name: str, **changes: Any) -> Deployment:
    """Return the deployment with another service or gateway in the place of one."""
    part = "gateways" if name in deployment.gateways else "services"
    parties = getattr(deployment, part)
    party = msgspec.structs.replace(parties[name], **changes)
    return msgspec.structs.replace(deployment, **{part: {**parties, name: party}})


def differing(result: Result, kind: str) -> set[str]:
    """Return what came out otherwise than it should with one kind of token."""
    return {
        row.tried for row in result.rows if kind in row.cells and not row.cells[kind].ok
    }


def test_a_service_that_does_not_check_the_binding_is_found(
    running: Running, mesh: Mesh, serve: Serve
) -> None:
    """It checks everything else of a token, as an API for bearer tokens does."""
    deployment = running.deployment
    orders = deployment.services["orders"]
    files = orders.certificate, orders.private_key
    with caller(orders.trust_bundle, files) as client:
        keys = read_key_set(fetch(client, deployment.token_service.jwks_uri))
    app = bearer_api(deployment.issuer, orders.audience, keys)
    with serve(app, mesh.instance("orders")) as server:
        result = run_drill(replaced(deployment, "orders", url=f"{server.url}/"))
    assert not result.ok
    assert differing(result, "bound") == {
        "with another service's valid certificate",
        "with the owner's certificate in Client-Cert",
        "with it in X-Forwarded-Client-Cert",
        "after its owner has revoked it",
    }
    proofs = {row.tried for row in result.rows if set(row.cells) == {"dpop"}}
    assert differing(result, "dpop") >= proofs - {"with two proofs"}
    assert differing(result, "exchanged") == set()
    assert differing(result, "bearer") == set()


PLACES = {  # by kind of token: who takes it, and its path there
    "bound": ("orders", "/orders"),
    "dpop": ("orders", "/orders"),
    "exchanged": ("stock", "/stock"),
    "phantom": ("edge", ""),
}


@pytest.mark.parametrize("kind", PLACES)
def test_a_place_that_checks_nothing_is_found(
    running: Running, mesh: Mesh, serve: Serve, kind: str
) -> None:
    """Every theft that TLS does not end lets the thief in, and the table says so."""
    name, path = PLACES[kind]
    with serve(OPEN, mesh.instance(name)) as server:
        changed = replaced(running.deployment, name, url=f"{server.url}{path}")
        result = run_drill(changed)
    assert not result.ok
    found = differing(result, kind)
    assert found >= {
        "with another service's valid certificate",
        "in two headers",
        "in the URI",
        "after its expiry",
    }
    assert not found & {
        "by its owner",
        "with no certificate",
        "with the owner's name from a rogue CA",
        "revoked by the thief",
    }
    shown = render(Observations(drill=result))
    assert shown.count("DIFFERS") == sum(not row.ok for row in result.rows)
    assert "accepted (!)" in shown
    assert "accepted; expected:" in " ".join(shown.split())


def test_a_refusal_for_another_reason_is_a_difference(running: Running) -> None:
    """Refused is not enough: at the wrong service everything is, for one reason."""
    stock = running.deployment.services["stock"].url
    result = run_drill(replaced(running.deployment, "orders", url=stock))
    assert differing(result, "bound") >= {"by its owner", "after its expiry"}
    (row,) = [row for row in result.rows if row.tried == "after its expiry"]
    assert row.bound is not None
    assert row.bound.happened == "the token is for another audience"


def test_a_token_service_that_tells_everybody_is_found(
    running: Running, mesh: Mesh, serve: Serve
) -> None:
    """If it said of others' tokens what they are, the thief would learn it."""
    real = running.deployment.metadata_url
    orders = running.deployment.services["orders"]
    files = orders.certificate, orders.private_key

    async def tell(_: Request) -> Response:
        return JSONResponse({"active": True, "sub": "storefront"})

    async def metadata(_: Request) -> Response:
        with caller(orders.trust_bundle, files) as client:
            said = msgspec.json.decode(fetch(client, real))
        return JSONResponse({**said, "introspection_endpoint": f"{server.url}/tell"})

    app = Starlette(
        routes=[Route("/tell", tell, methods=["POST"]), Route("/metadata", metadata)]
    )
    with serve(app, mesh.instance("token-service")) as server:
        changed = msgspec.structs.replace(
            running.deployment, metadata_url=f"{server.url}/metadata"
        )
        result = run_drill(changed)
    looked_up = "looked up by the thief (introspection)"
    (row,) = [row for row in result.rows if row.tried == looked_up]
    assert {cell.happened for cell in row.cells.values()} == {"accepted"}
    assert not row.ok
