"""Broker: asks services of other trust domains, each with a token from over there.

It calls in its own name: whoever called it is nobody to another domain's token service.
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


def create_app(workload: Workload) -> Starlette:
    """Return the guarded application."""

    async def broker(request: Request) -> Response:
        config = workload.config
        grant_of(request).require(config.guard.scopes[0])
        abroad = {
            name: callee.url
            for name, callee in config.calls.items()
            if callee.token_service is not None
        }
        try:
            answers = {
                name: (await workload.client(name).get(httpx.URL(url).path))
                .raise_for_status()
                .json()
                for name, url in abroad.items()
            }
        except (httpx.HTTPError, ServiceError) as error:
            return JSONResponse(
                {"service": config.service, "error": str(error)}, status_code=502
            )
        return JSONResponse({"service": config.service, "abroad": answers})

    app = Starlette(routes=[Route(workload.config.guard.resource, broker)])
    app.add_middleware(GuardMiddleware, workload=workload)
    return app
