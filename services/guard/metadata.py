"""What a guarded service says about itself (RFC 9728), and where.

`resource` is the audience: what a client asks a token for (RFC 8707), and what a guard
finds in `aud`. It names the service, whichever host or port answers for it; so a client
that begins with the name finds the document by the rule of section 3.1, and section 3.3
holds. One that begins with an address of the service is told where the document is by
every challenge (section 5.1), at the address it used. It then reads a `resource` that
is not that address, unless the topology makes the audience the address itself: see
docs/decisions/0013. The document is served under the path of the audience and, for
those who apply the rule to an address, under that of the resource.

It is for whoever TLS admits; there is nothing in it that a challenge would not tell.
"""

from typing import Any
from urllib.parse import urlsplit

from services.config import GuardConfig, ServiceConfig
from services.guard.credentials import DPOP
from services.proof.embedded_key import PROOF_ALGORITHMS

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def metadata(config: ServiceConfig, schemes: tuple[str, ...]) -> dict[str, Any]:
    """Return the document of a service that takes tokens under `schemes`."""
    members = {
        "resource": config.guard.audience,
        "authorization_servers": [config.token_service.issuer],
        "scopes_supported": config.guard.scopes,
        "bearer_methods_supported": ["header"],  # never the query or a form (6750, 2)
        "tls_client_certificate_bound_access_tokens": True,
        "dpop_bound_access_tokens_required": False,  # a certificate does as well
    }
    if DPOP in schemes:
        members["dpop_signing_alg_values_supported"] = sorted(PROOF_ALGORITHMS)
    return members


def metadata_paths(guard: GuardConfig) -> frozenset[str]:
    """Return where the document is served."""
    return frozenset({_path(guard.audience), WELL_KNOWN + guard.resource.rstrip("/")})


def metadata_url(guard: GuardConfig, host: str) -> str:
    """Return the URL of the document for a caller that named `host`.

    The Host header is the caller's, so that it only chooses among our own roots.
    """
    audience = urlsplit(guard.audience)
    roots = guard.origins or [f"{audience.scheme}://{audience.netloc}"]
    named = [root for root in roots if urlsplit(root).netloc == host.lower()]
    return (named or roots)[0].rstrip("/") + _path(guard.audience)


def _path(uri: str) -> str:
    """Return the well-known path of `uri`: the well-known part comes first (3.1)."""
    return WELL_KNOWN + urlsplit(uri).path.rstrip("/")
