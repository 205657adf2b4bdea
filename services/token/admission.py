"""Admit a request to an endpoint: who asks, with what proof (RFC 6749, section 3.2.1).

Every endpoint that a client authenticates at comes through here, in the same steps:

1. The connection has a client certificate whose time is not over, not revoked.
2. There is no Authorization header: no client of ours authenticates by one.
3. The form is well-formed.
4. The client is the one it names, by the method that it is registered for.
5. A DPoP proof, if there is one, is good for this method and URI, and is used for the
   first time (RFC 9449, section 5).

What the client may then do is for the endpoint.
"""

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from starlette.types import Receive, Scope

from services.config import TokenServiceConfig
from services.proof.dpop import DpopProof, proof_header, verify_proof
from services.proof.dpop_errors import InvalidProofError, NonceRequiredError
from services.proof.nonce import NonceIssuer
from services.state.secret import SharedSecret
from services.state.store import AlreadyClaimedError, StateUnavailableError, Store
from services.token.authentication import Authentication
from services.token.call import Call, Seen
from services.token.errors import (
    CertificateStatusError,
    InvalidRequestError,
    NonceWantedError,
    ProofRefusedError,
    RequestTooLargeError,
    RevokedCertificateError,
    UnavailableError,
    UnusableCertificateError,
)
from services.token.form import LONGEST_BODY, read_form
from services.token.registry import Registry
from services.watched import Watched
from services.wire import peer as peers
from services.wire.peer import PeerError, Presented, StatusUnknownError, presented_of

_PROOFS = "dpop proof at the token service"


class Admission:
    """The way in, over one configuration that may change while it stands."""

    def __init__(
        self,
        config: Watched[TokenServiceConfig],
        registry: Registry,
        store: Store,
        clock: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._secret = SharedSecret(store, "dpop nonces of the token service")
        self._authentication = Authentication(registry, store)

    async def admit(self, scope: Scope, receive: Receive, seen: Seen) -> Call:
        """Return the call that a request is, and note in `seen` what is learnt of it.

        Raises:
            TokenRequestError: the subclass says which step refused.
        """
        now = self._clock()
        peer = seen.peer = _presented(scope, now)  # 1
        # The first of a name counts, and names are in lower case (ASGI).
        fields = dict(reversed(scope["headers"]))
        if b"authorization" in fields:  # 2
            raise InvalidRequestError("credentials beside a client certificate")
        form = read_form(  # 3
            await _body(receive),
            content_type=fields.get(b"content-type", b"").decode("latin-1"),
            query=scope["query_string"],
        )
        seen.client_id = form.single.get("client_id")
        issuer = self._config.current().issuer
        client = await self._authentication.authenticate(  # 4
            form, peer, issuer=issuer, now=now
        )
        seen.client_id = client.client_id
        proof = await self._proof(scope, seen, now)  # 5
        accept = fields.get(b"accept", b"").decode("latin-1")
        return Call(form, client, peer, proof, now, accept)

    async def _proof(self, scope: Scope, seen: Seen, now: datetime) -> DpopProof | None:
        try:
            text = proof_header(scope["headers"])
            if text is None:
                return None
            nonces = _nonces(await self._secret.now(now))
            seen.next_nonce = nonces.issue(now)
            proof = verify_proof(
                text,
                method=scope["method"],
                uri=self._uri(scope),
                now=now,
                access_token=None,
                nonces=nonces,
            )
            key = f"{proof.thumbprint} {proof.token_id}"
            await self._store.claim(_PROOFS, key, proof.expires_at)
        except NonceRequiredError as error:
            raise NonceWantedError(str(error)) from error
        except InvalidProofError as error:
            raise ProofRefusedError(str(error)) from error
        except AlreadyClaimedError as error:
            raise ProofRefusedError("the proof was used before") from error
        except StateUnavailableError as error:
            raise UnavailableError(str(error)) from error
        return proof

    def _uri(self, scope: Scope) -> str:
        """Return the endpoint's URI as configured: the Host header may say anything."""
        return _origin(self._config.current().issuer) + str(scope["path"])


@lru_cache(maxsize=2)
def _nonces(secret: bytes) -> NonceIssuer:
    return NonceIssuer(secret, "token endpoint")


@lru_cache(maxsize=1)
def _origin(issuer: str) -> str:
    return "/".join(issuer.split("/", 3)[:3])


def _presented(scope: Scope, now: datetime) -> Presented:
    try:
        return presented_of(scope, now=now)
    except StatusUnknownError as error:
        raise CertificateStatusError(str(error)) from error
    except peers.RevokedCertificateError as error:
        raise RevokedCertificateError(str(error)) from error
    except PeerError as error:
        raise UnusableCertificateError(str(error)) from error


async def _body(receive: Receive) -> bytes:
    """Return the whole body, or stop reading where no honest request would go on."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequestError("the caller hung up before the end")
        body += message.get("body", b"")
        if len(body) > LONGEST_BODY:
            raise RequestTooLargeError(f"body longer than {LONGEST_BODY} bytes")
        more = message.get("more_body", False)
    return body
