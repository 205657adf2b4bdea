"""Where the drill plays: the certificates in hand, the thief's own, the places.

Everything real is taken from the running deployment; what only a thief or the drill
itself needs (a rogue CA, keys of the thief's, two bearer APIs on loopback) is made here
and gone afterwards.
"""

import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
from cryptography import x509
from joserfc.jwk import ECKey

from pki.clock import utc_now
from services.attempt import Files, caller, fetch
from services.config import ConfigError
from services.deployment import (
    Deployment,
    DrillParties,
    GatewayParty,
    Party,
    ServiceParty,
)
from services.drill.bearer_api import ADDRESS, bearer_api, listening
from services.drill.kinds import BearerApis, Kind, Spoils, kinds_of
from services.drill.rogue import RogueAuthority
from services.proof.dpop_client import DpopKey
from services.proof.key_set import read_key_set
from services.wire.generation import thumbprint

_PAUSE = 0.05  # seconds between two looks


class Endpoints(msgspec.Struct, frozen=True):
    """Where the token service says that it is asked (RFC 8414)."""

    token_endpoint: str
    introspection_endpoint: str
    revocation_endpoint: str


@dataclass(slots=True)
class Stage:
    """Everything a theft can be tried with, on a host with these keys."""

    hands: Mapping[str, Files]  # by service
    trust: Path  # the roots of the trust domain
    rogue: RogueAuthority
    endpoints: Endpoints
    keys: Mapping[str, ECKey]  # the token service's, public
    kinds: Mapping[str, Kind]
    impostors: Mapping[str, Files]  # by the service whose name they have
    client_ids: Mapping[str, str]  # by service
    thiefs_key: DpopKey = field(default_factory=DpopKey)
    forgers_key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))
    nonces: dict[str, str] = field(default_factory=dict)  # the newest of each server

    def learn(self, url: str, nonce: str | None) -> None:
        """Remember the nonce that the server of `url` has given."""
        if nonce is not None:
            self.nonces[_origin(url)] = nonce

    def nonce(self, url: str) -> str | None:
        """Return the newest nonce of the server of `url`."""
        return self.nonces.get(_origin(url))

    def as_service(self, name: str) -> httpx.Client:
        """Return a client that presents the certificate of a service."""
        return caller(self.trust, self.hands[name])


def files_of(party: Party) -> Files:
    """Return what a party presents."""
    return party.certificate, party.private_key


def passed(moment: float) -> bool:
    """Return whether a moment is over, in monotonic seconds; if not, wait a little."""
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(min(left, _PAUSE))
    return left <= 0


def moment_in(seconds: float) -> float:
    """Return the moment so many seconds from now, in monotonic seconds."""
    return time.monotonic() + seconds


def thumbprint_of(files: Files) -> str:
    """Return the thumbprint of a certificate, as tokens are bound to it."""
    return thumbprint(x509.load_pem_x509_certificate(files[0].read_bytes()))


@contextmanager
def stage(
    deployment: Deployment,
    parties: DrillParties,
    *,
    holding: Collection[str],
    loot: Mapping[str, Spoils],
) -> Iterator[Stage]:
    """Set up the places, for one who has the keys of the services `holding`.

    Raises:
        ConfigError: a party is none of the deployment's.
        UnreachableError: the token service does not answer.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rogue = RogueAuthority.make(directory, utc_now())
        known: dict[str, ServiceParty | GatewayParty] = {
            **deployment.services,
            **deployment.gateways,
        }
        held = [known[name] for name in known if name in holding]
        if not held:
            raise ConfigError("the drill is played with somebody's key")
        trust = held[0].trust_bundle
        client = stack.enter_context(caller(trust, files_of(held[0])))
        keys = read_key_set(fetch(client, deployment.token_service.jwks_uri))
        endpoints = msgspec.json.decode(
            fetch(client, deployment.metadata_url), type=Endpoints
        )
        apis = BearerApis(
            *_bearer_apis(stack, deployment, parties, rogue, keys), rogue.trust_bundle
        )
        yield Stage(
            hands={n: files_of(known[n]) for n in known if n in holding},
            trust=trust,
            rogue=rogue,
            endpoints=endpoints,
            keys=keys,
            kinds=kinds_of(deployment, parties, apis, loot),
            impostors={
                name: _impostor(rogue, deployment, name)
                for name in (parties.victim, parties.target)
            },
            client_ids={name: party.client_id for name, party in known.items()},
        )


def _bearer_apis(
    stack: ExitStack,
    deployment: Deployment,
    parties: DrillParties,
    rogue: RogueAuthority,
    keys: Mapping[str, ECKey],
) -> tuple[str, str]:
    target, thief = (
        deployment.services[name] for name in (parties.target, parties.thief)
    )
    certificate = rogue.issue(
        "bearer-api",
        dns_names=["localhost"],
        spiffe_id=target.spiffe_id,
        address=ADDRESS,
    )
    url, elsewhere = (
        stack.enter_context(
            listening(bearer_api(deployment.issuer, audience, keys), certificate)
        )
        for audience in (target.audience, thief.audience)
    )
    return url, elsewhere


def _impostor(rogue: RogueAuthority, deployment: Deployment, name: str) -> Files:
    party = deployment.services[name]
    return rogue.issue(
        f"impostor-{name}",
        dns_names=party.dns_names,
        spiffe_id=party.spiffe_id,
        address=party.address,
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
