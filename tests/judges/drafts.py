"""Requests to a guarded service, good ones and what becomes of them by small changes.

A `Draft` is everything that a request is made of, before it is signed. A change is a
function that spoils a draft, or its text once it is written; what is signed is always
signed for real, so that a request is wrong only where it was changed.
"""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from hypothesis import strategies as st

from services.proof.dpop import token_hash
from tests.services.proofs import EdProver, Prover, Proving, RsaProver
from tests.services.tokens import Signer

ORIGIN = "https://orders.shop.internal"
PATH = "/orders"
ISSUER = "https://localhost:8440"
AUDIENCE = "https://orders.shop.internal"


@dataclass(frozen=True)
class World:
    """Who and what there is, for requests to be made of."""

    now: datetime
    token_service: Signer
    stranger: Signer
    provers: Mapping[str, Proving]
    certificates: Mapping[str, bytes]
    thumbprints: Mapping[str, str]
    nonce: str

    @property
    def moment(self) -> int:
        """The present, as a token says it."""
        return int(self.now.timestamp())


def provers() -> dict[str, Proving]:
    """Return keys to prove with: two of one kind, and one of each other."""
    return {
        "own": Prover(),
        "thief": Prover(),
        "Ed25519": EdProver(),
        "PS256": RsaProver(),
    }


@dataclass
class Draft:
    """A request that is being made."""

    world: World
    parts: dict[str, dict[str, Any]]  # what is signed, by name
    prover: str | None
    scheme: str
    signer: str = "token_service"
    certificate: str = "own"
    method: str = "GET"
    path: str = PATH
    query: bytes = b""
    more: list[tuple[bytes, bytes]] = field(default_factory=list)
    twice: dict[str, tuple[str, Any]] = field(default_factory=dict)
    edits: list[tuple[str, Callable[[str], str]]] = field(default_factory=list)

    def written(self) -> list[tuple[bytes, bytes]]:
        """Return the headers of the request."""
        signer: Signer = getattr(self.world, self.signer)
        header, claims = self._json("token header"), self._json("token claims")
        token = self._edited("token", signer.sign(header, claims))
        headers = [(b"authorization", f"{self.scheme} {token}")]
        if self.prover is not None:
            prover = self.world.provers[self.prover]
            self.parts["proof claims"].setdefault("ath", token_hash(token))
            header, claims = self._json("proof header"), self._json("proof claims")
            proof = self._edited("proof", prover.sign(header, claims))
            headers.append((b"dpop", proof))
        return [
            *((name, value.encode("latin-1", "replace")) for name, value in headers),
            *self.more,
        ]

    def _json(self, part: str) -> bytes:
        text = json.dumps(self.parts[part])
        if part in self.twice:
            name, value = self.twice[part]
            text = f"{{{json.dumps(name)}: {json.dumps(value)}, {text[1:]}"
        return text.encode()

    def _edited(self, what: str, text: str) -> str:
        for where, edit in self.edits:
            if where == what:
                text = edit(text)
        return text


def good(world: World, prover: str | None) -> Draft:
    """Return a request with a token bound to the certificate, or to a key."""
    token = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "storefront",
        "client_id": "storefront",
        "scope": "orders.read",
        "iat": world.moment,
        "exp": world.moment + 300,
        "jti": "0123456789abcdef",
    }
    parts = {"token header": world.token_service.header(), "token claims": token}
    if prover is None:
        token["cnf"] = {"x5t#S256": world.thumbprints["own"]}
        return Draft(world, parts, None, "Bearer")
    held = world.provers[prover]
    token["cnf"] = {"jkt": held.thumbprint}
    parts["proof header"] = held.header()
    parts["proof claims"] = {
        "jti": "fedcba9876543210",
        "htm": "GET",
        "htu": ORIGIN + PATH,
        "iat": world.moment,
        "nonce": world.nonce,
    }
    return Draft(world, parts, prover, "DPoP")


# Changes

Change = Callable[[Draft], None]

_NAMES = {
    "token header": ["alg", "typ", "kid", "crit", "b64", "jwk", "jku", "x5u", "zip"],
    "token claims": [
        *("iss", "aud", "sub", "client_id", "scope", "iat", "exp", "nbf", "jti", "cnf"),
        *("act", "may_act"),
    ],
    "proof header": ["alg", "typ", "jwk", "kid", "crit", "b64"],
    "proof claims": ["jti", "htm", "htu", "iat", "nonce", "ath", "exp"],
}
_INNER = [
    ("token claims", "cnf", "x5t#S256"),
    ("token claims", "cnf", "jkt"),
    ("proof header", "jwk", "x"),
    ("proof header", "jwk", "kty"),
    ("proof header", "jwk", "n"),
    ("proof header", "jwk", "use"),
]
_FIELDS = [b"authorization", b"Authorization", b"dpop", b"DPoP", b"x"]
_CHARACTERS = st.sampled_from("AQgw_-.=+/ \t\x00é~%0a")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


