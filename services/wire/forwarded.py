"""Behind a proxy: who calls is the certificate that a trusted hop forwards (RFC 9440).

    app = ForwardedCertificate(app, identity=identity, hops=lambda: ())   # off

An ASGI layer between server and application. `services.process` puts it around every
application. Without a trusted hop it believes nobody, which is the default.

1. The connection's own peer is looked at first, never a header: is it a trusted hop
   (`wire.hops`)? A connection without a certificate must show a hop's secret.
2. From a hop, exactly one statement is taken, in the one form agreed with it
   (`wire.client_cert`, `wire.xfcc`). Missing, doubled, malformed, oversize, in another
   form or spelling: the request is refused. A hop that lets through what it should
   have removed is a hole, and is not to be found out by an application.
3. The forwarded certificate must be good by our own trust bundle, now (`wire.callers`).
   One that is revoked goes on with that said beside it, as in `wire.checked`.
4. It takes the place of the connection's in `scope["extensions"]["tls"]`, so that
   `wire.peer`, guard and token service see the original caller and know no difference.
   From a hop that brings tokens of its own (`binding` is "hop": a gateway), it stands
   beside the connection's instead, for `wire.original`.

From anybody else the same fields are removed, and the request goes on as what it is: a
request of the peer at the other end. They are not believed (section 2.4), so they need
not be refused either; a caller whose own outgoing proxy adds one is no attacker, and
one who is wins nothing. The log tells of them. Names are compared as a careless reader
would: without case, and with every other character than a letter or digit as a hyphen.

The rest of the extension (`tls_version`, `cipher_suite`) is left as it is: it tells of
the connection to the proxy. That the caller holds the key, the hop alone has seen.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from logging import WARNING
from operator import itemgetter
from typing import Any, NamedTuple

from cryptography import x509
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pki.clock import utc_now
from services import audit, log
from services.wire import client_cert, xfcc
from services.wire.callers import Caller, Callers
from services.wire.forwarding_errors import (
    DuplicateFieldError,
    ForwardedError,
    OtherFormError,
    OversizeFieldError,
    VariantFieldError,
)
from services.wire.generation import LiveIdentity
from services.wire.hops import SECRET_FIELD, Form, Hop, hop_by_name, hop_by_secret
from services.wire.original import ORIGINAL
from services.wire.peer import STATUS, NoCertificateError, PeerError, peer_of
from services.wire.presented import presented_serial
from services.wire.status import CertificateStatus


class _Reader(NamedTuple):
    """What may be sent in one form, and who makes certificates of it."""

    fields: frozenset[bytes]
    unverified_chain: Callable[[Mapping[bytes, bytes]], tuple[x509.Certificate, ...]]


_FORMS: Mapping[Form, _Reader] = {
    "client-cert": _Reader(client_cert.FIELDS, client_cert.unverified_chain),
    "xfcc": _Reader(xfcc.FIELDS, xfcc.unverified_chain),
}
_FIELDS = client_cert.FIELDS | xfcc.FIELDS | {SECRET_FIELD}
_NAME = itemgetter(0)
_LENGTHS = {len(name) for name in _FIELDS}  # folding changes none
_LONGEST = 16 * 1024  # bytes; a chain of three with ML-DSA-65 in URL encoding
_FOLDED = bytes(
    character if bytes([character]).isalnum() else ord("-")
    for character in bytes(range(256)).lower()
)

_Fields = Sequence[tuple[bytes, bytes]]


class ForwardedCertificate:
    """Let `app` see the original caller of what trusted hops forward."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        identity: LiveIdentity,
        hops: Callable[[], Collection[Hop]],
        status: CertificateStatus | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Read today's trust bundle; forwarded certificates are looked up in `status`.

        Raises:
            BundleError: the identity has no trust bundle.
        """
        self._app = app
        self._trust_domain = identity.expected.trust_domain
        self._hops = hops
        self._callers = Callers(identity)
        self._status = status
        self._clock = clock

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the request on as its original caller's, or answer why not."""
        if scope["type"] != "http" or self._is_plain(scope):
            return self._app(scope, receive, send)
        return self._forward(scope, receive, send)

    def _is_plain(self, scope: Scope) -> bool:
        """Return whether there is nothing to believe and nothing to remove.

        As with most requests to a process without a hop. Where there is no certificate,
        somebody owes a hop's secret.
        """
        tls = (scope.get("extensions") or {}).get("tls")
        if not tls or not tls.get("client_cert") or self._hops():
            return False
        names = map(_NAME, scope["headers"])
        return _LENGTHS.isdisjoint(map(len, names)) or not any(
            _is_ours(name) for name, _ in scope["headers"]
        )

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        others, ours = _parted(scope["headers"])
        hop: Hop | None = None
        try:
            hop = self._hop(scope, ours)
            caller = self._caller(ours, hop) if hop else None
        except ForwardedError as refusal:
            _log_refusal(refusal, hop, scope)
            await _answer(refusal)(scope, receive, _answering(send))
            return
        if hop and caller:
            found = await self._verdict(caller)
            scope = _as_caller({**scope, "headers": others}, caller, hop, found)
            send = _answering(send)
        elif ours:
            _log_stripped(ours, scope)
            scope = {**scope, "headers": others}
        await self._app(scope, receive, send)

    async def _verdict(self, caller: Caller) -> PeerError | None:
        """Return what speaks against a forwarded certificate (`wire.checked`)."""
        if self._status is None:
            return None
        return await self._status.verdict(caller.chain, of="caller")

    def _hop(self, scope: Scope, ours: _Fields) -> Hop | None:
        """Return the trusted hop at the other end, or None for anybody else."""
        secrets = [value for name, value in ours if name.lower() == SECRET_FIELD]
        try:
            direct = peer_of(scope, trust_domain=self._trust_domain, now=self._clock())
        except NoCertificateError:
            return hop_by_secret(self._hops(), secrets)
        except PeerError:
            return None  # who cannot be named is no hop; the application refuses him
        return hop_by_name(self._hops(), direct.spiffe_id, secrets)

    def _caller(self, ours: _Fields, hop: Hop) -> Caller:
        form = _FORMS[hop.form]
        fields = _single(ours)
        fields.pop(SECRET_FIELD, None)
        if others := fields.keys() - form.fields:
            names = sorted(name.decode() for name in others)
            raise OtherFormError(f"{names} of a hop whose form is {hop.form}")
        key = hop.form, *sorted(fields.items())
        now = self._clock()
        return self._callers.known(key, now=now) or self._callers.verify(
            form.unverified_chain(fields), key, now=now
        )


