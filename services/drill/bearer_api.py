"""An ordinary API for bearer tokens: what the drill's bearer column is tried at.

It does what such APIs do, and does it right: TLS, one token in one header, then its
signature, issuer, audience and times. It asks nobody for a certificate, so whoever
holds a token is let in. Nothing that is rolled out is built like this; it lives in the
drill, for as long as that runs, on a loopback port with a certificate of the drill's
own.
"""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pki.clock import utc_now
from services.errors import ServiceError
from services.guard.credentials import credentials
from services.guard.errors import RequestRefusedError
from services.proof import jws
from services.proof.access_token import verify_access_token
from services.proof.errors import InvalidTokenError, UnknownKeyError

ADDRESS = "127.0.0.1"
_START = 10.0  # seconds


class NotStartedError(ServiceError):
    """The bearer API of the drill did not come up."""


def bearer_api(issuer: str, audience: str, keys: Mapping[str, ECKey]) -> Starlette:
    """Return an API that takes any good token for `audience` from anybody."""

    async def resource(request: Request) -> Response:
        try:
            brought = credentials(
                request.scope["headers"], request.scope["query_string"]
            )
            token = jws.parse(brought.unverified_token)
            key = keys.get(token.key_id)
            if key is None:
                raise UnknownKeyError(token.key_id)
            verify_access_token(
                token, key, issuer=issuer, audience=audience, now=utc_now()
            )
        except (InvalidTokenError, RequestRefusedError) as error:
            return JSONResponse(
                {"error": error.code, "error_description": error.description},
                status_code=401,
            )
        return JSONResponse({"taken": "from whoever holds it"})

    return Starlette(routes=[Route("/", resource, methods=["GET", "POST"])])


@contextmanager
def listening(app: Starlette, identity: tuple[Path, Path]) -> Iterator[str]:
    """Serve `app` over TLS that asks for no certificate; yield its URL."""

    def context(*_: object) -> ssl.SSLContext:
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        plain.load_cert_chain(*identity)
        return plain

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=ADDRESS,
            port=0,
            log_config=None,
            access_log=False,
            lifespan="off",
            ssl_context_factory=context,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"https://{ADDRESS}:{_port(server, thread)}/"
    finally:
        server.should_exit = True
        thread.join(_START)


def _port(server: uvicorn.Server, thread: threading.Thread) -> int:
    while not server.started:
        thread.join(0.01)
        if not thread.is_alive():
            raise NotStartedError("the drill's bearer API did not start")
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port
