"""The ledger: append-only, chained, and every way to tamper with it is found."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pki import clock
from pki import ledger as ledger_module
from pki.database import create_ledger
from pki.engine import LedgerError, RuleError
from pki.entry import Event, Reason
from pki.ledger import (
    BrokenLedgerError,
    SerialTakenError,
    VerifiedLedger,
    open_ledger,
    read_ledger,
)
from pki.listed import Listed
from tests.pki.builders import NOW
from tests.pki.old_ledger import PLANNED
from tests.pki.stores import Store, revoked, verify


@pytest.fixture
def path(store: Store) -> Path:
    """Return a ledger of three certificates, six entries."""
    store.fill()
    return store.path


@pytest.fixture
def file(tmp_path: Path) -> Store:
    """Return the same in SQLite, for what is not a question of the engine."""
    file = Store(tmp_path / "file.sqlite")
    file.fill()
    return file


def test_whole_chain_verifies(path: Path, store: Store) -> None:
    """Six entries, three of them issued, and the newest hash."""
    verified = verify(path)
    assert (verified.entries, verified.issued) == (6, 3)
    assert len(verified.head) == 64


def test_empty_ledger_verifies(store: Store) -> None:
    """A ledger with no entry is whole."""
    store.create()
    assert verify(store.path) == VerifiedLedger(0, 0, "0" * 64)


def test_verifying_is_not_disturbed_by_a_writer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process appends meanwhile belongs to the next verification."""
    real, waiting = ledger_module._hash, ["4"]

    def hash_while_another_writes(columns: dict[str, object]) -> str:
        if waiting:
            with open_ledger(path) as other, other.transaction():
                other.append(replace(PLANNED, serial=waiting.pop()))
        return real(columns)

    monkeypatch.setattr(ledger_module, "_hash", hash_while_another_writes)
    assert verify(path).entries == 6
    assert verify(path).entries == 7


COLUMNS = [
    "event",
    "recorded_at",
    "run_id",
    "issuer",
    "serial",
    "identity",
    "spiffe_id",
    "spki_sha256",
    "not_before",
    "not_after",
    "certificate",
    "hash",
    "previous",
    "reason",
    "authority",
]


@pytest.mark.parametrize("column", COLUMNS)
def test_edit_of_any_column_is_found(file: Store, column: str) -> None:
    """One changed value in the middle, and the entry is named."""
    with file.tampering() as connection:
        connection.execute(
            f"UPDATE entry SET {column} = 'x' WHERE sequence = 3"  # noqa: S608 - ours
        )
    with pytest.raises(BrokenLedgerError, match="entry 3"):
        verify(file.path)


def test_text_turned_into_bytes_is_found(file: Store) -> None:
    """The same letters under another type are a change, too."""
    with file.tampering() as connection:
        connection.execute(
            "UPDATE entry SET serial = CAST(serial AS BLOB) WHERE sequence = 3"
        )
    with pytest.raises(BrokenLedgerError, match="entry 3 was changed"):
        verify(file.path)


@pytest.mark.parametrize("sequence", [1, 4])
def test_removal_is_found(path: Path, store: Store, sequence: int) -> None:
    """An entry gone from the beginning or the middle leaves a gap."""
    with store.tampering() as connection:
        connection.execute(f"DELETE FROM entry WHERE sequence = {sequence}")  # noqa: S608 - ours
    with pytest.raises(BrokenLedgerError, match=f"entry {sequence} is missing"):
        verify(path)


def test_removal_with_closed_gap_is_found(path: Path, store: Store) -> None:
    """Renumbering what follows does not hide it: the chain is broken."""
    with store.tampering() as connection:
        connection.execute("DELETE FROM entry WHERE sequence = 4")
        connection.execute("UPDATE entry SET sequence = 4 WHERE sequence = 5")
        connection.execute("UPDATE entry SET sequence = 5 WHERE sequence = 6")
    with pytest.raises(BrokenLedgerError, match="entry 4 does not follow"):
        verify(path)


def test_removal_from_the_end_is_found(path: Path, store: Store) -> None:
    """The database remembers the highest number it gave."""
    with store.tampering() as connection:
        connection.execute("DELETE FROM entry WHERE sequence >= 5")
    with pytest.raises(BrokenLedgerError, match="after 4 are missing"):
        verify(path)


def test_reordering_is_found(path: Path, store: Store) -> None:
    """Two entries that changed places."""
    with store.tampering() as connection:
        for old, new in ((3, 99), (4, 3), (99, 4)):
            connection.execute(
                f"UPDATE entry SET sequence = {new} WHERE sequence = {old}"  # noqa: S608 - ours
            )
    with pytest.raises(BrokenLedgerError, match="entry 3 does not follow"):
        verify(path)


