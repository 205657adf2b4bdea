"""Judge one request: find everything the decision needs, and ask for it.

1. One token, in one Authorization header: `credentials`.
2. The connection's certificate is good now, and not revoked: `wire.peer`.
3. A DPoP proof, if the scheme is DPoP, is good for this request (RFC 9449, 4.3).
4. The key that the token names is published.
5. `decision`: token, holder.
6. The token is not revoked.
7. The proof is used for the first time (section 11.1): last, so that a request refused
   for another reason does not spend it.

What steps 1 to 5 made of the same bytes before, `remembered` knows.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from msgspec.structs import replace
from starlette.types import Scope

from services.errors import ServiceError
from services.guard.credentials import (
    BEARER,
    DPOP,
    Credentials,
    credentials,
    scheme_of,
)
from services.guard.decision import decide
from services.guard.errors import (
    DpopNotTakenError,
    RevokedCertificateError,
    UnusableCertificateError,
)
from services.guard.grant import Grant
from services.guard.remembered import LetIn
from services.guard.replays import Replays
from services.guard.revocations import RevocationsUnknownError
from services.guard.workload import Workload
from services.proof.binding import check_holder, confirmation_of_key
from services.proof.dpop import DpopProof, proof_header, verify_proof
from services.proof.dpop_errors import WrongUriError
from services.proof.errors import WrongCertificateError
from services.wire import peer as peers
from services.wire.peer import Peer, PeerError, StatusUnknownError, Vouching, peer_of


@dataclass(slots=True)
class Case:
    """A request under judgement, and what has been learnt of it so far."""

    scope: Scope
    now: datetime
    scheme: str | None = None
    unverified_token: str = ""
    peer: Peer | None = None
    next_nonce: str | None = None  # for the answer, if the caller uses DPoP


class Site(Protocol):
    """Where a request arrives, as far as it matters to who sent it."""

    @property
    def trust_domain(self) -> str:
        """The domain that every caller's name must belong to."""

    @property
    def origins(self) -> tuple[str, ...]:
        """The roots by which callers reach this place, for DPoP proofs."""

    @property
    def replays(self) -> Replays | None:
        """The memory of proofs, if there is one."""


async def judge(case: Case, workload: Workload) -> Grant:
    """Return the grant that the request has, and note in `case` what is learnt.

    Raises:
        ServiceError: the subclass says which step refused.
    """
    config = workload.config
    known = workload.remembered.find(case.scope, config, case.now)
    if known is not None:
        return await _judge_again(case, known, workload)
    brought = brought_by(case)  # 1
    peer = case.peer = sender(case, workload, workload.federation)  # 2
    proof = await proof_of(case, brought, workload)  # 3
    token = workload.opened.parse(brought.unverified_token)
    key = await workload.keys.key(token.key_id)  # 4
    workload.certificates.note(peer)
    try:
        grant = decide(  # 5
            token,
            key,
            peer,
            rules=workload.rules,
            now=case.now,
            proof=proof,
            opener=workload.opened.open,
        )
    except WrongCertificateError as refusal:
        workload.certificates.check(peer, refusal)
        raise
    await _check_revocation(grant, workload)  # 6
    if proof is not None and workload.replays is not None:
        await workload.replays.spend(proof)  # 7
    by = None if proof is None else proof.thumbprint
    # By the document of the beginning: a newer one may have come meanwhile.
    workload.remembered.keep(case.scope, grant, token, by, key, config, case.now)
    return grant


async def _judge_again(case: Case, known: LetIn, workload: Workload) -> Grant:
    """Return a grant like that of an earlier request, by what may differ in this."""
    grant = replace(known.grant)  # this request's own
    case.unverified_token, case.peer = known.token.text, grant.peer
    workload.certificates.note(grant.peer)
    proof, case.scheme = None, BEARER
    if known.by is not None:
        case.scheme, unverified = DPOP, proof_header(case.scope["headers"])
        brought = Credentials(DPOP, known.token.text, unverified)
        proof = await proof_of(case, brought, workload)  # 3
        named = confirmation_of_key(known.by)
        check_holder(named, presented=grant.peer.thumbprint, proof=proof)  # 5
    revocations = workload.revocations
    if revocations is None or not revocations.passes(grant.token_id, case.now):
        await _check_revocation(grant, workload)  # 6
    if proof is not None and workload.replays is not None:
        await workload.replays.spend(proof)  # 7
    return grant


async def _check_revocation(grant: Grant, workload: Workload) -> None:
    if workload.revocations is not None:
        await workload.revocations.check(grant.token_id)
    elif workload.config.profile == "fapi2":
        # Switched on while the process runs; it learns of the list when it starts.
        raise RevocationsUnknownError("fapi2 needs the list of void tokens")


def brought_by(case: Case) -> Credentials:
    """Return the credentials of the request, and note them in `case`.

    Raises:
        ServiceError: as `credentials`; the scheme is noted all the same.
    """
    headers = case.scope["headers"]
    try:
        brought = credentials(headers, case.scope["query_string"])
    except ServiceError:
        case.scheme = scheme_of(headers)
        raise
    case.scheme = brought.scheme
    case.unverified_token = brought.unverified_token
    return brought


def sender(case: Case, site: Site, others: Vouching | None = None) -> Peer:
    """Return whose certificate the connection has, of ours or of `others`.

    Raises:
        UnusableCertificateError: it has none, or none that is good now.
        RevokedCertificateError: it is revoked.
        StatusUnknownError: whether it is cannot be said now.
    """
    try:
        return peer_of(
            case.scope, trust_domain=site.trust_domain, now=case.now, others=others
        )
    except StatusUnknownError:
        raise
    except peers.RevokedCertificateError as error:
        raise RevokedCertificateError(str(error)) from error
    except PeerError as error:
        raise UnusableCertificateError(str(error)) from error


async def proof_of(case: Case, brought: Credentials, site: Site) -> DpopProof | None:
    """Return the verified proof of the request, None under the scheme Bearer.

    Raises:
        DpopNotTakenError: no proofs are taken here.
        InvalidProofError: it is not good for this request.
        StateUnavailableError: that cannot be said now.
    """
    if brought.scheme != DPOP or brought.unverified_proof is None:
        return None
    replays, origins = site.replays, site.origins
    if replays is None or not origins:
        raise DpopNotTakenError("no origins are configured for DPoP")
    nonces = await replays.nonces(case.now)
    case.next_nonce = nonces.issue(case.now)

    # As it was sent: what the caller signed has its percent-encoding.
    path = (case.scope.get("raw_path") or b"").decode("latin-1") or case.scope["path"]

    def verified(unverified: str, origin: str) -> DpopProof:
        return verify_proof(
            unverified,
            method=case.scope["method"],
            uri=origin + path,
            now=case.now,
            access_token=brought.unverified_token,
            nonces=nonces,
        )

    # The proof names the URI by which the caller came, which is one of ours; the Host
    # header, which could say so too, is the caller's.
    *others, last = origins
    for origin in others:
        with suppress(WrongUriError):
            return verified(brought.unverified_proof, origin)
    return verified(brought.unverified_proof, last)
