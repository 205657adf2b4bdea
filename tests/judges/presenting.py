"""Tokens of a token service, got by plain requests, and shown to whoever judges."""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from services.proof.dpop_client import DpopKey
from services.wire.tls import client_context
from tests.judges.standing import AUDIENCE, SCOPE, Standing


@dataclass
class Proving(httpx.Auth):
    """A proof on a request, and on a second one if the first learns a nonce."""

    key: DpopKey
    token: str | None = None
    requires_response_body = True

    def auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with a proof."""
        answer = yield self._proved(request)
        if "use_dpop_nonce" in answer.text:
            yield self._proved(request, answer.headers["DPoP-Nonce"])

    def _proved(self, request: httpx.Request, nonce: str | None = None) -> Any:
        request.headers["DPoP"] = self.key.proof(
            request.method,
            str(request.url),
            now=datetime.now(UTC),
            access_token=self.token,
            nonce=nonce,
        )
        return request


@dataclass(frozen=True)
class Caller:
    """A client with the certificate of an instance, and a key if it has one."""

    stand: Standing
    name: str
    key: DpopKey | None = None

    def send(
        self, method: str, url: str, callee: str, **request: Any
    ) -> httpx.Response:
        """Send a request on a new connection, which `callee` must answer."""
        generation = self.stand.instances[self.name].generation
        spiffe_id = self.stand.instances[callee].spiffe_id
        context = client_context(generation, spiffe_id)
        with httpx.Client(verify=context, trust_env=False, timeout=10) as client:
            return client.request(method, url, **request)

    def ask(self, path: str, accept: str = "*/*", **form: str) -> httpx.Response:
        """Ask the token service."""
        return self.send(
            "POST",
            f"{self.stand.issuer}{path}",
            "token-service",
            data=form,
            headers={"Accept": accept},
            auth=self.key and Proving(self.key),
        )

    def token(self, client_id: str | None = None, **form: str) -> str:
        """Return a token for orders."""
        wanted = {
            "grant_type": "client_credentials",
            "client_id": client_id or self.name,
            "resource": AUDIENCE,
            "scope": SCOPE,
        }
        answer = self.ask("/token", **wanted | form).raise_for_status().json()
        return str(answer["access_token"])

    def show(self, token: str, url: str, callee: str = "orders") -> httpx.Response:
        """Call `url` with a token."""
        scheme = "Bearer" if self.key is None else "DPoP"
        return self.send(
            "GET",
            url,
            callee,
            headers={"Authorization": f"{scheme} {token}"},
            auth=self.key and Proving(self.key, token),
        )
