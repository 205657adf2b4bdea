"""Orders: called by the storefront, it asks stock before it answers.

It calls in the caller's name: the token it was called with is bound to the caller's
certificate and worthless in its hands, so it is exchanged for one bound to its own, in
which the storefront is still the subject and orders acts for it (RFC 8693).
"""

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.errors import ServiceError
from services.guard.grant import grant_of
from services.guard.middleware import GuardMiddleware
from services.guard.workload import Workload

_BASKET = ("lantern", "kettle")


def create_app(workload: Workload) -> Starlette:
    """Return the guarded application."""

    async def orders(request: Request) -> Response:
        grant = grant_of(request)
        grant.require("orders.read")
        try:
            answer = await workload.client("stock", on_behalf_of=grant).get("/stock")
            answer.raise_for_status()
        except (httpx.HTTPError, ServiceError) as error:
            reason = f"stock did not answer: {error}"
            return JSONResponse({"service": "orders", "error": reason}, status_code=502)
        shelves = answer.json()["shelves"]
        return JSONResponse(
            {
                "service": "orders",
                "caller": grant.client_id,
                "deliverable": {item: shelves[item] > 0 for item in _BASKET},
                "stock": answer.json(),
            }
        )

    app = Starlette(routes=[Route("/orders", orders)])
    app.add_middleware(GuardMiddleware, workload=workload)
    return app
