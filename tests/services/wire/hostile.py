"""A TLS peer that is not ours: pyOpenSSL, on the OpenSSL that `cryptography` brings.

It tells what a careful or hostile client sees: version, suite, names of CAs, messages
of the handshake, alerts. It verifies nothing, so that only the server can refuse.
"""

import socket
import struct
from dataclasses import dataclass, field

from OpenSSL import SSL

from tests.services.mesh import Leaf

_PATIENCE = struct.pack("ll", 10, 0)  # seconds, in the kernel's form

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

# RFC 8446, section 6
UNSUPPORTED_CERTIFICATE, CERTIFICATE_EXPIRED, UNKNOWN_CA = 43, 45, 48
HANDSHAKE_FAILURE, PROTOCOL_VERSION, CERTIFICATE_REQUIRED = 40, 70, 116


@dataclass
class Visit:
    """What one connection showed."""

    version: str = ""
    cipher: str | None = None
    protocol: bytes = b""
    names_asked_for: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    alerts: list[int] = field(default_factory=list)
    answer: bytes = b""
    failure: str = ""


def visit(  # noqa: PLR0913 - each is one thing to get wrong
    port: int,
    leaf: Leaf | None = None,
    *,
    lowest: int = SSL.TLS1_2_VERSION,
    highest: int = SSL.TLS1_3_VERSION,
    ciphers: bytes = b"ALL:@SECLEVEL=0",
    protocols: tuple[bytes, ...] = (b"http/1.1",),
) -> Visit:
    """Connect to `port`, ask for `/`, and return what was seen."""
    seen = Visit()
    context = _context(leaf, seen)
    context.set_min_proto_version(lowest)
    context.set_max_proto_version(highest)
    context.set_cipher_list(ciphers)
    context.set_alpn_protos(list(protocols))
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        connection = SSL.Connection(context, plain)
        connection.set_tlsext_host_name(b"localhost")
        connection.set_connect_state()
        try:
            connection.do_handshake()
            seen.version = connection.get_protocol_version_name()
            seen.cipher = connection.get_cipher_name()
            seen.protocol = connection.get_alpn_proto_negotiated()
            seen.names_asked_for = [
                str(name) for name in connection.get_client_ca_list()
            ]
            connection.sendall(_REQUEST)
            while True:
                seen.answer += connection.recv(65536)
        except SSL.ZeroReturnError:
            pass  # the server closed, as it was asked to
        except SSL.Error as error:
            seen.failure = repr(error)
    return seen


def _context(leaf: Leaf | None, seen: Visit) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    if leaf:
        context.use_certificate(leaf.certificate)
        context.add_extra_chain_cert(leaf.issuing)
        context.use_privatekey(leaf.key)

    def look(connection: SSL.Connection, where: int, value: int) -> None:
        if where & SSL.SSL_CB_READ_ALERT == SSL.SSL_CB_READ_ALERT:
            seen.alerts.append(value & 0xFF)  # the lower half is the description
        elif where & SSL.SSL_CB_LOOP:
            seen.states.append(connection.get_state_string().decode())

    context.set_info_callback(look)
    return context
