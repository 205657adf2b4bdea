"""The mirror: what apt lists of this machine's sources becomes another release's."""

import pytest

from tests.lab.errors import LabError
from tests.lab.mirror import for_release

LISTED = """\
Debian bookworm http://mirror.example/debian/ main
Debian bookworm http://mirror.example/debian/ contrib
Debian bookworm-updates http://mirror.example/debian/ main
Debian bookworm-security http://mirror.example/security/ main
Debian bookworm-backports http://mirror.example/debian/ main
Elsewhere stable http://other.example/apt/ main
"""


def test_another_release_comes_from_the_same_mirror() -> None:
    """The release is exchanged; its updates and fixes come, nothing else does."""
    assert for_release("trixie", LISTED) == [
        "deb http://mirror.example/debian/ trixie main",
        "deb http://mirror.example/debian/ trixie-updates main",
        "deb http://mirror.example/security/ trixie-security main",
    ]


def test_a_machine_without_debian_is_told_so() -> None:
    """Where apt has no Debian, nothing is guessed."""
    with pytest.raises(LabError, match="no Debian mirror"):
        for_release("trixie", "Elsewhere stable http://other.example/apt/ main\n")
