"""Tests of `services.metrics`: what is counted, where it happens."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families

from services import metrics, tally
from tests.services.guarding import Service, guarded
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import Tokens, request, token_service

GUARD_SECONDS = "certbound_guard_seconds"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tokens]:
    """Return a token service."""
    with token_service(mesh, serve, tmp_path_factory.mktemp("tokens")) as running:
        yield running


@pytest.fixture(scope="module")
def orders(
    mesh: Mesh, serve: Serve, tokens: Tokens, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Return a guarded service."""
    directory = tmp_path_factory.mktemp("orders")
    with guarded(tokens, serve, mesh.instance("orders"), directory) as running:
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the caller."""
    return mesh.instance("storefront")


class Rise:
    """How much a number has risen since it was looked at."""

    def __init__(self, name: str, **labels: str) -> None:
        self._name = name
        self._labels = labels
        self._before = metrics.value(name, **labels)

    def __call__(self) -> float:
        """Return the rise."""
        return metrics.value(self._name, **self._labels) - self._before


def requests(endpoint: str, outcome: str, code: str = "") -> Rise:
    """Watch the number of requests to the token service."""
    return Rise(
        "certbound_requests_total", endpoint=endpoint, outcome=outcome, code=code
    )


def decisions(outcome: str, reason: str = "") -> Rise:
    """Watch the number of decisions of the guard."""
    name = "certbound_guard_decisions_total"
    return Rise(name, outcome=outcome, reason=reason)


def test_an_issued_token_is_counted(tokens: Tokens, storefront: Instance) -> None:
    """By grant and binding, beside the request and its time."""
    answered = requests("token", "answered")
    timed = Rise("certbound_request_seconds_count", endpoint="token")
    grant = "client_credentials"
    issued = Rise("certbound_tokens_issued_total", grant=grant, binding="certificate")
    tokens.token(storefront)
    assert (answered(), timed(), issued()) == (1, 1, 1)


def test_a_bearer_token_is_counted_as_one(tokens: Tokens, storefront: Instance) -> None:
    """Whoever watches sees that such tokens are still asked for."""
    issued = Rise(
        "certbound_tokens_issued_total", grant="client_credentials", binding="none"
    )
    tokens.token(storefront, client_id="bearer")
    assert issued() == 1


def test_an_exchange_is_a_grant_of_its_own(
    tokens: Tokens, storefront: Instance, mesh: Mesh
) -> None:
    """Its name in the metrics is short."""
    issued = Rise(
        "certbound_tokens_issued_total", grant="token-exchange", binding="certificate"
    )
    tokens.token(
        mesh.instance("orders"),
        client_id="orders",
        grant_type=EXCHANGE,
        subject_token=tokens.token(storefront),
        subject_token_type="urn:ietf:params:oauth:token-type:access_token",
        resource="https://stock.shop.internal",
        scope=None,
    )
    assert issued() == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": "nobody"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"scope": "x"}, "invalid_scope"),
    ],
)
def test_a_refusal_is_counted_by_its_code(
    tokens: Tokens, storefront: Instance, changes: dict[str, Any], code: str
) -> None:
    """The codes are those of the answers."""
    refused = requests("token", "refused", code)
    tokens.ask(storefront, **changes)
    assert refused() == 1


def test_every_endpoint_is_counted(tokens: Tokens, storefront: Instance) -> None:
    """Those that need no client, too."""
    paths = {
        "jwks": "/jwks",
        "own_jwks": "/jwks/own",
        "revocations": "/revocations",
        "metadata": "/.well-known/oauth-authorization-server",
    }
    posts = {"introspection": "/introspect", "revocation": "/revoke"}
    with tokens.client(storefront) as client:
        for endpoint, path in paths.items():
            answered = requests(endpoint, "answered")
            client.get(path)
            assert answered() == 1
        for endpoint, path in posts.items():
            refused = requests(endpoint, "refused", "invalid_client")
            client.post(path, data=request(client_id="nobody"))
            assert refused() == 1


def test_what_nobody_foresaw_is_a_failure() -> None:
    """An exception that passes counts as what the caller will see."""
    failed = requests("token", "failed", "server_error")
    with pytest.raises(ZeroDivisionError), metrics.request("token"):
        raise ZeroDivisionError
    assert failed() == 1


def test_a_request_that_is_let_in_is_counted(
    tokens: Tokens, orders: Service, storefront: Instance
) -> None:
    """With the time that it took to decide."""
    answered, timed = decisions("answered"), Rise("certbound_guard_seconds_count")
    assert orders.get(storefront, tokens.token(storefront)).status_code == 200
    assert (answered(), timed()) == (1, 1)


def test_a_refusal_of_the_guard_is_counted_by_its_class(
    tokens: Tokens, orders: Service, storefront: Instance, mesh: Mesh
) -> None:
    """A theft looks different from a mistake."""
    stolen = decisions("refused", "WrongCertificateError")
    wrong = decisions("refused", "MalformedTokenError")
    orders.get(mesh.instance("stock"), tokens.token(storefront))
    orders.get(storefront, "x")
    assert (stolen(), wrong()) == (1, 1)


def test_a_missing_scope_is_a_refusal_after_the_guard(
    tokens: Tokens, orders: Service, storefront: Instance
) -> None:
    """The guard lets the request in, and the application refuses through it."""
    answered, refused = (
        decisions("answered"),
        decisions("refused", "InsufficientScopeError"),
    )
    token = tokens.token(storefront, scope="orders.read")
    with orders.client(storefront) as client:
        client.post("/orders", headers={"Authorization": f"Bearer {token}"})
    assert (answered(), refused()) == (1, 1)


def test_the_time_of_decisions_is_shown_as_the_library_would_show_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own histogram, given the same, rises by the same in each bucket."""
    theirs = Histogram("theirs", "", buckets=metrics.SECONDS, registry=None)
    before = of_decisions()
    monkeypatch.setattr(tally, "perf_counter", lambda: 8.0)
    for seconds in (0.0, 0.0009765625, 0.001953125, 0.25, 5.0, 7.0):  # exact in bits
        metrics.let_in(8.0 - seconds)
        metrics.guarded(8.0 - seconds)
        theirs.observe(seconds)
        theirs.observe(seconds)
    risen = {name: value - before[name] for name, value in of_decisions().items()}
    shown = {
        (sample.name.removeprefix("theirs"), sample.labels.get("le")): sample.value
        for sample in next(iter(theirs.collect())).samples
    }
    assert risen == pytest.approx(shown)


