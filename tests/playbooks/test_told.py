"""`ca.publication` has certificates, the CA's front and every process say one thing."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from ansible_collections.certbound.kit.plugins.inventory.topology import load
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.document import (
    TopologyError,
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

from pki.pointers import Addresses
from pki.policy import read_policy
from services.config import EnrolmentConfig, ProcessConfig, read_config
from services.revocation_config import RevocationConfig

PLACES = Places(PurePosixPath("/srv/kit"), PurePosixPath("/srv/kit/certs"))
WHOLE = "{ port: 8451, url: http://pki.shop.internal/x, shards: 4, bound: 30s }"


def told(
    sample: str, directory: Path, publication: str | None, port: str = "8450"
) -> Any:
    """Return the sample topology with this publication."""
    head, _, rest = sample.partition("ca:\n")
    _, _, rest = rest.partition("\n\n")
    lines = ["ca:", "  host: localhost"]
    lines += [f"  port: {port}"] if port else []
    lines += [f"  publication: {publication}"] if publication else []
    path = directory / "topology.yml"
    path.write_text(head + "\n".join(lines) + "\n\n" + rest)
    return load(path)


def documents(topology: Any, directory: Path) -> list[ProcessConfig]:
    """Return every derived document as its process reads it."""
    path = directory / "config.json"
    found = []
    for process in processes(topology, "localhost", PLACES):
        path.write_text(json.dumps(process["document"]))
        found.append(read_config(path))
    return found


SAID = {
    "{ port: 8451 }": (Addresses("http://localhost:8451/pki", 1), 5, "/pki"),
    WHOLE: (Addresses("http://pki.shop.internal/x", 4), 30, "/x"),
}


@pytest.mark.parametrize("publication", SAID)
def test_all_say_the_same(sample: str, tmp_path: Path, publication: str) -> None:
    """The CA's policy, the front's document and that of each process agree."""
    addresses, bound, path = SAID[publication]
    topology = told(sample, tmp_path, publication)
    policy = read_policy(json.dumps(ca_policy(topology)).encode())
    assert policy.addresses == addresses
    found = documents(topology, tmp_path)
    wanted = RevocationConfig(url=addresses.url, bound=bound)
    assert {one.revocation for one in found} == {wanted}
    (front,) = [one for one in found if isinstance(one, EnrolmentConfig)]
    assert front.publication is not None
    assert (front.publication.port, front.publication.path) == (8451, path)


def test_without_it_nothing_is_said(sample: str, tmp_path: Path) -> None:
    """Certificates have no pointers, the front no second port, nobody asks."""
    topology = told(sample, tmp_path, None)
    assert read_policy(json.dumps(ca_policy(topology)).encode()).addresses is None
    found = documents(topology, tmp_path)
    assert {one.revocation for one in found} == {None}
    (front,) = [one for one in found if isinstance(one, EnrolmentConfig)]
    assert front.publication is None


@pytest.mark.parametrize(
    ("publication", "said"),
    [
        (
            "{ port: 8451, bound: 3s }",
            "2s in a cache and 1s between two questions leave nothing of 3s, expected",
        ),
        (
            "{ port: 8451, bound: 2h }",
            "ca.publication.bound: got 2h, expected at most",
        ),
        (
            "{ port: 8450 }",
            "ca.publication.port: 8450 is the port of ca on host localhost already",
        ),
        (
            "{ port: 8440 }",
            "token_service.port: 8440 is the port of publication on host localhost",
        ),
        ("{ shards: 2 }", "ca.publication.port: missing, expected the TCP port"),
        (
            "{ port: 8451, shards: 1025 }",
            "ca.publication.shards: got 1025, expected over how many lists",
        ),
        (
            "{ port: 8451, url: 'https://pki.shop.internal' }",
            "ca.publication.url: got",
        ),
        (
            "{ port: 8451, url: 'http://pki.shop.internal/' }",
            "ca.publication.url: got",
        ),
    ],
)
def test_what_cannot_work_is_refused(
    sample: str, tmp_path: Path, publication: str, said: str
) -> None:
    """With the key and what was expected; a sum that leaves no time has the sum."""
    with pytest.raises(TopologyError) as refusal:
        told(sample, tmp_path, publication)
    assert said in str(refusal.value)


def test_a_publication_needs_a_front(sample: str, tmp_path: Path) -> None:
    """Nobody else would make it."""
    with pytest.raises(TopologyError, match=r"ca\.publication: is the CA's front's"):
        told(sample, tmp_path, "{ port: 8451 }", port="")
