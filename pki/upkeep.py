"""Keep lists and answers from running out: find what is due, and make it.

`python -m pki crl` comes here, as often as it likes: nothing is due before half of the
life is over, and then no passphrase is asked for. Issuing makes the lists that are due
as well; the answers on older certificates are made here alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from pki import clock
from pki.authority import open_desk, open_press
from pki.crl_series import Series, publish_lists
from pki.decision import Desk
from pki.keyring import Keyring
from pki.layout import Layout
from pki.ledger import open_ledger
from pki.pointers import authority_of
from pki.publication import answers_due
from pki.published import Crl
from pki.responder import read_responder
from pki.storage import exclusive


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What was made, or is due, of lists and answers; and the lists there are."""

    lists: tuple[tuple[str, str], ...]  # root or issuing, and a scope
    answers: int
    responder: bool
    root_waits: bool  # its list is due, and nobody gave its passphrase
    crls: tuple[Crl, ...]

    @property
    def changed(self) -> bool:
        """Whether there is anything."""
        return bool(self.lists or self.answers or self.responder)


def publish(
    layout: Layout,
    *,
    keyring: Keyring,
    run_id: str,
    now: Callable[[], datetime] = clock.utc_now,
) -> Publication:
    """Make what is due of lists and answers; of the root's only if its key opens.

    A key is opened only if something of its own is due.

    Raises:
        NoAuthorityError: there is no CA in the directory.
        ClockBehindError: the clock is behind the newest entry of the ledger.
        SealedKeyError, WrongIssuingKeyError: a key cannot be used.
    """
    layout.check_complete()
    with exclusive(layout.lock), open_ledger(layout.ledger) as ledger:
        desk = open_desk(layout, ledger, now(), run_id)
        due = _due(layout, desk, root=keyring.has_root)
        authorities = {by for by, _ in due.lists}
        if due.responder or due.answers or "issuing" in authorities:
            _print(layout, desk, keyring)
        if "root" in authorities:
            series = series_of(desk, "root")
            key = keyring.open("root", desk.root)
            with ledger.transaction():
                publish_lists(ledger, series, key)
        return replace(due, crls=tuple(ledger.published.crls()))


def show(layout: Layout, *, root: bool, run_id: str, now: datetime) -> Publication:
    """Return what `publish` would make, with the `root` key or without, making nothing.

    Raises:
        NoAuthorityError: there is no CA in the directory.
        ClockBehindError: the clock is behind the newest entry of the ledger.
    """
    layout.check_complete()
    with open_ledger(layout.ledger) as ledger:
        desk = open_desk(layout, ledger, now, run_id)
        return _due(layout, desk, root=root)


def series_of(desk: Desk, by: str) -> Series:
    """Return the lists of `root` or `issuing`."""
    return Series(
        published=desk.ledger.published,
        issuer=desk.root if by == "root" else desk.issuing,
        now=desk.now,
        addresses=None if by == "root" else desk.policy.addresses,
        by=by,
    )


def _due(layout: Layout, desk: Desk, *, root: bool) -> Publication:
    authorities = ("issuing", "root") if root else ("issuing",)
    lists = [(by, scope) for by in authorities for scope in series_of(desk, by).due()]
    answers, responder_due = 0, False
    if desk.policy.addresses and desk.now < desk.issuing.not_valid_after_utc:
        own = authority_of(desk.issuing)
        responder = read_responder(layout.responder(own))
        responder_due = responder is None or responder.is_due(own, desk.now)
        answers = len(answers_due(desk.ledger, desk.issuing, desk.now))
    return Publication(
        lists=tuple(lists),
        answers=answers,
        responder=responder_due,
        root_waits=not root and bool(series_of(desk, "root").due()),
        crls=tuple(desk.ledger.published.crls()),
    )


def _print(layout: Layout, desk: Desk, keyring: Keyring) -> None:
    press = open_press(layout, desk, keyring)
    responder = press.prepare()
    due = answers_due(desk.ledger, desk.issuing, desk.now) if responder else []
    with desk.ledger.transaction():
        press.publish(responder, issued=due)
        desk.ledger.published.drop_answers(ended=desk.now)
