"""`services.samples.hello` without its guard: what the guard itself costs.

A service whose document names `bench.servers.unguarded:create_app` runs it.
"""

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.guard.workload import Workload


def create_app(workload: Workload) -> Starlette:
    """Return the application, which lets everybody in."""

    async def hello(_request: Request) -> Response:
        config = workload.config
        told = {"service": config.service, "caller": "anybody"}
        return Response(msgspec.json.encode(told), media_type="application/json")

    return Starlette(routes=[Route(workload.config.guard.resource, hello)])
