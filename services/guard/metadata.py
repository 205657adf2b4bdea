"""What whoever takes tokens says about itself (RFC 9728), and where.

A guarded service does, and a gateway.

`resource` is the audience: what a client asks a token for (RFC 8707), and what a guard
finds in `aud`. It names the service, whichever host or port answers for it; so a client
that begins with the name finds the document by the rule of section 3.1, and section 3.3
holds. One that begins with an address of the service is told where the document is by
every challenge (section 5.1), at the address it used. It then reads a `resource` that
is not that address, unless the topology makes the audience the address itself: see
docs/decisions/0013. The document is served under the path of the audience and, for
those who apply the rule to an address, under that of a service's resource.

It is for whoever TLS admits; there is nothing in it that a challenge would not tell.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from services.guard.credentials import DPOP
from services.proof.embedded_key import PROOF_ALGORITHMS

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_CACHEABLE = {"Cache-Control": "max-age=300"}


def metadata(
    audience: str, *, issuer: str, scopes: Iterable[str], schemes: Sequence[str]
) -> dict[str, Any]:
    """Return the document of whoever takes tokens for `audience` under `schemes`."""
    members = {
        "resource": audience,
        "authorization_servers": [issuer],
        "scopes_supported": sorted(scopes),
        "bearer_methods_supported": ["header"],  # never the query or a form (6750, 2)
        "tls_client_certificate_bound_access_tokens": True,
        "dpop_bound_access_tokens_required": False,  # a certificate does as well
    }
    if DPOP in schemes:
        members["dpop_signing_alg_values_supported"] = sorted(PROOF_ALGORITHMS)
    return members


def metadata_paths(audience: str, resource: str = "") -> frozenset[str]:
    """Return where the document is served."""
    return frozenset({_path(audience), WELL_KNOWN + resource.rstrip("/")})


def metadata_url(audience: str, origins: Sequence[str], host: str) -> str:
    """Return the URL of the document for a caller that named `host`.

    The Host header is the caller's, so that it only chooses among our own roots.
    """
    name = urlsplit(audience)
    roots = origins or [f"{name.scheme}://{name.netloc}"]
    named = [root for root in roots if urlsplit(root).netloc == host.lower()]
    return (named or roots)[0].rstrip("/") + _path(audience)


def describe(scope: Scope, document: dict[str, Any]) -> Response:
    """Answer with the document, which needs no token (section 3.1)."""
    if scope["method"] not in {"GET", "HEAD"}:
        return Response(status_code=405, headers={"Allow": "GET, HEAD"})
    return JSONResponse(document, headers=_CACHEABLE)


def _path(uri: str) -> str:
    """Return the well-known path of `uri`: the well-known part comes first (3.1)."""
    return WELL_KNOWN + urlsplit(uri).path.rstrip("/")
