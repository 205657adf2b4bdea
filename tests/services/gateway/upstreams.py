"""Upstreams: what stands behind a gateway in tests, and says what it saw."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from services.guard.grant import grant_of
from services.guard.middleware import GuardMiddleware
from services.guard.workload import Workload
from services.wire.original import original_of

PARTS = 64  # of 16 KiB


def mirror(workload: Workload) -> ASGIApp:
    """Return a guarded application that answers with what it was sent."""
    clock = workload.keys._clock

    async def seen(request: Request) -> Response:
        grant = grant_of(request)
        original = original_of(
            request.scope, trust_domain=workload.trust_domain, now=clock()
        )
        size = 0
        async for part in request.stream():
            size += len(part)
        answer = {
            "method": request.method,
            "target": request.scope["raw_path"].decode(),
            "query": request.scope["query_string"].decode(),
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")]
                for name, value in request.scope["headers"]
            ],
            "peer": str(grant.peer.spiffe_id),
            "scopes": sorted(grant.scopes),
            "chain": grant.chain,
            "original": original and str(original.spiffe_id),
            "thumbprint": original and original.thumbprint,
            "size": size,
        }
        return JSONResponse(answer, headers=_headers(request))

    async def long(_request: Request) -> Response:
        async def parts() -> Any:
            for _ in range(PARTS):
                yield b"x" * 16_384

        return StreamingResponse(parts())

    async def slow(request: Request) -> Response:
        await request.body()
        await request.receive()  # until the other end has hung up
        return Response()

    async def away(request: Request) -> Response:
        where = request.query_params["to"]
        return Response(status_code=302, headers={"Location": where})

    async def refusing(_request: Request) -> Response:
        return Response("for the gateway", status_code=401)

    routes = [
        Route("/orders/long", long),
        Route("/orders/slow", slow),
        Route("/orders/away", away),
        Route("/orders/refusing", refusing),
        Route("/orders", seen, methods=_METHODS),
        Route("/orders/{rest:path}", seen, methods=_METHODS),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(GuardMiddleware, workload=workload, clock=clock)
    return app


_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def _headers(request: Request) -> dict[str, str]:
    """Return the fields that the caller asked the answer to have."""
    wanted = request.query_params.get("answer")
    return dict(pair.split(":", 1) for pair in wanted.split(";")) if wanted else {}
