"""Clients of EST that others have written renew a certificate here (RFC 7030).

curl and OpenSSL do by hand what a client does; strongSwan's `pki` is a client.
"""

import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.debian import installed
from tests.judges import processes
from tests.judges.verdicts import Judge, Verdict
from tests.services.authority import Authority, Front, enrolment
from tests.services.mesh import Instance, serve

NAMES = "DNS:orders.shop.internal,DNS:localhost"
URI = "spiffe://shop.internal/service/orders"


@pytest.fixture
def house(tmp_path: Path) -> Authority:
    """Return a CA of its own."""
    return Authority(tmp_path)


@pytest.fixture
def orders(house: Authority) -> Instance:
    """Return an instance whose certificate is 20 of its 24 hours old."""
    return house.instance("orders", age=timedelta(hours=20))


@pytest.fixture
def front(house: Authority, orders: Instance, tmp_path: Path) -> Iterator[Front]:
    """Return the CA's front."""
    with enrolment(house, serve, tmp_path) as running:
        yield running


def run(
    *command: str | Path, given: bytes = b"", environment: dict[str, str] | None = None
) -> bytes:
    """Return what a command says, which must succeed."""
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return done.stdout


def requested(directory: Path, names: str = f"{NAMES},URI:{URI}") -> Path:
    """Make a key and a request with OpenSSL, and return the request in DER."""
    key, request = directory / "new.key", directory / "new.req"
    curve = "ec_paramgen_curve:P-256"
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", key)
    configuration = directory / "request.cnf"
    configuration.write_text(
        "[req]\nprompt=no\ndistinguished_name=dn\nreq_extensions=wanted\n[dn]\n"
        f"[wanted]\nsubjectAltName=critical,{names}\n"
    )
    command = ("openssl", "req", "-new", "-subj", "/", "-config", configuration)
    run(*command, "-key", key, "-outform", "DER", "-out", request)
    return request


def curl(front: Front, caller: Instance, operation: str, *options: str | Path) -> bytes:
    """Return the body of an answer, with its status in a last line."""
    program = processes.program("curl")
    current = caller.current
    return run(
        *(program, "--disable", "--silent", "--show-error", "--noproxy", "*"),
        *("--cert", current / "certificate.pem", "--key", current / "key.pem"),
        *("--cacert", current / "bundle.pem", "--write-out", "\n%{http_code}"),
        *options,
        f"{front.url}/{operation}",
    )


def certificates(answer: bytes) -> bytes:
    """Return in PEM what OpenSSL finds in an answer of EST."""
    body, _, status = answer.rpartition(b"\n")
    assert status == b"200", answer
    der = run("openssl", "base64", "-d", "-A", given=body)
    return run(*("openssl", "pkcs7", "-inform", "DER", "-print_certs"), given=der)


@pytest.fixture(scope="module")
def by_hand() -> Judge:
    """Return curl and OpenSSL."""
    version = run("openssl", "version").decode().split()[1]
    curl = run(processes.program("curl"), "--version").decode().split()[1]
    return Judge("curl and OpenSSL", f"{curl}, {version}")


def test_curl_and_openssl_renew(
    front: Front,
    orders: Instance,
    tmp_path: Path,
    by_hand: Judge,
    verdict: Verdict,
) -> None:
    """Key, request, answer and chain: nothing but their commands."""
    body = tmp_path / "body"
    body.write_bytes(run("openssl", "base64", "-in", requested(tmp_path)))
    post = ("--header", "Content-Type: application/pkcs10", "--data-binary", f"@{body}")
    renewed = tmp_path / "renewed.pem"
    renewed.write_bytes(certificates(curl(front, orders, "simplereenroll", *post)))
    chain = tmp_path / "chain.pem"
    chain.write_bytes(certificates(curl(front, orders, "cacerts")))
    root = orders.current / "bundle.pem"
    run(
        *("openssl", "verify", "-x509_strict", "-purpose", "sslclient"),
        *("-CAfile", root, "-untrusted", chain, renewed),
    )
    certified = run("openssl", "x509", "-in", renewed, "-noout", "-pubkey")
    assert certified == run("openssl", "pkey", "-in", tmp_path / "new.key", "-pubout")
    verdict(by_hand, accepted="EST renewal and CA certificates")


def test_curl_is_refused_for_other_names(
    front: Front, orders: Instance, tmp_path: Path, by_hand: Judge, verdict: Verdict
) -> None:
    """The answer is a line that a person understands."""
    body = tmp_path / "body"
    request = requested(tmp_path, f"{NAMES},DNS:stock.shop.internal,URI:{URI}")
    body.write_bytes(run("openssl", "base64", "-in", request))
    post = ("--header", "Content-Type: application/pkcs10", "--data-binary", f"@{body}")
    answer = curl(front, orders, "simplereenroll", *post)
    assert answer.endswith(b"\n403")
    assert answer.startswith(b"other_names: subject and names must be")
    verdict(by_hand, refused="EST renewal for other names")


@pytest.fixture(scope="module")
def strongswan() -> Judge:
    """Return strongSwan's client, with the plugins that know elliptic curves."""
    version = installed("strongswan-pki", Path("/usr/bin/pki"))
    plugin = Path("/usr/lib/ipsec/plugins/libstrongswan-openssl.so")
    installed("libstrongswan-standard-plugins", plugin)
    return Judge("strongSwan pki", version)


def pki(directory: Path, *arguments: str | Path, given: bytes = b"") -> bytes:
    """Run strongSwan's tool, which is to speak TLS 1.3."""
    configuration = directory / "strongswan.conf"
    configuration.write_text("libtls {\n  version_max = 1.3\n}\n")
    environment = {"STRONGSWAN_CONF": str(configuration)}
    return run("/usr/bin/pki", *arguments, given=given, environment=environment)


def est(front: Front, orders: Instance, directory: Path) -> bytes:
    """Return what strongSwan gets for a request of OpenSSL's; `--estca` has no mTLS."""
    return pki(
        directory,
        *("--est", "--url", front.running.url, "--in", requested(directory)),
        *("--cacert", orders.current / "bundle.pem"),
        *("--cacert", front.house.layout.certificate("issuing")),
        *("--cert", orders.current / "certificate.pem"),
        *("--key", orders.current / "key.pem", "--outform", "pem"),
    )


def test_strongswan_renews(
    front: Front,
    orders: Instance,
    tmp_path: Path,
    strongswan: Judge,
    verdict: Verdict,
) -> None:
    """With old certificate and old key it asks, and checks what it gets."""
    answer = est(front, orders, tmp_path)
    renewed = x509.load_pem_x509_certificate(answer)
    renewed.verify_directly_issued_by(front.house.issuing)
    with front.house.ledger() as ledger:
        newest = ledger.newest_issued("orders@localhost")
    assert newest
    assert newest.serial == format(renewed.serial_number, "x")
    verdict(strongswan, accepted="EST renewal")


def test_strongswan_is_refused_with_an_old_certificate(
    front: Front,
    orders: Instance,
    tmp_path: Path,
    strongswan: Judge,
    verdict: Verdict,
) -> None:
    """What was renewed renews nothing; the tool says that it failed."""
    assert est(front, orders, tmp_path)
    with pytest.raises(AssertionError, match="403"):
        est(front, orders, tmp_path)
    verdict(strongswan, refused="EST renewal by a superseded certificate")
