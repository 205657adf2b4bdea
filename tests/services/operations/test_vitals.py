"""Tests of `services.operations.vitals`: a certificate in date, and further parts."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from services.operations.vitals import IdentityVitals, Part
from tests.services.mesh import Mesh
from tests.services.running import Clock
from tests.services.shelf import Shelf, shelf


class Others:
    """Further parts."""

    async def parts(self) -> Sequence[Part]:
        """Return one."""
        return [Part("store", up=False)]


def test_a_certificate_in_date_is_well(mesh: Mesh) -> None:
    """The last second belongs to it."""
    clock, instance = Clock(), mesh.instance("orders")
    vitals = IdentityVitals(instance.live(clock.seconds), clock)
    clock.moment = instance.generation.not_after
    assert asyncio.run(vitals.parts()) == [Part("identity", up=True)]
    clock.move(seconds=1)
    assert asyncio.run(vitals.parts()) == [Part("identity", up=False)]


def test_a_renewal_makes_it_well_again(mesh: Mesh) -> None:
    """The certificate of now counts, and not that of the start."""
    clock = Clock()
    instance = mesh.instance("orders", not_after=clock.moment)
    vitals = IdentityVitals(instance.live(clock.seconds), clock)
    clock.move(seconds=2)
    assert asyncio.run(vitals.parts()) == [Part("identity", up=False)]
    instance.renew()
    clock.move(seconds=2)
    assert asyncio.run(vitals.parts()) == [Part("identity", up=True)]


def test_other_parts_follow(mesh: Mesh) -> None:
    """What the token service or the guard needs is asked for, too."""
    identity = mesh.instance("orders").live()
    parts = asyncio.run(IdentityVitals(identity, Clock(), Others()).parts())
    assert parts == [Part("identity", up=True), Part("store", up=False)]


def test_who_follows_lists_says_how_old_they_are(mesh: Mesh) -> None:
    """Not well while they cannot be had, and when its own certificate is revoked."""
    clock, instance = Clock(), mesh.instance("orders")
    found: list[Part] = []

    async def look(told: Shelf) -> None:
        status = told.status(clock)
        vitals = IdentityVitals(instance.live(clock.seconds), clock, status=status)
        for publish in (told.publish, told.documents.clear, lambda: _revoke(told)):
            publish()
            clock.move(seconds=5)
            found.append((await vitals.parts())[1])
        await status.aclose()

    def _revoke(told: Shelf) -> None:
        told.publish(instance, number=2)

    with shelf(mesh) as told:
        asyncio.run(look(told))
    known, unknown, revoked = found
    name = "certificate_status"
    assert known == Part(name, up=True, age=timedelta(0))
    assert unknown == Part(name, up=False, age=timedelta(seconds=5))
    assert (revoked.name, revoked.up) == (name, False)
