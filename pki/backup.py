"""Copy a CA while it works: sealed keys, certificates, policy, responders, ledger.

`python -m pki backup` comes here. Issuing waits for the moment of the copy, so that
ledger and files are of one moment; who reads the ledger does not notice. Whatever state
the CA has beside these in its database or its directory comes along.

What a backup holds is worth what the CA's directory is worth: the keys are as well
sealed as they were there, and an OCSP responder's lies open.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pki import archive, clock, database, place
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from pki.storage import exclusive

LEDGER = "ledger.sqlite"  # its name in a backup, whatever engine it comes from


@dataclass(frozen=True, slots=True)
class Backup:
    """What was written where."""

    path: Path
    manifest: archive.Manifest
    size: int


def back_up(
    layout: Layout, to: Path, *, now: Callable[[], datetime] = clock.utc_now
) -> Backup:
    """Write a backup to the file `to`, or to a file of its own in the directory `to`.

    The file is whole or absent, mode 0600, and on the disk when this returns.

    Raises:
        NoAuthorityError: there is no whole CA in the directory.
        BrokenLedgerError: the ledger does not verify: what is broken is not copied
            over what may be whole.
    """
    layout.check_complete()
    moment = now()
    if to.is_dir():
        to = to / f"certbound-ca-{moment:%Y%m%dT%H%M%SZ}.tar"
    with (
        tempfile.TemporaryDirectory(dir=to.parent, prefix=".backup-") as beside,
        exclusive(layout.lock),
        open_ledger(layout.ledger) as ledger,
        archive.replacing(to) as file,
    ):
        copy = Path(beside) / LEDGER
        manifest = _manifest(ledger, layout, moment)
        database.copy_to_file(ledger.connection, copy)
        members = {LEDGER: copy, **_files(layout)}
        archive.write(file, manifest, members)
    return Backup(to, manifest, to.stat().st_size)


def _manifest(ledger: Ledger, layout: Layout, moment: datetime) -> archive.Manifest:
    verified = ledger.verify()
    numbers: dict[str, int] = {}
    for crl in ledger.published.imprints():
        numbers[crl.authority] = max(crl.number, numbers.get(crl.authority, 0))
    manifest = archive.Manifest(
        format=archive.FORMAT,
        made_at=clock.to_text(moment),
        entries=verified.entries,
        head=verified.head,
        crl_numbers=numbers,
        files={},
    )
    if layout.ledger == layout.ledger_place:
        elsewhere = place.read(layout.ledger)
        manifest.ledger_url = elsewhere.url
        if elsewhere.password_file:
            manifest.ledger_password_file = str(elsewhere.password_file)
    return manifest


def _files(layout: Layout) -> dict[str, Path]:
    """Return all that lies in the directory but the ledger, locks and leftovers."""
    ours = {layout.lock, layout.ledger_place}
    ours |= set(layout.directory.glob(f"{LEDGER}*"))
    found = {}
    for path in sorted(layout.directory.rglob("*")):
        name = path.relative_to(layout.directory)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not path.is_symlink() and not hidden and path not in ours:
            found[str(name)] = path
    return found
