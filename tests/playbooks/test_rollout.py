"""The roll-out itself, by real runs of the playbooks, in the order of a working day.

Each fixture is one run and needs the one before; the tests look at what the runs have
said and made. All of it lies in a directory of its own, on ports of its own.
"""

import base64
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.drill.result import KINDS
from services.drill.thefts import THEFTS
from tests.playbooks.rolling import PROJECT, Rolling, Run

pytestmark = pytest.mark.rollout

SERVICES = {"token-service", "enrolment", "storefront", "orders", "stock", "edge"}
IDENTITIES = {f"{name}@localhost" for name in SERVICES}


class Day:
    """What was seen after each run."""

    def __init__(self, rolling: Rolling, run: Run) -> None:
        """Look at processes and certificates, right after `run`."""
        self.run = run
        self.processes = rolling.processes()
        self.serials = rolling.serials()


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolling]:
    """Return the place of all runs; whatever happens, leave no process behind."""
    rolling = Rolling(tmp_path_factory.mktemp("rollout"))
    yield rolling
    rolling.play("down")
    rolling.ours.stop(10)  # where `down` itself is what failed


@pytest.fixture(scope="module")
def foreseen(rolling: Rolling) -> Run:
    """Check mode on an empty machine."""
    run = rolling.play("site", "--check", "--diff")
    assert run.returncode == 0, run.said
    return run


@pytest.fixture(scope="module")
def first(rolling: Rolling, foreseen: Run) -> Day:
    """Run the first roll-out, as talkative as it gets."""
    assert not rolling.root.exists()
    run = rolling.play("site", "-vvv", "--diff")
    assert run.returncode == 0, run.said
    return Day(rolling, run)


@pytest.fixture(scope="module")
def second(rolling: Rolling, first: Day) -> Day:
    """The same once more."""
    run = rolling.play("site", "--diff")
    assert run.returncode == 0, run.said
    return Day(rolling, run)


@pytest.fixture(scope="module")
def broken(rolling: Rolling, second: Day) -> Day:
    """A mistake in the topology."""
    good = rolling.topology.read_text()
    rolling.topology.write_text(good.replace("[stock.read]", "[stock.write]", 1))
    run = rolling.play("site")
    rolling.topology.write_text(good)
    return Day(rolling, run)


@pytest.fixture(scope="module")
def fourth(rolling: Rolling, broken: Day) -> Day:
    """A service more."""
    rolling.add_fourth()
    run = rolling.play("site", "-vvv", "--diff")
    assert run.returncode == 0, run.said
    return Day(rolling, run)


@pytest.fixture(scope="module")
def audited(rolling: Rolling, fourth: Day) -> list[Run]:
    """Hold the ledger against what the host has seen; and again, cut short."""
    whole, ledger = rolling.play("audit"), rolling.root / "ca" / "ledger.sqlite"
    kept = rolling.base / "kept.sqlite"
    with (
        closing(sqlite3.connect(ledger)) as live,
        closing(sqlite3.connect(kept)) as copy,
    ):
        live.backup(copy)
        live.executescript(
            "DROP TRIGGER entry_is_never_removed;"
            "DELETE FROM entry WHERE sequence > 4;"
            "UPDATE sqlite_sequence SET seq = 4 WHERE name = 'entry';"
        )
        short = rolling.play("audit")
        copy.backup(live)
    kept.unlink()
    return [whole, short]


@pytest.fixture(scope="module")
def stopped(rolling: Rolling, fourth: Day, audited: list[Run]) -> Day:
    """The end of the day."""
    run = rolling.play("down")
    assert run.returncode == 0, run.said
    return Day(rolling, run)


def test_check_mode_says_who_would_get_what_and_why(foreseen: Run) -> None:
    """On an empty machine, check mode names every identity and the reason."""
    for name in IDENTITIES:
        assert f"+{name}: would issue, because: no certificate yet" in foreseen.said
    assert foreseen.changed >= 4


def test_first_run_makes_what_the_topology_says(first: Day) -> None:
    """After the first run every service has a process and a certificate."""
    assert set(first.serials) == SERVICES
    assert set(first.processes) >= SERVICES
    assert len(set(first.serials.values())) == len(SERVICES)


def test_first_run_ends_with_three_tables(first: Day) -> None:
    """Identities, call edges and the drill are the last things on the screen."""
    _, _, after = first.run.stdout.partition("PLAY RECAP")
    places = [after.index(title) for title in ("Identities", "Calls", "Drill")]
    assert places == sorted(places)
    assert first.serials["orders"][:12] in after


