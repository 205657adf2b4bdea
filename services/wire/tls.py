"""TLS contexts: what this side demands before a single byte of HTTP is read.

`wire.server` uses `ServerContext`, `wire.client` uses `client_context`. Both trust the
bundle of their generation and nothing else (RFC 8705, section 7.4), speak TLS 1.3
(RFC 8446), and take certificates that OpenSSL's strict mode accepts. TLS 1.2 is spoken
by a server that is told to, with the four suites of FAPI 2.0, section 5.2.2 (BCP 195).

Proved here: the peer holds the key of a certificate that chains to the bundle and is in
date now; for a client also that the server is the service that was meant. Not proved:
that a client may do what it asks for, and that its certificate is still good at a later
request of the same connection (`wire.peer`, `guard`).

One server has clients of other issuers, or of none: the token service. Its `Anchors`
are let in beside the bundle, on its own listener and nowhere else. Whoever comes by one
of them is marked (`wire.extension`) and is no peer (`wire.peer`); which client it is,
is for `services.token` to find out again (RFC 8705, section 6.1). Strict mode sees to
it that only a real CA certificate can sign another.

The names of the CAs are not listed in the certificate request (RFC 8446, section
4.2.4): Python's `ssl` has no call for it, and a peer with one identity needs no list.
"""

import logging
import ssl
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal, Self

from cryptography.hazmat.primitives.serialization import Encoding

from pki.clock import utc_now
from pki.identity import SpiffeId
from pki.trust import TrustBundle
from services import log
from services.wire.anchors import NO_ANCHORS, Anchors
from services.wire.extension import chain_of
from services.wire.generation import Generation, LiveIdentity
from services.wire.grace import NO_CHECK_TIME, NO_GRACE, check_times
from services.wire.peer import PeerError, workload_of

Minimum = Literal["1.2", "1.3"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_SUITES_OF_1_2 = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"
)
_ALPN = ["http/1.1"]

# The other end went away, or has more to say: neither is a refusal.
_UNFINISHED = (
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ssl.SSLSyscallError,
)


_SELF_SIGNED = 18  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT


class ServerContext(ssl.SSLContext):
    """A context whose every new connection gets the current generation, whole.

    Changing a live context is no way to reload: a mismatched pair breaks each new
    handshake, and a removed root stays trusted. So this one only delegates, to a
    context that is built once per generation and never changed.
    """

    def __new__(cls, *_args: object, **_options: object) -> Self:
        """Make a server's context, whatever `__init__` is given."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(
        self,
        identity: LiveIdentity,
        *,
        minimum: Minimum = "1.3",
        demand_certificate: bool = True,
        anchors: Anchors = NO_ANCHORS,
        grace: timedelta = NO_GRACE,
    ) -> None:
        """Build the first context.

        Raises:
            ssl.SSLError: OpenSSL does not take the identity's files.
        """
        self._identity = identity
        self._minimum = minimum
        # A certificate that is shown is checked either way.
        self._mode = ssl.CERT_REQUIRED if demand_certificate else ssl.CERT_OPTIONAL
        self._anchors = anchors
        self._grace = grace
        self._seen = self._taken = (identity.current(), anchors.current())
        self._context = self._made()

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection for an event loop."""
        return self._present().wrap_bio(*args, **options)

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        """Begin a connection on a blocking socket."""
        return self._present().wrap_socket(*args, **options)

    def _present(self) -> ssl.SSLContext:
        wanted = (self._identity.current(), self._anchors.current())
        if wanted != self._seen:
            self._seen = wanted
            self._take(wanted)
        # TLS 1.2 falls back to a session cache that belongs to the context and that
        # Python cannot switch off; a context that serves one connection has none to
        # resume. A session of TLS 1.3 ends with its tickets, of which there are none.
        if self._minimum == "1.2":
            return self._made()
        return self._context

    def _take(self, wanted: tuple[Generation, bytes]) -> None:
        """Use what is `wanted` from now on, unless OpenSSL will not have it."""
        before, self._taken = self._taken, wanted
        try:
            self._context = self._made()
        except (ssl.SSLError, OSError) as error:
            self._taken = before
            log.event(
                "tls.generation_refused",
                level=logging.ERROR,
                serial=format(wanted[0].serial, "x"),
                reason=error,
            )

    def _made(self) -> ssl.SSLContext:
        generation, anchors = self._taken
        context = _server_context(generation, self._minimum, self._mode)
        members: dict[str, object] = {"missed": staticmethod(self._anchors.missed)}
        if anchors:
            members["own_roots"] = frozenset(context.get_ca_certs(binary_form=True))
            context.load_verify_locations(cadata=anchors)
        if self._grace:
            members["grace"] = self._grace
            context.verify_flags |= NO_CHECK_TIME
        context.sslobject_class = type("ServerSide", (_ServerSide,), members)
        return context


