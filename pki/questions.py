"""How the ledger writes and asks: statements over its entries, for every engine.

An index that has some events alone (`tables`) is used where a question says so, in the
same words, after the event that is meant: SQLite looks for the first that it can use.
"""

from collections.abc import Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any

from pki.entry import Entry, Event

STATED = tuple(field.name for field in fields(Entry))
stated_of = attrgetter(*STATED)
_LATER = {"reason", "authority", "detail"}
COLUMNS = ("sequence", *STATED, "previous", "hash")
SELECT = f"SELECT {', '.join(COLUMNS)} FROM entry"  # noqa: S608 - our own names
SELECT_STATED = f"SELECT {', '.join(STATED)} FROM entry"  # noqa: S608 - our own names
BY_SERIAL = "event IN ('planned', 'issued', 'rotated')"
BY_KEY = "event IN ('planned', 'revoked')"  # nothing is issued that was not planned
BY_IDENTITY = "event IN ('issued', 'rotated')"
OF_KEY = f"spki_sha256 = ? AND {BY_KEY}"
ENDING = "event = ? AND event IN ('issued', 'revoked') AND not_after"
UNANSWERED = (
    f"{ENDING} > ? AND identity LIKE '%@%'"  # noqa: S608 - our own names
    " AND NOT EXISTS (SELECT 1 FROM answer WHERE answer.issuer = entry.issuer"
    " AND answer.serial = entry.serial AND digest = 'sha256' AND this_update > ?)"
)
AUTHORITIES = (
    f"SELECT DISTINCT authority FROM entry WHERE {ENDING} > ?"  # noqa: S608 - our own names
    " AND identity LIKE '%@%' AND authority IS NOT NULL"
)
PLANNED_FOR_KEY = f"SELECT issuer, serial FROM entry WHERE {OF_KEY}"  # noqa: S608 - our own names
# From what is asked about to the entries, in this order.
HOLDERS = (
    "WITH asked (name) AS (VALUES {}) SELECT spki_sha256, identity"  # noqa: S608 - our own names
    f" FROM asked CROSS JOIN entry WHERE spki_sha256 = name AND {BY_KEY}"
    " ORDER BY sequence"
)
STANDING = (
    f"WITH asked (name) AS (VALUES {{}}) SELECT {', '.join(STATED)}"  # noqa: S608 - our own names
    " FROM asked CROSS JOIN entry WHERE sequence = (SELECT MAX(sequence)"
    f" FROM entry WHERE identity = name AND event = 'issued' AND {BY_IDENTITY})"
    " AND NOT EXISTS (SELECT 1 FROM entry AS over WHERE over.event = 'superseded'"
    " AND over.identity = entry.identity AND over.issuer = entry.issuer"
    " AND over.serial = entry.serial)"
    " AND NOT EXISTS (SELECT 1 FROM entry AS over WHERE over.event = 'revoked'"
    " AND over.issuer = entry.issuer AND over.serial = entry.serial)"
).replace(" certificate,", " NULL,")
_ALONE = {Event.SUPERSEDED, Event.REVOKED}  # have an index of their own
_IN_ORDER = {Event.ISSUED, Event.ROTATED}
AT_ONCE = 500  # keys or identities that are asked about in one statement
INSERT = (
    f"INSERT INTO entry ({', '.join(COLUMNS)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * len(COLUMNS))})"
)


def hashed(columns: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the columns that the hash of an entry is over.

    Old entries were hashed without those that came later.
    """
    return {
        name: value
        for name, value in columns
        if value is not None or name not in _LATER
    }


def of_serial(event: Event) -> str:
    """Return what chooses the entry on an event of one certificate."""
    among = "" if event in _ALONE else f" AND {BY_SERIAL}"
    return f"issuer = ? AND serial = ? AND event = '{event}'{among}"


def of_identity(event: Event) -> str:
    """Return what chooses the entries on an event of one identity, in any order."""
    among = f" AND {BY_IDENTITY}" if event in _IN_ORDER else ""
    return f"identity = ? AND event = '{event}'{among}"
