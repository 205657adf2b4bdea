"""A CA and one identity, driven by the modules' own functions and no playbook."""

import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.certbound.kit.plugins.module_utils.generation import install
from ansible_collections.certbound.kit.plugins.module_utils.identity import (
    Paths,
    Present,
    Wanted,
    examine,
)
from ansible_collections.certbound.kit.plugins.module_utils.openssl import Certificate
from ansible_collections.certbound.kit.plugins.modules.authority import (
    ensure_authority,
)
from ansible_collections.certbound.kit.plugins.modules.identity_issue import issue
from ansible_collections.certbound.kit.plugins.modules.identity_request import request
from ansible_collections.certbound.kit.plugins.plugin_utils.passphrases import (
    ISSUING,
    ROOT,
    ensure,
)

PROJECT = Path(__file__).parents[2]
DAY = 86400
PASSPHRASES = (ROOT, ISSUING)
NOTHING_WANTED = Wanted()
SPIFFE_ID = "spiffe://shop.internal/service/orders"


@dataclass
class Enrolling:
    """What the three modules are given, and their three steps."""

    root: Path
    dns_names: list[str] = field(
        default_factory=lambda: ["orders.shop.internal", "localhost"]
    )
    lifetime: int = DAY

    @property
    def identity(self) -> dict[str, Any]:
        """The identity as a host knows it."""
        return {
            "identity": "orders@localhost",
            "spiffe_id": SPIFFE_ID,
            "dns_names": self.dns_names,
            "lifetime": self.lifetime,
            "directory": str(self.root / "services" / "orders"),
            "owner": None,
        }

    @property
    def paths(self) -> Paths:
        """Where its files lie."""
        return Paths(self.identity["directory"])

    @property
    def ca(self) -> dict[str, Any]:
        """The parameters of the modules that ask the CA."""
        names = ("identity", "directory", "owner")
        named = {k: v for k, v in self.identity.items() if k not in names}
        return {
            "command": [sys.executable, "-m", "pki"],
            "chdir": str(PROJECT),
            "directory": str(self.root / "ca"),
            **self._held(),
            "run_id": "test",
            "policy": {
                "trust_domain": "shop.internal",
                "permitted_dns": ["shop.internal", "localhost"],
                "lifetimes": {"root": 3650 * DAY, "issuing_ca": 180 * DAY},
                "identities": {"orders@localhost": named},
            },
        }

    def passphrase_file(self, name: str) -> Path:
        """Where the controller keeps a passphrase."""
        return self.root / "secrets" / name.replace("_", "-")

    def _held(self) -> dict[str, str | None]:
        files = {name: self.passphrase_file(name) for name in PASSPHRASES}
        return {
            name: file.read_text().strip() if file.exists() else None
            for name, file in files.items()
        }

    def found(self, *, check: bool = False) -> dict[str, Any]:
        """Have a CA: ask, and again with the passphrases if it wants them."""
        answer = ensure_authority(self.ca, check=check)
        if wanting := answer.get("wanting"):
            for name, sealed in wanting.items():
                ensure(str(self.passphrase_file(name)), sealed=sealed)
            answer = ensure_authority(self.ca, check=check)
        return answer

    def ask(
        self,
        *,
        check: bool = False,
        renew_before: int = 8 * 3600,
        wanted: Wanted = NOTHING_WANTED,
    ) -> dict[str, Any]:
        """Have a key and a request if one is needed."""
        return request(
            self.identity,
            renew_before=renew_before,
            wanted=wanted,
            check=check,
        )

    def look(self, now: int | None = None) -> Present:
        """Return what is there, as seen at another time."""
        return examine(
            self.identity, self.paths, renew_before=0, wanted=NOTHING_WANTED, now=now
        )

    def sign(self, asked: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
        """Have the CA answer one request."""
        return issue({**self.ca, "requests": [asked]}, check=check)

    def install(self, signed: dict[str, Any], *, keep: int = 3) -> Certificate:
        """Install what the CA answered."""
        verdict = signed["results"][0]
        return install(self.identity, verdict, signed["trust_bundle"], keep=keep)

    def renew(self, *, keep: int = 3) -> Certificate:
        """Do all three steps, whatever is left of the present certificate."""
        return self.install(self.sign(self.ask(renew_before=2 * DAY)), keep=keep)


def open_files(root: Path) -> Iterator[Path]:
    """Yield what somebody besides its owner can read, symlinks aside."""
    for path in root.rglob("*"):
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield path
