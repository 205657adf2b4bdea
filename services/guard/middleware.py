"""The guard: an ASGI middleware that lets in only requests with a bound token.

    app = Starlette(routes=[...])
    app.add_middleware(GuardMiddleware, workload=Workload.load("config.json"))

The metadata of the service (RFC 9728) is answered to all that TLS admits. Each other
request is judged anew (`judgement`). The application finds the `Grant` with
`grant_of(request)`. Whatever cannot be decided is refused; one line of the log says
why.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from logging import DEBUG

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pki.clock import utc_now
from services import audit, log, metrics
from services.errors import ServiceError
from services.guard.challenge import challenge
from services.guard.credentials import BEARER
from services.guard.errors import InsufficientScopeError
from services.guard.grant import Grant
from services.guard.judgement import Case, judge
from services.guard.metadata import (
    WELL_KNOWN,
    describe,
    metadata,
    metadata_paths,
    metadata_url,
)
from services.guard.presented import presenting
from services.guard.workload import Workload
from services.wire.presented import presented_serial

_REFUSED_UPGRADE = {"type": "websocket.close", "code": 1008}  # RFC 6455: policy


class GuardMiddleware:
    """Guard every request to `app`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        workload: Workload,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._app = app
        self._workload = workload
        self._clock = clock

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Let the request through with a grant, or answer why not."""
        if scope["type"] == "http":
            if self._is_of_metadata(scope):
                return self._describe(scope)(scope, receive, send)
            return self._guard(scope, receive, send)
        if scope["type"] == "lifespan":
            return self._app(scope, receive, send)
        # A web socket would outlive the token that opened it.
        return send(_REFUSED_UPGRADE)

    def _is_of_metadata(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if not path.startswith(WELL_KNOWN):  # all requests but a few
            return False
        guard = self._workload.config.guard
        return path in metadata_paths(guard.audience, guard.resource)

    def _describe(self, scope: Scope) -> Response:
        config = self._workload.config
        document = metadata(
            config.guard.audience,
            issuer=config.token_service.issuer,
            scopes=config.guard.scopes,
            schemes=self._workload.schemes,
        )
        return describe(scope, document)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        case = Case(scope, self._clock())
        began = metrics.clock()
        try:
            grant = await judge(case, self._workload)
        except ServiceError as refusal:
            metrics.guarded(began)
            await self._refuse(refusal, case, receive, send)
            return
        metrics.let_in(began)
        if log.shows(DEBUG):
            _note_accepted(grant, scope)
        started = False

        def watch(message: Message) -> Awaitable[None]:
            nonlocal started
            started = True
            return send(message)

        scope.setdefault("state", {})["grant"] = grant
        try:
            with presenting(grant, case.unverified_token):
                await self._app(scope, receive, watch)
        except InsufficientScopeError as refusal:
            if started:
                raise
            await self._refuse(refusal, case, receive, send)

    async def _refuse(
        self, refusal: ServiceError, case: Case, receive: Receive, send: Send
    ) -> None:
        metrics.refused(refusal)
        audit.refused(
            "request.refused",
            refusal,
            client_id=None,  # what the token says of it is not proved
            peer=case.peer.spiffe_id if case.peer else None,
            certificate=presented_serial(case.scope),
            method=case.scope["method"],
            path=case.scope["path"],
        )
        guard = self._workload.config.guard
        answer = challenge(
            refusal,
            realm=self._workload.rules.audience,
            used=case.scheme or BEARER,
            schemes=self._workload.schemes,
            nonce=case.next_nonce,
            metadata=metadata_url(
                guard.audience, guard.origins, Headers(scope=case.scope).get("host", "")
            ),
        )
        await answer(case.scope, receive, send)


def _note_accepted(grant: Grant, scope: Scope) -> None:
    audit.granted(
        "request.accepted",
        level=DEBUG,
        client_id=grant.client_id,
        peer=grant.peer.spiffe_id,
        serial=grant.peer.serial,
        token_id=grant.token_id,
        method=scope["method"],
        path=scope["path"],
    )
