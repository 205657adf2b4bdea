"""A DPoP key in honest hands, and whatever a thief could make of what it signed.

A `Holder` learns nonces from answers and makes proofs, good but for the changes to
their claims that a test asks for: each is signed for real.
"""

from secrets import token_urlsafe
from typing import Any

import httpx

from services.proof.dpop import token_hash
from tests.services.fleet import Standing, TokenService
from tests.services.mesh import Instance
from tests.services.proofs import Prover, proof_claims
from tests.services.running import Clock, request
from tests.services.tokens import ABSENT


class Holder:
    """Somebody with a DPoP key who signs whatever is asked."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.prover = Prover()
        self.nonce: str | None = None

    def learn(self, answer: httpx.Response) -> httpx.Response:
        """Remember the nonce that a server gave."""
        self.nonce = answer.headers["dpop-nonce"]
        return answer

    def proof(
        self, method: str, uri: str, token: str | None = None, **changes: Any
    ) -> str:
        """Return a new proof, good but for the `changes` to its claims."""
        good = {
            "jti": token_urlsafe(16),
            "htm": method,
            "htu": uri,
            "iat": int(self.clock().timestamp()),
            "ath": token_hash(token) if token else ABSENT,
            "nonce": self.nonce or ABSENT,
        }
        claims = proof_claims(**{**good, **changes})
        return self.prover.sign(self.prover.header(), claims)

    def headers(self, token: str, uri: str, **changes: Any) -> dict[str, str]:
        """Return the headers of a GET under the scheme DPoP."""
        proof = self.proof("GET", uri, token, **changes)
        return {"Authorization": f"DPoP {token}", "DPoP": proof}


def ask(
    tokens: TokenService, caller: Instance, proof: str | None, **changes: Any
) -> httpx.Response:
    """Send a token request with a proof; it is the DPoP client's if not said else."""
    headers = {"DPoP": proof} if proof is not None else {}
    with tokens.client(caller) as client:
        form = request(**{"client_id": "dpop", **changes})
        return client.post("/token", data=form, headers=headers)


def endpoint(tokens: TokenService) -> str:
    """Return the URI that proofs for the token endpoint name."""
    return f"{tokens.issuer}/token"


def bound(tokens: TokenService, caller: Instance, holder: Holder) -> str:
    """Return a token that is bound to the holder's key; its nonces are forgotten."""
    holder.nonce = None
    holder.learn(ask(tokens, caller, holder.proof("POST", endpoint(tokens))))
    answer = ask(tokens, caller, holder.proof("POST", endpoint(tokens)))
    holder.nonce = None
    return str(answer.raise_for_status().json()["access_token"])


def introduced(service: Standing, caller: Instance, holder: Holder, token: str) -> None:
    """Let the holder learn the service's nonce, by a request that is refused."""
    holder.nonce = None
    headers = holder.headers(token, f"{service.url}/orders")
    holder.learn(service.ask(caller, headers))
