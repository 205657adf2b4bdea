"""Two other JOSE libraries read what we sign, and we read what they sign.

Each kind of JWT goes both ways; each refusal is of a JWT in which one thing is wrong.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from joserfc.jwk import ECKey

from services.proof import dpop, jws
from services.proof.access_token import AccessToken, verify_access_token
from services.proof.dpop_client import DpopKey
from services.proof.dpop_errors import InvalidProofError
from services.proof.errors import InvalidTokenError
from tests.judges.libraries import Jwcrypto, Library, RefusedError, jose
from tests.judges.npm import Node
from tests.judges.presenting import Caller
from tests.judges.standing import AUDIENCE, SCOPE, Standing
from tests.judges.verdicts import Verdict
from tests.services.tokens import compact, encode

URI = "https://orders.shop.internal/orders"
ISSUER = "https://localhost:8440"
INTROSPECTION = "token-introspection+jwt"


class Signed(NamedTuple):
    """Something that we have signed, and the public key to read it with."""

    text: str
    jwk: dict[str, Any]
    typ: str


@pytest.fixture(scope="module")
def libraries(node: Node) -> Iterator[dict[str, Library]]:
    """Return the two libraries by name."""
    with jose(node) as npm:
        yield {"jwcrypto": Jwcrypto(), "jose": npm}


@pytest.fixture(params=["jwcrypto", "jose"])
def library(request: pytest.FixtureRequest, libraries: dict[str, Library]) -> Library:
    """Return each library."""
    return libraries[request.param]


# What we sign


@pytest.fixture(scope="module")
def ours(stand: Standing) -> dict[str, Signed]:
    """Return one JWT of each kind, the token service's as it really answers."""
    storefront, key = Caller(stand, "storefront"), DpopKey()
    url = f"{stand.issuer}/jwks"
    (jwk,) = storefront.send("GET", url, "token-service").json()["keys"]
    token = storefront.token()
    answer = Caller(stand, "orders").ask(
        "/introspect", f"application/{INTROSPECTION}", client_id="orders", token=token
    )
    proof = key.proof("GET", URI, now=datetime.now(UTC), access_token=token)
    return {
        "access token": Signed(token, jwk, "at+jwt"),
        "introspection": Signed(answer.text, jwk, INTROSPECTION),
        "proof": Signed(proof, jws.read(proof).unverified_header["jwk"], "dpop+jwt"),
    }


@pytest.fixture(params=["access token", "introspection", "proof"])
def signed(request: pytest.FixtureRequest, ours: dict[str, Signed]) -> Signed:
    """Return each kind of JWT that we sign."""
    return ours[request.param]


def test_others_read_what_we_sign(
    signed: Signed, library: Library, verdict: Verdict
) -> None:
    """The library verifies our signature and type, and reads the claims."""
    claims = library.verify(signed.text, signed.jwk, "ES256", signed.typ)
    assert claims["iat"] <= time.time()
    verdict(library.judge, accepted=f"our {signed.typ}")


def test_our_key_is_named_by_its_thumbprint(
    ours: dict[str, Signed], library: Library, verdict: Verdict
) -> None:
    """The key id in our JWKS is the thumbprint that the library computes."""
    jwk = ours["access token"].jwk
    assert library.thumbprint(jwk) == jwk["kid"]
    verdict(library.judge, accepted="thumbprints")


def _other_payload(signed: Signed, library: Library) -> Signed:
    header, _, signature = signed.text.split(".")
    payload = encode({"iat": 0, "sub": "stock"})
    return signed._replace(text=f"{header}.{payload}.{signature}")


def _unsigned(signed: Signed, library: Library) -> Signed:
    header = {"alg": "none", "typ": signed.typ}
    return signed._replace(text=compact(header, {"iat": 0}, b"") + "AA")


def _other_key(signed: Signed, library: Library) -> Signed:
    return signed._replace(jwk=_public(library.key("ES256")))


def _other_type(signed: Signed, library: Library) -> Signed:
    return signed._replace(typ="JWT")


@pytest.mark.parametrize("spoil", [_other_payload, _unsigned, _other_key, _other_type])
def test_others_refuse_what_we_did_not_sign(
    signed: Signed,
    library: Library,
    verdict: Verdict,
    spoil: Callable[[Signed, Library], Signed],
) -> None:
    """The library refuses another payload, no signature, another key, another type."""
    spoilt = spoil(signed, library)
    with pytest.raises(RefusedError):
        library.verify(spoilt.text, spoilt.jwk, "ES256", spoilt.typ)
    words = spoil.__name__.strip("_").replace("_", " ")
    verdict(library.judge, refused=f"ours with {words}".replace("with un", "un"))


# What others sign: access tokens


def _public(jwk: dict[str, Any]) -> dict[str, Any]:
    private = {"d", "p", "q", "dp", "dq", "qi"}
    return {name: value for name, value in jwk.items() if name not in private}


