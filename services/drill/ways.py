"""Ways to use a token: one function each, the whole of what is sent."""

import json
from collections.abc import Callable
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from services.attempt import ACCESS_TOKEN_TYPE, TOKEN_EXCHANGE, Outcome
from services.drill.forgery import Forge, Model, claims_of
from services.drill.result import ACCEPTED
from services.drill.scene import Scene
from services.drill.stage import passed, thumbprint_of
from services.guard.credentials import DPOP
from services.guard.revocations import BOUND
from services.proof.binding import confirmation, confirmation_of_key
from services.state.entry import digest
from services.wire import client_cert

Way = Callable[[Scene], Outcome]

_NOT_ACTIVE = "the token service says: not active"


def as_it_is(scene: Scene) -> Outcome:
    """Use the token as its owner would."""
    return scene.use()


def elsewhere(scene: Scene) -> Outcome:
    """Use it at a service that it is not for."""
    return scene.use(url=scene.kind.elsewhere)


def past_the_gateway(scene: Scene) -> Outcome:
    """Use it at the service behind the gateway, directly."""
    return scene.use(url=scene.kind.behind)


def twice(scene: Scene) -> Outcome:
    """Use it in two headers: which of them counts, two readers may not agree on."""
    again = ("Authorization", f"{scene.kind.scheme} {scene.spoils.token}")
    return scene.use(more=[again])


def in_the_query(scene: Scene) -> Outcome:
    """Use it in the URI (RFC 6750, section 2.3)."""
    return scene.show([], query={"access_token": scene.spoils.token})


def in_a_form(scene: Scene) -> Outcome:
    """Use it in a body (RFC 6750, section 2.2)."""
    return scene.show([], method="POST", form={"access_token": scene.spoils.token})


def as_bearer(scene: Scene) -> Outcome:
    """Use it under the scheme Bearer, without a proof."""
    return scene.show([("Authorization", f"Bearer {scene.spoils.token}")])


def with_client_cert(scene: Scene) -> Outcome:
    """Use it beside a header that names the owner's certificate (RFC 9440)."""
    return scene.use(
        more=[("Client-Cert", client_cert.written(_owners(scene)).decode())]
    )


def with_xfcc(scene: Scene) -> Outcome:
    """Use it beside the same in Envoy's form."""
    certificate, pem = _owners(scene), quote(scene.spoils.certificate, safe="")
    value = f'Hash={certificate.fingerprint(SHA256()).hex()};Cert="{pem}"'
    return scene.use(more=[("X-Forwarded-Client-Cert", value)])


def forged(forge: Forge) -> Way:
    """Use a JWT that the thief has made of it."""

    def way(scene: Scene) -> Outcome:
        holder = (
            confirmation_of_key(scene.key.thumbprint)
            if scene.kind.scheme == DPOP or scene.files is None
            else confirmation(thumbprint_of(scene.files))
        )
        stage = scene.stage
        model = Model(scene.spoils.token, holder, stage.keys, stage.forgers_key)
        return scene.use(forge(model))

    return way


def one_off(scene: Scene) -> Outcome:
    """Use an opaque token of which one character is another."""
    text = scene.spoils.token
    return scene.use(text[:-1] + ("A" if text[-1] != "A" else "B"))


def as_stored(scene: Scene) -> Outcome:
    """Use what the token service's database holds: a hash, or a JWT's id."""
    token = scene.spoils.token
    prefix, underscore, _ = token.partition("_")
    if token.count(".") == 2:  # noqa: PLR2004 - a JWT
        return scene.use(str(claims_of(token)["jti"]))
    return scene.use(prefix + underscore + digest(token).hex())


def as_introspected(scene: Scene) -> Outcome:
    """Use the signed answer that its keeper was given about it (RFC 9701, 8.1)."""
    return scene.use(scene.spoils.introspected)


def exchange(scene: Scene) -> Outcome:
    """Exchange it for one of the thief's own (RFC 8693)."""
    return scene.ask(
        scene.stage.endpoints.token_endpoint,
        grant_type=TOKEN_EXCHANGE,
        client_id=scene.client_id,
        subject_token=scene.spoils.token,
        subject_token_type=ACCESS_TOKEN_TYPE,
        resource=scene.kind.audience,
    )


def in_the_owners_name(scene: Scene) -> Outcome:
    """Ask for another one as the client that it was issued to."""
    return scene.ask(
        scene.stage.endpoints.token_endpoint,
        grant_type="client_credentials",
        client_id=scene.kind.client_id,
        resource=scene.kind.audience,
    )


def introspect(scene: Scene) -> Outcome:
    """Ask what it is (RFC 7662)."""
    outcome = scene.ask(
        scene.stage.endpoints.introspection_endpoint,
        client_id=scene.client_id,
        token=scene.spoils.token,
    )
    if outcome.accepted and json.loads(outcome.body) == {"active": False}:
        return Outcome(None, _NOT_ACTIVE)
    return outcome


def revoke(scene: Scene) -> Outcome:
    """Void it, to its owner's harm (RFC 7009)."""
    return scene.ask(
        scene.stage.endpoints.revocation_endpoint,
        client_id=scene.client_id,
        token=scene.spoils.token,
    )


def after_revocation(scene: Scene) -> Outcome:
    """Use the one that its owner has revoked, until that is known everywhere.

    A target that has not heard of it yet may be told so by the token service, when it
    exchanges the token to call on: that is a refusal, but not yet the target's own.
    """
    until = scene.owned.revoked_at + BOUND.total_seconds()
    while True:
        outcome = scene.use(scene.owned.revoked)
        if scene.expected in {ACCEPTED, outcome.reason} or passed(until):
            return outcome


def after_expiry(scene: Scene) -> Outcome:
    """Use the brief one when its time is over."""
    while not passed(scene.owned.brief_until):
        pass
    return scene.use(scene.owned.brief)


def _owners(scene: Scene) -> x509.Certificate:
    return x509.load_pem_x509_certificate(scene.spoils.certificate.encode())
