"""The probe tells what runs and who may call whom, from the outside."""

import json
import subprocess
import sys

import msgspec
import pytest

from services.deployment import Call
from services.probe import NotRunningError, probe
from tests.services.deployed import Running


def test_identities_are_read_off_the_live_ports(running: Running) -> None:
    """Serial and name are what the port presents, not what a file says."""
    found = probe(running.deployment)
    assert [identity.service for identity in found.identities] == [
        "token-service",
        "storefront",
        "orders",
        "stock",
    ]
    assert found.identities[2].spiffe_id == "spiffe://shop.internal/service/orders"


def test_every_pair_is_tried_and_only_edges_are_answered(running: Running) -> None:
    """Two of six pairs are edges of the topology."""
    found = probe(running.deployment)
    assert found.ok
    assert [(edge.caller, edge.callee) for edge in found.edges if edge.allowed] == [
        ("storefront", "orders"),
        ("orders", "stock"),
    ]
    assert [edge.status for edge in found.edges] == [200, 401, 401, 200, 401, 401]


def test_a_refused_call_says_who_refused_and_why(running: Running) -> None:
    """A token for orders does not open stock, and none could be had for stock."""
    edge = probe(running.deployment).edges[1]
    assert edge.reason == (
        "token service: invalid_target; stock: the token is for another audience"
    )


def test_an_edge_that_should_be_answered_and_is_not_differs(running: Running) -> None:
    """If the topology says stock may call orders, a refusal is a difference."""
    services = running.deployment.services
    stock = msgspec.structs.replace(
        services["stock"], calls=[Call("orders", ["orders.read"])]
    )
    changed = msgspec.structs.replace(
        running.deployment, services={**services, "stock": stock}
    )
    found = probe(changed)
    assert not found.ok
    assert [edge for edge in found.edges if not edge.ok] == [found.edges[5]]


def test_an_edge_that_should_be_refused_and_is_not_differs(running: Running) -> None:
    """If the topology says storefront may not call orders, an answer is one too."""
    services = running.deployment.services
    storefront = msgspec.structs.replace(services["storefront"], calls=[])
    changed = msgspec.structs.replace(
        running.deployment, services={**services, "storefront": storefront}
    )
    assert not probe(changed).ok


def test_a_process_that_is_down_is_named(running: Running) -> None:
    """The error names service, address and port."""
    token_service = msgspec.structs.replace(running.deployment.token_service, port=1)
    changed = msgspec.structs.replace(running.deployment, token_service=token_service)
    with pytest.raises(NotRunningError, match=r"token-service at 127\.0\.0\.1 port 1"):
        probe(changed)


def test_a_port_with_another_identity_is_named(running: Running) -> None:
    """A process with somebody else's certificate is not what was rolled out."""
    services = running.deployment.services
    orders = msgspec.structs.replace(
        services["orders"],
        port=services["stock"].port,
        dns_names=services["stock"].dns_names,
    )
    changed = msgspec.structs.replace(
        running.deployment, services={**services, "orders": orders}
    )
    with pytest.raises(
        NotRunningError, match=r"is spiffe://shop\.internal/service/sto"
    ):
        probe(changed)


def test_probe_and_report_are_commands_that_fit_together(running: Running) -> None:
    """What `probe` prints, `report` shows."""
    command = [sys.executable, "-m", "services"]
    probed = subprocess.run(
        [*command, "probe", "--deployment", str(running.path)],
        capture_output=True,
        check=True,
        timeout=60,
    )
    shown = subprocess.run(
        [*command, "report"],
        input=json.dumps({"probe": json.loads(probed.stdout)}).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout.decode()
    serial = json.loads(probed.stdout)["identities"][0]["serial"]
    assert serial in shown
    assert "storefront   orders       yes" in shown
