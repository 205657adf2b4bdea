"""Clients of PyPI obtain tokens and use them, over requests and its TLS.

Neither authlib nor oauthlib speaks DPoP; requests-oauth2client does.
"""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError
from requests_oauth2client import (
    BearerToken,
    DPoPKey,
    DPoPToken,
    InvalidClient,
    OAuth2Client,
    PublicApp,
)
from requests_oauthlib import OAuth2Session as OauthlibSession

from tests.judges.standing import AUDIENCE, NEXT_AUDIENCE, SCOPE, Standing
from tests.judges.tokens import unverified_claims
from tests.judges.verdicts import Judge, Verdict

AUTHLIB = Judge("PyPI authlib", version("authlib"))
OAUTHLIB = Judge("PyPI oauthlib", version("oauthlib"))
CLIENT = Judge("PyPI requests-oauth2client", version("requests-oauth2client"))
BOUND = "certificate-bound token"


def _equipped(stand: Standing, session: Any, name: str) -> Any:
    """Return a session of requests that presents the certificate of an instance."""
    session.cert, session.verify = stand.paths(name), stand.bundle
    session.trust_env = False
    return session


def _confirmed(token: str) -> Any:
    return unverified_claims(token)["cnf"]


def _certificate(stand: Standing, name: str) -> dict[str, str]:
    return {"x5t#S256": stand.instances[name].generation.thumbprint}


# authlib


@pytest.fixture
def authlib(stand: Standing) -> Iterator[Any]:
    """Return authlib's session of storefront, with a token."""
    session = AuthlibSession("storefront", token_endpoint_auth_method="none")
    with _equipped(stand, session, "storefront"):
        session.fetch_token(
            f"{stand.issuer}/token",
            grant_type="client_credentials",
            resource=AUDIENCE,
            scope=SCOPE,
        )
        yield session


def test_authlib_gets_and_uses_a_bound_token(
    stand: Standing, authlib: Any, verdict: Verdict
) -> None:
    """Its session gets a token for its certificate, and the service answers it."""
    token = authlib.token["access_token"]
    assert _confirmed(token) == _certificate(stand, "storefront")
    assert authlib.get(stand.resource).json()["caller"] == "storefront"
    verdict(AUTHLIB, accepted=BOUND)


def test_authlib_with_a_stolen_token_is_refused(
    stand: Standing, authlib: Any, verdict: Verdict
) -> None:
    """The same token in a session with another certificate gets 401."""
    with _equipped(stand, AuthlibSession(token=authlib.token), "stock") as thief:
        answer = thief.get(stand.resource)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    verdict(AUTHLIB, refused="stolen token")


def test_authlib_cannot_be_another_client(stand: Standing, verdict: Verdict) -> None:
    """It reads invalid_client where the certificate is not the client's."""
    session = AuthlibSession("storefront", token_endpoint_auth_method="none")
    with (
        _equipped(stand, session, "stock"),
        pytest.raises(OAuthError, match="invalid_client"),
    ):
        session.fetch_token(
            f"{stand.issuer}/token", grant_type="client_credentials", resource=AUDIENCE
        )
    verdict(AUTHLIB, refused="another client's certificate")


def test_authlib_introspects_and_revokes(stand: Standing, verdict: Verdict) -> None:
    """Orders sees what a token says, until storefront has revoked it."""
    opaque = AuthlibSession("storefront-opaque", token_endpoint_auth_method="none")
    orders = AuthlibSession("orders", token_endpoint_auth_method="none")
    with (
        _equipped(stand, opaque, "storefront"),
        _equipped(stand, orders, "orders"),
    ):
        token = opaque.fetch_token(
            f"{stand.issuer}/token", grant_type="client_credentials", resource=AUDIENCE
        )["access_token"]
        asked = f"{stand.issuer}/introspect"
        seen = orders.introspect_token(asked, token=token).json()
        assert seen["cnf"] == _certificate(stand, "storefront")
        assert opaque.revoke_token(f"{stand.issuer}/revoke", token=token).ok
        seen = orders.introspect_token(asked, token=token).json()
    assert seen == {"active": False}
    verdict(AUTHLIB, accepted="introspection")
    verdict(AUTHLIB, accepted="revocation")


