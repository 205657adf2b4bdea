"""Every identity: what its live port presents, and how its key is kept."""

from datetime import timedelta

from pki.clock import from_text
from tests.live.fleet import Fleet, Seen

DIRECTORIES = 3  # of the generation, of the identity, of the instance


def test_the_name_is_the_topologys(fleet: Fleet, seen: Seen, identity: str) -> None:
    """The one URI name of the certificate is the SPIFFE ID of this trust domain."""
    presented = seen.identities[identity]["spiffe_id"]
    assert presented == fleet.identities[identity]["spiffe_id"]
    assert presented.startswith(f"spiffe://{fleet.deployment['trust_domain']}/")


def test_it_does_not_expire_before_it_is_renewed(
    fleet: Fleet, seen: Seen, identity: str
) -> None:
    """More time is left than a roll-out renews with."""
    until = from_text(seen.identities[identity]["not_after"])
    left = until - from_text(seen.evidence["made_at"])
    assert left > timedelta(seconds=fleet.renew_before), f"{left} left, until {until}"


def test_the_port_presents_what_is_installed(seen: Seen, identity: str) -> None:
    """The process has taken the present generation."""
    assert seen.identities[identity]["serial"] == seen.identities[identity]["installed"]


def test_the_key_is_its_users_alone(fleet: Fleet, seen: Seen, identity: str) -> None:
    """Nobody else may read the key, or look into the directories that lead to it."""
    owner = fleet.owner(identity)
    key, *above = seen.identities[identity]["kept"]
    assert (key["mode"], key["owner"]) == ("0600", owner), key["path"]
    assert len(above) == DIRECTORIES
    for one in above:
        assert (one["mode"], one["owner"]) == ("0700", owner), one["path"]
