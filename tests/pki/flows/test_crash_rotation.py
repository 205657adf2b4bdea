"""A rotation broken off at whatever step: it is in a phase, the next run goes on."""

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from pki import clock
from pki.ledger import open_ledger
from pki.present import is_revoked
from pki.rotation_steps import Phase, What
from pki.trust import TrustBundle, verify_chain
from tests.pki.breaking import break_off, entries, serials
from tests.pki.builders import ADDRESSES, Ca, policy_document
from tests.pki.rotating import Rotating

either = pytest.mark.parametrize("how", ["killed", "full"])
# All that an ordinary run leaves out is in `make crash`.
every_what = pytest.mark.parametrize(
    ("what", "new_keys"),
    [
        (What.ISSUING, 1),
        pytest.param(What.ROOT, 2, marks=pytest.mark.crash),
    ],
)
HOSTS = ("orders@localhost", "stock@localhost")


def founded(place: Path) -> Rotating:
    """Return a CA whose hosts have certificates, before a rotation of its root."""
    ca = Ca.found(place / "0", policy_document(addresses=ADDRESSES))
    rotating = Rotating(ca, What.ROOT)
    rotating.everyone()
    return rotating


def check_peers(rotating: Rotating) -> None:
    """What a host gets now is trusted by the roots of now; the serials are known."""
    now = clock.utc_now()
    standing = rotating.standing
    bundle = TrustBundle("shop.internal", standing.roots)
    for holding in rotating.everyone():
        verify_chain(holding.chain, bundle, now=now)
    listed = entries(rotating.ca)
    assert serials(listed, "issued") <= serials(listed, "planned")
    assert not list(rotating.ca.layout.directory.glob(".*"))


@every_what
@either
def test_a_rotation_that_begins_is_completed(
    how: str, what: What, new_keys: int, place: Path
) -> None:
    """One new key for each CA that is replaced, whenever it was broken off."""
    founded(place)
    (place / "what.json").write_text(json.dumps([what]))
    runs = break_off(how, "begin", place, place / "what.json")
    assert runs > 15
    seen = set()
    for step in range(1, runs + 1):
        rotating = Rotating(Ca.at(place / str(step)), what)
        seen.add(rotating.phase)
        rotating.begin()
        assert rotating.phase is Phase.PREPARED
        listed = [entry for entry in entries(rotating.ca) if entry.event == "issued"]
        kinds = [entry.identity for entry in listed if "@" not in entry.identity]
        assert len(kinds) == len(set(serials(listed, "issued"))) - len(HOSTS)
        keys = list(rotating.ca.layout.directory.rglob("*.sealed"))
        assert len(keys) == 2 + new_keys
        if step % 5 == 0:
            assert not rotating.begin().changed
            rotating.advance([])
            check_peers(rotating)
    assert seen == {None, Phase.PREPARING, Phase.PREPARED}


@dataclass(frozen=True)
class Leap:
    """From one phase into the next."""

    of: Phase
    to: Phase


LEAPS = [
    pytest.param(Leap(Phase.PREPARED, Phase.DISTRIBUTING), marks=pytest.mark.crash),
    pytest.param(Leap(Phase.DISTRIBUTING, Phase.SWITCHING), marks=pytest.mark.crash),
    pytest.param(Leap(Phase.SWITCHING, Phase.DRAINING), marks=pytest.mark.crash),
    Leap(Phase.DRAINING, Phase.DISTRUSTING),
    pytest.param(Leap(Phase.DISTRUSTING, Phase.DONE), marks=pytest.mark.crash),
]


OVER = {Phase.DISTRUSTING, Phase.DONE}


@either
@pytest.mark.parametrize("leap", LEAPS, ids=lambda leap: leap.to.value)
def test_a_phase_begins_or_does_not(how: str, place: Path, leap: Leap) -> None:
    """It is one transaction: the step, and the revocation of what is distrusted."""
    rotating = founded(place)
    pem = rotating.ca.layout.certificate("issuing").read_bytes()
    rotating.to(leap.of)
    old = x509.load_pem_x509_certificate(pem)
    shown = [msgspec.to_builtins(holding.evidence) for holding in rotating.everyone()]
    (place / "evidence.json").write_text(json.dumps(shown))
    runs = break_off(how, "advance", place, place / "evidence.json")
    assert runs > 5
    seen = set()
    for step in range(1, runs + 1):
        rotating = Rotating(Ca.at(place / str(step)), What.ROOT)
        seen.add(rotating.phase)
        if rotating.phase is leap.of:
            rotating.advance()
        assert (rotating.phase or Phase.DONE) is leap.to
        entries(rotating.ca)
        with open_ledger(rotating.ca.layout.ledger) as ledger:
            assert is_revoked(ledger, old) is (leap.to in OVER)
        if step % 5 == 0:
            # As each roll-out does: the copies of certificates beside the ledger.
            rotating.ca.complete(policy_document(addresses=ADDRESSES))
            assert rotating.ca.certificate("root") == rotating.standing.root
            check_peers(rotating)
    assert {phase or Phase.DONE for phase in seen} == {leap.of, leap.to}
