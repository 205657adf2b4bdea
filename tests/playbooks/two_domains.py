"""Two topologies with two roots, rolled out side by side, that know of each other.

    domains = two_domains(directory)
    domains["east"].exchange(domains["west"])     # bundles, as an administrator would
    domains["east"].call("catalogue", "broker", "/broker")

Each has a broker, which calls the other's catalogue, and a catalogue, which calls its
own broker.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from pki import keys
from pki.bundle import read_bundle
from pki.identity import SpiffeId
from services.guard.workload import Workload
from services.wire.tls import client_context
from tests.playbooks.rolling import Rolling, Run

_TOPOLOGY = """\
version: 1
trust_domain: {own}.test
hosts:
  localhost: {{ address: 127.0.0.1, dns: localhost }}
ca: {{ host: localhost }}
token_service:
  hosts: [localhost]
  port: {here[0]}
  issuer: https://localhost:{here[0]}
services:
  broker:
    hosts: [localhost]
    port: {here[1]}
    app: services.samples.broker:create_app
    resource: /broker
    scopes: [broker.read]
  catalogue:
    hosts: [localhost]
    port: {here[2]}
    app: services.samples.stock:create_app
    resource: /stock
    scopes: [stock.read]
    calls: {{ broker: [broker.read] }}
federation:
  {other}.test:
    bundle: {bundle}
    token_service: {{ issuer: "https://localhost:{there[0]}" }}
    callers:
      spiffe://{other}.test/service/broker: {{ catalogue: [stock.read] }}
    services:
      their-catalogue:
        url: https://localhost:{there[2]}/stock
        spiffe_id: spiffe://{other}.test/service/catalogue
        audience: https://catalogue.{other}.test
    calls:
      broker: {{ their-catalogue: [stock.read] }}
"""
NAMES = ("east", "west")
PORTS = {"token-service": 0, "broker": 1, "catalogue": 2}


@dataclass
class Domain:
    """One trust domain, rolled out."""

    name: str
    rolling: Rolling

    @property
    def bundle(self) -> Path:
        """The file of the other domain's bundle, on this domain's host."""
        return self.rolling.base / "bundle.json"

    def spiffe_id(self, name: str) -> SpiffeId:
        """Return who a process is."""
        path = f"/{name}" if name == "token-service" else f"/service/{name}"
        return SpiffeId(f"{self.name}.test", path)

    def config(self, name: str) -> Path:
        """Return the document of a process."""
        return self.rolling.root / "services" / name / "config.json"

    def url(self, name: str) -> str:
        """Return the root of a process."""
        return f"https://localhost:{self.rolling.ports[PORTS[name]]}"

    def published(self) -> bytes:
        """Return what the CA prints for other domains."""
        command = [sys.executable, "-m", "pki", "bundle", "--format", "spiffe"]
        done = subprocess.run(
            [*command, "--directory", self.rolling.root / "ca"],
            capture_output=True,
            check=True,
        )
        return done.stdout

    def roots(self) -> list[x509.Certificate]:
        """Return this domain's own roots."""
        path = self.rolling.root / "services/broker/identity/current/bundle.pem"
        return x509.load_pem_x509_certificates(path.read_bytes())

    def learn(self, bundle: bytes) -> None:
        """Put the other domain's bundle where the topology says, in one step."""
        beside = self.bundle.with_suffix(".new")
        beside.write_bytes(bundle)
        beside.rename(self.bundle)

    def call(self, caller: str, callee: str, path: str) -> httpx.Response:
        """Call as one of this domain's services does, by its own document."""

        async def call() -> httpx.Response:
            workload = Workload.load(self.config(caller))
            try:
                return await workload.client(callee).get(path)
            finally:
                await workload.aclose()

        return asyncio.run(call())

    def token(self, caller: str, callee: str) -> str:
        """Return a token as one of this domain's services gets it."""

        async def fetch() -> str:
            workload = Workload.load(self.config(caller))
            seen: list[str] = []

            async def note(request: httpx.Request) -> None:
                seen.append(request.headers["authorization"])

            client = workload.client(callee)
            client.event_hooks["request"].append(note)
            try:
                await client.get("/nowhere")
            finally:
                await workload.aclose()
            return seen[-1].partition(" ")[2]

        return asyncio.run(fetch())

    def forged(self, name: SpiffeId) -> tuple[Path, Path]:
        """Sign a certificate with this domain's CA for any name; return its files.

        It is like the broker's own but for the name: what the CA would never sign, and
        whoever has its key can.
        """
        directory = self.rolling.root
        passphrase = (directory / "secrets/issuing-passphrase").read_bytes().strip()
        sealed = (directory / "ca/issuing.key.sealed").read_bytes()
        signer = keys.unseal(sealed, passphrase, purpose="issuing")
        chain = (
            directory / "services/broker/identity/current/certificate.pem"
        ).read_bytes()
        like, *issuers = x509.load_pem_x509_certificates(chain)
        key = keys.make_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(like.subject)
            .issuer_name(like.issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(minutes=1))
            .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        )
        for extension in like.extensions:
            builder = builder.add_extension(
                _renamed(extension.value, name, key.public_key()),
                critical=extension.critical,
            )
        made = builder.sign(signer, SHA256())
        files = (self.rolling.base / "forged.pem", self.rolling.base / "forged.key")
        pem = [each.public_bytes(Encoding.PEM) for each in (made, *issuers)]
        files[0].write_bytes(b"".join(pem))
        files[1].write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return files

    def asked_with(
        self, name: str, shown: tuple[Path, Path], **request: Any
    ) -> httpx.Response:
        """Ask a process of this domain, showing a certificate from two files."""
        pem = b"".join(root.public_bytes(Encoding.PEM) for root in self.roots())
        trust = read_bundle(f"{self.name}.test", pem).trust
        context = client_context(None, self.spiffe_id(name), trust)
        context.load_cert_chain(*shown)
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.request(url=self.url(name) + request.pop("path"), **request)


def _renamed(value: Any, name: SpiffeId, key: Any) -> Any:
    if isinstance(value, x509.SubjectKeyIdentifier):
        return x509.SubjectKeyIdentifier.from_public_key(key)
    if not isinstance(value, x509.SubjectAlternativeName):
        return value
    dns = [each for each in value if isinstance(each, x509.DNSName)]
    uri = x509.UniformResourceIdentifier(str(name))
    return x509.SubjectAlternativeName([*dns, uri])


@contextmanager
def two_domains(directory: Path) -> Iterator[dict[str, Domain]]:
    """Roll both out at once; whatever happens, leave no process behind."""
    for name in NAMES:
        (directory / name).mkdir()
    domains = {name: Domain(name, Rolling(directory / name)) for name in NAMES}
    for own, other in (NAMES, NAMES[::-1]):
        domains[own].rolling.topology.write_text(
            _TOPOLOGY.format(
                own=own,
                other=other,
                here=domains[own].rolling.ports,
                there=domains[other].rolling.ports,
                bundle=domains[own].bundle,
            )
        )
    try:
        for run in _play(list(domains.values())):
            assert run.returncode == 0, run.said
        yield domains
    finally:
        for domain in domains.values():
            domain.rolling.ours.stop(10)


def _play(domains: Sequence[Domain]) -> list[Run]:
    with ThreadPoolExecutor(len(domains)) as pool:
        return list(
            pool.map(
                lambda one: one.rolling.play("site", "--tags", "enrol,services"),
                domains,
            )
        )


def emptied(bundle: bytes) -> bytes:
    """Return a bundle as it is, without a key in it."""
    return json.dumps(json.loads(bundle) | {"keys": []}).encode()
