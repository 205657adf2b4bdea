"""A guard's judgement of requests that a test puts together, one fault in each.

door = Door(mesh, directory)
door.ask(door.token())                           # let in
door.refuses(SignatureError, spoilt)
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from services.errors import ServiceError
from services.guard.grant import Grant
from services.guard.judgement import Case, judge
from services.guard.remembered import Remembered
from services.guard.revocations import RevocationList, VoidTokens
from services.guard.workload import Workload, read_service_config
from services.proof.access_token import Opened
from services.proof.jws import UnverifiedToken
from services.proof.key_set import RemoteKeySet
from services.proof.opened import OpenedTokens
from services.watched import Watched, file_stamp
from services.wire.generation import thumbprint
from tests.services.documents import service_document, write
from tests.services.mesh import Leaf, Mesh, now
from tests.services.peers import scope_of
from tests.services.tokens import Signer, claims


class Counted(OpenedTokens):
    """What opens tokens in a guard, and counts how often it is asked."""

    asked = 0

    def open(self, token: UnverifiedToken, key: ECKey) -> Opened:
        """Open it."""
        self.asked += 1
        return super().open(token, key)


class Door:
    """A guard's judgement, of requests that its test puts together."""

    def __init__(self, mesh: Mesh, directory: Path, at_most: int = 10) -> None:
        self.mesh, self.directory = mesh, directory
        self.start = self.now = now()
        self.seconds = 0.0
        self.signer = Signer()
        self.void: frozenset[str] = frozenset()
        self.storefront = mesh.issue("storefront")
        self._write()
        path = directory / "config.json"
        config = Watched(
            lambda: read_service_config(path),
            file_stamp(path),
            name="config",
            monotonic=lambda: self.seconds,
        )
        live = mesh.instance("orders").live()
        self.workload = Workload(config, live, clock=lambda: self.now)
        self.workload.keys = RemoteKeySet(self._keys, lambda: self.now)
        self.workload.remembered = Remembered(self.workload.keys, at_most)
        self.workload.revocations = RevocationList(self._void, lambda: self.now)
        self.opened = self.workload.opened = Counted()

    def _write(self, **changes: Any) -> None:
        write(self.directory, service_document(**changes))

    def reconfigure(self, **changes: Any) -> None:
        """Write another document, which is read at the next request."""
        (self.directory / "config.json").unlink()
        self._write(**changes)
        self.seconds += 2

    async def _keys(self) -> bytes:
        return json.dumps({"keys": [self.signer.jwk()]}).encode()

    async def _void(self, _known: str | None) -> VoidTokens:
        return VoidTokens("", self.void)

    def token(self, leaf: Leaf | None = None, **changes: Any) -> str:
        """Return a good token of storefront's, but for the `changes`."""
        at = int(self.start.timestamp())
        bound = {"x5t#S256": thumbprint((leaf or self.storefront).certificate)}
        good = {"iat": at, "exp": at + 300, "cnf": bound}
        return self.signer.token(claims(**{**good, **changes}))

    def ask(
        self, token: str, leaf: Leaf | None = None, tls: Any = None, **changes: Any
    ) -> Grant:
        """Judge a good request, but for the `changes`."""
        case = Case(self.scope(token, leaf, tls, **changes), self.now)
        return asyncio.run(judge(case, self.workload))

    def scope(
        self, token: str, leaf: Leaf | None = None, tls: Any = None, **changes: Any
    ) -> dict[str, Any]:
        """Return a good request, but for the `changes`."""
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/orders",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            **scope_of(leaf or self.storefront),
            **changes,
        }
        scope["extensions"]["tls"] |= tls or {}
        return scope

    def refuses(self, why: type[ServiceError], *args: Any, **changes: Any) -> None:
        """Check that a request is refused, and why."""
        with pytest.raises(ServiceError) as refusal:
            self.ask(*args, **changes)
        assert type(refusal.value) is why
