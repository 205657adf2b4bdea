"""Look at what is running: the identities at the live ports, and every call edge.

Read-only. Each ordered pair of services is tried with the caller's own certificate: an
edge of the topology must be answered 200; for every other pair the token service must
refuse a token and the callee must refuse the call, even with a token that the caller
may have for somebody else. A gateway is such a caller and callee too: it is called on a
path that leads on, and calls in its own name. Of each key it is said who may read it.

Keys stay on their hosts: where there are several, each host tries what its own
processes may do (`only`), and whoever started that puts the findings together.
"""

import pwd
import socket
import ssl
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
from cryptography import x509

from pki.errors import PkiError
from pki.identity import spiffe_id_of
from services.attempt import NoTokenError, Outcome, call, caller, request_token
from services.deployment import Deployment, GatewayParty, Instance, ServiceParty
from services.errors import ServiceError
from services.key_exchange import UNKNOWN, group_agreed
from services.wire.client_cert import written

_CONNECT = 5.0  # seconds
_PAUSE = 0.05  # seconds between two looks at a port that is not open yet
_AT_ONCE = 4  # calls of one service
_LEADING = 3  # directories: of the generation, of the identity, of the instance


class NotRunningError(ServiceError):
    """A process does not answer, or with another identity than the topology's."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A private file, or a directory that leads to it: who may do what with it."""

    path: str
    mode: str  # in octal, such as 0600
    owner: str  # the user's name; a number, if it has none


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a live port presents, and how it is kept on its host."""

    service: str
    host: str
    spiffe_id: str
    serial: str
    not_after: str
    address: str
    port: int
    installed: str = ""  # the serial in the file that the port is served from
    kept: list[Kept] = []  # the key, and the directories above it


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of services and what came of a call; `ok` if the topology says so."""

    caller: str
    callee: str
    allowed: bool
    status: int | None
    reason: str
    ok: bool
    caller_host: str = ""
    callee_host: str = ""
    group: str = UNKNOWN  # of the key exchange between the two hosts


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the probe saw."""

    identities: list[Identity]
    edges: list[Edge]
    ok: bool
    missing: list[str] = []  # instances that nobody could look at


def probe(deployment: Deployment, *, wait: float = 0, only: str = "") -> Findings:
    """Return what is running and whether it is what the topology says.

    Args:
        deployment: what was rolled out.
        wait: seconds that a process may take until its port is open.
        only: whose identity is read and whose calls are tried, as `orders`,
            `orders@host-1` or `@host-1`; all, if it is empty.

    Raises:
        NotRunningError: a process does not answer.
    """
    deadline = time.monotonic() + wait
    own = [party for party in deployment.parties if party.is_meant_by(only)]
    identities = [_identity(party, deadline) for party in own]
    edges = [
        edge
        for party in own
        if party.service in deployment.workloads
        for edge in _edges(deployment, party)
    ]
    return Findings(
        identities=identities, edges=edges, ok=all(edge.ok for edge in edges)
    )


def _identity(party: Instance, deadline: float) -> Identity:
    """Return what the live port of `party` presents to itself as the caller."""
    context = ssl.create_default_context(cafile=party.trust_bundle)
    context.load_cert_chain(party.certificate, party.private_key)
    where = f"{party.service} at {party.address} port {party.port}"
    try:
        with (
            _connect(party, deadline) as connection,
            context.wrap_socket(connection, server_hostname=party.dns_names[0]) as tls,
        ):
            der = tls.getpeercert(binary_form=True)
        certificate = x509.load_der_x509_certificate(der or b"")
        spiffe_id = str(spiffe_id_of(certificate))
        installed = x509.load_pem_x509_certificate(party.certificate.read_bytes())
        kept = [_kept(path) for path in _private_paths(party)]
    except (OSError, ValueError, PkiError) as error:
        raise NotRunningError(f"{where}: {error}") from error
    if spiffe_id != party.spiffe_id:
        raise NotRunningError(f"{where} is {spiffe_id}, expected {party.spiffe_id}")
    return Identity(
        service=party.service,
        host=party.host,
        spiffe_id=spiffe_id,
        serial=format(certificate.serial_number, "x"),
        not_after=certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
        address=party.address,
        port=party.port,
        installed=format(installed.serial_number, "x"),
        kept=kept,
    )


def _private_paths(party: Instance) -> list[Path]:
    key = party.private_key
    return [key, *list(key.parents)[:_LEADING]]


def _kept(path: Path) -> Kept:
    found = path.stat()
    try:
        owner = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        owner = str(found.st_uid)
    return Kept(path=str(path), mode=f"{stat.S_IMODE(found.st_mode):04o}", owner=owner)


def _connect(party: Instance, deadline: float) -> socket.socket:
    while True:
        try:
            return socket.create_connection((party.address, party.port), _CONNECT)
        except ConnectionRefusedError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE)


def _edges(deployment: Deployment, party: Instance) -> list[Edge]:
    """Try every instance of every other service, as `party`, a few at once.

    Whoever does not answer at all takes seconds, and is not to hold the others up.
    """
    others = deployment.workloads.keys() - {party.service}
    callees = [one for one in deployment.parties if one.service in others]
    files = party.certificate, party.private_key
    with (
        caller(party.trust_bundle, files) as asking,
        caller(party.trust_bundle, files) as client,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        if party.service in deployment.gateways:
            # Whoever may name a caller must name one; it names itself.
            client.headers["Client-Cert"] = _statement(party)

        def tried(callee: Instance) -> Edge:
            edge = _edge(deployment, (asking, client), (party, callee))
            if edge.status is None:
                return edge
            place = callee.address, callee.port
            name = callee.dns_names[0]
            group = group_agreed(place, name, party.trust_bundle, files)
            return msgspec.structs.replace(edge, group=group)

        return list(pool.map(tried, callees))


def _statement(party: Instance) -> str:
    """Return what a gateway says of whom it calls for: of itself (RFC 9440)."""
    certificate = x509.load_pem_x509_certificate(party.certificate.read_bytes())
    return written(certificate).decode()


def _edge(
    deployment: Deployment,
    clients: tuple[httpx.Client, httpx.Client],
    pair: tuple[Instance, Instance],
) -> Edge:
    """Ask for a token with one client, and use it with the other."""
    (client, calling), (party, callee) = clients, pair
    own, called = (deployment.workloads[one.service] for one in pair)
    scopes = own.scopes_at(callee.service)
    allowed = bool(scopes)
    endpoint = deployment.token_service.token_endpoint
    try:
        token: str | None = request_token(
            client, endpoint, client_id=own.client_id, resource=called.audience
        ).text
        refusal = ""
    except NoTokenError as error:
        token = None if allowed else _other_token(deployment, client, own)
        refusal = f"{error}; "
    path = called.path_for(scopes) if isinstance(called, GatewayParty) else ""
    outcome = call(calling, callee.url + path, token)
    ok = outcome.accepted if allowed else bool(refusal) and _is_refusal(outcome)
    said = f"{callee.service}: {outcome.reason}" if outcome.reason else ""
    return Edge(
        caller=party.service,
        callee=callee.service,
        allowed=allowed,
        status=outcome.status,
        reason=refusal + said,
        ok=ok,
        caller_host=party.host,
        callee_host=callee.host,
    )


def _other_token(
    deployment: Deployment, client: httpx.Client, party: ServiceParty | GatewayParty
) -> str | None:
    """Return a token that `party` may have, though for somebody else."""
    for other in party.calls:
        with suppress(NoTokenError):
            return request_token(
                client,
                deployment.token_service.token_endpoint,
                client_id=party.client_id,
                resource=deployment.workloads[other.service].audience,
            ).text
    return None


def _is_refusal(outcome: Outcome) -> bool:
    """Return whether the guard said no: a fault is not a refusal."""
    return outcome.status == httpx.codes.UNAUTHORIZED
