"""The kinds of tokens that are stolen: whose they are, and what they are good for.

A kind is a column of the table. Each has the same face: an owner and a thief, the place
where the owner uses it, one where it is not meant to be used, and how it is sent there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from services.config import ConfigError
from services.deployment import (
    Deployment,
    DrillParties,
    GatewayParty,
    Onward,
    PhantomClients,
    ServiceParty,
)
from services.guard.credentials import BEARER, DPOP
from services.proof.dpop_client import DpopKey


class Spoils(msgspec.Struct, frozen=True, kw_only=True):
    """What leaks of one kind of token, and travels from host to host in a drill."""

    token: str
    certificate: str  # the owner's, PEM: everybody may see it
    introspected: str = ""  # what the token service has said of the token, signed


@dataclass(frozen=True, slots=True)
class Owned:
    """What stays in the hands of a token's owner, on its host."""

    brief: str
    brief_until: float  # monotonic seconds
    revoked: str
    revoked_at: float  # monotonic seconds
    key: DpopKey | None


@dataclass(slots=True)
class Kind:
    """One kind of token, and where it stands in this drill."""

    name: str
    owner: str  # the service that it was issued to
    thief: str  # another one
    keeper: str  # who it is for
    audience: str
    url: str  # where its owner uses it
    elsewhere: str  # a guarded resource that it is not for
    client_id: str
    brief_client: str
    trust: Path | None = None  # who answers there; None: the roots of the trust domain
    scheme: str = BEARER
    behind: str = ""  # what is reached through the gateway, if a gateway it is
    subject: str = ""  # the kind that it is exchanged for, if it is
    spoils: Spoils | None = None
    owned: Owned | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class BearerApis:
    """Where the bearer token is used: see `bearer_api`."""

    url: str
    elsewhere: str
    trust: Path


def kinds_of(
    deployment: Deployment,
    parties: DrillParties,
    apis: BearerApis,
    loot: Mapping[str, Spoils],
) -> dict[str, Kind]:
    """Return the kinds that this drill has parties for, with what has leaked of them.

    Raises:
        ConfigError: a party is none of the deployment's.
    """
    try:
        kinds = {kind.name: kind for kind in _kinds(deployment, parties, apis)}
    except KeyError as error:
        raise ConfigError(f"the drill names {error}, which is not deployed") from None
    for name, kind in kinds.items():
        kind.spoils = loot.get(name)
    return kinds


def _kinds(
    deployment: Deployment, parties: DrillParties, apis: BearerApis
) -> Iterator[Kind]:
    services = deployment.services
    target, thief = services[parties.target], services[parties.thief]
    bound = Kind(
        name="bound",
        owner=parties.victim,
        thief=parties.thief,
        keeper=parties.target,
        audience=target.audience,
        url=target.url,
        elsewhere=thief.url,
        client_id=services[parties.victim].client_id,
        brief_client=parties.brief_client,
    )
    yield replace(
        bound,
        name="bearer",
        url=apis.url,
        elsewhere=apis.elsewhere,
        trust=apis.trust,
        client_id=parties.bearer_client,
        brief_client=parties.bearer_brief_client,
    )
    yield bound
    if (clients := parties.dpop) is not None:
        yield replace(
            bound,
            name="dpop",
            scheme=DPOP,
            client_id=clients.client,
            brief_client=clients.brief_client,
        )
    if parties.phantom is not None:
        yield _phantom(bound, parties.target, parties.phantom, deployment.gateways)
    if parties.exchanged is not None:
        yield _exchanged(parties, services, parties.exchanged)


def _phantom(
    bound: Kind,
    target: str,
    clients: PhantomClients,
    gateways: Mapping[str, GatewayParty],
) -> Kind:
    """Return the kind whose binding ends at a gateway in front of the target."""
    gateway = gateways[clients.gateway]
    paths = [path for path, route in gateway.routes.items() if route.service == target]
    if not paths:
        raise ConfigError(f"{clients.gateway} does not lead to {target}")
    return replace(
        bound,
        name="phantom",
        keeper=clients.gateway,
        audience=gateway.audience,
        url=gateway.url + paths[0],
        behind=bound.url,
        client_id=clients.client,
        brief_client=clients.brief_client,
    )


def _exchanged(
    parties: DrillParties,
    services: Mapping[str, ServiceParty],
    onward: Onward,
) -> Kind:
    """Return the kind that the target gets in the victim's name; its thief is he."""
    return Kind(
        name="exchanged",
        owner=parties.target,
        thief=parties.victim,
        keeper=onward.service,
        audience=services[onward.service].audience,
        url=services[onward.service].url,
        elsewhere=services[parties.victim].url,
        client_id=services[parties.target].client_id,
        brief_client=onward.brief_client,
        subject="bound",
    )