def test_the_drill_tries_every_theft_with_every_kind(
    rolling: Rolling, first: Day
) -> None:
    """The evidence has each cell, none of which was left out, and no token."""
    text = (rolling.root / "report.json").read_text()
    rows = json.loads(text)["drill"]["rows"]
    tried = {row["tried"]: {kind for kind in KINDS if row.get(kind)} for row in rows}
    assert tried == {theft.tried: set(theft.expected) for theft in THEFTS}
    assert {row["ok"] for row in rows} == {True}
    assert not re.search(r"eyJ|cbo_|PRIVATE KEY", text + first.run.said)


def test_everything_is_its_owners_alone(rolling: Rolling, first: Day) -> None:
    """No file or directory that the roll-out makes is open to others."""
    for path in (rolling.root, *rolling.root.rglob("*")):
        if not path.is_symlink():
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_deployment_is_described(rolling: Rolling, first: Day) -> None:
    """The description for machines is there, and its paths lead to files."""
    path = rolling.root / "deployment.json"
    description = json.loads(path.read_text())
    others = {"token-service", "enrolment", "edge"}
    assert set(description["services"]) == SERVICES - others
    assert set(description["gateways"]) == {"edge"}
    for service in description["services"].values():
        assert Path(service["certificate"]).exists()
        assert Path(service["private_key"]).exists()
    assert Path(description["trust_bundle"]).exists()
    kept = path.with_name("topology.yml").read_text()
    assert kept == rolling.topology.read_text()


def test_second_run_changes_nothing(first: Day, second: Day) -> None:
    """Nothing is changed, issued or restarted, by Ansible's count and by our own."""
    assert second.run.changed == 0
    assert second.run.recap["diffs"] == []
    assert second.serials == first.serials
    assert second.processes == first.processes


def test_second_run_has_two_modules_look_at_the_host(second: Day) -> None:
    """It may rest: what installs, starts and gates does not run there."""
    ran = [line.split()[1].rpartition(".")[2] for line in second.run.recap["modules"]]
    assert not {"identity_install", "supervised", "served"} & set(ran)
    assert (ran.count("preflight"), ran.count("identity_request")) == (1, 1)


def test_second_run_does_not_ask_the_ca_to_sign(second: Day) -> None:
    """With no request the signing task is skipped."""
    _, _, after = second.run.stdout.partition("Sign all requests at once]")
    assert after.splitlines()[1].startswith("skipping")


def test_broken_topology_gets_one_sentence(broken: Day) -> None:
    """A wrong topology is answered by file, line, key and expectation.

    The way to stop what still runs stands below, and nothing more.
    """
    assert broken.run.returncode != 0
    lines = broken.run.said.strip().splitlines()
    assert len(lines) == 2, broken.run.said
    assert lines[1].startswith("To stop what runs by the last one: CERTBOUND_TOPOLOGY=")
    assert re.search(
        r"topology\.yml:\d+: services\.orders\.calls\.stock\[0\]: 'stock\.write' is no "
        r"scope that stock offers, expected one of stock\.read$",
        lines[0],
    )


def test_broken_topology_touches_nothing(second: Day, broken: Day) -> None:
    """After a refused topology everything runs as before."""
    assert broken.processes == second.processes
    assert broken.serials == second.serials


def test_fourth_service_is_all_that_is_new(second: Day, fourth: Day) -> None:
    """A new service gets a process and a certificate; nobody else notices."""
    assert set(fourth.serials) - set(second.serials) == {"invoices"}
    assert fourth.serials | second.serials == fourth.serials
    assert fourth.processes | second.processes == fourth.processes
    assert "invoices" in fourth.processes


def test_fourth_service_is_tried_too(fourth: Day) -> None:
    """The tables know the new service and its edges."""
    _, _, after = fourth.run.stdout.partition("PLAY RECAP")
    assert "invoices" in after.partition("Calls")[2]


def test_audit_holds_the_ledger_against_what_hosts_have_seen(
    audited: list[Run],
) -> None:
    """A whole one passes and nothing is changed; one that was cut short is named."""
    whole, short = audited
    assert whole.returncode == 0, whole.said
    assert whole.changed == 0
    assert short.returncode != 0
    assert re.search(r"localhost: entry \d+ was witnessed at .* cut short", short.said)


