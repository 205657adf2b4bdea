"""What a CA's directory lacks, and what in it does not fit together."""

from pathlib import Path

import pytest

from pki import inspection
from pki.layout import Layout
from tests.pki.builders import Ca, policy, policy_document


def test_empty_place_lacks_everything(tmp_path: Path) -> None:
    """Looking does not even make the directory."""
    state = inspection.inspect(Layout(tmp_path / "ca"), policy())
    assert state.missing == (
        "ledger",
        "root_key",
        "root_certificate",
        "issuing_key",
        "issuing_certificate",
        "policy",
    )
    assert (state.root, state.issuing) == (None, None)
    assert list(tmp_path.iterdir()) == []


def test_whole_ca_lacks_nothing(ca: Ca) -> None:
    """Both certificates are shown, and the policy is the one that is stored."""
    state = inspection.inspect(ca.layout, policy())
    assert state.missing == ()
    assert not state.policy_changed
    assert state.root
    assert state.issuing


def test_overwritten_certificate_is_missed(ca: Ca) -> None:
    """A file that is not the certificate in the ledger is as good as absent."""
    ca.layout.certificate("issuing").write_bytes(
        ca.layout.certificate("root").read_bytes()
    )
    state = inspection.inspect(ca.layout, policy())
    assert state.missing == ("issuing_certificate",)


def test_other_policy_is_a_change(ca: Ca) -> None:
    """Another set of services, and nothing is missing for it."""
    state = inspection.inspect(ca.layout, policy(policy_document(["orders"])))
    assert state.missing == ()
    assert state.policy_changed


def test_lost_ledger_is_refused(ca: Ca) -> None:
    """A new ledger would know none of the certificates that exist."""
    ca.layout.ledger.unlink()
    with pytest.raises(inspection.LedgerLostError, match="restore"):
        inspection.inspect(ca.layout, policy())


def test_lost_issuing_key_is_refused(ca: Ca) -> None:
    """A new key beside the old certificate would sign what nobody accepts."""
    ca.layout.sealed_key("issuing").unlink()
    with pytest.raises(inspection.KeyLostError, match="restore"):
        inspection.inspect(ca.layout, policy())


def test_swapped_issuing_key_is_refused(ca: Ca) -> None:
    """Another key put in its place is not certified in turn."""
    other = Ca.found(ca.layout.directory.with_name("other"))
    other.layout.sealed_key("issuing").replace(ca.layout.sealed_key("issuing"))
    with pytest.raises(inspection.WrongKeyError, match="issuing"):
        inspection.inspect(ca.layout, policy())


def test_other_trust_domain_is_refused(ca: Ca) -> None:
    """A root speaks for the domain it was made for."""
    document = {**policy_document([]), "trust_domain": "other.internal"}
    with pytest.raises(inspection.ForeignRootError, match=r"other\.internal"):
        inspection.inspect(ca.layout, policy(document))
