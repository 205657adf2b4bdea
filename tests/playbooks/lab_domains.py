"""Two trust domains on four Debian hosts, a CA and a host of services each.

    domains = {name: Domain(lab, directory, name) for name in NAMES}
    domains["east"].make_token()
    domains["east"].hold("first-root", MAKE_ROOT, certify(domains["east"].request()))
    domains["east"].play("site")

East keeps its issuing key in a token (SoftHSM), under a root that is offline, on a
machine that is a directory here. West is a CA as `site.yml` makes it. Each has a
catalogue, which calls its own broker, which calls the other's catalogue.
"""

import hashlib
import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.places import HERE
from tests.pki.ceremonies import FIRST, SECOND, plan_text
from tests.pki.command import pki
from tests.pki.tokens import MODULE, PIN
from tests.playbooks.lab_rolling import LabRolling
from tests.playbooks.rolling import PROJECT

NAMES = ("east", "west")
FLEET = HERE / "domains.yml"
CA = "/var/lib/certbound/ca"
TOKENS = "/var/lib/softhsm"  # where Debian's SoftHSM keeps them
_NETWORK = {"east": ("10.78.0.11", "10.78.0.12"), "west": ("10.78.0.21", "10.78.0.22")}
_KEYS = f"  keys: {{ module: {MODULE}, issuing: issuing }}\n"
_TOPOLOGY = """\
version: 1
trust_domain: {own}.test
hosts:
  {own}: {{ address: {at[0]}, dns: {own}.lab.test }}
  {own}-1: {{ address: {at[1]}, dns: {own}-1.lab.test }}
ca:
  host: {own}
  port: 8450
  publication: {{ port: 8451, bound: 30s }}
  bundle: {{ port: 8452 }}
{keys}token_service: {{ hosts: [{own}-1], port: 8440 }}
services:
  broker:
    hosts: [{own}-1]
    port: 8441
    app: services.samples.broker:create_app
    resource: /broker
    scopes: [broker.read]
  catalogue:
    hosts: [{own}-1]
    port: 8442
    app: services.samples.stock:create_app
    resource: /stock
    scopes: [stock.read]
    calls: {{ broker: [broker.read] }}
federation:
  {other}.test:
    bundle: {bundle}
    endpoint: {{ url: "https://{other}.lab.test:8452/bundle" }}
    revocation: {{ url: "http://{other}.lab.test:8451/pki", bound: 30s }}
    token_service: {{ issuer: "https://{other}-1.lab.test:8440" }}
    callers:
      spiffe://{other}.test/service/broker: {{ catalogue: [stock.read] }}
    services:
      their-catalogue:
        url: https://{other}-1.lab.test:8442/stock
        spiffe_id: spiffe://{other}.test/service/catalogue
        audience: https://catalogue.{other}.test
    calls:
      broker: {{ their-catalogue: [stock.read] }}
"""
_BUNDLE = "/etc/certbound-other-domain.json"
_CURRENT = "/var/lib/certbound/services/broker/identity/current"
_TAKEN = "/root/taken"


