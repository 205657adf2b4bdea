"""After one roll-out with `ca.port`, certificates are renewed and no play runs.

Lives are the shortest there are, ten minutes and a second, five of which lie in the
past: so the first renewal is due within a hundred seconds, by the real clock.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.playbooks.rolling import Rolling
from tests.services.mesh import until

pytestmark = pytest.mark.rollout

_FRONT = "enrolment@localhost"
_LONGEST = 150.0  # seconds: from half to two thirds of ten minutes, on a busy machine


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolling]:
    """Return a place whose topology has a front of the CA, and short lives."""
    rolling = Rolling(tmp_path_factory.mktemp("front"))
    text = rolling.topology.read_text()
    for before, after in (
        ("certificate: 24h", "certificate: 601s"),
        ("renew_before: 8h", "renew_before: 1m"),
    ):
        assert before in text
        text = text.replace(before, after)
    rolling.topology.write_text(text)
    yield rolling
    rolling.play("down")
    rolling.ours.stop(10)


def _told(rolling: Rolling) -> list[dict[str, Any]]:
    """Return the events of all processes; the supervisor's lines are no JSON."""
    logs = (rolling.root / "log").glob("*.log")
    lines = [line for log in logs for line in log.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_every_identity_renews_itself(rolling: Rolling) -> None:
    """No process is started anew for it, and a further play finds nothing to do."""
    # Not the drill: what it steals is bound to certificates of a minute ago.
    first = rolling.play("site", "--skip-tags", "verify,drill")
    assert first.returncode == 0, first.said
    serials, processes = rolling.serials(), rolling.processes()
    assert len(serials) == 6

    def renewed() -> bool:
        now = rolling.serials()
        return all(now[name] != serials[name] for name in serials)

    until(renewed, _LONGEST)
    assert rolling.processes() == processes
    again = rolling.play("site", "--skip-tags", "verify,drill")
    assert (again.returncode, again.changed) == (0, 0), again.said
    told = _told(rolling)
    assert sum(line["event"] == "renewal.done" for line in told) >= len(serials)
    # With such a life the first is due at once, and may find nobody at the CA's yet.
    front = min(line["ts"] for line in told if line.get("instance") == _FRONT)
    failed = [line for line in told if line["event"] == "renewal.failed"]
    assert [line for line in failed if line["ts"] > front] == []
    assert rolling.processes() == processes
