"""Several issuing keys at once: each tells of what it signed, while that lives."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from pki import clock, upkeep
from pki.entry import Event
from pki.ledger import open_ledger
from pki.ocsp import OcspService
from pki.pointers import authority_of, pointers_of
from pki.published import Crl, read_published
from pki.responder import IDENTITY
from pki.rotation_steps import Phase, What
from tests.pki.builders import ADDRESSES, Ca, policy_document, serials
from tests.pki.postgres_server import PostgresServer
from tests.pki.rotating import Holding, Rotating

ORDERS, STOCK = "orders@localhost", "stock@localhost"
Status = ocsp.OCSPCertStatus


class Both:
    """A CA in draining: orders has a certificate of either key, stock of the old."""

    def __init__(self, ca: Ca, what: What = What.ISSUING) -> None:
        self.ca = ca
        self.rotating = Rotating(ca, what).to(Phase.DISTRIBUTING)
        self.orders, self.stock = self.rotating.everyone()
        self.rotating.advance([self.orders, self.stock])
        self.later, _ = held = self.rotating.everyone()
        self.rotating.advance(held)

    @property
    def old(self) -> x509.Certificate:
        """The earlier issuing CA."""
        return self.orders.chain[1]

    @property
    def new(self) -> x509.Certificate:
        """The present one."""
        return self.later.chain[1]

    def lists(self, issuing: x509.Certificate) -> dict[str, Crl]:
        """Return the newest lists of an issuing CA."""
        with read_published(self.ca.layout.ledger) as published:
            return {
                crl.scope: crl
                for crl in published.crls()
                if crl.authority == authority_of(issuing)
            }

    def listed(self, issuing: x509.Certificate) -> set[int]:
        """Return what the full list of an issuing CA revokes."""
        return serials(x509.load_der_x509_crl(self.lists(issuing)["full"].der))

    def ask(
        self,
        held: Holding,
        issuing: x509.Certificate | None = None,
        now: Callable[[], datetime] = clock.utc_now,
    ) -> ocsp.OCSPResponse:
        """Return what OCSP says of a certificate; of another issuer's, if one is."""
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            held.chain[0], issuing or held.chain[1], hashes.SHA256()
        )
        question = builder.build().public_bytes(Encoding.DER)
        answer = OcspService(self.ca.layout).answer(question, now=now())
        return ocsp.load_der_ocsp_response(answer.der)


@pytest.fixture
def both(telling: Ca) -> Both:
    """Return a CA of two issuing keys."""
    return Both(telling)


def later(hours: float) -> Callable[[], datetime]:
    """Return a clock that is ahead."""
    return lambda: clock.utc_now() + timedelta(hours=hours)


def serial(held: Holding) -> int:
    """Return the serial of what a host holds."""
    return held.chain[0].serial_number


def test_each_key_has_its_own_addresses_and_lists(both: Both) -> None:
    """A number counts for one issuer and scope (RFC 5280, 5.2.3)."""
    for held in (both.orders, both.later):
        pointers = pointers_of(held.chain[0])
        assert pointers
        assert f"/crl/{authority_of(held.chain[1])}/" in pointers.crl
        assert pointers.ca_issuers.endswith(f"/ca/{authority_of(held.chain[1])}.cer")
        assert set(both.lists(held.chain[1])) >= {"full", "0", "1", "2", "3"}


def test_lists_and_answers_of_the_earlier_key_go_on(both: Both) -> None:
    """While a certificate of it lives."""
    before = both.lists(both.old)
    done = both.ca.publish(now=later(13))
    after = both.lists(both.old)
    for scope in ("full", "0", "3"):
        assert after[scope].number > before[scope].number
    assert done.answers == 4
    assert ("issuing", authority_of(both.old)) in done.authorities
    answer = both.ask(both.orders, now=later(14))
    assert answer.certificate_status is Status.GOOD
    assert answer.this_update_utc > clock.utc_now()


def test_lists_of_the_earlier_key_end_with_what_it_signed(both: Both) -> None:
    """A day later nothing lives under it; the present key's go on."""
    before = both.lists(both.old)
    done = both.ca.publish(now=later(25))
    assert both.lists(both.old) == before
    assert ("issuing", authority_of(both.old)) not in done.authorities
    assert both.lists(both.new)["full"].this_update > before["full"].next_update


