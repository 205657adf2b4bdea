"""The guard: an ASGI middleware that lets in only requests with a bound token.

    app = Starlette(routes=[...])
    app.add_middleware(GuardMiddleware, workload=Workload.load("config.json"))

Each request is decided anew: a token in one Authorization header, the certificate of
the connection, the key the token names, then `decision`. The application finds the
`Grant` with `grant_of(request)`. Whatever cannot be decided is refused; one line of
the log says why.
"""

from collections.abc import Callable
from datetime import datetime
from logging import WARNING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pki.clock import utc_now
from services import log
from services.errors import ServiceError
from services.guard.challenge import challenge
from services.guard.credentials import unverified_token
from services.guard.decision import decide
from services.guard.errors import InsufficientScopeError, UnusableCertificateError
from services.guard.grant import Grant
from services.guard.workload import Workload
from services.proof import jws
from services.wire.peer import Peer, PeerError, peer_of

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with a grant, or answer why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._guard(scope, receive, send)
        else:
            # A web socket would outlive the token that opened it.
            await send(_REFUSED_UPGRADE)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            grant = await self._decide(scope)
            scope.setdefault("state", {})["grant"] = grant
            await self._app(scope, receive, watch)
        except InsufficientScopeError as refusal:
            if started:
                raise
            await self._refuse(refusal, grant.peer, scope, receive, send)
        except _Refused as refused:
            await self._refuse(refused.cause, refused.peer, scope, receive, send)

    async def _decide(self, scope: Scope) -> Grant:
        now = self._clock()
        peer: Peer | None = None
        try:
            text = unverified_token(scope["headers"], scope["query_string"])
            peer = self._peer(scope, now)
            token = jws.parse(text)
            key = await self._workload.keys.key(token.key_id)
            return decide(token, key, peer, rules=self._workload.rules, now=now)
        except ServiceError as error:
            # Only what was raised here: an application's own errors are its own.
            raise _Refused(error, peer) from error

    def _peer(self, scope: Scope, now: datetime) -> Peer:
        try:
            return peer_of(scope, trust_domain=self._workload.trust_domain, now=now)
        except PeerError as error:
            raise UnusableCertificateError(str(error)) from error

    async def _refuse(
        self,
        refusal: ServiceError,
        peer: Peer | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        log.event(
            "request.refused",
            level=WARNING,
            code=refusal.code,
            cause=type(refusal).__name__,
            reason=refusal,
            method=scope["method"],
            path=scope["path"],
            peer=peer.spiffe_id if peer else None,
            certificate=format(peer.serial, "x") if peer else None,
        )
        answer = challenge(refusal, realm=self._workload.rules.audience)
        await answer(scope, receive, send)


class _Refused(Exception):  # noqa: N818 - carries an error, is none of its own
    """The guard's own refusal, told apart from what the application raises."""

    def __init__(self, cause: ServiceError, peer: Peer | None) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.peer = peer
