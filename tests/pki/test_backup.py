"""Losing the CA's host: a backup is made while it works, and put back elsewhere."""

import io
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from pki import backup, clock, place, restoring, witness
from pki.archive import ArchiveError
from pki.entry import Event
from pki.inspection import WrongKeyError
from pki.layout import Layout
from pki.ledger import BrokenLedgerError, open_ledger, read_ledger
from pki.published import Head
from pki.restoring import Evidence, IncompleteError, OccupiedError, OlderBackupError
from pki.rotation_steps import Phase, What
from pki.signing import ClockBehindError
from tests.pki.builders import ISSUING_PASSPHRASE, Ca, number, serials
from tests.pki.command import pki
from tests.pki.postgres_server import PostgresServer
from tests.pki.rotating import Rotating
from tests.pki.stores import Store, verify

NONE = Evidence()


def head(ca: Ca) -> Head:
    """Return the newest signed head."""
    with read_ledger(ca.layout.ledger) as ledger:
        return witness.newest_head(ledger)


def lose(ca: Ca) -> None:
    """Lose the host."""
    shutil.rmtree(ca.layout.directory)


def issued_by(ca: Ca) -> set[str]:
    """Return the serials of all certificates that the ledger has."""
    with read_ledger(ca.layout.ledger) as ledger:
        return {line.serial for line in ledger.entries() if line.event == Event.ISSUED}


def test_ca_that_was_lost_is_put_back(telling: Ca, tmp_path: Path) -> None:
    """With its keys, its ledger and its lists; it goes on issuing and revoking."""
    first = telling.one()
    telling.revoke("orders@localhost")
    before, listed = verify(telling.layout.ledger), telling.crl()
    made = backup.back_up(telling.layout, tmp_path)
    witnessed = head(telling)
    lose(telling)
    ca = Ca.at(tmp_path / "elsewhere" / "ca")
    ca.layout.directory.parent.mkdir()
    evidence = Evidence(heads=[witnessed], crls=[listed])
    done = restoring.restore(made.path, ca.layout, evidence=evidence)
    assert (done.lost, done.lost_revocations) == ([], [])
    assert verify(ca.layout.ledger) == before
    assert ca.publish().changed
    assert number(ca.crl()) > number(listed)
    assert serials(ca.crl()) == {first.serial_number}
    old = issued_by(ca)
    assert f"{ca.one('stock@localhost').serial_number:x}" not in old
    with open_ledger(ca.layout.ledger) as ledger:
        witness.check_head(ledger, witnessed)
    assert not ca.publish().changed


def test_rotation_under_way_comes_along(ca: Ca, tmp_path: Path) -> None:
    """With the keys of both CAs; it goes on to its end where it was."""
    rotating = Rotating(ca, What.ROOT)
    rotating.begin()
    rotating.advance()
    phase, before = rotating.phase, verify(ca.layout.ledger)
    made = backup.back_up(ca.layout, tmp_path)
    lose(ca)
    restoring.restore(made.path, ca.layout, evidence=NONE)
    assert (rotating.phase, verify(ca.layout.ledger)) == (phase, before)
    while rotating.phase:
        rotating.advance()
    assert ca.one().issuer == rotating.standing.issuing.subject


def test_backup_is_private_and_whole(ca: Ca, tmp_path: Path) -> None:
    """One file, mode 0600, named by its moment; nothing is left beside it."""
    place = tmp_path / "backups"
    place.mkdir()
    made = backup.back_up(ca.layout, place)
    assert [path.name for path in place.iterdir()] == [made.path.name]
    assert made.path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(made.path) as tar:
        names = set(tar.getnames())
    lying = {path.name for path in ca.layout.directory.iterdir()}
    assert lying - names <= {"lock", "ledger.sqlite-wal", "ledger.sqlite-shm"}
    assert names - lying == {"manifest.json"}