def test_insertion_is_found(path: Path, store: Store) -> None:
    """An entry put at the end without its hash."""
    with store.tampering() as connection:
        connection.execute(
            "INSERT INTO entry SELECT 7, event, recorded_at, run_id, issuer, '9', "
            "identity, spiffe_id, spki_sha256, not_before, not_after, certificate, "
            "hash, 'f', reason, authority, detail FROM entry WHERE sequence = 6"
        )
    with pytest.raises(BrokenLedgerError, match="entry 7"):
        verify(path)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE entry SET identity = 'x'", "DELETE FROM entry WHERE sequence = 6"],
)
def test_database_itself_is_append_only(
    path: Path, store: Store, statement: str
) -> None:
    """A statement that changes or removes is refused by the database."""
    with (
        open_ledger(path) as ledger,
        pytest.raises(RuleError, match="append-only"),
    ):
        ledger.connection.execute(statement)
    assert verify(path).entries == 6


@pytest.mark.parametrize("column", ["reason", "authority"])
def test_value_taken_from_an_entry_is_found(file: Store, column: str) -> None:
    """Columns that may be empty are covered by the hash where they are not."""
    entry = replace(revoked(PLANNED), authority="aa")
    with open_ledger(file.path) as ledger, ledger.transaction():
        ledger.append(entry)
    with file.tampering() as connection:
        connection.execute(
            f"UPDATE entry SET {column} = NULL WHERE sequence = 7"  # noqa: S608 - ours
        )
    with pytest.raises(BrokenLedgerError, match="entry 7 was changed"):
        verify(file.path)


@pytest.mark.parametrize("event", [Event.PLANNED, Event.ISSUED])
def test_serial_is_unique_per_issuer(path: Path, event: Event) -> None:
    """The same serial again is refused, for each event."""
    with (
        open_ledger(path) as ledger,
        pytest.raises(SerialTakenError, match="serial 2"),
        ledger.transaction(),
    ):
        ledger.append(replace(PLANNED, serial="2", event=event))


def test_other_issuer_may_have_the_serial(path: Path) -> None:
    """Serials are unique within an issuer, not among all (RFC 5280, 4.1.2.2)."""
    with open_ledger(path) as ledger, ledger.transaction():
        ledger.append(replace(PLANNED, issuer="CN=another"))
    assert verify(path).entries == 7


def test_transaction_is_all_or_nothing(path: Path) -> None:
    """When the second entry fails, the first is not there either."""

    def append_both() -> None:
        with open_ledger(path) as ledger, ledger.transaction():
            ledger.append(replace(PLANNED, serial="4"))
            ledger.append(replace(PLANNED, serial="1"))

    with pytest.raises(SerialTakenError):
        append_both()
    assert verify(path).entries == 6


def test_newest_moment_is_that_of_the_last_entry(path: Path) -> None:
    """What the clock is compared with."""
    with open_ledger(path) as ledger:
        assert ledger.newest_moment() == NOW
        with ledger.transaction():
            later = clock.to_text(NOW.replace(minute=59))
            ledger.append(replace(PLANNED, serial="4", recorded_at=later))
        assert ledger.newest_moment() == NOW.replace(minute=59)


def test_empty_ledger_has_no_newest_moment(store: Store) -> None:
    """Any clock is right before the first entry."""
    store.create()
    with open_ledger(store.path) as ledger:
        assert ledger.newest_moment() is None
        assert ledger.newest_issued("root") is None


def test_holder_of_a_key(path: Path) -> None:
    """A key is known from its plan on."""
    with open_ledger(path) as ledger:
        with ledger.transaction():
            ledger.append(
                replace(PLANNED, serial="4", spki_sha256="bb", identity="stock@a")
            )
        assert ledger.holder_of("bb") == "stock@a"
        assert ledger.holder_of("11") == "orders@localhost"
        assert ledger.holder_of("cc") is None


def test_newest_issued(path: Path) -> None:
    """The last certificate of an identity, or the last for one of its keys."""
    with open_ledger(path) as ledger:
        newest = ledger.newest_issued("orders@localhost")
        assert newest
        assert newest.serial == "3"
        of_key = ledger.newest_issued("orders@localhost", spki_sha256="11")
        assert of_key
        assert of_key.serial == "1"
        assert ledger.newest_issued("stock@localhost") is None


def test_entries_come_oldest_first(path: Path) -> None:
    """The whole history, in order."""
    with open_ledger(path) as ledger:
        serials = [(entry.event, entry.serial) for entry in ledger.entries()]
    assert serials == [
        (event, serial) for serial in "123" for event in ("planned", "issued")
    ]


def test_entries_added_together_are_chained_as_one_by_one(
    path: Path, tmp_path: Path
) -> None:
    """How many are added at a time is no part of the history."""
    alone = Store(tmp_path / "alone.sqlite")
    alone.fill()
    added = [replace(PLANNED, serial=serial) for serial in "789"]
    with open_ledger(path) as ledger, ledger.transaction():
        ledger.append(*added)
    with open_ledger(alone.path) as ledger:
        for entry in added:
            ledger.append(entry)
    assert verify(path) == verify(alone.path)


def test_one_serial_that_is_taken_keeps_all_out(path: Path) -> None:
    """What is added together is in the ledger as a whole, or not at all."""
    added = [replace(PLANNED, serial=serial) for serial in "71"]
    with open_ledger(path) as ledger:
        with pytest.raises(SerialTakenError, match="planned serial 1"):  # noqa: SIM117 - what fails is the transaction
            with ledger.transaction():
                ledger.append(*added)
        assert ledger.verify().entries == 6