# oauthlib, by requests-oauthlib


def _oauthlib(stand: Standing, client_id: str, name: str, **options: Any) -> Any:
    client = BackendApplicationClient(client_id)
    return _equipped(stand, OauthlibSession(client=client, **options), name)


def _fetched(stand: Standing, session: Any) -> Any:
    return session.fetch_token(
        f"{stand.issuer}/token",
        include_client_id=True,
        cert=session.cert,
        resource=AUDIENCE,
        scope=[SCOPE],
    )


def test_oauthlib_gets_and_uses_a_bound_token(
    stand: Standing, verdict: Verdict
) -> None:
    """Its session gets a token for its certificate, and the service answers it."""
    with _oauthlib(stand, "storefront", "storefront") as session:
        token = _fetched(stand, session)["access_token"]
        assert _confirmed(token) == _certificate(stand, "storefront")
        assert session.get(stand.resource).json()["caller"] == "storefront"
    verdict(OAUTHLIB, accepted=BOUND)


def test_oauthlib_with_a_stolen_token_is_refused(
    stand: Standing, verdict: Verdict
) -> None:
    """The same token in a session with another certificate gets 401."""
    with _oauthlib(stand, "storefront", "storefront") as session:
        token = _fetched(stand, session)
    with _oauthlib(stand, "storefront", "stock", token=token) as thief:
        assert thief.get(stand.resource).status_code == 401
    verdict(OAUTHLIB, refused="stolen token")


def test_oauthlib_cannot_be_another_client(stand: Standing, verdict: Verdict) -> None:
    """It reads invalid_client where the certificate is not the client's."""
    with (
        _oauthlib(stand, "storefront", "stock") as session,
        pytest.raises(InvalidClientError),
    ):
        _fetched(stand, session)
    verdict(OAUTHLIB, refused="another client's certificate")


# requests-oauth2client


def _client(stand: Standing, client_id: str, name: str, **options: Any) -> OAuth2Client:
    session = _equipped(stand, requests.Session(), name)
    return OAuth2Client.from_discovery_endpoint(
        f"{stand.issuer}/.well-known/oauth-authorization-server",
        stand.issuer,
        auth=PublicApp(client_id),  # nothing but the client_id: TLS has the certificate
        session=session,
        testing=True,  # takes ports other than 443
        **options,
    )


def _used(stand: Standing, client: OAuth2Client, token: BearerToken) -> Any:
    return client.session.get(stand.resource, auth=token)


@pytest.fixture
def bound(stand: Standing) -> Iterator[tuple[OAuth2Client, BearerToken]]:
    """Return a client whose tokens are bound to its certificate, and one of them."""
    client = _client(stand, "storefront", "storefront")
    with client.session:
        yield client, client.client_credentials(scope=SCOPE, resource=AUDIENCE)


@pytest.fixture
def proved(stand: Standing) -> Iterator[tuple[OAuth2Client, DPoPToken]]:
    """Return a client whose tokens are bound to a key of its own, and one of them."""
    client = _client(
        stand, "storefront-dpop", "storefront", dpop_bound_access_tokens=True
    )
    with client.session:
        token = client.client_credentials(scope=SCOPE, resource=AUDIENCE)
        assert isinstance(token, DPoPToken)
        yield client, token


def test_requests_oauth2client_gets_and_uses_a_bound_token(
    stand: Standing, bound: tuple[OAuth2Client, BearerToken], verdict: Verdict
) -> None:
    """By metadata it gets a token for its certificate, and the service answers it."""
    client, token = bound
    assert _confirmed(token.access_token) == _certificate(stand, "storefront")
    assert _used(stand, client, token).json()["caller"] == "storefront"
    verdict(CLIENT, accepted="metadata")
    verdict(CLIENT, accepted=BOUND)


