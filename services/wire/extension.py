"""The client certificate in the ASGI scope: the one file to delete one day.

uvicorn does not fill `scope["extensions"]["tls"]` (ASGI TLS extension, version 0.2).
Two of its open pull requests do; the mixin here takes their form, so that an
application will not notice the change: `client_cert` is the DER form of the verified
leaf (uvicorn #3132), `client_cert_chain` an immutable tuple of PEM texts, leaf first
(uvicorn #3133). Once uvicorn has it, `wire.server` drops the mixin.

Three choices are ours. Before Python 3.13, which has a public call for it, the verified
chain is what the private one says, that has been there since 3.10; without either, the
tuple holds the leaf alone (#3133 leaves it empty). `server_cert` is None, because
Python cannot tell what it presented. `client_cert_name` and `client_cert_error` are
left out, as the next version of the extension does (asgiref #590). One member is not of
the extension: `OUTSIDE` marks a certificate that our trust bundle does not vouch for.

`wire.peer` reads what stands here. Nothing is checked here: a certificate that TLS did
not verify never comes this far, because the handshake requires one.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import cache, lru_cache
from typing import Any

from services.wire.peer import OUTSIDE

_VERSIONS = {
    "TLSv1.2": ssl.TLSVersion.TLSv1_2.value,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3.value,
}
_REMEMBERED = 1024  # certificates; about 2 kB each
_DER = 2  # what the private call takes for it


class WithCertificate(asyncio.Protocol):
    """A mixin that stands before a protocol of uvicorn's, over either parser."""

    app: Callable[..., Any]
    _unset_keepalive_if_required: Callable[[], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read the handshake's outcome once, for all requests of the connection."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.app = _extended(self.app, extension(tls))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        # After a reset uvicorn leaves its timer running, which holds the connection,
        # and with it the TLS state, in memory until it fires.
        self._unset_keepalive_if_required()


def extension(tls: ssl.SSLObject) -> dict[str, object]:
    """Return the extension's members for a connection that has shaken hands."""
    leaf = tls.getpeercert(binary_form=True)
    chain = chain_of(tls)
    cipher = tls.cipher()
    members: dict[str, object] = {
        "server_cert": None,
        "client_cert": leaf,
        "client_cert_chain": tuple(map(_pem, chain)),
        "tls_version": _VERSIONS.get(tls.version() or ""),
        "cipher_suite": _cipher_suites().get(cipher[0]) if cipher else None,
    }
    own_roots = getattr(tls, "own_roots", None)  # `wire.tls`: there are others, too
    if own_roots is not None and own_roots.isdisjoint(chain[-1:]):
        members[OUTSIDE] = True
    return members


def _extended(app: Callable[..., Any], tls: dict[str, object]) -> Callable[..., Any]:
    def extended(
        scope: dict[str, Any], receive: object, send: object
    ) -> Awaitable[None]:
        # A copy for each request: what one request's application changes in it must
        # not become another's certificate.
        scope.setdefault("extensions", {})["tls"] = dict(tls)
        return app(scope, receive, send)  # type: ignore[no-any-return]

    return extended


def chain_of(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """Return the verified chain in DER, the leaf first, or what can be known of it."""
    leaf = tls.getpeercert(binary_form=True)
    if leaf is None:
        return ()
    verified = getattr(tls, "get_verified_chain", None)  # Python 3.13
    if verified is not None:
        return tuple(verified())
    inner = getattr(getattr(tls, "_sslobj", None), "get_verified_chain", None)
    if inner is not None:
        return tuple(certificate.public_bytes(_DER) for certificate in inner())
    return (leaf,)


@lru_cache(maxsize=_REMEMBERED)
def _pem(der: bytes) -> str:
    """Return one form of the other; the same come with nearly every connection."""
    return ssl.DER_cert_to_PEM_cert(der)


@cache
def _cipher_suites() -> dict[str, int]:
    """Return OpenSSL's names of the suites with the numbers the RFCs give them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL")
    # The upper half of OpenSSL's number says which protocol family it is from.
    return {suite["name"]: suite["id"] & 0xFFFF for suite in context.get_ciphers()}