def test_a_certificate_of_the_earlier_key_is_revoked_in_its_list(both: Both) -> None:
    """At any time, by its serial; the present key's lists say nothing of it."""
    done = both.ca.revoke(serial=serial(both.orders))
    assert not done.untold
    assert both.listed(both.old) == {serial(both.orders)}
    assert both.listed(both.new) == set()
    assert both.ask(both.orders).certificate_status is Status.REVOKED
    assert both.ask(both.later).certificate_status is Status.GOOD


def test_an_identity_is_revoked_under_every_key(both: Both) -> None:
    """In one transaction, each certificate in the list of who signed it."""
    done = both.ca.revoke(ORDERS)
    assert not done.untold
    assert serial(both.orders) in both.listed(both.old)
    assert serial(both.later) in both.listed(both.new)
    assert not both.listed(both.old) & both.listed(both.new)
    assert serial(both.stock) not in both.listed(both.old)
    for held in (both.orders, both.later):
        assert both.ask(held).certificate_status is Status.REVOKED


def test_a_key_answers_for_its_own_certificates_alone(both: Both) -> None:
    """Their issuers have one name; a serial of the other key was never issued."""
    for held, issuing in ((both.orders, both.new), (both.later, both.old)):
        assert both.ask(held, issuing).certificate_status is Status.UNKNOWN


def test_each_key_has_its_own_responder(both: Both) -> None:
    """Certified by it (RFC 6960, 4.2.2.2); neither takes the place of the other."""
    for issuing in (both.old, both.new):
        assert both.ca.layout.responder(authority_of(issuing)).exists()
    with open_ledger(both.ca.layout.ledger) as ledger:
        assert not list(ledger.entries_of(IDENTITY, Event.SUPERSEDED))
        assert len(list(ledger.entries_of(IDENTITY, Event.ISSUED))) == 2


def test_a_lost_earlier_key_stops_nobody_else(both: Both) -> None:
    """What it signed can be recorded as revoked, and is said to be untold."""
    path = both.ca.layout.directory / "issuing.key.sealed"
    path.unlink()
    done = both.ca.publish(now=later(13))
    assert ("issuing", authority_of(both.new)) in done.authorities
    assert both.lists(both.new)["full"].this_update > clock.to_text(clock.utc_now())
    told = both.ca.revoke(ORDERS, now=later(13))
    assert {int(entry.serial, 16) for entry in told.untold} >= {serial(both.orders)}
    assert serial(both.later) in both.listed(both.new)


def test_nobody_answers_for_what_is_distrusted(both: Both) -> None:
    """Its root's list says all; its own lists are made no more."""
    both.rotating.advance()
    before = both.lists(both.old)
    both.ca.publish(now=later(13))
    assert both.lists(both.old) == before
    answer = both.ask(both.orders)
    assert answer.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED
    done = both.ca.revoke(serial=serial(both.orders))
    assert [int(entry.serial, 16) for entry in done.untold] == [serial(both.orders)]


def test_lists_of_a_reversed_rotation_go_on(both: Both) -> None:
    """What the given-up key signed lives on, and can be revoked."""
    while both.rotating.phase:
        both.rotating.reverse()
    assert both.rotating.standing.issuing == both.old
    both.ca.publish(now=later(13))
    assert both.lists(both.new)["full"].this_update > clock.to_text(clock.utc_now())
    assert not both.ca.revoke(serial=serial(both.later), now=later(13)).untold
    assert both.listed(both.new) == {serial(both.later)}


def test_both_roots_keep_lists_while_both_are_trusted(telling: Ca) -> None:
    """Either is due after half a year; afterwards the new one's alone."""
    rotating = Rotating(telling, What.ROOT).to(Phase.DISTRIBUTING)
    due = upkeep.show(telling.layout, root=True, run_id="run", now=later(183 * 24)())
    assert [by for by, _ in due.lists].count("root") == 2
    rotating.to(Phase.DONE)
    due = upkeep.show(telling.layout, root=True, run_id="run", now=later(183 * 24)())
    assert [by for by, _ in due.lists].count("root") == 1


def test_another_engine_keeps_all_of_it(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """A root is replaced, its issuing CAs tell of what they signed."""
    directory = tmp_path / "ca"
    directory.mkdir(mode=0o700)
    postgres.settle(directory / "ledger.json")
    both = Both(Ca.found(directory, policy_document(addresses=ADDRESSES)), What.ROOT)
    assert both.ca.publish(now=later(13)).answers == 4
    assert not both.ca.revoke(ORDERS, now=later(13)).untold
    assert both.listed(both.old) == {serial(both.orders)}
    assert both.listed(both.new) == {serial(both.later)}
