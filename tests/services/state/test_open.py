"""Tests of `services.state.open`: where state may stand, and in which words."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.state.open import StateUrlError, open_store
from services.state.redis import RedisStore
from services.state.sqlite import SqliteStore

SCOPE = "https://localhost:8440"


@pytest.mark.parametrize(
    "where",
    ["/var/state.sqlite", Path("/var/state.sqlite"), "sqlite:///var/state.sqlite"],
    ids=["path as text", "path", "url"],
)
def test_a_path_is_a_sqlite_file(where: str | Path) -> None:
    """A path and a `sqlite` URL name the same file."""
    store = open_store(where, scope=SCOPE)
    assert isinstance(store, SqliteStore)
    assert store._path == Path("/var/state.sqlite")


def test_a_url_may_quote() -> None:
    """A space in a path is written as URLs write it."""
    store = open_store("sqlite:///var/the%20state", scope=SCOPE)
    assert isinstance(store, SqliteStore)
    assert store._path == Path("/var/the state")


@pytest.mark.parametrize(
    "url",
    [
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=1",
        "redis://localhost",
        "redis://127.0.0.2:6380/1",
        "redis://[::1]:6380",
        "redis://:hunter2@127.0.0.1",
        "rediss://redis.shop.internal",
        "rediss://name:hunter2@redis.shop.internal:6380/3?ssl_ca_certs=/etc/ca.pem",
    ],
)
def test_redis_has_a_url(url: str) -> None:
    """Redis is reached by socket, by loopback, or by TLS; nothing is touched yet."""
    assert isinstance(open_store(url, scope=SCOPE), RedisStore)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "not in ''"),
        ("state.sqlite", "not in ''"),
        ("sqlite:state.sqlite", "sqlite:///absolute/path"),
        ("sqlite://host/state.sqlite", "sqlite:///absolute/path"),
        ("sqlite:///state.sqlite?mode=memory", "sqlite:///absolute/path"),
        ("sqlite:///state.sqlite#1", "sqlite:///absolute/path"),
        ("sqlite://", "sqlite:///absolute/path"),
        ("postgresql://localhost/state", "not in 'postgresql'"),
        ("unix://host/redis.sock", "unix:///absolute/path"),
        ("unix://", "unix:///absolute/path"),
        ("redis:///0", "names no host"),
        ("rediss://", "names no host"),
        ("redis://:hunter2@redis.shop.internal:6379", "use rediss://"),
        ("redis://10.0.0.1", "use rediss://"),
        ("redis://localhost.evil.example", "use rediss://"),
        ("rediss://:hunter2@host:port", "cannot be read"),
        ("rediss://:hunter2@[::1", "cannot be read"),
        ("rediss://host?db", "cannot be read"),
        ("rediss://:hunter2@host#1", "not in a rediss URL"),
        ("rediss://host?ssl_cert_reqs=none", "'ssl_cert_reqs'"),
        ("rediss://host?ssl_check_hostname=no", "'ssl_check_hostname'"),
        ("rediss://host?socket_timeout=900", "'socket_timeout'"),
        ("redis://localhost?ssl_ca_certs=/etc/ca.pem", "'ssl_ca_certs'"),
    ],
)
def test_anything_else_is_refused(url: str, reason: str) -> None:
    """A place we do not know, and an option that could weaken a check, is a mistake."""
    with pytest.raises(StateUrlError, match=reason) as refusal:
        open_store(url, scope=SCOPE)
    assert "hunter2" not in str(refusal.value)


def test_a_process_with_sqlite_never_loads_redis() -> None:
    """Whoever uses SQLite does not wait for another backend's client to load."""
    script = (
        "import sys\nfrom services.state.open import open_store\n"
        "open_store('/var/state.sqlite', scope='s')\nprint('redis' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
