"""A real PostgreSQL for tests, on a socket in a directory of its own.

    with PostgresServer.started() as server:
        server.settle(directory / "ledger.json")

Debian's package is installed if it is missing and we are root; where that cannot be,
`find_binaries` skips the test and says why. The server asks for a password.
"""

import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self

import psycopg
import pytest

from tests import debian

_OWNER = "postgres"  # the server refuses to run as root
_PLACES = Path("/usr/lib/postgresql")


@cache
def find_binaries() -> Path:
    """Return the directory of `initdb` and `postgres`, or skip the test."""
    path = ":".join(map(str, sorted(_PLACES.glob("*/bin"), reverse=True)))
    found = debian.program("initdb", "postgresql", path=path, serves=True)
    if found is None:  # only now there may be such a directory
        path = ":".join(map(str, _PLACES.glob("*/bin")))
        found = shutil.which("initdb", path=path)
    if found is None:
        pytest.skip("no PostgreSQL, and it cannot be installed")
    return Path(found).parent


class PostgresServer:
    """A server in a directory; its data outlive a restart."""

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        self.directory = directory
        self.password = directory / "password"
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    @contextmanager
    def started(cls, *options: str) -> Iterator[Self]:
        """Run a server whose directory has a name that a socket can bear."""
        with tempfile.TemporaryDirectory(prefix="postgres-") as directory:
            server = cls(Path(directory), options)
            server.make()
            server.start()
            try:
                yield server
            finally:
                server.kill()

    def make(self) -> None:
        """Make its data, and the password it asks for."""
        self.password.write_text(secrets.token_hex(16) + "\n")
        self.password.chmod(0o600)
        if os.geteuid() == 0:
            owner = pwd.getpwnam(_OWNER)
            for path in (self.directory, self.password):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        subprocess.run(
            self._command(
                *("initdb", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"),
                *("--username=certbound", "--auth=scram-sha-256"),
                *("--pwfile", str(self.password), "--pgdata", str(self._data)),
            ),
            check=True,
            capture_output=True,
            cwd="/",
        )

    def start(self) -> None:
        """Start it, and return once it takes connections."""
        where = ("-D", str(self._data), "-k", str(self.directory), "-h", "")
        self._process = subprocess.Popen(
            self._command("postgres", *where, *self._options),
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        assert self._process.stderr
        said = []
        for line in self._process.stderr:
            said.append(line)
            if "ready to accept connections" in line:
                return
        pytest.fail(f"postgres ended: {''.join(said)}")

    def kill(self) -> None:
        """End it at once, as a crash would, and those that it started."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.communicate()
            self._process = None

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://certbound@/{database}?host={self.directory}"

    def settle(self, path: Path, database: str = "ledger") -> Path:
        """Write to `path` that the ledger is in a database here, and empty that."""
        with self.connect("postgres") as connection:
            known = "SELECT 1 FROM pg_database WHERE datname = %s"
            if not connection.execute(known, [database]).fetchone():
                connection.execute(f"CREATE DATABASE {database}")
        with self.connect(database) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        said = {"url": self.url(database), "password_file": str(self.password)}
        path.write_text(json.dumps(said))
        path.chmod(0o600)
        return path

    def connect(self, database: str) -> psycopg.Connection:
        """Connect as someone does who may write all."""
        return psycopg.connect(
            host=str(self.directory),
            dbname=database,
            user="certbound",
            password=self.password.read_text().strip(),
            autocommit=True,
        )

    def connect_to(self, place: Path) -> psycopg.Connection:
        """Connect to the database that the document at `place` names."""
        url: str = json.loads(place.read_text())["url"]
        return self.connect(url.partition("?")[0].rpartition("/")[2])

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(find_binaries() / program), *arguments]
        if os.geteuid() != 0:
            return command
        who = (f"--reuid={_OWNER}", f"--regid={_OWNER}", "--init-groups")
        return ["setpriv", *who, *command]