def client_context(
    generation: Generation | None, expected: SpiffeId, trust: TrustBundle | None = None
) -> ssl.SSLContext:
    """Return a context that presents `generation` to `expected`, and to nobody else.

    Without a generation it presents nothing. It trusts the roots of the trust domain of
    `expected`, and none else: the generation's, or for another domain those of `trust`.

    OpenSSL checks chain and host name. Then `do_handshake` compares the SPIFFE ID and
    raises `ssl.SSLCertVerificationError`, before any request is sent to another.

    It is a plain `SSLContext`, because anyio hands each handshake of a subclass to a
    thread; the name to expect lies in the class of its connections.

    Raises:
        ssl.SSLError: OpenSSL does not take the generation's files, or nothing of the
            trust domain is trusted.
        OSError: they are no longer there.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks chain and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    named = {"expected": expected}
    context.sslobject_class = type("ClientSide", (_ClientSide,), named)
    context.sslsocket_class = type("ClientSocket", (_ClientSocket,), named)
    if generation is not None:
        _present(context, generation)
    _trust(context, _roots_for(expected, generation, trust))
    return context


class _ServerSide(ssl.SSLObject):
    """A server's end that says why it refused, to the log and to the client.

    Event loops drop what OpenSSL left to be sent when a handshake fails, and with it
    the alert (cpython #98078). Asking once for more input makes them send it. The peer
    then hangs up; if it does not, the loop's handshake timeout does.
    """

    missed: Callable[[], None]
    own_roots: frozenset[bytes] | None = None  # where there are anchors beside them
    grace = NO_GRACE  # else OpenSSL has not looked at the time
    _refusal: tuple[object, ...] | None = None

    def do_handshake(self) -> None:
        """Take the next step of the handshake."""
        if self._refusal is not None:
            raise ssl.SSLError(*self._refusal)
        try:
            super().do_handshake()
            if self.grace:
                check_times(chain_of(self), grace=self.grace, now=utc_now())
        except _UNFINISHED:
            raise
        except ssl.SSLError as error:
            # The arguments and not the error: its traceback would keep this alive.
            self._refusal = error.args
            log.event(
                "tls.refused",
                level=logging.WARNING,
                reason=getattr(error, "verify_message", None)
                or getattr(error, "reason", None),  # ours (`grace`) has neither
                error=error.strerror,
            )
            if getattr(error, "verify_code", None) == _SELF_SIGNED:
                self.missed()
            raise ssl.SSLWantReadError(
                ssl.SSL_ERROR_WANT_READ, "the alert is to be sent"
            ) from None


class _ClientSide(ssl.SSLObject):
    """A client's end on an event loop."""

    expected: SpiffeId

    def do_handshake(self) -> None:
        """Take the next step of the handshake, the last of which checks the name."""
        super().do_handshake()
        _check_server(self.getpeercert(binary_form=True), self.expected)


class _ClientSocket(ssl.SSLSocket):
    """A client's end on a blocking socket."""

    expected: SpiffeId

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's
        """Finish the handshake and check the name."""
        super().do_handshake(block)
        _check_server(self.getpeercert(binary_form=True), self.expected)


def _check_server(der: bytes | None, expected: SpiffeId) -> None:
    """Check that the verified certificate is that of the service which was meant.

    Raises:
        ssl.SSLCertVerificationError: it names another, or no workload.
    """
    try:
        _, found = workload_of(der or b"")
    except PeerError as error:
        raise ssl.SSLCertVerificationError(1, f"expected {expected}: {error}") from None
    if found != expected:
        raise ssl.SSLCertVerificationError(
            1, f"the server is {found}, expected {expected}"
        )


def _server_context(
    generation: Generation, minimum: Minimum, mode: ssl.VerifyMode
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[minimum]
    context.set_ciphers(_SUITES_OF_1_2)  # those of 1.3 are not chosen by this call
    # A resumed session would skip the certificate. The option does it for 1.2 only,
    # the number for 1.3 only.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.verify_mode = mode
    context.set_alpn_protocols(_ALPN)
    _present(context, generation)
    _trust(context, generation.bundle_path.read_text())
    return context


def _present(context: ssl.SSLContext, generation: Generation) -> None:
    context.load_cert_chain(generation.certificate_path, generation.key_path)


def _trust(context: ssl.SSLContext, roots: str | bytes) -> None:
    """Trust these roots, in PEM or DER, and none else."""
    # Python 3.13 is strict by default, earlier ones are not.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=roots)


def _roots_for(
    expected: SpiffeId, generation: Generation | None, trust: TrustBundle | None
) -> str | bytes:
    """Return the roots of the one trust domain that may vouch for `expected`.

    Raises:
        ssl.SSLError: there are none.
    """
    domain = expected.trust_domain
    if generation is not None and generation.spiffe_id.trust_domain == domain:
        return generation.bundle_path.read_text()
    if trust is None or trust.trust_domain != domain or not trust.roots:
        raise ssl.SSLError(f"nothing of {domain} is trusted")
    return b"".join(root.public_bytes(Encoding.DER) for root in trust.roots)
