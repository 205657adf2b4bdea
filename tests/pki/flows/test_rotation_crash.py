"""A rotation killed wherever something lasts: the CA goes on, and so does it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pki.inspection import inspect
from pki.laggards import Proof
from pki.ledger import open_ledger
from pki.rotation_steps import Phase, What
from tests.pki.builders import Ca, csr, policy
from tests.pki.rotating import PHASES, Rotating


def killed(place: Path, ca: Ca, act: dict[str, object]) -> list[Ca]:
    """Return copies of a CA in which a verb was killed ever later, the last one not."""
    place.mkdir()
    shutil.copytree(ca.layout.directory, place / "0")
    (place / "act.json").write_bytes(msgspec.json.encode(act))
    subprocess.run(
        [sys.executable, "-m", "tests.pki.killing_rotation", str(place)],
        check=True,
        timeout=120,
    )
    copies = sorted(int(path.name) for path in place.iterdir() if path.is_dir())
    return [Ca.at(place / str(number)) for number in copies[1:]]


def check_whole(ca: Ca) -> None:
    """Check that nothing is missing, and that nothing was signed unplanned."""
    assert inspect(ca.layout, policy()).missing == ()
    with open_ledger(ca.layout.ledger) as ledger:
        ledger.verify()
        entries = list(ledger.entries())
    planned = {one.serial for one in entries if one.event == "planned"}
    assert {one.serial for one in entries if one.event == "issued"} <= planned


def check_goes_on(ca: Ca) -> None:
    """Check that it issues at once, before anything is healed."""
    (answer,) = ca.issue(("orders@localhost", csr())).answers
    assert answer.certificate, answer.refusal


@pytest.mark.parametrize("what", [What.ISSUING, What.ROOT])
def test_a_beginning_that_is_killed_is_begun_again(
    ca: Ca, tmp_path: Path, what: What
) -> None:
    """With the key and the certificates that were made; no key is left over."""
    copies = killed(tmp_path / "killed", ca, {"verb": "begin", "what": what})
    assert len(copies) >= (20 if what is What.ROOT else 10)
    phases = set()
    for copy in copies:
        rotating = Rotating(copy, what)
        phases.add(rotating.phase)
        check_goes_on(copy)
        rotating.begin()
        assert rotating.phase is Phase.PREPARED
        assert len(copy.layout.later_keys("issuing")) == 1
        assert len(copy.layout.later_keys("root")) == (what is What.ROOT)
        check_whole(copy)
    assert phases == {None, Phase.PREPARING, Phase.PREPARED}
    Rotating(copies[len(copies) // 2], what).to(Phase.DONE)


@pytest.mark.parametrize("phase", PHASES[:5])
def test_a_phase_begins_or_does_not(ca: Ca, tmp_path: Path, phase: Phase) -> None:
    """Killed at any moment, the rotation stands here or there, and goes on."""
    rotating = Rotating(ca, What.ROOT).to(phase)
    proof = Proof([one.evidence for one in rotating.everyone()])
    following = PHASES[PHASES.index(phase) + 1]
    act = {"verb": "advance", "proof": json.loads(msgspec.json.encode(proof))}
    seen = set()
    for copy in killed(tmp_path / "killed", ca, act):
        mine = Rotating(copy, What.ROOT)
        stands = mine.standing.steps[-1].phase
        seen.add(stands)
        check_goes_on(copy)
        if stands is phase:
            mine.advance()
        elif stands is not Phase.DONE:
            mine.begin()
        else:
            copy.complete()
        assert mine.standing.steps[-1].phase is following
        check_whole(copy)
    assert seen == {phase, following}


@pytest.mark.parametrize("phase", PHASES[:4])
def test_a_way_back_is_gone_or_is_not(ca: Ca, tmp_path: Path, phase: Phase) -> None:
    """The same, backwards."""
    Rotating(ca, What.ROOT).to(phase)
    before = [Phase.REVERSED, *PHASES][PHASES.index(phase)]
    seen = set()
    for copy in killed(tmp_path / "killed", ca, {"verb": "reverse"}):
        mine = Rotating(copy, What.ROOT)
        stands = mine.standing.steps[-1].phase
        seen.add(stands)
        check_goes_on(copy)
        if stands is phase:
            mine.reverse()
        copy.complete()
        assert mine.standing.steps[-1].phase is before
        check_whole(copy)
    assert seen == {phase, before}
