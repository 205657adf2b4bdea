"""Issuing a batch: one opening of the key, one lock, everything recorded."""

import gc
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta

import pytest

from pki import authority, clock
from pki.decision import Request, Verdict
from pki.envelope import WrongPassphraseError
from pki.identity import names_of
from pki.keyring import Keyring, WrongIssuingKeyError
from pki.layout import NoAuthorityError
from pki.ledger import open_ledger
from pki.signing import ClockBehindError
from pki.trust import TrustBundle, verify_chain
from tests.pki.builders import ISSUING_PASSPHRASE, NAMES, Ca, csr, p256

ORDERS = "orders@localhost"
STOCK = "stock@localhost"


def no_passphrase() -> bytes:
    """Fail where no passphrase may be asked for."""
    pytest.fail("the passphrase was asked for")


def issue(
    ca: Ca, *requests: Request, passphrase: Callable[[], bytes]
) -> authority.Batch:
    """Issue with another passphrase than the builder's."""
    keyring = Keyring(ca.layout, issuing=passphrase)
    return authority.issue(ca.layout, requests, keyring=keyring, run_id="run")


def test_issued_certificate_is_trusted(ca: Ca) -> None:
    """It has the policy's names and a path to the root."""
    batch = ca.issue((ORDERS, csr()))
    (answer,) = batch.answers
    assert answer.verdict is Verdict.ISSUED
    assert answer.certificate
    assert names_of(answer.certificate) == NAMES
    verify_chain(
        [answer.certificate, *batch.standing.chain],
        TrustBundle("shop.internal", batch.standing.roots),
        now=clock.utc_now(),
    )


def test_everything_issued_is_in_the_ledger(ca: Ca) -> None:
    """Planned and issued, under the identity, with the run that asked."""
    (answer,) = ca.issue((ORDERS, csr())).answers
    assert answer.certificate
    with open_ledger(ca.layout.ledger) as ledger:
        mine = [entry for entry in ledger.entries() if entry.identity == ORDERS]
    assert [entry.event for entry in mine] == ["planned", "issued"]
    for entry in mine:
        assert entry.serial == f"{answer.certificate.serial_number:x}"
        assert entry.run_id == "issuing"
        assert entry.spiffe_id == str(NAMES.spiffe_id)


def test_batch_is_one_opening_and_two_commits(ca: Ca) -> None:
    """However many requests there are, the key is opened once."""
    asked: list[int] = []

    def passphrase() -> bytes:
        asked.append(1)
        return ISSUING_PASSPHRASE

    batch = issue(
        ca, Request(ORDERS, csr()), Request(STOCK, csr()), passphrase=passphrase
    )
    assert [answer.verdict for answer in batch.answers] == [Verdict.ISSUED] * 2
    assert asked == [1]
    with open_ledger(ca.layout.ledger) as ledger:
        events = [entry.event for entry in ledger.entries()][-4:]
    assert events == ["planned", "planned", "issued", "issued"]


def test_answers_keep_the_order_of_the_requests(ca: Ca) -> None:
    """Refused, issued and reused stand where their requests stood."""
    key = p256()
    ca.issue((STOCK, csr(key)))
    batch = ca.issue(("x@localhost", csr()), (ORDERS, csr()), (STOCK, csr(key)))
    assert [(answer.identity, answer.verdict) for answer in batch.answers] == [
        ("x@localhost", Verdict.REFUSED),
        (ORDERS, Verdict.ISSUED),
        (STOCK, Verdict.REUSED),
    ]


def test_nothing_to_sign_asks_for_no_passphrase(ca: Ca) -> None:
    """Reused and refused requests leave the key closed and the ledger alone."""
    key = p256()
    ca.issue((ORDERS, csr(key)))
    batch = issue(
        ca,
        Request(ORDERS, csr(key)),
        Request("x@localhost", csr()),
        passphrase=no_passphrase,
    )
    assert [answer.verdict for answer in batch.answers] == [
        Verdict.REUSED,
        Verdict.REFUSED,
    ]


