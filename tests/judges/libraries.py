"""Two other hands' JOSE, asked alike: jwcrypto in this process, jose in one of Node's.

Keys are private JWKs, in the form that each library gives them.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Protocol

from jwcrypto.common import JWException
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from tests.judges.npm import Node
from tests.judges.verdicts import Judge

Json = Mapping[str, Any]

_KEYS: Mapping[str, Json] = {
    "ES256": {"kty": "EC", "crv": "P-256"},
    "ES384": {"kty": "EC", "crv": "P-384"},
    "Ed25519": {"kty": "OKP", "crv": "Ed25519"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
    "PS256": {"kty": "RSA", "size": 2048},
    "RS256": {"kty": "RSA", "size": 2048},
    "HS256": {"kty": "oct", "size": 256},
}


class RefusedError(Exception):
    """The library does not take what it was given."""


class Library(Protocol):
    """A library of JOSE."""

    @property
    def judge(self) -> Judge:
        """The library by name and version."""

    def key(self, alg: str) -> dict[str, Any]:
        """Return a new private key for an algorithm."""

    def thumbprint(self, jwk: Json) -> str:
        """Return the SHA-256 thumbprint of a key (RFC 7638)."""

    def sign(self, header: Json, claims: Json, jwk: Json) -> str:
        """Return a JWT."""

    def verify(self, text: str, jwk: Json, alg: str, typ: str) -> dict[str, Any]:
        """Return the claims of a JWT.

        Raises:
            RefusedError: it is not signed by this key with this algorithm, or is of
                another type.
        """


class Jwcrypto:
    """jwcrypto, of PyPI."""

    judge = Judge("PyPI jwcrypto", version("jwcrypto"))

    def key(self, alg: str) -> dict[str, Any]:
        """Return a new private key for an algorithm."""
        made: dict[str, Any] = json.loads(JWK.generate(**_KEYS[alg]).export())
        return {name: value for name, value in made.items() if name != "kid"}

    def thumbprint(self, jwk: Json) -> str:
        """Return the SHA-256 thumbprint of a key (RFC 7638)."""
        return str(JWK(**jwk).thumbprint())

    def sign(self, header: Json, claims: Json, jwk: Json) -> str:
        """Return a JWT."""
        made = JWS(json.dumps(claims))
        made.allowed_algs = list(_KEYS)
        made.add_signature(JWK(**jwk), protected=json.dumps(header))
        return str(made.serialize(compact=True))

    def verify(self, text: str, jwk: Json, alg: str, typ: str) -> dict[str, Any]:
        """Return the claims of a JWT."""
        read = JWS()
        read.allowed_algs = [alg]
        try:
            read.deserialize(text, JWK(**jwk))
        except JWException as error:
            raise RefusedError(str(error)) from error
        if read.jose_header.get("typ") != typ:
            raise RefusedError("another type")
        claims: dict[str, Any] = json.loads(read.payload)
        return claims


class Jose:
    """jose, of npm."""

    def __init__(self, judge: Judge, process: "subprocess.Popen[str]") -> None:
        self.judge = judge
        self._process = process

    def key(self, alg: str) -> dict[str, Any]:
        """Return a new private key for an algorithm."""
        made: dict[str, Any] = self._ask("key", alg=alg)
        return made

    def thumbprint(self, jwk: Json) -> str:
        """Return the SHA-256 thumbprint of a key (RFC 7638)."""
        return str(self._ask("thumbprint", jwk=jwk))

    def sign(self, header: Json, claims: Json, jwk: Json) -> str:
        """Return a JWT."""
        return str(self._ask("sign", header=header, claims=claims, jwk=jwk))

    def verify(self, text: str, jwk: Json, alg: str, typ: str) -> dict[str, Any]:
        """Return the claims of a JWT."""
        said: dict[str, Any] = self._ask("verify", text=text, jwk=jwk, alg=alg, typ=typ)
        return said

    def _ask(self, ask: str, **given: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"ask": ask, **given}), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        if "refused" in answer:
            raise RefusedError(answer["refused"])
        return answer["said"]


@contextmanager
def jose(node: Node) -> Iterator[Jose]:
    """Run jose while the context lasts."""
    with subprocess.Popen(
        node.command("jose.mjs"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Jose(node.judge("jose"), process)  # it ends when nobody asks any more
