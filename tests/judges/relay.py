"""An application that calls orders in its own name, and says what it was answered."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.guard.workload import Workload


def create_app(workload: Workload) -> Starlette:
    """Return the application; it lets in whom TLS lets in."""

    async def relay(_request: Request) -> Response:
        answer = await workload.client("orders").get("/orders")
        return JSONResponse({"status": answer.status_code, "body": answer.json()})

    return Starlette(routes=[Route("/relay", relay)])
