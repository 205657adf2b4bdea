"""What every backend must hold to of revocations, and of the list that guards poll."""

import pytest

from services.state.store import Revocations, Store
from tests.services.state.backends import Clock, after

pytestmark = pytest.mark.anyio


async def test_a_revocation_is_shared(store: Store, other: Store) -> None:
    """What one replica has revoked is void at all, alone."""
    await store.revoke("id", after(60))
    assert await other.is_revoked("id")
    assert not await other.is_revoked("another")


async def test_a_revocation_holds_through_its_last_second(
    store: Store, clock: Clock
) -> None:
    """A token may be accepted at its last second: so long it is void."""
    await store.revoke("id", after(60))
    clock.forward(60)
    assert await store.is_revoked("id")
    clock.forward(1)
    assert not await store.is_revoked("id")


async def test_revocations_are_listed_in_order(store: Store, other: Store) -> None:
    """Every replica lists the same, ordered by id, with the moments given."""
    await store.revoke("b", after(60))
    await other.revoke("a", after(30))
    expected = Revocations.of([("a", after(30)), ("b", after(60))])
    assert expected.entries == (("a", after(30)), ("b", after(60)))
    assert await store.revocations() == await other.revocations() == expected


async def test_nothing_is_revoked_at_first(store: Store) -> None:
    """The list of a new store is empty, and has a version too."""
    assert await store.revocations() == Revocations.of(())
    assert Revocations.of(()).version


async def test_to_revoke_again_changes_nothing(store: Store, other: Store) -> None:
    """A second revocation, earlier or the same, leaves list and version as they are."""
    await store.revoke("id", after(60))
    before = await store.revocations()
    await other.revoke("id", after(60))
    await other.revoke("id", after(30))
    assert await store.revocations() == before


async def test_a_later_end_replaces_an_earlier(store: Store) -> None:
    """A revocation can be prolonged; the version tells."""
    await store.revoke("id", after(30))
    before = await store.revocations()
    await store.revoke("id", after(60))
    changed = await store.revocations()
    assert changed.entries == (("id", after(60)),)
    assert changed.version != before.version


async def test_the_version_changes_when_a_revocation_ends(
    store: Store, clock: Clock
) -> None:
    """What is over leaves the list, and the version is that of the list without it."""
    await store.revoke("short", after(30))
    await store.revoke("long", after(60))
    both = await store.revocations()
    clock.forward(31)
    one = await store.revocations()
    assert one.entries == (("long", after(60)),)
    assert one.version != both.version
    clock.forward(30)
    assert await store.revocations() == Revocations.of(())


async def test_the_version_stands_while_nothing_changes(
    store: Store, clock: Clock
) -> None:
    """Neither time nor other operations touch the version."""
    await store.revoke("id", after(60))
    before = await store.revocations()
    await store.claim("dpop", "jti", after(60))
    await store.put_token("handle", b"record", after(60))
    clock.forward(60)
    assert await store.revocations() == before


async def test_an_unchanged_list_is_not_made_anew(store: Store) -> None:
    """Guards that poll cost no more than the question whether anything changed."""
    await store.revoke("id", after(60))
    assert await store.revocations() is await store.revocations()


async def test_what_was_never_in_force_is_not_listed(store: Store) -> None:
    """To revoke a token that is over changes nothing."""
    await store.revoke("id", after(-2))
    assert not await store.is_revoked("id")
    assert await store.revocations() == Revocations.of(())


async def test_ids_are_any_text(store: Store) -> None:
    """The id of another issuer's token cannot break the list."""
    names = ["", "id with spaces\n", "ключ", "\ud800", "\0"]
    for name in names:
        await store.revoke(name, after(60))
        assert await store.is_revoked(name)
    listed = [name for name, _ in (await store.revocations()).entries]
    assert listed == sorted(names)
