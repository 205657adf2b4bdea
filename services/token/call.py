"""One request to an endpoint of the token service, once it is known whose it is."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.proof.dpop import DpopProof
from services.token.clients import Client
from services.token.form import TokenForm
from services.wire.peer import Presented


class Call(msgspec.Struct, frozen=True):
    """An authenticated client, what it asks, and what it proved; see `admission`."""

    form: TokenForm
    client: Client
    peer: Presented
    proof: DpopProof | None
    now: datetime
    accept: str = ""  # the Accept header


@dataclass(slots=True)
class Seen:
    """What is known of a request so far, for the log line of its refusal."""

    peer: Presented | None = None
    client_id: str | None = None
    next_nonce: str | None = None  # for the answer, if the client uses DPoP
