"""Heads kept elsewhere find what the chain cannot: history rewritten as a whole."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pki.ledger import open_ledger
from pki.published import Head
from pki.witness import (
    ForgedWitnessError,
    NoHeadError,
    RewrittenLedgerError,
    TruncatedLedgerError,
    UnreadableWitnessError,
    check_head,
    newest_head,
    read_head,
)
from tests.pki.builders import Ca
from tests.pki.command import pki

ORDERS = "orders@localhost"


def head(ca: Ca) -> Head:
    """Return what somebody keeps."""
    with open_ledger(ca.layout.ledger) as ledger:
        return newest_head(ledger)


def check(ca: Ca, witness: Head) -> None:
    """Compare a whole chain with what was kept."""
    with open_ledger(ca.layout.ledger) as ledger:
        ledger.verify()
        check_head(ledger, witness)


def test_head_is_of_the_newest_entry(ca: Ca) -> None:
    """Signed whenever the issuing key was open, and it stays true afterwards."""
    with pytest.raises(NoHeadError):
        head(ca)
    ca.one()
    first = head(ca)
    with open_ledger(ca.layout.ledger) as ledger:
        assert (first.sequence, first.hash) == ledger.newest()
    ca.revoke(ORDERS)
    assert head(ca).sequence == first.sequence + 1
    check(ca, first)
    check(ca, head(ca))


def test_restored_backup_is_found(ca: Ca) -> None:
    """Its chain verifies; it ends before what was witnessed."""
    ca.one()
    shutil.copytree(ca.layout.directory, ca.layout.directory / "backup")
    ca.one()
    witness = head(ca)
    restored = Ca.at(ca.layout.directory / "backup")
    with pytest.raises(TruncatedLedgerError, match="old backup"):
        check(restored, witness)


def test_other_history_after_a_backup_is_found(ca: Ca) -> None:
    """Also when as much has happened since."""
    ca.one()
    shutil.copytree(ca.layout.directory, ca.layout.directory / "backup")
    ca.one()
    witness = head(ca)
    restored = Ca.at(ca.layout.directory / "backup")
    restored.one()
    with pytest.raises(RewrittenLedgerError, match="rewritten"):
        check(restored, witness)


def test_history_rewritten_as_a_whole_is_found(ca: Ca) -> None:
    """Every hash is right again, and the signed head is not what it was."""
    ca.one()
    witness = head(ca)
    rewritten = ca.layout.directory / "rewritten.sqlite"
    shutil.copy(ca.layout.ledger, rewritten)
    with open_ledger(ca.layout.ledger) as ledger:
        entries = list(ledger.entries())
    with open_ledger(rewritten) as ledger:
        for trigger in ("changed", "removed"):
            ledger.connection.execute(f"DROP TRIGGER entry_is_never_{trigger}")
        ledger.connection.execute("DELETE FROM entry")
        for entry in entries:
            ledger.append(replace(entry, run_id="nothing happened"))
        assert ledger.verify().entries == len(entries)
        with pytest.raises(RewrittenLedgerError):
            check_head(ledger, witness)


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 3},
        {"hash": "0" * 64},
        {"time": "2020-01-01T00:00:00Z"},
        {"signature": "AAAA"},
        {"signature": "no base64"},
    ],
)
def test_witness_that_was_not_signed_is_refused(
    ca: Ca, change: dict[str, object]
) -> None:
    """One member changed, and it witnesses nothing."""
    ca.one()
    forged = replace(head(ca), **change)  # type: ignore[arg-type]  # by name
    with pytest.raises(ForgedWitnessError):
        check(ca, forged)


def test_witness_of_another_ca_is_refused(ca: Ca) -> None:
    """A ledger put in place of another as a whole shows in this."""
    ca.one()
    other = Ca.found(ca.layout.directory / "other")
    other.one()
    with pytest.raises(ForgedWitnessError):
        check(other, head(ca))


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b'{"sequence": "1"}', b'{"sequence": 1, "hash": "", "more": 1}'],
)
def test_file_that_is_no_head_is_refused(document: bytes) -> None:
    """A mistyped path is no witness that agrees."""
    with pytest.raises(UnreadableWitnessError):
        read_head(document)


def test_what_is_printed_is_what_is_read(ca: Ca) -> None:
    """The same members, each once."""
    ca.one()
    assert read_head(json.dumps(asdict(head(ca))).encode()) == head(ca)


def test_commands_print_and_compare(ca: Ca, tmp_path: Path) -> None:
    """`ledger head` into files, `ledger verify --witness` with all of them."""
    ca.one()
    directory = ("--directory", ca.layout.directory)
    files = []
    for number in range(2):
        done = pki("ledger", "head", *directory)
        assert set(done.answer) == {"sequence", "hash", "signature", "time"}
        files.append(tmp_path / str(number))
        files[-1].write_text(done.output)
        ca.one("stock@localhost")
    witnesses = [option for file in files for option in ("--witness", file)]
    assert pki("ledger", "verify", *directory, *witnesses).answer["witnesses"] == 2
    changed = json.loads(files[0].read_text()) | {"sequence": 99}
    files[0].write_text(json.dumps(changed))
    done = pki("ledger", "verify", *directory, *witnesses)
    assert done.refusal["error"] == "forged_witness"
