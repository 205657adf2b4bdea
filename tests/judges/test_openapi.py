"""schemathesis asks the live token service for what its OpenAPI description promises.

A short run, unless `CERTBOUND_SCHEMATHESIS_SECONDS` says how long: `make schemathesis`
takes five minutes.
"""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.judges.presenting import Caller
from tests.judges.processes import PROJECT
from tests.judges.standing import NEXT_AUDIENCE, Standing
from tests.judges.verdicts import Judge, Verdict

JUDGE = Judge("PyPI schemathesis", version("schemathesis"))
SECONDS = int(os.environ.get("CERTBOUND_SCHEMATHESIS_SECONDS", "20"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest.fixture
def description(stand: Standing) -> str:
    """Return where the description is, or skip where there is none."""
    url = f"{stand.issuer}/openapi.json"
    if Caller(stand, "orders").send("GET", url, "token-service").status_code == 404:
        pytest.skip("the token service serves no /openapi.json")
    return url


def _asked(stand: Standing, description: str, directory: Path) -> int:
    """Return how many answers were as described; fail if one was not."""
    report = directory / "report.json"
    certificate, key = stand.paths("orders")
    known = {
        "client_id": "orders",
        "grant_type": "client_credentials",
        "resource": NEXT_AUDIENCE,
        "scope": "stock.read",
        "token": Caller(stand, "storefront").token(),
        "subject_token": Caller(stand, "storefront").token(),
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            *("run", description, "--url", stand.issuer),
            *("--request-cert", certificate, "--request-cert-key", key),
            *("--tls-verify", stand.bundle),
            *("--checks", ",".join(CHECKS)),
            *("--max-time", str(SECONDS), "--continue-on-failure"),
            *("--suppress-health-check", "all"),
            *("--report", "json", "--report-json-path", report),
        ],
        cwd=directory,
        env=os.environ
        | {
            "PYTHONPATH": str(PROJECT),
            "SCHEMATHESIS_HOOKS": "tests.judges.asking_hooks",
            "CERTBOUND_KNOWN": json.dumps(known),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    asked: int = json.loads(report.read_text())["test_cases"]["generated"]
    return asked


def test_the_live_service_answers_as_described(
    stand: Standing, description: str, tmp_path: Path, verdict: Verdict
) -> None:
    """Whatever is asked, there is no 5xx and no answer that is not described."""
    asked = _asked(stand, description, tmp_path)
    assert asked
    assert '"token.failed"' not in (stand.directory / "token-service.log").read_text()
    verdict(JUDGE, accepted=f"{asked} answers: no 5xx, none undocumented")
