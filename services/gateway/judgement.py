"""Judge one request at the edge: find what the decision needs, and ask for it.

1. One token, in one Authorization header, of either scheme: `guard.credentials`.
2. The connection's certificate is good now; a DPoP proof, if the scheme is DPoP, is
   good for this request: `guard.judgement`.
3. What the token is, the token service says, signed: `verdicts`.
4. It is for this gateway, in time, its sender's own, and reaches as far: `decision`.
5. The proof is used for the first time (RFC 9449, section 11.1): last, as in a guard.
"""

from services.gateway.decision import decide
from services.gateway.gateway import Gateway
from services.gateway.routes import Route
from services.gateway.verdicts import Holder
from services.guard.grant import Grant
from services.guard.judgement import Case, brought_by, proof_of, sender


async def judge(case: Case, route: Route, gateway: Gateway) -> Grant:
    """Return the grant that the request has, and note in `case` what is learnt.

    Raises:
        ServiceError: the subclass says which step refused.
    """
    brought = brought_by(case)  # 1
    peer = case.peer = sender(case, gateway)  # 2
    proof = await proof_of(case, brought, gateway)
    holder = Holder(peer.thumbprint, proof.thumbprint if proof else None)
    token = await gateway.verdicts.verdict(brought.unverified_token, holder)  # 3
    grant = decide(  # 4
        token,
        peer,
        audience=gateway.config.audience,
        scopes=frozenset(route.upstream.scopes),
        now=case.now,
        proof=proof,
    )
    if proof is not None and gateway.replays is not None:
        await gateway.replays.spend(proof)  # 5
    return grant
