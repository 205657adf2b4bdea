"""Put a CA back that was lost: into an empty directory, whole or not at all.

`python -m pki restore` comes here. All of it is made beside the directory, checked
there, and turned into place by one rename.

A backup is of the past. What was issued and revoked since is not in it, and the backup
cannot know. Who does are the witnesses: heads of the ledger that hosts hold, revocation
lists that were published. A backup that is older than one of them is refused, until
somebody says that the loss is accepted. Lists that are made from then on have numbers
above all that are known (RFC 5280, section 5.2.3); serials are random, so none comes
again.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509

from pki import archive, clock, database, inspection, place, witness
from pki.archive import Manifest
from pki.backup import LEDGER
from pki.entry import Event
from pki.errors import PkiError
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from pki.policy import read_policy
from pki.published import Head
from pki.signing import ClockBehindError
from pki.storage import make_private_directory, sync_directory

FROM_BACKUP = place.Place("")  # where the backup says that the ledger was


class RestoreError(PkiError):
    """The backup cannot take the place of what was lost."""

    code = "restore_refused"


class OccupiedError(RestoreError):
    """There is something where the CA is to be restored."""

    code = "occupied"


class IncompleteError(RestoreError):
    """Files, keys and ledger of the backup do not make a CA."""

    code = "incomplete_backup"


class OlderBackupError(RestoreError):
    """What witnesses know has happened is not in the backup."""

    code = "older_backup"


class OtherLedgerError(RestoreError):
    """The database holds another ledger than the backup's."""

    code = "other_ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What others know of the CA that was lost."""

    heads: Sequence[Head] = ()
    crls: Sequence[x509.CertificateRevocationList] = ()


@dataclass(slots=True)
class Restored:
    """What was put back, and what is known to be lost."""

    manifest: Manifest
    entries: int
    lost: list[str] = field(default_factory=list)  # one sentence each
    lost_revocations: list[str] = field(default_factory=list)  # serials


def restore(  # noqa: PLR0913 - each is told apart by its name
    path: Path,
    layout: Layout,
    *,
    evidence: Evidence,
    accept_loss: bool = False,
    ledger: place.Place | None = FROM_BACKUP,
    now: Callable[[], datetime] = clock.utc_now,
) -> Restored:
    """Restore the backup at `path`.

    Args:
        path: of the file.
        layout: of a directory that is empty or absent.
        evidence: what others know.
        accept_loss: go on although it knows more than the backup.
        ledger: the database that is to have the ledger, None for a file. One that has
            it already keeps it, if it goes on from the backup's.
        now: the present moment.

    Raises:
        OccupiedError: the directory is not empty.
        ArchiveError, IncompleteError, BrokenLedgerError: the backup is damaged, or what
            it holds is not a whole CA.
        OtherLedgerError, KeyLostError, WrongKeyError: the database holds another
            ledger, or knows of a CA whose key is newer than the backup.
        ForgedWitnessError, RewrittenLedgerError: it is another history, or another
            CA's; nobody can accept that.
        ClockBehindError: a head is of a later moment than `now`.
        OlderBackupError: see above.
    """
    moment = now()
    with _staging(layout) as staged:
        manifest = _unpack(path, staged)
        if ledger is FROM_BACKUP:
            ledger = _place_of(manifest)
        kept = ledger is not None and _has_ledger(staged, ledger)
        if ledger and kept:
            _switch(staged, ledger, manifest)
        with open_ledger(staged.ledger) as opened:
            done = _compare(opened, evidence, manifest, moment)
            if done.lost and not accept_loss:
                raise OlderBackupError("; ".join(done.lost))
            if not kept:
                _remember(opened, evidence, moment)
        if ledger and not kept:
            _fill(staged)
            _switch(staged, ledger, manifest)
    return done


