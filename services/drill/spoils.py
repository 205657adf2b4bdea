"""How the drill comes by its tokens: issued, exchanged, introspected, revoked.

All of it is what their owners may do, with their own certificates. Of each kind there
are three tokens: the one that leaks, one that lives for seconds, and one that its owner
revokes at once.
"""

import msgspec

from services.attempt import UnreachableError, request_token, send
from services.drill.kinds import Kind, Owned, Spoils
from services.drill.stage import Stage, moment_in
from services.guard.credentials import DPOP
from services.proof.dpop_client import DpopKey
from services.proof.introspection import MEDIA_TYPE


def gather(stage: Stage) -> None:
    """Have every kind issued whose owner's key is here, and looked at by its keeper.

    Raises:
        NoTokenError: the token service refuses an owner its token.
        UnreachableError: it does not answer, or not as it should.
    """
    for kind in stage.kinds.values():
        if kind.spoils is None and kind.owner in stage.hands:
            subject = stage.kinds[kind.subject].spoils if kind.subject else None
            if subject is not None or not kind.subject:
                _have_issued(stage, kind, subject.token if subject else None)
    for kind in stage.kinds.values():
        if kind.spoils and not kind.spoils.introspected and kind.keeper in stage.hands:
            kind.spoils = _introspected(stage, kind.keeper, kind.spoils)


def _have_issued(stage: Stage, kind: Kind, subject: str | None) -> None:
    key = DpopKey() if kind.scheme == DPOP else None
    endpoint = stage.endpoints.token_endpoint
    with stage.as_service(kind.owner) as client:
        token, brief, revoked = (
            request_token(
                client,
                endpoint,
                client_id=client_id,
                resource=kind.audience,
                subject=subject,
                key=key,
            )
            for client_id in (kind.client_id, kind.brief_client, kind.client_id)
        )
        stage.learn(endpoint, token.nonce)
        form = {"token": revoked.text, "client_id": kind.client_id}
        url = stage.endpoints.revocation_endpoint
        outcome = send(client, client.build_request("POST", url, data=form))
    if not outcome.accepted:
        raise UnreachableError(f"revocation: {outcome.reason}")
    kind.owned = Owned(
        brief=brief.text,
        brief_until=moment_in(brief.lifetime),
        revoked=revoked.text,
        revoked_at=moment_in(0),
        key=key,
    )
    certificate = stage.hands[kind.owner][0].read_text()
    kind.spoils = Spoils(token=token.text, certificate=certificate)


def _introspected(stage: Stage, keeper: str, spoils: Spoils) -> Spoils:
    """Return the spoils with what the service that the token is for is told of it."""
    form = {"token": spoils.token, "client_id": stage.client_ids[keeper]}
    url = stage.endpoints.introspection_endpoint
    with stage.as_service(keeper) as client:
        request = client.build_request(
            "POST", url, data=form, headers={"Accept": MEDIA_TYPE}
        )
        outcome = send(client, request)
    if not outcome.accepted:
        raise UnreachableError(f"introspection: {outcome.reason}")
    return msgspec.structs.replace(spoils, introspected=outcome.body.decode())