def test_creating_twice_keeps_the_entries(path: Path) -> None:
    """A second founding does not begin a new history."""
    create_ledger(path)
    assert verify(path).entries == 6


def test_certificate_is_revoked_once(path: Path) -> None:
    """A second revocation of the same certificate has no place."""
    with open_ledger(path) as ledger:
        with ledger.transaction():
            ledger.append(revoked(PLANNED))
        with pytest.raises(SerialTakenError, match="revoked serial 1"):
            ledger.append(revoked(PLANNED, Reason.SUPERSEDED))


def test_key_of_a_revoked_certificate_is_known(path: Path) -> None:
    """By its hash alone, whoever asks."""
    with open_ledger(path) as ledger:
        assert not ledger.is_revoked_key("11")
        with ledger.transaction():
            ledger.append(revoked(replace(PLANNED, spki_sha256="11")))
        assert ledger.is_revoked_key("11")
        assert not ledger.is_revoked_key("22")


def test_revocations_of_one_authority_that_still_matter(path: Path) -> None:
    """Those that ended before a moment, and those of others, are left out."""
    ends = clock.from_text(PLANNED.not_after)
    with open_ledger(path) as ledger:
        with ledger.transaction():
            ledger.append(replace(revoked(PLANNED), authority="aa", serial="1f"))
            ledger.append(replace(revoked(PLANNED), authority="bb", serial="2"))
        (found,) = ledger.revocations("aa", ending=ends)
        assert (found.serial, found.reason) == (0x1F, Reason.KEY_COMPROMISE)
        assert (found.at, found.not_after) == (NOW, ends)
        assert not ledger.revocations("aa", ending=ends + timedelta(seconds=1))


def test_revocations_after_an_entry(path: Path) -> None:
    """What was revoked up to it is left out."""
    ends = clock.from_text(PLANNED.not_after)
    with open_ledger(path) as ledger:
        with ledger.transaction():
            for serial in ("1f", "2f"):
                entry = replace(revoked(PLANNED), authority="aa", serial=serial)
                ledger.append(entry)
        last, _ = ledger.newest()
        (found,) = ledger.revocations("aa", ending=ends, after=last - 1)
        assert (found.serial, found.sequence) == (0x2F, last)
        assert not ledger.revocations(
            "aa", ending=ends + timedelta(seconds=1), after=last - 1
        )
        assert not ledger.revocations("bb", ending=ends, after=last - 1)


def test_shard_has_what_belongs_there(path: Path) -> None:
    """What other authorities revoked, and what has ended, is left out."""
    ends = clock.from_text(PLANNED.not_after)
    with open_ledger(path) as ledger:
        listed = Listed(ledger.connection, "aa")
        for authority, serial in (("aa", "1f"), ("bb", "2f"), ("aa", "20")):
            entry = replace(revoked(PLANNED), authority=authority, serial=serial)
            ledger.append(entry)
            listed.take_up(lambda number: str(number % 2))
        assert [one.serial for one in listed.of("1", ending=ends)] == [0x1F]
        assert [one.serial for one in listed.of("0", ending=ends)] == [0x20]
        assert not listed.of("1", ending=ends + timedelta(seconds=1))


@pytest.mark.parametrize(
    "statement", ["DELETE FROM listed", "UPDATE listed SET scope = '0'"]
)
def test_no_revocation_leaves_its_shard(path: Path, statement: str) -> None:
    """It would be lost for whoever looks for it there."""
    with open_ledger(path) as ledger:
        ledger.append(replace(revoked(PLANNED), authority="aa"))
        listed = Listed(ledger.connection, "aa")
        listed.take_up(lambda _: "3")
        with pytest.raises(RuleError):
            ledger.connection.execute(statement)
        assert len(listed.of("3", ending=NOW)) == 1


def test_certificates_in_use(path: Path) -> None:
    """Those of all, or of one identity, that end after a moment."""
    ends = clock.from_text(PLANNED.not_after)
    before = ends - timedelta(seconds=1)
    with open_ledger(path) as ledger:
        assert [entry.serial for entry in ledger.issued(after=before)] == [
            "1",
            "2",
            "3",
        ]
        assert not ledger.issued(after=ends)
        mine = ledger.issued(after=before, identity=PLANNED.identity)
        assert len(mine) == 3
        assert not ledger.issued(after=before, identity="stock@localhost")


def test_reader_changes_nothing(path: Path) -> None:
    """What is opened for reading cannot be written."""
    with (
        pytest.raises(LedgerError, match=r"read-?only"),
        read_ledger(path) as ledger,
    ):
        ledger.append(replace(PLANNED, serial="4"))


def test_reader_sees_one_moment(path: Path) -> None:
    """What is written meanwhile belongs to the next reader."""
    with read_ledger(path) as reader:
        assert reader.newest()[0] == 6
        with open_ledger(path) as ledger, ledger.transaction():
            ledger.append(replace(PLANNED, serial="4"))
        assert reader.newest()[0] == 6
    with read_ledger(path) as reader:
        assert reader.newest()[0] == 7
