"""Tests of `services.token.client_credentials`: what token answers a request."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.proof.access_token import AccessToken
from services.proof.dpop import DpopProof
from services.token.call import Call
from services.token.client_credentials import client_credentials
from services.token.clients import Client
from services.token.errors import (
    InvalidRequestError,
    InvalidScopeError,
    InvalidTargetError,
    ProofRefusedError,
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
from tests.services.tokens import NOW

GOOD = {"grant_type": "client_credentials", "client_id": "storefront"}


@pytest.fixture
def caller(mesh: Mesh) -> Peer:
    """Return the storefront at the other end of the connection."""
    return peer(mesh, "storefront")


@pytest.fixture
def granted(caller: Peer, tmp_path: Path) -> Any:
    """Return a function that grants a good request, but for what it is given."""

    def granted(
        single: dict[str, str] | None = None,
        resources: tuple[str, ...] = (ORDERS_AUDIENCE,),
        proof: DpopProof | None = None,
        **registration: Any,
    ) -> AccessToken:
        clients = {"storefront": client_document(**registration)}
        config = token_service_config(tmp_path, clients=clients)
        call = Call(
            form=TokenForm(GOOD if single is None else single, resources),
            client=Client.read("storefront", config.clients["storefront"]),
            peer=caller,
            proof=proof,
            now=NOW,
        )
        return client_credentials(call, issuer=ISSUER)

    return granted


def test_a_token_says_who_for_whom_and_how_long(granted: Any) -> None:
    """The claims are those of the client, the resource and the clock."""
    token = granted({**GOOD, "scope": "orders.read"})
    assert token.issuer == ISSUER
    assert token.audience == ORDERS_AUDIENCE
    assert token.subject == token.client_id == "storefront"
    assert token.scopes == {"orders.read"}
    assert (token.issued_at, token.expires_at) == (NOW, NOW + timedelta(seconds=300))


def test_a_token_is_bound_to_the_certificate_of_its_request(
    granted: Any, caller: Peer
) -> None:
    """The binding is that of the connection, whatever the form says (8705, 3)."""
    claim = '{"x5t#S256":"forged"}'
    token = granted({**GOOD, "cnf": claim, "x5t#S256": "forged"})
    assert token.confirmation == {"x5t#S256": caller.thumbprint}


def test_only_a_registration_makes_a_bearer_token(granted: Any) -> None:
    """A client registered for bearer tokens, by name, gets one without a binding."""
    assert granted(binding="none").confirmation is None


def test_the_registration_limits_the_life(granted: Any) -> None:
    """The life of a token is the client's, to the second."""
    token = granted(lifetime=2)
    assert token.expires_at - token.issued_at == timedelta(seconds=2)


def test_every_token_has_an_id_of_128_bits(granted: Any) -> None:
    """Ids do not repeat and cannot be guessed (FAPI 2.0, section 5.4.1)."""
    ids = {granted().token_id for _ in range(50)}
    assert len(ids) == 50
    assert all(len(one) == 22 for one in ids)  # 16 octets in base64url


@pytest.mark.parametrize(
    "resources",
    [(), (ORDERS_AUDIENCE, "https://stock.shop.internal"), (ORDERS_AUDIENCE,) * 2],
    ids=["none", "two", "the-same-twice"],
)
def test_exactly_one_resource_is_named(
    granted: Any, resources: tuple[str, ...]
) -> None:
    """A bound token is for one service (RFC 8707, section 2.2)."""
    with pytest.raises(InvalidTargetError, match="one is needed"):
        granted(resources=resources)


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("orders", "no absolute URI"),
        ("/orders", "no absolute URI"),
        ("//orders.shop.internal", "no absolute URI"),
        ("https:orders", "no absolute URI"),
        (ORDERS_AUDIENCE + "#", "no absolute URI"),
        (ORDERS_AUDIENCE + "#x", "no absolute URI"),
        (ORDERS_AUDIENCE + "?", "no absolute URI"),
        (ORDERS_AUDIENCE + "?x=y", "no absolute URI"),
        ("https://[::1", "no URI"),
        ("https://stock.shop.internal", "may not call"),
    ],
)
def test_a_resource_is_an_absolute_uri_of_the_topology(
    granted: Any, resource: str, reason: str
) -> None:
    """No fragment, no query, no relative reference, no stranger (RFC 8707, 2)."""
    with pytest.raises(InvalidTargetError, match=reason):
        granted(resources=(resource,))


def test_a_scope_beyond_the_registration_is_refused(granted: Any) -> None:
    """The topology decides on scopes, not the request."""
    with pytest.raises(InvalidScopeError):
        granted({**GOOD, "scope": "orders.delete"})


PROOF = DpopProof(
    thumbprint="jkt", token_id="1", issued_at=NOW, expires_at=NOW, nonce=None
)


def test_a_client_of_dpop_gets_a_token_bound_to_its_key(granted: Any) -> None:
    """The key is the proof's, and the certificate is not named (RFC 9449, 5)."""
    token = granted(proof=PROOF, binding="dpop")
    assert token.confirmation == {"jkt": "jkt"}


def test_a_client_of_dpop_must_prove_its_key(granted: Any) -> None:
    """Without a proof there is no token (RFC 9449, section 5.2)."""
    with pytest.raises(ProofRefusedError, match="bound to a DPoP key"):
        granted(binding="dpop")


def test_a_proof_is_not_passed_over(granted: Any) -> None:
    """Who sends a proof wants a token bound to its key, and is not given another."""
    with pytest.raises(InvalidRequestError, match="not registered for DPoP"):
        granted(proof=PROOF)
