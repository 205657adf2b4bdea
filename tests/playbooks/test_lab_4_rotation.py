"""Rotation on real hosts: under load, killed in the middle, with a host down, and back.

A host's certificates are looked at from outside: what every port presents is what lies
on its host, and whose it is.
"""

import re

import pytest

from tests.playbooks.lab_day import AT_ONCE, check_served
from tests.playbooks.lab_rolling import LabRolling
from tests.playbooks.loading import lab_load
from tests.playbooks.rolling import Run

pytest_plugins = ["tests.playbooks.lab_fixtures"]
pytestmark = [pytest.mark.lab, pytest.mark.rollout, pytest.mark.rotation]

QUICK = (*AT_ONCE, "--skip-tags", "verify,drill")
# The task that begins, or what is said after that, when Ansible is killed.
MOMENTS = (
    ("Sign all requests at once", ""),
    ("Install certificates and configurations", "changed: ["),
)
_KEY = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2}){15,}")  # an identifier
EVERYBODY = 8  # identities: two of the token service, two of orders, the CA's front


@pytest.fixture(scope="module")
def ready(lab_rolling: LabRolling) -> LabRolling:
    """Return a lab where the topology has been rolled out."""
    text = lab_rolling.topology.read_text()
    assert "shards: 2 }" in text
    # As in `test_rotation`: what a busy machine makes all refuse is another matter.
    text = text.replace("shards: 2 }", "shards: 2, bound: 30s }")
    lab_rolling.topology.write_text(text)
    run = lab_rolling.play("site", *QUICK)
    assert run.returncode == 0, run.said
    return lab_rolling


def rotate(rolling: LabRolling, what: str, *arguments: str) -> Run:
    """Replace something."""
    return rolling.play("rotate", "-e", f"what={what}", *AT_ONCE, *arguments)


def issuers(rolling: LabRolling) -> set[str]:
    """Return who has signed what lies on the hosts: key identifiers."""
    shown = (
        "sudo sh -c 'for i in /var/lib/certbound/services/*/identity/current; do"
        " openssl x509 -in $i/certificate.pem -noout -ext authorityKeyIdentifier; done'"
    )
    told = [rolling.lab.ssh.run(host, shown) for host in rolling.instances()]
    return {found for text in told for found in _KEY.findall(text)}


def test_root_and_signing_keys_are_replaced_under_load(ready: LabRolling) -> None:
    """Root, issuing CA, every certificate and every signing key, and no request fails.

    The controller is killed at two tasks on the way, and the same command goes on.
    """
    before = issuers(ready)
    with lab_load(ready) as found:
        keys = rotate(ready, "signing_keys", "-e", "again=true")
        assert (keys.returncode, keys.changed) == (0, 4), keys.said
        for task, said in MOMENTS:
            ready.kill_at(
                task, "-e", "what=root", *AT_ONCE, after=said, playbook="rotate"
            )
        run = rotate(ready, "root")
        assert run.returncode == 0, run.said
    found.check("root, issuing CA, certificates, signing keys in the lab")
    assert f"root: distrusting: {EVERYBODY} of {EVERYBODY} proved" in run.said
    check_served(ready)
    after = issuers(ready)
    assert (len(after), after & before) == (1, set())
    again = rotate(ready, "root")
    assert (again.returncode, again.changed) == (0, 0), again.said


def test_a_host_that_is_down_holds_it_up_until_it_is_waived(ready: LabRolling) -> None:
    """It is named; without it the others go on; back again, it joins them."""
    ready.lab.ssh.hang_up()
    ready.lab.network.unplug("orders-2")
    try:
        held = rotate(ready, "issuing")
        assert held.returncode != 0
        assert "laggards: orders@orders-2: nothing is known of it" in held.said
        waiver = '{"waivers": {"orders@orders-2": "its disk died"}}'
        gone_on = rotate(ready, "issuing", "-e", waiver)
        assert "waived: orders@orders-2 (its disk died)" in gone_on.said
        assert "issuing: distrusting: 7 of 8 proved" in gone_on.said
    finally:
        ready.lab.network.plug("orders-2")
    assert len(issuers(ready)) == len({"the old one's", "the new one's"})
    run = ready.play("site", *QUICK)
    assert run.returncode == 0, run.said
    assert len(issuers(ready)) == 1
    check_served(ready)


def test_it_can_go_back_until_the_old_is_distrusted(ready: LabRolling) -> None:
    """Interrupted while hosts switch, everybody returns to the issuing CA of before."""
    before = issuers(ready)
    task, said = MOMENTS[1]
    asked = ("-e", "what=issuing", "-e", "again=true", *AT_ONCE)
    ready.kill_at(task, *asked, after=said, playbook="rotate")
    assert issuers(ready) != before
    run = rotate(ready, "issuing", "-e", "reverse=true")
    assert run.returncode == 0, run.said
    assert issuers(ready) == before
    check_served(ready)
    again = ready.play("site", *QUICK)
    assert (again.returncode, again.changed) == (0, 0), again.said
