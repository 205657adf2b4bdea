"""No moment exists in a rotation in which two honest parties distrust each other.

Parties stand in neighbouring phases, since one begins on the proof of the one before; a
rotation that is reversed asks for no proof, so up to draining any two may meet.
"""

import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from pki import clock
from pki.path import UntrustedPathError
from pki.report import pem
from pki.rotation_steps import Phase, What
from pki.trust import TrustBundle, verify_chain
from tests.pki.builders import Ca
from tests.pki.rotating import PHASES, Holding, Rotating

REVERSIBLE = PHASES[:4]


def meet(one: Phase, other: Phase) -> bool:
    """Return whether parties of these two phases may live at the same time."""
    if {one, other} <= set(REVERSIBLE):
        return True
    return abs(PHASES.index(one) - PHASES.index(other)) <= 1


@pytest.fixture(scope="module", params=list(What))
def held(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[Phase, Holding]:
    """Return what one host holds in each phase of a rotation."""
    ca = Ca.found(tmp_path_factory.mktemp("rotating") / "ca")
    rotating = Rotating(ca, request.param)
    rotating.begin()
    found = {}
    while rotating.phase:
        (found[rotating.phase],) = rotating.hold("orders@localhost")
        rotating.advance()
    (found[Phase.DONE],) = rotating.hold("orders@localhost")
    return found


def pairs(held: dict[Phase, Holding]) -> Iterator[tuple[Holding, Holding]]:
    """Yield each two that may meet: who presents, who judges."""
    for one, other in product(PHASES, repeat=2):
        if meet(one, other):
            yield held[one], held[other]


def bundle(judge: Holding) -> TrustBundle:
    """Return what a party trusts."""
    return TrustBundle("shop.internal", judge.standing.roots)


def openssl(presented: Holding, judge: Holding, place: Path) -> str:
    """Return what `openssl verify` says of one to the other."""
    files = {
        "bundle.pem": judge.standing.roots,
        "chain.pem": presented.chain[1:],
        "leaf.pem": presented.chain[:1],
    }
    for name, certificates in files.items():
        (place / name).write_text(pem(*certificates))
    asked = ["-CAfile", "bundle.pem", "-untrusted", "chain.pem", "leaf.pem"]
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", *asked],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_whoever_may_meet_trusts_each_other(held: dict[Phase, Holding]) -> None:
    """By our own path validation, whose bundle is which and whoever comes first."""
    met = 0
    for presented, judge in pairs(held):
        found = verify_chain(presented.chain, bundle(judge), now=clock.utc_now())
        assert found.certificate == presented.chain[0]
        met += 1
    assert met == 16 + 2 + 4


def test_openssl_agrees(held: dict[Phase, Holding], tmp_path: Path) -> None:
    """With its strict checks, which TLS does not make."""
    seen = set()
    for presented, judge in pairs(held):
        chain = (presented.chain[1:], judge.standing.roots)
        if chain not in seen:  # the leaves of one phase differ in nothing but the key
            seen.add(chain)
            assert openssl(presented, judge, tmp_path) == "leaf.pem: OK\n"


def test_whoever_trusts_the_new_root_alone_distrusts_the_old_chain(
    tmp_path: Path,
) -> None:
    """That is what the rotation is for, and it is not before the last phase."""
    rotating = Rotating(Ca.found(tmp_path / "ca"), What.ROOT)
    rotating.begin()
    (old,) = rotating.hold("orders@localhost")
    while rotating.phase is not Phase.DISTRUSTING:
        rotating.advance()
    (new,) = rotating.hold("orders@localhost")
    with pytest.raises(UntrustedPathError):
        verify_chain(old.chain, bundle(new), now=clock.utc_now())
    assert "unable to get" in openssl(old, new, tmp_path)
    verify_chain(new.chain, bundle(new), now=clock.utc_now())


def test_a_host_that_was_waived_is_trusted_and_trusts_while_the_old_signs_lists(
    tmp_path: Path,
) -> None:
    """It never got the new root: the cross certificate leads it there."""
    rotating = Rotating(Ca.found(tmp_path / "ca"), What.ROOT)
    rotating.begin()
    (late,) = rotating.hold("orders@localhost")
    while rotating.phase is not Phase.DRAINING:
        rotating.advance()
    (new,) = rotating.hold("orders@localhost")
    for presented, judge in ((late, new), (new, late)):
        verify_chain(presented.chain, bundle(judge), now=clock.utc_now())
        assert openssl(presented, judge, tmp_path) == "leaf.pem: OK\n"
    alone = new.chain[:2]
    with pytest.raises(UntrustedPathError):
        verify_chain(alone, bundle(late), now=clock.utc_now())
