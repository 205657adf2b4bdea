"""Keep lists and answers from running out: find what is due, and make it.

`python -m pki crl` comes here, as often as it likes: nothing is due before half of the
life is over, and then no passphrase is asked for. Issuing makes the lists that are due
as well; the answers on older certificates are made here alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from pki import clock
from pki.authority import open_desk, open_press
from pki.crl_series import Series, publish_lists
from pki.decision import Desk
from pki.keyring import Keyring, has_key
from pki.layout import Layout
from pki.ledger import open_ledger
from pki.pointers import authority_of
from pki.present import earlier_issuers
from pki.publication import answers_due
from pki.published import Imprint
from pki.responder import read_responder
from pki.storage import exclusive


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What was made, or is due, of lists and answers; and the lists there are."""

    lists: tuple[tuple[str, str], ...]  # root or issuing, and a scope
    answers: int
    responder: bool
    root_waits: bool  # its list is due, and nobody gave its passphrase
    crls: tuple[Imprint, ...]
    authorities: tuple[tuple[str, str], ...]  # root or issuing, and a key identifier

    @property
    def changed(self) -> bool:
        """Whether there is anything."""
        return bool(self.lists or self.answers or self.responder)


@dataclass(frozen=True, slots=True)
class _Due:
    """What one issuing CA, or one root, has to make."""

    series: Series
    lists: tuple[str, ...]
    answers: tuple[int, ...] = ()
    responder: bool = False

    @property
    def anything(self) -> bool:
        return bool(self.lists or self.answers or self.responder)


def publish(
    layout: Layout,
    *,
    keyring: Keyring,
    run_id: str,
    now: Callable[[], datetime] = clock.utc_now,
) -> Publication:
    """Make what is due of lists and answers; of the roots' only if their keys open.

    Every issuing CA under which something lives tells of revocations, also when another
    one has followed it. A key is opened only if something of its own is due.

    Raises:
        NoAuthorityError: there is no CA in the directory.
        ClockBehindError: the clock is behind the newest entry of the ledger.
        SealedKeyError, WrongIssuingKeyError: a key cannot be used.
    """
    layout.check_complete()
    with exclusive(layout.lock), open_ledger(layout.ledger) as ledger:
        desk = open_desk(layout, ledger, now(), run_id)
        due = _all_due(layout, desk)
        for one in due:
            if one.anything and one.series.by == "issuing":
                _print(layout, desk, keyring, one.series.issuer)
            elif one.anything and keyring.has_root:
                key = keyring.open("root", one.series.issuer)
                with ledger.transaction():
                    publish_lists(ledger, one.series, key)
        return _summary(due, desk, root=keyring.has_root)


def show(layout: Layout, *, root: bool, run_id: str, now: datetime) -> Publication:
    """Return what `publish` would make, with the `root` key or without, making nothing.

    Raises:
        NoAuthorityError: there is no CA in the directory.
        ClockBehindError: the clock is behind the newest entry of the ledger.
    """
    layout.check_complete()
    with open_ledger(layout.ledger) as ledger:
        desk = open_desk(layout, ledger, now, run_id)
        return _summary(_all_due(layout, desk), desk, root=root)


def series_of(desk: Desk, by: str, issuer: x509.Certificate) -> Series:
    """Return the lists of a `root` or an `issuing` CA."""
    return Series(
        published=desk.ledger.published,
        issuer=issuer,
        now=desk.now,
        addresses=None if by == "root" else desk.addresses_of(issuer),
        by=by,
    )


def _all_due(layout: Layout, desk: Desk) -> list[_Due]:
    earlier = earlier_issuers(desk.ledger, desk.standing, desk.now)
    kept = [one for one in earlier if has_key(layout, "issuing", one)]
    found = [_due(layout, desk, issuing) for issuing in (desk.issuing, *kept)]
    for root in desk.standing.roots:
        series = series_of(desk, "root", root)
        found.append(_Due(series, tuple(series.due())))
    return found


def _due(layout: Layout, desk: Desk, issuing: x509.Certificate) -> _Due:
    series = series_of(desk, "issuing", issuing)
    lists = tuple(series.due())
    if not series.addresses or desk.now >= issuing.not_valid_after_utc:
        return _Due(series, lists)
    own = authority_of(issuing)
    responder = read_responder(layout.responder(own))
    return _Due(
        series,
        lists,
        answers=tuple(answers_due(desk.ledger, issuing, desk.now)),
        responder=responder is None or responder.is_due(own, desk.now),
    )


def _summary(due: list[_Due], desk: Desk, *, root: bool) -> Publication:
    issuing = [one for one in due if one.series.by == "issuing"]
    roots = [one for one in due if one.series.by == "root"]
    made = (*issuing, *roots) if root else issuing
    return Publication(
        lists=tuple((one.series.by, scope) for one in made for scope in one.lists),
        answers=sum(len(one.answers) for one in issuing),
        responder=any(one.responder for one in issuing),
        root_waits=not root and any(one.lists for one in roots),
        crls=tuple(desk.ledger.published.imprints()),
        authorities=tuple((one.series.by, one.series.authority) for one in due),
    )


def _print(
    layout: Layout, desk: Desk, keyring: Keyring, issuing: x509.Certificate
) -> None:
    press = open_press(layout, desk, keyring, issuing)
    responder = press.prepare()
    due = answers_due(desk.ledger, issuing, desk.now) if responder else []
    with desk.ledger.transaction():
        press.publish(responder, issued=due)
        desk.ledger.published.drop_answers(ended=desk.now)
