"""The gateway as an ASGI application: judge at the edge, call with a token of its own.

Each request: a route (`routes`), a grant (`judgement`), the fields that pass
(`fields`), the upstream (`upstream`), and its answer back, streamed and bounded. One
line of the log says who got where, or why not. The gateway's metadata (RFC 9728) is
answered to all that TLS admits.
"""

import asyncio
from logging import ERROR, WARNING

import httpx
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services import audit, log, metrics
from services.errors import ServiceError
from services.gateway.answers import METHODS, answer, failed
from services.gateway.body import Body
from services.gateway.errors import MethodError, UpstreamAnswerError
from services.gateway.fields import inwards, outwards
from services.gateway.gateway import Gateway
from services.gateway.judgement import judge
from services.gateway.routes import Route, outside, route
from services.gateway.upstream import ask, faults, issuers_of
from services.guard.judgement import Case
from services.guard.metadata import describe, metadata, metadata_paths
from services.wire.presented import presented_serial

_BODY = 10  # times the patience for a head: a body may be long
_REFUSED_UPGRADE = {"type": "websocket.close", "code": 1008}  # RFC 6455: policy


def create_app(gateway: Gateway) -> ASGIApp:
    """Return the application of `gateway`, whose connections end with it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(gateway, receive, send)
        elif scope["type"] == "http" and _is_of_metadata(scope, gateway):
            await _described(scope, gateway)(scope, receive, send)
        elif scope["type"] == "http":
            await _Exchange(gateway, scope, receive, send).run()
        else:
            # A web socket would outlive the token that opened it.
            await send(_REFUSED_UPGRADE)

    return app


async def _live(gateway: Gateway, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await gateway.aclose()
    await send({"type": "lifespan.shutdown.complete"})


def _is_of_metadata(scope: Scope, gateway: Gateway) -> bool:
    return scope["path"] in metadata_paths(gateway.config.audience)


def _described(scope: Scope, gateway: Gateway) -> Response:
    upstreams = gateway.config.routes.values()
    document = metadata(
        gateway.config.audience,
        issuer=gateway.config.token_service.issuer,
        scopes={
            name for one in upstreams for name in (*one.scopes, *one.optional_scopes)
        },
        schemes=gateway.schemes,
    )
    return describe(scope, document)


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, gateway: Gateway, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._gateway = gateway
        self._case = Case(scope, gateway.clock())
        self._receive = receive
        self._send = send
        self._started = False

    async def run(self) -> None:
        """Answer the request, whatever happens."""
        try:
            await self._pass_on()
        except ServiceError as refusal:
            self._note_refused(refusal)
            if not self._started:
                metrics.refused(refusal)
                response = answer(refusal, self._case, self._gateway)
                await response(self._case.scope, self._receive, self._send)
        except Exception as error:  # noqa: BLE001 - and nothing of it goes out
            self._log("gateway.failed", ERROR, cause=type(error).__name__)
            if not self._started:
                await failed()(self._case.scope, self._receive, self._send)
        # An answer that breaks off is left without its end: the server hangs up.

    async def _pass_on(self) -> None:
        scope, config = self._case.scope, self._gateway.config
        if scope["method"] not in METHODS:
            raise MethodError(scope["method"][:20])
        taken = route(scope["raw_path"], scope["query_string"], config.routes)
        with metrics.guarding():
            grant = await judge(self._case, taken, self._gateway)
        passing, forged = inwards(scope["headers"])
        if forged:
            self._log("gateway.stripped", WARNING, fields=sorted(set(forged)))
        body = Body(scope["headers"], self._receive, config.longest_request)
        with faults(taken, body):
            async with asyncio.timeout(config.patience):
                response = await ask(
                    self._gateway,
                    taken,
                    grant,
                    self._case.unverified_token,
                    method=scope["method"],
                    fields=passing,
                    issuers=issuers_of(scope),
                    body=body,
                )
        metrics.accepted()
        audit.granted(
            "gateway.passed",
            client_id=grant.client_id,
            peer=grant.peer.spiffe_id,
            serial=grant.peer.serial,
            token_id=grant.token_id,
            method=scope["method"],
            route=taken.prefix,
            upstream=taken.upstream.spiffe_id,
            status=response.status_code,
        )
        try:
            with faults(taken, body):
                async with asyncio.timeout(config.patience * _BODY):
                    await self._pass_back(response, taken)
        finally:
            await response.aclose()

    async def _pass_back(self, response: httpx.Response, taken: Route) -> None:
        headers = outwards(response.headers.raw)
        headers = [
            (name, _located(value, taken) if name == b"location" else value)
            for name, value in headers
        ]
        if self._case.next_nonce:
            headers.append((b"dpop-nonce", self._case.next_nonce.encode()))
        await self._out(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": headers,
            }
        )
        length = 0
        async for part in response.aiter_raw():
            length += len(part)
            if length > self._gateway.config.longest_answer:
                raise UpstreamAnswerError("the answer grew beyond its bound")
            await self._out(
                {"type": "http.response.body", "body": part, "more_body": True}
            )
        await self._out({"type": "http.response.body", "body": b""})

    async def _out(self, message: Message) -> None:
        self._started = True
        await self._send(message)

    def _note_refused(self, refusal: ServiceError) -> None:
        case = self._case
        audit.refused(
            "gateway.refused",
            refusal,
            client_id=None,  # what a token says of it is not proved
            peer=case.peer.spiffe_id if case.peer else None,
            certificate=presented_serial(case.scope),
            method=case.scope["method"],
            path=case.scope["path"],
        )

    def _log(self, event: str, level: int, **fields: object) -> None:
        case = self._case
        log.event(
            event,
            level=level,
            method=case.scope["method"],
            path=case.scope["path"],
            peer=case.peer.spiffe_id if case.peer else None,
            certificate=presented_serial(case.scope),
            **fields,
        )


def _located(value: bytes, taken: Route) -> bytes:
    return outside(value.decode("latin-1"), taken).encode("latin-1")
