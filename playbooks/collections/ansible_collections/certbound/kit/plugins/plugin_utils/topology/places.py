"""Where a roll-out lies on a host, and which user of the system its parts belong to.

Made by the inventory plugin, read by all that is derived. Nothing here touches a disk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from .model import ENROLMENT

CA = "ca"
_LONGEST_USER = 31
_CREDENTIALS = PurePosixPath("/run/credentials")


@dataclass(frozen=True)
class Places:
    """Where a roll-out lies on a host (absolute), and what paths are relative to.

    With `own_users`, each instance belongs to a user of the system made for it.
    """

    project: PurePosixPath
    root: PurePosixPath
    own_users: bool = False

    def owner(self, name: str) -> str | None:
        """Return the user that the instances of `name` belong to."""
        return account_of(name) if self.own_users else None

    @property
    def authority(self) -> PurePosixPath:
        """Return the directory of the CA on its host."""
        return self.root / "ca"

    def instance(self, name: str) -> PurePosixPath:
        """Return the directory of one instance on its host."""
        return self.root / "services" / name

    def current(self, name: str) -> PurePosixPath:
        """Return the directory of an instance's identity, as it is today."""
        return self.instance(name) / "identity" / "current"

    def state(self, name: str) -> PurePosixPath:
        """Return the directory of what an instance makes itself."""
        return self.instance(name) / "state"

    def secret(self, name: str, secret: str) -> PurePosixPath:
        """Return where a process finds a secret: with systemd, or beside its own."""
        if self.own_users:
            return _CREDENTIALS / f"certbound-{name}.service" / secret
        return self.instance(name) / secret

    def relative(self, path: PurePosixPath) -> str:
        """Return `path` as seen from the project, or whole if it lies elsewhere."""
        try:
            return str(path.relative_to(self.project))
        except ValueError:
            return str(path)


def account_of(name: str) -> str:
    """Return the user that `name` runs as: the CA's front is the CA's."""
    return user_of(CA if name == ENROLMENT else name)


def user_of(name: str) -> str:
    """Return the name of an instance's user; Linux allows 32 characters."""
    user = f"certbound-{name}"
    if len(user) <= _LONGEST_USER:
        return user
    return f"certbound-{name[:12]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