def _claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "storefront",
        "client_id": "storefront",
        "scope": SCOPE,
        "iat": now,
        "exp": now + 60,
        "jti": "0123456789abcdef",
        "cnf": {"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"},
    } | changes


def _taken(text: str, jwk: dict[str, Any]) -> AccessToken:
    """Return what our guard makes of a token, if `jwk` is the key it finds."""
    return verify_access_token(
        jws.parse(text),
        ECKey.import_key(_public(jwk)),
        issuer=ISSUER,
        audience=AUDIENCE,
        now=datetime.now(UTC),
    )


def test_we_read_the_access_tokens_of_others(
    library: Library, verdict: Verdict
) -> None:
    """A token that the library signs is one, to the letter."""
    key = library.key("ES256")
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "one"}
    token = _taken(library.sign(header, _claims(), key), key)
    assert token.client_id == "storefront"
    verdict(library.judge, accepted="its at+jwt by us")


@pytest.mark.parametrize(
    ("words", "header", "claims"),
    [
        ("an ID token's type", {"typ": "JWT"}, {}),
        ("an expired token", {}, {"exp": 1}),
        ("a token of tomorrow", {}, {"iat": int(time.time()) + 86_400}),
        ("another issuer", {}, {"iss": "https://localhost:8441"}),
        ("another audience", {}, {"aud": "https://stock.shop.internal"}),
        ("no client", {}, {"client_id": None}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_we_refuse_the_access_tokens_of_others(
    library: Library, verdict: Verdict, words: str, header: Any, claims: Any
) -> None:
    """A token that the library has signed well and that says something wrong."""
    key = library.key("ES256")
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "one"} | header
    text = library.sign(header, _claims(**claims), key)
    with pytest.raises(InvalidTokenError):
        _taken(text, key)
    verdict(library.judge, refused="its faulty at+jwt by us")


@pytest.mark.parametrize("alg", ["HS256", "ES384", "PS256", "RS256", "EdDSA"])
def test_we_refuse_tokens_of_other_algorithms(
    library: Library, verdict: Verdict, alg: str
) -> None:
    """A token signed by another kind of key, which names the id of a good one."""
    header = {"alg": alg, "typ": "at+jwt", "kid": "one"}
    text = library.sign(header, _claims(), library.key(alg))
    with pytest.raises(InvalidTokenError):
        _taken(text, library.key("ES256"))
    verdict(library.judge, refused="its other algorithms by us")


# What others sign: DPoP proofs


def _proof(
    library: Library, alg: str, key: dict[str, Any], **header: Any
) -> dpop.DpopProof:
    """Return what we make of a proof that the library signs."""
    claims = {"jti": "0123456789abcdef", "htm": "GET", "htu": URI, "iat": time.time()}
    good = {"typ": "dpop+jwt", "alg": alg, "jwk": _public(key)}
    return dpop.verify_proof(
        library.sign(good | header, claims, key),
        method="GET",
        uri=URI,
        now=datetime.now(UTC),
        access_token=None,
        nonces=None,
    )


@pytest.mark.parametrize("alg", ["ES256", "Ed25519", "PS256"])
def test_we_read_the_proofs_of_others(
    library: Library, verdict: Verdict, alg: str
) -> None:
    """A proof by each kind of key is taken, and its thumbprint is the library's."""
    key = library.key(alg)
    assert _proof(library, alg, key).thumbprint == library.thumbprint(_public(key))
    verdict(library.judge, accepted=f"its {alg} dpop+jwt by us")


@pytest.mark.parametrize("alg", ["ES384", "RS256", "EdDSA"])
def test_we_refuse_proofs_of_other_algorithms(
    library: Library, verdict: Verdict, alg: str
) -> None:
    """A good proof by an algorithm that we do not name is none."""
    key = library.key(alg)
    with pytest.raises(InvalidProofError):
        _proof(library, alg, key)
    verdict(library.judge, refused="its other algorithms by us")


def test_we_refuse_a_proof_with_a_private_key(
    library: Library, verdict: Verdict
) -> None:
    """A proof that gives its key away is none."""
    key = library.key("ES256")
    with pytest.raises(InvalidProofError):
        _proof(library, "ES256", key, jwk=key)
    verdict(library.judge, refused="its proof with a private key by us")


def test_we_refuse_a_proof_with_anothers_key(
    library: Library, verdict: Verdict
) -> None:
    """A proof that carries the victim's key, signed by the thief's, is none."""
    victim = _public(library.key("ES256"))
    with pytest.raises(InvalidProofError):
        _proof(library, "ES256", library.key("ES256"), jwk=victim)
    verdict(library.judge, refused="its proof with another's key by us")


def test_we_refuse_a_proof_of_another_type(library: Library, verdict: Verdict) -> None:
    """A JWT by the same key that is no proof is none (RFC 9449, section 11.5)."""
    with pytest.raises(InvalidProofError):
        _proof(library, "ES256", library.key("ES256"), typ="JWT")
    verdict(library.judge, refused="its proof of another type by us")
