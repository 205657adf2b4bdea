"""Stock: the end of the line, calls nobody and answers whoever holds `stock.read`."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.guard.grant import grant_of
from services.guard.middleware import GuardMiddleware
from services.guard.workload import Workload

_SHELVES = {"lantern": 12, "kettle": 0, "rope": 140}


async def stock(request: Request) -> Response:
    """Say what is on the shelves, and who asked."""
    grant = grant_of(request)
    grant.require("stock.read")
    return JSONResponse(
        {
            "service": "stock",
            "caller": grant.client_id,
            "chain": grant.chain,  # who acts, for whom: the subject last
            "shelves": _SHELVES,
        }
    )


def create_app(workload: Workload) -> Starlette:
    """Return the guarded application."""
    app = Starlette(routes=[Route("/stock", stock)])
    app.add_middleware(GuardMiddleware, workload=workload)
    return app
