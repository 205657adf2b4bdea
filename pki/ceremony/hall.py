"""A ceremony on an offline machine: the root's key made or used, by two people.

`perform` does what a plan says and what is not done yet, so a run that was cut off is
completed by the next, and the same plan again only verifies. A ledger on that machine
knows all that the root ever certified or took back. The result is written last, whole.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pki import clock
from pki.ceremony.plan import Certify, Plan
from pki.ceremony.request import CeremonyRequest, read_request
from pki.ceremony.result import Result, read_result
from pki.ceremony.rite import Rite
from pki.ceremony.root_keys import CeremonyError, People, RootKeys
from pki.database import create_ledger
from pki.entry import Event
from pki.envelope import RECOMMENDED, Cost
from pki.layout import Layout
from pki.ledger import open_ledger
from pki.present import certificates
from pki.signing import check_clock
from pki.storage import (
    check_private,
    exclusive,
    make_private_directory,
    write_atomically,
)


class PlanChangedError(CeremonyError):
    """A ceremony of this name was held by another plan."""

    code = "plan_changed"


class RequestChangedError(CeremonyError):
    """A request is not the one that the plan names."""

    code = "request_changed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did, and the result of the ceremony."""

    changed: bool
    result: Result
    path: Path


def perform(  # noqa: PLR0913 - each is told apart by its name
    layout: Layout,
    plan: Plan,
    *,
    beside: Path,
    people: People,
    now: Callable[[], datetime] = clock.utc_now,
    cost: Cost = RECOMMENDED,
) -> Outcome:
    """Hold the ceremony of `plan`, or verify that it was held.

    Args:
        layout: the private directory of the offline machine.
        plan: what is to be done.
        beside: the directory in which the plan's requests lie.
        people: their passphrases.
        now: the time.
        cost: of a guess at a passphrase, for a new key.

    Raises:
        CeremonyError: the plan does not fit what is there.
        CeremonyRequestError: a request asks for nothing that can be given.
        SealedKeyError: a passphrase is wrong, weak, or the same twice.
        ResultError: what was left by this ceremony has been changed.
        LintError: what is to be signed breaks a rule.
    """
    requests = read_requests(plan, beside)
    path = result_path(layout, plan)
    if path.exists():
        return Outcome(changed=False, result=verify(layout, plan), path=path)
    make_private_directory(layout.directory)
    check_private(layout.directory)
    with exclusive(layout.lock):
        create_ledger(layout.ledger)
        with open_ledger(layout.ledger) as ledger:
            check_clock(ledger, now())
            keys = RootKeys(layout, people, cost)
            rite = Rite(layout, plan, requests, ledger, keys, now)
            for step in plan.steps:
                rite.do(step)
            write_atomically(path, rite.conclude())
    return Outcome(changed=True, result=verify(layout, plan), path=path)


def verify(layout: Layout, plan: Plan) -> Result:
    """Return what the ceremony of `plan` has left, if all of it fits together.

    1. The result is whole, and signed by its root (`read_result`).
    2. It is of this very plan.
    3. The ledger here verifies, and knows its roots and each certificate.

    Raises:
        ResultError, LedgerError: 1 and 3 do not hold.
        PlanChangedError: it is of another plan.
    """
    result = read_result(result_path(layout, plan).read_bytes())  # 1
    if result.transcript.plan_sha256 != plan.sha256:  # 2
        raise PlanChangedError(
            f"a ceremony named {plan.name!r} was held by another plan"
        )
    with open_ledger(layout.ledger) as ledger:  # 3
        ledger.verify()
        roots = [listing.root for listing in result.listings]
        if not set(roots) <= set(certificates(ledger, "root").values()):
            raise CeremonyError("the result is of another root than the ledger's")
        for one in result.certificates:
            issuer, serial = one.issuer.rfc4514_string(), f"{one.serial_number:x}"
            if ledger.find(Event.ISSUED, issuer=issuer, serial=serial) is None:
                raise CeremonyError(f"the ledger does not know the serial {serial}")
    return result


def result_path(layout: Layout, plan: Plan) -> Path:
    """Return where the result of a ceremony lies."""
    return layout.directory / f"{plan.name}.result.json"


def read_requests(plan: Plan, beside: Path) -> dict[str, CeremonyRequest]:
    """Return the requests that a plan names, by their files' names.

    Raises:
        RequestChangedError: one is not the one that was agreed on.
        CeremonyRequestError: one is none, or of another trust domain.
    """
    found = {}
    for step in plan.steps:
        if isinstance(step, Certify):
            request = read_request((beside / step.request).read_bytes())
            if request.sha256 != step.sha256:
                raise RequestChangedError(
                    f"{step.request} has the SHA-256 {request.sha256}, "
                    f"the plan says {step.sha256}"
                )
            if request.trust_domain != plan.trust_domain:
                raise CeremonyError(f"{step.request} is of {request.trust_domain}")
            found[step.request] = request
    return found
