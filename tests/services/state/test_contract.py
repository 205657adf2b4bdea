"""What every backend of the shared state must hold to, by `services.state.store`."""

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from services.state.store import (
    GRACE,
    AlreadyClaimedError,
    StateUnavailableError,
    Store,
)
from tests.services.state.backends import NOON, Backend, Clock, after

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[3]
PROCESSES, EACH = 4, 50


async def test_a_claim_is_had_once(store: Store) -> None:
    """The second claim of a key is refused."""
    await store.claim("dpop", "jti", after(60))
    with pytest.raises(AlreadyClaimedError, match="dpop was used before"):
        await store.claim("dpop", "jti", after(60))


async def test_claims_are_shared(store: Store, other: Store) -> None:
    """What one replica has claimed, another cannot."""
    await store.claim("dpop", "jti", after(60))
    with pytest.raises(AlreadyClaimedError):
        await other.claim("dpop", "jti", after(60))


async def test_purposes_are_apart(store: Store) -> None:
    """One `jti` may be used in a proof and in an assertion, each once."""
    await store.claim("dpop", "jti", after(60))
    await store.claim("assertion", "jti", after(60))


async def test_purpose_and_key_do_not_run_together(store: Store) -> None:
    """The end of a purpose cannot be taken for the beginning of a key."""
    await store.claim("dpop", "12", after(60))
    await store.claim("dpop1", "2", after(60))


async def test_a_claim_holds_through_its_last_second(
    store: Store, clock: Clock
) -> None:
    """A proof that is taken at `until` still, is a replay at `until` still."""
    await store.claim("dpop", "jti", after(60))
    clock.forward(60.9)
    with pytest.raises(AlreadyClaimedError):
        await store.claim("dpop", "jti", after(120))


async def test_a_claim_can_be_made_again_once_it_is_over(
    store: Store, clock: Clock
) -> None:
    """After `until` the same key is free, once."""
    await store.claim("dpop", "jti", after(60))
    clock.forward(61)
    await store.claim("dpop", "jti", after(120))
    with pytest.raises(AlreadyClaimedError):
        await store.claim("dpop", "jti", after(120))


async def test_a_refused_claim_changes_nothing(store: Store, clock: Clock) -> None:
    """A replay cannot prolong the claim that it runs into."""
    await store.claim("dpop", "jti", after(60))
    with pytest.raises(AlreadyClaimedError):
        await store.claim("dpop", "jti", after(600))
    clock.forward(61)
    await store.claim("dpop", "jti", after(120))


async def test_fractions_are_rounded_to_refusing(store: Store, clock: Clock) -> None:
    """Part of a second makes a claim and a revocation longer, and a token shorter."""
    await store.claim("dpop", "jti", after(9.2))
    await store.revoke("id", after(9.2))
    await store.put_token("handle", b"record", after(9.8))
    clock.forward(9)
    assert await store.get_token("handle") is None
    clock.forward(1.5)
    assert await store.is_revoked("id")
    with pytest.raises(AlreadyClaimedError):
        await store.claim("dpop", "jti", after(60))


async def test_a_replica_that_is_behind_finds_the_claim(backend: Backend) -> None:
    """A clock that is ahead takes no claim away from one that is behind."""
    ahead = backend.open(lambda: NOON + GRACE)
    behind = backend.open()
    await behind.claim("dpop", "jti", after(5))
    for number in range(200):  # enough for whatever clears away
        await ahead.claim("dpop", f"other {number}", after(300))
    with pytest.raises(AlreadyClaimedError):
        await behind.claim("dpop", "jti", after(5))
    await ahead.aclose()
    await behind.aclose()


@pytest.mark.parametrize(
    "key", ["", "\0", "ключ", "\ud800", "k" * 1_000_000], ids=lambda key: repr(key)[:9]
)
async def test_any_text_is_a_key(store: Store, key: str) -> None:
    """Empty, huge, and half a surrogate pair, as JSON may hold: each is one key."""
    await store.claim("dpop", key, after(60))
    with pytest.raises(AlreadyClaimedError):
        await store.claim("dpop", key, after(60))
    await store.put_token(key, b"record", after(60))
    assert await store.get_token(key) == b"record"


def test_one_of_many_claims_wins(backend: Backend) -> None:
    """Of 200 claims at once, from four processes, exactly one wins."""
    command = [sys.executable, "-m", "tests.services.state.claimant"]
    processes = [
        subprocess.Popen(
            [*command, str(backend.where), backend.scope, str(EACH)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )
        for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    won = [int(process.communicate(timeout=30)[0]) for process in processes]
    assert sum(won) == 1


async def test_a_token_is_found_by_its_handle(store: Store, other: Store) -> None:
    """The record comes back byte by byte, on any replica."""
    record = bytes(range(256))
    await store.put_token("handle", record, after(60))
    assert await other.get_token("handle") == record
    assert await other.get_token("handl") is None


async def test_a_token_ends(store: Store, clock: Clock) -> None:
    """At `until` there is no record any more."""
    await store.put_token("handle", b"record", after(60))
    clock.forward(59)
    assert await store.get_token("handle") == b"record"
    clock.forward(1)
    assert await store.get_token("handle") is None


async def test_a_token_can_be_put_anew(store: Store) -> None:
    """The newest record of a handle counts, with its own end."""
    await store.put_token("handle", b"old", after(60))
    await store.put_token("handle", b"new", after(60))
    assert await store.get_token("handle") == b"new"
    await store.put_token("handle", b"over", NOON)
    assert await store.get_token("handle") is None


async def test_much_that_is_over_goes(store: Store, clock: Clock) -> None:
    """Whatever is over leaves room while others write, and what is not stays."""
    await store.claim("dpop", "stays", after(10_000))
    for number in range(300):
        await store.claim("dpop", str(number), after(5))
        await store.revoke(str(number), after(5))
    clock.forward(5 + GRACE.total_seconds() + 1)
    for number in range(300):
        await store.revoke(f"later {number}", after(10_000))
    assert len((await store.revocations()).entries) == 300
    with pytest.raises(AlreadyClaimedError):
        await store.claim("dpop", "stays", after(10_000))


async def test_a_closed_store_opens_again(store: Store) -> None:
    """Closing lets go of the backend, and of nothing that was stored."""
    await store.claim("dpop", "jti", after(60))
    await store.aclose()
    await store.aclose()
    await store.ping()
    with pytest.raises(AlreadyClaimedError):
        await store.claim("dpop", "jti", after(60))


async def test_a_moment_without_zone_is_a_mistake(store: Store) -> None:
    """A local time is refused at once: whose would it be?"""
    local = datetime(2027, 1, 1, 12)  # noqa: DTZ001 - the mistake
    with pytest.raises(ValueError, match="no time zone"):
        await store.claim("dpop", "jti", local)
    with pytest.raises(ValueError, match="no time zone"):
        await store.put_token("handle", b"", local)


async def test_another_zone_is_the_same_moment(store: Store, clock: Clock) -> None:
    """An end given in another zone is that moment, told in UTC."""
    east = after(60).astimezone(timezone(timedelta(hours=9)))
    await store.revoke("id", east)
    [(_, until)] = (await store.revocations()).entries
    assert until == after(60)
    assert until.utcoffset() == timedelta(0)


def test_the_codes_are_the_callers() -> None:
    """An unavailable backend is the 503 of RFC 6749, section 4.1.2.1."""
    assert StateUnavailableError.code == "temporarily_unavailable"
    assert AlreadyClaimedError.code == "already_claimed"
