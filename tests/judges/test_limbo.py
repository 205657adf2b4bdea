"""x509-limbo's cases: each agrees, or stands in a list with its reason.

`CERTBOUND_LIMBO` names another file of cases than the selection in `../shared`, such as
the suite's own `limbo.json`. `tests/vectors/limbo-departures.json` knows all of it but
the BetterTLS set.
"""

import json
import os
from pathlib import Path

import pytest

from pki.trust import CommonNameError
from tests.judges.limbo import Case, read_cases, refusal
from tests.judges.verdicts import Judge, Verdict

PROJECT = Path(__file__).parents[2]
SELECTION = PROJECT.parent / "shared" / "vectors" / "limbo.json"
CASES = Path(os.environ.get("CERTBOUND_LIMBO", SELECTION))
DEPARTURES = json.loads(
    (PROJECT / "tests" / "vectors" / "limbo-departures.json").read_text()
)
STRICTER, OTHERWISE = (
    {case for cases in DEPARTURES[kind].values() for case in cases}
    for kind in ("stricter", "refused for another reason")
)
JUDGE = Judge("x509-limbo", "2026-11")

absent = pytest.mark.skipif(
    not CASES.exists(), reason="there are no cases of x509-limbo beside the project"
)
cases = pytest.mark.parametrize(
    "case", read_cases(CASES) if CASES.exists() else [], ids=lambda case: case.id
)


@absent
@cases
@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # it is what is judged
def test_each_case_agrees_or_has_its_reason(case: Case, verdict: Verdict) -> None:
    """A good path is trusted and a bad one refused; a departure only refuses more."""
    why = refusal(case)
    if case.id in STRICTER:
        assert case.good
        assert why is not None, "the case agrees: it is no departure any more"
        verdict(JUDGE, refused="more than it asks, each with its reason")
    elif case.good:
        assert why is None, why
        verdict(JUDGE, accepted="paths")
    else:
        assert why is not None, "the path is trusted, and must not be"
        verdict(JUDGE, refused="paths")
    if case.id in OTHERWISE:
        assert isinstance(why, CommonNameError)


def test_a_departure_has_one_reason() -> None:
    """No case stands in the list twice, and each reason is a sentence."""
    listed = [
        case
        for groups in DEPARTURES.values()
        for group in groups.values()
        for case in group
    ]
    assert len(listed) == len(set(listed))
    for groups in DEPARTURES.values():
        assert all(reason.endswith(".") for reason in groups)
