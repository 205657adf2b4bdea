"""What is told of revocations, ready to be served: CRLs and OCSP answers.

`publication` puts them here in the transaction of the entries they follow from; the
web's side reads them with `read_published`, and cannot write. All of it is signed by
then: who may write the file can withhold an answer or go back to an older one, not
make one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path

from pki import clock, database
from pki.canonical import canonical_json
from pki.engine import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Imprint:
    """What is known of a list without its bytes: those may be megabytes.

    Moments are as `clock.to_text` writes them.
    """

    authority: str  # key identifier of who signed, in hex
    scope: str  # full, delta, or the number of a shard
    number: int
    covers: int  # the last entry of the ledger that was looked at
    this_update: str
    next_update: str
    base_number: int | None = None  # of a delta: the full list that it goes on from
    base_covers: int | None = None
    base_update: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crl(Imprint):
    """The newest list of one scope."""

    der: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """An OCSP answer signed in advance, for requests made with one hash."""

    issuer: str
    serial: str
    digest: str
    revoked: bool
    this_update: str
    next_update: str
    not_after: str  # of the certificate: nobody asks after that
    der: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of a ledger at one moment, signed by the issuing CA."""

    sequence: int
    hash: str
    time: str
    signature: str  # base64 of the DER form


def head_text(*, sequence: int, digest: str, time: str) -> bytes:
    """Return what is signed of a head: nothing else the CA's key signs begins so."""
    return canonical_json(
        {"what": "ledger head", "sequence": sequence, "hash": digest, "time": time}
    )


_CRL = ", ".join(field.name for field in fields(Crl))
_IMPRINT = ", ".join(field.name for field in fields(Imprint))
_ANSWER = ", ".join(field.name for field in fields(StoredAnswer))
_RENEWED = ", ".join(f"{field.name} = excluded.{field.name}" for field in fields(Crl))