def _telling(world: World) -> st.SearchStrategy[Any]:
    """Return values that mean something somewhere."""
    texts = [
        *(ISSUER, AUDIENCE, ISSUER + "/", AUDIENCE.upper(), "https://stock.internal"),
        *("at+jwt", "AT+JWT", "application/at+jwt", "dpop+jwt", "JWT"),
        *("ES256", "Ed25519", "PS256", "none", "HS256", "EdDSA", "RS256"),
        *("GET", "get", "POST", world.nonce, world.token_service.key_id),
        *(ORIGIN + "/%6frders", ORIGIN + ":443/orders", ORIGIN + "/x/../orders"),
        *(ORIGIN.upper() + PATH, ORIGIN + PATH + "?a#b", ORIGIN + "//orders"),
        *(ORIGIN + "/orders/", "http://orders.shop.internal/orders", "/orders", ""),
    ]
    steps = (-61, -60, -59, -1, 0, 1, 9, 10, 11, 300, 10**12, -(10**12))
    moments = [world.moment + step for step in steps]
    bound = [{"x5t#S256": thumbprint} for thumbprint in world.thumbprints.values()]
    bound += [{"jkt": prover.thumbprint} for prover in world.provers.values()]
    both = {name: value for one in bound for name, value in one.items()}
    keys = [prover.public() for prover in world.provers.values()]
    keys += [key | {"d": "AA"} for key in keys]
    return st.sampled_from(
        [
            *texts,
            *moments,
            *(moment + 0.5 for moment in moments),
            *bound,
            both,
            {},
            *keys,
            [AUDIENCE],
            [AUDIENCE, ISSUER],
            ["exp"],
            [],
        ]
    )


def changes(world: World) -> st.SearchStrategy[Change]:
    """Return the changes that can be made to a draft of this world."""
    value = _telling(world) | _JSON
    place = st.sampled_from([(part, name) for part in _NAMES for name in _NAMES[part]])
    position = st.floats(0, 1, exclude_max=True)
    text = st.sampled_from(["token", "proof"])

    def made(change: Callable[..., None], *given: st.SearchStrategy[Any]) -> Any:
        return st.builds(partial, st.just(change), *given)

    assigned = [
        made(_assign, st.just(name), st.sampled_from(values))
        for name, values in _assignments(world).items()
    ]
    return st.one_of(
        made(_set, place, value),
        made(_remove, place),
        made(_double, place, value),
        made(_within, st.sampled_from(_INNER), value),
        made(_edit, text, position, _CHARACTERS),
        made(_cut, text, st.tuples(position, position)),
        made(_add, st.sampled_from(_FIELDS), st.binary(max_size=12)),
        made(_repeat, st.sampled_from(_FIELDS)),
        *assigned,
    )


def _assignments(world: World) -> dict[str, list[Any]]:
    """Return what else a draft may hold, by member."""
    return {
        "signer": ["stranger"],
        "prover": sorted(world.provers),
        "certificate": sorted(world.certificates),
        "scheme": ["Bearer", "DPoP", "bearer", "dPoP", "Basic", "Bearer\t", ""],
        "method": ["GET", "POST", "get"],
        "path": ["/orders", "/orders/", "/ORDERS", "/x/../orders", "/é", "//orders"],
        "query": [b"a=b", b"access_token=x", b"ACCESS_TOKEN", b"%61ccess_token=x"],
    }


def _set(place: tuple[str, str], value: Any, draft: Draft) -> None:
    draft.parts.get(place[0], {})[place[1]] = deepcopy(value)


def _remove(place: tuple[str, str], draft: Draft) -> None:
    draft.parts.get(place[0], {}).pop(place[1], None)


def _double(place: tuple[str, str], value: Any, draft: Draft) -> None:
    draft.twice[place[0]] = (place[1], value)


def _within(place: tuple[str, str, str], value: Any, draft: Draft) -> None:
    """Put a member into an object that is a member itself."""
    part, name, inner = place
    held = draft.parts.get(part, {}).get(name)
    if isinstance(held, dict):
        held[inner] = deepcopy(value)


def _edit(what: str, position: float, character: str, draft: Draft) -> None:
    def edit(text: str) -> str:
        index = int(position * len(text))
        return text[:index] + character + text[index + 1 :]

    draft.edits.append((what, edit))


def _cut(what: str, ends: tuple[float, float], draft: Draft) -> None:
    def edit(text: str) -> str:
        first, last = sorted(int(end * len(text)) for end in ends)
        return text[:first] + text[last:]

    draft.edits.append((what, edit))


def _assign(name: str, value: Any, draft: Draft) -> None:
    if name != "prover" or draft.prover is not None:
        setattr(draft, name, value)


def _add(name: bytes, value: bytes, draft: Draft) -> None:
    draft.more.append((name, value))


def _repeat(name: bytes, draft: Draft) -> None:
    """Send a field a second time, with a value that would be good alone."""
    twin = good(draft.world, draft.prover).written()
    draft.more += [one for one in twin if one[0] == name]
