"""Tests of `services.guard.earlier`: a kept token is no stolen one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services import metrics
from services.guard.earlier import Certificates, EarlierCertificateError
from services.proof.errors import WrongCertificateError
from tests.services.guarding import Service, guarded
from tests.services.logged import only_line
from tests.services.mesh import Mesh, Serve
from tests.services.peers import peer
from tests.services.running import Tokens, token_service


@pytest.fixture
def tokens(mesh: Mesh, serve: Serve, tmp_path: Path) -> Iterator[Tokens]:
    """Return a token service."""
    home = tmp_path / "token-service"
    home.mkdir()
    with token_service(mesh, serve, home) as running:
        yield running


@pytest.fixture
def orders(
    mesh: Mesh, serve: Serve, tokens: Tokens, tmp_path: Path
) -> Iterator[Service]:
    """Return the service that is called."""
    with guarded(tokens, serve, mesh.instance("orders"), tmp_path) as running:
        yield running


def counted(reason: str) -> float:
    """Return how often a guard of this process has refused for a reason."""
    name = "certbound_guard_decisions_total"
    return metrics.value(name, outcome="refused", reason=reason)


def test_a_token_that_was_kept_over_a_renewal(
    mesh: Mesh, tokens: Tokens, orders: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused as any other, says what to do, and is counted apart."""
    before = counted("EarlierCertificateError"), counted("WrongCertificateError")
    storefront = mesh.instance("storefront")
    kept = tokens.token(storefront)
    assert orders.get(storefront, kept).status_code == 200
    storefront.renew()
    answer = orders.get(storefront, kept)
    assert answer.status_code == 401
    assert "earlier certificate" in answer.headers["www-authenticate"]
    assert only_line(caplog)["cause"] == "EarlierCertificateError"
    after = counted("EarlierCertificateError"), counted("WrongCertificateError")
    assert after == (before[0] + 1, before[1])


def test_a_token_in_other_hands_is_a_theft(
    mesh: Mesh, tokens: Tokens, orders: Service
) -> None:
    """That its owner's certificate is known changes nothing for the thief."""
    storefront = mesh.instance("storefront")
    stolen = tokens.token(storefront)
    assert orders.get(storefront, stolen).status_code == 200
    before = counted("WrongCertificateError")
    answer = orders.get(mesh.instance("stock"), stolen)
    assert "another certificate" in answer.headers["www-authenticate"]
    assert counted("WrongCertificateError") == before + 1


def test_the_memory_has_an_end(mesh: Mesh) -> None:
    """Of each caller the last four, and no more."""
    known = Certificates()
    peers = [peer(mesh, "storefront") for _ in range(5)]
    for one in peers:
        known.note(one)
    forgotten = WrongCertificateError("", peers[0].thumbprint)
    known.check(peers[-1], forgotten)
    with pytest.raises(EarlierCertificateError):
        known.check(peers[-1], WrongCertificateError("", peers[1].thumbprint))


def test_callers_that_came_long_ago_are_forgotten(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was here last is kept."""
    monkeypatch.setattr("services.guard.earlier._CALLERS", 1)
    known, first, second = Certificates(), peer(mesh, "stock"), peer(mesh, "orders")
    known.note(first)
    known.note(second)
    known.check(first, WrongCertificateError("", first.thumbprint))
    with pytest.raises(EarlierCertificateError):
        known.check(second, WrongCertificateError("", second.thumbprint))
