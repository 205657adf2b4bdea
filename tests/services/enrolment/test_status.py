"""The CA's front looks up who asks, by lists that its own process publishes."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.revocation_config import RevocationConfig
from services.wire.checked import CheckedCertificate
from services.wire.status import CertificateStatus
from tests.services.authority import Front, enrolment, request_of
from tests.services.mesh import Serve
from tests.services.published import Told, publisher
from tests.services.running import Clock

BOUND = timedelta(seconds=5)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """Return a CA that publishes."""
    with publisher(tmp_path) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    """Return the time of the front's look."""
    return Clock()


@pytest.fixture
def front(told: Told, clock: Clock, serve: Serve, tmp_path: Path) -> Iterator[Front]:
    """Return its front, over lists of a real CA."""
    status = CertificateStatus(lambda: RevocationConfig(url=told.url), clock)

    def looking(app: Any, identity: Any, **options: Any) -> Any:
        layer = CheckedCertificate(app, status=status, trust_domain="shop.internal")
        return serve(layer, identity, **options)

    (tmp_path / "front").mkdir()
    with enrolment(told.house, looking, tmp_path / "front") as running:
        yield running


def test_a_revoked_certificate_renews_nothing(
    told: Told, front: Front, clock: Clock
) -> None:
    """By the list of its shard, before the ledger is opened; others go on."""
    with front.client(told.orders) as client:
        assert client.get("/cacerts").status_code == 200
        assert front.post(told.stock, request_of(told.stock)).status_code == 200
        told.house.revoke("orders")
        clock.moment += BOUND
        answer = front.post(told.orders, request_of(told.orders))
    assert answer.status_code == 403
    assert answer.text.startswith("revoked: ")


def test_while_lists_cannot_be_had_nobody_renews(
    told: Told, front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with a moment to come again; when they are back, the same request is good."""
    request = request_of(told.orders)
    told.clock.move(days=400)  # every list has run out, the root's too
    clock.moment += BOUND
    answer = front.post(told.orders, request)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    told.clock.move(days=-400)
    clock.move(seconds=1)
    assert front.post(told.orders, request).status_code == 200
