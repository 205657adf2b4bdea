"""One kind of token in somebody's hands: what he sends, and what comes of it.

The thief behaves as a client does where that helps him: he makes a proof with his own
key, and tries again with the nonce that he is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

from pki.clock import utc_now
from services.attempt import Files, Outcome, caller, send
from services.drill.kinds import Kind, Owned, Spoils
from services.drill.stage import Stage
from services.guard.credentials import DPOP
from services.proof.dpop_client import DpopKey

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Scene:
    """A kind of token, and whoever uses it now."""

    stage: Stage
    kind: Kind
    spoils: Spoils
    user: str  # a service
    files: Files | None  # what the connection presents
    key: DpopKey  # what proofs are made with
    expected: str

    @property
    def owned(self) -> Owned:
        """What only the owner has; he it must be who uses the token."""
        if self.kind.owned is None:
            raise RuntimeError(f"{self.user} holds nothing of {self.kind.owner}'s")
        return self.kind.owned

    @property
    def client_id(self) -> str:
        """The client id of whoever uses the token."""
        return self.stage.client_ids[self.user]

    def use(
        self,
        token: str | None = None,
        *,
        url: str | None = None,
        more: Headers = (),
    ) -> Outcome:
        """Return what comes of using a token as its kind is used; the stolen one."""
        text, where = token or self.spoils.token, url or self.kind.url
        if self.kind.scheme != DPOP:
            return self.show([("Authorization", f"Bearer {text}"), *more], url=where)
        outcome = self._proved(text, where, more)
        if outcome.nonce and outcome.nonce != self.stage.nonce(where):
            self.stage.learn(where, outcome.nonce)
            if not outcome.accepted:
                return self._proved(text, where, more)
        return outcome

    def _proved(self, token: str, url: str, more: Headers) -> Outcome:
        proof = self.key.proof(
            "GET",
            url,
            now=utc_now(),
            access_token=token,
            nonce=self.stage.nonce(url),
        )
        return self.show(
            [("Authorization", f"DPoP {token}"), ("DPoP", proof), *more], url=url
        )

    def show(
        self,
        headers: Headers,
        *,
        url: str | None = None,
        method: str = "GET",
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Return what comes of a request, over a connection of its own."""
        with caller(self.kind.trust or self.stage.trust, self.files) as client:
            return send(
                client,
                client.build_request(
                    method,
                    url or self.kind.url,
                    headers=list(headers),
                    params=query,
                    data=form,
                ),
            )

    def ask(self, endpoint: str, **form: str) -> Outcome:
        """Return what comes of asking the token service."""
        with caller(self.stage.trust, self.files) as client:
            return send(client, _posted(client, endpoint, form))


def _posted(
    client: httpx.Client, endpoint: str, form: Mapping[str, str]
) -> httpx.Request:
    return client.build_request("POST", endpoint, data=form)
