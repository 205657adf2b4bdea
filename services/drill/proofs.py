"""Ways to use a token that is bound to a DPoP key, without that key (RFC 9449).

Whoever tries them has everything else that the owner has, his certificate too: an
intruder in the owner's sidecar, say. The owner has made one proof, which was read on
the way; each way has another thing wrong with it.
"""

from datetime import timedelta

from pki.clock import utc_now
from services.attempt import Outcome
from services.drill.scene import Scene

_LONG_AGO = timedelta(minutes=2)  # twice what a proof lives


def replayed(scene: Scene) -> Outcome:
    """Use a proof that its owner has used."""
    proof = _proof(scene)
    first = _show(scene, proof)
    return _show(scene, proof) if first.accepted else first


def twofold(scene: Scene) -> Outcome:
    """Use two proofs at once."""
    return _show(scene, _proof(scene), _proof(scene))


def for_another_uri(scene: Scene) -> Outcome:
    """Use a proof for another service."""
    return _show(scene, _proof(scene, uri=scene.kind.elsewhere))


def for_another_method(scene: Scene) -> Outcome:
    """Use a proof for another method."""
    return _show(scene, _proof(scene, method="POST"))


def for_another_token(scene: Scene) -> Outcome:
    """Use a proof that was made for another token of the owner's."""
    return _show(scene, _proof(scene, token=scene.owned.brief))


def for_no_token(scene: Scene) -> Outcome:
    """Use a proof without a token's hash, as the token endpoint gets it."""
    return _show(scene, _proof(scene, token=None))


def stale(scene: Scene) -> Outcome:
    """Use a proof of some minutes ago."""
    return _show(scene, _proof(scene, age=_LONG_AGO))


def without_nonce(scene: Scene) -> Outcome:
    """Use a proof that was made ahead, when no nonce was known."""
    return _show(scene, _proof(scene, nonce=None))


def with_another_nonce(scene: Scene) -> Outcome:
    """Use a proof with the nonce of another server: the token service's."""
    nonce = scene.stage.nonce(scene.stage.endpoints.token_endpoint)
    return _show(scene, _proof(scene, nonce=nonce))


def signed_by_another(scene: Scene) -> Outcome:
    """Use a proof that shows the owner's key, signed by the thief's."""
    thiefs = scene.stage.thiefs_key.proof("GET", scene.kind.url, now=utc_now())
    shown, _, _ = _proof(scene).rpartition(".")
    _, _, signature = thiefs.rpartition(".")
    return _show(scene, f"{shown}.{signature}")


_SAME = ""  # as the owner would make it


def _proof(  # noqa: PLR0913 - what can be wrong with a proof
    scene: Scene,
    *,
    method: str = "GET",
    uri: str = _SAME,
    token: str | None = _SAME,
    nonce: str | None = _SAME,
    age: timedelta = timedelta(0),
) -> str:
    """Return a proof by the owner's key."""
    url = scene.kind.url
    return scene.key.proof(
        method,
        uri or url,
        now=utc_now() - age,
        access_token=scene.spoils.token if token == _SAME else token,
        nonce=scene.stage.nonce(url) if nonce == _SAME else nonce,
    )


def _show(scene: Scene, *proofs: str) -> Outcome:
    outcome = scene.show(
        [
            ("Authorization", f"DPoP {scene.spoils.token}"),
            *(("DPoP", proof) for proof in proofs),
        ]
    )
    scene.stage.learn(scene.kind.url, outcome.nonce)
    return outcome
