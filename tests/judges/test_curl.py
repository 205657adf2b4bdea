"""curl obtains a token and uses it, with nothing but files and options."""

import json
import subprocess
from typing import Any

import pytest

from tests.judges import processes
from tests.judges.standing import AUDIENCE, SCOPE, Standing
from tests.judges.verdicts import Judge, Verdict


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Return curl with the TLS library that it was built with."""
    command = [str(processes.program("curl")), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = said.splitlines()[0].split()
    tls = next(word for word in words if "ssl" in word.lower() or "tls" in word.lower())
    return Judge("curl", f"{words[1]} {tls}")


def _curl(stand: Standing, name: str, *arguments: str) -> tuple[int, Any]:
    """Return status and body of a request with the certificate of an instance."""
    certificate, key = stand.paths(name)
    done = subprocess.run(
        [
            "curl",
            "--disable",
            "--silent",
            "--show-error",
            "--tlsv1.3",
            *("--noproxy", "*"),
            *("--cert", certificate, "--key", key, "--cacert", stand.bundle),
            *("--write-out", "\n%{http_code}"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def _token(stand: Standing, name: str) -> tuple[int, Any]:
    form = {
        "grant_type": "client_credentials",
        "client_id": "storefront",
        "resource": AUDIENCE,
        "scope": SCOPE,
    }
    fields = [
        word
        for member, value in form.items()
        for word in ("--data-urlencode", f"{member}={value}")
    ]
    return _curl(stand, name, *fields, f"{stand.issuer}/token")


def _call(stand: Standing, name: str) -> tuple[int, Any]:
    _, token = _token(stand, "storefront")
    header = f"Authorization: Bearer {token['access_token']}"
    return _curl(stand, name, "--header", header, stand.resource)


def test_curl_gets_and_uses_a_bound_token(
    stand: Standing, judge: Judge, verdict: Verdict
) -> None:
    """With storefront's files it gets a token, and the service answers it."""
    assert _call(stand, "storefront") == (
        200,
        {"service": "orders", "caller": "storefront"},
    )
    verdict(judge, accepted="certificate-bound token")


def test_curl_with_a_stolen_token_is_refused(
    stand: Standing, judge: Judge, verdict: Verdict
) -> None:
    """With stock's files the same token gets 401."""
    status, answer = _call(stand, "stock")
    assert (status, answer["error"]) == (401, "invalid_token")
    verdict(judge, refused="stolen token")


def test_curl_cannot_be_another_client(
    stand: Standing, judge: Judge, verdict: Verdict
) -> None:
    """With stock's files nobody gets storefront's tokens."""
    status, answer = _token(stand, "stock")
    assert (status, answer["error"]) == (401, "invalid_client")
    verdict(judge, refused="another client's certificate")


def test_curl_without_a_certificate_gets_no_answer(
    stand: Standing, judge: Judge, verdict: Verdict
) -> None:
    """TLS ends with an alert where no certificate is shown."""
    command = ["curl", "--disable", "--silent", "--show-error", "--noproxy", "*"]
    done = subprocess.run(
        [*command, "--cacert", stand.bundle, stand.resource],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 56
    assert "certificate required" in done.stderr
    verdict(judge, refused="no certificate")
