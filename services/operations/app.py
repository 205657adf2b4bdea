"""Say how a process is, beside what it does: `/healthz`, `/readyz`, `/metrics`.

    app = Operations(app, identity=identity, vitals=vitals, monitors=lambda: set())

An ASGI layer that `services.process` puts around everything else, once for all kinds of
processes. It stands before the guard, and needs no token; and before `wire.forwarded`,
so that a proxy in front can ask for itself. TLS has admitted whoever comes here.

- `/healthz`: the process answers. To whoever TLS admits.
- `/readyz`: every part is well, or 503 and the names of those that are not; a look
  serves for a second. To the same.
- `/metrics`: to the process' own identity, which is whoever may read its key anyway,
  and to the SPIFFE IDs in `monitors`. Who calls whom, and how often, is not for all.

`documents` are answered as they are, to whoever TLS admits. The four paths are taken
from the application behind this layer.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pki.clock import utc_now
from pki.identity import SpiffeId
from services import audit, metrics
from services.errors import ServiceError
from services.operations.vitals import Part, Vitals
from services.wire.generation import LiveIdentity
from services.wire.peer import PeerError, peer_of
from services.wire.presented import presented_serial

HEALTH, READINESS, METRICS = "/healthz", "/readyz", "/metrics"
_NO_STORE = {"Cache-Control": "no-store"}
_METHODS = ("GET", "HEAD")
_FRESH = timedelta(seconds=1)


class NoMonitorError(ServiceError):
    """Who asks for the metrics is not named as one who may."""

    code = "access_denied"


class Operations:
    """Answer questions about the process, and pass all others on to `app`."""

    def __init__(  # noqa: PLR0913 - what can be said of a process
        self,
        app: ASGIApp,
        *,
        identity: LiveIdentity,
        vitals: Vitals,
        monitors: Callable[[], Collection[str]] = lambda: (),
        documents: Mapping[str, Callable[[], dict[str, Any]]] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._app = app
        self._identity = identity
        self._vitals = vitals
        self._monitors = monitors
        self._documents = documents or {}
        self._paths = frozenset({HEALTH, READINESS, METRICS, *self._documents})
        self._clock = clock
        self._parts: Sequence[Part] = ()
        self._looked_at: datetime | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer, or pass on."""
        if scope["type"] == "http" and scope["path"] in self._paths:
            return self._operate(scope, receive, send)
        return self._app(scope, receive, send)  # not awaited here: a frame less

    async def _operate(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in _METHODS:
            response = await self._answer(scope)
        else:
            headers = _NO_STORE | {"Allow": ", ".join(_METHODS)}
            response = Response(status_code=405, headers=headers)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        path = scope["path"]
        if path in self._documents:
            return JSONResponse(self._documents[path]())
        if path == HEALTH:
            return JSONResponse({"status": "alive"}, headers=_NO_STORE)
        if path == METRICS and not self._may_read(scope):
            return JSONResponse(
                {"error": "access_denied"}, status_code=403, headers=_NO_STORE
            )
        failing = await self._failing()
        if path == METRICS:
            text = metrics.exposition()
            return Response(text, headers=_NO_STORE, media_type=metrics.CONTENT_TYPE)
        if failing:
            members = {"status": "not ready", "failing": failing}
            return JSONResponse(members, status_code=503, headers=_NO_STORE)
        return JSONResponse({"status": "ready"}, headers=_NO_STORE)

    async def _failing(self) -> list[str]:
        """Look at every part, and return the names of those that are not well."""
        now = self._clock()
        known = self._looked_at
        if known is None or not timedelta(0) <= now - known < _FRESH:
            self._parts = await self._vitals.parts()
            self._looked_at = now
            for part in self._parts:
                metrics.part(part.name, up=part.up, age=part.age)
        return [part.name for part in self._parts if not part.up]

    def _may_read(self, scope: Scope) -> bool:
        own = self._identity.expected
        try:
            peer = peer_of(scope, trust_domain=own.trust_domain, now=self._clock())
        except PeerError as refusal:
            _log_refusal(scope, refusal, None)
            return False
        if peer.spiffe_id == own or str(peer.spiffe_id) in self._monitors():
            return True
        _log_refusal(
            scope, NoMonitorError("no monitor of this process"), peer.spiffe_id
        )
        return False


def _log_refusal(scope: Scope, refusal: ServiceError, peer: SpiffeId | None) -> None:
    audit.refused(
        "metrics.refused",
        refusal,
        client_id=None,
        peer=peer,
        certificate=presented_serial(scope),
    )
