"""Where a PKCS#11 token is, and what is raised if it cannot be used."""

from dataclasses import dataclass
from pathlib import Path

from pki.errors import PkiError


class TokenError(PkiError):
    """A key in a token cannot be made or used."""

    code = "token_refused"


class NoLibraryError(TokenError):
    """This installation has no library for tokens."""

    code = "no_token_library"


@dataclass(frozen=True, slots=True)
class Place:
    """A token: the module that leads to it, and its label (and serial, if known)."""

    module: Path
    label: str
    serial: str | None = None  # printable, as the token says it
