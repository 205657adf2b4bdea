"""The inventory: every certificate in its state, and how hosts differ from it."""

import csv
import io
from datetime import timedelta
from pathlib import Path

import pytest

from pki import authority, inventory
from pki.clock import utc_now
from pki.decision import Request
from pki.inventory import Item, Presented
from pki.ledger import read_ledger
from tests.pki.builders import Ca, csr
from tests.pki.command import pki

ORDERS, STOCK = "orders@localhost", "stock@localhost"


def taken(ca: Ca, *, later: timedelta = timedelta(0)) -> list[Item]:
    """Return the items at a moment."""
    with read_ledger(ca.layout.ledger) as ledger:
        return inventory.take(ledger, utc_now() + later)


def states(ca: Ca, *, later: timedelta = timedelta(0)) -> list[tuple[str, str]]:
    """Return identities and states, oldest first."""
    return [(item.identity, item.state.value) for item in taken(ca, later=later)]


def test_every_state(ca: Ca) -> None:
    """Superseded by a newer one, revoked, and ended; revoked it stays."""
    ca.one()
    ca.one()
    ca.one(STOCK)
    assert states(ca)[2:] == [
        (ORDERS, "superseded"),
        (ORDERS, "issued"),
        (STOCK, "issued"),
    ]
    ca.revoke(STOCK)
    assert states(ca)[-1] == (STOCK, "revoked")
    assert states(ca, later=timedelta(days=2))[2:] == [
        (ORDERS, "expired"),
        (ORDERS, "expired"),
        (STOCK, "revoked"),
    ]


def test_item_says_whose_and_by_which_key(ca: Ca) -> None:
    """Host and owner come from the identity, the generation from the issuer's key."""
    certificate = ca.one()
    (item,) = taken(ca)[2:]
    assert (item.owner, item.host) == ("orders", "localhost")
    assert item.spiffe_id == "spiffe://shop.internal/service/orders"
    assert item.serial == f"{certificate.serial_number:x}"
    assert item.key_algorithm == "P-256"
    (root, issuing) = taken(ca)[:2]
    assert (root.identity, issuing.identity) == ("root", "issuing")
    assert root.issuer == issuing.issuer != item.issuer
    with read_ledger(ca.layout.ledger) as ledger:
        said = {ORDERS: Presented(owner="shop team")}
        owned = inventory.take(ledger, utc_now(), presented=said)
    assert owned[-1].owner == "shop team"


CASES: dict[str, tuple[dict[str, list[str]], str]] = {
    "unknown": ({ORDERS: ["newest", "abc"]}, "which the ledger does not know"),
    "foreign": ({ORDERS: ["newest", "stock"]}, f"which was issued to {STOCK}"),
    "superseded_presented": ({ORDERS: ["newest", "old"]}, "which is superseded"),
    "revoked_presented": ({ORDERS: ["newest", "revoked"]}, "which is revoked"),
    "presented_nowhere": ({ORDERS: []}, "presented nowhere: nobody listens"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_difference_is_told_alone(ca: Ca, case: str) -> None:
    """Whatever one host presents besides what it should, and nothing else."""
    known = {"abc": "abc"}
    known["revoked"] = f"{ca.one().serial_number:x}"
    ca.revoke(ORDERS)
    for name, identity in (("old", ORDERS), ("newest", ORDERS), ("stock", STOCK)):
        known[name] = f"{ca.one(identity).serial_number:x}"
    said, text = CASES[case]
    presented = {STOCK: Presented(serials=[known["stock"]])}
    for identity, names in said.items():
        serials = [known[name] for name in names]
        presented[identity] = Presented(serials=serials, reason="nobody listens")
    (found,) = inventory.reconcile(taken(ca), presented)
    assert (found.finding, found.identity) == (case, ORDERS)
    assert text in found.text
    right = {ORDERS: Presented(serials=[known["newest"]])}
    assert inventory.reconcile(taken(ca), presented | right) == []


def test_expired_certificate_that_is_presented(ca: Ca) -> None:
    """It is told; that nobody presents an ended one is not."""
    serial = f"{ca.one().serial_number:x}"
    later = taken(ca, later=timedelta(days=2))
    (found,) = inventory.reconcile(later, {ORDERS: Presented(serials=[serial])})
    assert found.finding == "expired_presented"
    assert inventory.reconcile(later, {}) == []


def test_identity_that_no_host_has(ca: Ca) -> None:
    """It was taken out of the topology, or its host could not be asked."""
    ca.one()
    (found,) = inventory.reconcile(taken(ca), {})
    assert "no host has this identity" in found.text


def test_commands(ca: Ca) -> None:
    """JSON and CSV show the same, and compare with what hosts present."""
    certificate = ca.one()
    serial = f"{certificate.serial_number:x}"
    given = ("inventory", "--directory", ca.layout.directory)
    shown = pki(*given).answer["certificates"]
    assert [line["serial"] for line in shown][-1] == serial
    rows = list(csv.DictReader(io.StringIO(pki(*given, "--format", "csv").output)))
    assert rows == shown
    said = {"presented": {ORDERS: {"serials": [serial], "owner": "shop team"}}}
    compared = pki(*given, "--reconcile", document=said).answer
    assert (compared["ok"], compared["differences"]) == (True, [])
    assert compared["certificates"][-1]["owner"] == "shop team"
    said["presented"][ORDERS]["serials"] = []
    compared = pki(*given, "--reconcile", document=said).answer
    assert compared["ok"] is False
    assert compared["differences"][0]["finding"] == "presented_nowhere"
    refused = pki(*given, "--reconcile", document={"presented": []}).refusal
    assert refused["error"] == "unreadable_presented"


def test_what_has_ended_is_shown_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CA issues many of them."""
    past = utc_now() - timedelta(days=3)
    monkeypatch.setattr("pki.clock.utc_now", lambda: past)
    ca = Ca.found(tmp_path / "ca")
    batch = authority.issue(
        ca.layout,
        [Request(ORDERS, csr())],
        keyring=ca.keyring(),
        run_id="run",
        now=lambda: past,
    )
    certificate = batch.answers[0].certificate
    assert certificate
    serial = f"{certificate.serial_number:x}"
    given = ("inventory", "--directory", ca.layout.directory)
    assert serial not in pki(*given).output
    assert serial in pki(*given, "--all").output
