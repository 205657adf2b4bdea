"""Pass a judged request on to its upstream, and tell what went wrong there.

The upstream gets the method, the path as it was sent, what `fields` lets pass, the body
while it arrives, the caller's certificate in Client-Cert (RFC 9440), and a token of the
gateway's own. Redirects are the caller's to follow or not. What TLS or the network had
to say goes to the log alone.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from cryptography import x509

from services.gateway.body import Body
from services.gateway.errors import (
    ExchangeRefusedError,
    SlowCallerError,
    UpstreamAnswerError,
    UpstreamError,
    UpstreamRefusalError,
    UpstreamTimeoutError,
)
from services.gateway.fields import Field, stated
from services.gateway.gateway import Gateway
from services.gateway.routes import Route
from services.guard.errors import InsufficientScopeError
from services.guard.grant import Grant
from services.guard.token_source import TokenUnavailableError
from services.proof.errors import RevokedTokenError

# It is the gateway that these refuse, not the caller (RFC 9110, sections 15.5.2, .8).
_NUMBER = re.compile(r"[0-9]{1,18}")
_REFUSALS = {httpx.codes.UNAUTHORIZED, httpx.codes.PROXY_AUTHENTICATION_REQUIRED}


async def ask(  # noqa: PLR0913 - all of a request
    gateway: Gateway,
    route: Route,
    grant: Grant,
    token: str,
    *,
    method: str,
    fields: list[Field],
    issuers: tuple[x509.Certificate, ...],
    body: Body,
) -> httpx.Response:
    """Return the head of the upstream's answer; its body is still to be read.

    Raises:
        UpstreamError: it refuses the gateway, or its answer cannot be passed on.
        httpx.HTTPError: and all else that `faults` knows.
    """
    request = httpx.Request(
        method,
        route.url,
        headers=[*fields, *stated(grant.peer.certificate, issuers)],
        content=body if body.is_there else None,
        extensions={
            # As it was sent: httpx would write the path anew.
            "target": route.target,
            "timeout": httpx.Timeout(gateway.config.patience).as_dict(),
        },
    )
    client = gateway.client(route, grant, token)
    response = await client.send(request, stream=True, follow_redirects=False)
    try:
        _check(response, gateway.config.longest_answer)
    except UpstreamError:
        await response.aclose()
        raise
    return response


@contextmanager
def faults(route: Route, body: Body) -> Iterator[None]:
    """Say in the gateway's own words what goes wrong with the upstream."""
    where = f"{route.upstream.spiffe_id} at {route.url}"
    try:
        yield
    except TokenUnavailableError as error:
        raise _exchange(error, route) from error
    except (httpx.TimeoutException, TimeoutError) as error:
        if body.awaited:
            raise SlowCallerError("the caller's body") from error
        raise UpstreamTimeoutError(f"{where}: {type(error).__name__}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UpstreamError(f"{where}: {type(error).__name__}: {error}") from error


def _check(response: httpx.Response, longest: int) -> None:
    if response.status_code in _REFUSALS:
        said = response.headers.get("www-authenticate", "")
        raise UpstreamRefusalError(f"{response.status_code} {said[:200]}")
    length = response.headers.get("content-length", "0")
    if not _NUMBER.fullmatch(length) or int(length) > longest:
        raise UpstreamAnswerError(f"content-length {length[:20]!r}")


def _exchange(error: TokenUnavailableError, route: Route) -> Exception:
    """Return what it means that the caller's token was not exchanged."""
    match error.code:
        case "invalid_request" | "invalid_grant":
            # Judged good a moment ago: it was revoked or ended since (RFC 8693, 2.2.2).
            return RevokedTokenError(str(error))
        case "invalid_scope":
            needed = " ".join(sorted(route.upstream.scopes))
            return InsufficientScopeError(needed, frozenset())
        case TokenUnavailableError.code:
            return error
    return ExchangeRefusedError(str(error))


def issuers_of(scope: Mapping[str, Any]) -> tuple[x509.Certificate, ...]:
    """Return the issuing CAs of the caller's chain, as far as TLS told them.

    A root is left out (RFC 9440, section 2.3): the upstream has its own.
    """
    chain = scope["extensions"]["tls"].get("client_cert_chain") or ()
    found = (x509.load_pem_x509_certificate(pem.encode()) for pem in chain[1:])
    return tuple(each for each in found if each.subject != each.issuer)
