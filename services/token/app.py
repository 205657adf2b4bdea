"""The token service as an ASGI application (RFC 6749, RFC 8705, RFC 8414).

`POST /token` reads the form, authenticates the client by the certificate of its
connection, decides, signs and answers; one line of the log says who got what, or why
not. `GET /jwks` and the metadata are for everybody the TLS layer admits.

Which certificates TLS admits is for `wire`; which of them is which client, for
`clients`; what a client may have, for `grants`.
"""

from collections.abc import Callable
from datetime import datetime
from logging import ERROR, WARNING
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pki.clock import utc_now
from services import log
from services.config import TokenServiceConfig
from services.proof.access_token import TYPE, AccessToken, claims_for
from services.token.clients import Clients
from services.token.errors import (
    InvalidRequestError,
    RequestTooLargeError,
    TokenRequestError,
    UnusableCertificateError,
)
from services.token.form import LONGEST_BODY, TokenForm, read_form
from services.token.grants import grant
from services.token.metadata import metadata, metadata_path
from services.token.signing_keys import SigningKey, load_or_make
from services.watched import Watched
from services.wire.peer import Peer, PeerError, peer_of

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749, 5.1
_CACHEABLE = {"Cache-Control": "max-age=300"}


class TokenService:
    """The endpoints, over one configuration that may change while they run."""

    def __init__(
        self,
        config: Watched[TokenServiceConfig],
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._config = config
        self._clock = clock
        self._key: SigningKey = load_or_make(config.current().state)
        self._clients_of: TokenServiceConfig = config.current()
        self._clients = Clients(self._clients_of.clients)

    async def token(self, request: Request) -> Response:
        """Answer a token request (RFC 6749, section 3.2)."""
        form: TokenForm | None = None
        peer: Peer | None = None
        try:
            peer = self._peer(request)
            if "authorization" in request.headers:
                raise InvalidRequestError("credentials beside a client certificate")
            form = read_form(
                await _body(request),
                content_type=request.headers.get("content-type", ""),
                query=request.scope["query_string"],
            )
            token = self._grant(form, peer)
        except TokenRequestError as error:
            return _refusal(error, form, peer)
        _log_issued(token, peer)
        return JSONResponse(
            {
                "access_token": self._key.sign(claims_for(token), kind=TYPE),
                "token_type": "Bearer",
                "expires_in": int((token.expires_at - token.issued_at).total_seconds()),
                "scope": " ".join(sorted(token.scopes)),
            },
            headers=_NO_STORE,
        )

    async def jwks(self, _request: Request) -> Response:
        """Answer with the public signing keys (RFC 7517, section 5)."""
        return JSONResponse({"keys": [self._key.public_jwk()]}, headers=_CACHEABLE)

    async def metadata(self, _request: Request) -> Response:
        """Answer with the metadata (RFC 8414, section 3.2)."""
        return JSONResponse(metadata(self._config.current()), headers=_CACHEABLE)

    def _peer(self, request: Request) -> Peer:
        try:
            return peer_of(
                request.scope,
                trust_domain=self._config.current().trust_domain,
                now=self._clock(),
            )
        except PeerError as error:
            raise UnusableCertificateError(str(error)) from error

    def _grant(self, form: TokenForm, peer: Peer) -> AccessToken:
        client = self._registry().authenticate(form.required("client_id"), peer)
        issuer = self._config.current().issuer
        return grant(form, client, peer, issuer=issuer, now=self._clock())

    def _registry(self) -> Clients:
        """Return the clients of today's configuration, read once for each."""
        config = self._config.current()
        if config is not self._clients_of:
            self._clients = Clients(config.clients)
            self._clients_of = config
        return self._clients


def create_app(
    config: Watched[TokenServiceConfig], *, clock: Callable[[], datetime] = utc_now
) -> Starlette:
    """Return the application for the token service that `config` describes.

    Raises:
        SigningKeyError: its signing key can be neither read nor made.
    """
    service = TokenService(config, clock=clock)
    issuer = config.current().issuer
    base = urlsplit(issuer).path.rstrip("/")  # what the metadata says, too
    app = Starlette(
        routes=[
            Route(f"{base}/token", service.token, methods=["POST"]),
            Route(f"{base}/jwks", service.jwks, methods=["GET"]),
            Route(metadata_path(issuer), service.metadata, methods=["GET"]),
        ],
        exception_handlers={
            HTTPException: _not_answered,
            Exception: _server_error,
        },
    )
    app.router.redirect_slashes = False  # a redirect would repeat the Host it was sent
    return app


async def _body(request: Request) -> bytes:
    """Return the whole body, or stop reading where no honest request would go on."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST_BODY:
                raise RequestTooLargeError(f"body longer than {LONGEST_BODY} bytes")
    except ClientDisconnect:
        raise InvalidRequestError("the caller hung up before the end") from None
    return bytes(body)


def _refusal(
    error: TokenRequestError, form: TokenForm | None, peer: Peer | None
) -> Response:
    """Answer and log a refused request: the one place that makes error answers."""
    log.event(
        "token.refused",
        level=WARNING,
        code=error.code,
        cause=type(error).__name__,
        reason=error,
        client_id=form.single.get("client_id") if form else None,
        peer=peer.spiffe_id if peer else None,
        certificate=format(peer.serial, "x") if peer else None,
    )
    headers = dict(_NO_STORE)
    if isinstance(error, UnusableCertificateError | RequestTooLargeError):
        headers["Connection"] = "close"
    return JSONResponse(
        {"error": error.code, "error_description": error.description},
        status_code=error.status,
        headers=headers,
    )


def _log_issued(token: AccessToken, peer: Peer) -> None:
    log.event(
        "token.issued",
        client_id=token.client_id,
        audience=token.audience,
        scope=" ".join(sorted(token.scopes)),
        token_id=token.token_id,
        bound=token.confirmation is not None,
        peer=peer.spiffe_id,
        certificate=format(peer.serial, "x"),
    )


async def _not_answered(_request: Request, error: Exception) -> Response:
    """Answer another path or method; no cache may keep that (RFC 9110, 15.1)."""
    if not isinstance(error, HTTPException):
        raise error
    headers = {**(error.headers or {}), **_NO_STORE}
    return Response(status_code=error.status_code, headers=headers)


async def _server_error(_request: Request, error: Exception) -> Response:
    """Answer an error nobody foresaw with a code and nothing else."""
    log.event("token.failed", level=ERROR, cause=type(error).__name__)
    return JSONResponse({"error": "server_error"}, status_code=500, headers=_NO_STORE)
