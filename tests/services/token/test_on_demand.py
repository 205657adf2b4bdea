"""Tests of `services.token.on_demand`: keys replaced while a process uses them."""

import json
import subprocess
import sys
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from services.config import ConfigError, TokenServiceConfig
from services.token.key_files import KeyFiles
from services.token.on_demand import VERBS, NothingWaitsError, OnDemand, on_demand
from services.token.own_keys import OwnKeys
from services.token.rotation import KEPT, Schedule
from services.token.signing_keys import SigningKeyError
from tests.services.documents import service_document, token_service_config, write
from tests.services.running import Clock

SECOND = timedelta(seconds=1)


class Replica:
    """A running replica's keys, and what is asked of them from outside."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.config: TokenServiceConfig = token_service_config(
            directory, state=str(directory / "state")
        )
        self.lead = timedelta(seconds=self.config.key_lead)
        interval = timedelta(seconds=self.config.key_rotation)
        schedule = Schedule(interval, self.lead)
        self.keys = OwnKeys(
            self.config.state, lambda: schedule, self.clock, count().__next__
        )

    def ask(self, verb: str) -> dict[str, Any]:
        """Do what the command does."""
        asked = OnDemand(self.config, self.clock.moment)
        answer: dict[str, Any] = getattr(asked, verb)()
        return answer

    def signing(self) -> str:
        """Return the id of the key that the process signs with."""
        return self.keys.signing().key_id

    def published(self) -> set[str]:
        """Return the ids that the process publishes."""
        return {key.key_id for key in self.keys.published()}


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    """Return a replica that has just made its first key."""
    made = Replica(tmp_path)
    made.clock.move(seconds=60)
    return made


def test_the_running_process_publishes_what_was_made_beside_it(
    replica: Replica,
) -> None:
    """With the next key set, and it signs on with the key it has."""
    first = replica.signing()
    answer = replica.ask("publish")
    assert replica.published() == {first, answer["waiting"]}
    assert (replica.signing(), answer["signing"]) == (first, first)


def test_a_key_that_nobody_was_asked_about_waits_for_its_lead(
    replica: Replica,
) -> None:
    """Without `begin` the rule of the schedule stands."""
    first, made = replica.signing(), replica.ask("publish")["waiting"]
    replica.clock.moment += replica.lead
    assert replica.signing() == first
    replica.clock.moment += SECOND
    assert replica.signing() == made


def test_one_key_waits_however_often_it_is_asked_for(replica: Replica) -> None:
    """A run that was interrupted is found again as it was."""
    first, again = replica.ask("publish"), replica.ask("publish")
    assert (first["changed"], again["changed"]) == (True, False)
    assert first["waiting"] == again["waiting"] == replica.ask("show")["waiting"]


@pytest.mark.parametrize(("seconds", "changed"), [(60, True), (61, False)])
def test_a_young_key_is_left_alone_if_that_is_asked_for(
    replica: Replica, tmp_path: Path, seconds: int, *, changed: bool
) -> None:
    """So that the same command given twice replaces keys once."""
    path, young = next(tmp_path.rglob("config.json")), timedelta(seconds=seconds)
    now = replica.clock.moment
    assert on_demand(path, "publish", now, older_than=young)["changed"] is changed


def test_a_key_begins_when_it_is_told_to(replica: Replica) -> None:
    """The one before loses its private half at once, its public half later."""
    first, made = replica.signing(), replica.ask("publish")["waiting"]
    answer = replica.ask("begin")
    assert (answer["signing"], answer["retired"]) == (made, [first])
    assert replica.signing() == made
    assert replica.published() == {first, made}
    files = list(replica.config.state.glob("signing-key-*"))
    assert sum(b"PRIVATE" in path.read_bytes() for path in files) == 1
    replica.clock.moment += KEPT
    assert replica.published() == {made}


def test_a_key_of_this_very_second_is_followed_a_second_later(
    replica: Replica,
) -> None:
    """No two keys begin at one moment: their files would be one."""
    replica.ask("publish")
    second = replica.ask("begin")["signing"]
    replica.ask("publish")
    third = replica.ask("begin")["waiting"]
    assert replica.signing() == second
    replica.clock.moment += SECOND
    assert replica.signing() == third


def test_a_key_that_waits_can_be_withdrawn(replica: Replica) -> None:
    """Nothing was ever signed with it, so nothing is missed."""
    first = replica.signing()
    replica.ask("publish")
    assert replica.ask("withdraw")["waiting"] is None
    assert replica.published() == {first}


@pytest.mark.parametrize("verb", ["begin", "withdraw"])
def test_without_a_key_that_waits_nothing_is_done(replica: Replica, verb: str) -> None:
    """The key that signs is neither moved nor forgotten."""
    before = replica.published()
    with pytest.raises(NothingWaitsError):
        replica.ask(verb)
    assert replica.published() == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_replica_that_never_ran_has_no_keys(tmp_path: Path, verb: str) -> None:
    """Its first key is for its process to make, which then signs at once."""
    config = token_service_config(tmp_path, state=str(tmp_path / "state"))
    with pytest.raises(SigningKeyError, match="no signing key was ever made"):
        getattr(OnDemand(config, Clock().moment), verb)()


def test_no_key_takes_the_place_of_another(replica: Replica) -> None:
    """A moment that is taken is refused, and both files stay."""
    replica.ask("publish")
    files = KeyFiles(replica.config.state)
    with files.alone():
        present, waiting = files.read()
        with pytest.raises(SigningKeyError, match="another key begins"):
            files.move(waiting, present.begins)
        assert len(files.read()) == len((present, waiting))


def test_the_files_of_another_kind_of_process_are_left_alone(tmp_path: Path) -> None:
    """Only a token service has signing keys."""
    path = write(tmp_path, service_document())
    with pytest.raises(ConfigError, match="not 'token-service'"):
        on_demand(path, "show", Clock().moment)


def test_the_command_answers_in_json_without_a_key(
    replica: Replica, tmp_path: Path
) -> None:
    """Key ids and moments, and nothing private."""
    path = next(tmp_path.rglob("config.json"))
    done = subprocess.run(
        [sys.executable, "-m", "services", "signing-keys", "show", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["signing"] == replica.signing()
    assert set(json.loads(done.stdout)) == {
        *("changed", "signing", "since", "waiting", "begins"),
        *("retired", "forgotten_at"),
    }