@contextmanager
def _staging(layout: Layout) -> Iterator[Layout]:
    """Yield an empty place that becomes the CA's directory if all goes well."""
    _check_free(layout.directory)
    target = layout.directory
    beside = target.with_name(f".{target.name}.restoring")
    shutil.rmtree(beside, ignore_errors=True)
    make_private_directory(beside)
    try:
        yield Layout(beside)
        beside.replace(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_directory(target.parent)


def _check_free(directory: Path) -> None:
    if directory.exists() and any(directory.iterdir()):
        raise OccupiedError(f"{directory} is not empty: a CA is restored beside it")


def _unpack(path: Path, staged: Layout) -> Manifest:
    """Unpack the backup; its chain, certificates and keys belong together."""
    manifest = archive.unpack(path, staged.directory)
    with open_ledger(staged.ledger) as ledger:
        verified = ledger.verify()
    if (verified.entries, verified.head) != (manifest.entries, manifest.head):
        raise IncompleteError("the ledger in the backup is not the one of its manifest")
    staged.check_complete()
    state = inspection.inspect(staged, read_policy(staged.policy.read_bytes()))
    if state.missing:
        raise IncompleteError(f"the backup lacks {', '.join(state.missing)}")
    return manifest


def _place_of(manifest: Manifest) -> place.Place | None:
    if manifest.ledger_url is None:
        return None
    file = manifest.ledger_password_file
    return place.Place(manifest.ledger_url, Path(file) if file else None)


def _has_ledger(staged: Layout, wanted: place.Place) -> bool:
    place.settle(_wanted(staged), wanted)
    return not database.is_missing(_wanted(staged))


def _fill(staged: Layout) -> None:
    """Fill the database, which is empty, with the ledger that was in the backup."""
    database.create_ledger(_wanted(staged))
    with database.writing(_wanted(staged)) as target:
        database.copy_from_file(staged.directory / LEDGER, target)


def _switch(staged: Layout, wanted: place.Place, manifest: Manifest) -> None:
    """Have the ledger be the database's, which goes on from the backup's."""
    with open_ledger(_wanted(staged)) as ledger:
        ledger.verify()
        if ledger.hash_of(manifest.entries) != manifest.head:
            raise OtherLedgerError(
                f"{wanted.url} holds a ledger that does not go on from the backup's"
            )
    for path in staged.directory.glob(f"{LEDGER}*"):
        path.unlink()
    _wanted(staged).replace(staged.ledger_place)
    # It may know of a CA whose key was made after the backup.
    inspection.inspect(staged, read_policy(staged.policy.read_bytes()))


def _wanted(staged: Layout) -> Path:
    """Return the document that names the database, until that is the ledger."""
    return staged.directory / "wanted.json"


def _compare(
    ledger: Ledger, evidence: Evidence, manifest: Manifest, moment: datetime
) -> Restored:
    """Return what is put back, and what the evidence knows and the ledger does not."""
    done = Restored(manifest, ledger.newest()[0])
    for head in evidence.heads:
        try:
            witness.check_head(ledger, head)
        except witness.TruncatedLedgerError as error:
            done.lost.append(str(error))
        if clock.to_text(moment) < head.time:
            raise ClockBehindError(
                f"a host has seen the CA at {head.time}: set this clock first"
            )
    for crl in evidence.crls:
        _compare_list(ledger, crl, done)
    return done


def _compare_list(
    ledger: Ledger, crl: x509.CertificateRevocationList, done: Restored
) -> None:
    authority, number = _authority_of(ledger, crl), _number_of(crl)
    known = [
        one.number for one in ledger.published.imprints() if one.authority == authority
    ]
    if number > max(known, default=0):
        done.lost.append(
            f"a list of {crl.last_update_utc:%Y-%m-%dT%H:%M:%SZ} has number {number}, "
            f"the backup knows of none above {max(known, default=0)}"
        )
    issuer = crl.issuer.rfc4514_string()
    for revoked in crl:
        serial = f"{revoked.serial_number:x}"
        if ledger.find(Event.REVOKED, issuer=issuer, serial=serial) is None:
            done.lost_revocations.append(serial)


def _authority_of(ledger: Ledger, crl: x509.CertificateRevocationList) -> str:
    """Return the key identifier of the CA certificate in the ledger that signed it."""
    for authority, key in witness.authority_keys(ledger):
        if crl.is_signature_valid(key):
            return authority
    raise witness.ForgedWitnessError("no CA of this ledger signed the revocation list")


def _number_of(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _remember(ledger: Ledger, evidence: Evidence, moment: datetime) -> None:
    numbers = [_number_of(crl) for crl in evidence.crls]
    numbers += [crl.number for crl in ledger.published.imprints()]
    with ledger.transaction():
        ledger.published.put_restored(moment, max(numbers, default=0), ledger.newest())
