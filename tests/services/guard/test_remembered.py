"""Tests of `services.guard.remembered`: what is known of one request serves no other.

Each is judged by `judge` with a real workload; how often a token was opened tells
whether a request was judged anew.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pki.identity import SpiffeId
from services.errors import ServiceError
from services.guard.errors import (
    ProofBesideBearerError,
    RevokedCertificateError,
    TokenInQueryError,
    TwoCredentialsError,
    UnusableCertificateError,
)
from services.guard.remembered import Remembered
from services.proof.errors import (
    ExpiredTokenError,
    MalformedTokenError,
    NotYetValidError,
    RevokedTokenError,
    SignatureError,
    UnknownKeyError,
    WrongAudienceError,
    WrongCertificateError,
)
from services.proof.key_set import MAX_AGE
from services.wire.peer import OUTSIDE, STATUS
from services.wire.peer import RevokedCertificateError as RevokedPeerError
from tests.services.documents import service_document
from tests.services.door import Door
from tests.services.mesh import Mesh
from tests.services.tokens import AUDIENCE, Signer, claims

SECOND = timedelta(seconds=1)


@pytest.fixture
def door(mesh: Mesh, tmp_path: Path) -> Door:
    """Return a door."""
    return Door(mesh, tmp_path)


@pytest.fixture
def known(door: Door) -> str:
    """Return a token that storefront has come in with."""
    token = door.token()
    door.ask(token)
    return token


def test_the_same_again_is_let_in_without_a_second_look(door: Door, known: str) -> None:
    """The grant says the same and is this request's own."""
    first, second = door.ask(known), door.ask(known)
    assert first == second
    assert first is not second
    assert door.opened.asked == 1


def test_what_stands_beside_does_not_matter(door: Door, known: str) -> None:
    """Other headers, another path and a query of its own need no second look."""
    headers = [(b"accept", b"*/*"), (b"Authorization", f"Bearer {known}".encode())]
    door.ask(known, headers=headers, path="/orders/7", query_string=b"page=2&a=%20")
    assert door.opened.asked == 1


def test_over_another_certificate_it_is_stolen(door: Door, known: str) -> None:
    """Another service's, and a newer one of the caller's own."""
    for service in ("stock", "storefront"):
        leaf = door.mesh.issue(service)
        with pytest.raises(WrongCertificateError):
            door.ask(known, leaf)


def test_another_token_is_looked_at(door: Door, known: str) -> None:
    """A letter of the signature, of the claims; a token for somebody else."""
    head, _, signature = known.rpartition(".")
    spoilt = f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    door.refuses(SignatureError, spoilt)
    door.refuses(MalformedTokenError, known[:-1])
    door.refuses(WrongAudienceError, door.token(aud="https://stock.shop.internal"))


def test_a_certificate_that_was_revoked_since_is_refused(
    door: Door, known: str
) -> None:
    """What `wire.checked` has found counts at each request."""
    found = RevokedPeerError("revoked")
    door.refuses(RevokedCertificateError, known, tls={STATUS: found})
    door.ask(known)


def test_a_certificate_of_another_pki_is_refused(door: Door, known: str) -> None:
    """The same bytes, let in by an anchor that is none of ours."""
    door.refuses(UnusableCertificateError, known, tls={OUTSIDE: True})


@pytest.mark.parametrize("certificate", [None, b""])
def test_without_a_certificate_it_opens_nothing(
    door: Door, known: str, certificate: bytes | None
) -> None:
    """A server that shows none is no way round."""
    door.refuses(UnusableCertificateError, known, tls={"client_cert": certificate})


def test_a_request_that_is_malformed_is_refused(door: Door, known: str) -> None:
    """Two headers, a proof, a token in the query: as if nothing were known."""
    field = (b"authorization", f"Bearer {known}".encode())
    door.refuses(TwoCredentialsError, known, headers=[field, field])
    door.refuses(ProofBesideBearerError, known, headers=[field, (b"DPoP", b"x")])
    for name in (b"access_token", b"ACCESS_TOKEN", b"access%5Ftoken"):
        door.refuses(TokenInQueryError, known, query_string=b"a=1&" + name + b"=x")


def test_a_token_that_ends_is_refused(door: Door, known: str) -> None:
    """In the second that it ends in, and not one before."""
    door.now = door.start + 299 * SECOND
    door.ask(known)
    door.now += SECOND
    door.refuses(ExpiredTokenError, known)


def test_a_certificate_that_ends_is_refused(door: Door) -> None:
    """The connection outlives it; the token would, too."""
    leaf = door.mesh.issue("storefront", not_after=door.start + 100 * SECOND)
    token = door.token(leaf)
    door.ask(token, leaf)
    door.now = door.start + 100 * SECOND
    door.ask(token, leaf)
    door.now += SECOND
    door.refuses(UnusableCertificateError, token, leaf)


