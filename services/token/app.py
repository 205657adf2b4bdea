"""The token service as an ASGI application.

`POST /token`, `/introspect` and `/revoke` are for clients, each of which authenticates
by the method it is registered for; metadata, public keys and the list of revoked tokens
are for everybody the TLS layer admits. One line of the log says who got what, or why
not.

Which certificates TLS admits is for `registry`; who is which client, for
`authentication`; what a client may have, for `grants`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pki.clock import utc_now
from services import audit, metrics
from services.buckets import Buckets
from services.config import TokenServiceConfig
from services.proof.access_token import AccessToken
from services.state.open import open_store
from services.state.store import Store
from services.token.admission import Admission
from services.token.answer import NO_STORE, Answer, server_error
from services.token.call import Call
from services.token.endpoint import Asked, Endpoint, Handler, counted
from services.token.front import Front
from services.token.grants import answer_members, grant
from services.token.introspection import introspect
from services.token.key_ring import OWN_KEYS, KeyRing
from services.token.limits import Limits
from services.token.metadata import metadata, metadata_path
from services.token.own_keys import OwnKeys
from services.token.registry import Registry
from services.token.revocation import FEED, feed, revoke
from services.token.rotation import Schedule
from services.token.siblings import Sibling
from services.token.tokens import Tokens, token_type
from services.token.vitals import TokenServiceVitals
from services.watched import Watched

_CACHEABLE = {"Cache-Control": "max-age=300"}
_STORE_FILE = "shared.sqlite"


class TokenService:
    """What the endpoints do."""

    def __init__(self, config: Watched[TokenServiceConfig], tokens: Tokens) -> None:
        self._config = config
        self._tokens = tokens

    async def token(self, call: Call) -> Response:
        """Answer a token request (RFC 6749, section 3.2)."""
        token = await grant(call, self._tokens)
        text = await self._tokens.issue(token, opaque=call.client.opaque)
        _note_issued(token, call)
        return Answer(
            {
                "access_token": text,
                "token_type": token_type(token),
                "expires_in": int((token.expires_at - token.issued_at).total_seconds()),
                "scope": " ".join(sorted(token.scopes)),
                **answer_members(call),
            }
        )

    async def introspect(self, call: Call) -> Response:
        """Answer an introspection request (RFC 7662, section 2)."""
        return await introspect(call, self._tokens)

    async def revoke(self, call: Call) -> Response:
        """Answer a revocation request (RFC 7009, section 2)."""
        return await revoke(call, self._tokens)

    async def revocations(self, request: Request) -> Response:
        """Answer a guard that asks which tokens are void."""
        return await feed(request, self._tokens)

    async def jwks(self, _request: Request) -> Response:
        """Answer with the public keys of all replicas (RFC 7517, section 5)."""
        return JSONResponse(await self._tokens.keys.document(), headers=_CACHEABLE)

    async def own_jwks(self, _request: Request) -> Response:
        """Answer another replica with the public key of this one."""
        return JSONResponse(self._tokens.keys.own_document(), headers=_CACHEABLE)

    async def metadata(self, _request: Request) -> Response:
        """Answer with the metadata (RFC 8414, section 3.2)."""
        return JSONResponse(metadata(self._config.current()), headers=_CACHEABLE)


def create_app(
    config: Watched[TokenServiceConfig],
    *,
    registry: Registry,
    siblings: tuple[Sibling, ...] = (),
    clock: Callable[[], datetime] = utc_now,
) -> Starlette:
    """Return the application for the token service that `config` describes.

    Raises:
        SigningKeyError: its signing key can be neither read nor made.
        StateUrlError: the store it names is none.
    """
    first = config.current()
    store = _store(first, clock)
    own = OwnKeys(first.state, lambda: _schedule(config.current()), clock)
    keys = KeyRing(own, siblings)
    service = TokenService(config, Tokens(first.issuer, keys, store))
    admission = Admission(config, registry, store, clock)

    @asynccontextmanager
    async def prepared(_app: Starlette) -> AsyncIterator[None]:
        await registry.prepare()
        yield
        await store.aclose()
        for sibling in siblings:
            await sibling.aclose()

    app = Front(
        _posts(config, service, admission),
        routes=_gets(config, service),
        exception_handlers={HTTPException: _not_answered, Exception: _failed},
        lifespan=prepared,
    )
    app.state.vitals = TokenServiceVitals(own, store)
    app.router.redirect_slashes = False  # a redirect would repeat the Host it was sent
    return app


def _posts(
    config: Watched[TokenServiceConfig], service: TokenService, admission: Admission
) -> dict[str, ASGIApp]:
    """Return the endpoints for clients by their paths."""
    base = _base(config)

    def endpoint(name: str, handle: Handler) -> Endpoint:
        limits = Limits(lambda: getattr(config.current().rates, name), Buckets())
        return Endpoint(name, admission, limits, handle)

    return {
        f"{base}/token": endpoint("token", service.token),
        f"{base}/introspect": endpoint("introspection", service.introspect),
        f"{base}/revoke": endpoint("revocation", service.revoke),
    }


def _gets(config: Watched[TokenServiceConfig], service: TokenService) -> list[Route]:
    """Return what everybody may ask for."""
    base = _base(config)

    def get(path: str, name: str, handle: Asked) -> Route:
        return Route(path, counted(name, handle), methods=["GET"])

    return [
        get(f"{base}{FEED}", "revocations", service.revocations),
        get(f"{base}/jwks", "jwks", service.jwks),
        get(f"{base}{OWN_KEYS}", "own_jwks", service.own_jwks),
        get(metadata_path(config.current().issuer), "metadata", service.metadata),
    ]


def _base(config: Watched[TokenServiceConfig]) -> str:
    """Return what the paths begin with; the metadata says the same."""
    return urlsplit(config.current().issuer).path.rstrip("/")


def _store(config: TokenServiceConfig, clock: Callable[[], datetime]) -> Store:
    where = config.store or config.state / _STORE_FILE
    password = config.store_password
    return open_store(where, scope=config.issuer, clock=clock, password=password)


def _schedule(config: TokenServiceConfig) -> Schedule:
    return Schedule.of(config.key_rotation, config.key_lead)


def _note_issued(token: AccessToken, call: Call) -> None:
    grant_type = call.form.required("grant_type").rpartition(":")[2]
    metrics.issued(grant=grant_type, binding=call.client.binding)
    audit.granted(
        "token.issued",
        client_id=token.client_id,
        peer=call.peer.spiffe_id,
        serial=call.peer.serial,
        subject=token.subject,
        audience=token.audience,
        scope=" ".join(sorted(token.scopes)),
        token_id=token.token_id,
        binding=call.client.binding,
    )


async def _not_answered(_request: Request, error: Exception) -> Response:
    """Answer another path or method; no cache may keep that (RFC 9110, 15.1)."""
    if not isinstance(error, HTTPException):
        raise error
    headers = {**(error.headers or {}), **NO_STORE}
    return Response(status_code=error.status_code, headers=headers)


async def _failed(_request: Request, error: Exception) -> Response:
    return server_error(error)
