"""The probe tells what runs and who may call whom, from the outside."""

import json
import ssl
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from services import key_exchange
from services.deployment import Call
from services.probe import NotRunningError, probe
from tests.services.deployed import Running

FILE = Path("none.pem")


def test_identities_are_read_off_the_live_ports(running: Running) -> None:
    """Serial and name are what the port presents, not what a file says."""
    found = probe(running.deployment)
    assert [identity.service for identity in found.identities] == [
        "token-service",
        "storefront",
        "orders",
        "stock",
        "edge",
    ]
    assert found.identities[2].spiffe_id == "spiffe://shop.internal/service/orders"


def test_how_a_key_is_kept_is_told(running: Running) -> None:
    """Mode and owner of the key are as the file has them, and its serial is served."""
    path = running.deployment.services["orders"].private_key
    before = path.stat().st_mode
    path.chmod(0o640)
    try:
        found = probe(running.deployment).identities[2]
    finally:
        path.chmod(before)
    key, *above = found.kept
    assert (key.path, key.mode, key.owner) == (str(path), "0640", path.owner())
    assert [one.path for one in above] == [str(up) for up in path.parents[:3]]
    assert found.installed == found.serial


def test_every_pair_is_tried_and_only_edges_are_answered(running: Running) -> None:
    """Three of twelve pairs are edges of the topology."""
    found = probe(running.deployment)
    assert found.ok
    assert [(edge.caller, edge.callee) for edge in found.edges if edge.allowed] == [
        ("storefront", "orders"),
        ("orders", "stock"),
        ("edge", "orders"),
    ]
    assert {edge.status for edge in found.edges if not edge.allowed} == {401}
    assert len(found.edges) == 12


def test_a_gateway_is_called_on_a_path_that_leads_on(running: Running) -> None:
    """Who may call it is answered by the service behind it; it tells others no more."""
    gateways = running.deployment.gateways
    (edge,) = gateways.values()
    assert edge.scopes_at("orders") == ["orders.read"]
    assert edge.scopes_at("stock") == []
    assert edge.path_for(["orders.read"]) == edge.path_for([]) == "/orders"
    refused = [
        one.reason for one in probe(running.deployment).edges if one.callee == "edge"
    ]
    assert refused == [
        "token service: invalid_target; edge: the token is not active",
        "token service: invalid_target; edge: the token is not active",
        "token service: invalid_target; edge: a token is needed",
    ]


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
    (differs,) = [edge for edge in found.edges if not edge.ok]
    assert (differs.caller, differs.callee) == ("stock", "orders")


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


@pytest.mark.parametrize("only", ["orders", "orders@localhost"])
def test_only_the_callers_named_are_looked_at(running: Running, only: str) -> None:
    """A host tries what its own services may do: their identity, and calls by them."""
    found = probe(running.deployment, only=only)
    assert [identity.service for identity in found.identities] == ["orders"]
    assert {edge.caller for edge in found.edges} == {"orders"}
    assert found.ok


def test_a_host_with_nothing_on_it_has_nothing_to_try(running: Running) -> None:
    """Who is named by a host alone is everybody there, and here nobody is."""
    found = probe(running.deployment, only="@elsewhere")
    assert found == msgspec.structs.replace(found, identities=[], edges=[], ok=True)


def test_a_call_says_by_which_group_keys_were_agreed(running: Running) -> None:
    """All calls between two OpenSSLs agree on one group, which is named or unknown."""
    (group,) = {edge.group for edge in probe(running.deployment).edges}
    assert group in {"X25519MLKEM768", "X25519", key_exchange.UNKNOWN}


@pytest.mark.parametrize(
    ("said", "group"),
    [
        ("Negotiated TLS1.3 group: X25519MLKEM768\n", "X25519MLKEM768"),
        ("Server Temp Key: X25519, 253 bits\n", "X25519"),
        ("CONNECTED(00000003)\n", key_exchange.UNKNOWN),
    ],
)
def test_the_group_is_read_off_what_openssl_says(
    monkeypatch: pytest.MonkeyPatch, said: str, group: str
) -> None:
    """OpenSSL 3.2 names the group, 3.0 the kind of key; silence is not guessed at."""
    version = ssl.OPENSSL_VERSION
    answers = {"version": f"{version} (Library: {version})"}
    monkeypatch.setattr(
        key_exchange, "_said", lambda *words: answers.get(words[1], said)
    )
    key_exchange._version.cache_clear()
    assert key_exchange.group_agreed(("127.0.0.1", 1), "a", FILE, (FILE, FILE)) == group
    key_exchange._version.cache_clear()


def test_another_openssl_than_pythons_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What another library agrees on says nothing of our processes."""
    monkeypatch.setattr(
        key_exchange, "_said", lambda *words: "OpenSSL 0.9.8 5 Jul 2005"
    )
    key_exchange._version.cache_clear()
    agreed = key_exchange.group_agreed(("127.0.0.1", 1), "a", FILE, (FILE, FILE))
    assert agreed == key_exchange.UNKNOWN
    key_exchange._version.cache_clear()


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
