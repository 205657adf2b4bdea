"""Do a piece of work as the user it belongs to.

Where each instance has a user of its own, modules run as root, and root must not walk
through a directory that somebody else may rearrange. So root becomes that user for as
long as it works there, and all that is made is that user's from the first moment.
"""

from __future__ import annotations

import os
import pwd
from contextlib import contextmanager
from typing import Iterator


class NoSuchUserError(Exception):
    """The user that files shall belong to is not there."""


@contextmanager
def acting_as(owner: str | None, *, check: bool = False) -> Iterator[None]:
    """Be `owner` within the block; nobody named means to stay who one is.

    In check mode the user may not be there yet, and neither is what it owns.

    Raises:
        NoSuchUserError: there is no such user.
    """
    entry = _entry(owner, check=check) if owner else None
    if entry is None or entry.pw_uid == os.geteuid():
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _entry(owner: str, *, check: bool) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(owner)
    except KeyError:
        if check:
            return None
        raise NoSuchUserError(f"there is no user {owner}") from None
