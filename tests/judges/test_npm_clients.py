"""Clients of npm obtain tokens and use them: openid-client and oauth4webapi.

Each is asked once for a whole scenario (`node/`); every test looks at one part of it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest

from tests.judges.npm import Node
from tests.judges.standing import AUDIENCE, NEXT_AUDIENCE, Standing
from tests.judges.tokens import unverified_claims
from tests.judges.verdicts import Judge, Verdict
from tests.services.mesh import Instance

CLIENTS = ("openid-client", "oauth4webapi")
Heard = Callable[[str], Any]


class Client(NamedTuple):
    """A client, and how to hear what it has met with."""

    judge: Judge
    hear: Callable[[], Any]

    @property
    def heard(self) -> Any:
        """What it has met with."""
        return self.hear()


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, heard: Heard, node: Node) -> Client:
    """Return each of the clients."""
    return Client(node.judge(request.param), partial(heard, request.param))


def _thumbprint(instance: Instance) -> str:
    return instance.generation.thumbprint


def test_a_token_is_bound_to_the_certificate(
    stand: Standing, client: Client, verdict: Verdict
) -> None:
    """The client finds the endpoint by metadata; the token is for its certificate."""
    token = client.heard["bound"]
    assert token["token_type"] == "bearer"
    confirmation = unverified_claims(token["access_token"])["cnf"]
    assert confirmation == {"x5t#S256": _thumbprint(stand.instances["storefront"])}
    verdict(client.judge, accepted="metadata")


def test_a_bound_token_opens_the_service(client: Client, verdict: Verdict) -> None:
    """The service answers the client that holds the token's certificate."""
    assert client.heard["bound_call"]["body"]["caller"] == "storefront"
    verdict(client.judge, accepted="certificate-bound token")


def test_a_bound_token_is_nothing_to_a_thief(client: Client, verdict: Verdict) -> None:
    """The client reads 401 and invalid_token where another certificate shows it."""
    stolen = client.heard["bound_stolen"]
    assert (stolen["status"], stolen["error"]) == (401, "invalid_token")
    verdict(client.judge, refused="stolen token")


def test_nobody_else_gets_the_clients_tokens(client: Client, verdict: Verdict) -> None:
    """The client reads invalid_client where the certificate is not the client's."""
    assert client.heard["impostor"]["error"] == "invalid_client"
    verdict(client.judge, refused="another client's certificate")


def test_a_token_is_bound_to_a_key(client: Client, verdict: Verdict) -> None:
    """The client is asked for a nonce, proves its key, and gets a token for it."""
    token = client.heard["dpop"]
    assert token["token_type"] == "dpop"
    assert list(unverified_claims(token["access_token"])["cnf"]) == ["jkt"]
    verdict(client.judge, accepted="nonce at the token endpoint")


def test_a_token_bound_to_a_key_opens_the_service(
    client: Client, verdict: Verdict
) -> None:
    """The service asks for a nonce of its own, and answers who proves the key."""
    assert client.heard["dpop_call"]["body"]["caller"] == "storefront-dpop"
    verdict(client.judge, accepted="DPoP token with the service's nonce")


@pytest.mark.parametrize(
    ("fault", "words"),
    [("dpop_without_proof", "DPoP token as Bearer"), ("dpop_other_key", "another key")],
)
def test_a_token_bound_to_a_key_needs_that_key(
    client: Client, verdict: Verdict, fault: str, words: str
) -> None:
    """The client reads invalid_token where the proof is missing or by another key."""
    refused = client.heard[fault]
    assert (refused["status"], refused["error"]) == (401, "invalid_token")
    verdict(client.judge, refused=words)


def test_the_service_it_is_for_may_ask_about_an_opaque_token(
    stand: Standing, client: Client, verdict: Verdict
) -> None:
    """The answer says whose the token is and which certificate it is bound to."""
    opaque, seen = client.heard["opaque"], client.heard["introspected"]
    assert "." not in opaque["access_token"]
    assert (seen["active"], seen["aud"]) == (True, AUDIENCE)
    thumbprint = _thumbprint(stand.instances["storefront"])
    assert seen["cnf"] == {"x5t#S256": thumbprint}
    verdict(client.judge, accepted="introspection")


def test_others_learn_nothing_of_a_token(client: Client, verdict: Verdict) -> None:
    """To a service that the token is not for it is not active, and no more is said."""
    seen = client.heard["introspected_by_another"]
    seen.pop("content_type", None)
    assert seen == {"active": False}
    verdict(client.judge, refused="introspection by another")


def test_a_token_is_exchanged_for_the_next_service(
    stand: Standing, client: Client, verdict: Verdict
) -> None:
    """Orders gets a token for stock: bound to orders, the subject still storefront."""
    claims = unverified_claims(client.heard["exchanged"]["access_token"])
    assert (claims["sub"], claims["aud"]) == ("storefront", NEXT_AUDIENCE)
    assert claims["act"] == {"sub": "orders"}
    assert claims["cnf"] == {"x5t#S256": _thumbprint(stand.instances["orders"])}
    verdict(client.judge, accepted="token exchange")


def test_a_token_sent_to_another_is_not_exchanged(
    client: Client, verdict: Verdict
) -> None:
    """The client reads invalid_request where the token was not sent to it."""
    assert client.heard["exchanged_by_another"]["error"] == "invalid_request"
    verdict(client.judge, refused="exchange by another")


def test_a_revoked_token_is_not_active(client: Client, verdict: Verdict) -> None:
    """Once the client has revoked its token, nobody is told more than that."""
    assert client.heard["revoked"]["active"] is False
    verdict(client.judge, accepted="revocation")


def test_oauth4webapi_reads_a_signed_answer(
    heard: Heard, node: Node, verdict: Verdict
) -> None:
    """The answer about a token is a JWT of RFC 9701, and its signature is good."""
    seen = heard("oauth4webapi")["introspected"]
    assert seen["content_type"].startswith("application/token-introspection+jwt")
    verdict(node.judge("oauth4webapi"), accepted="signed introspection")


def test_oauth4webapi_refuses_an_answer_to_another(
    heard: Heard, node: Node, verdict: Verdict
) -> None:
    """An answer that was signed for stock is of no use to orders."""
    seen = heard("oauth4webapi")["introspected_as_another"]
    assert seen["failed"] == "OAUTH_JWT_CLAIM_COMPARISON_FAILED"
    verdict(node.judge("oauth4webapi"), refused="another's signed introspection")


def test_oauth4webapi_serves_our_client(
    heard: Heard, node: Node, verdict: Verdict
) -> None:
    """As a resource server it takes our DPoP-bound token with its proof."""
    assert heard("oauth4webapi")["served"]["client_id"] == "storefront-dpop"
    verdict(node.judge("oauth4webapi"), accepted="our DPoP token, as a server")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("served_other_key", "OAUTH_JWT_CLAIM_COMPARISON_FAILED"),
        ("served_without_proof", "OAUTH_INVALID_RESPONSE"),
        ("served_other_audience", "OAUTH_JWT_CLAIM_COMPARISON_FAILED"),
        ("served_introspection", "OAUTH_INVALID_RESPONSE"),
    ],
)
def test_oauth4webapi_serves_no_thief(
    heard: Heard, node: Node, verdict: Verdict, fault: str, code: str
) -> None:
    """As a resource server it refuses what our token does not allow, each by itself."""
    assert heard("oauth4webapi")[fault]["failed"] == code
    verdict(
        node.judge("oauth4webapi"),
        refused=fault.replace("served_", "").replace("_", " "),
    )
