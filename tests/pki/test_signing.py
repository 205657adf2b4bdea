"""The one place that signs: planned, signed, recorded, and only then given out."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from pki import profiles, signing
from pki.database import create_ledger
from pki.entry import Event, Reason
from pki.ledger import SerialTakenError, open_ledger, read_ledger
from pki.lint_pointers import LintError
from tests.pki.builders import NAMES, NOW, Forge, p256

HOLDER = signing.Holder(
    kind="service",
    identity="orders@localhost",
    spiffe_id=str(NAMES.spiffe_id),
    spki_sha256="aa",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return an empty ledger."""
    create_ledger(tmp_path / "ledger")
    return tmp_path / "ledger"


def order(
    forge: Forge, *, seconds_later: int = 0, identity: str = "orders@localhost"
) -> signing.Order:
    """Return an order for a service's certificate."""
    now = NOW + timedelta(seconds=seconds_later)
    holder = replace(HOLDER, identity=identity)
    builder = profiles.service(
        p256().public_key(),
        names=NAMES,
        issuer=forge.issuing,
        lifetime=timedelta(days=1),
        now=now,
    )
    return signing.place_order(
        builder, holder, issuer=forge.issuing, now=now, run_id="run"
    )


def test_order_states_what_the_certificate_will_say(forge: Forge) -> None:
    """Serial, issuer and life are known, and recorded, before the signature."""
    placed = order(forge)
    assert placed.planned.event is Event.PLANNED
    assert placed.planned.issuer == "CN=shop.internal issuing CA"
    assert placed.planned.not_before == "2026-11-22T17:30:16Z"
    assert placed.planned.not_after == "2026-11-23T17:30:16Z"
    assert placed.planned.certificate is None


def test_order_for_a_wrong_certificate_is_not_taken(forge: Forge) -> None:
    """The lint stands before the order."""
    builder = profiles.root(
        p256().public_key(),
        trust_domain="shop.internal",
        lifetime=timedelta(days=1),
        now=NOW,
    )
    with pytest.raises(LintError):
        signing.place_order(
            builder, HOLDER, issuer=forge.issuing, now=NOW, run_id="run"
        )


def test_every_signed_certificate_is_planned_and_recorded(
    forge: Forge, path: Path
) -> None:
    """All plans come before all certificates, and both name the same serials."""
    orders = [order(forge), order(forge, identity="stock@localhost")]
    with open_ledger(path) as ledger:
        signed = signing.sign_and_record(ledger, orders, forge.issuing_key)
        entries = list(ledger.entries())
        assert ledger.verify().issued == 2
    serials = [f"{certificate.serial_number:x}" for certificate in signed]
    assert [entry.serial for entry in entries] == serials * 2
    assert [entry.event for entry in entries] == ["planned"] * 2 + ["issued"] * 2
    for certificate in signed:
        certificate.verify_directly_issued_by(forge.issuing)


def test_recorded_bytes_are_those_given_out(forge: Forge, path: Path) -> None:
    """The ledger holds the certificate itself."""
    with open_ledger(path) as ledger:
        (signed,) = signing.sign_and_record(ledger, [order(forge)], forge.issuing_key)
        entry = ledger.newest_issued("orders@localhost")
    assert entry
    pem = signed.public_bytes(serialization.Encoding.PEM).decode()
    assert entry.certificate == "".join(pem.splitlines()[1:-1])


def test_clock_behind_the_ledger_signs_nothing(forge: Forge, path: Path) -> None:
    """One second behind the newest entry is enough; nothing is planned either."""
    with open_ledger(path) as ledger:
        signing.sign_and_record(
            ledger, [order(forge, seconds_later=1)], forge.issuing_key
        )
        with pytest.raises(signing.ClockBehindError, match="2026-11-22T17:35:17Z"):
            signing.sign_and_record(ledger, [order(forge)], forge.issuing_key)
        assert ledger.verify().entries == 2


def test_same_second_is_not_behind(forge: Forge, path: Path) -> None:
    """Two batches within one second are both signed."""
    with open_ledger(path) as ledger:
        for _ in range(2):
            signing.sign_and_record(ledger, [order(forge)], forge.issuing_key)
        assert ledger.verify().issued == 2


