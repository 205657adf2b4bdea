"""Tests of `services.token.exchange`: a caller's token becomes one for the next hop."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.proof.access_token import AccessToken
from services.token.call import Call
from services.token.clients import Client
from services.token.errors import (
    InvalidRequestError,
    InvalidScopeError,
    InvalidSubjectTokenError,
    InvalidTargetError,
)
from services.token.exchange import (
    ACCESS_TOKEN_TYPE,
    TOKEN_EXCHANGE,
    exchange,
    subject_token,
)
from services.token.form import TokenForm
from services.wire.peer import Peer
from tests.services.documents import (
    ISSUER,
    ORDERS_AUDIENCE,
    client_document,
    token_service_config,
)
from tests.services.mesh import Mesh
from tests.services.peers import peer
from tests.services.running import ORDERS, STOCK_AUDIENCE
from tests.services.tokens import NOW

GOOD = {
    "grant_type": TOKEN_EXCHANGE,
    "client_id": "orders",
    "subject_token": "a.b.c",
    "subject_token_type": ACCESS_TOKEN_TYPE,
}


def subject(**changes: Any) -> AccessToken:
    """Return storefront's token for orders, but for the `changes`."""
    good: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": ORDERS_AUDIENCE,
        "subject": "storefront",
        "client_id": "storefront",
        "scopes": frozenset({"orders.read"}),
        "issued_at": NOW,
        "expires_at": NOW + timedelta(seconds=300),
        "token_id": "1",
        "confirmation": {"x5t#S256": "of storefront"},
    }
    return AccessToken(**{**good, **changes})


@pytest.fixture
def caller(mesh: Mesh) -> Peer:
    """Return orders at the other end of the connection."""
    return peer(mesh, "orders")


@pytest.fixture
def call(caller: Peer, tmp_path: Path) -> Any:
    """Return a function that makes orders' request, but for what it is given."""

    def call(
        single: dict[str, str] | None = None,
        resources: tuple[str, ...] = (STOCK_AUDIENCE,),
        audiences: tuple[str, ...] = (),
        **registration: Any,
    ) -> Call:
        good: dict[str, Any] = {
            "tls_client_auth": {"san_uri": ORDERS},
            "audiences": {STOCK_AUDIENCE: ["stock.read", "stock.write"]},
            "audience": ORDERS_AUDIENCE,
            "delegates": {"orders.read": {STOCK_AUDIENCE: ["stock.read"]}},
        }
        clients = {"orders": client_document(**{**good, **registration})}
        config = token_service_config(tmp_path, clients=clients)
        return Call(
            form=TokenForm({**GOOD, **(single or {})}, resources, audiences),
            client=Client.read("orders", config.clients["orders"]),
            peer=caller,
            proof=None,
            now=NOW,
        )

    return call


def test_the_new_token_is_the_next_hops(call: Any, caller: Peer) -> None:
    """Storefront stays the subject, orders acts, and holds it by its certificate."""
    token = exchange(call(), subject(), issuer=ISSUER)
    assert token.audience == STOCK_AUDIENCE
    assert token.subject == "storefront"
    assert token.client_id == "orders"
    assert token.actor == {"sub": "orders"}
    assert token.scopes == {"stock.read"}
    assert token.confirmation == {"x5t#S256": caller.thumbprint}


def test_the_new_token_never_outlives_the_old_one(call: Any) -> None:
    """Ten seconds of the subject token are left, so the new one has ten."""
    ends = NOW + timedelta(seconds=10)
    assert exchange(call(), subject(expires_at=ends), issuer=ISSUER).expires_at == ends


def test_the_registration_limits_the_life_too(call: Any) -> None:
    """A client whose tokens live a minute gets a minute."""
    token = exchange(call(lifetime=60), subject(), issuer=ISSUER)
    assert token.expires_at == NOW + timedelta(seconds=60)


def test_earlier_actors_are_nested(call: Any) -> None:
    """The newest actor stands outermost (RFC 8693, section 4.1)."""
    token = exchange(call(), subject(actor={"sub": "gateway"}), issuer=ISSUER)
    assert token.actor == {"sub": "orders", "act": {"sub": "gateway"}}


def test_a_token_for_somebody_else_is_refused(call: Any) -> None:
    """Who is not its audience was not sent it, but has found it."""
    with pytest.raises(InvalidSubjectTokenError, match="not the audience"):
        exchange(call(), subject(audience=STOCK_AUDIENCE), issuer=ISSUER)


def test_a_client_that_is_no_service_exchanges_nothing(call: Any) -> None:
    """Nobody can have sent it a token."""
    with pytest.raises(InvalidSubjectTokenError, match="not the audience"):
        exchange(call(audience=None), subject(), issuer=ISSUER)


def test_who_may_act_is_honoured(call: Any) -> None:
    """The subject token can name the one who may act (RFC 8693, section 4.4)."""
    exchange(call(), subject(may_act={"sub": "orders"}), issuer=ISSUER)
    with pytest.raises(InvalidSubjectTokenError, match="may_act"):
        exchange(call(), subject(may_act={"sub": "stock"}), issuer=ISSUER)


