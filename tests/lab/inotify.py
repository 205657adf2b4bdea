"""One kernel setting that many hosts need raised, and that is put back.

Each booted systemd watches files with some seven inotify instances, all counted as
root's; the usual limit of 128 is met at about 18 hosts.
"""

from pathlib import Path

from tests.lab.places import Places

_SETTING = Path("/proc/sys/fs/inotify/max_user_instances")
_PER_HOST = 8
_FOR_OTHERS = 64


def raise_limit(places: Places, hosts: int) -> None:
    """Make room for so many hosts, and remember what was there before."""
    before, wanted = int(_SETTING.read_text()), _PER_HOST * hosts + _FOR_OTHERS
    if before < wanted:
        if not places.inotify.exists():
            places.inotify.write_text(f"{before}\n")
        _SETTING.write_text(f"{wanted}\n")


def put_back(places: Places) -> None:
    """Set the limit to what it was, if it was raised."""
    if places.inotify.exists():
        _SETTING.write_text(places.inotify.read_text())
