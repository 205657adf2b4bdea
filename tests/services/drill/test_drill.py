"""The drill sees what there is to see, and nothing that was issued for it leaks."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from services.config import ConfigError
from services.drill.drill import Baton, play, run_drill
from services.drill.result import KINDS, Result
from services.drill.thefts import THEFTS
from services.state.entry import digest
from tests.services.deployed import Running

EVERYBODY = ["storefront", "orders", "stock", "edge"]


@pytest.fixture(scope="module")
def baton(running: Running) -> Baton:
    """Return the drill of the running deployment, with what was stolen in it."""
    return play(running.deployment, holding=EVERYBODY)


@pytest.fixture(scope="module")
def result(baton: Baton) -> Result:
    """Return its table."""
    return baton.result


def column(result: Result, kind: str) -> dict[str, str]:
    """Return what came of each theft that means something for a kind."""
    return {
        row.tried: row.cells[kind].happened for row in result.rows if kind in row.cells
    }


def test_every_theft_is_tried_with_every_kind_it_means_something_for(
    result: Result,
) -> None:
    """The table has a row for each theft, and no cell is missing or left over."""
    tried = {row.tried: set(row.cells) for row in result.rows}
    assert tried == {theft.tried: set(theft.expected) for theft in THEFTS}
    assert set().union(*tried.values()) == set(KINDS)


def test_every_try_ends_as_expected(result: Result) -> None:
    """Each refusal has the reason that it should have."""
    assert [row for row in result.rows if not row.ok] == []
    assert result.ok


@pytest.mark.parametrize("kind", ["bound", "dpop", "phantom", "exchanged"])
def test_only_its_owner_gets_anything_out_of_a_bound_token(
    result: Result, kind: str
) -> None:
    """Every theft of a token that is bound to something is refused."""
    happened = column(result, kind)
    assert happened.pop("by its owner") == "accepted"
    assert len(happened) >= 15
    assert "accepted" not in happened.values()


def test_the_bearer_token_works_for_whoever_holds_it(result: Result) -> None:
    """No certificate, another's, an impostor's: a bearer token works until it ends."""
    happened = column(result, "bearer")
    assert [tried for tried, said in happened.items() if said == "accepted"] == [
        "by its owner",
        "with no certificate",
        "with another service's valid certificate",
        "with the owner's name from a rogue CA",
        "with the owner's certificate in Client-Cert",
        "with it in X-Forwarded-Client-Cert",
        "after its owner has revoked it",
    ]


def test_the_column_of_mtls_names_each_reason(result: Result) -> None:
    """What stops the thief of a token that is bound to a certificate, row by row."""
    assert list(column(result, "bound").values()) == [
        "accepted",
        "TLS alert: certificate required",
        "the token is bound to another certificate",
        "TLS alert: unknown ca",
        "the token is bound to another certificate",
        "the token is bound to another certificate",
        "the token is for another audience",
        "more than one Authorization header",
        "a token does not belong into the URI",
        "a token is needed",
        "the signature is not valid",
        "the token is malformed",
        "the signature is not valid",
        "the signature is not valid",
        "the token is signed with an unknown key",
        "the token is malformed",
        "the token is no access token",
        "the subject token is not valid, or was not sent to this client",
        "client authentication failed",
        "the token service says: not active",
        "the client may not use this grant or endpoint",
        "the token was revoked",
        "the token has expired",
    ]


def test_the_column_of_dpop_names_what_is_wrong_with_each_proof(
    result: Result,
) -> None:
    """A captured proof is good once, for one request, one token, a minute and here."""
    other = "the DPoP proof is for another access token"
    happened = column(result, "dpop")
    proofs = {tried: happened[tried] for tried in happened if "proof" in tried}
    assert proofs == {
        "with a proof used before": "the DPoP proof was used before",
        "with two proofs": "there is more than one DPoP proof",
        "with a proof for another URI": "the DPoP proof is for another URI",
        "with a proof for another method": "the DPoP proof is for another method",
        "with a proof for another token": other,
        "with a proof for no token": other,
        "with a proof of two minutes ago": "the DPoP proof is too old",
        "with a proof made ahead, without a nonce": (
            "the DPoP proof needs a nonce of this server"
        ),
        "with a proof that has another server's nonce": (
            "the DPoP proof needs a newer nonce"
        ),
        "with a proof that shows the owner's key": (
            "the signature of the DPoP proof is not valid"
        ),
        "under the scheme Bearer, without a proof": (
            "the token is bound to a key, and no DPoP proof was presented"
        ),
    }
    thiefs = happened["with another service's valid certificate"]
    assert thiefs == "the token is bound to another key"


def test_the_column_of_phantom_tokens_ends_at_the_gateway(result: Result) -> None:
    """Behind the gateway an opaque token is none; what is none is not active there."""
    happened = column(result, "phantom")
    assert happened["past the gateway, at the service behind it"] == (
        "the token is malformed"
    )
    assert [tried for tried, said in happened.items() if "is not active" in said] == [
        "with one character changed",
        "as the token service's database has it",
        "as the signed answer about it (introspection)",
        "after its owner has revoked it",
        "after its expiry",
    ]


def test_what_is_tried_from_the_database_is_what_stands_there(
    running: Running, baton: Baton
) -> None:
    """The stolen opaque token's row has the digest that the drill uses for a token."""
    state = running.path.parent / "state" / "shared.sqlite"
    token = baton.loot["phantom"].token
    connection = sqlite3.connect(f"file:{state}?mode=ro", uri=True)
    query = "SELECT count(*) FROM token WHERE name = ?"
    found = connection.execute(query, (digest(token),)).fetchone()
    by_text = connection.execute(query, (token.encode(),)).fetchone()
    connection.close()
    assert (found, by_text) == ((1,), (0,))


def test_the_table_holds_nothing_that_was_stolen(baton: Baton) -> None:
    """What is reported has no token in it, and no part of one."""
    shown = msgspec.json.encode(baton.result).decode()
    for spoils in baton.loot.values():
        for text in (spoils.token, spoils.introspected):
            assert text
            assert not [part for part in text.split(".") if part in shown]


def test_kinds_without_parties_are_left_out(running: Running) -> None:
    """A drill that names no clients for them steals bearer and bound tokens alone."""
    parties = running.deployment.drill
    assert parties is not None
    two = msgspec.structs.replace(parties, dpop=None, phantom=None, exchanged=None)
    result = run_drill(msgspec.structs.replace(running.deployment, drill=two))
    assert [row for row in result.rows if not row.ok] == []
    assert {kind for row in result.rows for kind in row.cells} == {"bearer", "bound"}
    assert not [row.tried for row in result.rows if "proof" in row.tried]


def test_a_topology_without_parties_has_no_drill(running: Running) -> None:
    """Without a drill section there is one clear error."""
    with pytest.raises(ConfigError, match="no drill"):
        run_drill(msgspec.structs.replace(running.deployment, drill=None))


def test_the_command_prints_the_table_and_exits_with_zero(running: Running) -> None:
    """`python -m services drill` is what the playbook runs."""
    done = _services("drill", running)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" ok\n") == len(THEFTS)
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
        said = log.read_text()
        assert "eyJ" not in said
        assert "cbo_" not in said


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
