"""What is told of revocations, as an ASGI application (RFC 5280, section 8).

    GET  /crl/<authority>/<scope>.crl   a list: full, delta, or the number of a shard
    GET  /ocsp/<base64>, POST /ocsp     an answer on one certificate (RFC 6960, 5019)
    GET  /ca/<authority>.cer            a CA's own certificate, in DER

`publishing` serves it to everybody, over plain HTTP: all of it is signed, and says
nothing that must be kept to oneself. It reads the ledger's file and cannot write there;
the one key it uses is the OCSP responder's, inside `pki.ocsp`. Each answer is what the
ledger says at that moment; only the bytes of a list that it still names are not read
again.

A cache may keep an answer for `FRESH`, and asks again then: that is how long a
revocation may stay unseen behind it. If-Modified-Since is not honoured, since two lists
may be of one second. Expires is not sent: a cache that knows it alone would keep an
answer until nextUpdate.
"""

from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import partial
from hashlib import sha256
from logging import ERROR, WARNING
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pki.clock import from_text, utc_now
from pki.errors import PkiError
from pki.layout import Layout
from pki.ledger import Ledger
from pki.ocsp import OcspService
from pki.pointers import authority_of
from pki.present import certificate_of, present, telling
from pki.published import Imprint
from services import log, metrics
from services.enrolment.answers import NO_STORE, answered, failed, lost
from services.enrolment.body import read_body
from services.enrolment.errors import (
    NoQuestionError,
    NotPublishedError,
    OutdatedError,
    UnavailableError,
)
from services.enrolment.kept import KeptLedgers
from services.revocation_config import CACHED

T = TypeVar("T")

CRL, CERTIFICATE = "application/pkix-crl", "application/pkix-cert"
QUESTION, ANSWER = "application/ocsp-request", "application/ocsp-response"
REFUSED = "publication.refused"

# A guard must know of a revocation after five seconds, a cache before it included.
FRESH = timedelta(seconds=CACHED)
_CA_FRESH = timedelta(hours=1)  # the name of a place that holds one key's certificate
_LONGEST = 16 * 1024  # bytes; an OCSP request has some hundred, a signed one a chain
_LONGEST_ENCODED = _LONGEST * 4 // 3 + 4
_LISTS = 1024  # whose bytes are held; a CA has as many as shards, and two


@dataclass(frozen=True, slots=True)
class Found:
    """Something published: since when, and for how long it may be kept."""

    der: bytes
    kind: str
    since: datetime
    keep: timedelta
    tag: str = ""


