"""The server: uvicorn over mutual TLS, with limits that hold for every service.

`services.process` calls `server` and runs what it gets; tests run it in a thread.
`plain_server` is for what is signed itself and for everybody (`enrolment.publishing`):
the same limits, without TLS, beside the other one in its process.
The socket is bound here and not by uvicorn, so that a port that is taken is an error of
ours, before anything is started, and port 0 can be asked which one it became.

WebSockets and HTTP/2 are not spoken, since both would bypass `wire.extension`.
Forwarding headers are not believed: who calls is read off the connection, unless that
is a trusted proxy's (`wire.forwarded`).
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from services.errors import ServiceError
from services.wire.anchors import NO_ANCHORS, Anchors
from services.wire.extension import WithCertificate
from services.wire.generation import LiveIdentity
from services.wire.grace import NO_GRACE
from services.wire.manager import inherited_listener, notify
from services.wire.patience import PatientH11, PatientHttpTools
from services.wire.tls import Minimum, ServerContext

Parser = Literal["auto", "h11", "httptools"]
Loop = Literal["auto", "asyncio", "uvloop"]

_BACKLOG = 1024
_CONNECTIONS = 1024  # an idle one costs up to 300 kB on asyncio
_KEEP_ALIVE = 75  # seconds; `wire.client` has fewer, so that it closes first
_HANDSHAKE = 10.0  # seconds; asyncio allows 60 to whoever opens a connection
_CLOSE = 1.0  # seconds for the other end to say goodbye; asyncio waits 30
_GRACE = 10  # seconds for requests under way when the process is told to stop


class _H11(WithCertificate, PatientH11):
    """Requests parsed in Python."""


class _HttpTools(WithCertificate, PatientHttpTools):
    """Requests parsed in C."""


# httptools refuses more of what makes request smuggling (measured-facts F3: content
# length beside chunked, bare line feeds, folded headers), and is several times faster.
_PARSERS = {"auto": _HttpTools, "h11": _H11, "httptools": _HttpTools}


class AddressError(ServiceError):
    """The address cannot be listened on; most often another process has it."""

    code = "address_unavailable"


class Server(uvicorn.Server):
    """A uvicorn server that is bound already."""

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        notify: Callable[[str], None] = notify,
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._notify = notify
        self.port: int = listener.getsockname()[1]

    def close(self) -> None:
        """Give the port back; for one who decides not to serve after all."""
        self._listener.close()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop: by a signal, or by `should_exit`."""
        await super().serve(sockets=[self._listener, *(sockets or [])])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen.

        As uvicorn's own but for the two timeouts, for which it has no setting.
        """
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self._listener.close()
            sys.exit(STARTUP_FAILURE)
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._protocol,
                sock=listener,
                ssl=self.config.ssl,
                backlog=self.config.backlog,
                ssl_handshake_timeout=_HANDSHAKE if self.config.ssl else None,
                ssl_shutdown_timeout=_CLOSE if self.config.ssl else None,
            )
            for listener in sockets or []
        ]
        self.started = True
        self._notify("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way, and say that this is what takes the time."""
        self._notify("STOPPING=1")
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # uvicorn's
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )


def server(  # noqa: PLR0913 - all but two have the value that production uses
    app: Callable[..., Any],
    *,
    identity: LiveIdentity,
    address: str,
    port: int,
    tls_minimum: Minimum = "1.3",
    demand_certificate: bool = True,
    anchors: Anchors = NO_ANCHORS,
    grace: timedelta = NO_GRACE,
    http: Parser = "auto",
    loop: Loop = "auto",
) -> Server:
    """Bind `address` and return a server for `app`; its `run` or `serve` starts it.

    Port 0 takes a free one, which the server's `port` then tells. A socket that systemd
    opened for this process is taken instead. Without `demand_certificate` a peer may
    come with no certificate; `app` must refuse whoever does (`wire.forwarded`). Whoever
    comes by one of the `anchors` is no peer (`wire.peer`). A certificate is let in for
    `grace` after its end; what it may be used for then is for `app` to say.

    Raises:
        AddressError: the address or port cannot be listened on.
        ssl.SSLError: OpenSSL does not take the identity's files.
    """
    context = ServerContext(
        identity,
        minimum=tls_minimum,
        demand_certificate=demand_certificate,
        anchors=anchors,
        grace=grace,
    )
    inherited = inherited_listener()
    config = _config(app, address, port, http=_PARSERS[http], loop=loop)
    config.ssl_context_factory = lambda _config, _default: context
    return Server(config, inherited or _listen(address, port))


def open_server(
    app: Callable[..., Any],
    *,
    identity: LiveIdentity,
    address: str,
    port: int,
    tls_minimum: Minimum,
) -> Server:
    """Bind `address` and return a server for `app` that everybody may ask.

    It proves who it is and demands nothing of who asks; it is the second of its
    process, as `plain_server` is.

    Raises:
        AddressError: the address or port cannot be listened on.
    """
    context = ServerContext(identity, minimum=tls_minimum, demand_certificate=False)
    config = _config(app, address, port, http=_HttpTools, loop="auto")
    config.ssl_context_factory = lambda _config, _default: context
    return Server(config, _listen(address, port), notify=lambda _state: None)


def plain_server(app: Callable[..., Any], *, address: str, port: int) -> Server:
    """Bind `address` and return a server for `app` over HTTP without TLS.

    It is the second of its process, so it is the first that takes a socket of systemd
    and tells when the process is ready.

    Raises:
        AddressError: the address or port cannot be listened on.
    """
    return Server(
        _config(app, address, port, http=_HttpTools, loop="auto"),
        _listen(address, port),
        notify=lambda _state: None,
    )


def _config(
    app: Callable[..., Any],
    address: str,
    port: int,
    *,
    http: type[WithCertificate],
    loop: Loop,
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=address,
        port=port,
        http=http,
        loop=loop,
        ws="none",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
    )


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family)
    except OSError as error:
        raise AddressError(
            f"cannot listen on {address} port {port}: {error.strerror}"
        ) from error
