"""Killed at whatever step, or on a full disk: nothing half-written, the next run heals.

Each test goes through all steps of one thing, twice: with SIGKILL, and with a disk that
is full from there on (which needs root).
"""

import json
import signal
import subprocess
from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from pki import clock
from pki.decision import Verdict
from pki.keys import unseal
from pki.ledger import open_ledger
from pki.ocsp import OcspService
from pki.published import read_published
from pki.witness import check_head, newest_head
from tests.pki.breaking import break_off, entries, serials
from tests.pki.builders import (
    ADDRESSES,
    ISSUING_PASSPHRASE,
    NAMES,
    ROOT_PASSPHRASE,
    Ca,
    alternative,
    csr,
    number,
    policy_document,
)
from tests.pki.builders import serials as serials_of
from tests.pki.command import COMMAND
from tests.pki.crashing import renew
from tests.pki.old_ledger import by_the_first_release

# All that an ordinary run leaves out is in `make crash`.
either = pytest.mark.parametrize("how", ["killed", "full"])
later = pytest.mark.crash
killed_now = pytest.mark.parametrize(
    "how", ["killed", pytest.param("full", marks=pytest.mark.crash)]
)


@killed_now
def test_founding_broken_off_anywhere_is_completed(how: str, place: Path) -> None:
    """Keys that were made are kept, certificates are issued once, all files whole."""
    runs = break_off(how, "found", place)
    assert runs > 40
    for step in range(1, runs + 1):
        ca = Ca.at(place / str(step))
        kept = {
            path.name: path.read_bytes()
            for path in ca.layout.directory.glob("*.sealed")
        }
        _, state = ca.complete()
        assert state.missing == ()
        for name, content in kept.items():
            assert (ca.layout.directory / name).read_bytes() == content
        for purpose, passphrase in (
            ("root", ROOT_PASSPHRASE),
            ("issuing", ISSUING_PASSPHRASE),
        ):
            key = unseal(
                ca.layout.sealed_key(purpose).read_bytes(), passphrase, purpose=purpose
            )
            pem = ca.layout.certificate(purpose).read_bytes()
            certificate = x509.load_pem_x509_certificate(pem)
            assert certificate.public_key() == key.public_key()
        listed = entries(ca)
        assert len(serials(listed, "issued")) == 2
        assert serials(listed, "issued") <= serials(listed, "planned")
        assert not list(ca.layout.directory.glob(".*"))


@later
@either
def test_issuing_broken_off_anywhere_loses_no_serial(how: str, place: Path) -> None:
    """The ledger verifies, and the same batch again is answered in full.

    A certificate that was durable is given again; for one that was not, the plan of
    its serial stays on record.
    """
    services = ["orders", "stock", "billing"]
    requests = [(f"{name}@localhost", csr()) for name in services]
    (place / "requests.json").write_text(json.dumps(requests))
    Ca.found(place / "0", policy_document(services))
    runs = break_off(how, "issue", place, place / "requests.json")
    assert runs > 10
    outcomes = set()
    for step in range(1, runs + 1):
        ca = Ca.at(place / str(step))
        before = entries(ca)
        batch = ca.issue(*requests)
        after = entries(ca)
        assert after[: len(before)] == before
        verdicts = {answer.verdict for answer in batch.answers}
        assert len(verdicts) == 1
        assert verdicts <= {Verdict.ISSUED, Verdict.REUSED}
        for answer in batch.answers:
            assert answer.certificate
            assert f"{answer.certificate.serial_number:x}" in serials(after, "issued")
        assert serials(after, "issued") <= serials(after, "planned")
        unfinished = serials(after, "planned") - serials(after, "issued")
        outcomes.add((len(before), len(unfinished), *verdicts))
    # Before the plan, between plan and certificates, and after both.
    assert outcomes == {
        (4, 0, Verdict.ISSUED),
        (7, 3, Verdict.ISSUED),
        (10, 0, Verdict.REUSED),
    }


@either
def test_revoking_broken_off_anywhere_is_all_or_nothing(how: str, place: Path) -> None:
    """Entry, lists and answers say the same; the next run completes it."""
    ca = Ca.found(place / "0", policy_document(addresses=ADDRESSES))
    certificates = [ca.one() for _ in range(2)]
    ca.one("stock@localhost")
    wanted = {certificate.serial_number for certificate in certificates}
    runs = break_off(how, "revoke", place)
    assert runs > 15
    outcomes = set()
    for step in range(1, runs + 1):
        ca = Ca.at(place / str(step))
        for again in (False, True):
            if again:
                ca.revoke("orders@localhost")
            listed = serials_of(ca.crl())  # the reader comes first, and cannot write
            revoked = {int(serial, 16) for serial in listed_as(ca, "revoked")}
            assert listed == revoked
            for certificate in certificates:
                serial = certificate.serial_number
                shard = serials_of(ca.crl(ADDRESSES.shard_of(serial)))
                assert (serial in shard) is (serial in revoked)
                assert is_answered_revoked(ca, certificate) is (serial in revoked)
            if not again:
                outcomes.add(len(revoked))
        assert revoked == wanted
        with open_ledger(ca.layout.ledger) as ledger:
            check_head(ledger, newest_head(ledger))
        assert not list(ca.layout.directory.glob(".*"))
    assert outcomes == {0, 2}


def listed_as(ca: Ca, event: str) -> set[str]:
    """Return the serials of a kind in a ledger that verifies."""
    return serials(entries(ca), event)