def test_backup_takes_the_place_of_one_of_the_same_name(ca: Ca, tmp_path: Path) -> None:
    """A file that is named is replaced, and only by a whole one."""
    file = tmp_path / "ca.tar"
    backup.back_up(ca.layout, file)
    before = file.read_bytes()
    ca.one()
    with sqlite3.connect(ca.layout.ledger) as connection:
        connection.execute("DROP TRIGGER entry_is_never_changed")
        connection.execute("UPDATE entry SET identity = 'x' WHERE sequence = 2")
    connection.close()
    with pytest.raises(BrokenLedgerError, match="entry 2"):
        backup.back_up(ca.layout, file)
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_backup_is_of_one_moment(ca: Ca, tmp_path: Path) -> None:
    """What is issued while somebody reads the ledger is in the next one."""
    ca.one()
    with read_ledger(ca.layout.ledger) as reader:
        assert reader.newest()[0] == 6
        made = backup.back_up(ca.layout, tmp_path)
        ca.one("stock@localhost")
        assert reader.newest()[0] == 6
    assert made.manifest.entries == 6
    lose(ca)
    restoring.restore(made.path, ca.layout, evidence=NONE)
    assert verify(ca.layout.ledger).entries == 6


def test_older_backup_is_found_by_a_head(ca: Ca, tmp_path: Path) -> None:
    """A host has seen more than the backup; nothing is restored."""
    ca.one()
    made = backup.back_up(ca.layout, tmp_path)
    ca.one("stock@localhost")
    evidence = Evidence(heads=[head(ca)])
    lose(ca)
    with pytest.raises(OlderBackupError, match="entry 8 was witnessed"):
        restoring.restore(made.path, ca.layout, evidence=evidence)
    assert not ca.layout.directory.exists()
    assert not list(tmp_path.glob(".*"))


def test_older_backup_is_found_by_the_number_of_a_list(
    telling: Ca, tmp_path: Path
) -> None:
    """A list was published that the backup does not know of."""
    telling.one()
    made = backup.back_up(telling.layout, tmp_path)
    telling.revoke("orders@localhost")
    evidence = Evidence(crls=[telling.crl()])
    lose(telling)
    with pytest.raises(OlderBackupError, match="the backup knows of none above"):
        restoring.restore(made.path, telling.layout, evidence=evidence)


def test_loss_that_is_accepted_is_named(telling: Ca, tmp_path: Path) -> None:
    """What was revoked since is named, and numbers go on above the lost ones.

    Even if the clock stood an hour ahead when the lost list was made.
    """
    certificate = telling.one()
    made = backup.back_up(telling.layout, tmp_path)
    ahead = clock.utc_now() + timedelta(hours=13)
    telling.publish(now=lambda: ahead)
    telling.revoke("orders@localhost", now=lambda: ahead)
    lost = telling.crl()
    evidence = Evidence(crls=[lost])
    lose(telling)
    done = restoring.restore(
        made.path, telling.layout, evidence=evidence, accept_loss=True
    )
    assert len(done.lost) == 1
    assert done.lost_revocations == [f"{certificate.serial_number:x}"]
    assert telling.publish().changed
    assert number(telling.crl()) > number(lost)
    telling.revoke("orders@localhost")
    assert serials(telling.crl()) == {certificate.serial_number}


def test_clock_behind_a_witness_restores_nothing(ca: Ca, tmp_path: Path) -> None:
    """The ledger of a backup is older than what hosts have seen, and its time is."""
    ca.one()
    made = backup.back_up(ca.layout, tmp_path)
    evidence = Evidence(heads=[head(ca)])
    lose(ca)
    seen = clock.from_text(evidence.heads[0].time)
    before = seen - timedelta(seconds=1)
    with pytest.raises(ClockBehindError, match="set this clock"):
        restoring.restore(made.path, ca.layout, evidence=evidence, now=lambda: before)
    restoring.restore(made.path, ca.layout, evidence=evidence, now=lambda: seen)
    assert verify(ca.layout.ledger).entries == made.manifest.entries


def test_history_of_another_ca_is_refused(ca: Ca, tmp_path: Path) -> None:
    """A head that no CA of the backup has signed: that, nobody can accept."""
    other = Ca.found(tmp_path / "other")
    other.one()
    made = backup.back_up(ca.layout, tmp_path)
    lose(ca)
    with pytest.raises(witness.ForgedWitnessError):
        restoring.restore(
            made.path,
            ca.layout,
            evidence=Evidence(heads=[head(other)]),
            accept_loss=True,
        )
    with pytest.raises(witness.ForgedWitnessError, match="revocation list"):
        restoring.restore(
            made.path,
            ca.layout,
            evidence=Evidence(crls=[other.crl()]),
            accept_loss=True,
        )