def of_decisions() -> dict[tuple[str, str | None], float]:
    """Return what is shown of the time of decisions."""
    text = metrics.exposition().decode()
    return {
        (sample.name.removeprefix(GUARD_SECONDS), sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(GUARD_SECONDS)
    }


def test_parts_and_ages_are_shown() -> None:
    """A part that has no age shows none."""
    metrics.part("one", up=True, age=timedelta(seconds=3))
    metrics.part("other", up=False, age=None)
    assert metrics.value("certbound_up", part="one") == 1
    assert metrics.value("certbound_age_seconds", part="one") == 3
    assert metrics.value("certbound_up", part="other") == 0
    assert b'certbound_age_seconds{part="other"}' not in metrics.exposition()


def test_the_exposition_is_in_prometheus_format() -> None:
    """Its own parser reads it, and every metric of ours has its help."""
    text = metrics.exposition().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    ours = {name for name in families if name.startswith("certbound_")}
    assert ours == {
        "certbound_requests",
        "certbound_request_seconds",
        "certbound_tokens_issued",
        "certbound_distrusted",
        "certbound_guard_decisions",
        "certbound_guard_seconds",
        "certbound_up",
        "certbound_age_seconds",
        "certbound_certificate_not_after_seconds",
        "certbound_renewal_age_seconds",
        "certbound_renewals",
        "certbound_published_until_seconds",
        "certbound_publications",
        "certbound_outdated",
        "certbound_known_key",
    }
    assert all(families[name].documentation for name in ours)
