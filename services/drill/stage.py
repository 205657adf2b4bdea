"""Where the drill plays: the stolen tokens, the thief's certificates, the places.

Everything real is taken from the running deployment; what only a thief or the drill
itself needs (a rogue CA, two bearer APIs on loopback) is made here and gone afterwards.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from pki.clock import utc_now
from services.attempt import Files, Outcome, call, caller, fetch, request_token
from services.deployment import Deployment, DrillParties, ServiceParty
from services.drill.bearer_api import ADDRESS, bearer_api, listening
from services.drill.rogue import RogueAuthority
from services.proof.key_set import read_key_set


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was stolen: a token of each kind, and one of each that lives briefly."""

    bearer: str
    bound: str
    brief_bearer: str
    brief_bound: str
    brief_until: float  # monotonic seconds


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything a theft can be tried with."""

    tokens: Tokens
    victim: Files
    thief: Files
    rogue: Files
    bearer_url: str
    bound_url: str
    other_bearer_url: str
    other_bound_url: str
    bearer_trust: Path
    bound_trust: Path

    def use(self, token: str, url: str, identity: Files | None) -> Outcome:
        """Return what comes of using `token` at `url` over a connection of its own."""
        bearer = url in {self.bearer_url, self.other_bearer_url}
        trust = self.bearer_trust if bearer else self.bound_trust
        with caller(trust, identity) as client:
            return call(client, url, token)

    def wait_for_expiry(self) -> None:
        """Return once the brief tokens' time is over."""
        time.sleep(max(0.0, self.tokens.brief_until - time.monotonic()))


@contextmanager
def stage(
    deployment: Deployment, parties: DrillParties, *, stolen: Tokens | None = None
) -> Iterator[Stage]:
    """Have the victim's tokens issued and the places set up; take them down after.

    The thief's own host has them from elsewhere (`stolen`), and no key of the victim's.

    Raises:
        NoTokenError: the token service refuses the victim a token.
        UnreachableError: it does not answer.
    """
    names = parties.victim, parties.target, parties.thief
    victim, target, thief = (deployment.services[name] for name in names)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rogue = RogueAuthority.make(directory, utc_now())
        player = victim if stolen is None else thief
        client = stack.enter_context(caller(player.trust_bundle, _files(player)))
        keys = read_key_set(fetch(client, deployment.token_service.jwks_uri))
        certificate = rogue.issue(
            "bearer-api",
            dns_names=["localhost"],
            spiffe_id=target.spiffe_id,
            address=ADDRESS,
        )
        bearer_url, other_bearer_url = (
            stack.enter_context(
                listening(bearer_api(deployment.issuer, audience, keys), certificate)
            )
            for audience in (target.audience, thief.audience)
        )
        yield Stage(
            tokens=stolen or _steal(deployment, parties, client),
            victim=_files(victim),
            thief=_files(thief),
            rogue=rogue.issue(
                "impostor",
                dns_names=victim.dns_names,
                spiffe_id=victim.spiffe_id,
                address=victim.address,
            ),
            bearer_url=bearer_url,
            bound_url=target.url,
            other_bearer_url=other_bearer_url,
            other_bound_url=thief.url,
            bearer_trust=rogue.trust_bundle,
            bound_trust=player.trust_bundle,
        )


def _steal(
    deployment: Deployment, parties: DrillParties, client: httpx.Client
) -> Tokens:
    """Return the victim's tokens, as the token service issues them to it."""
    resource = deployment.services[parties.target].audience
    endpoint = deployment.token_service.token_endpoint
    issued = {
        client_id: request_token(
            client, endpoint, client_id=client_id, resource=resource
        )
        for client_id in (
            parties.bearer_client,
            deployment.services[parties.victim].client_id,
            parties.bearer_brief_client,
            parties.brief_client,
        )
    }
    bearer, bound, brief_bearer, brief_bound = (token.text for token in issued.values())
    longest = max(
        issued[client_id].lifetime
        for client_id in (parties.bearer_brief_client, parties.brief_client)
    )
    return Tokens(
        bearer=bearer,
        bound=bound,
        brief_bearer=brief_bearer,
        brief_bound=brief_bound,
        brief_until=time.monotonic() + longest,
    )


def _files(party: ServiceParty) -> Files:
    return party.certificate, party.private_key
