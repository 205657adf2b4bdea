"""Look at what is running: the identities at the live ports, and every call edge.

Read-only. Each ordered pair of services is tried with the caller's own certificate: an
edge of the topology must be answered 200; for every other pair the token service must
refuse a token and the callee must refuse the call, even with a token that the caller
may have for somebody else.
"""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import msgspec
from cryptography import x509

from pki.errors import PkiError
from pki.identity import spiffe_id_of
from services.attempt import NoTokenError, Outcome, call, caller, request_token
from services.deployment import Deployment, Party, ServiceParty
from services.errors import ServiceError

_CONNECT = 5.0  # seconds
_PAUSE = 0.05  # seconds between two looks at a port that is not open yet


class NotRunningError(ServiceError):
    """A process does not answer, or with another identity than the topology's."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a live port presents."""

    service: str
    host: str
    spiffe_id: str
    serial: str
    not_after: str
    address: str
    port: int


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of services and what came of a call; `ok` if the topology says so."""

    caller: str
    callee: str
    allowed: bool
    status: int | None
    reason: str
    ok: bool


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the probe saw."""

    identities: list[Identity]
    edges: list[Edge]
    ok: bool


def probe(deployment: Deployment, *, wait: float = 0) -> Findings:
    """Return what is running and whether it is what the topology says.

    Args:
        deployment: what was rolled out.
        wait: seconds that a process may take until its port is open.

    Raises:
        NotRunningError: a process does not answer.
    """
    deadline = time.monotonic() + wait
    parties = {"token-service": deployment.token_service, **deployment.services}
    identities = [
        _identity(name, party, deployment.trust_bundle, deadline)
        for name, party in parties.items()
    ]
    edges = list(_edges(deployment))
    return Findings(
        identities=identities, edges=edges, ok=all(edge.ok for edge in edges)
    )


def _identity(name: str, party: Party, trust_bundle: Path, deadline: float) -> Identity:
    """Return what the live port of `party` presents to itself as the caller."""
    context = ssl.create_default_context(cafile=trust_bundle)
    context.load_cert_chain(party.certificate, party.private_key)
    where = f"{name} at {party.address} port {party.port}"
    try:
        with (
            _connect(party, deadline) as connection,
            context.wrap_socket(connection, server_hostname=party.dns_names[0]) as tls,
        ):
            der = tls.getpeercert(binary_form=True)
        certificate = x509.load_der_x509_certificate(der or b"")
        spiffe_id = str(spiffe_id_of(certificate))
    except (OSError, ValueError, PkiError) as error:
        raise NotRunningError(f"{where}: {error}") from error
    if spiffe_id != party.spiffe_id:
        raise NotRunningError(f"{where} is {spiffe_id}, expected {party.spiffe_id}")
    return Identity(
        service=name,
        host=party.host,
        spiffe_id=spiffe_id,
        serial=format(certificate.serial_number, "x"),
        not_after=certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
        address=party.address,
        port=party.port,
    )


def _connect(party: Party, deadline: float) -> socket.socket:
    while True:
        try:
            return socket.create_connection((party.address, party.port), _CONNECT)
        except ConnectionRefusedError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE)


def _edges(deployment: Deployment) -> Iterator[Edge]:
    with ExitStack() as clients:
        for name, party in deployment.services.items():
            client = clients.enter_context(
                caller(deployment.trust_bundle, (party.certificate, party.private_key))
            )
            for callee in deployment.services:
                if callee != name:
                    yield _edge(deployment, client, name, callee)


def _edge(
    deployment: Deployment, client: httpx.Client, name: str, callee_name: str
) -> Edge:
    party, callee = deployment.services[name], deployment.services[callee_name]
    allowed = bool(party.scopes_at(callee_name))
    endpoint = deployment.token_service.token_endpoint
    try:
        token: str | None = request_token(
            client, endpoint, client_id=party.client_id, resource=callee.audience
        ).text
        refusal = ""
    except NoTokenError as error:
        token = None if allowed else _other_token(deployment, client, party)
        refusal = f"{error}; "
    outcome = call(client, callee.url, token)
    ok = outcome.accepted if allowed else bool(refusal) and _is_refusal(outcome)
    return Edge(
        caller=name,
        callee=callee_name,
        allowed=allowed,
        status=outcome.status,
        reason=refusal + (f"{callee_name}: {outcome.reason}" if outcome.reason else ""),
        ok=ok,
    )


def _other_token(
    deployment: Deployment, client: httpx.Client, party: ServiceParty
) -> str | None:
    """Return a token that `party` may have, though for somebody else."""
    for other in party.calls:
        with suppress(NoTokenError):
            return request_token(
                client,
                deployment.token_service.token_endpoint,
                client_id=party.client_id,
                resource=deployment.services[other.service].audience,
            ).text
    return None


def _is_refusal(outcome: Outcome) -> bool:
    """Return whether the guard said no: a fault is not a refusal."""
    return outcome.status == httpx.codes.UNAUTHORIZED