def test_who_may_act_at_another_issuer_is_another(call: Any) -> None:
    """Together, `iss` and `sub` name one party (RFC 8693, section 4.4)."""
    ours = {"sub": "orders", "iss": ISSUER}
    exchange(call(), subject(may_act=ours), issuer=ISSUER)
    theirs = {"sub": "orders", "iss": "https://another.example"}
    with pytest.raises(InvalidSubjectTokenError, match="may_act"):
        exchange(call(), subject(may_act=theirs), issuer=ISSUER)


@pytest.mark.parametrize(
    ("resources", "audiences"),
    [
        ((STOCK_AUDIENCE,), ()),
        ((), (STOCK_AUDIENCE,)),
        ((STOCK_AUDIENCE,), (STOCK_AUDIENCE,)),
    ],
)
def test_the_target_has_one_name_for_both_parameters(
    call: Any, resources: tuple[str, ...], audiences: tuple[str, ...]
) -> None:
    """Said as resource, as audience, or as both (RFC 8693, section 2.1)."""
    asked = call(resources=resources, audiences=audiences)
    assert exchange(asked, subject(), issuer=ISSUER).audience == STOCK_AUDIENCE


@pytest.mark.parametrize(
    ("resources", "audiences"),
    [
        ((), ()),
        ((STOCK_AUDIENCE,), (ORDERS_AUDIENCE,)),
        ((), (STOCK_AUDIENCE, ORDERS_AUDIENCE)),
        ((STOCK_AUDIENCE, ORDERS_AUDIENCE), ()),
    ],
)
def test_several_targets_are_refused(
    call: Any, resources: tuple[str, ...], audiences: tuple[str, ...]
) -> None:
    """A bound token is for one service, and none of two is silently left out."""
    asked = call(resources=resources, audiences=audiences)
    with pytest.raises(InvalidTargetError, match="one is needed"):
        exchange(asked, subject(), issuer=ISSUER)


def test_there_must_be_an_edge(call: Any) -> None:
    """An exchange reaches no further than the exchanger's own calls."""
    with pytest.raises(InvalidTargetError, match="may not call"):
        exchange(
            call(resources=("https://billing.shop.internal",)), subject(), issuer=ISSUER
        )


def test_scopes_never_widen(call: Any) -> None:
    """Orders may write to stock for itself, and not for one who may read orders."""
    with pytest.raises(InvalidScopeError, match=r"stock\.write"):
        exchange(call({"scope": "stock.write"}), subject(), issuer=ISSUER)


def test_a_scope_that_reaches_nowhere_gets_nothing(call: Any) -> None:
    """A subject token whose scopes delegate nothing is exchanged for nothing."""
    with pytest.raises(InvalidScopeError):
        exchange(call(), subject(scopes=frozenset({"orders.other"})), issuer=ISSUER)


def test_what_is_delegated_is_still_limited_by_the_edge(call: Any) -> None:
    """Both must allow it: what the caller brought, and what orders may have."""
    delegates = {"orders.read": {STOCK_AUDIENCE: ["stock.read", "stock.admin"]}}
    token = exchange(call(delegates=delegates), subject(), issuer=ISSUER)
    assert token.scopes == {"stock.read"}


def test_the_chain_of_actors_stays_short(call: Any) -> None:
    """Four actors are enough; a fifth is refused."""
    three = {"sub": "c", "act": {"sub": "b", "act": {"sub": "a"}}}
    exchange(call(), subject(actor=three), issuer=ISSUER)
    with pytest.raises(InvalidSubjectTokenError, match="chain"):
        exchange(call(), subject(actor={"sub": "d", "act": three}), issuer=ISSUER)


@pytest.mark.parametrize(
    "change",
    [
        {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"actor_token": "x"},
        {"actor_token_type": ACCESS_TOKEN_TYPE},
    ],
    ids=lambda change: next(iter(change)),
)
def test_one_wrong_parameter_is_refused(call: Any, change: dict[str, str]) -> None:
    """Types we do not know and actor tokens are refused (RFC 8693, section 2.1)."""
    assert subject_token(call()) == "a.b.c"
    with pytest.raises(InvalidRequestError):
        subject_token(call(change))


JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


def test_a_type_must_be_that_of_the_token(call: Any) -> None:
    """A reference is an access token and no JWT (RFC 8693, sections 2.1 and 3)."""
    assert subject_token(call({"subject_token_type": JWT_TYPE})) == "a.b.c"
    assert subject_token(call({"subject_token": "cbo_x"})) == "cbo_x"
    with pytest.raises(InvalidRequestError, match="JWT"):
        subject_token(call({"subject_token": "cbo_x", "subject_token_type": JWT_TYPE}))


def test_a_client_of_references_gets_no_jwt(call: Any) -> None:
    """What is asked for is what is issued, or nothing."""
    asked = {"requested_token_type": JWT_TYPE}
    assert subject_token(call(asked)) == "a.b.c"
    with pytest.raises(InvalidRequestError, match="no JWTs"):
        subject_token(call(asked, format="opaque"))


@pytest.mark.parametrize("name", ["subject_token", "subject_token_type"])
def test_both_parts_of_the_subject_are_required(call: Any, name: str) -> None:
    """Token and type come together (RFC 8693, section 2.1)."""
    request = call()
    rest = {key: value for key, value in request.form.single.items() if key != name}
    with pytest.raises(InvalidRequestError, match=f"{name} is missing"):
        subject_token(
            Call(
                TokenForm(rest, request.form.resources),
                request.client,
                request.peer,
                None,
                NOW,
            )
        )