def test_a_clock_that_goes_back_is_not_believed(door: Door) -> None:
    """A token that was good later is not yet good now."""
    door.now = door.start
    token = door.token(nbf=int(door.start.timestamp()))
    door.ask(token)
    door.now = door.start - 11 * SECOND
    door.refuses(NotYetValidError, token)


def test_a_revoked_token_is_refused(door: Door, known: str) -> None:
    """The list of void tokens is asked at each request."""
    door.void = frozenset({"0123456789abcdef"})
    door.now += 6 * SECOND
    door.refuses(RevokedTokenError, known)


def test_another_configuration_judges_anew(door: Door, known: str) -> None:
    """What was for this service is not, once it has another name."""
    assert door.ask(known).audience == AUDIENCE
    other = {**service_document()["guard"], "audience": "https://other.shop.internal"}
    door.reconfigure(guard=other)
    door.refuses(WrongAudienceError, known)


def test_a_client_that_is_a_bearer_no_more_is_refused(door: Door) -> None:
    """An unbound token opened because a document named its client."""
    guard = service_document()["guard"]
    door.reconfigure(guard={**guard, "bearer_clients": ["storefront"]})
    token = door.signer.token(
        {name: value for name, value in _claims(door).items() if name != "cnf"}
    )
    door.ask(token)
    door.reconfigure(guard=guard)
    with pytest.raises(ServiceError):
        door.ask(token)


def _claims(door: Door) -> dict[str, Any]:
    at = int(door.start.timestamp())
    return claims(iat=at, exp=at + 300)


def test_a_key_that_is_withdrawn_takes_its_tokens_along(door: Door) -> None:
    """The next key set has another key under another id."""
    token = door.token(exp=int((door.start + 2 * MAX_AGE).timestamp()))
    door.ask(token)
    door.signer = Signer()
    door.now += MAX_AGE
    door.refuses(UnknownKeyError, token)


def test_a_key_set_that_is_fetched_anew_has_each_token_looked_at(door: Door) -> None:
    """The same key, but nobody has said that the two are the same."""
    token = door.token(exp=int((door.start + 2 * MAX_AGE).timestamp()))
    door.ask(token)
    door.now += MAX_AGE
    door.ask(token)
    assert door.opened.asked == 2


def test_who_was_refused_is_not_remembered(door: Door) -> None:
    """Every time anew, by the same reason."""
    stolen = door.token(door.mesh.issue("stock"))
    for asked in (1, 2):
        door.refuses(WrongCertificateError, stolen)
        assert door.opened.asked == asked


def test_who_has_a_void_token_is_not_remembered(door: Door) -> None:
    """It was good but for the list, and the list can change."""
    door.void = frozenset({"0123456789abcdef"})
    token = door.token()
    for asked in (1, 2):
        door.refuses(RevokedTokenError, token)
        assert door.opened.asked == asked


def test_no_more_are_remembered_than_was_said(mesh: Mesh, tmp_path: Path) -> None:
    """The one that did not come for the longest time is judged anew."""
    door = Door(mesh, tmp_path, at_most=2)
    first, second, third = (door.token(jti=f"{number:016}") for number in range(3))
    for token in (first, second, first, third):
        door.ask(token)
    assert door.opened.asked == 3
    door.ask(first)
    assert door.opened.asked == 3
    door.ask(second)
    assert door.opened.asked == 4


def test_a_time_between_is_no_time_for_another(door: Door, known: str) -> None:
    """Hours of a certificate say nothing of a token's minutes."""
    later: datetime = door.start + timedelta(minutes=30)
    door.now = later
    door.refuses(ExpiredTokenError, known)
    door.now = door.start
    door.ask(known)


def test_a_caller_of_another_trust_domain_is_judged_each_time(
    door: Door, known: str
) -> None:
    """Its bundle may lose a root while the connection stands."""
    scope = door.scope(known)
    config, remembered = door.workload.config, door.workload.remembered
    found = remembered.find(scope, config, door.now)
    assert found is not None
    name = SpiffeId.parse("spiffe://elsewhere.test/service/storefront")
    grant = msgspec.structs.replace(
        found.grant, peer=replace(found.grant.peer, spiffe_id=name)
    )
    (key,) = found.keys.values()
    fresh = Remembered(door.workload.keys)
    fresh.keep(scope, grant, found.token, None, key, config, door.now)
    assert fresh.find(scope, config, door.now) is None
    fresh.keep(scope, found.grant, found.token, None, key, config, door.now)
    assert fresh.find(scope, config, door.now) is not None
