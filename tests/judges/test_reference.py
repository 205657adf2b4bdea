"""The real guard, held against the reference by requests that nobody thought of.

Whatever a request is made of, the guard answers it; and what it lets in, the reference
would let in, too.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from services.guard.middleware import GuardMiddleware
from services.guard.replays import Replays
from services.guard.workload import Workload, read_service_config
from services.proof.key_set import RemoteKeySet
from services.state.open import open_store
from services.watched import Watched
from tests.judges.drafts import (
    AUDIENCE,
    ISSUER,
    ORIGIN,
    Change,
    Draft,
    World,
    changes,
    good,
    provers,
)
from tests.judges.reference import Reference, Request
from tests.judges.verdicts import Judge, Verdict
from tests.services.documents import service_document, write
from tests.services.mesh import Mesh, now
from tests.services.tokens import Signer, encode

JUDGE = Judge("PyPI hypothesis", version("hypothesis"))
KINDS = (None, "own", "Ed25519", "PS256")


@dataclass(frozen=True)
class Guarded:
    """The guard, the reference and the world that both stand in."""

    world: World
    app: ASGIApp
    runner: asyncio.Runner
    workload: Workload

    def reference(self) -> Reference:
        """Return a reference that has seen no proof."""
        key = self.world.token_service
        earlier = self.world.now - timedelta(seconds=60)
        return Reference(
            issuer=ISSUER,
            audience=AUDIENCE,
            trust_domain="shop.internal",
            keys={key.key_id: key.jwk()},
            nonces=frozenset({self.world.nonce, self._nonce(earlier)}),
            now=self.world.now,
        )

    def _nonce(self, moment: Any) -> str:
        assert self.workload.replays is not None
        issuer = self.runner.run(self.workload.replays.nonces(self.world.now))
        return issuer.issue(moment)

    def answers(self, draft: Draft, headers: Sequence[tuple[bytes, bytes]]) -> int:
        """Return the status with which the guard answers."""
        return self.runner.run(self._ask(draft, headers))

    async def _ask(self, draft: Draft, headers: Sequence[tuple[bytes, bytes]]) -> int:
        scope = {
            "type": "http",
            "method": draft.method,
            "path": draft.path,
            "query_string": draft.query,
            "headers": list(headers),
            "extensions": {
                "tls": {"client_cert": self.world.certificates[draft.certificate]}
            },
        }
        statuses: list[int] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await self.app(scope, receive, send)
        (status,) = statuses
        return status


@pytest.fixture(scope="module")
def guarded(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Return the guard over an application that says yes to whoever enters."""
    directory = tmp_path_factory.mktemp("reference")
    moment = now()
    orders = mesh.instance("orders")
    signer = Signer()
    document = service_document(
        identity=str(orders.current),
        spiffe_id=str(orders.spiffe_id),
        guard=service_document()["guard"] | {"origins": ["https://elsewhere", ORIGIN]},
    )
    path = write(directory, document)
    config = Watched(lambda: read_service_config(path), lambda: None, name="config")
    workload = Workload(config, orders.live(), clock=lambda: moment)

    async def published() -> bytes:
        return json.dumps({"keys": [signer.jwk()]}).encode()

    workload.keys = RemoteKeySet(published, lambda: moment)
    store = open_store(directory / "s", scope=AUDIENCE, clock=lambda: moment)
    workload.replays = Replays(store)
    certificates = {
        "own": mesh.issue("storefront"),
        "thief": mesh.issue("stock"),
        "expired": mesh.issue("storefront", not_after=moment - timedelta(minutes=1)),
        "authority": mesh.issue("storefront", authority=True, signs=True),
        "nameless": mesh.issue("storefront", uris=[]),
        "two names": mesh.issue("storefront", uris=["spiffe://shop.internal/a"] * 2),
        "foreign": mesh.issue("storefront", uris=["spiffe://other.internal/a"]),
    }
    der = {
        name: leaf.certificate.public_bytes(Encoding.DER)
        for name, leaf in certificates.items()
    }
    der |= {"none": b"", "broken": der["own"][:-9], "noise": b"\x30\x03\x02\x01\x05"}

    async def enter(scope: Any, receive: Any, send: Any) -> None:
        await JSONResponse({})(scope, receive, send)

    with asyncio.Runner() as runner:
        nonces = runner.run(workload.replays.nonces(moment))
        world = World(
            now=moment,
            token_service=signer,
            stranger=Signer(),
            provers=provers(),
            certificates=der,
            thumbprints={
                name: encode(sha256(one).digest()) for name, one in der.items()
            },
            nonce=nonces.issue(moment),
        )
        app = GuardMiddleware(enter, workload=workload, clock=lambda: moment)
        yield Guarded(world, app, runner, workload)
        runner.run(workload.aclose())


def _request(draft: Draft, headers: Sequence[tuple[bytes, bytes]]) -> Request:
    return Request(
        method=draft.method,
        url=ORIGIN + draft.path,
        query=draft.query,
        headers=headers,
        certificate=draft.world.certificates[draft.certificate],
    )


_QUICK = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _unlike(number: int) -> Change:
    """Give each proof an id of its own, or all would be replays of the first."""

    def change(draft: Draft) -> None:
        draft.parts.get("proof claims", {}).update(jti=f"jti-{number}")

    return change


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_request_enters_once(guarded: Guarded, kind: str | None) -> None:
    """Guard and reference let in what was not changed; a proof only once."""
    reference = guarded.reference()
    draft = good(guarded.world, kind)
    headers = draft.written()
    assert reference.admits(_request(draft, headers))
    assert guarded.answers(draft, headers) == 200
    again = kind is None
    assert reference.admits(_request(draft, headers)) is again
    assert (guarded.answers(draft, headers) == 200) is again


def test_a_changed_request_enters_only_where_the_reference_agrees(
    guarded: Guarded, verdict: Verdict
) -> None:
    """Up to three changes: never a 5xx, never an entry that the reference refuses."""
    number = 0
    entered = 0

    @_QUICK
    @given(
        kind=st.sampled_from(KINDS),
        made=st.lists(changes(guarded.world), min_size=1, max_size=3),
    )
    def check(kind: str | None, made: list[Change]) -> None:
        nonlocal number, entered
        number += 1
        draft = good(guarded.world, kind)
        for change in (_unlike(number), *made):
            change(draft)
        headers = draft.written()
        admitted = guarded.reference().admits(_request(draft, headers))
        status = guarded.answers(draft, headers)
        assert status < 500
        assert status != 200 or admitted
        entered += status == 200

    check()
    assert entered  # or the changes would be too rough to tell anything
    verdict(JUDGE, accepted=f"{entered} of {number} changed requests, by both")
    verdict(JUDGE, refused="the others, without a 5xx")
