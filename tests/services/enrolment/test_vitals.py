"""Tests of `services.enrolment.vitals`: ready while the CA could sign."""

import asyncio

from services.enrolment.office import Office
from services.enrolment.queue import Queue
from services.enrolment.vitals import EnrolmentVitals
from services.operations.vitals import Part
from tests.services.authority import Authority
from tests.services.mesh import now


def test_a_ca_that_lost_its_ledger_is_not_ready(house: Authority) -> None:
    """Whole it is, without its ledger it is not, and nothing is raised."""
    office = Office(house.layout, house.passphrase, clock=now)
    vitals = EnrolmentVitals(office, Queue(office.renew))
    assert asyncio.run(vitals.parts()) == [Part("authority", up=True)]
    house.layout.ledger.unlink()
    assert asyncio.run(vitals.parts()) == [Part("authority", up=False)]
