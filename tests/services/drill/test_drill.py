"""The drill sees what there is to see, and says so when it differs."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.config import ConfigError
from services.deployment import Deployment
from services.drill.drill import (
    Result,
    run_drill,
    run_on_thiefs_host,
    run_on_victims_host,
)
from services.report.observations import Observations
from services.report.tables import render
from tests.services.deployed import Running
from tests.services.mesh import Mesh, Serve


@pytest.fixture(scope="module")
def result(running: Running) -> Result:
    """Return the drill of the running deployment."""
    return run_drill(running.deployment)


def test_two_hosts_play_the_same_table_in_two_parts(
    running: Running, result: Result
) -> None:
    """The thief's part needs no key of the victim's, and the victim's none of his."""
    nowhere = Path("no-such-key.pem")

    def without_key(name: str) -> Deployment:
        services = running.deployment.services
        party = msgspec.structs.replace(services[name], private_key=nowhere)
        return msgspec.structs.replace(
            running.deployment, services={**services, name: party}
        )

    victims = run_on_victims_host(without_key("stock"))
    thiefs = run_on_thiefs_host(
        msgspec.structs.replace(without_key("storefront"), loot=victims.loot)
    )
    assert victims.result.ok
    assert thiefs.ok
    rows = [*victims.result.rows[:2], *thiefs.rows, *victims.result.rows[2:]]
    assert rows == result.rows


def test_a_thief_without_loot_is_told(running: Running) -> None:
    """The thief's part alone has nothing to use."""
    with pytest.raises(ConfigError, match="no loot"):
        run_on_thiefs_host(running.deployment)


def test_every_theft_of_the_bound_token_is_refused(result: Result) -> None:
    """Only its owner gets anything out of a bound token."""
    owner, *thefts = result.rows
    assert owner.bound.happened == "accepted"
    assert len(thefts) == 6
    assert "accepted" not in {row.bound.happened for row in thefts}


def test_the_bearer_token_works_for_whoever_holds_it(result: Result) -> None:
    """Three thieves with different certificates, or none, use the bearer token."""
    accepted = [row.tried for row in result.rows if row.bearer.happened == "accepted"]
    assert accepted == [
        "by its owner, storefront",
        "with no certificate",
        "with stock's valid certificate",
        "with storefront's name from a rogue CA",
    ]


def test_every_try_ends_as_expected(result: Result) -> None:
    """Each refusal has the reason that it should have."""
    assert [row for row in result.rows if not row.ok] == []
    assert result.ok


def test_the_bound_column_names_each_reason(result: Result) -> None:
    """No two thefts are stopped by the same check, but for what is meant to be."""
    assert [row.bound.happened for row in result.rows[1:]] == [
        "TLS alert: certificate required",
        "the token is bound to another certificate",
        "TLS alert: unknown ca",
        "the token is for another audience",
        "the signature is not valid",
        "the token has expired",
    ]


def test_a_target_that_checks_nothing_fails_the_drill(
    running: Running, mesh: Mesh, serve: Serve
) -> None:
    """If orders let a thief in, the drill would differ, and say where."""

    async def open_to_all(_: Request) -> Response:
        return JSONResponse({})

    careless = Starlette(routes=[Route("/orders", open_to_all)])
    with serve(careless, mesh.instance("orders")) as server:
        target = msgspec.structs.replace(
            running.deployment.services["orders"],
            port=server.port,
            url=f"{server.url}/orders",
        )
        changed = msgspec.structs.replace(
            running.deployment,
            services={**running.deployment.services, "orders": target},
        )
        result = run_drill(changed)
    assert not result.ok
    assert [row.tried for row in result.rows if not row.ok] == [
        "with stock's valid certificate",
        "tampered with",
        "after its expiry",
    ]
    shown = render(Observations(drill=result))
    assert shown.count("DIFFERS") == 3
    assert shown.count("accepted; expected:") == 3


def test_a_topology_without_parties_has_no_drill(running: Running) -> None:
    """Without a drill section there is one clear error."""
    with pytest.raises(ConfigError, match="no drill"):
        run_drill(msgspec.structs.replace(running.deployment, drill=None))


def test_the_command_prints_the_table_and_exits_with_zero(running: Running) -> None:
    """`python -m services drill` is what the playbook runs."""
    done = _services("drill", running)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" ok\n") == 7
    assert "DIFFERS" not in done.stdout


def test_the_command_exits_with_one_if_a_row_differs(
    running: Running, tmp_path: Path
) -> None:
    """A drill whose bearer client is bound after all does not look like a success."""
    description = json.loads(running.path.read_text())
    description["services"]["orders"]["url"] = description["services"]["stock"]["url"]
    path = tmp_path / "deployment.json"
    path.write_text(json.dumps(description))
    done = _services("drill", running, path)
    assert done.returncode == 1
    assert "DIFFERS" in done.stdout


def test_no_token_is_logged_by_anybody(running: Running, result: Result) -> None:
    """After all that, no log holds anything that looks like a token."""
    assert result.ok
    for log in running.logs.values():
        assert "eyJ" not in log.read_text()


def _services(
    command: str, running: Running, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "services",
            command,
            "--deployment",
            str(path or running.path),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
