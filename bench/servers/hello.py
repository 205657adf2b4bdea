"""The shortest of applications on uvicorn as every service of ours runs it.

python -m bench.servers.hello IDENTITY PORT
"""

import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pki.identity import SpiffeId
from services.wire.generation import LiveIdentity
from services.wire.server import server


async def hello(_request: Request) -> Response:
    """Say hello."""
    return JSONResponse({"hello": "world"})


def main(current: str, port: str) -> None:
    """Serve until told to stop."""
    identity = LiveIdentity(
        Path(current), SpiffeId.parse("spiffe://shop.internal/service/orders")
    )
    app = Starlette(routes=[Route("/{path:path}", hello, methods=["GET", "POST"])])
    server(app, identity=identity, address="127.0.0.1", port=int(port)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
