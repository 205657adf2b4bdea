"""Where keys lie on several hosts, the drill is a relay; no key is needed elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from services.config import ConfigError
from services.deployment import Deployment
from services.drill.drill import Baton, play, run_drill
from services.drill.result import NOT_TRIED
from tests.services.deployed import Running

RELAY = (["storefront"], ["orders"], ["edge"], ["stock"], ["storefront"])
NOWHERE = Path("no-such-key.pem")


def without_other_keys(deployment: Deployment, holding: Sequence[str]) -> Deployment:
    """Return the deployment as a host sees it that has these keys alone."""

    def seen(parties: dict[str, msgspec.Struct]) -> dict[str, msgspec.Struct]:
        return {
            name: party
            if name in holding
            else msgspec.structs.replace(party, private_key=NOWHERE)
            for name, party in parties.items()
        }

    return msgspec.structs.replace(
        deployment,
        services=seen({**deployment.services}),
        gateways=seen({**deployment.gateways}),
    )


def run_relay(deployment: Deployment, legs: Sequence[Sequence[str]]) -> list[Baton]:
    """Return what each leg hands on."""
    batons: list[Baton] = []
    for holding in legs:
        here = without_other_keys(deployment, holding)
        if batons:
            handed_on = msgspec.Raw(msgspec.json.encode(batons[-1]))
            here = msgspec.structs.replace(here, handed_on=handed_on)
        batons.append(play(here, holding=holding))
    return batons


@pytest.fixture(scope="module")
def relay(running: Running) -> list[Baton]:
    """Return the relay of the sample, each party on a host of its own."""
    return run_relay(running.deployment, RELAY)


def test_a_relay_ends_with_the_table_of_one_host(
    running: Running, relay: list[Baton]
) -> None:
    """Nothing depends on who has which keys; nobody needs a key that is not his."""
    assert relay[-1].result.ok
    assert relay[-1].result == run_drill(running.deployment)


def test_each_leg_plays_what_its_keys_are_for(relay: list[Baton]) -> None:
    """Every leg leaves less to be tried, and what was tried stays as it was."""
    left = [
        sum(
            cell.happened == NOT_TRIED
            for row in baton.result.rows
            for cell in row.cells.values()
        )
        for baton in relay
    ]
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    assert left[-2] > 0


def test_a_relay_that_breaks_off_is_no_success(relay: list[Baton]) -> None:
    """What was left out is not ok, though nothing has come out wrong."""
    for baton in relay[:-1]:
        assert not baton.result.ok
        assert not baton.result.differs


def test_keys_do_not_travel(running: Running, relay: list[Baton]) -> None:
    """What is handed on is tokens and certificates, and no key."""
    handed_on = msgspec.json.encode(relay[-1]).decode()
    assert "PRIVATE KEY" not in handed_on
    for party in running.deployment.services.values():
        _, *secret, _ = party.private_key.read_text().splitlines()
        assert not [line for line in secret if line in handed_on]


def test_whoever_has_no_key_cannot_play(running: Running) -> None:
    """A leg of nobody is refused in one sentence."""
    with pytest.raises(ConfigError, match="somebody's key"):
        play(running.deployment, holding=["nobody"])


def test_what_is_handed_on_must_be_of_a_drill(running: Running) -> None:
    """Something else is refused in one sentence."""
    other = msgspec.structs.replace(
        running.deployment, handed_on=msgspec.Raw(b'{"loot": 1}')
    )
    with pytest.raises(ConfigError, match="handed on is no drill"):
        play(other, holding=["storefront"])
