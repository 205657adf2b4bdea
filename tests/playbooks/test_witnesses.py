"""Heads of the ledger on hosts: what they find out about the CA, host by host."""

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.certbound.kit.plugins.filter.ledger import (
    PRESENTED,
    SEEN,
    heads,
    presented,
)
from ansible_collections.certbound.kit.plugins.module_utils.pki_command import (
    PkiCommandError,
    run_pki,
)
from ansible_collections.certbound.kit.plugins.module_utils.witness import (
    WitnessError,
    keep_head,
)

from pki.ledger import open_ledger
from tests.playbooks.enrolling import Enrolling

FIRST = {"sequence": 4, "hash": "aa", "time": "2026-11-22T17:35:16Z", "signature": "x"}
NEXT = {"sequence": 6, "hash": "bb", "time": "2026-11-22T18:35:16Z", "signature": "y"}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return what a host keeps after its first roll-out."""
    kept = tmp_path / "ledger-head.json"
    keep_head(str(kept), FIRST)
    return kept


def test_host_keeps_the_newest(kept: Path) -> None:
    """Private, and replaced by one of a later entry or a later moment."""
    assert json.loads(kept.read_text()) == FIRST
    assert kept.stat().st_mode & 0o777 == 0o600
    later = {**FIRST, "time": "2026-11-22T18:00:00Z"}
    for head in (later, NEXT):
        keep_head(str(kept), head)
        assert json.loads(kept.read_text()) == head


def test_check_mode_looks_and_writes_nothing(kept: Path, tmp_path: Path) -> None:
    """What would be refused is refused there, too."""
    keep_head(str(kept), NEXT, check=True)
    keep_head(str(tmp_path / "new"), NEXT, check=True)
    assert json.loads(kept.read_text()) == FIRST
    assert not (tmp_path / "new").exists()
    with pytest.raises(WitnessError):
        keep_head(str(kept), {**FIRST, "sequence": 3}, check=True)


REFUSED = {
    "older": ({**NEXT, "sequence": 3}, "cut short, or is from an old backup"),
    "another": ({**FIRST, "hash": "bb"}, "was rewritten"),
    "none": ({}, "signed none above 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_head_that_contradicts_is_refused(kept: Path, case: str) -> None:
    """The finding names the entry, and what the host keeps stays."""
    head, why = REFUSED[case]
    with pytest.raises(WitnessError, match=why):
        keep_head(str(kept), head)
    assert json.loads(kept.read_text()) == FIRST


@pytest.mark.parametrize("text", ["", "[]", '{"sequence": "4", "hash": "aa"}'])
def test_file_that_is_no_head_is_refused(kept: Path, text: str) -> None:
    """Somebody has been at it."""
    kept.write_text(text)
    with pytest.raises(WitnessError, match="no head"):
        keep_head(str(kept), NEXT)


def test_loss_that_was_accepted_keeps_the_evidence(kept: Path) -> None:
    """What was kept lies beside what is kept now."""
    accepted = {**FIRST, "sequence": 2}
    keep_head(str(kept), accepted, replace=True)
    assert json.loads(kept.read_text()) == accepted
    assert json.loads(Path(f"{kept}.before").read_text()) == FIRST


def test_host_of_a_new_ca_keeps_nothing(tmp_path: Path) -> None:
    """Until the issuing key has signed for the first time."""
    keep_head(str(tmp_path / "head"), {})
    assert not (tmp_path / "head").exists()


class Fleet:
    """A CA, and directories that stand for hosts."""

    def __init__(self, enrolling: Enrolling) -> None:
        """Leave what there is on the first of two hosts."""
        self.enrolling = enrolling
        self.directory = Path(enrolling.ca["directory"])
        self.leave("web-1")
        enrolling.renew()
        self.leave("web-2")

    def leave(self, host: str) -> None:
        """Leave the newest head on a host, as a roll-out does."""
        head = self.enrolling.found()["ledger_head"]
        (self.enrolling.root / host).mkdir(exist_ok=True)
        keep_head(str(self.enrolling.root / host / "ledger-head.json"), head)

    def audit(self) -> dict[str, Any]:
        """Hold the ledger against what both hosts keep."""
        seen: dict[str, dict[str, Any]] = {}
        for host in ("web-1", "web-2"):
            file = self.enrolling.root / host / "ledger-head.json"
            seen[host] = {SEEN: {"stdout": file.read_text(), "rc": 0}}
        together = heads(seen, list(seen))
        assert not together.pop("silent")
        return run_pki(
            self.enrolling.ca["command"],
            ["ledger", "verify", "--directory", str(self.directory), "--witnesses"],
            chdir=self.enrolling.ca["chdir"],
            document=together,
        )

    def tamper(self, *statements: str) -> None:
        """Write the database as someone does who takes the rules away first."""
        with sqlite3.connect(self.directory / "ledger.sqlite") as connection:
            for name in ("changed", "removed"):
                connection.execute(f"DROP TRIGGER entry_is_never_{name}")
            for statement in statements:
                connection.execute(statement)
        connection.close()


@pytest.fixture
def fleet(enrolled: Enrolling) -> Fleet:
    """Return a CA that two hosts have seen."""
    return Fleet(enrolled)


def test_ledger_that_goes_on_is_found_whole(fleet: Fleet) -> None:
    """An older head and the newest one both fit, and so do later entries."""
    assert fleet.audit()["witnesses"] == 2
    fleet.enrolling.renew()
    assert fleet.audit()["witnesses"] == 2


def test_old_backup_is_found(fleet: Fleet) -> None:
    """By the host that has seen more; and its next roll-out refuses to go on."""
    copy = fleet.enrolling.root / "old"
    shutil.copytree(fleet.directory, copy)
    fleet.enrolling.renew()
    fleet.leave("web-2")
    shutil.rmtree(fleet.directory)
    shutil.copytree(copy, fleet.directory)
    with pytest.raises(PkiCommandError, match=r"^web-2: entry \d+ was witnessed"):
        fleet.audit()
    with pytest.raises(WitnessError, match="from an old backup"):
        fleet.leave("web-2")
    fleet.leave("web-1")


def test_truncation_is_found(fleet: Fleet) -> None:
    """Also where what the database remembers was set back with it."""
    fleet.tamper(
        "DELETE FROM entry WHERE sequence > 6",
        "UPDATE sqlite_sequence SET seq = 6 WHERE name = 'entry'",
    )
    with pytest.raises(PkiCommandError, match="web-2: entry 9 was witnessed"):
        fleet.audit()


def test_rewritten_history_is_found(fleet: Fleet) -> None:
    """A chain that is whole in itself, every hash anew, but not the one that was."""
    rewrite(fleet)
    verified = run_pki(
        fleet.enrolling.ca["command"],
        ["ledger", "verify", "--directory", str(fleet.directory)],
        chdir=fleet.enrolling.ca["chdir"],
    )
    assert verified["ok"]
    with pytest.raises(PkiCommandError, match="web-1: entry 6 is another one") as found:
        fleet.audit()
    assert "web-2: entry 9 is another one" in str(found.value)


def rewrite(fleet: Fleet) -> None:
    """Change who the first certificate was for, and every hash from there on."""
    with open_ledger(fleet.directory / "ledger.sqlite") as ledger:
        entries = list(ledger.entries())
    fleet.tamper("DELETE FROM entry")
    with open_ledger(fleet.directory / "ledger.sqlite") as ledger:
        ledger.connection.execute("UPDATE sqlite_sequence SET seq = 0")
        with ledger.transaction():
            for number, entry in enumerate(entries):
                changed = {4: "mallory@localhost"}.get(number, entry.identity)
                ledger.append(replace(entry, identity=changed))


def test_host_without_a_head_is_named() -> None:
    """It was never rolled out to, or somebody took it away."""
    seen: dict[str, dict[str, Any]] = {
        "a": {SEEN: {"stdout": json.dumps(FIRST)}},
        "b": {SEEN: {"stdout": "", "rc": 1}},
        "c": {SEEN: {"stdout": "[]"}},
        "d": {},
    }
    together = heads(seen, list(seen))
    assert together == {"witnesses": {"a": FIRST}, "silent": ["b", "c", "d"]}


def test_what_hosts_present_is_put_together() -> None:
    """By identity, with its owner; whose host has not answered is said to be silent."""
    evidence = {"identity": "orders@a", "presented": ["1f"], "reason": None}
    results: dict[str, dict[str, Any]] = {
        "a": {
            "certbound_identities": [{"identity": "orders@a", "owner": "shop"}],
            PRESENTED: {"evidence": [evidence]},
        },
        "b": {"certbound_identities": [{"identity": "orders@b", "owner": None}]},
    }
    silent = "its host has not answered"
    assert presented(results, ["a", "b"])["presented"] == {
        "orders@a": {"serials": ["1f"], "owner": "shop", "reason": None, "groups": []},
        "orders@b": {"serials": [], "owner": None, "reason": silent, "groups": []},
    }


def test_what_the_last_report_saw_of_key_exchange_is_told() -> None:
    """Of both ends of each call that was answered, by identity."""
    edge = {"caller": "shop", "caller_host": "a", "callee": "orders", "status": 200}
    edges = [
        {**edge, "callee_host": "a", "group": "X25519MLKEM768"},
        {**edge, "callee_host": "b", "group": "X25519"},
        {**edge, "callee_host": "b", "group": "unknown", "status": None},
    ]
    names = {"a": ["shop@a", "orders@a"], "b": ["orders@b"]}
    results: dict[str, dict[str, Any]] = {
        host: {"certbound_identities": [{"identity": one} for one in own]}
        for host, own in names.items()
    }
    told = presented(results, ["a", "b"], {"probe": {"edges": edges}})["presented"]
    assert {name: said["groups"] for name, said in told.items()} == {
        "shop@a": ["X25519", "X25519MLKEM768"],
        "orders@a": ["X25519MLKEM768"],
        "orders@b": ["X25519"],
    }