class Published:
    """The tables of an open file."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def crl(self, authority: str, scope: str) -> Crl | None:
        """Return the newest list of a scope, if there ever was one."""
        row = self._connection.execute(
            f"SELECT {_CRL} FROM crl WHERE authority = ? AND scope = ?",  # noqa: S608 - our own names
            [authority, scope],
        ).fetchone()
        return _crl(row) if row else None

    def lives(self, authority: str) -> dict[str, tuple[str, str]]:
        """Return begin and end of an authority's lists, by scope."""
        rows = self._connection.execute(
            "SELECT scope, this_update, next_update FROM crl WHERE authority = ?",
            [authority],
        )
        return {scope: (begins, ends) for scope, begins, ends in rows}

    def crls(self) -> list[Crl]:
        """Return the newest list of every scope of every authority."""
        rows = self._connection.execute(
            f"SELECT {_CRL} FROM crl ORDER BY authority, scope"  # noqa: S608 - our own names
        )
        return [_crl(row) for row in rows]

    def imprints(self) -> list[Imprint]:
        """Return what is known of the newest lists, of every scope and authority."""
        rows = self._connection.execute(
            f"SELECT {_IMPRINT} FROM crl ORDER BY authority, scope"  # noqa: S608 - our own names
        )
        return [*map(_imprint, rows)]

    def imprint(self, authority: str, scope: str) -> Imprint | None:
        """Return what is known of a scope's newest list, if there ever was one."""
        row = self._connection.execute(
            f"SELECT {_IMPRINT} FROM crl WHERE authority = ? AND scope = ?",  # noqa: S608 - our own names
            [authority, scope],
        ).fetchone()
        return _imprint(row) if row else None

    def size(self, authority: str, scope: str) -> int:
        """Return the length of a scope's newest list in bytes, 0 if there is none."""
        row = self._connection.execute(
            "SELECT length(der) FROM crl WHERE authority = ? AND scope = ?",
            [authority, scope],
        ).fetchone()
        return row[0] if row else 0

    def put_crl(self, crl: Crl) -> None:
        """Let `crl` take the place of its scope's list, whose number must be lower."""
        marks = ", ".join("?" * len(fields(Crl)))
        self._connection.execute(
            f"INSERT INTO crl ({_CRL}) VALUES ({marks})"  # noqa: S608 - our own names
            f" ON CONFLICT (authority, scope) DO UPDATE SET {_RENEWED}",
            astuple(crl),
        )

    def addresses(self, authority: str) -> dict[str, int]:
        """Return where an authority's certificates point, and the number of shards."""
        return dict(
            self._connection.execute(
                "SELECT url, shards FROM address WHERE authority = ? ORDER BY url",
                [authority],
            )
        )

    def put_address(self, authority: str, url: str, shards: int) -> None:
        """Remember where an authority's certificates point."""
        self._connection.execute(
            "INSERT INTO address (authority, url, shards) VALUES (?, ?, ?)",
            [authority, url, shards],
        )

    def answer(self, issuer: str, serial: str, digest: str) -> StoredAnswer | None:
        """Return the answer signed in advance for a certificate, if there is one."""
        row = self._connection.execute(
            f"SELECT {_ANSWER} FROM answer"  # noqa: S608 - our own names
            " WHERE issuer = ? AND serial = ? AND digest = ?",
            [issuer, serial, digest],
        ).fetchone()
        if row is None:
            return None
        columns = dict(zip(_ANSWER.split(", "), row, strict=True))
        return StoredAnswer(**{**columns, "revoked": bool(columns["revoked"])})

    def put_answer(self, answer: StoredAnswer) -> None:
        """Let `answer` take the place of the one before, if the ledger agrees."""
        self._connection.execute(
            "DELETE FROM answer WHERE issuer = ? AND serial = ? AND digest = ?",
            [answer.issuer, answer.serial, answer.digest],
        )
        marks = ", ".join("?" * len(fields(StoredAnswer)))
        self._connection.execute(
            f"INSERT INTO answer ({_ANSWER}) VALUES ({marks})",  # noqa: S608 - our own names
            astuple(answer),
        )

    def drop_answers(self, *, ended: datetime) -> None:
        """Forget the answers on certificates that ended before a moment."""
        self._connection.execute(
            "DELETE FROM answer WHERE not_after < ?", [clock.to_text(ended)]
        )

    def head(self) -> Head | None:
        """Return the newest signed head, if one was signed."""
        row = self._connection.execute(
            "SELECT sequence, hash, time, signature FROM head"
            " ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        return Head(*row) if row else None

    def put_head(self, head: Head) -> None:
        """Keep `head` in place of the one before."""
        self._connection.execute("DELETE FROM head")
        self._connection.execute("INSERT INTO head VALUES (?, ?, ?, ?)", astuple(head))

    def highest_restored(self) -> int:
        """Return the highest number that any list had before the last restoration.

        As far as it is known; 0 if nothing ever came out of a backup.
        """
        row = self._connection.execute("SELECT MAX(number) FROM restoration").fetchone()
        return row[0] or 0

    def of_before_restoration(self, authority: str) -> set[str]:
        """Return the scopes whose newest list came out of a backup."""
        rows = self._connection.execute(
            "SELECT scope FROM crl WHERE authority = ? AND number <= ?",
            [authority, self.highest_restored()],
        )
        return {scope for (scope,) in rows}

    def put_restored(self, at: datetime, number: int, newest: tuple[int, str]) -> None:
        """Remember that what ends with `newest` came out of a backup.

        Args:
            at: when; a moment after the restoration before, for one to be told from it.
            number: the highest that a list is known to have had, those here included.
            newest: number and hash of the last entry.
        """
        (last,) = self._connection.execute("SELECT MAX(at) FROM restoration").fetchone()
        if last is not None:
            at = max(at, clock.from_text(last) + timedelta(seconds=1))
        self._connection.execute(
            "INSERT INTO restoration (at, sequence, hash, number) VALUES (?, ?, ?, ?)",
            [clock.to_text(at), *newest, number],
        )


@contextmanager
def read_published(path: Path) -> Iterator[Published]:
    """Open the ledger's file at `path` for reading these tables.

    Raises:
        LedgerError: there is none, it is no ledger, or not of the present version.
    """
    with database.reading(path) as connection:
        yield Published(connection)


def _crl(row: tuple[object, ...]) -> Crl:
    return Crl(**dict(zip(_CRL.split(", "), row, strict=True)))  # type: ignore[arg-type]  # the columns have these types


def _imprint(row: tuple[object, ...]) -> Imprint:
    return Imprint(**dict(zip(_IMPRINT.split(", "), row, strict=True)))  # type: ignore[arg-type]  # as above