def test_serial_given_before_is_not_signed(forge: Forge, path: Path) -> None:
    """The same order twice: the collision is found in the transaction of the plan."""
    placed = order(forge)
    with open_ledger(path) as ledger:
        signing.sign_and_record(ledger, [placed], forge.issuing_key)
        with pytest.raises(SerialTakenError):
            signing.sign_and_record(ledger, [order(forge), placed], forge.issuing_key)
        assert ledger.verify().entries == 2


def test_key_signs_only_after_the_plan_is_durable(forge: Forge, path: Path) -> None:
    """At the moment of signing another connection sees the plan."""
    seen: list[int] = []
    placed = order(forge)
    builder = placed.to_sign

    class Watching:
        """A builder that looks at the ledger when it is asked to sign."""

        def sign(self, *args: object) -> object:
            with read_ledger(path) as other:
                seen.append(other.verify().entries)
            return builder.sign(*args)  # type: ignore[arg-type]  # passed through

    object.__setattr__(placed, "to_sign", Watching())
    with open_ledger(path) as ledger:
        signing.sign_and_record(ledger, [placed], forge.issuing_key)
    assert seen == [1]


def events(path: Path) -> list[tuple[str, str]]:
    """Return what the ledger says, by event and serial, in order."""
    with open_ledger(path) as ledger:
        ledger.verify()
        return [(entry.event, entry.serial) for entry in ledger.entries()]


def test_newer_certificate_supersedes_the_one_before(forge: Forge, path: Path) -> None:
    """Recorded before the new one is, once, and only while the old one lasts."""
    orders = [order(forge, seconds_later=day * 70_000) for day in range(3)]
    serials = [placed.planned.serial for placed in orders]
    orders.append(order(forge, seconds_later=500_000))
    with open_ledger(path) as ledger:
        for placed in orders:
            signing.sign_and_record(ledger, [placed], forge.issuing_key)
    superseded = [found for found in events(path) if found[0] == "superseded"]
    assert superseded == [("superseded", serial) for serial in serials[:2]]
    position = events(path).index(("superseded", serials[0]))
    assert events(path)[position + 1] == ("issued", serials[1])


def test_of_two_in_one_batch_the_later_supersedes_the_earlier(
    forge: Forge, path: Path
) -> None:
    """A batch is recorded as its certificates would be, one after the other."""
    orders = [order(forge), order(forge)]
    with open_ledger(path) as ledger:
        signing.sign_and_record(ledger, orders, forge.issuing_key)
    first, second = (placed.planned.serial for placed in orders)
    assert events(path)[2:] == [
        ("issued", first),
        ("superseded", first),
        ("issued", second),
    ]


def test_certificate_of_another_identity_supersedes_nothing(
    forge: Forge, path: Path
) -> None:
    """Each identity has a line of its own."""
    with open_ledger(path) as ledger:
        for identity in ("orders@localhost", "stock@localhost"):
            placed = order(forge, identity=identity)
            signing.sign_and_record(ledger, [placed], forge.issuing_key)
    assert "superseded" not in dict(events(path))


def test_revoked_certificate_is_not_superseded(forge: Forge, path: Path) -> None:
    """Its line has ended already."""
    first = order(forge)
    with open_ledger(path) as ledger:
        signing.sign_and_record(ledger, [first], forge.issuing_key)
        with ledger.transaction():
            revoked = replace(first.planned, event=Event.REVOKED)
            ledger.append(replace(revoked, reason=Reason.KEY_COMPROMISE))
        signing.sign_and_record(ledger, [order(forge)], forge.issuing_key)
    assert "superseded" not in dict(events(path))


def test_what_is_written_beside_fails_with_the_certificates(
    forge: Forge, path: Path
) -> None:
    """When the rest of the transaction fails, no certificate is recorded as issued."""

    def fail(_: object) -> None:
        raise LintError("rule", "message")

    with open_ledger(path) as ledger, pytest.raises(LintError):
        signing.sign_and_record(ledger, [order(forge)], forge.issuing_key, also=fail)
    assert [event for event, _ in events(path)] == ["planned"]
