"""Issue certificates: check every request, record, sign, give out (in that order).

`python -m pki issue` calls `issue` with a whole batch: one opening of the issuing key,
one lock, one transaction for all certificates, and a verdict for each request, so
that one bad request spoils nothing for the others. Asking again with the same key and
names gives the same certificate while half of its life is left: a play that is
repeated changes nothing. What is told of revocations becomes durable with the
certificates, so that nobody asks about one that is not known yet.

What this does not prove: that a request comes from the host its identity names. The
channel does that; for the first certificate it is the SSH that Ansible trusts.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from pki import clock
from pki.decision import Answer, Desk, Request, Verdict
from pki.keyring import Keyring
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from pki.policy import read_policy
from pki.present import Present, certificates, is_revoked, present
from pki.profiles import key_of
from pki.publication import Press
from pki.request import spki_sha256
from pki.signing import Order, check_clock, sign_and_record
from pki.storage import exclusive


@dataclass(frozen=True, slots=True)
class Batch:
    """The answers in the order of the requests, and the CA that gave them."""

    answers: tuple[Answer, ...]
    standing: Present

    @property
    def issuing(self) -> x509.Certificate:
        """The issuing CA."""
        return self.standing.issuing

    @property
    def root(self) -> x509.Certificate:
        """The root above it."""
        return self.standing.root


def issue(
    layout: Layout,
    requests: Sequence[Request],
    *,
    keyring: Keyring,
    run_id: str,
    now: Callable[[], datetime] = clock.utc_now,
) -> Batch:
    """Answer `requests`; what is issued is durable in the ledger before it returns.

    A key is opened only if there is something to sign.

    Raises:
        NoAuthorityError: there is no CA in the directory.
        ClockBehindError: the clock is behind the newest entry of the ledger.
        SealedKeyError, WrongIssuingKeyError: the issuing key cannot be used.
    """
    layout.check_complete()
    with (
        _without_looking_for_cycles(),
        exclusive(layout.lock),
        open_ledger(layout.ledger) as ledger,
    ):
        with ledger.connection.snapshot():  # one lock for all that is looked up
            desk = open_desk(layout, ledger, now(), run_id)
            decided = desk.decide_all(requests)
        orders = [item for item in decided if isinstance(item, Order)]
        fresh = iter(sign(layout, desk, orders, keyring) if orders else [])
    answers = tuple(
        Answer(item.planned.identity, Verdict.ISSUED, next(fresh))
        if isinstance(item, Order)
        else item
        for item in decided
    )
    return Batch(answers, desk.standing)


@contextmanager
def _without_looking_for_cycles() -> Iterator[None]:
    """Let the collector wait: a batch makes many objects, keeps them, and ties no knot.

    It would go through all that the process has every few certificates, a tenth to a
    fifth of what issuing costs.
    """
    looks = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if looks:
            gc.enable()


def sign(
    layout: Layout, desk: Desk, orders: Sequence[Order], keyring: Keyring
) -> list[x509.Certificate]:
    """Return the certificates of one or more `orders`, durable with all that follows.

    The caller holds the CA's lock.

    Raises:
        SealedKeyError, WrongIssuingKeyError: the issuing key cannot be used.
    """
    press = open_press(layout, desk, keyring)
    responder = press.prepare()

    def publish(made: Sequence[x509.Certificate]) -> None:
        press.publish(responder, issued=[one.serial_number for one in made])

    return sign_and_record(desk.ledger, orders, press.key, also=publish)


def preview(
    layout: Layout, requests: Sequence[Request], *, run_id: str, now: datetime
) -> Batch:
    """Answer as `issue` would, signing and recording nothing.

    Raises:
        NoAuthorityError: there is no CA in the directory.
        ClockBehindError: the clock is behind the newest entry of the ledger.
    """
    layout.check_complete()
    with open_ledger(layout.ledger) as ledger:
        desk = open_desk(layout, ledger, now, run_id)
        answers = tuple(
            Answer(item.planned.identity, Verdict.WOULD_ISSUE)
            if isinstance(item, Order)
            else item
            for item in desk.decide_all(requests)
        )
    return Batch(answers, desk.standing)


def look(layout: Layout) -> Present:
    """Return the CA as it stands, without opening anything.

    Raises:
        NoAuthorityError: there is no CA in the directory.
    """
    layout.check_complete()
    with open_ledger(layout.ledger) as ledger:
        return present(ledger)


def open_desk(layout: Layout, ledger: Ledger, now: datetime, run_id: str) -> Desk:
    """Return the CA as it stands at `now`.

    Raises:
        ClockBehindError: the clock is behind the newest entry of the ledger.
    """
    check_clock(ledger, now)
    standing = present(ledger)
    ours = certificates(ledger, "root") | certificates(ledger, "issuing")
    return Desk(
        policy=read_policy(layout.policy.read_bytes()),
        ledger=ledger,
        standing=standing,
        issuer_is_revoked=is_revoked(ledger, standing.issuing),
        authority_keys=frozenset(spki_sha256(key_of(one)) for one in ours.values()),
        now=now,
        run_id=run_id,
    )


def open_press(
    layout: Layout,
    desk: Desk,
    keyring: Keyring,
    issuing: x509.Certificate | None = None,
) -> Press:
    """Return the issuing CA with its key open: the present one, or an earlier one.

    Raises:
        SealedKeyError, WrongIssuingKeyError: the issuing key cannot be used.
    """
    issuing = issuing or desk.issuing
    return Press(
        layout=layout,
        ledger=desk.ledger,
        issuing=issuing,
        trust_domain=desk.policy.trust_domain,
        addresses=desk.addresses_of(issuing),
        key=keyring.open("issuing", issuing),
        now=desk.now,
        run_id=desk.run_id,
    )
