"""Orders: called by the storefront, it asks stock before it answers.

It calls with a token of its own, bound to its own certificate: the one it was called
with is bound to the caller's and would be worthless in its hands.
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
            answer = await workload.client("stock").get("/stock")
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
