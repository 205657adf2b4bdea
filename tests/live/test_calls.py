"""Every pair of services: answered as the topology says, or refused with the reason."""

from tests.live.fleet import Fleet, Seen

# What the token service says to whoever asks for a token for somebody it may not call,
# and what the callee says to a token for somebody else, or to none.
NO_TOKEN = "token service: invalid_target"
OTHER_AUDIENCE = "the token is for another audience"
TOKEN_NEEDED = "a token is needed"
NOT_ACTIVE = "the token is not active"  # a gateway asks, and is told no more


def test_an_allowed_call_is_answered(
    fleet: Fleet, seen: Seen, allowed: tuple[str, str]
) -> None:
    """From every instance of the caller to every one of the callee."""
    tries = seen.tries(*allowed)
    assert len(tries) == pairs(fleet, allowed)
    for tried in tries:
        assert tried["allowed"]
        assert (tried["status"], tried["reason"]) == (200, "")


def test_any_other_call_is_refused_twice(
    fleet: Fleet, seen: Seen, refused: tuple[str, str]
) -> None:
    """The token service gives no token, and the callee takes no other one."""
    caller, callee = refused
    why = NOT_ACTIVE if callee in fleet.gateways else OTHER_AUDIENCE
    why = why if fleet.callees(caller) else TOKEN_NEEDED
    tries = seen.tries(caller, callee)
    assert len(tries) == pairs(fleet, refused)
    for tried in tries:
        assert not tried["allowed"]
        assert (tried["status"], tried["reason"]) == (
            401,
            f"{NO_TOKEN}; {callee}: {why}",
        )


def pairs(fleet: Fleet, pair: tuple[str, str]) -> int:
    """Return how many pairs of instances there are."""
    caller, callee = (len(fleet.instances(name)) for name in pair)
    return caller * callee
