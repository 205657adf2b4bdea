"""The tables of the ledger, release after release, as every engine understands them.

A step is what one version adds to the one before: a new database takes them all, an
older one those it lacks, and no entry is touched. To add a table is to add a step; a
step that was released is never changed.

Types are INTEGER (64 bit), TEXT and BLOB, of which each engine takes its own. What a
table refuses by itself is a `Rule`, what follows from a row an `Effect`: they hold for
whoever writes, not only for the code above.
"""

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """What `table` refuses on `event` (INSERT, UPDATE or DELETE), `when` it holds."""

    name: str
    event: str
    table: str
    message: str
    when: str = ""  # over NEW and OLD


class Effect(NamedTuple):
    """The statement that follows an INSERT into `table`, `when` it holds."""

    name: str
    table: str
    when: str
    statement: str


class Loosened(NamedTuple):
    """Columns of `table` that were UNIQUE, and are no more: their indexes go."""

    table: str
    unique: tuple[tuple[str, ...], ...]


Part = str | Rule | Effect | Loosened
Step = tuple[Part, ...]

_FIRST: Step = (
    """
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
)""",
    "CREATE INDEX entry_by_key ON entry (spki_sha256)",
    "CREATE INDEX entry_by_identity ON entry (identity, event)",
    Rule("entry_is_never_changed", "UPDATE", "entry", "the ledger is append-only"),
    Rule("entry_is_never_removed", "DELETE", "entry", "the ledger is append-only"),
)
_SECOND: Step = (
    "ALTER TABLE entry ADD COLUMN reason TEXT",
    "ALTER TABLE entry ADD COLUMN authority TEXT",
    "CREATE INDEX entry_by_end ON entry (event, not_after)",
    # Where the certificates of one CA key say that their revocation is told.
    """
CREATE TABLE address (
    authority TEXT NOT NULL,
    url TEXT NOT NULL,
    shards INTEGER NOT NULL,
    PRIMARY KEY (authority, url)
)""",
    # The newest list of each scope: full, delta, or the number of a shard.
    """
CREATE TABLE crl (
    authority TEXT NOT NULL,
    scope TEXT NOT NULL,
    number INTEGER NOT NULL,
    covers INTEGER NOT NULL,
    this_update TEXT NOT NULL,
    next_update TEXT NOT NULL,
    der BLOB NOT NULL,
    base_number INTEGER,
    base_covers INTEGER,
    base_update TEXT,
    PRIMARY KEY (authority, scope)
)""",
    Rule(
        "crl_number_rises",
        "UPDATE",
        "crl",
        "the number of a CRL must rise",
        when="NEW.number <= OLD.number",
    ),
    Rule(
        "crl_is_never_removed",
        "DELETE",
        "crl",
        "the number of a CRL would be forgotten",
    ),
    # OCSP answers signed in advance, one for each hash that requests are made with.
    """
CREATE TABLE answer (
    issuer TEXT NOT NULL,
    serial TEXT NOT NULL,
    digest TEXT NOT NULL,
    revoked INTEGER NOT NULL,
    this_update TEXT NOT NULL,
    next_update TEXT NOT NULL,
    not_after TEXT NOT NULL,
    der BLOB NOT NULL,
    PRIMARY KEY (issuer, serial, digest)
)""",
    "CREATE INDEX answer_by_end ON answer (not_after)",
    Rule(
        "revoked_always_wins",
        "INSERT",
        "answer",
        "the certificate is revoked",
        when="NEW.revoked = 0 AND EXISTS (SELECT 1 FROM entry WHERE "
        "issuer = NEW.issuer AND serial = NEW.serial AND event = 'revoked')",
    ),
    Effect(
        "revoked_takes_answers_away",
        "entry",
        "NEW.event = 'revoked'",
        "DELETE FROM answer WHERE issuer = NEW.issuer AND serial = NEW.serial",
    ),
    Rule(
        "answer_is_replaced_whole",
        "UPDATE",
        "answer",
        "an answer is replaced, never changed",
    ),
    # The newest hash of the chain, signed by the issuing CA.
    """
CREATE TABLE head (
    sequence INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,
    time TEXT NOT NULL,
    signature TEXT NOT NULL
)""",
)
_THIRD: Step = (
    # That the ledger came out of a backup: when, how far it reached, and the highest
    # number that a list is known to have had.
    """
CREATE TABLE restoration (
    at TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL,
    number INTEGER NOT NULL
)""",
    Rule("restoration_is_kept", "UPDATE", "restoration", "what was restored stays so"),
    Rule("restoration_stays", "DELETE", "restoration", "what was restored stays so"),
)

# What an entry says that is about no certificate.
_FOURTH: Step = ("ALTER TABLE entry ADD COLUMN detail TEXT",)

# Which shard each revocation stands in, and what was revoked after an entry: what a
# list costs depends on what is in it, not on all that was ever revoked.
_FIFTH: Step = (
    """
CREATE INDEX entry_revoked ON entry (authority, sequence)
WHERE event = 'revoked'""",
    """
CREATE TABLE listed (
    authority TEXT NOT NULL,
    scope TEXT NOT NULL,
    not_after TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (authority, scope, not_after, sequence)
)""",
    "CREATE UNIQUE INDEX listed_by_entry ON listed (authority, sequence)",
    Rule("listed_stays_so", "UPDATE", "listed", "a shard is fixed for a certificate"),
    Rule("listed_is_never_removed", "DELETE", "listed", "a revocation would be lost"),
)

# Each index has what is looked for in it, and no more. What stands there by hash, by
# key or by serial is at a random place, and each of these is a page more to write: the
# chain itself keeps hashes apart, keys are looked for in what was planned and revoked,
# and what was superseded stands beside its identity.
_SIXTH: Step = (
    Loosened("entry", (("hash",), ("issuer", "serial", "event"))),
    """
CREATE UNIQUE INDEX entry_by_serial ON entry (issuer, serial, event)
WHERE event IN ('planned', 'issued', 'rotated')""",
    """
CREATE UNIQUE INDEX entry_revoked_once ON entry (issuer, serial)
WHERE event = 'revoked'""",
    """
CREATE UNIQUE INDEX entry_superseded_once ON entry (identity, issuer, serial)
WHERE event = 'superseded'""",
    "DROP INDEX entry_by_key",
    """
CREATE INDEX entry_by_key ON entry (spki_sha256)
WHERE event IN ('planned', 'revoked')""",
    "DROP INDEX entry_by_identity",
    """
CREATE INDEX entry_by_identity ON entry (identity, event, sequence)
WHERE event IN ('issued', 'rotated')""",
    "DROP INDEX entry_by_end",
    """
CREATE INDEX entry_by_end ON entry (event, not_after)
WHERE event IN ('issued', 'revoked')""",
)

STEPS: dict[int, Step] = {
    1: _FIRST,
    2: _SECOND,
    3: _THIRD,
    4: _FOURTH,
    5: _FIFTH,
    6: _SIXTH,
}
VERSION = max(STEPS)
# In the order that lets a copy be filled: entries first, what leans on them later.
TABLES = re.findall(
    r"CREATE TABLE (\w+)",
    "".join(part for step in STEPS.values() for part in step if isinstance(part, str)),
)
