"""Every certificate of this CA, in the order they came: append-only, hash-chained.

Two entries a certificate: `planned`, durable before the CA's key is used, and
`issued`, which holds the certificate and is durable before its bytes leave. So each
serial the key may ever have signed is known, whatever was killed when. Two more may
follow: `superseded` and `revoked`. What a certificate's status is, is said here and
nowhere else. `signing` and `withdrawal` write; `python -m pki ledger` reads.

Each entry's hash covers its own columns and the hash before it, so `verify` finds an
entry that was changed, removed, moved or put in between. What that does not prove: a
history rewritten *as a whole* by someone who may write the file verifies. Against that
stand the heads that `witness` compares with.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pki import clock, database, questions
from pki.canonical import canonical_json, canonical_texts
from pki.engine import Connection, LedgerError, RuleError
from pki.entry import Entry, Event, Reason, Revocation
from pki.listed import COLUMNS, read_revocation
from pki.published import Published

_BEGINNING = "0" * 64  # stands for the entry before the first


class BrokenLedgerError(LedgerError):
    """An entry was changed, removed, moved or put in between."""

    code = "ledger_broken"


class SerialTakenError(LedgerError):
    """The issuer has given this serial before (RFC 5280, section 4.1.2.2)."""

    code = "serial_taken"


@dataclass(frozen=True, slots=True)
class VerifiedLedger:
    """What a whole chain of entries showed."""

    entries: int
    issued: int
    head: str  # the newest hash: whoever keeps it can tell a rewritten history


class Ledger:
    """An open ledger. One process writes at a time: it holds the CA's lock."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.published = Published(connection)

    def transaction(self) -> AbstractContextManager[None]:
        """Make all entries appended inside durable together, or none."""
        return self.connection.transaction()

    def append(self, *entries: Entry) -> None:
        """Add entries to the chain: all of them inside of one transaction.

        Raises:
            SerialTakenError: an issuer has this event for this serial already.
        """
        sequence, previous = self.newest()
        rows = []
        for number, entry in enumerate(entries, sequence + 1):
            stated = questions.stated_of(entry)
            columns = questions.hashed(zip(questions.STATED, stated, strict=True))
            columns["sequence"], columns["previous"] = number, previous
            octets = canonical_texts(columns)
            following = hashlib.sha256(octets).hexdigest()
            rows.append((number, *stated, previous, following))
            previous = following
        try:
            self.connection.execute_many(questions.INSERT, rows)
        except RuleError as error:
            told = ", ".join(f"{one.event} serial {one.serial}" for one in entries)
            said = told if len(entries) == 1 else f"one of {told}"
            raise SerialTakenError(f"{entries[0].issuer} has {said} before") from error

    def newest_moment(self) -> datetime | None:
        """Return when the last entry was recorded, None if there is none."""
        row = self.connection.execute(
            "SELECT recorded_at FROM entry ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        return clock.from_text(row[0]) if row else None

    def holder_of(self, spki_sha256: str) -> str | None:
        """Return the identity a key was first planned for, None if it is new."""
        return self.holders_of([spki_sha256]).get(spki_sha256)

    def holders_of(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the identities that keys were first planned for; new ones lack."""
        found: dict[str, str] = {}
        for first in range(0, len(keys), questions.AT_ONCE):
            asked = keys[first : first + questions.AT_ONCE]
            places = ", ".join(["(?)"] * len(asked))
            rows = self.connection.execute(questions.HOLDERS.format(places), asked)
            for key, identity in rows:
                found.setdefault(key, identity)
        return found

    def newest_issued(
        self, identity: str, *, spki_sha256: str | None = None
    ) -> Entry | None:
        """Return the last certificate of `identity`, for the given key if one is."""
        chosen, values = questions.of_identity(Event.ISSUED), [identity]
        if spki_sha256 is not None:
            # An expression has no index: a key has few entries, an identity many.
            chosen = (
                f"identity || '' = ? AND event = 'issued' AND {questions.BY_SERIAL}"
                f" AND (issuer, serial) IN ({questions.PLANNED_FOR_KEY})"
            )
            values.append(spki_sha256)
        return self._first(f"{chosen} ORDER BY sequence DESC", values)

    def find(self, event: Event, *, issuer: str, serial: str) -> Entry | None:
        """Return what the ledger has on this event of a certificate, if anything."""
        return self._first(questions.of_serial(event), [issuer, serial])

    def standing(self, identities: Sequence[str]) -> Iterator[Entry]:
        """Yield the newest certificate of each identity, without its octets.

        One that was superseded or revoked stands no more.
        """
        for first in range(0, len(identities), questions.AT_ONCE):
            asked = identities[first : first + questions.AT_ONCE]
            places = ", ".join(["(?)"] * len(asked))
            yield from self._read(questions.STANDING.format(places), asked)

    def is_revoked_key(self, spki_sha256: str) -> bool:
        """Return whether a certificate for this key was ever revoked."""
        chosen = f"{questions.OF_KEY} AND event || '' = ?"  # as above
        return self._first(chosen, [spki_sha256, Event.REVOKED]) is not None

    def issued(self, *, after: datetime, identity: str | None = None) -> list[Entry]:
        """Return all certificates that end after a moment, revoked ones included."""
        ends = clock.to_text(after)
        if identity is None:
            clause, values = f"{questions.ENDING} > ?", [Event.ISSUED, ends]
        else:
            clause = f"{questions.of_identity(Event.ISSUED)} AND not_after || '' > ?"
            values = [identity, ends]
        return list(self._entries(f"WHERE {clause} ORDER BY sequence", values))

    def unanswered(self, *, after: datetime, since: datetime) -> Iterator[Entry]:
        """Yield services' certificates that end after a moment and lack an OCSP answer.

        An answer made at `since` or earlier is as good as none.
        """
        return self._entries(
            f"WHERE {questions.UNANSWERED} ORDER BY sequence",
            [Event.ISSUED, clock.to_text(after), clock.to_text(since)],
        )

    def revocations(
        self, authority: str, *, ending: datetime, after: int = 0
    ) -> list[Revocation]:
        """Return what an authority revoked and what ends at `ending` or later.

        `after` leaves out what was revoked up to that entry.
        """
        if after:  # few, however much was revoked before: the index is of revocations
            chosen = "event = 'revoked' AND sequence > ? AND not_after || '' >= ?"
            values: list[object] = [after, clock.to_text(ending)]
        else:
            chosen = f"{questions.ENDING} >= ?"
            values = [Event.REVOKED, clock.to_text(ending)]
        rows = self.connection.execute(
            f"SELECT {COLUMNS} FROM entry"  # noqa: S608 - our own names
            f" WHERE {chosen} AND authority = ? ORDER BY sequence",
            [*values, authority],
        )
        return [read_revocation(row) for row in rows]

    def newest(self) -> tuple[int, str]:
        """Return number and hash of the last entry, 0 and zeros if there is none."""
        row = self.connection.execute(
            "SELECT sequence, hash FROM entry ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        return row or (0, _BEGINNING)

    def hash_of(self, sequence: int) -> str | None:
        """Return the hash of an entry, None if there is none of this number."""
        row = self.connection.execute(
            "SELECT hash FROM entry WHERE sequence = ?", [sequence]
        ).fetchone()
        return row[0] if row else None

    def sequence_of(self, entry: Entry) -> int:
        """Return the place of an entry in the chain, 0 if it is not there."""
        row = self.connection.execute(
            f"SELECT sequence FROM entry WHERE {questions.of_serial(entry.event)}",  # noqa: S608 - our own names
            [entry.issuer, entry.serial],
        ).fetchone()
        return row[0] if row else 0

    def living_authorities(self, *, now: datetime) -> set[str]:
        """Return the key identifiers that signed services' certificates of today."""
        rows = self.connection.execute(
            questions.AUTHORITIES, [Event.ISSUED, clock.to_text(now)]
        )
        return {authority for (authority,) in rows}

    def entries_of(self, identity: str, event: Event) -> Iterator[Entry]:
        """Yield what happened to the certificates of one identity, oldest first."""
        return self._entries(
            f"WHERE {questions.of_identity(event)} ORDER BY sequence", [identity]
        )

    def entries(self) -> Iterator[Entry]:
        """Yield every entry, oldest first, without checking the chain."""
        return self._entries("ORDER BY sequence", [])

    def verify(self) -> VerifiedLedger:
        """Return what the whole chain shows, having recomputed each hash.

        1. Sequence numbers run from 1 without a gap.
        2. Each entry names the hash before it, and its own hash is right.
        3. No entry is gone from the end: the database remembers the highest number.

        Raises:
            BrokenLedgerError: one of these does not hold; the message says where.
        """
        # One snapshot for all that is read: another process may be writing meanwhile.
        with self.connection.snapshot():
            return self._verify()

    def _verify(self) -> VerifiedLedger:
        previous, count, issued = _BEGINNING, 0, 0
        for row in self.connection.execute(f"{questions.SELECT} ORDER BY sequence"):
            columns = dict(zip(questions.COLUMNS, row, strict=True))
            count += 1
            if columns["sequence"] != count:  # 1
                raise BrokenLedgerError(f"entry {count} is missing")
            if columns["previous"] != previous:  # 2
                raise BrokenLedgerError(f"entry {count} does not follow the one before")
            previous = columns.pop("hash")
            if previous != _hash(columns):
                raise BrokenLedgerError(f"entry {count} was changed")
            issued += columns["event"] == Event.ISSUED
        if self.connection.highest() != count:  # 3
            raise BrokenLedgerError(f"entries after {count} are missing")
        return VerifiedLedger(count, issued, previous)

    def _first(self, clause: str, values: list[str]) -> Entry | None:
        return next(self._entries(f"WHERE {clause} LIMIT 1", values), None)

    def _entries(self, clause: str, values: list[str]) -> Iterator[Entry]:
        return self._read(f"{questions.SELECT_STATED} {clause}", values)

    def _read(self, statement: str, values: Sequence[str]) -> Iterator[Entry]:
        for row in self.connection.execute(statement, values):
            stated = dict(zip(questions.STATED, row, strict=True))
            stated["event"] = Event(stated["event"])
            if stated["reason"] is not None:
                stated["reason"] = Reason(stated["reason"])
            yield Entry(**stated)


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Open the ledger at `path` and close it afterwards.

    Raises:
        LedgerError: there is none, it is no ledger, or of an unknown version.
    """
    with database.writing(path) as connection:
        yield Ledger(connection)


@contextmanager
def read_ledger(path: Path) -> Iterator[Ledger]:
    """Open the ledger at `path` to read in it alone, one moment's state throughout.

    Raises:
        LedgerError: there is none, it is no ledger, or not of the present version.
    """
    with database.reading(path) as connection, connection.snapshot():
        yield Ledger(connection)


def _hash(columns: dict[str, Any]) -> str:
    try:
        return hashlib.sha256(
            canonical_json(questions.hashed(columns.items()))
        ).hexdigest()
    except TypeError:  # a column turned into bytes: no entry of ours has that hash
        return ""