class Publication:
    """What the paths lead to."""

    def __init__(self, layout: Layout, clock: Callable[[], datetime]) -> None:
        self._ledgers = KeptLedgers(layout.ledger, clock)
        self._clock = clock
        self._ocsp = OcspService(layout)
        self._lists: dict[tuple[str, str], tuple[Imprint, bytes, str]] = {}

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Close in the end what is open of the ledger."""
        yield
        self._ledgers.close()

    async def crl(self, request: Request) -> Response:
        """Answer with the newest list of a scope."""
        return _told(request, await self._do(partial(self._crl, **request.path_params)))

    async def authority(self, request: Request) -> Response:
        """Answer with the certificate of a CA (RFC 5280, section 4.2.2.1)."""
        found = await self._do(partial(self._authority, **request.path_params))
        return _told(request, found)

    async def ask(self, request: Request) -> Response:
        """Answer a question in the path (RFC 6960, appendix A.1)."""
        encoded: str = request.path_params["encoded"]
        if len(encoded) > _LONGEST_ENCODED:
            raise NoQuestionError(f"{len(encoded)} characters in the path")
        try:
            question = b64decode(encoded, validate=True)
        except ValueError as error:
            raise NoQuestionError(f"no base64 in the path: {error}") from error
        return await self._answer(request, question)

    async def post(self, request: Request) -> Response:
        """Answer a question in the body."""
        body = await read_body(request, kind=QUESTION, longest=_LONGEST)
        return await self._answer(request, body)

    async def _answer(self, request: Request, question: bytes) -> Response:
        now = self._clock()
        given = await self._do(
            partial(self._ocsp.answer_from, request=question, now=now)
        )
        response = ocsp.load_der_ocsp_response(given.der)
        status = response.response_status
        if status != ocsp.OCSPResponseStatus.SUCCESSFUL:
            _note(status)
            return Response(given.der, media_type=ANSWER, headers=NO_STORE)
        if given.max_age <= 0:  # with a nonce, or signed on the spot
            return Response(given.der, media_type=ANSWER, headers=NO_STORE)
        keep = min(FRESH, timedelta(seconds=given.max_age))
        found = Found(given.der, ANSWER, response.this_update_utc, keep)
        return _told(request, found)

    def _crl(self, ledger: Ledger, authority: str, scope: str) -> Found:
        now = self._clock()
        imprint = ledger.published.imprint(authority, scope)
        # Nothing verifies under a CA that has ended.
        if imprint is None or not _certificate(ledger, authority, now):
            raise NotPublishedError(f"list {scope!r} of {authority!r}")
        left = from_text(imprint.next_update) - now
        if left <= timedelta(0):
            if authority not in telling(ledger, present(ledger), now):
                raise NotPublishedError(
                    f"list {scope!r} of {authority!r}, followed by now"
                )
            raise _outdated(imprint)
        der, tag = self._bytes_of(ledger, imprint)
        since = from_text(imprint.this_update)
        return Found(der, CRL, since, min(FRESH, left), tag)

    def _bytes_of(self, ledger: Ledger, imprint: Imprint) -> tuple[bytes, str]:
        """Return a list and its tag, read only when it is a new one of its scope."""
        place = imprint.authority, imprint.scope
        held = self._lists.get(place)
        if held is not None and held[0] == imprint:
            return held[1], held[2]
        crl = ledger.published.crl(*place)
        der = crl.der if crl else b""  # of the same moment as its imprint
        if len(self._lists) >= _LISTS:
            self._lists.clear()
        tag = _tag(der)
        self._lists[place] = imprint, der, tag
        return der, tag

    def _authority(self, ledger: Ledger, authority: str) -> Found:
        now = self._clock()
        certificate = _certificate(ledger, authority, now)
        if certificate is None:
            raise NotPublishedError(f"certificate of {authority!r}")
        der = certificate.public_bytes(Encoding.DER)
        left = certificate.not_valid_after_utc - now
        since = certificate.not_valid_before_utc
        return Found(der, CERTIFICATE, since, min(_CA_FRESH, left))

    async def _do(self, work: Callable[[Ledger], T]) -> T:
        """Return what `work` returns in another thread: it waits for the disk."""
        try:
            return await run_in_threadpool(self._ledgers.read, work)
        except (PkiError, OSError) as error:
            log.event("publication.failed", level=ERROR, cause=type(error).__name__)
            raise UnavailableError(f"the CA's ledger: {error}") from error


def create_app(
    layout: Layout, *, path: str = "", clock: Callable[[], datetime] = utc_now
) -> Starlette:
    """Return the application; `path` is what stands before /crl, /ocsp and /ca."""
    publication = Publication(layout, clock)
    operations = (
        ("crl", "GET", "/crl/{authority}/{scope}.crl", publication.crl),
        ("ca", "GET", "/ca/{authority}.cer", publication.authority),
        ("ocsp", "GET", "/ocsp/{encoded:path}", publication.ask),
        ("ocsp", "POST", "/ocsp", publication.post),
    )
    app = Starlette(
        routes=[
            Route(f"{path}{below}", answered(name, handle, event=REFUSED), methods=[by])
            for name, by, below, handle in operations
        ],
        exception_handlers={
            HTTPException: partial(lost, event=REFUSED),
            Exception: failed,
        },
        lifespan=publication.lifespan,
    )
    app.router.redirect_slashes = False  # a redirect would repeat the Host it was sent
    return app


def _outdated(imprint: Imprint) -> OutdatedError:
    """Return the refusal of a list that should have been made anew, and tell of it."""
    metrics.outdated("crl")
    log.event(
        "publication.outdated",
        level=ERROR,
        authority=imprint.authority,
        scope=imprint.scope,
        next_update=imprint.next_update,
    )
    return OutdatedError(
        f"list {imprint.scope} of {imprint.authority}: {imprint.next_update}"
    )


def _certificate(
    ledger: Ledger, authority: str, now: datetime
) -> x509.Certificate | None:
    """Return the newest certificate of a CA key of ours, if it has not ended."""
    for identity in ("issuing", "root"):
        for entry in reversed(ledger.issued(after=now, identity=identity)):
            certificate = certificate_of(entry)
            if authority_of(certificate) == authority:
                return certificate
    return None


def _told(request: Request, found: Found) -> Response:
    """Return what was found, or 304 to whoever has it (RFC 9110, section 13.1.2)."""
    tag = found.tag or _tag(found.der)
    seconds = int(found.keep.total_seconds())
    headers = {
        "ETag": tag,
        "Last-Modified": format_datetime(found.since, usegmt=True),
        "Cache-Control": f"public, max-age={seconds}, must-revalidate, no-transform",
    }
    if request.method != "POST" and _has(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(found.der, media_type=found.kind, headers=headers)


def _tag(der: bytes) -> str:
    return f'"{sha256(der).hexdigest()}"'


def _has(request: Request, tag: str) -> bool:
    """Return whether the caller has what `tag` names; no tag of ours has a comma."""
    named = ",".join(request.headers.getlist("if-none-match")).split(",")
    return not {"*", tag, f"W/{tag}"}.isdisjoint(one.strip() for one in named)


def _note(status: ocsp.OCSPResponseStatus) -> None:
    """Write down that a question got no answer; an alarm if the lack is ours."""
    lacks = status == ocsp.OCSPResponseStatus.TRY_LATER
    if lacks:
        metrics.outdated("ocsp")
    log.event(
        "publication.outdated" if lacks else REFUSED,
        level=ERROR if lacks else WARNING,
        outcome="refused",
        operation="ocsp",
        code=status.name.lower(),
    )
