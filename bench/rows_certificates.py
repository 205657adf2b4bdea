"""Rows about certificates: issued, in ledgers of any size, and revoked."""

import gc
import json
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bench.authority import BATCH, Authority, csr
from bench.contestants import Contestant, free_port, running
from bench.rounds import AbsentError, Goal, Row, Sample
from pki import clock, withdrawal
from pki.entry import Reason
from pki.policy import read_policy
from pki.profile import SERVICE
from tests import debian

_ROUND = 5  # batches
_PAST = 100_000
_WITHDRAWN = 64  # more than there will be rounds


def rows(size: int) -> Iterator[Row]:
    """Yield the rows; the largest ledger has `size` certificates in it."""
    with tempfile.TemporaryDirectory(prefix="certbound-bench-") as directory:
        home = Path(directory)
        yield from _issuing(home)
        yield _sizes(home, size)
        yield _revoking(home)


def _issuing(home: Path) -> Iterator[Row]:
    durable = Authority(home / "durable")
    answered = Authority(home / "answered", shards=16)
    bare = _Bare(durable)
    ways = {
        "durable ledger": _issued_by(durable),
        "cryptography alone": bare.round,
        "with OCSP answers": _issued_by(answered),
    }
    with _cfssl(home) as cfssl:
        yield Row(
            name=f"certificates issued, batches of {BATCH}",
            unit="certificates per second of CPU",
            ways={**ways, "cfssl, SQLite": cfssl},
            goals=[
                Goal(against="cryptography alone", ratio=0.75),
                Goal(against="cfssl, SQLite", ratio=3.0),
            ],
        )


