"""Tests of `services.gateway.decision`: each step refuses alone, cached or not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.gateway.decision import decide
from services.guard.errors import InsufficientScopeError
from services.guard.grant import Grant
from services.proof.access_token import read_claims
from services.proof.errors import (
    CertificateRequiredError,
    ExpiredTokenError,
    InvalidTokenError,
    NotYetValidError,
    ProofRequiredError,
    UnboundTokenError,
    WrongAudienceError,
    WrongCertificateError,
)
from services.wire.peer import Peer
from tests.services.mesh import Mesh
from tests.services.peers import peer
from tests.services.tokens import ABSENT, AUDIENCE, NOW, claims


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Peer:
    """Return the caller whose token it is."""
    return peer(mesh, "storefront")


def decided(caller: Peer, *, needs: frozenset[str], **changes: Any) -> Grant:
    """Decide on what is said of a good token of the caller's, but for the `changes`."""
    bound = {"cnf": {"x5t#S256": caller.thumbprint}}
    token = read_claims(claims(**{**bound, **changes}))
    return decide(token, caller, audience=AUDIENCE, scopes=needs, now=NOW)


READ = frozenset({"orders.read"})


def test_a_bound_token_opens_for_its_certificate(storefront: Peer) -> None:
    """The grant says who calls, what for, until when and over which certificate."""
    grant = decided(storefront, needs=READ, act={"sub": "shopper"})
    assert (grant.client_id, grant.scopes, grant.bound) == ("storefront", READ, True)
    assert grant.expires_at == NOW + timedelta(minutes=5)
    assert grant.chain == ("shopper", "storefront")
    assert grant.peer is storefront


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"aud": "https://stock.shop.internal"}, WrongAudienceError),
        ({"exp": int(NOW.timestamp())}, ExpiredTokenError),
        ({"iat": int(NOW.timestamp()) + 11}, NotYetValidError),
        ({"cnf": ABSENT}, UnboundTokenError),
        ({"cnf": {}}, UnboundTokenError),
        ({"cnf": {"x5t#S256": "x", "jkt": "x"}}, UnboundTokenError),
        ({"cnf": {"x5t#S256": "x"}}, WrongCertificateError),
        ({"cnf": {"jkt": "x"}}, ProofRequiredError),
    ],
)
def test_a_token_that_is_not_the_callers_is_refused(
    storefront: Peer, changes: dict[str, Any], error: type[InvalidTokenError]
) -> None:
    """Whatever the token service said a moment ago is held against this request."""
    with pytest.raises(error):
        decided(storefront, needs=READ, **changes)


def test_every_scope_of_the_route_is_needed(storefront: Peer) -> None:
    """One of two does not do."""
    both = READ | {"orders.write"}
    with pytest.raises(InsufficientScopeError) as refused:
        decided(storefront, needs=both)
    assert refused.value.needed == "orders.write"
    assert decided(storefront, needs=both, scope="orders.write orders.read").scopes


def test_without_a_certificate_nothing_is_bound_to_it(storefront: Peer) -> None:
    """A thumbprint that is missing on both sides is no match."""
    nobody = replace(storefront, thumbprint=None)  # type: ignore[arg-type]
    with pytest.raises((CertificateRequiredError, UnboundTokenError)):
        decided(nobody, needs=READ)
