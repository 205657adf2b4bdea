"""The Debian mirror that this machine uses itself, asked of apt.

No mirror's address stands in this project: wherever the lab is built, it is built from
the sources that whoever runs the machine has configured.
"""

from tests.lab import command
from tests.lab.errors import LabError

_FIELDS = "$(ORIGIN) $(CODENAME) $(REPO_URI) $(COMPONENT)"


def sources(release: str) -> list[str]:
    """Return apt's source lines for a Debian release, from this machine's mirror.

    Raises:
        LabError: this machine gets no packages from Debian.
    """
    listed = command.run(
        "apt-get", "indextargets", "--format", _FIELDS, "Created-By: Packages"
    )
    return for_release(release, listed)


def for_release(release: str, listed: str) -> list[str]:
    """Return source lines for `release`, given apt's list of where packages come from.

    Updates and security fixes are in the list if this machine gets its own; backports
    and the like are left out.
    """
    lines = []
    for line in listed.splitlines():
        origin, codename, uri, component = line.split()
        _, _, pocket = codename.partition("-")
        if origin == "Debian" and component == "main" and pocket in _POCKETS:
            suite = f"{release}-{pocket}" if pocket else release
            lines.append(f"deb {uri} {suite} main")
    if not lines:
        raise LabError(
            "apt knows no Debian mirror on this machine (is it a Debian, and has "
            "`apt-get update` been run?)"
        )
    return sorted(set(lines), key=len)


_POCKETS = {"", "updates", "security"}
