"""Tests of `services.renewal.answer`: what the CA sent is checked before it counts."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki.trust import TrustBundle
from services.renewal.answer import verify_answer
from services.renewal.errors import (
    RenewalError,
    UntrustedAnswerError,
    WrongKeyError,
    WrongNamesError,
)
from services.renewal.exchange import Answered
from tests.services.mesh import Leaf, Mesh, now


def verified(mesh: Mesh, leaf: Leaf, **changes: Any) -> Any:
    """Return what becomes of an answer with `leaf`, good but for the `changes`."""
    given = {
        "answered": Answered(leaf.certificate, (mesh.issuing, mesh.root), None),
        "key": leaf.key,
        "present": mesh.issue("orders").certificate,
        "bundle": TrustBundle(mesh.trust_domain, (mesh.root,)),
        "now": now(),
    }
    return verify_answer(**{**given, **changes})


def test_a_good_answer_is_a_chain_without_its_root(mesh: Mesh) -> None:
    """The leaf first, then its issuing CA."""
    leaf = mesh.issue("orders")
    assert verified(mesh, leaf) == (leaf.certificate, mesh.issuing)


@pytest.mark.parametrize("roots", ["old", "new", "both"])
def test_while_roots_follow_one_another_the_cross_certificate_is_presented(
    mesh: Mesh, tmp_path: Path, roots: str
) -> None:
    """Whatever this host trusts: a peer may know the old root alone."""
    new = Mesh(tmp_path)
    cross, leaf = mesh.cross(new), new.issue("orders")
    known = {"old": (mesh.root,), "new": (new.root,), "both": (mesh.root, new.root)}
    handed_out = (mesh.issuing, new.issuing, cross, new.root, mesh.root)
    chain = verified(
        mesh,
        leaf,
        answered=Answered(leaf.certificate, handed_out, None),
        bundle=TrustBundle(mesh.trust_domain, known[roots]),
    )
    assert chain == (leaf.certificate, new.issuing, cross)


def test_the_order_of_dns_names_means_nothing(mesh: Mesh) -> None:
    """The same names, the other way round."""
    leaf = mesh.issue("orders", dns_names=["localhost", "orders.shop.internal"])
    assert verified(mesh, leaf)


def test_a_certificate_of_another_key(mesh: Mesh) -> None:
    """It would be of no use, and who knows whose it is."""
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(WrongKeyError):
        verified(mesh, mesh.issue("orders"), key=other)


@pytest.mark.parametrize(
    "faults",
    [
        {"dns_names": ["orders.shop.internal"]},
        {"dns_names": ["orders.shop.internal", "localhost", "stock.shop.internal"]},
        {"uris": ["spiffe://shop.internal/service/stock"]},
    ],
    ids=["fewer", "more", "another service"],
)
def test_a_certificate_for_others(mesh: Mesh, faults: dict[str, Any]) -> None:
    """A renewal changes no name."""
    with pytest.raises(WrongNamesError):
        verified(mesh, mesh.issue("orders", **faults))


def test_a_root_that_the_ca_sends_is_not_believed(
    mesh: Mesh, foreign_mesh: Mesh
) -> None:
    """The bundle of this host decides."""
    bundle = TrustBundle(mesh.trust_domain, (foreign_mesh.root,))
    with pytest.raises(UntrustedAnswerError, match="no valid path"):
        verified(mesh, mesh.issue("orders"), bundle=bundle)


def test_an_issuing_ca_that_is_missing(mesh: Mesh) -> None:
    """Without it there is no path, and no chain to present."""
    leaf = mesh.issue("orders")
    answered = Answered(leaf.certificate, (mesh.root,), None)
    with pytest.raises(UntrustedAnswerError):
        verified(mesh, leaf, answered=answered)


@pytest.mark.parametrize(
    "faults",
    [{"authority": True, "signs": True}, {"uris": []}],
    ids=["a CA", "nobody"],
)
def test_a_certificate_that_no_peer_would_take(
    mesh: Mesh, faults: dict[str, Any]
) -> None:
    """It is not put in place to be refused."""
    with pytest.raises(RenewalError) as caught:
        verified(mesh, mesh.issue("orders", **faults))
    assert type(caught.value) is UntrustedAnswerError


@pytest.mark.parametrize("hours", [-1, 2], ids=["not yet", "over"])
def test_a_certificate_that_is_not_good_now(mesh: Mesh, hours: int) -> None:
    """It would end the service instead of keeping it."""
    with pytest.raises(RenewalError) as caught:
        verified(mesh, mesh.issue("orders"), now=now() + timedelta(hours=hours))
    assert type(caught.value) is UntrustedAnswerError
