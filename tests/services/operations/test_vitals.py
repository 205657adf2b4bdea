"""Tests of `services.operations.vitals`: a certificate in date, and further parts."""

import asyncio
from collections.abc import Sequence

from services.operations.vitals import IdentityVitals, Part
from tests.services.mesh import Mesh
from tests.services.running import Clock


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
