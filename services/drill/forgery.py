"""Tokens that a thief makes of a stolen JWT: its claims, written anew for himself.

Each names the thief's own certificate or key as its holder, so that nothing but the
signature is wrong with it (RFC 8725, sections 2.1, 3.1 and 3.10).
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey

from services.proof.access_token import TYPE
from services.proof.binding import CONFIRMATION

_ALGORITHM = "ES256"
_ADDRESS = "https://localhost/thief/jwks"  # nobody must ever look there


@dataclass(frozen=True, slots=True)
class Model:
    """A stolen JWT, and what a thief has to forge another one."""

    stolen: str
    confirmation: Mapping[str, str]  # names the thief
    published: Mapping[str, ECKey]  # the token service's keys, by id
    forgers: ECKey

    @property
    def key_id(self) -> str:
        """The id of the key that signed it."""
        text: str = _read(self.stolen.split(".")[0])["kid"]
        return text

    @property
    def claims(self) -> dict[str, Any]:
        """What it says, with the thief as its holder."""
        claims = claims_of(self.stolen)
        if CONFIRMATION in claims:
            return claims | {CONFIRMATION: dict(self.confirmation)}
        return claims | {"sub": "thief"}


Forge = Callable[[Model], str]


def rewritten(model: Model) -> str:
    """Return other claims under the signature of the old ones."""
    header, _, signature = model.stolen.split(".")
    return f"{header}.{_part(model.claims)}.{signature}"


def unsigned(model: Model) -> str:
    """Return a token that says to need no signature."""
    return f"{_unsigned(model, 'none')}."


def signed_with_public_key(model: Model) -> str:
    """Return a token whose signature uses the public key as if it were a secret."""
    secret = model.published[model.key_id].as_pem(private=False)
    text = _unsigned(model, "HS256")
    return f"{text}.{_encoded(hmac.digest(secret, text.encode(), 'sha256'))}"


def with_its_key(model: Model) -> str:
    """Return a token that shows the key it is signed with."""
    return _signed(model, kid=model.key_id, jwk=model.forgers.as_dict(private=False))


def with_an_address(model: Model) -> str:
    """Return a token that says where to find the key it is signed with."""
    return _signed(model, kid=model.forgers.thumbprint(), jku=_ADDRESS)


def claims_of(token: str) -> dict[str, Any]:
    """Return what a JWT says; everybody who holds it can read that."""
    return _read(token.split(".")[1])


def _signed(model: Model, **members: object) -> str:
    header = {"typ": TYPE, "alg": _ALGORITHM, **members}
    return jws.serialize_compact(
        header, json.dumps(model.claims), model.forgers, algorithms=[_ALGORITHM]
    )


def _unsigned(model: Model, algorithm: str) -> str:
    header = {"typ": TYPE, "alg": algorithm, "kid": model.key_id}
    return f"{_part(header)}.{_part(model.claims)}"


def _part(members: Mapping[str, object]) -> str:
    return _encoded(json.dumps(members).encode())


def _encoded(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def _read(part: str) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=="))
    return members
