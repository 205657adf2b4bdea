"""Call everybody with one identity until each of them refuses it as revoked.

`playbooks/revoke.yml` starts this on the host of a certificate before it is revoked.
Each process of the deployment is called over a connection of its own that is kept:

- a token service is asked for a token (401 invalid_client is its refusal);
- a service or gateway is called, with a real token where the topology allows a call
  and with a word that is none where it does not (401 that says "revoked");
- the CA's front is asked for a renewal (403 revoked).

What came of the first call and when the refusal came is what is returned. The times are
this host's clock's.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx
import msgspec
from cryptography import x509

from services.attempt import NoTokenError, UnreachableError, caller, request_token
from services.deployment import Deployment, GatewayParty, Instance
from services.wire.client_cert import written

_PAUSE = 0.1  # seconds between two calls of one process
_WORD = "none"  # in place of a token
_RENEWAL = "/.well-known/est/simplereenroll"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One process, and when it refused; `before` is what its first answer was."""

    caller: str
    party: str
    before: str
    refused_at: float | None  # seconds since 1970
    said: str


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What came of calling everybody as one instance."""

    instance: str
    refusals: list[Refusal]

    @property
    def ok(self) -> bool:
        """Whether all of them refused."""
        return all(one.refused_at is not None for one in self.refusals)


@dataclass(frozen=True, slots=True)
class _Said:
    """An answer, in a few words, and whether it refuses the certificate."""

    words: str
    refused: bool


def watch(
    deployment: Deployment, only: str, *, patience: float, ready: Path | None = None
) -> list[Watched]:
    """Return how the calls of the instances that `only` names ended.

    Args:
        deployment: what was rolled out.
        only: whose certificate is to be refused: `orders@host-1`, `@host-1`.
        patience: seconds after which those that have not refused are given up.
        ready: a file that is made once everybody has been called.
    """
    own = [party for party in deployment.parties if party.is_meant_by(only)]
    deadline = time.monotonic() + patience
    with ThreadPoolExecutor(max(1, len(own))) as pool:
        called = [Event() for _ in own]
        found = [
            pool.submit(_watch_as, deployment, party, deadline, event)
            for party, event in zip(own, called, strict=True)
        ]
        for event in called:
            event.wait(patience)
        if ready is not None:
            ready.touch()
        return [one.result() for one in found]


def _watch_as(
    deployment: Deployment, own: Instance, deadline: float, called: Event
) -> Watched:
    parties = [
        party
        for party in deployment.parties
        if party.instance != own.instance
        and (party.service != "token-service" or own.service in deployment.workloads)
    ]
    waiting = {party.instance for party in parties}

    def once(party: Instance) -> Callable[[], None]:
        def first() -> None:
            waiting.discard(party.instance)
            if not waiting:
                called.set()

        return first

    with ThreadPoolExecutor(max(1, len(parties))) as pool:
        found = pool.map(
            lambda party: _until_refused(
                deployment, (own, party), deadline, once(party)
            ),
            parties,
        )
        if not parties:
            called.set()
        return Watched(instance=own.instance, refusals=list(found))


def _until_refused(
    deployment: Deployment,
    pair: tuple[Instance, Instance],
    deadline: float,
    first: Callable[[], None],
) -> Refusal:
    own, party = pair
    before, said = "", _Said("", refused=False)
    with caller(own.trust_bundle, (own.certificate, own.private_key)) as client:
        ask = _question(deployment, client, own, party)
        while True:
            said = ask()
            if not before:
                before = said.words
                first()
            if said.refused or time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
    return Refusal(
        caller=own.instance,
        party=party.instance,
        before=before,
        refused_at=time.time() if said.refused else None,
        said=said.words,
    )


def _question(
    deployment: Deployment, client: httpx.Client, own: Instance, party: Instance
) -> Callable[[], _Said]:
    """Return what asks `party` once, on a connection that is kept."""
    root = f"https://{party.dns_names[-1]}:{party.port}"
    if party.service == "token-service":
        form = {
            "grant_type": "client_credentials",
            "client_id": deployment.workloads[own.service].client_id,
        }
        wanted = deployment.workloads[own.service].calls
        if wanted:
            form["resource"] = deployment.workloads[wanted[0].service].audience
        return lambda: _said(client, "POST", f"{root}/token", data=form)
    if party.service not in deployment.workloads:
        kind = {"Content-Type": "application/pkcs10"}
        return lambda: _said(client, "POST", root + _RENEWAL, headers=kind)
    url, token = _guarded(deployment, client, own, party)
    headers = {"Authorization": f"Bearer {token}"}
    if own.service in deployment.gateways:  # whoever may name a caller must name one
        pem = own.certificate.read_bytes()
        headers["Client-Cert"] = written(x509.load_pem_x509_certificate(pem)).decode()
    return lambda: _said(client, "GET", url, headers=headers)


def _guarded(
    deployment: Deployment, client: httpx.Client, own: Instance, party: Instance
) -> tuple[str, str]:
    """Return where to call `party`, and a token for it, or a word that is none."""
    called = deployment.workloads[party.service]
    mine = deployment.workloads.get(own.service)
    scopes = mine.scopes_at(party.service) if mine else []
    path = called.path_for(scopes) if isinstance(called, GatewayParty) else ""
    token = _WORD
    if mine and scopes:
        endpoint = deployment.token_service.token_endpoint
        with suppress(NoTokenError, UnreachableError):
            token = request_token(
                client, endpoint, client_id=mine.client_id, resource=called.audience
            ).text
    return party.url + path, token


def _said(
    client: httpx.Client,
    method: str,
    url: str,
    *,
    data: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> _Said:
    """Ask, and return what came of it; whoever does not answer refuses nobody."""
    try:
        answer = client.request(method, url, data=data, headers=headers)
    except httpx.HTTPError as error:
        return _Said(type(error).__name__, refused=False)
    if answer.is_success:
        return _Said("accepted", refused=False)
    try:
        said = answer.json()
        words = said.get("error_description") or said.get("error") or ""
        code = said.get("error", "")
    except ValueError:
        words, code = answer.text.strip(), answer.text.partition(":")[0]
    refused = (
        (data is not None and code == "invalid_client")
        or (answer.status_code == httpx.codes.UNAUTHORIZED and "revoked" in words)
        or (answer.status_code == httpx.codes.FORBIDDEN and code == "revoked")
    )
    return _Said(f"{answer.status_code} {words}"[:80], refused=refused)
