"""The CA's front as an ASGI application: EST over mutual TLS (RFC 7030, RFC 8951).

    GET  /.well-known/est/cacerts          the issuing CA and the root
    GET  /.well-known/est/csrattrs         what a request should hold
    POST /.well-known/est/simplereenroll   the next certificate of whoever asks

A label between `est/` and the operation is taken if it is the configured one. Whoever
TLS admits may read; who renews is the one whose key the handshake has proved, so no
channel binding is needed (section 3.5). Key generation on the server is not offered:
keys stay on the host. A first certificate comes with the roll-out.

What is published of revocation is for everybody, over plain HTTP (RFC 5280, section 8):
that is an application and a listener of its own (`publication`, `publishing`) beside
this one, and nothing of it belongs into these routes.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from logging import INFO, WARNING

from cryptography import x509
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pki.clock import to_text, utc_now
from pki.layout import Layout
from services import audit
from services.buckets import Buckets
from services.config import EnrolmentConfig
from services.enrolment import messages
from services.enrolment.answers import NO_STORE, Answering, answered, failed, lost
from services.enrolment.body import read_body
from services.enrolment.errors import (
    FirstCertificateError,
    NotFoundError,
    RevokedError,
    TooManyRequestsError,
    UnavailableError,
    UnusableCertificateError,
)
from services.enrolment.office import Office, Renewed, Wish
from services.enrolment.queue import Queue
from services.enrolment.renewal import names
from services.enrolment.vitals import EnrolmentVitals
from services.watched import Watched
from services.wire.peer import (
    Peer,
    PeerError,
    RevokedCertificateError,
    StatusUnknownError,
    peer_of,
)

EST = "/.well-known/est"


class Enrolment:
    """What the operations do."""

    def __init__(
        self,
        config: Watched[EnrolmentConfig],
        office: Office,
        queue: Queue[Wish, Renewed],
        clock: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._office = office
        self._queue = queue
        self._clock = clock
        self._buckets = Buckets()

    async def cacerts(self, _request: Request) -> Response:
        """Answer with the CA's certificates (section 4.1)."""
        found = await run_in_threadpool(self._office.authorities)
        return Response(messages.certificates(found), media_type=messages.CERTIFICATES)

    async def csrattrs(self, _request: Request) -> Response:
        """Answer with what a request should hold (section 4.5)."""
        return Response(messages.csr_attributes(), media_type=messages.ATTRIBUTES)

    async def simpleenroll(self, _request: Request) -> Response:
        """Refuse: nothing on the network can vouch for a first certificate."""
        raise FirstCertificateError("simpleenroll is not offered")

    async def simplereenroll(self, request: Request) -> Response:
        """Answer with the next certificate of the peer (section 4.2.2).

        1. Who asks is in the certificate of this connection, good now or, where there
           is a grace, ended no longer ago than that.
        2. It has not asked too often.
        3. The body is one request.
        4. `office`: it may be renewed, and is.
        """
        config = self._config.current()
        peer = request.state.peer = self._peer(request, config)  # 1
        wait = self._buckets.take(names(peer.certificate.extensions), config.rate)
        if wait is not None:  # 2
            raise TooManyRequestsError(f"too many requests of {peer.spiffe_id}", wait)
        body = await read_body(request, kind=messages.REQUEST, longest=messages.LONGEST)
        wanted = messages.read_request(body)  # 3
        renewed = await self._queue.ask(  # 4
            Wish(wanted, peer.certificate), most=config.waiting
        )
        _note(peer, renewed.identity, renewed.certificate, self._clock())
        return Response(
            messages.certificates([renewed.certificate]),
            media_type=messages.CERTIFICATES,
            headers=NO_STORE,
        )

    def labelled(self, handle: Answering) -> Answering:
        """Return `handle` so that it answers under the configured label alone."""

        async def answering(request: Request) -> Response:
            label = request.path_params.get("label")
            if label not in {None, self._config.current().label}:
                raise NotFoundError("another label than the configured one")
            return await handle(request)

        return answering

    def _peer(self, request: Request, config: EnrolmentConfig) -> Peer:
        # As of then a certificate was good that ended since: nobody else looks back.
        then = self._clock() - timedelta(seconds=config.grace)
        try:
            return peer_of(request.scope, trust_domain=config.trust_domain, now=then)
        except StatusUnknownError as error:
            raise UnavailableError(str(error)) from error
        except RevokedCertificateError as error:
            raise RevokedError(str(error)) from error
        except PeerError as error:
            raise UnusableCertificateError(str(error)) from error


def create_app(
    config: Watched[EnrolmentConfig], *, clock: Callable[[], datetime] = utc_now
) -> Starlette:
    """Return the application; `app.state.vitals` says how it is.

    Raises:
        UnavailableError: the CA is not whole, or its key cannot be opened.
    """
    first = config.current()
    office = Office(Layout(first.ca), first.issuing_passphrase, clock=clock)
    office.open()
    queue = Queue(office.renew)
    app = Starlette(
        routes=_routes(Enrolment(config, office, queue, clock)),
        exception_handlers={HTTPException: lost, Exception: failed},
        lifespan=_closing(queue),
    )
    app.router.redirect_slashes = False  # a redirect would repeat the Host it was sent
    app.state.vitals = EnrolmentVitals(office, queue)
    return app


def _routes(enrolment: Enrolment) -> list[Route]:
    operations = (
        ("cacerts", "GET", enrolment.cacerts),
        ("csrattrs", "GET", enrolment.csrattrs),
        ("simpleenroll", "POST", enrolment.simpleenroll),
        ("simplereenroll", "POST", enrolment.simplereenroll),
    )
    return [
        Route(
            f"{EST}{label}/{name}",
            answered(name, enrolment.labelled(handle)),
            methods=[method],
        )
        for label in ("", "/{label}")
        for name, method, handle in operations
    ]


def _note(
    peer: Peer, identity: str, certificate: x509.Certificate, now: datetime
) -> None:
    late = max(now - peer.not_after, timedelta(0))
    audit.granted(
        "certificate.renewed",
        client_id=identity,
        peer=peer.spiffe_id,
        serial=peer.serial,
        level=WARNING if late else INFO,
        expired_s=round(late.total_seconds()),
        renewed=format(certificate.serial_number, "x"),
        not_after=to_text(certificate.not_valid_after_utc),
    )


def _closing(
    queue: Queue[Wish, Renewed],
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        queue.close()

    return lifespan
