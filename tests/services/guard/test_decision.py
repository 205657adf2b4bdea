"""Tests of `services.guard.decision`: token and connection open together."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.guard.decision import Rules, decide
from services.guard.grant import Grant
from services.proof.errors import (
    ExpiredTokenError,
    InvalidTokenError,
    MissingClaimError,
    SignatureError,
    UnboundTokenError,
    WrongAudienceError,
    WrongCertificateError,
    WrongIssuerError,
    WrongTypeError,
)
from services.proof.jws import parse
from services.wire.peer import Peer
from tests.services.mesh import Mesh
from tests.services.peers import peer
from tests.services.tokens import ABSENT, AUDIENCE, ISSUER, NOW, Signer, claims

SIGNER = Signer()
RULES = Rules(issuer=ISSUER, audience=AUDIENCE, bearer_clients=frozenset())
WITH_BEARER = replace(RULES, bearer_clients=frozenset({"storefront"}))


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Peer:
    """Return the caller whose token it is."""
    return peer(mesh, "storefront")


def decided(caller: Peer, *, rules: Rules = RULES, **changes: Any) -> Grant:
    """Decide on a good token of the caller's, but for the `changes`."""
    bound = {"cnf": {"x5t#S256": caller.thumbprint}}
    token = parse(SIGNER.token(claims(**{**bound, **changes})))
    return decide(token, SIGNER.key, caller, rules=rules, now=NOW)


def test_a_bound_token_opens_for_its_certificate(storefront: Peer) -> None:
    """The grant says who calls, what for, until when and over which certificate."""
    assert decided(storefront) == Grant(
        client_id="storefront",
        subject="storefront",
        scopes=frozenset({"orders.read"}),
        audience=AUDIENCE,
        expires_at=NOW + timedelta(minutes=5),
        token_id="0123456789abcdef",
        bound=True,
        peer=storefront,
    )


def test_a_stolen_token_is_refused(storefront: Peer, mesh: Mesh) -> None:
    """Another service of the mesh, with a valid certificate, cannot use it."""
    thief = peer(mesh, "stock")
    with pytest.raises(WrongCertificateError):
        decided(thief, cnf={"x5t#S256": storefront.thumbprint})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"iss": "https://thief"}, WrongIssuerError),
        ({"aud": "https://stock.shop.internal"}, WrongAudienceError),
        ({"exp": int(NOW.timestamp())}, ExpiredTokenError),
        ({"sub": ABSENT}, MissingClaimError),
    ],
    ids=["issuer", "audience", "expired", "claim"],
)
def test_a_wrong_claim_is_refused(
    storefront: Peer, changes: dict[str, Any], error: type[InvalidTokenError]
) -> None:
    """The right certificate does not mend a token that is not for us."""
    with pytest.raises(error):
        decided(storefront, **changes)


def test_a_token_by_another_key_is_refused(storefront: Peer) -> None:
    """The binding inside a forged token is the forger's."""
    forged = Signer().sign(
        SIGNER.header(), claims(cnf={"x5t#S256": storefront.thumbprint})
    )
    with pytest.raises(SignatureError):
        decide(parse(forged), SIGNER.key, storefront, rules=RULES, now=NOW)


def test_another_kind_of_jwt_is_refused(storefront: Peer) -> None:
    """A proof or an introspection answer of the same key is no access token."""
    other = SIGNER.sign(SIGNER.header(typ="dpop+jwt"), claims())
    with pytest.raises(WrongTypeError):
        decide(parse(other), SIGNER.key, storefront, rules=RULES, now=NOW)


def test_an_unbound_token_is_refused(storefront: Peer) -> None:
    """Whoever holds a bearer token could use it, so nobody may."""
    with pytest.raises(UnboundTokenError):
        decided(storefront, cnf=ABSENT)


def test_an_unbound_token_of_a_named_client_opens(storefront: Peer) -> None:
    """The configuration may name a client whose unbound tokens are taken."""
    grant = decided(storefront, rules=WITH_BEARER, cnf=ABSENT)
    assert not grant.bound


def test_an_unbound_token_of_another_client_is_refused(storefront: Peer) -> None:
    """The exception is for the client that is named, and for no other."""
    with pytest.raises(UnboundTokenError):
        decided(storefront, rules=WITH_BEARER, cnf=ABSENT, client_id="stock")


def test_a_bound_token_of_a_named_client_stays_bound(
    storefront: Peer, mesh: Mesh
) -> None:
    """The exception is for tokens without a binding: one that is there is checked."""
    with pytest.raises(WrongCertificateError):
        decided(
            peer(mesh, "stock"),
            rules=WITH_BEARER,
            cnf={"x5t#S256": storefront.thumbprint},
        )


@pytest.mark.parametrize("confirmed", [{}, {"x5t": "x"}], ids=repr)
def test_an_unknown_binding_is_no_missing_one(
    storefront: Peer, confirmed: dict[str, str]
) -> None:
    """A binding to something we cannot check refuses, even for a named client."""
    with pytest.raises(UnboundTokenError):
        decided(storefront, rules=WITH_BEARER, cnf=confirmed)


def test_a_null_binding_is_no_missing_one(storefront: Peer) -> None:
    """`cnf: null` does not turn a bound client into a bearer of tokens."""
    with pytest.raises(MissingClaimError):
        decided(storefront, rules=WITH_BEARER, cnf=None)
