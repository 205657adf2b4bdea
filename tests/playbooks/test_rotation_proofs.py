"""Who has proved to be where a rotation wants everybody: judged, and seen on ports."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.certbound.kit.plugins.filter.proofs import keys, known, proof
from ansible_collections.certbound.kit.plugins.module_utils.identity import moment
from ansible_collections.certbound.kit.plugins.module_utils.openssl import fingerprints
from ansible_collections.certbound.kit.plugins.module_utils.pki_command import (
    PkiCommandError,
)
from ansible_collections.certbound.kit.plugins.modules import (
    rotation,
    rotation_evidence,
)
from starlette.types import Receive, Scope, Send

from pki.identity import SpiffeId
from services.wire.generation import LiveIdentity
from tests.playbooks.enrolling import Enrolling
from tests.playbooks.rolling import free_ports
from tests.services.mesh import serve

OLD, NEW, OTHER = "aa" * 32, "bb" * 32, "cc" * 32
STATE = {
    "rotation": {"what": "root", "phase": "switching"},
    "trusted_roots": [OLD, NEW],
    "issuer": "11" * 20,
    "issued_after": "2026-11-23T01:00:00Z",
}


def seen(**changes: Any) -> dict[str, Any]:
    """Return what is seen of an identity where it should be, but for the `changes`."""
    good = {
        "identity": "orders@localhost",
        "roots": [NEW, OLD],
        "issuer": STATE["issuer"],
        "serial": "1f",
        "begins": "2026-11-23T01:00:00Z",
        "live": True,
        "reason": None,
    }
    return {**good, **changes}


def test_who_is_where_he_should_be_has_proved_it() -> None:
    """The order of the roots means nothing."""
    found = proof([seen()], ["orders@localhost"], STATE, {})
    assert found["laggards"] == {}
    assert found["lines"] == ["root: switching: 1 of 1 proved: orders@localhost"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"roots": [OLD]}, f"trusts {OLD[:12]}, not {OLD[:12]} and {NEW[:12]}"),
        ({"roots": [OLD, NEW, OTHER]}, f"trusts {OLD[:12]} and {NEW[:12]} and"),
        ({"issuer": "22" * 20}, f"presents a certificate by {'22' * 6}"),
        ({"issuer": None}, "presents a certificate by nobody"),
        ({"live": False, "reason": "port 1: refused"}, "port 1: refused"),
        ({"begins": "2026-11-23T00:59:59Z"}, "presents a certificate that begins"),
        ({"identity": "stock@localhost"}, "nothing is known of it"),
    ],
)
def test_a_laggard_is_named_with_what_is_wrong(
    changes: dict[str, Any], fault: str
) -> None:
    """One thing is enough."""
    found = proof([seen(**changes)], ["orders@localhost"], STATE, {})
    assert found["laggards"]["orders@localhost"].startswith(fault)
    assert found["named"].startswith(f"laggards: orders@localhost: {fault}")


BEHIND = {"roots": [OLD]}
ELSEWHERE = {"issuer": "22" * 20}


@pytest.mark.parametrize(
    ("phase", "changes", "held"),
    [
        ("switching", ELSEWHERE, False),
        ("draining", ELSEWHERE, False),
        ("distributing", BEHIND, False),
        ("distributing", ELSEWHERE, True),
        ("distributing", {"live": False}, True),
        ("prepared", BEHIND, True),
    ],
)
def test_on_the_way_back_a_root_is_dropped_when_nobody_needs_it(
    phase: str, changes: dict[str, Any], *, held: bool
) -> None:
    """What a phase has half distributed, or half switched, holds nobody up."""
    state = {**STATE, "rotation": {"what": "root", "phase": phase}}
    found = proof([seen(**changes)], ["orders@localhost"], state, {}, back=True)
    assert bool(found["laggards"]) is held


def test_a_laggard_that_is_waived_is_named_with_the_reason() -> None:
    """It holds nobody up, and is not said to have proved anything."""
    waivers = {"orders@localhost": "its disk died", "stock@localhost": "never needed"}
    found = proof([], ["orders@localhost"], STATE, waivers)
    assert (found["laggards"], found["proved"]) == ({}, [])
    assert found["lines"][-1] == "waived: orders@localhost (its disk died)"


def test_a_process_that_was_not_asked_knows_no_key() -> None:
    """Its host was not reached: that is no proof."""
    results = [{"proved": ["a"], "laggards": {"b": "it does not know k2"}}]
    found = known(results, ["a", "b", "c", "d"], {"d": "retired"})
    assert found["proved"] == ["a"]
    assert found["laggards"]["b"] == "it does not know k2"
    assert found["laggards"]["c"].startswith("nothing is known of it")
    assert found["lines"][1] == "waived: d (retired)"


def test_how_signing_keys_stand_is_said_in_lines() -> None:
    """Who signs, who waits, and how long the one before is published."""
    state = {"signing": "k2", "since": "T2", "waiting": "k3", "begins": "T3"}
    lines = keys("token", {**state, "retired": ["k1"], "forgotten_at": "T4"})
    assert lines == [
        "token: signs with k2 since T2",
        "token: k3 waits until T3",
        "token: k1 published until T4",
    ]
    alone: dict[str, Any] = {"waiting": None, "retired": []}
    assert keys("token", {**state, **alone}) == ["token: signs with k2 since T2"]


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer nothing in particular."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def at(enrolled: Enrolling, port: int) -> dict[str, Any]:
    """Return what the module knows of a process on a port."""
    return {
        "address": "127.0.0.1",
        "port": port,
        "document": {"identity": enrolled.paths.current},
    }


def evidence(enrolled: Enrolling, *processes: dict[str, Any]) -> dict[str, Any]:
    """Return what is seen of the identity."""
    params = {"processes": processes, "proxies": []}
    ports = rotation_evidence.ports_of(enrolled.identity, params)
    return rotation_evidence.look(enrolled.identity, ports)


def test_a_live_port_proves_what_its_process_has_loaded(enrolled: Enrolling) -> None:
    """What was installed since, and is not presented yet, proves nothing."""
    before = enrolled.look().certificate
    assert before is not None
    bundle = Path(enrolled.paths.current) / "bundle.pem"
    (root,) = fingerprints(bundle.read_text())
    never = {"monotonic": lambda: 0.0}  # as of now, for ever: it does not look again
    name = SpiffeId.parse(enrolled.identity["spiffe_id"])
    identity = LiveIdentity(Path(enrolled.paths.current), name, **never)
    with serve(hello, identity) as running:
        enrolled.renew()
        found = evidence(enrolled, at(enrolled, running.port))
    assert found == {
        "identity": "orders@localhost",
        "roots": [root],
        "issuer": before.issuer_key,
        "serial": before.serial,
        "begins": moment(before.not_before),
        "live": True,
        "reason": None,
        "presented": [before.serial],
    }


def test_a_generation_that_is_gone_proves_nothing(enrolled: Enrolling) -> None:
    """What a process trusts that has loaded it, nobody can say."""
    before = Path(enrolled.paths.current).resolve()
    never = {"monotonic": lambda: 0.0}
    name = SpiffeId.parse(enrolled.identity["spiffe_id"])
    identity = LiveIdentity(Path(enrolled.paths.current), name, **never)
    with serve(hello, identity) as running:
        enrolled.renew()
        shutil.rmtree(before)
        found = evidence(enrolled, at(enrolled, running.port))
    assert found["live"] is False
    assert before.name in found["reason"]
    assert found["presented"] == [before.name]


def test_a_port_that_nobody_listens_on_proves_nothing(enrolled: Enrolling) -> None:
    """What is installed is told, and why it is not live."""
    (port,) = free_ports(1)
    found = evidence(enrolled, at(enrolled, port))
    assert (found["live"], bool(found["serial"])) == (False, True)
    assert found["reason"].startswith(f"port {port} of 127.0.0.1: ")


def test_an_identity_without_a_port_proves_nothing(enrolled: Enrolling) -> None:
    """It is described as it is installed."""
    found = evidence(enrolled)
    assert (found["live"], found["reason"]) == (False, "no port to ask")


def test_a_proxy_is_asked_at_its_sites(enrolled: Enrolling) -> None:
    """Each of its ports presents the identity that it was given."""
    proxy = {"identity": enrolled.paths.current, "sites": [{"port": 1}, {"port": 2}]}
    other = {"identity": "/srv/other/identity/current", "sites": [{"port": 3}]}
    params = {"processes": [], "proxies": [other, proxy]}
    ports = rotation_evidence.ports_of(enrolled.identity, params)
    assert ports == proxy["sites"]


def test_an_identity_that_was_never_enrolled(tmp_path: Path) -> None:
    """A host that has just joined has nothing to show."""
    assert evidence(Enrolling(tmp_path))["reason"] == "no certificate yet"


def test_the_ca_goes_on_with_the_proof_alone(enrolled: Enrolling) -> None:
    """What was never certified is no evidence, and the CA says who is missing."""

    def turn(verb: str, **told: Any) -> dict[str, Any]:
        given = {"evidence": [], "waivers": {}, "run_id": "test", **told}
        return rotation.turn({**enrolled.ca, "what": "certificates", **given}, verb)

    assert turn("show")["rotation"] is None
    assert rotation.phase_of(turn("begin")) == "certificates: prepared\n"
    assert rotation.phase_of(turn("advance")) == "certificates: distributing\n"
    nothing = seen(serial=None, issuer=None, roots=[], live=False)
    with pytest.raises(PkiCommandError, match="orders@localhost: no evidence"):
        turn("advance", evidence=[nothing])
    waived = turn(
        "advance", evidence=[nothing], waivers={"orders@localhost": "its disk died"}
    )
    assert rotation.phase_of(waived) == "certificates: switching\n"
    for phase in ("distributing", "prepared"):
        assert rotation.phase_of(turn("reverse")) == f"certificates: {phase}\n"
    assert turn("reverse")["rotation"] is None
