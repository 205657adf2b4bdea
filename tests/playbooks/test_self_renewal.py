"""After one roll-out with `ca.port`, certificates are renewed and no play runs.

Lives are the shortest there are, ten minutes, five of which lie in the past: so the
first renewal is due within a hundred seconds, by the real clock.
"""

from collections.abc import Iterator

import pytest

from tests.playbooks.rolling import Rolling, free_ports
from tests.services.mesh import until

pytestmark = pytest.mark.rollout

_LONGEST = 150.0  # seconds: from half to two thirds of ten minutes, on a busy machine


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolling]:
    """Return a place whose topology has a front of the CA, and short lives."""
    rolling = Rolling(tmp_path_factory.mktemp("front"))
    text = rolling.topology.read_text()
    for before, after in (
        ("ca:\n  host: localhost\n", f"ca: {{host: localhost, port: {_port()}}}\n"),
        ("certificate: 24h", "certificate: 10m"),
        ("renew_before: 8h", "renew_before: 1m"),
    ):
        assert before in text
        text = text.replace(before, after)
    rolling.topology.write_text(text)
    yield rolling
    rolling.play("down")
    rolling.ours.stop(10)


def _port() -> int:
    (port,) = free_ports(1)
    return port


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
    logs = "".join(path.read_text() for path in (rolling.root / "log").glob("*.log"))
    assert logs.count('"renewal.done"') >= len(serials)
    assert '"renewal.failed"' not in logs
    assert rolling.processes() == processes
