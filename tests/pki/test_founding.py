"""Founding a CA: what is made, what is kept, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pki import founding, inspection
from pki.envelope import WeakPassphraseError, WrongPassphraseError
from pki.keys import unseal
from pki.layout import Layout
from pki.ledger import open_ledger
from pki.profiles import permitted_dns_of
from tests.pki.builders import (
    CHEAP,
    ISSUING_PASSPHRASE,
    ROOT_PASSPHRASE,
    Ca,
    policy,
    policy_document,
)

EVERYTHING = (
    "ledger",
    "root_key",
    "root_certificate",
    "issuing_key",
    "issuing_certificate",
    "policy",
)


def no_passphrase() -> bytes:
    """Fail where no passphrase may be asked for."""
    pytest.fail("a passphrase was asked for")


def found(
    layout: Layout,
    document: dict[str, Any] | None = None,
    *,
    root: Callable[[], bytes] = no_passphrase,
    issuing: Callable[[], bytes] = no_passphrase,
) -> tuple[inspection.State, inspection.State]:
    """Found with these passphrases; asking for one that is not given fails."""
    return founding.found(
        layout,
        policy(document),
        passphrases=founding.Passphrases(root=root, issuing=issuing),
        run_id="run",
        cost=CHEAP,
    )


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file but the ledger, whose pages may move."""
    return {
        path.name: path.read_bytes()
        for path in directory.iterdir()
        if "ledger" not in path.name
    }


def test_everything_is_made(tmp_path: Path) -> None:
    """From nothing to a whole CA, and the ledger knows both certificates."""
    ca = Ca(Layout(tmp_path / "ca"))
    before, after = ca.complete()
    assert before.missing == EVERYTHING
    assert (before.root, before.issuing) == (None, None)
    assert after.missing == ()
    assert after.root
    assert after.issuing
    after.issuing.verify_directly_issued_by(after.root)
    after.root.verify_directly_issued_by(after.root)
    with open_ledger(ca.layout.ledger) as ledger:
        assert ledger.verify().issued == 2


def test_second_run_changes_nothing(ca: Ca) -> None:
    """No file changes, and no passphrase is asked for."""
    files = contents(ca.layout.directory)
    before, after = found(ca.layout)
    assert before.missing == ()
    assert not before.policy_changed
    assert before == after
    assert contents(ca.layout.directory) == files


def test_keys_are_sealed_each_under_its_own_passphrase(ca: Ca) -> None:
    """Each passphrase opens its own key and not the other."""
    root = ca.layout.sealed_key("root").read_bytes()
    issuing = ca.layout.sealed_key("issuing").read_bytes()
    unseal(root, ROOT_PASSPHRASE, purpose="root")
    unseal(issuing, ISSUING_PASSPHRASE, purpose="issuing")
    with pytest.raises(WrongPassphraseError):
        unseal(root, ISSUING_PASSPHRASE, purpose="root")


def test_changed_policy_is_stored(ca: Ca) -> None:
    """A new service is a new policy and nothing else."""
    files = contents(ca.layout.directory)
    document = policy_document(["orders", "stock", "billing"])
    before, after = found(ca.layout, document)
    assert before.missing == ()
    assert before.policy_changed
    assert not after.policy_changed
    assert ca.layout.policy.read_bytes() == policy(document).text
    files.pop("policy.json")
    assert files.items() <= contents(ca.layout.directory).items()


@pytest.mark.parametrize("purpose", ["root", "issuing"])
def test_lost_certificate_comes_back_from_the_ledger(ca: Ca, purpose: str) -> None:
    """The same certificate, and no passphrase is needed for it."""
    path = ca.layout.certificate(purpose)
    certificate = path.read_bytes()
    path.unlink()
    before, _ = found(ca.layout)
    assert before.missing == (f"{purpose}_certificate",)
    assert path.read_bytes() == certificate


def test_lost_policy_is_written_again(ca: Ca) -> None:
    """It is not called changed, because there was none to change."""
    ca.layout.policy.unlink()
    before, _ = found(ca.layout)
    assert before.missing == ("policy",)
    assert not before.policy_changed


def test_root_key_may_be_taken_away(ca: Ca) -> None:
    """Once its certificate exists, the root's key is not missed."""
    ca.layout.sealed_key("root").unlink()
    before, _ = found(ca.layout)
    assert before.missing == ()


def test_wider_policy_gets_a_new_certificate_for_the_same_key(ca: Ca) -> None:
    """A new DNS domain needs the root's passphrase; no key is replaced."""
    sealed = ca.layout.sealed_key("issuing").read_bytes()
    document = wider()
    before, after = found(ca.layout, document, root=lambda: ROOT_PASSPHRASE)
    assert before.missing == ("issuing_certificate",)
    assert before.issuing
    assert after.issuing
    assert after.issuing.public_key() == before.issuing.public_key()
    assert after.issuing.serial_number != before.issuing.serial_number
    assert "other.internal" in map(str, permitted_dns_of(after.issuing))
    assert ca.layout.sealed_key("issuing").read_bytes() == sealed
    assert found(ca.layout, document)[0].missing == ()


def test_narrower_policy_keeps_the_certificate(ca: Ca) -> None:
    """The certificate may permit more than the policy, which decides alone."""
    document = policy_document()
    for identity in document["identities"].values():
        identity["dns_names"].remove("localhost")
    document["permitted_dns"].remove("localhost")
    before, _ = found(ca.layout, document)
    assert before.missing == ()


def wider() -> dict[str, Any]:
    """Return a policy that needs another certificate for the issuing CA."""
    document = policy_document()
    document["permitted_dns"].append("other.internal")
    return document


def test_swapped_root_key_is_refused(ca: Ca) -> None:
    """Another key in the root's place certifies nothing."""
    other = Ca.found(ca.layout.directory.with_name("other"))
    other.layout.sealed_key("root").replace(ca.layout.sealed_key("root"))
    with pytest.raises(inspection.WrongKeyError, match="root"):
        found(ca.layout, wider(), root=lambda: ROOT_PASSPHRASE)


def test_absent_root_key_is_asked_for(ca: Ca) -> None:
    """It is put back to certify the issuing CA; no new one is made in its place."""
    ca.layout.sealed_key("root").unlink()
    with pytest.raises(inspection.KeyLostError, match="put it back"):
        found(ca.layout, wider(), root=lambda: ROOT_PASSPHRASE)
    assert not ca.layout.sealed_key("root").exists()


@pytest.mark.parametrize("weak", ["root", "issuing"])
def test_weak_passphrase_is_refused(tmp_path: Path, weak: str) -> None:
    """Neither key is sealed under a short passphrase, and a better one goes on."""
    layout = Layout(tmp_path / "ca")

    def passphrase_of(purpose: str) -> bytes:
        return b"short" if purpose == weak else b"long enough a passphrase"

    with pytest.raises(WeakPassphraseError):
        found(
            layout,
            root=lambda: passphrase_of("root"),
            issuing=lambda: passphrase_of("issuing"),
        )
    assert not layout.sealed_key(weak).exists()
    found(
        layout,
        # A key that was made before the refusal opens with its own passphrase.
        root=lambda: b"long enough a passphrase",
        issuing=lambda: b"long enough a passphrase",
    )
    layout.check_complete()


def test_wrong_root_passphrase_certifies_nothing(ca: Ca) -> None:
    """The issuing CA keeps the certificate it has."""
    with pytest.raises(WrongPassphraseError):
        found(ca.layout, wider(), root=lambda: b"another passphrase")
    assert inspection.inspect(ca.layout, policy()).missing == ()