@dataclass
class Domain(LabRolling):
    """One trust domain, with a controller of its own."""

    name: str = field(kw_only=True)

    def restore(self) -> None:
        """Write the topology."""
        self.write()

    def write(self, **lifetimes: str) -> None:
        """Write the topology, with other lifetimes than usual."""
        (other,) = {*NAMES} - {self.name}
        text = _TOPOLOGY.format(
            own=self.name,
            other=other,
            at=_NETWORK[self.name],
            keys=_KEYS if self.name == "east" else "",
            bundle=_BUNDLE,
        )
        stated = json.dumps(lifetimes)
        self.topology.write_text(f"{text}lifetimes: {stated}\n" if lifetimes else text)

    @property
    def services(self) -> str:
        """The host of the services."""
        return f"{self.name}-1"

    def ca(self, line: str, *, stdin: str = "") -> str:
        """Run a shell's line on the CA's host as the CA's user, with the groups he has.

        `pki` in it is the CA's command.
        """
        command = "/opt/certbound/current/bin/python -I -m pki"
        script = f'pki() {{ {command} "$@"; }}; {line}'
        user = "--reuid=certbound-ca --regid=certbound-ca --init-groups"
        return self.lab.ssh.run(
            self.name, f"sudo setpriv {user} sh -c {shlex.quote(script)}", stdin=stdin
        )

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries of the CA's ledger."""
        told = json.loads(self.ca(f"pki ledger list --directory {CA}"))
        entries: list[dict[str, Any]] = told["entries"]
        return entries

    def make_token(self) -> None:
        """Do what an administrator does once: a token, and who may use it."""
        unit = "/etc/systemd/system/certbound-enrolment.service.d"
        self.lab.ssh.run(
            self.name,
            f"sudo usermod -aG softhsm certbound-ca && sudo mkdir -p {unit} && "
            f"printf '[Service]\\nReadWritePaths={TOKENS}\\n'"
            f" | sudo tee {unit}/token.conf",
        )
        self.ca(
            "softhsm2-util --init-token --free --label issuing"
            f" --pin {shlex.quote(PIN.decode())} --so-pin 'pin of the officer'"
        )
        secrets = self.controller / "secrets"
        secrets.mkdir(parents=True, mode=0o700)
        (secrets / "issuing-passphrase").write_bytes(PIN + b"\n")

    def policy(self) -> dict[str, Any]:
        """Return what the topology has the CA issue, as an administrator sees it."""
        ansible = Path(sys.executable).with_name("ansible-inventory")
        done = subprocess.run(
            [ansible, "-i", self.inventory, "--host", self.name],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        policy: dict[str, Any] = json.loads(done.stdout)["certbound_ca_policy"]
        return policy

    def request(self) -> Path:
        """Have the issuing key made in the token; return what to carry to the root."""
        pin = f"{CA}/pin.once"
        self.ca(f"umask 077; cat > {pin}", stdin=PIN.decode() + "\n")
        self.ca(
            f"pki ceremony request --directory {CA} --pkcs11-module {MODULE}"
            f" --issuing-token issuing --issuing-passphrase-fd 4 4< {pin}; rm {pin}",
            stdin=json.dumps(self.policy()),
        )
        return self.carried("issuing.request.json")

    def carried(self, name: str) -> Path:
        """Return a copy, on the offline machine's desk, of a file of the CA."""
        path = self.base / "desk" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(self.ca(f"cat {CA}/{name}") + "\n")
        return path

    def hold(self, name: str, *steps: dict[str, Any]) -> dict[str, Any]:
        """Hold a ceremony on the offline machine and import its result."""
        desk = self.base / "desk"
        plan = desk / f"{name}.json"
        plan.write_bytes(plan_text(name, *steps, trust_domain=f"{self.name}.test"))
        held = pki(
            *("ceremony", "run", "--directory", self.base / "offline", "--plan", plan),
            passphrases={"first": FIRST, "second": SECOND},
        ).answer
        root = held["read_aloud"]["root"].replace(" ", "")
        told: dict[str, Any] = json.loads(
            self.ca(
                f"pki ceremony import --directory {CA} --root-sha256 {root}",
                stdin=Path(held["path"]).read_text(),
            )
        )
        return told

    def learn(self, bundle: str) -> None:
        """Put another domain's bundle where the topology says, in one step."""
        self.lab.ssh.run(
            self.services,
            f"sudo tee {_BUNDLE}.new >/dev/null && sudo mv {_BUNDLE}.new {_BUNDLE}",
            stdin=bundle,
        )

    def take_broker(self) -> None:
        """Keep key and certificate of the broker, as a thief would."""
        self.lab.ssh.run(
            self.services, f"sudo sh -c 'rm -rf {_TAKEN}; cp -rL {_CURRENT} {_TAKEN}'"
        )

    def knock(self, other: "Domain") -> str:
        """Call the other's catalogue with what was taken; return what it says.

        The token is none, and nobody looks at it before the certificate.
        """
        host = f"{other.services}.lab.test"
        lines = (
            "GET /stock HTTP/1.1",
            f"Host: {host}",
            "Authorization: Bearer x.y.z",
            "Connection: close",
            *("", ""),
        )
        asked = r"\r\n".join(lines)
        shown = f"-cert {_TAKEN}/certificate.pem -key {_TAKEN}/key.pem"
        return self.lab.ssh.attempt(
            self.services,
            f"printf '{asked}' | sudo timeout 10 openssl s_client -quiet -ign_eof"
            f" -connect {host}:8442 {shown} -cert_chain {_TAKEN}/certificate.pem",
        ).stdout

    def published(self) -> str:
        """Return what the CA prints for other domains."""
        return self.ca(f"pki bundle --format spiffe --directory {CA}") + "\n"


def certify(request: Path) -> dict[str, str]:
    """Return the step of a plan that certifies a request."""
    digest = hashlib.sha256(request.read_bytes()).hexdigest()
    return {"type": "certify", "request": request.name, "sha256": digest}


def request_in(said: str) -> str:
    """Return the name of the request that a refusal names."""
    found = re.search(rf"{CA}/(issuing-[0-9a-f]{{40}}\.request\.json)", said)
    assert found, said
    return found[1]


def serials_in(said: str) -> list[str]:
    """Return the serials that a refusal wants revoked."""
    found = re.search(r"have the serials ([0-9a-f, ]+) revoked", said)
    assert found, said
    return found[1].split(", ")