def test_inventory_agrees_with_what_runs(rolling: Rolling, fourth: Day) -> None:
    """Each live port presents what the ledger says; the controller keeps the list."""
    run = rolling.play("inventory")
    assert run.returncode == 0, run.said
    assert run.changed == 0
    told = json.loads((rolling.root / "inventory.json").read_text())
    state = {line["serial"]: line["state"] for line in told["certificates"]}
    assert {state[serial] for serial in fourth.serials.values()} == {"issued"}


def test_down_leaves_no_process(fourth: Day, stopped: Day) -> None:
    """Everything that ran is gone, and keys and certificates are not."""
    assert stopped.processes == {}
    assert stopped.serials == fourth.serials


def test_ledger_knows_every_certificate(rolling: Rolling, stopped: Day) -> None:
    """What was installed stands in a ledger whose chain holds."""
    ca = str(rolling.root / "ca")
    for verb in ("verify", "list"):
        done = subprocess.run(
            [sys.executable, "-m", "pki", "ledger", verb, "--directory", ca],
            capture_output=True,
            text=True,
            check=True,
        )
    for serial in stopped.serials.values():
        assert serial in done.stdout


def test_ca_that_was_lost_is_put_back(rolling: Rolling, stopped: Day) -> None:
    """From the controller's backup; the host has seen no more than is in it."""
    backed_up = rolling.play("backup")
    assert backed_up.returncode == 0, backed_up.said
    (backup,) = (rolling.root / "backups").iterdir()
    assert backup.stat().st_mode & 0o777 == 0o600
    ca, command = rolling.root / "ca", [sys.executable, "-m", "pki", "ledger", "verify"]
    before = subprocess.check_output([*command, "--directory", ca])
    shutil.rmtree(ca)
    given = f"certbound_backup={os.path.relpath(backup, PROJECT)}"  # as typed by hand
    run = rolling.play("restore", "--tags", "restore", "-e", given)
    assert run.returncode == 0, run.said
    assert subprocess.check_output([*command, "--directory", ca]) == before
    backup.unlink()  # it holds keys, and is looked through for none below


def secrets_of(rolling: Rolling) -> dict[Path, set[bytes]]:
    """Return each secret's file with the forms in which it could leak."""
    found: dict[Path, set[bytes]] = {}
    for path in rolling.root.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if path.parent.name == "secrets":
            found[path] = {content.strip()}
        elif b"PRIVATE KEY" in content:
            found[path] = forms_of(content)
    return found


def forms_of(pem: bytes) -> set[bytes]:
    key = load_pem_private_key(pem, password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    number = key.private_numbers().private_value.to_bytes(32, "big")
    body = b"".join(line for line in pem.splitlines() if b"-----" not in line)
    return {
        body,
        body[20:60],  # a line of it, or a PEM with other line ends
        number,
        number.hex().encode(),
        base64.b64encode(number),
        base64.urlsafe_b64encode(number).rstrip(b"="),
    }


def test_no_secret_leaves_its_file(
    rolling: Rolling, first: Day, fourth: Day, stopped: Day
) -> None:
    """Keys and passphrases are in their own files, and nowhere else.

    Searched: what Ansible printed at -vvv with --diff, its log, its temporary files,
    its fact cache, and every file that the roll-out made.
    """
    secrets = secrets_of(rolling)
    assert len(secrets) >= len(SERVICES) + 3  # the fourth's, two passphrases
    elsewhere = {
        path: path.read_bytes()
        for path in rolling.base.rglob("*")
        if (path.is_file() and not path.is_symlink())
    }
    for day in (first, fourth, stopped):
        elsewhere[Path(f"screen-{id(day)}")] = day.run.said.encode()
    # What the CA's front opens its key with, where systemd does not keep it.
    del elsewhere[rolling.root / "services" / "enrolment" / "issuing-passphrase"]
    for path, forms in secrets.items():
        for other, content in elsewhere.items():
            leaked = [form for form in forms if form in content]
            assert other == path or not leaked, f"{path} is found in {other}"


def test_no_key_or_token_is_printed(first: Day, fourth: Day) -> None:
    """Nothing that looks like a private key or a token is on the screen."""
    for day in (first, fourth):
        assert "PRIVATE KEY" not in day.run.said
        assert not re.search(r"eyJ[\w-]{20,}\.", day.run.said)
