"""Where a lab keeps its files, and the one name by which all it makes is known.

Environment: `CERTBOUND_LAB_NAME` (two labs with two names do not meet),
`CERTBOUND_LAB_STATE` and `CERTBOUND_LAB_CACHE` (directories; XDG's places otherwise).
"""

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_NAME = "certbound-lab"
HERE = Path(__file__).parent
CONTROLLER_NETNS = Path("/run/netns")
CONTROLLER_ETC = Path("/etc/netns")


def _xdg(variable: str, otherwise: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / otherwise)


@dataclass(frozen=True)
class Places:
    """The paths of one lab."""

    name: str  # of its network namespace, its control group and its directories
    state: Path  # removed with the lab: disks, keys, logs
    cache: Path  # stays: the bases

    @classmethod
    def chosen(cls, name: str | None = None) -> "Places":
        """Return the places that the environment names, or the usual ones."""
        name = name or os.environ.get("CERTBOUND_LAB_NAME") or DEFAULT_NAME
        state = os.environ.get("CERTBOUND_LAB_STATE")
        cache = os.environ.get("CERTBOUND_LAB_CACHE")
        return cls(
            name=name,
            state=Path(state or _xdg("XDG_STATE_HOME", ".local/state")) / name,
            cache=Path(cache or _xdg("XDG_CACHE_HOME", ".cache") / DEFAULT_NAME),
        )

    @property
    def bases(self) -> Path:
        """Return where the Debian roots lie that hosts have in common."""
        return self.cache / "bases"

    @property
    def fleet(self) -> Path:
        """Return the record of what was booted."""
        return self.state / "fleet.yml"

    @property
    def key(self) -> Path:
        """Return the private SSH key that opens this lab's hosts, and nothing else."""
        return self.state / "id_ed25519"

    @property
    def ssh_config(self) -> Path:
        """Return the configuration with which ssh knows every host by name."""
        return self.state / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """Return the hosts' public keys."""
        return self.state / "known_hosts"

    @property
    def control(self) -> Path:
        """Return where Ansible's SSH masters have their sockets."""
        return self.state / "control"

    @property
    def inotify(self) -> Path:
        """Return the record of a kernel setting as it was before this lab."""
        return self.state / "inotify"

    @property
    def etc(self) -> Path:
        """Return what stands in for /etc inside the lab's network namespace."""
        return CONTROLLER_ETC / self.name

    def host(self, host: str) -> Path:
        """Return the directory of one host: its disk, its layer, its console."""
        return self.state / "hosts" / host
