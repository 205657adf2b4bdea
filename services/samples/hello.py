"""Hello: what a service of the topology runs that names no application of its own.

It guards the resource and demands the first scope that the topology gives it, and says
who called. A fourth service is thus up and proved before a line of it is written.
"""

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.guard.grant import grant_of
from services.guard.middleware import GuardMiddleware
from services.guard.workload import Workload


def create_app(workload: Workload) -> Starlette:
    """Return the guarded application."""

    async def hello(request: Request) -> Response:
        config = workload.config
        grant = grant_of(request)
        grant.require(config.guard.scopes[0])
        told = {"service": config.service, "caller": grant.client_id}
        return Response(msgspec.json.encode(told), media_type="application/json")

    app = Starlette(routes=[Route(workload.config.guard.resource, hello)])
    app.add_middleware(GuardMiddleware, workload=workload)
    return app
