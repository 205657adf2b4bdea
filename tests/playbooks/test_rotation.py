"""Keys and certificates are replaced under load, by real plays, and no request fails.

All of it in a directory and on ports of its own, with processes under a process manager
of its own. Tokens live for a few seconds, so that new ones are asked for all the time.
"""

from collections.abc import Iterator

import pytest

from tests.playbooks.loading import Load, load
from tests.playbooks.rolling import Rolling, Run

pytestmark = [pytest.mark.rollout, pytest.mark.rotation]

FEWEST = 300  # requests under which a rotation proves little


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolling]:
    """Return a place where the sample topology has been rolled out."""
    rolling = Rolling(tmp_path_factory.mktemp("rotation"))
    text = rolling.topology.read_text()
    assert "  token: 5m\n" in text
    rolling.topology.write_text(text.replace("  token: 5m\n", "  token: 5s\n"))
    try:
        run = rolling.play("site", "--skip-tags", "verify,drill")
        assert run.returncode == 0, run.said
        yield rolling
    finally:
        rolling.play("down")
        rolling.ours.stop(10)


def rotate(rolling: Rolling, what: str, *arguments: str) -> Run:
    """Replace something."""
    return rolling.play("rotate", "-e", f"what={what}", *arguments)


def check(found: Load) -> None:
    """See that enough was asked for, and all of it was answered."""
    assert found.failures == {}
    assert found.requests > FEWEST


def test_signing_keys_are_replaced_under_load(rolling: Rolling) -> None:
    """Published, known to every process, then used; once more, it changes nothing."""
    with load(rolling) as found:
        first = rotate(rolling, "signing_keys", "-e", "again=true")
        assert (first.returncode, first.changed) == (0, 2), first.said
        assert "signing keys: published: 5 of 5 proved" in first.said
        second = rotate(rolling, "signing_keys")
        assert (second.returncode, second.changed) == (0, 0), second.said
    check(found)
    issued = (rolling.root / "log" / "token-service.log").read_text()
    assert issued.count('"signing_key.retired"') == 1
