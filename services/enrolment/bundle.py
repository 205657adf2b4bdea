"""The SPIFFE bundle endpoint: this trust domain's bundle, for other trust domains.

    GET /bundle    a SPIFFE bundle (SPIFFE_Federation.md, section 5.2.2: https_spiffe)

Whoever asks proves nothing, and must not have to: other trust domains cannot show what
we trust. Who answers shows the certificate of the CA's front, which they verify by the
bundle that they have. The profile https_web, for which this would need a certificate of
a public CA, is not offered.

The answer carries the number of `pki.bundle_series`, which never goes back.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from logging import ERROR
from threading import Thread

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pki import authority, bundle_series
from pki.bundle import write_spiffe
from pki.clock import utc_now
from pki.errors import PkiError
from pki.layout import Layout
from services import log
from services.config import EnrolmentConfig
from services.enrolment.answers import NO_STORE, answered, failed, lost
from services.enrolment.errors import UnavailableError
from services.wire.generation import LiveIdentity
from services.wire.server import Server, open_server

PATH = "/bundle"
_REFUSED = "bundle.request_refused"
_GOODBYE = 15.0  # seconds; more than a server takes for what is under way


def create_app(layout: Layout, *, clock: Callable[[], datetime] = utc_now) -> Starlette:
    """Return the application; it writes the number of a bundle that has changed."""

    def read() -> dict[str, object]:
        roots = authority.look(layout).roots
        return write_spiffe(bundle_series.published(layout, roots, now=clock()))

    async def bundle(_request: Request) -> Response:
        try:
            document = await run_in_threadpool(read)
        except (PkiError, OSError) as error:
            raise UnavailableError(f"the CA's bundle: {error}") from error
        return JSONResponse(document, headers=NO_STORE)

    app = Starlette(
        routes=[
            Route(PATH, answered("bundle", bundle, event=_REFUSED), methods=["GET"])
        ],
        exception_handlers={
            HTTPException: partial(lost, event=_REFUSED),
            Exception: failed,
        },
    )
    app.router.redirect_slashes = False
    return app


@contextmanager
def telling(config: EnrolmentConfig, identity: LiveIdentity) -> Iterator[None]:
    """Serve the endpoint in a thread while the context lasts, if it has a port.

    Raises:
        AddressError: another process listens on the port.
    """
    if config.bundle_port is None:
        yield
        return
    listening = open_server(
        create_app(Layout(config.ca)),
        identity=identity,
        address=config.address,
        port=config.bundle_port,
        tls_minimum=config.tls_minimum,
    )
    thread = Thread(target=_serve, args=(listening,), name="bundle", daemon=True)
    thread.start()
    log.event("bundle.told", port=listening.port)
    try:
        yield
    finally:
        listening.should_exit = True
        thread.join(_GOODBYE)


def _serve(listening: Server) -> None:
    try:
        listening.run()
    finally:
        if not listening.should_exit:
            log.event("bundle.no_longer_told", level=ERROR, port=listening.port)
