"""Clients that others have written ask the listener where the certificates point.

The CA's front is a process of its own, the revocation a command of its own: good before
it, revoked after.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.pointers import authority_of
from tests.debian import installed
from tests.judges import processes
from tests.judges.verdicts import Judge, Verdict
from tests.pki.builders import ISSUING_PASSPHRASE
from tests.services.documents import enrolment_document, write
from tests.services.proxies.standing import free_ports
from tests.services.published import Told, founded


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """Return a CA whose front is a process, and the certificates as files."""
    told = founded(tmp_path)
    house = told.house
    (port,) = free_ports(1)
    document = enrolment_document(
        port=port,
        identity=str(house.instance("enrolment").current),
        ca=str(house.layout.directory),
        issuing_passphrase=str(house.passphrase),
        publication={"port": port_of(told), "path": "/pki"},
    )
    for name, certificate in {
        "root": house.root,
        "issuing": house.issuing,
        "leaf": told.orders.generation.certificate,
    }.items():
        pem = certificate.public_bytes(Encoding.PEM)
        (tmp_path / f"{name}.pem").write_bytes(pem)
    both = (tmp_path / "issuing.pem").read_text() + (tmp_path / "root.pem").read_text()
    (tmp_path / "chain.pem").write_text(both)
    (tmp_path / "front").mkdir()
    config = write(tmp_path / "front", document)
    command = processes.service(config)
    with processes.running(command, tmp_path / "log", port=port), told.client:
        yield told


def port_of(told: Told) -> int:
    """Return the port of the listener without TLS."""
    assert told.config.publication
    return told.config.publication.port


def run(told: Told, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a judge among the files."""
    return subprocess.run(
        command,
        cwd=told.house.directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def revoke(told: Told) -> None:
    """Revoke the certificate as a person does."""
    reading, writing = os.pipe()
    os.write(writing, ISSUING_PASSPHRASE)
    os.close(writing)
    command = [*processes.service(Path())[:2], "pki", "revoke"]
    subprocess.run(
        [
            *command,
            *("--directory", str(told.house.layout.directory)),
            *("--identity", "orders@localhost", "--reason", "keyCompromise"),
            *("--issuing-passphrase-fd", str(reading)),
        ],
        pass_fds=[reading],
        check=True,
        capture_output=True,
    )
    os.close(reading)


def version(told: Told, *command: str) -> str:
    """Return the second word of what a program says of itself."""
    return run(told, *command).stdout.split()[1]


def test_openssl_asks_the_responder(told: Told, verdict: Verdict) -> None:
    """With a nonce and without, by the URL that stands in the certificate."""
    openssl = processes.program("openssl")

    def ask(*options: str) -> str:
        done = run(
            told,
            *(openssl, "ocsp", "-issuer", "issuing.pem", "-cert", "leaf.pem"),
            *("-CAfile", "chain.pem", "-url", told.pointers(told.orders).ocsp),
            *options,
        )
        assert "Response verify OK" in done.stderr, done.stderr
        return done.stdout

    assert "leaf.pem: good" in ask("-nonce")
    assert "leaf.pem: good" in ask("-no_nonce")
    revoke(told)
    for option in ("-nonce", "-no_nonce"):
        said = ask(option)
        assert "leaf.pem: revoked" in said
        assert "Reason: keyCompromise" in said
    judge = Judge("OpenSSL", version(told, "openssl", "version"))
    verdict(judge, accepted="good, by -url", refused="revoked, by -url")


def fetch(told: Told, url: str, name: str) -> None:
    """Fetch a list with curl, once whole and then not again while it is the same."""
    curl = processes.program("curl")
    options = (curl, "--disable", "--silent", "--noproxy", "*", "--output", name)
    tag = ("--etag-save", f"{name}.tag", "--etag-compare", f"{name}.tag")
    status = ("--write-out", "%{http_code} %{content_type}")
    first = run(told, *options, *tag, *status, url)
    assert first.stdout == "200 application/pkix-crl", first
    # curl empties the file it is told to write to, whatever the answer.
    again = run(told, *options[:-1], f"{name}.again", *tag, *status, url)
    assert again.stdout.startswith("304"), again


def test_openssl_checks_lists_that_curl_fetches(told: Told, verdict: Verdict) -> None:
    """From the URL in the certificate; curl gets nothing twice, and the new list."""
    openssl = processes.program("openssl")
    root = f"{told.url}/crl/{authority_of(told.house.root)}/full.crl"
    fetch(told, root, "root.crl")

    def check() -> str:
        fetch(told, told.pointers(told.orders).crl, "leaf.crl")
        for name in ("leaf", "root"):
            made = (openssl, "crl", "-inform", "DER", "-in", f"{name}.crl")
            assert run(told, *made, "-out", f"{name}.crl.pem").returncode == 0
        done = run(
            told,
            *(openssl, "verify", "-x509_strict", "-crl_check_all"),
            *("-extended_crl", "-CAfile", "root.pem", "-untrusted", "issuing.pem"),
            *("-CRLfile", "leaf.crl.pem", "-CRLfile", "root.crl.pem", "leaf.pem"),
        )
        return done.stdout + done.stderr

    assert "leaf.pem: OK" in check()
    revoke(told)
    assert "certificate revoked" in check()
    judge = Judge("curl", version(told, "curl", "--version"))
    verdict(judge, accepted="lists, by their URL, and 304")


def test_gnutls_asks_and_checks(told: Told, verdict: Verdict) -> None:
    """The one finds the responder by the certificate, the other takes the list."""
    package = installed("gnutls-bin", Path("/usr/bin/ocsptool"))
    full = f"{told.url}/crl/{authority_of(told.house.issuing)}/full.crl"
    chain = [(told.house.directory / f"{one}.pem") for one in ("leaf", "issuing")]
    content = "".join(one.read_text() for one in chain)
    (told.house.directory / "whole.pem").write_text(content)

    def check() -> tuple[str, str]:
        fetch(told, full, "full.crl")
        made = ("openssl", "crl", "-inform", "DER", "-in", "full.crl")
        assert run(told, *made, "-out", "full.crl.pem").returncode == 0
        asked = run(
            told,
            *("ocsptool", "--ask", "--load-cert", "leaf.pem", "--load-issuer"),
            *("issuing.pem", "--load-trust", "root.pem"),
        )
        verified = run(
            told,
            *("certtool", "--verify", "--load-ca-certificate", "root.pem"),
            *("--load-crl", "full.crl.pem", "--infile", "whole.pem"),
        )
        return asked.stdout + asked.stderr, verified.stdout

    answer, chained = check()
    assert "Certificate Status: good" in answer, answer
    assert "Chain verification output: Verified" in chained
    revoke(told)
    answer, chained = check()
    assert "Certificate Status: revoked" in answer, answer
    assert "The certificate chain is revoked" in chained
    verdict(
        Judge("GnuTLS", package), accepted="good, by ocsptool", refused="revoked, by it"
    )


def test_the_issuer_is_found_by_the_certificate(told: Told, verdict: Verdict) -> None:
    """Curl fetches it, OpenSSL reads it as DER and verifies the leaf with it."""
    curl = processes.program("curl")
    place = told.pointers(told.orders).ca_issuers
    run(told, curl, "--disable", "--silent", "--noproxy", "*", "-o", "got.cer", place)
    got = x509.load_der_x509_certificate(
        (told.house.directory / "got.cer").read_bytes()
    )
    assert got == told.house.issuing
    made = ("openssl", "x509", "-inform", "DER", "-in", "got.cer", "-out", "got.pem")
    assert run(told, *made).returncode == 0
    verify = ("openssl", "verify", "-CAfile", "root.pem", "-untrusted", "got.pem")
    assert run(told, *verify, "leaf.pem").stdout == "leaf.pem: OK\n"
    judge = Judge("curl", version(told, "curl", "--version"))
    verdict(judge, accepted="the issuer's certificate")
