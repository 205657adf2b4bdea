"""curl obtains a token and uses it, with nothing but files and options.

Its DPoP proofs are signed by jwcrypto: nothing of ours is on the client's side.
"""

import json
import re
import subprocess
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest

from tests.judges import processes
from tests.judges.libraries import Jwcrypto
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


def _curl(
    stand: Standing,
    name: str,
    *arguments: str,
    told: dict[str, str] | None = None,
) -> tuple[int, Any]:
    """Return status and body of a request with the certificate of an instance.

    Nonces of the server go into `told`, if the arguments dump the header to stderr.
    """
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
    found = re.search(r"(?im)^dpop-nonce: (\S+)", done.stderr)
    if told is not None and found:
        told[arguments[-1].split("/")[2]] = found[1]
    return int(status), json.loads(body)


def _form(**changes: str) -> list[str]:
    form = {
        "grant_type": "client_credentials",
        "client_id": "storefront",
        "resource": AUDIENCE,
        "scope": SCOPE,
        **changes,
    }
    return [
        word
        for member, value in form.items()
        for word in ("--data-urlencode", f"{member}={value}")
    ]


def _token(stand: Standing, name: str) -> tuple[int, Any]:
    return _curl(stand, name, *_form(), f"{stand.issuer}/token")


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


@dataclass
class Prover:
    """A key of jwcrypto's, and the newest nonce of each server."""

    stand: Standing
    key: dict[str, Any] = field(default_factory=lambda: Jwcrypto().key("ES256"))
    nonces: dict[str, str] = field(default_factory=dict)
    asked: int = 0  # how often a server wanted a nonce

    def curl(
        self, uri: str, *arguments: str, token: str | None = None
    ) -> tuple[int, Any]:
        """Send a request with a proof, and again if a nonce is wanted."""
        method = "GET" if token else "POST"
        for _ in range(2):
            bearing = f"Authorization: DPoP {token}"
            proof = self._proof(method, uri, token)
            status, seen = _curl(
                self.stand,
                "storefront",
                *("--dump-header", "/dev/stderr"),
                *("--header", f"DPoP: {proof}"),
                *(("--header", bearing) if token else ()),
                *arguments,
                uri,
                told=self.nonces,
            )
            if seen.get("error") != "use_dpop_nonce":
                break
            self.asked += 1
        return status, seen

    def token(self) -> str:
        """Get a token that is bound to the key."""
        status, told = self.curl(
            f"{self.stand.issuer}/token", *_form(client_id="storefront-dpop")
        )
        assert (status, told["token_type"]) == (200, "DPoP"), told
        return str(told["access_token"])

    def _proof(self, method: str, uri: str, token: str | None) -> str:
        claims = {
            "jti": str(uuid4()),
            "htm": method,
            "htu": uri,
            "iat": int(time.time()),
        }
        if token is not None:
            digest = sha256(token.encode()).digest()
            claims["ath"] = urlsafe_b64encode(digest).rstrip(b"=").decode()
        if nonce := self.nonces.get(uri.split("/")[2]):
            claims["nonce"] = nonce
        public = {name: self.key[name] for name in ("kty", "crv", "x", "y")}
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public}
        return Jwcrypto().sign(header, claims, self.key)


def test_curl_uses_a_token_bound_to_a_key(
    stand: Standing, judge: Judge, verdict: Verdict
) -> None:
    """Token service and service each want a nonce of theirs, once."""
    prover = Prover(stand)
    token = prover.token()
    answer = {"service": "orders", "caller": "storefront-dpop"}
    assert prover.curl(stand.resource, token=token) == (200, answer)
    assert prover.asked == 2
    assert prover.curl(stand.resource, token=token) == (200, answer)
    assert prover.asked == 2
    verdict(judge, accepted="DPoP token with nonces at both (proofs by jwcrypto)")


def test_curl_needs_the_key_of_the_token(
    stand: Standing, judge: Judge, verdict: Verdict
) -> None:
    """With a proof by another key, or none, the token opens nothing."""
    token = Prover(stand).token()
    status, told = Prover(stand).curl(stand.resource, token=token)
    assert (status, told["error"]) == (401, "invalid_token")
    header = f"Authorization: Bearer {token}"
    status, told = _curl(stand, "storefront", "--header", header, stand.resource)
    assert (status, told["error"]) == (401, "invalid_token")
    verdict(judge, refused="another key")