def test_ca_is_not_restored_over_another(ca: Ca, tmp_path: Path) -> None:
    """The directory must be empty: who restores by mistake loses nothing."""
    made = backup.back_up(ca.layout, tmp_path)
    with pytest.raises(OccupiedError, match="not empty"):
        restoring.restore(made.path, ca.layout, evidence=NONE)
    lose(ca)
    ca.layout.directory.mkdir()
    restoring.restore(made.path, ca.layout, evidence=NONE)
    assert ca.layout.directory.stat().st_mode & 0o777 == 0o700


def rewritten(
    file: Path,
    change: Callable[[dict[str, bytes]], None],
    kind: bytes = tarfile.REGTYPE,
) -> Path:
    """Write the backup anew with what `change` does to its members."""
    with tarfile.open(file) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]  # files only
    change(members)
    changed = file.with_name("changed.tar")
    with tarfile.open(changed, "w") as tar:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            if name == "link":
                about.type, about.linkname, about.size = (
                    tarfile.SYMTYPE,
                    "/etc/passwd",
                    0,
                )
            tar.addfile(about, io.BytesIO(content))
    return changed


def _manifest(**changes: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        said = json.loads(members["manifest.json"]) | changes
        members["manifest.json"] = json.dumps(said).encode()

    return change


def _drop(name: str) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.__delitem__(name)


def _put(name: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.__setitem__(name, content)


DAMAGES = {
    "no manifest": (_drop("manifest.json"), "begin with its manifest"),
    "other manifest": (_put("manifest.json", b"[]"), "manifest"),
    "later format": (_manifest(format=2), "format 2"),
    "file lost": (_drop("policy.json"), "damaged in the backup: policy.json"),
    "file changed": (_put("policy.json", b"{}"), "damaged in the backup: policy"),
    "file added": (_put("more", b"x"), "damaged in the backup: more"),
    "name leads out": (_put("../more", b"x"), "is no file"),
    "absolute name": (_put("/more", b"x"), "is no file"),
    "link": (_put("link", b""), "is no file"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_backup_is_refused(ca: Ca, tmp_path: Path, damage: str) -> None:
    """The reason is named, and nothing is written outside of it or left behind."""
    change, why = DAMAGES[damage]
    made = backup.back_up(ca.layout, tmp_path / "ca.tar")
    changed = rewritten(made.path, change)
    target = Layout(tmp_path / "target")
    with pytest.raises(ArchiveError, match=why):
        restoring.restore(changed, target, evidence=NONE)
    assert not target.directory.exists()
    assert not (tmp_path / "more").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("size", [0, 1000, 30_000])
def test_backup_that_was_cut_off_is_refused(ca: Ca, tmp_path: Path, size: int) -> None:
    """Wherever its end is missing."""
    made = backup.back_up(ca.layout, tmp_path / "ca.tar")
    made.path.write_bytes(made.path.read_bytes()[:size])
    with pytest.raises(ArchiveError):
        restoring.restore(made.path, Layout(tmp_path / "target"), evidence=NONE)


def test_key_of_another_ca_is_found(ca: Ca, tmp_path: Path) -> None:
    """A backup whose sums are right, but whose files do not belong together."""
    other = Ca.found(tmp_path / "other")
    key = other.layout.sealed_key("issuing").read_bytes()
    ca.layout.sealed_key("issuing").write_bytes(key)
    made = backup.back_up(ca.layout, tmp_path)
    with pytest.raises(Exception, match="not the key of the certificate"):
        restoring.restore(made.path, Layout(tmp_path / "target"), evidence=NONE)


def test_ledger_of_another_moment_is_found(ca: Ca, tmp_path: Path) -> None:
    """The manifest says how far the ledger reaches."""
    made = backup.back_up(ca.layout, tmp_path / "ca.tar")
    changed = rewritten(made.path, _manifest(entries=2))
    with pytest.raises(IncompleteError, match="not the one of its manifest"):
        restoring.restore(changed, Layout(tmp_path / "target"), evidence=NONE)


def test_commands(telling: Ca, tmp_path: Path) -> None:
    """Backup, loss, refusal, restore with the loss accepted, new lists."""
    directory = telling.layout.directory
    telling.one()
    made = pki("backup", "--directory", directory, "--to", tmp_path).answer
    assert made["entries"] == 8
    telling.revoke("orders@localhost")
    heads = {"web-1": pki("ledger", "head", "--directory", directory).answer}
    (tmp_path / "list").write_bytes(telling.crl().public_bytes(Encoding.PEM))
    lose(telling)
    given = ("restore", "--from", made["file"], "--directory", directory)
    proof = ("--witnesses", "--crl", tmp_path / "list")
    said = {"witnesses": heads}
    refused = pki(*given, *proof, document=said).refusal
    assert refused["error"] == "older_backup"
    done = pki(*given, *proof, "--accept-loss", document=said).answer
    assert (done["entries"], len(done["lost_revocations"])) == (8, 1)
    published = pki(
        "crl", "--directory", directory, passphrases={"issuing": ISSUING_PASSPHRASE}
    ).answer
    assert published["changed"]


def test_file_that_is_no_list_is_refused(ca: Ca, tmp_path: Path) -> None:
    """A wrong file is named before anything is done."""
    (tmp_path / "list").write_bytes(b"-----BEGIN")
    refused = pki(
        *("restore", "--from", tmp_path / "list", "--directory", tmp_path / "new"),
        *("--crl", tmp_path / "list"),
    ).refusal
    assert refused["error"] == "invalid_input"


def test_ledger_moves_into_a_database(
    telling: Ca, postgres: PostgresServer, tmp_path: Path
) -> None:
    """And back into a file, by a backup of the database; nothing changes on the way."""
    certificate = telling.one()
    telling.revoke("orders@localhost")
    before = verify(telling.layout.ledger)
    document = postgres.settle(tmp_path / "where.json")
    now = clock.utc_now()  # of both: a second is not long
    lose_and_restore = backup.back_up(telling.layout, tmp_path / "1.tar")
    lose(telling)
    restoring.restore(
        lose_and_restore.path,
        telling.layout,
        evidence=NONE,
        ledger=place.read(document),
        now=lambda: now,
    )
    assert telling.layout.ledger.suffix == ".json"
    assert not list(telling.layout.directory.glob("*.sqlite*"))
    assert verify(telling.layout.ledger) == before
    assert serials(telling.crl()) == {certificate.serial_number}
    made = backup.back_up(telling.layout, tmp_path / "2.tar")
    lose(telling)
    restoring.restore(
        made.path, telling.layout, evidence=NONE, ledger=None, now=lambda: now
    )
    assert verify(telling.layout.ledger) == before
    assert telling.layout.ledger.suffix == ".sqlite"


def test_refused_backup_leaves_the_database_empty(
    telling: Ca, postgres: PostgresServer, tmp_path: Path
) -> None:
    """A newer one can still be restored into it."""
    where = place.read(postgres.settle(tmp_path / "where.json"))
    old = backup.back_up(telling.layout, tmp_path / "1.tar")
    telling.one()
    whole = backup.back_up(telling.layout, tmp_path / "2.tar")
    evidence = Evidence(heads=[head(telling)])
    lose(telling)
    with pytest.raises(OlderBackupError):
        restoring.restore(old.path, telling.layout, evidence=evidence, ledger=where)
    restoring.restore(whole.path, telling.layout, evidence=evidence, ledger=where)
    assert verify(telling.layout.ledger).entries == whole.manifest.entries


def test_database_that_outlived_the_host_keeps_its_ledger(
    telling: Ca, postgres: PostgresServer, tmp_path: Path
) -> None:
    """The backup's may be older; one that does not go on from it is refused."""
    store = Store(postgres.settle(tmp_path / "where.json"), postgres)
    made = backup.back_up(telling.layout, tmp_path / "1.tar")
    lose(telling)
    where = place.read(store.path)
    restoring.restore(made.path, telling.layout, evidence=NONE, ledger=where)
    made = backup.back_up(telling.layout, tmp_path / "2.tar")
    telling.one()
    newest = head(telling)
    lose(telling)
    done = restoring.restore(
        made.path, telling.layout, evidence=Evidence(heads=[newest])
    )
    assert done.entries > made.manifest.entries
    assert telling.one().issuer
    rotating = Rotating(telling, What.ISSUING)
    rotating.begin()
    while rotating.phase is not Phase.SWITCHING:
        rotating.advance()
    lose(telling)
    with pytest.raises(WrongKeyError):
        restoring.restore(made.path, telling.layout, evidence=NONE, ledger=where)
    other = Ca.found(tmp_path / "other")
    foreign = backup.back_up(other.layout, tmp_path / "3.tar")
    with pytest.raises(restoring.OtherLedgerError, match="does not go on"):
        restoring.restore(foreign.path, telling.layout, evidence=NONE, ledger=where)
