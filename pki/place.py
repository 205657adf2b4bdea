"""Where a ledger is that is not a file of the CA's directory: a PostgreSQL by URL.

    postgresql://certbound@/ledger?host=/run/postgresql      on this host
    postgresql://certbound@db.internal/ledger?sslrootcert=/etc/certbound/db-ca.pem

`ledger.json` in the CA's directory says it, so that no verb needs to be told. The
database is for this one CA. A password is in a file of its own or in `~/.pgpass`, never
in the URL. To another host the connection is TLS, and the server's certificate must be
one for its name (`verify-full`), by the system's CAs if `sslrootcert` names no other.
"""

import json
import stat
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from pki.engine import LedgerError
from pki.storage import check_private, write_atomically

_OPTIONS = {"host", "sslrootcert", "sslcert", "sslkey"}


class PlaceError(LedgerError):
    """The document, its URL or its password says nowhere that a ledger can be."""

    code = "ledger_place"


class PlaceFixedError(PlaceError):
    """The CA has its ledger somewhere else already."""

    code = "ledger_elsewhere"


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    password_file: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A database, and where its password is."""

    url: str
    password_file: Path | None = None

    def parameters(self) -> dict[str, str]:
        """Return what libpq is told; its password among it, if it has a file.

        Raises:
            PlaceError: the URL names no database of a host, holds a password or an
                option of another kind, or the password's file is not private.
        """
        try:
            url = urlsplit(self.url)
            options = dict(parse_qsl(url.query, strict_parsing=bool(url.query)))
            port = url.port
        except ValueError:
            raise PlaceError("the ledger's URL cannot be read") from None
        _check(url, options)
        told = {"dbname": unquote(url.path[1:]), **options}
        if url.username:
            told["user"] = unquote(url.username)
        if port:
            told["port"] = str(port)
        if url.hostname:
            told["host"] = url.hostname
            if not _is_loopback(url.hostname):
                told = {"sslrootcert": "system", **told, "sslmode": "verify-full"}
        if self.password_file:
            told["password"] = _password(self.password_file)
        return told


def read(path: Path) -> Place:
    """Return what the document at `path` says.

    Raises:
        PlaceError: it says something else.
    """
    try:
        said = msgspec.json.decode(path.read_bytes(), type=_Document)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PlaceError(f"{path}: {error}") from error
    return Place(said.url, Path(said.password_file) if said.password_file else None)


def settle(path: Path, place: Place, *, check: bool = False) -> bool:
    """Write `place` to the document at `path`; return whether that changed it.

    With `check` nothing is written, and what would be refused is refused.

    The caller holds the CA's lock. A ledger that is somewhere stays there, only its
    password may move: else the same serial could be given twice.

    Raises:
        PlaceFixedError: there is one, in another database or in a file.
        PlaceError: see `Place.parameters`.
    """
    place.parameters()
    here = path.with_suffix(".sqlite")
    if here.exists():
        raise PlaceFixedError(
            f"the ledger is {here}: to move it, restore a backup in another directory"
        )
    present = read(path) if path.exists() else None
    if present and present.url != place.url:
        raise PlaceFixedError(
            f"the ledger is at {present.url}: to move it, restore a backup in another "
            "directory"
        )
    if present == place or check:
        return present != place
    said = {"url": place.url}
    if place.password_file:
        said["password_file"] = str(place.password_file.absolute())
    write_atomically(path, json.dumps(said, indent=2).encode() + b"\n")
    return True


def _check(url: SplitResult, options: dict[str, str]) -> None:
    if url.scheme != "postgresql":
        raise PlaceError(f"a ledger is in PostgreSQL, not in {url.scheme!r}")
    if url.password is not None:
        raise PlaceError("the ledger's password belongs into a file, not into its URL")
    refused = sorted(set(options) - _OPTIONS)
    if refused or url.fragment:
        raise PlaceError(f"not in a URL of a ledger: {refused or url.fragment}")
    if len(url.path) < len("/x") or "/" in url.path[1:]:
        raise PlaceError("the ledger's URL names no database")
    socket = options.get("host", "")
    if bool(url.hostname) == bool(socket) or (socket and not socket.startswith("/")):
        raise PlaceError("a host, or ?host= and the directory of a socket is expected")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _password(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PlaceError(f"{path} is no file")
        check_private(path)
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PlaceError(f"{path}: {type(error).__name__}") from None
    if not text or not text.isprintable():
        raise PlaceError(f"{path}: one line of text is needed")
    return text
