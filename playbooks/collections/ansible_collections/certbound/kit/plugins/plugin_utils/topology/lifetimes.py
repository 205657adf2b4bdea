"""How long things live must leave room for what has to happen meanwhile.

Called by `consistency`. Each refusal is a sum, with its numbers: `pki.policy` and
`services.config` refuse what they see of the same in their own documents.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .model import in_words
from .permissions import LONGEST_TOKEN

if TYPE_CHECKING:
    from .document import Document
    from .model import Lifetimes, Topology

BACK_DATING = timedelta(minutes=5)  # `pki` dates a certificate back, within its life
KEY_ROTATION, KEY_LEAD = 30 * 86400, 3600  # seconds, unless said; as in `services`

_SHORTEST = 2 * BACK_DATING  # what `pki` takes as a life


def check_lifetimes(document: Document, topology: Topology) -> None:
    """Refuse lives that cannot work beside each other.

    Raises:
        TopologyError: the sentence has the sum.
    """
    lives = topology.lifetimes
    _check_bounds(document, lives)
    _check_renewal(document, topology)
    _check_grace(document, topology)
    _check_key_times(document, topology)


def _check_bounds(document: Document, lives: Lifetimes) -> None:
    """Nothing outlives its issuer, and an issuing CA can be followed in time."""
    if lives.certificate < _SHORTEST:
        raise document.refuse(
            ("lifetimes", "certificate"),
            f"got {in_words(lives.certificate)}, "
            f"expected {in_words(_SHORTEST)} or more",
        )
    for name, limit, above in (
        ("issuing_ca", lives.root, "root"),
        ("certificate", lives.issuing_ca, "issuing CA"),
        ("token", min(LONGEST_TOKEN, lives.certificate), "certificate, or 1h,"),
    ):
        if getattr(lives, name) > limit:
            raise document.refuse(
                ("lifetimes", name),
                f"{in_words(getattr(lives, name))} is longer than the {above} lives, "
                f"expected at most {in_words(limit)}",
            )
    if 2 * lives.certificate > lives.issuing_ca:
        raise document.refuse(
            ("lifetimes", "certificate"),
            f"an issuing CA signs for one life of {in_words(lives.certificate)} and "
            "lasts for one more, until the last that it signed has ended, which makes "
            f"{in_words(2 * lives.certificate)} of its {in_words(lives.issuing_ca)}, "
            f"expected at most {in_words(lives.issuing_ca / 2)}",
        )


def _check_renewal(document: Document, topology: Topology) -> None:
    """A new certificate must not be due already."""
    lives = topology.lifetimes
    if lives.renew_before + BACK_DATING >= lives.certificate:
        raise document.refuse(
            ("lifetimes", "renew_before"),
            f"{in_words(lives.renew_before)} and {in_words(BACK_DATING)} of "
            "back-dating leave nothing of a certificate's "
            f"{in_words(lives.certificate)}, expected less",
        )
    half = lives.certificate / 2
    if topology.ca_port is not None and half + BACK_DATING >= lives.certificate:
        raise document.refuse(
            ("lifetimes", "certificate"),
            f"a process renews its own from {in_words(half)} before the end, which "
            f"with {in_words(BACK_DATING)} of back-dating leaves nothing of "
            f"{in_words(lives.certificate)}, expected more",
        )


def _check_grace(document: Document, topology: Topology) -> None:
    """An expired certificate vouches for less time than it did before."""
    lives = topology.lifetimes
    if not lives.grace:
        return
    if topology.ca_port is None:
        raise document.refuse(
            ("lifetimes", "grace"), "is the CA's front's, expected ca.port beside it"
        )
    if lives.grace > lives.certificate:
        raise document.refuse(
            ("lifetimes", "grace"),
            f"{in_words(lives.grace)} is longer than a certificate's life before it, "
            f"expected at most {in_words(lives.certificate)}",
        )


def _check_key_times(document: Document, topology: Topology) -> None:
    """Refuse signing keys that are published after they are due."""
    rotation = topology.token_options.get("key_rotation", KEY_ROTATION)
    lead = topology.token_options.get("key_lead", KEY_LEAD)
    for name, value, least in (
        ("key_rotation", rotation, 7200),
        ("key_lead", lead, 900),
    ):
        if value < least:
            raise document.refuse(
                ("token_service", name),
                f"expected {in_words(timedelta(seconds=least))} or more",
            )
    if lead >= rotation:
        before, signs = (in_words(timedelta(seconds=one)) for one in (lead, rotation))
        raise document.refuse(
            ("token_service", "key_lead"),
            f"a key that is published {before} before it signs leaves nothing of the "
            f"{signs} that the one before it does, expected less than key_rotation",
        )
