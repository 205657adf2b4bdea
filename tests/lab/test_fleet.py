"""The fleet's file: what it says, and one sentence for each thing wrong with it."""

from pathlib import Path

import pytest

from tests.lab.errors import LabError
from tests.lab.fleet import DEFAULT, read_fleet

GOOD = """
domain: shop.internal
network: 10.77.0.0/29
hosts:
  ca: {release: bookworm, address: 10.77.0.2, disk: 300M}
  orders-1: {release: trixie, address: 10.77.0.3, aliases: [orders.shop.internal]}
"""


def test_the_usual_fleet_is_mixed() -> None:
    """The topology's seven hosts run on both Debians, each with a disk of its own."""
    hosts = read_fleet(DEFAULT).hosts.values()
    assert len(hosts) == 7
    assert {host.release for host in hosts} == {"bookworm", "trixie"}
    assert all(host.disk for host in hosts)


def test_everybody_finds_everybody(tmp_path: Path) -> None:
    """A host's line in /etc/hosts has its full name, its name and its aliases."""
    fleet = read_fleet(_file(tmp_path, GOOD))
    lines = fleet.hosts_file().splitlines()
    assert "10.77.0.2 ca.shop.internal ca" in lines
    assert "10.77.0.3 orders-1.shop.internal orders-1 orders.shop.internal" in lines


def test_the_controller_has_the_first_address(tmp_path: Path) -> None:
    """No host can be given the controller's address."""
    assert read_fleet(_file(tmp_path, GOOD)).controller == "10.77.0.1/29"


def test_a_host_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Whoever mistypes a host is told which ones there are."""
    with pytest.raises(
        LabError, match="no host 'order-1' here; there are ca, orders-1"
    ):
        read_fleet(_file(tmp_path, GOOD)).host("order-1")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("bookworm", "sid", "ca: release is one of bookworm, trixie"),
        ("10.77.0.2", "10.78.0.2", "ca: address 10.78.0.2 is not free"),
        ("10.77.0.2", "10.77.0.1", "ca: address 10.77.0.1 is not free"),
        ("10.77.0.2", "10.77.0.3", "two of them have the same address"),
        ("10.77.0.2", "here", "Expected 4 octets in 'here'"),
        ("300M", "much", "ca: disk is a size such as 300M or 2G"),
        ("disk", "disc", "ca: unknown key disc"),
        (
            "orders-1:",
            "orders-number-1:",
            "orders-number-1: a-z, 0-9 and -, at most 13",
        ),
        ("domain", "domane", "'domain'"),
        ("{release: bookworm", "[release: bookworm", "while parsing"),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, right: str, wrong: str, said: str
) -> None:
    """A mistake is answered with the file and what is wrong in it."""
    file = _file(tmp_path, GOOD.replace(right, wrong, 1))
    with pytest.raises(LabError) as refused:
        read_fleet(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert said in str(refused.value)


def _file(directory: Path, text: str) -> Path:
    file = directory / "fleet.yml"
    file.write_text(text)
    return file