def test_requests_oauth2client_with_a_stolen_token_is_refused(
    stand: Standing, bound: tuple[OAuth2Client, BearerToken], verdict: Verdict
) -> None:
    """The same token in a session with another certificate gets 401."""
    with _equipped(stand, requests.Session(), "stock") as thief:
        assert thief.get(stand.resource, auth=bound[1]).status_code == 401
    verdict(CLIENT, refused="stolen token")


def test_requests_oauth2client_cannot_be_another_client(
    stand: Standing, verdict: Verdict
) -> None:
    """It reads invalid_client where the certificate is not the client's."""
    client = _client(stand, "storefront", "stock")
    with client.session, pytest.raises(InvalidClient):
        client.client_credentials(scope=SCOPE, resource=AUDIENCE)
    verdict(CLIENT, refused="another client's certificate")


def test_requests_oauth2client_proves_its_key(
    stand: Standing, proved: tuple[OAuth2Client, DPoPToken], verdict: Verdict
) -> None:
    """It takes a nonce of each server, gets a token for its key, and uses it."""
    client, token = proved
    jkt = token.dpop_key.dpop_jkt
    assert _confirmed(token.access_token) == {"jkt": jkt}
    assert _used(stand, client, token).json()["caller"] == "storefront-dpop"
    assert token.dpop_key.as_nonce != token.dpop_key.rs_nonce
    verdict(CLIENT, accepted="DPoP token with nonces of both servers")


def test_requests_oauth2client_needs_the_key_of_the_token(
    stand: Standing, proved: tuple[OAuth2Client, DPoPToken], verdict: Verdict
) -> None:
    """With a key of its own a thief learns the nonce and gets no further."""
    client, token = proved
    stolen = DPoPToken(token.access_token, _dpop_key=DPoPKey.generate())
    answer = _used(stand, client, stolen)
    assert stolen.dpop_key.rs_nonce
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    verdict(CLIENT, refused="DPoP token with another key")


def test_requests_oauth2client_cannot_use_a_key_bound_token_as_bearer(
    stand: Standing, proved: tuple[OAuth2Client, DPoPToken], verdict: Verdict
) -> None:
    """A token bound to a key is refused under the scheme Bearer."""
    client, token = proved
    answer = _used(stand, client, BearerToken(token.access_token))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    verdict(CLIENT, refused="DPoP token as Bearer")


def test_requests_oauth2client_exchanges(
    stand: Standing, bound: tuple[OAuth2Client, BearerToken], verdict: Verdict
) -> None:
    """Orders gets a token for stock with storefront as the subject."""
    orders = _client(stand, "orders", "orders")
    with orders.session:
        token = orders.token_exchange(
            subject_token=bound[1], resource=NEXT_AUDIENCE
        ).access_token
    assert unverified_claims(token)["act"] == {"sub": "orders"}
    assert _confirmed(token) == _certificate(stand, "orders")
    verdict(CLIENT, accepted="token exchange")


def test_requests_oauth2client_introspects_and_revokes(
    stand: Standing, verdict: Verdict
) -> None:
    """Orders sees what a token says, until storefront has revoked it."""
    opaque = _client(stand, "storefront-opaque", "storefront")
    orders = _client(stand, "orders", "orders")
    with opaque.session, orders.session:
        token = opaque.client_credentials(scope=SCOPE, resource=AUDIENCE)
        seen = orders.introspect_token(token)
        assert seen["cnf"] == _certificate(stand, "storefront")
        assert opaque.revoke_access_token(token)
        assert orders.introspect_token(token) == {"active": False}
    verdict(CLIENT, accepted="introspection")
    verdict(CLIENT, accepted="revocation")
