"""How long things live leaves room for what has to happen meanwhile, or is refused."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from ansible_collections.certbound.kit.plugins.inventory.topology import load
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.document import (
    TopologyError,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.lifetimes import (
    BACK_DATING,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.model import (
    Topology,
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

from pki.policy import PolicyError, read_policy
from pki.profiles import BACKDATING
from services.config import EnrolmentConfig, ProcessConfig, read_config

PLACES = Places(PurePosixPath("/srv/kit"), PurePosixPath("/srv/kit/certs"))
ALONE: dict[str, Any] = {"host": "localhost"}
FRONT = ALONE | {"port": 8450}


def topology_of(
    sample: str, directory: Path, *, ca: dict[str, Any], **lives: str
) -> Topology:
    """Return the sample with this CA and these lives."""
    data = yaml.safe_load(sample)
    data["lifetimes"] |= lives
    data["ca"] = ca
    path = directory / "topology.yml"
    path.write_text(yaml.safe_dump(data))
    made: Topology = load(path)
    return made


def configs(topology: Topology, directory: Path) -> list[ProcessConfig]:
    """Return what the processes read of it."""
    made = []
    for process in processes(topology, "localhost", PLACES):
        path = directory / f"{process['name']}.json"
        path.write_text(json.dumps(process["document"]))
        made.append(read_config(path))
    return made


def test_back_dating_is_the_cas() -> None:
    """The collection imports nothing of `pki`, so it says the number again."""
    assert BACK_DATING == BACKDATING


@pytest.mark.parametrize(
    ("ca", "lives", "said"),
    [
        (
            ALONE,
            {"certificate": "91d"},
            (
                "lifetimes.certificate: an issuing CA signs for one life of 91d and "
                "lasts for one more, until the last that it signed has ended, which "
                "makes 182d of its 180d, expected at most 90d"
            ),
        ),
        (
            FRONT,
            {"certificate": "10m", "renew_before": "1m"},
            (
                "lifetimes.certificate: a process renews its own from 5m before the "
                "end, which with 5m of back-dating leaves nothing of 10m, expected more"
            ),
        ),
        (
            ALONE,
            {"grace": "1h"},
            "lifetimes.grace: is the CA's front's, expected ca.port beside it",
        ),
        (
            FRONT,
            {"grace": "25h"},
            (
                "lifetimes.grace: 25h is longer than a certificate's life before it, "
                "expected at most 24h"
            ),
        ),
    ],
)
def test_each_sum_is_written_out(
    sample: str, tmp_path: Path, ca: dict[str, Any], lives: dict[str, str], said: str
) -> None:
    """With its numbers, and what would do."""
    with pytest.raises(TopologyError) as caught:
        topology_of(sample, tmp_path, ca=ca, **lives)
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize(
    ("ca", "lives"),
    [
        (ALONE, {"certificate": "90d"}),
        (ALONE, {"certificate": "10m", "renew_before": "1m"}),
        (FRONT, {"certificate": "601s", "renew_before": "1m"}),
        (FRONT, {"grace": "24h"}),
    ],
)
def test_what_just_works_is_taken(
    sample: str, tmp_path: Path, ca: dict[str, Any], lives: dict[str, str]
) -> None:
    """By the topology, and by the CA and the processes that get it."""
    topology = topology_of(sample, tmp_path, ca=ca, **lives)
    read_policy(json.dumps(ca_policy(topology)).encode())
    assert configs(topology, tmp_path)


def test_the_ca_refuses_the_same_sum(sample: str, tmp_path: Path) -> None:
    """Whoever wrote its policy by hand is told so there."""
    policy: dict[str, Any] = ca_policy(topology_of(sample, tmp_path, ca=ALONE))
    policy["lifetimes"]["issuing_ca"] = 2 * 86400 - 1
    with pytest.raises(PolicyError, match="it has 172799s, not 2d"):
        read_policy(json.dumps(policy).encode())


def test_a_grace_is_told_to_the_front_and_to_who_renews(
    sample: str, tmp_path: Path
) -> None:
    """In seconds; nobody has one unless it is said."""
    topology = topology_of(sample, tmp_path, ca=FRONT, grace="2h")
    found = configs(topology, tmp_path)
    assert {one.renewal.grace for one in found if one.renewal} == {7200}
    assert [one.grace for one in found if isinstance(one, EnrolmentConfig)] == [7200]
    without = configs(topology_of(sample, tmp_path, ca=FRONT), tmp_path)
    assert {one.renewal.grace for one in without if one.renewal} == {0}
    assert [one.grace for one in without if isinstance(one, EnrolmentConfig)] == [0]
