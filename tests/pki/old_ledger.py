"""A ledger as the first release made it, and the entries it is made of."""

import sqlite3
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

from pki.canonical import canonical_json
from pki.entry import Entry, Event

PLANNED = Entry(
    event=Event.PLANNED,
    recorded_at="2026-11-22T17:35:16Z",
    run_id="run",
    issuer="CN=shop.internal issuing CA",
    serial="1",
    identity="orders@localhost",
    spiffe_id="spiffe://shop.internal/service/orders",
    spki_sha256="aa",
    not_before="2026-11-22T17:30:16Z",
    not_after="2026-11-23T17:30:16Z",
)


def issued(planned: Entry) -> Entry:
    """Return the entry that follows a plan."""
    return replace(planned, event=Event.ISSUED, certificate="MII=")


def by_the_first_release(path: Path) -> None:
    """Write a ledger of one certificate, as the code of version 1 did."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(FIRST_SCHEMA + "PRAGMA user_version = 1;")
    previous = "0" * 64
    for sequence, entry in enumerate((PLANNED, issued(PLANNED)), start=1):
        stated = asdict(entry)
        del stated["reason"], stated["authority"], stated["detail"]
        columns = {"sequence": sequence, **stated, "previous": previous}
        previous = columns["hash"] = sha256(canonical_json(columns)).hexdigest()
        connection.execute(
            f"INSERT INTO entry ({', '.join(columns)})"  # noqa: S608 - ours
            f" VALUES ({', '.join('?' * len(columns))})",
            list(columns.values()),
        )
    connection.commit()
    connection.close()


FIRST_SCHEMA = """
CREATE TABLE entry (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    run_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    serial TEXT NOT NULL,
    identity TEXT NOT NULL,
    spiffe_id TEXT NOT NULL,
    spki_sha256 TEXT NOT NULL,
    not_before TEXT NOT NULL,
    not_after TEXT NOT NULL,
    certificate TEXT,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    UNIQUE (issuer, serial, event)
);
CREATE INDEX entry_by_key ON entry (spki_sha256);
CREATE INDEX entry_by_identity ON entry (identity, event);
CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON entry
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entry_is_never_removed BEFORE DELETE ON entry
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
