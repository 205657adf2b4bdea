"""One URL chooses where the shared state stands.

    sqlite:///absolute/path, or the path alone     all processes of one host
    unix:///path/to/socket?db=0                    Redis on this host
    redis://127.0.0.1:6379/0                       the same, over loopback
    rediss://name:password@host:6379/0             Redis elsewhere, over TLS

Whatever builds a token service or a guard calls this with what its configuration says.
The one option beside `db` is `ssl_ca_certs`, the file of the CA that a `rediss://`
server's certificate must come from; without it, those the system trusts. The client's
other options are refused, since some of them switch its checks off. So is `redis://` to
another host: who can write on that wire can take a revocation back.
"""

from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pki.clock import utc_now
from services.errors import ServiceError
from services.state.password import read_password
from services.state.sqlite import SqliteStore
from services.state.store import Store

_OPTIONS = {
    "unix": {"db"},
    "redis": {"db"},
    "rediss": {"db", "ssl_ca_certs"},
}


class StateUrlError(ServiceError):
    """The text says nowhere that state can stand; the message tells no password."""


def open_store(
    where: str | Path,
    *,
    scope: str,
    clock: Callable[[], datetime] = utc_now,
    password: Path | None = None,
) -> Store:
    """Return the store at `where`; its first operation opens it.

    Args:
        where: a URL as above, or an absolute path.
        scope: the issuer whose state it is; stores of one scope share everything.
        clock: the present moment.
        password: a file with the password for Redis, where the URL holds none.

    Raises:
        StateUrlError: `where` is neither, or has no use for a password.
        StatePasswordError: the file cannot be used.
    """
    text = str(where)
    if password is not None and text.startswith(("/", "sqlite:")):
        raise StateUrlError("a password is for Redis, and not for sqlite")
    if text.startswith("/"):
        return SqliteStore(Path(text), scope=scope, clock=clock)
    try:
        url = urlsplit(text)
        url.port  # noqa: B018 - reading it checks it
        options = set(parse_qs(url.query, strict_parsing=True)) if url.query else set()
    except ValueError:
        raise StateUrlError("the state's URL cannot be read") from None
    if url.scheme == "sqlite":
        return SqliteStore(_sqlite_path(url), scope=scope, clock=clock)
    _check_redis(url, options)
    if password is not None and url.password is not None:
        raise StateUrlError("one password is in the URL, another in a file")
    # The client of Redis takes longer to load than the rest of a process together.
    from services.state.redis import RedisStore  # noqa: PLC0415

    secret = None if password is None else read_password(password)
    return RedisStore(text, scope=scope, clock=clock, password=secret)


def _sqlite_path(url: SplitResult) -> Path:
    if url.netloc or url.query or url.fragment or not url.path.startswith("/"):
        raise StateUrlError("expected sqlite:///absolute/path")
    return Path(unquote(url.path))


def _check_redis(url: SplitResult, options: set[str]) -> None:
    if url.scheme not in _OPTIONS:
        raise StateUrlError(f"state stands in sqlite or Redis, not in {url.scheme!r}")
    refused = options - _OPTIONS[url.scheme]
    if refused or url.fragment:
        raise StateUrlError(f"not in a {url.scheme} URL of ours: {sorted(refused)}")
    if url.scheme == "unix":
        if url.hostname or not url.path.startswith("/"):
            raise StateUrlError("expected unix:///absolute/path")
    elif not url.hostname:
        raise StateUrlError(f"the {url.scheme} URL names no host")
    if url.scheme == "redis" and not _is_loopback(url.hostname or ""):
        raise StateUrlError("redis:// is for loopback; to other hosts use rediss://")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