def _parted(headers: Iterable[tuple[bytes, bytes]]) -> tuple[_Fields, _Fields]:
    """Return the fields that are for the application, and those that are for us."""
    others: list[tuple[bytes, bytes]] = []
    ours: list[tuple[bytes, bytes]] = []
    for field in headers:
        (ours if _is_ours(field[0]) else others).append(field)
    return others, ours


def _is_ours(name: bytes) -> bool:
    """Return whether a careless reader takes a field for one of ours."""
    return name.translate(_FOLDED) in _FIELDS


def _single(ours: _Fields) -> dict[bytes, bytes]:
    """Return each field's one value.

    Raises:
        VariantFieldError: a name is spelt with anything but hyphens.
        DuplicateFieldError: a field is there twice.
        OversizeFieldError: a value is too large.
    """
    single: dict[bytes, bytes] = {}
    for presented, value in ours:
        name = presented.lower()
        if name not in _FIELDS:
            raise VariantFieldError(f"{presented.decode('latin-1')!r} from a hop")
        if name in single:
            raise DuplicateFieldError(f"two {name.decode()} fields")
        if len(value) > _LONGEST:
            raise OversizeFieldError(f"{name.decode()} has {len(value)} bytes")
        single[name] = value
    return single


def _as_caller(
    scope: Scope, caller: Caller, hop: Hop, found: PeerError | None
) -> Scope:
    extensions: dict[str, Any] = scope.get("extensions") or {}
    certificate = {
        "client_cert": caller.der,
        "client_cert_chain": caller.chain,
        STATUS: found,
    }
    if hop.binding == "hop":
        return {**scope, "extensions": {**extensions, ORIGINAL: certificate}}
    tls = {**extensions.get("tls", {}), **certificate}
    return {**scope, "extensions": {**extensions, "tls": tls}}


def _answering(send: Send) -> Send:
    """Return a `send` whose answers no cache gives to another caller.

    The field that named the caller is one of the request as the origin saw it (RFC
    9440, section 2.4). It never goes back, whatever an application does with it.
    """

    async def answering(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers, _ = _parted(message.get("headers", ()))
            vary = (b"vary", b"Client-Cert, X-Forwarded-Client-Cert")
            message = {**message, "headers": [*headers, vary]}
        await send(message)

    return answering


def _answer(refusal: ForwardedError) -> JSONResponse:
    return JSONResponse(
        {"error": refusal.code, "error_description": refusal.description},
        status_code=refusal.status,
        headers={"Cache-Control": "no-store"},
    )


def _log_refusal(refusal: ForwardedError, hop: Hop | None, scope: Scope) -> None:
    audit.refused(
        "forwarded.refused",
        refusal,
        client_id=None,  # nobody has been asked for a token yet
        peer=hop.spiffe_id if hop else None,
        certificate=presented_serial(scope),
        method=scope["method"],
        path=scope["path"],
    )


def _log_stripped(ours: _Fields, scope: Scope) -> None:
    log.event(
        "forwarded.stripped",
        level=WARNING,
        method=scope["method"],
        path=scope["path"],
        fields=[name for name, _ in ours],
    )
