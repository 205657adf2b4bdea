"""Each reason to replace a certificate is found alone, and said."""

from pathlib import Path

from ansible_collections.certbound.kit.plugins.module_utils.identity import Wanted
from ansible_collections.certbound.kit.plugins.module_utils.openssl import (
    fingerprints,
    make_key,
)

from tests.playbooks.enrolling import DAY, Enrolling


def test_reason_close_to_the_end(enrolled: Enrolling) -> None:
    """A certificate with too little left is renewed, and that is said."""
    reason = enrolled.ask(check=True, renew_before=DAY)["reason"]
    assert reason.startswith("less than 1 day, 0:00:00 left, it ends at 2")


def test_reason_other_names(enrolled: Enrolling) -> None:
    """A certificate with other names than the topology's is replaced."""
    enrolled.dns_names = ["orders.shop.internal"]
    reason = enrolled.ask(check=True)["reason"]
    assert reason == "other names than in the topology (DNS:localhost)"


def test_reason_longer_life(enrolled: Enrolling) -> None:
    """A certificate that lives longer than is now allowed is replaced."""
    enrolled.lifetime = DAY // 2
    reason = enrolled.ask(check=True)["reason"]
    assert reason == "lives longer than the topology allows"


def test_reason_other_root(enrolled: Enrolling) -> None:
    """A certificate under a root that the CA does not have is replaced."""
    reason = enrolled.ask(check=True, wanted=Wanted(roots=["00" * 32]))["reason"]
    assert reason == "issued under a root that the CA no longer has"


def test_reason_other_bundle(enrolled: Enrolling) -> None:
    """A certificate beside a bundle that lacks a root, or has one too many."""
    bundle = Path(enrolled.paths.current) / "bundle.pem"
    (root,) = fingerprints(bundle.read_text())
    more = enrolled.ask(check=True, wanted=Wanted(roots=[root, "00" * 32]))
    assert more["reason"] == "the trust bundle beside it is not the present one"
    assert enrolled.ask(check=True, wanted=Wanted(roots=[root]))["reason"] is None


def test_reason_other_issuer(enrolled: Enrolling) -> None:
    """A certificate by another key than the one that signs now is replaced."""
    present = enrolled.look().certificate
    assert present is not None
    other = enrolled.ask(check=True, wanted=Wanted(issuer="00" * 20))
    assert other["reason"] == "issued by another key than the CA's present one"
    same = enrolled.ask(check=True, wanted=Wanted(issuer=present.issuer_key))
    assert same["reason"] is None


def test_reason_issued_before(enrolled: Enrolling) -> None:
    """A certificate that begins before the moment named is replaced."""
    present = enrolled.look().certificate
    assert present is not None
    at = present.not_before
    late = enrolled.ask(check=True, wanted=Wanted(issued_after=at + 1))
    assert late["reason"].startswith("issued before 2")
    assert enrolled.ask(check=True, wanted=Wanted(issued_after=at))["reason"] is None


def test_reason_other_key(enrolled: Enrolling) -> None:
    """A certificate whose key is not the one beside it is replaced."""
    make_key(f"{enrolled.paths.current}/key.pem")
    reason = enrolled.ask(check=True)["reason"]
    assert reason == "the certificate is not of the key beside it"


def test_reason_broken_chain(enrolled: Enrolling) -> None:
    """A certificate that its bundle does not verify is replaced."""
    bundle = Path(enrolled.paths.current) / "bundle.pem"
    leaf_and_issuer = (Path(enrolled.paths.current) / "certificate.pem").read_text()
    bundle.write_text(
        leaf_and_issuer.split("-----END")[0] + "-----END CERTIFICATE-----\n"
    )
    assert enrolled.ask(check=True)["reason"].startswith("broken generation (openssl")


def test_reason_unreadable(enrolled: Enrolling) -> None:
    """A file that is no certificate is replaced."""
    (Path(enrolled.paths.current) / "certificate.pem").write_text("nothing")
    assert enrolled.ask(check=True)["reason"].startswith("unreadable certificate (")


def test_reason_expired(enrolled: Enrolling) -> None:
    """A certificate at its end is replaced, and that it expired is said."""
    present = enrolled.look()
    assert present.certificate is not None
    assert present.fault is None
    late = enrolled.look(present.certificate.not_after)
    assert str(late.fault).startswith("expired at 2")


def test_reason_not_yet_valid(enrolled: Enrolling) -> None:
    """A certificate of the future, by this host's clock, is replaced."""
    present = enrolled.look()
    assert present.certificate is not None
    early = enrolled.look(present.certificate.not_before - 1)
    assert str(early.fault).startswith("not valid before 2")
