"""`ca.port` gives the CA a front, and every process the way to it."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from ansible_collections.certbound.kit.plugins.inventory.topology import load
from ansible_collections.certbound.kit.plugins.module_utils import credentials, units
from ansible_collections.certbound.kit.plugins.modules.units import forget_instance
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.document import (
    TopologyError,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.instances import (
    accounts,
    identities,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.places import (
    Places,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.policy import (
    ca_policy,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.processes import (
    processes,
)

from pki.policy import read_policy
from services.config import EnrolmentConfig, ProcessConfig, RenewalConfig, read_config

ROOT = PurePosixPath("/var/lib/certbound")
PLACES = Places(PurePosixPath("/srv/kit"), ROOT, own_users=True)
FRONT = "spiffe://shop.internal/enrolment"


def topology_of(text: str, directory: Path) -> Any:
    """Return what a topology says."""
    path = directory / "topology.yml"
    path.write_text(text)
    return load(path)


def with_front(sample: str, port: Any = 8450) -> str:
    """Return the sample with this port of the CA's front, and no publication."""
    before = "  port: 8450\n  publication: { port: 8451, bound: 5s }\n"
    assert before in sample
    return sample.replace(before, f"  port: {port}\n" if port else "")


@pytest.fixture
def found(sample: str, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Return the processes of the sample with a front, by name."""
    topology = topology_of(with_front(sample), tmp_path)
    return {one["name"]: one for one in processes(topology, "localhost", PLACES)}


def test_the_front_runs_as_the_ca(
    found: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """It reads the CA's directory, and listens where the topology says."""
    front = found["enrolment"]
    assert (front["port"], front["owner"]) == (8450, "certbound-ca")
    config = _read(front, tmp_path)
    assert isinstance(config, EnrolmentConfig)
    assert config.ca == Path(ROOT / "ca")
    handed = "/run/credentials/certbound-enrolment.service/issuing-passphrase"
    assert str(config.issuing_passphrase) == handed
    assert config.spiffe_id == FRONT


def test_every_process_renews_there(
    found: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """The front too: by itself."""
    assert len(found) == 6
    renewal = RenewalConfig(
        url="https://localhost:8450/.well-known/est", spiffe_id=FRONT
    )
    for process in found.values():
        assert _read(process, tmp_path).renewal == renewal


def _read(process: dict[str, Any], directory: Path) -> ProcessConfig:
    path = directory / "config.json"
    path.write_text(json.dumps(process["document"]))
    return read_config(path)


def test_without_a_port_all_is_as_before(sample: str, tmp_path: Path) -> None:
    """Nobody has a member for it, and nothing runs for it."""
    topology = topology_of(with_front(sample, None), tmp_path)
    found = processes(topology, "localhost", PLACES)
    assert "enrolment" not in {one["name"] for one in found}
    assert not any("renewal" in one["document"] for one in found)


def test_the_front_has_an_identity(sample: str, tmp_path: Path) -> None:
    """The policy knows it; its directory is the CA's user's, and no user is its own."""
    topology = topology_of(with_front(sample), tmp_path)
    policy = read_policy(json.dumps(ca_policy(topology)).encode())
    assert str(policy.identities["enrolment@localhost"].names.spiffe_id) == FRONT
    (own,) = [
        one
        for one in identities(topology, "localhost", PLACES)
        if one["spiffe_id"] == FRONT
    ]
    assert own["owner"] == "certbound-ca"
    users = accounts(topology, "localhost", PLACES)
    owned = [one["directory"] for one in users if one["name"] == "certbound-ca"]
    assert owned == [str(ROOT / "ca"), str(ROOT / "services" / "enrolment")]
    assert "certbound-enrolment" not in {one["name"] for one in users}


def test_the_ports_of_a_host_differ(sample: str, tmp_path: Path) -> None:
    """The front's is one of them."""
    with pytest.raises(TopologyError, match="8440 is the port of ca on host localhost"):
        topology_of(with_front(sample, 8440), tmp_path)


@pytest.mark.parametrize("port", ["0", "70000", "http"])
def test_a_port_is_a_port(sample: str, tmp_path: Path, port: Any) -> None:
    """As everywhere."""
    with pytest.raises(TopologyError, match=r"ca\.port: got .*the TCP port"):
        topology_of(with_front(sample, port), tmp_path)


def test_the_fronts_name_is_taken(sample: str, tmp_path: Path) -> None:
    """A service of that name would have its SPIFFE ID."""
    text = sample.replace("  stock:\n", "  enrolment:\n", 1)
    with pytest.raises(TopologyError, match="is the CA's front's own name"):
        topology_of(text, tmp_path)


def test_the_fronts_dns_name_is_taken(sample: str, tmp_path: Path) -> None:
    """A host of that name could stand in for it."""
    text = sample.replace("dns: localhost", "dns: enrolment.shop.internal", 1)
    with pytest.raises(TopologyError, match="is the name of the CA's front"):
        topology_of(text, tmp_path)


def test_units_may_write_what_renewal_writes(found: dict[str, dict[str, Any]]) -> None:
    """The identity; and of the front, the CA's directory."""
    for name, process in found.items():
        text = units.units_of(process, "/opt/r")[f"certbound-{name}.service"]
        own = ROOT / "services" / name
        wanted = [own / "state", *([ROOT / "ca"] if name == "enrolment" else [])]
        wanted.append(own / "identity")
        lines = [line for line in text.splitlines() if line.startswith("ReadWrite")]
        assert lines == [f"ReadWritePaths={path}" for path in wanted]


def test_the_cas_user_outlives_its_front(
    found: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A front that is taken away takes its directory along, and nobody else's user."""
    removed: list[str] = []
    monkeypatch.setattr(
        "subprocess.run", lambda command, **_options: removed.append(command[-1])
    )
    texts = {
        file: text
        for name in ("enrolment", "stock")
        for file, text in units.units_of(found[name], "/opt/r").items()
    }
    for name in ("enrolment", "stock"):
        home = tmp_path / "services" / name
        home.mkdir(parents=True)
        forget_instance(str(tmp_path), name, texts)
        assert not home.exists()
    assert removed == ["certbound-stock"]


def test_a_secret_goes_with_its_process(
    found: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What systemd kept for a front that is taken away is kept no more."""
    monkeypatch.setattr("subprocess.run", lambda *_, **__: None)
    monkeypatch.setattr(credentials, "stored_at", lambda *_: str(tmp_path / "kept"))
    (tmp_path / "kept").write_text("encrypted")
    texts = units.units_of(found["enrolment"], "/opt/r")
    forget_instance(str(tmp_path), "stock", texts)
    assert (tmp_path / "kept").exists()
    forget_instance(str(tmp_path), "enrolment", texts)
    assert not (tmp_path / "kept").exists()
