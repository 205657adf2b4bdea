"""Rotating the issuing CA under an offline root: two ceremonies, and no key moves."""

import hashlib
from pathlib import Path

import pytest

from pki.keyring import KeyElsewhereError
from pki.ledger import open_ledger
from pki.present import is_revoked
from pki.rotation_steps import Phase, What
from pki.successors import CeremonyNeededError
from tests.pki.builders import Ca
from tests.pki.ceremonies import Two
from tests.pki.rotating import Rotating


def carried(two: Two, path: Path) -> dict[str, str]:
    """Carry a request to the desk; return the step that certifies it."""
    text = path.read_bytes()
    (two.desk / path.name).write_bytes(text)
    digest = hashlib.sha256(text).hexdigest()
    return {"type": "certify", "request": path.name, "sha256": digest}


def test_issuing_ca_is_rotated_under_an_offline_root(under: Two) -> None:
    """The rotation waits for what the root must sign, and goes on once it is there."""
    ca = Ca(under.online)
    old = ca.certificate("issuing")
    rotating = Rotating(ca, What.ISSUING)
    for _ in range(2):
        with pytest.raises(CeremonyNeededError, match=r"issuing-[0-9a-f]{40}\.request"):
            rotating.begin()
    (request,) = under.online.directory.glob("issuing-*.request.json")
    held = under.hold("next-issuing", carried(under, request))
    assert under.take(held).certificates == ("issuing",)
    assert ca.certificate("issuing") == old
    assert rotating.begin().after.steps[-1].phase is Phase.PREPARED
    while rotating.phase is not Phase.DRAINING:
        rotating.advance()
    new = ca.certificate("issuing")
    assert new == held.result.certificates[0]
    with pytest.raises(KeyElsewhereError, match="in a ceremony"):
        rotating.advance()
    serial = f"{old.serial_number:x}"
    step = {"type": "revoke", "serial": serial, "reason": "superseded"}
    assert under.take(under.hold("old-issuing", step)).revoked == (serial,)
    assert rotating.advance().after.steps[-1].phase is Phase.DISTRUSTING
    assert rotating.advance().after.steps[-1].phase is Phase.DONE
    with open_ledger(under.online.ledger) as ledger:
        ledger.verify()
        assert is_revoked(ledger, old)
        assert not is_revoked(ledger, new)
    ca.one("stock@localhost").verify_directly_issued_by(new)


def test_root_that_is_offline_is_not_rotated_here(under: Two) -> None:
    """Its key is needed for the cross certificates: nothing begins without it."""
    rotating = Rotating(Ca(under.online), What.ROOT)
    with pytest.raises(KeyElsewhereError):
        rotating.begin()
    assert rotating.phase is None