def is_answered_revoked(ca: Ca, certificate: x509.Certificate) -> bool:
    """Return what the answer in the store says."""
    request = (
        ocsp.OCSPRequestBuilder()
        .add_certificate(certificate, ca.certificate("issuing"), hashes.SHA256())
        .build()
    )
    der = request.public_bytes(serialization.Encoding.DER)
    answered = OcspService(ca.layout).answer(der, now=clock.utc_now())
    assert answered.max_age > 0
    said = ocsp.load_der_ocsp_response(answered.der).certificate_status
    return said is ocsp.OCSPCertStatus.REVOKED


@either
def test_issuing_with_addresses_broken_off_anywhere_tells_of_all(
    how: str, place: Path
) -> None:
    """No certificate is on record without its answers and its list."""
    Ca.found(place / "0", policy_document(addresses=ADDRESSES))
    requests = [(f"{name}@localhost", csr()) for name in ("orders", "stock")]
    (place / "requests.json").write_text(json.dumps(requests))
    runs = break_off(how, "issue", place, place / "requests.json")
    issuer = Ca.at(place / "0").certificate("issuing").subject.rfc4514_string()
    for step in range(1, runs + 1):
        ca = Ca.at(place / str(step))
        for again in (False, True):
            if again:
                batch = ca.issue(*requests)
                assert all(answer.certificate for answer in batch.answers)
            issued = [
                entry
                for entry in entries(ca)
                if entry.event == "issued" and "@" in entry.identity
            ]
            with read_published(ca.layout.ledger) as published:
                for entry in issued:
                    assert published.answer(issuer, entry.serial, "sha256")
                    assert published.answer(issuer, entry.serial, "sha1")
            if issued:
                assert number(ca.crl("full")) == number(ca.crl("3"))


@later
@either
def test_upgrade_broken_off_anywhere_is_completed(how: str, place: Path) -> None:
    """A ledger of the first release is one of the second, or untouched."""
    (place / "0").mkdir()
    by_the_first_release(Ca.at(place / "0").layout.ledger)
    runs = break_off(how, "upgrade", place)
    assert runs > 15
    for step in range(1, runs + 1):
        assert len(entries(Ca.at(place / str(step)))) == 2


@either
def test_renewing_broken_off_anywhere_loses_no_certificate(
    how: str, place: Path
) -> None:
    """Who renews asks again with the same key, and gets what the ledger has of it."""
    before = place / "0"
    before.mkdir()
    ca = Ca.found(before / "ca", policy_document(addresses=ADDRESSES))
    pem = ca.one().public_bytes(serialization.Encoding.PEM)
    (before / "present.pem").write_bytes(pem)
    (before / "passphrase").touch(mode=0o600)
    (before / "passphrase").write_bytes(ISSUING_PASSPHRASE)
    text = csr(extensions=[alternative(*NAMES.as_general_names())])
    (place / "requests.json").write_text(json.dumps([("orders@localhost", text)]))
    runs = break_off(how, "renew", place, place / "requests.json")
    assert runs > 15
    issued = set()
    for step in range(1, runs + 1):
        ca = Ca.at(place / str(step) / "ca")
        earlier = entries(ca)
        certificate = renew(text, place / str(step))
        listed = entries(ca)
        assert listed[: len(earlier)] == earlier
        known = [entry for entry in listed if entry.event == "issued"]
        assert known[-1].certificate == encoded(certificate)
        assert len(serials(listed, "superseded")) == 1
        issued.add(len(known) - len(serials(earlier, "issued")))
    assert issued == {0, 1}


def encoded(certificate: x509.Certificate) -> str:
    """Return it as an entry of the ledger holds it."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    return b64encode(der).decode()


@later
@either
def test_publishing_broken_off_anywhere_leaves_whole_lists(
    how: str, place: Path
) -> None:
    """What is half through its life is made anew, and all of it or nothing."""
    ca = Ca.found(place / "0", policy_document(addresses=ADDRESSES))
    ca.one()
    later = clock.utc_now() + timedelta(hours=14)
    runs = break_off(how, "publish", place)
    assert runs > 15
    made = set()
    for step in range(1, runs + 1):
        ca = Ca.at(place / str(step))
        entries(ca)
        made.add((number(ca.crl("full")), number(ca.crl("0"))))
        ca.publish(now=lambda: later)
        assert ca.publish(now=lambda: later).changed is False
    assert len(made) == 2


def test_killed_command_is_run_again(place: Path) -> None:
    """The real command with 200 requests, killed as soon as the plan is durable."""
    services = [f"service-{number}" for number in range(200)]
    ca = Ca.found(place / "ca", policy_document(services))
    requests = [(f"{name}@localhost", csr()) for name in services]
    document = {"requests": [{"identity": who, "csr": text} for who, text in requests]}
    (place / "requests.json").write_text(json.dumps(document))
    (place / "passphrase").write_bytes(ISSUING_PASSPHRASE)
    with (
        (place / "requests.json").open("rb") as given,
        (place / "passphrase").open("rb") as passphrase,
    ):
        process = subprocess.Popen(
            [
                *(*COMMAND, "issue", "--directory", str(ca.layout.directory)),
                *("--issuing-passphrase-fd", str(passphrase.fileno())),
            ],
            stdin=given,
            stdout=subprocess.PIPE,
            pass_fds=[passphrase.fileno()],
        )
        while process.poll() is None and len(entries(ca)) == 4:
            pass
        process.send_signal(signal.SIGKILL)
        process.communicate()
    planned = serials(entries(ca), "planned")
    assert len(planned) == 202
    batch = ca.issue(*requests)
    assert all(answer.certificate for answer in batch.answers)
    after = entries(ca)
    assert planned <= serials(after, "planned")
    assert serials(after, "issued") <= serials(after, "planned")
