"""Two trust domains on real hosts; the one has its keys in a token and on no network.

The tests go through a day, in their order: founded, strangers, federated, revoked,
rotated. Each leaves what the next one needs.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.fixtures import booted
from tests.pki.ceremonies import MAKE_ROOT, UPDATE_ROOT
from tests.playbooks.lab_day import AT_ONCE, EVERYTHING, check_served, on_all
from tests.playbooks.lab_domains import (
    CA,
    FLEET,
    NAMES,
    Domain,
    certify,
    request_in,
    serials_in,
)
from tests.playbooks.loading import lab_load
from tests.playbooks.rolling import Run
from tests.services.mesh import until

pytestmark = [pytest.mark.lab, pytest.mark.rollout, pytest.mark.long]

Domains = dict[str, Domain]
QUICK = (*AT_ONCE, "--skip-tags", "verify,drill")
CALLERS = {"east-1": "catalogue", "west-1": "catalogue"}
PATIENCE = 60.0  # seconds


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domains]:
    """Return both, rolled out; east as a CA whose keys are elsewhere."""
    base = tmp_path_factory.mktemp("domains")
    with booted("domains", FLEET) as lab:
        domains = {}
        for name in NAMES:
            (base / name).mkdir()
            domains[name] = Domain(lab, base / name, name=name)
            domains[name].prepare()
        east = domains["east"]
        run = east.play("site", *AT_ONCE, "--tags", "release")
        assert run.returncode == 0, run.said
        east.make_token()
        east.hold("first-root", MAKE_ROOT, certify(east.request()))
        for domain in domains.values():
            play(domain)
        yield domains


@pytest.fixture(scope="module")
def federated(founded: Domains) -> Domains:
    """Return them with each other's bundle."""
    for own, other in (NAMES, NAMES[::-1]):
        founded[own].learn(founded[other].published())
    return founded


def play(domain: Domain, *arguments: str) -> Run:
    """Roll out, without a look at what is called."""
    run = domain.play("site", *QUICK, *arguments)
    assert run.returncode == 0, run.said
    return run


def test_the_cas_keys_are_elsewhere(founded: Domains) -> None:
    """The issuing key is in the token, the root's on another machine; both stay there.

    Where the key's file would be it is said where the key is.
    """
    east = founded["east"]
    files = {Path(name).name for name in east.ca(f"ls {CA}/*.sealed").split()}
    assert files == {"issuing.key.sealed"}
    assert "certbound-token-key" in east.ca(f"cat {CA}/issuing.key.sealed")
    again = play(east)
    assert again.changed == 0, again.said


def test_processes_renew_themselves_by_the_token(founded: Domains) -> None:
    """The CA's front signs in the token, in its unit; no play has a part in it."""
    east = founded["east"]
    east.write(certificate="11m", renew_before="2m")  # due within three minutes
    play(east, *EVERYTHING)
    wanted = {"broker@east-1", "catalogue@east-1", "token-service@east-1"}

    def renewed() -> bool:
        by_themselves = {
            entry["identity"]
            for entry in east.entries()
            if entry["run_id"].startswith("renewal of")
        }
        return wanted <= by_themselves

    until(renewed, 4 * PATIENCE)
    east.restore()
    play(east)
    check_served(east)


@pytest.mark.parametrize("name", NAMES)
def test_strangers_do_not_call(founded: Domains, name: str) -> None:
    """Without a bundle the probe says what is not reached, and the run fails."""
    run = founded[name].play("site", *AT_ONCE, "--tags", "verify")
    assert run.returncode != 0
    assert "of {}.test is trusted".format(*{*NAMES} - {name}) in run.said


@pytest.mark.parametrize("name", NAMES)
def test_calls_go_both_ways(federated: Domains, name: str) -> None:
    """With it every call is as the topology says, and no host was touched."""
    run = federated[name].play("site", *AT_ONCE)
    assert (run.returncode, run.changed) == (0, 0), run.said
    assert "DIFFERS" not in run.said


def test_revoked_at_home_is_refused_abroad(federated: Domains) -> None:
    """What east's CA takes back, west's services refuse: they read east's lists."""
    east, west = federated["east"], federated["west"]
    east.take_broker()
    told = east.knock(west)
    assert "401" in told
    assert "certificate" not in told
    revoked = east.play("revoke", "-e", "service=broker")
    assert revoked.returncode == 0, revoked.said
    until(lambda: "is revoked" in east.knock(west), PATIENCE)
    play(east, "--limit", "east-1", *EVERYTHING)
    run = east.play("site", *AT_ONCE, "--tags", "verify")
    assert run.returncode == 0, run.said


def test_offline_root_and_token_key_are_rotated_under_load(federated: Domains) -> None:
    """Two ceremonies, the rest by the same command; calls in both domains go on."""
    east, west = federated["east"], federated["west"]
    before = on_all(east, east.generations)
    with lab_load(east, CALLERS) as found:
        begun = east.play("rotate", "-e", "what=root", *AT_ONCE)
        assert "ceremony_needed" in begun.said
        request = east.carried(request_in(begun.said))
        taken = east.hold("second-root", UPDATE_ROOT, certify(request))
        assert taken["follows"]
        drained = east.play("rotate", "-e", "what=root", *AT_ONCE)
        assert "root: draining: 4 of 4 proved" in drained.said, drained.said
        assert "ceremony_needed" in drained.said
        west.learn(east.published())  # as its process would fetch it, in five minutes
        revocations = [
            {"type": "revoke", "serial": serial, "reason": "superseded"}
            for serial in serials_in(drained.said)
        ]
        east.hold("old-root", *revocations)
        run = east.play("rotate", "-e", "what=root", *AT_ONCE)
        assert run.returncode == 0, run.said
    found.check("offline root, issuing key in a token, two domains")
    assert "root: distrusting: 4 of 4 proved" in run.said
    after = check_served(east)
    assert not {*values(before)} & {*values(after)}
    references = east.ca(f"grep -l certbound-token-key {CA}/*.sealed").split()
    assert len(references) == len({"the old one's", "the new one's"})
    again = east.play("site", *AT_ONCE)
    assert (again.returncode, again.changed) == (0, 0), again.said


def values(found: dict[str, dict[str, str]]) -> list[str]:
    """Return all serials."""
    return [serial for host in found.values() for serial in host.values()]
