"""Storefront: where a purchase begins. It asks orders, which asks stock."""

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.errors import ServiceError
from services.guard.grant import grant_of
from services.guard.middleware import GuardMiddleware
from services.guard.workload import Workload


def create_app(workload: Workload) -> Starlette:
    """Return the guarded application."""

    async def storefront(request: Request) -> Response:
        grant = grant_of(request)
        grant.require("storefront.read")
        try:
            answer = await workload.client("orders", on_behalf_of=grant).get("/orders")
            answer.raise_for_status()
        except (httpx.HTTPError, ServiceError) as error:
            reason = f"orders did not answer: {error}"
            return JSONResponse(
                {"service": "storefront", "error": reason}, status_code=502
            )
        return JSONResponse(
            {
                "service": "storefront",
                "caller": grant.client_id,
                "orders": answer.json(),
            }
        )

    app = Starlette(routes=[Route("/storefront", storefront)])
    app.add_middleware(GuardMiddleware, workload=workload)
    return app