def _sizes(home: Path, size: int) -> Row:
    ways = {}
    for past in (size, size // 10, 0):
        ways[f"{past:,} in the ledger"] = _issued_beside(home / f"past-{past}", past)
    names = list(ways)
    return Row(
        name="certificates issued, by what the ledger holds",
        unit="certificates per second of CPU",
        ways=ways,
        goals=[Goal(against=name, ratio=0.9) for name in names[1:]],
    )


def _issued_beside(directory: Path, past: int) -> Callable[[], Sample]:
    @cache
    def filled() -> Callable[[], Sample]:
        authority = Authority(directory)
        authority.fill(past)
        return _issued_by(authority)

    def issue() -> Sample:
        return filled()()

    return issue


def _revoking(home: Path) -> Row:
    waiting = iter(range(_WITHDRAWN))

    @cache
    def filled() -> Authority:
        authority = Authority(home / "revoking", identities=_WITHDRAWN, shards=128)
        authority.fill(_PAST, revoked=True)
        authority.issue(authority.requests())
        take_back(authority)  # makes the lists of all that
        take_back(authority)
        return authority

    def take_back(authority: Authority) -> None:
        withdrawal.revoke(
            authority.layout,
            withdrawal.Target(identity=f"service-{next(waiting)}@localhost"),
            reason=Reason.KEY_COMPROMISE,
            keyring=authority.keyring,
            run_id="measurement",
        )

    def revoke() -> Sample:
        authority = filled()
        began = time.process_time()
        take_back(authority)
        return Sample(figure=(time.process_time() - began) * 1000)

    limit = Sample(figure=50.0)
    return Row(
        name=f"one revocation, {_PAST:,} revoked, 128 shards: until it is published",
        unit="ms of CPU",
        ways={"revoke": revoke, "the limit": lambda: limit},
        goals=[Goal(against="the limit", ratio=1.0, sense="at most")],
    )


def _issued_by(authority: Authority) -> Callable[[], Sample]:
    def issue() -> Sample:
        batches = [authority.requests() for _ in range(_ROUND)]
        gc.collect()
        began, cpu = time.perf_counter(), time.process_time()
        for batch in batches:
            authority.issue(batch)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - began
        return Sample(figure=_ROUND * BATCH / cpu, wall=_ROUND * BATCH / wall)

    return issue


class _Bare:
    """The same certificates by the library's builder: no ledger, policy, lint or lock.

    What is the same in all of them is made once, as anybody would who signs many.
    """

    def __init__(self, authority: Authority) -> None:
        issuing = authority.layout.certificate("issuing").read_bytes()
        self._issuer = x509.load_pem_x509_certificate(issuing)
        self._key = authority.keyring.open("issuing", self._issuer)
        policy = read_policy(authority.layout.policy.read_bytes())
        entitlement = policy.identities["service-0@localhost"]
        self._lifetime = entitlement.lifetime
        by = self._issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        authority_key = x509.AuthorityKeyIdentifier
        self._extensions: list[tuple[x509.ExtensionType, bool]] = [
            (SERVICE.basic_constraints, True),
            (SERVICE.usages, True),
            (authority_key.from_issuer_subject_key_identifier(by.value), False),
            (x509.ExtendedKeyUsage(SERVICE.extended_key_usage), False),
            (x509.SubjectAlternativeName(entitlement.names.as_general_names()), True),
        ]

    def round(self) -> Sample:
        """Sign as many as the others do in a round."""
        requests = [csr() for _ in range(_ROUND * BATCH)]
        gc.collect()
        began = time.process_time()
        for text in requests:
            self._sign(text)
        return Sample(figure=len(requests) / (time.process_time() - began))

    def _sign(self, text: str) -> bytes:
        request = x509.load_pem_x509_csr(text.encode())
        key = request.public_key()
        assert request.is_signature_valid
        assert isinstance(key, ec.EllipticCurvePublicKey)
        now = clock.utc_now()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._issuer.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + self._lifetime)
        )
        own = x509.SubjectKeyIdentifier.from_public_key(key)
        for value, critical in (*self._extensions, (own, False)):
            builder = builder.add_extension(value, critical=critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


@contextmanager
def _cfssl(home: Path) -> Iterator[Callable[[], Sample]]:
    """Yield what has cfssl sign."""
    program = debian.program("cfssl", "golang-cfssl", serves=False)
    reader = shutil.which("cfssljson")
    if program is None or reader is None:
        yield _absent
        return
    directory = home / "cfssl"
    directory.mkdir()
    _found(program, reader, directory)
    port = free_port()
    command = [
        *(program, "serve", "-address", "127.0.0.1", "-port", str(port)),
        *("-ca", str(directory / "ca.pem"), "-ca-key", str(directory / "ca-key.pem")),
        *("-config", str(directory / "config.json")),
        *("-db-config", str(directory / "db.json"), "-loglevel", "4"),
    ]
    with (
        running("cfssl", command, port=port, log=home / "cfssl.log") as server,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield _signed_by(server, client)


def _absent() -> Sample:
    raise AbsentError("Debian's golang-cfssl is not installed")


def _signed_by(server: Contestant, client: httpx.Client) -> Callable[[], Sample]:
    def sign() -> Sample:
        # One at a time is all that it takes: it has no batches.
        requests = [csr() for _ in range(2 * BATCH)]
        before = server.cpu()
        for text in requests:
            answer = client.post(
                "/api/v1/cfssl/sign",
                json={"certificate_request": text, "hosts": ["orders.shop.internal"]},
            )
            answer.raise_for_status()
        return Sample(figure=len(requests) / (server.cpu() - before))

    return sign


def _found(program: str, read: str, directory: Path) -> None:
    """Make cfssl a CA with a P-256 key, and its database."""
    asked = {"CN": "cfssl", "key": {"algo": "ecdsa", "size": 256}}
    made = subprocess.run(
        [program, "gencert", "-initca", "-"],
        input=json.dumps(asked).encode(),
        capture_output=True,
        check=True,
    )
    subprocess.run(
        [read, "-bare", str(directory / "ca")], input=made.stdout, check=True
    )
    profile = {"expiry": "24h", "usages": ["digital signature", "server auth"]}
    config = {"signing": {"default": profile | {"ca_constraint": {"is_ca": False}}}}
    (directory / "config.json").write_text(json.dumps(config))
    database = directory / "certificates.sqlite"
    source = {"driver": "sqlite3", "data_source": str(database)}
    (directory / "db.json").write_text(json.dumps(source))
    with sqlite3.connect(database) as connection:
        connection.executescript(_SCHEMA)


# Of cfssl's own migration for SQLite; its Debian package leaves the file out.
_SCHEMA = """
CREATE TABLE certificates (
  serial_number blob NOT NULL, authority_key_identifier blob NOT NULL,
  ca_label blob, status blob NOT NULL, reason int, expiry timestamp,
  revoked_at timestamp, pem blob NOT NULL,
  PRIMARY KEY(serial_number, authority_key_identifier));
CREATE TABLE ocsp_responses (
  serial_number blob NOT NULL, authority_key_identifier blob NOT NULL,
  body blob NOT NULL, expiry timestamp,
  PRIMARY KEY(serial_number, authority_key_identifier));
"""
