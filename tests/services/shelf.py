"""Revocation lists of a test mesh, and a publisher that can do anything wrong.

    with shelf(mesh) as told:
        told.publish()                         # nobody is revoked
        told.publish(orders, number=2)         # one is
        told.status(clock).check(orders.generation.path)

What is asked for is in `asked`, so that a test can see what went over the wire.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pki import revocation
from pki.entry import Reason, Revocation
from pki.pointers import authority_of
from services.revocation_config import RevocationConfig
from services.wire.server import Server, plain_server
from services.wire.status import CertificateStatus
from tests.services.mesh import Instance, Mesh, now
from tests.services.running import Clock

DAY = timedelta(days=1)


@dataclass
class Shelf:
    """Documents by path, as a plain web server gives them out."""

    mesh: Mesh
    server: Server
    documents: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)  # beside the usual ones
    code: int = 200
    delay: float = 0.0  # seconds before an answer
    asked: list[tuple[str, int]] = field(default_factory=list)  # path and status

    @property
    def url(self) -> str:
        """What stands before /crl."""
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def config(self) -> RevocationConfig:
        """What a process is told of it."""
        return RevocationConfig(url=self.url)

    def status(self, clock: Clock) -> CertificateStatus:
        """Return what a process knows by this publisher."""
        return CertificateStatus(lambda: self.config, clock)

    def reset(self) -> None:
        """Forget every fault and question."""
        self.documents, self.headers, self.asked = {}, {}, []
        self.code, self.delay = 200, 0.0

    def publish(
        self,
        *revoked: Instance,
        number: int = 1,
        by: ec.EllipticCurvePrivateKey | None = None,
        since: datetime | None = None,
    ) -> None:
        """Put the issuing CA's full list there, and its root's, which names nobody."""
        serials = [one.generation.serial for one in revoked]
        mesh = self.mesh
        self.put(mesh.issuing, by or mesh._issuing_key, serials, number, since)
        self.put(mesh.root, mesh._root_key, [], number, since)

    def put(  # noqa: PLR0913 - each is one thing that a test may get wrong
        self,
        issuer: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        serials: list[int],
        number: int = 1,
        since: datetime | None = None,
        *,
        shard: str | None = None,
    ) -> None:
        """Put the full list of one authority there, or the shard of this address."""
        moment = since or now()
        entries = [
            Revocation(1, serial, moment, Reason.KEY_COMPROMISE, moment + DAY)
            for serial in serials
        ]
        edition = revocation.Edition(issuer=issuer, number=number, this_update=moment)
        unsigned, place = revocation.full(edition, entries), self.place(issuer)
        if shard is not None:
            unsigned = revocation.shard(edition, entries, names=[shard])
            place = shard[shard.index("/crl/") :]
        signed = unsigned.sign(key, hashes.SHA256())
        self.documents[place] = signed.public_bytes(Encoding.DER)

    def place(self, issuer: x509.Certificate) -> str:
        """Return the path of an authority's full list."""
        return f"/crl/{authority_of(issuer)}/full.crl"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as a web server does, with entity tags."""
        if scope["type"] != "http":
            return
        request, asked = Request(scope, receive), self.asked  # before it is forgotten
        await asyncio.sleep(self.delay)
        response = self._answer(request.url.path, request.headers)
        asked.append((request.url.path, response.status_code))
        await response(scope, receive, send)

    def _answer(self, path: str, asked: Mapping[str, str]) -> Response:
        der = self.documents.get(path)
        if self.code != 200 or der is None:
            return Response(status_code=self.code if self.code != 200 else 404)
        tag = f'"{sha256(der).hexdigest()}"'
        headers = {"ETag": tag, **self.headers}
        if asked.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(der, headers=headers)


@contextmanager
def shelf(mesh: Mesh) -> Iterator[Shelf]:
    """Run a publisher while the context lasts."""

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await made(scope, receive, send)

    made = Shelf(mesh, plain_server(late, address="127.0.0.1", port=0))
    thread = Thread(target=made.server.run, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.should_exit = True
        thread.join(10)
    assert not thread.is_alive()
