"""Two machines for ceremonies: the CA's host, and an offline one with its desk."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pki import clock
from pki.ceremony import asking, hall, result, taking
from pki.ceremony.plan import read_plan
from pki.ceremony.root_keys import People
from pki.layout import Layout
from pki.ledger import open_ledger
from pki.present import certificates
from tests.pki.builders import CHEAP, ISSUING_PASSPHRASE, policy

FIRST, SECOND = b"passphrase of the first person", b"another of the second one"
YEAR = 31_536_000


def no_passphrase() -> bytes:
    """Fail where no passphrase may be asked for."""
    pytest.fail("a passphrase was asked for")


NOBODY = People(first=no_passphrase, second=no_passphrase)


@dataclass(frozen=True)
class Two:
    """The CA's host, and the offline machine with its desk."""

    online: Layout
    offline: Layout
    desk: Path

    def ask(self, document: dict[str, Any] | None = None) -> dict[str, str]:
        """Carry a request to the desk; return the step that certifies it."""
        text, _ = asking.ask(
            self.online,
            policy(document),
            passphrase=lambda: ISSUING_PASSPHRASE,
            cost=CHEAP,
        )
        name = f"request-{hashlib.sha256(text).hexdigest()[:8]}.json"
        (self.desk / name).write_bytes(text)
        digest = hashlib.sha256(text).hexdigest()
        return {"type": "certify", "request": name, "sha256": digest}

    def carried(self, path: Path) -> dict[str, str]:
        """Carry a rotation's request to the desk; return the step that certifies it."""
        text = path.read_bytes()
        (self.desk / path.name).write_bytes(text)
        digest = hashlib.sha256(text).hexdigest()
        return {"type": "certify", "request": path.name, "sha256": digest}

    def hold(
        self,
        name: str,
        *steps: dict[str, Any],
        people: People | None = None,
        now: Callable[[], datetime] = clock.utc_now,
        root: x509.Certificate | None = None,
    ) -> hall.Outcome:
        """Hold a ceremony on the offline machine; the plan may name a root."""
        named = {"root": result.fingerprint(root)} if root else {}
        return hall.perform(
            self.offline,
            read_plan(plan_text(name, *steps, **named)),
            beside=self.desk,
            people=people or People(first=lambda: FIRST, second=lambda: SECOND),
            now=now,
            cost=CHEAP,
        )

    def take(self, held: hall.Outcome, root: str | None = None) -> taking.Taken:
        """Carry a result to the CA's host."""
        return taking.take(
            self.online,
            held.path.read_bytes(),
            root_sha256=root or result.fingerprint(held.result.root),
            run_id="taking",
        )

    def listed(self) -> dict[str, int]:
        """Return the number of each root's list on the CA's host."""
        with open_ledger(self.online.ledger) as ledger:
            found = {
                authority: ledger.published.crl(authority, "full")
                for authority in certificates(ledger, "root")
            }
        return {authority: crl.number for authority, crl in found.items() if crl}


def plan_text(name: str, /, *steps: dict[str, Any], **changes: Any) -> bytes:
    """Return a plan with these steps."""
    plan = {
        "format": "certbound-ceremony-plan",
        "version": 1,
        "name": name,
        "trust_domain": "shop.internal",
        "people": ["Ada Lang", "Ben Stern"],
        "steps": list(steps),
    }
    return json.dumps(plan | changes).encode()


MAKE_ROOT = {"type": "make-root", "lifetime": 10 * YEAR}
UPDATE_ROOT = {
    "type": "update-root",
    "lifetime": 10 * YEAR,
    "new_with_old": 3 * YEAR,
    "old_with_new": YEAR // 52,
}
