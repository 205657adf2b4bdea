"""Units are what the topology says, and only ours are touched."""

import os
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from ansible_collections.certbound.kit.plugins.inventory.topology import load
from ansible_collections.certbound.kit.plugins.module_utils import (
    credentials,
    units,
)
from ansible_collections.certbound.kit.plugins.module_utils.checkpoint import (
    IDENTITIES,
    forget,
    recall,
    remember,
    remember_identities,
    restore_identities,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.places import (
    Places,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.processes import (
    processes,
)

RELEASE = "/opt/certbound/releases/d1"
PLACES = Places(
    PurePosixPath("/srv/kit"), PurePosixPath("/var/lib/certbound"), own_users=True
)


def process_on(host: str, project: Path) -> dict[str, Any]:
    topology = load(project / "tests" / "lab" / "topology.yml")
    (process,) = processes(topology, host, PLACES)
    return process


def test_systemd_listens_where_the_topology_says(project: Path) -> None:
    """The socket is a unit of its own, so that a restart drops no caller."""
    texts = units.units_of(process_on("orders-1", project), RELEASE)
    assert set(texts) == {"certbound-orders.socket", "certbound-orders.service"}
    assert "ListenStream=10.77.0.15:8442\n" in texts["certbound-orders.socket"]
    assert "Requires=certbound-orders.socket\n" in texts["certbound-orders.service"]


def test_a_service_runs_its_release_as_its_own_user(project: Path) -> None:
    """What runs is named by digest, so that a unit of before starts what was before."""
    text = units.units_of(process_on("orders-1", project), RELEASE)[
        "certbound-orders.service"
    ]
    assert f"ExecStart={RELEASE}/bin/python -I -m services run /var/lib/" in text
    assert "User=certbound-orders\n" in text
    assert units.releases_in({"x": text}) == {"d1"}


def test_the_cas_front_may_listen_where_it_publishes(project: Path) -> None:
    """Nobody else may listen on anything but the socket that he is given."""
    front = process_on("ca", project)
    front["document"]["bundle_port"] = 8452
    text = units.units_of(front, RELEASE)["certbound-enrolment.service"]
    allowed = [line for line in text.splitlines() if line.startswith("SocketBind")]
    assert allowed == [
        "SocketBindDeny=any",
        "SocketBindAllow=tcp:8451",
        "SocketBindAllow=tcp:8452",
    ]
    texts = units.units_of(process_on("orders-1", project), RELEASE)
    assert "SocketBindAllow" not in texts["certbound-orders.service"]


def test_a_changed_application_changes_the_unit(project: Path) -> None:
    """A process cannot change its application while it runs: it is started anew."""
    process = process_on("orders-1", project)
    before = units.units_of(process, RELEASE)
    process["document"]["app"] = "another:app"
    assert units.units_of(process, RELEASE) != before


def test_an_address_of_ipv6_is_put_in_brackets(project: Path) -> None:
    """As systemd wants it."""
    process = {**process_on("orders-1", project), "address": "fd00::1"}
    texts = units.units_of(process, RELEASE)
    assert "ListenStream=[fd00::1]:8442\n" in texts["certbound-orders.socket"]


def test_only_units_of_ours_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit that somebody else wrote is left alone, whatever its name."""
    monkeypatch.setattr(units, "DIRECTORY", str(tmp_path))
    (tmp_path / "certbound-orders.service").write_text(units.MARK + "[Unit]\n")
    (tmp_path / "certbound-other.service").write_text("[Unit]\n")
    (tmp_path / "nginx.service").write_text(units.MARK)
    assert list(units.present_units()) == ["certbound-orders.service"]


@pytest.fixture
def secret() -> str:
    return "a passphrase of the tests"


def front(project: Path) -> str:
    """Return the unit of the CA's front."""
    return units.units_of(process_on("ca", project), RELEASE)[
        "certbound-enrolment.service"
    ]


def test_the_front_is_handed_its_passphrase(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encrypted where systemd can; and the process looks where systemd puts it."""
    monkeypatch.setattr(credentials, "can_encrypt", lambda: True)
    stored = "/etc/credstore.encrypted/certbound-enrolment.issuing-passphrase"
    line = f"LoadCredentialEncrypted=issuing-passphrase:{stored}\n"
    assert line in front(project)
    assert credentials.loaded_by(front(project)) == [stored]
    assert process_on("ca", project)["document"]["issuing_passphrase"] == (
        "/run/credentials/certbound-enrolment.service/issuing-passphrase"
    )


def test_an_old_systemd_loads_a_file_of_roots(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before systemd 250 nothing is encrypted, and nothing is said to be."""
    monkeypatch.setattr(credentials, "can_encrypt", lambda: False)
    stored = "/etc/credstore/certbound-enrolment.issuing-passphrase"
    assert f"LoadCredential=issuing-passphrase:{stored}\n" in front(project)


def test_others_are_handed_nothing(project: Path) -> None:
    """A service has no secret but the key that it made."""
    text = units.units_of(process_on("orders-1", project), RELEASE)[
        "certbound-orders.service"
    ]
    assert credentials.loaded_by(text) == []


def test_a_plain_credential_is_private_and_kept(tmp_path: Path, secret: str) -> None:
    """It is written once, for its owner alone; one that others could read is not it."""
    path = tmp_path / "credstore" / "unit.name"
    credentials.store(str(path), "name", secret)
    assert credentials.holds(str(path), "name", secret)
    assert not credentials.holds(str(path), "name", secret + "x")
    path.chmod(0o640)
    assert not credentials.holds(str(path), "name", secret)


def test_an_encrypted_credential_is_its_units_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """systemd-creds itself opens it, under its name alone; the secret is not in it."""
    if os.geteuid() or not credentials.can_encrypt():
        pytest.skip("needs root, and systemd-creds of systemd 250")
    monkeypatch.setattr(credentials, "ENCRYPTED", str(tmp_path))
    path = tmp_path / "unit.name"
    credentials.store(str(path), "name", secret)
    assert secret.encode() not in path.read_bytes()
    assert credentials.holds(str(path), "name", secret)
    assert not credentials.holds(str(path), "name", secret + "x")
    assert not credentials.holds(str(path), "another", secret)


def instance(directory: Path) -> dict[str, Any]:
    (directory / "identity" / "generations" / "1a").mkdir(parents=True)
    (directory / "identity" / "current").symlink_to("generations/1a")
    (directory / "config.json").write_text("before")
    return {
        "name": "orders",
        "owner": None,
        "config": str(directory / "config.json"),
        "document": {"identity": str(directory / "identity" / "current")},
    }


def test_a_checkpoint_leads_back(tmp_path: Path) -> None:
    """Link and configuration are as they were, and once they are, nothing changes."""
    process = instance(tmp_path / "orders")
    path = str(tmp_path / "checkpoint.json")
    remember_identities(path, [process])
    link = Path(process["document"]["identity"])
    link.unlink()
    link.symlink_to("generations/2b")
    Path(process["config"]).write_text("after")
    assert restore_identities(recall(path)[IDENTITIES]) == ["orders"]
    assert link.readlink() == Path("generations/1a")
    assert Path(process["config"]).read_text() == "before"
    assert restore_identities(recall(path)[IDENTITIES]) == []


def test_a_first_installation_goes_back_to_nothing(tmp_path: Path) -> None:
    """Where there was no generation, there is none again."""
    process = instance(tmp_path / "orders")
    link = Path(process["document"]["identity"])
    link.unlink()
    path = str(tmp_path / "checkpoint.json")
    remember_identities(path, [process])
    link.symlink_to("generations/1a")
    restore_identities(recall(path)[IDENTITIES])
    assert not link.is_symlink()


def test_a_broken_run_does_not_overwrite_the_way_back(tmp_path: Path) -> None:
    """What was last known to serve stays remembered until something else is."""
    path = str(tmp_path / "checkpoint.json")
    remember(path, "units", "good")
    remember(path, "units", "half-done")
    assert recall(path) == {"units": "good"}
    assert Path(path).stat().st_mode & 0o777 == 0o600
    forget(path)
    assert recall(path) == {}