def test_preview_records_nothing(ca: Ca) -> None:
    """The check mode leaves the ledger as it is."""
    with open_ledger(ca.layout.ledger) as ledger:
        before = ledger.verify()
    authority.preview(
        ca.layout, [Request(ORDERS, csr())], run_id="run", now=clock.utc_now()
    )
    with open_ledger(ca.layout.ledger) as ledger:
        assert ledger.verify() == before


@pytest.mark.parametrize("looks", [True, False], ids=["on", "off"])
@pytest.mark.parametrize("behind", [timedelta(0), timedelta(days=9)], ids=str)
def test_collector_is_left_as_it_was(ca: Ca, looks: bool, behind: timedelta) -> None:  # noqa: FBT001 - a parameter
    """It waits for the batch, and goes on afterwards, whatever came of the batch."""
    seen: list[bool] = []

    def now() -> datetime:
        seen.append(gc.isenabled())
        return clock.utc_now() - behind

    (gc.enable if looks else gc.disable)()
    try:
        with nullcontext() if not behind else pytest.raises(ClockBehindError):
            authority.issue(
                ca.layout,
                [Request("orders@localhost", csr())],
                keyring=ca.keyring(),
                run_id="run",
                now=now,
            )
        assert gc.isenabled() is looks
    finally:
        gc.enable()
    assert seen == [False]


def test_wrong_passphrase_issues_nothing(ca: Ca) -> None:
    """The batch fails as a whole, and nothing is recorded."""
    with pytest.raises(WrongPassphraseError):
        issue(ca, Request(ORDERS, csr()), passphrase=lambda: b"another passphrase")
    with open_ledger(ca.layout.ledger) as ledger:
        assert ledger.newest_issued(ORDERS) is None
        assert ledger.verify().entries == 4


def test_clock_behind_the_ledger_issues_nothing(ca: Ca) -> None:
    """A clock that went back an hour is found before the signature."""
    with pytest.raises(ClockBehindError):
        authority.issue(
            ca.layout,
            [Request(ORDERS, csr())],
            keyring=ca.keyring(),
            run_id="run",
            now=lambda: clock.utc_now() - timedelta(hours=1),
        )


def test_foreign_issuing_key_signs_nothing(ca: Ca) -> None:
    """A key that does not belong to the certificate beside it is not used."""
    other = Ca.found(ca.layout.directory.with_name("other"))
    other.layout.sealed_key("issuing").replace(ca.layout.sealed_key("issuing"))
    with pytest.raises(WrongIssuingKeyError):
        ca.issue((ORDERS, csr()))


def test_missing_ca_issues_nothing(ca: Ca) -> None:
    """Without a root there is nothing to issue under."""
    ca.layout.certificate("root").unlink()
    with pytest.raises(NoAuthorityError):
        ca.issue((ORDERS, csr()))
    with pytest.raises(NoAuthorityError):
        authority.look(ca.layout)


def test_overwritten_root_misleads_nobody(ca: Ca) -> None:
    """The files are copies: what is given out as trusted comes from the ledger."""
    root = ca.certificate("root")
    ca.layout.certificate("root").write_text("rubbish")
    assert ca.issue((ORDERS, csr())).standing.roots == (root,)
    ca.complete()
    assert ca.certificate("root") == root


def test_trust_bundle_is_the_root(ca: Ca) -> None:
    """Everyone trusts the root, never the issuing CA."""
    (root,) = authority.look(ca.layout).roots
    assert root == ca.issue().standing.root
    assert root.issuer == root.subject


def test_leaf_ends_with_its_issuer(ca: Ca) -> None:
    """A day before the issuing CA's end, a service gets what is left."""
    issuing = ca.issue().standing.issuing
    now = issuing.not_valid_after_utc - timedelta(hours=3)
    batch = authority.issue(
        ca.layout,
        [Request(ORDERS, csr())],
        keyring=ca.keyring(),
        run_id="run",
        now=lambda: now,
    )
    (answer,) = batch.answers
    assert answer.certificate
    assert answer.certificate.not_valid_after_utc == issuing.not_valid_after_utc
