"""Observations of fleets that do not run: as many services as a test wants."""

from datetime import UTC, datetime, timedelta

from pki.clock import to_text
from services.drill.result import Cell, Result, Row
from services.probe import Edge, Findings, Identity
from services.report.observations import Observations, Run

NOW = datetime(2026, 11, 22, 18, 0, 0, tzinfo=UTC)
REASON = "token service: invalid_target; {}: the token is for another audience"
NAMES = [
    "storefront",
    "checkout",
    "basket",
    "catalogue",
    "search",
    "orders",
    "payments",
    "invoices",
    "shipping",
    "stock",
    "returns",
    "customers",
    "sessions",
    "notices",
    "ratings",
    "coupons",
    "taxes",
    "ledger",
    "fraud",
    "refunds",
    "suppliers",
    "prices",
    "images",
    "reports",
    "audit",
    "exports",
    "archive",
    "mailer",
    "geocoder",
    "currencies",
]


def calls_of(count: int) -> list[tuple[str, str]]:
    """Return who calls whom among the first `count` names: about one call each."""
    names = NAMES[:count]
    pairs = [
        (names[(number - 1) // 3 if number < 20 else number % 9], names[number])
        for number in range(1, count)
        if number % 11
    ]
    sideways = [
        (names[number], names[number + 4])
        for number in range(1, count - 4, 5)
        if number + 4 < count
    ]
    return list(dict.fromkeys(pairs + sideways))


def identity(service: str, *, left: timedelta = timedelta(hours=24)) -> Identity:
    """Return what a live port presents, with so much time left."""
    return Identity(
        service=service,
        host="host-1",
        spiffe_id=f"spiffe://shop.internal/service/{service}",
        serial=f"{sum(service.encode()) ** 17:x}"[:40],
        not_after=to_text(NOW + left),
        address="10.77.0.14",
        port=8441,
    )


def edge(caller: str, callee: str, *, allowed: bool, ok: bool = True) -> Edge:
    """Return a call that was tried, answered or refused as `ok` says."""
    answered = allowed == ok
    return Edge(
        caller=caller,
        callee=callee,
        allowed=allowed,
        status=200 if answered else 401,
        reason="" if answered else REASON.format(callee),
        ok=ok,
    )


def fleet(
    count: int, *, wrong: frozenset[tuple[str, str]] = frozenset()
) -> Observations:
    """Return what is seen of `count` services; the pairs in `wrong` differ."""
    names, calls = NAMES[:count], calls_of(count)
    edges = [
        edge(
            caller,
            callee,
            allowed=(caller, callee) in calls,
            ok=(caller, callee) not in wrong,
        )
        for caller in names
        for callee in names
        if caller != callee
    ]
    identities = [
        identity(name, left=timedelta(hours=6 + 18 * (number % 5) / 4))
        for number, name in enumerate(names)
    ]
    return Observations(
        probe=Findings(identities=identities, edges=edges, ok=not wrong),
        run=Run(id="2026-11-22T17:59:00Z", ansible="2.19.14", renew_before=8 * 3600),
    )


def drill_of(*rows: tuple[str, str, str]) -> Result:
    """Return a drill: what was tried, what came of the bearer and the bound token."""

    def cell(happened: str) -> Cell:
        return Cell(expected=happened, happened=happened, ok=True)

    return Result(
        victim="storefront",
        target="orders",
        thief="stock",
        rows=[
            Row(tried=tried, bearer=cell(bearer), bound=cell(bound), ok=True)
            for tried, bearer, bound in rows
        ],
        ok=True,
    )
