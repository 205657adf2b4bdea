"""Issue many certificates in a process that is killed at random, again and again.

    python -m tests.pki.enduring DIRECTORY COUNT SEED

DIRECTORY is that of a CA. A child issues one certificate after the other and hands each
out through a pipe; after some milliseconds, drawn from SEED, it gets SIGKILL, wherever
it is. The next one begins with the request that had no answer. When COUNT are handed
out, what the ledger says is held against them. The answer is JSON.
"""

import json
import os
import random
import select
import signal
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from pki.decision import Verdict
from pki.ledger import open_ledger
from tests.pki.builders import Ca, csr

IDENTITIES = 20
_LIFE = 0.1  # seconds, to begin with
_ISSUES_A_LIFE = 8


@dataclass
class Run:
    """What was handed out so far, and how."""

    ca: Ca
    requests: list[tuple[str, str]]
    handed_out: list[str] = field(default_factory=list)  # base64 of DER
    again: int = 0  # of them, what was durable before it could be handed out
    kills: int = 0

    def life(self, seconds: float) -> None:
        """Let a child issue for so long, and take what it hands out."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._issue(writing)
        os.close(writing)
        alive = _until_killed(child, reading, seconds)
        for line in alive:
            verdict, certificate = line.split()
            self.again += verdict == Verdict.REUSED
            self.handed_out.append(certificate)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            self.kills += 1
        elif status:
            sys.exit(f"a child failed: {status}")

    def _issue(self, out: int) -> None:
        for request in self.requests[len(self.handed_out) :]:
            (answer,) = self.ca.issue(request).answers
            if answer.certificate is None:
                os._exit(1)
            encoded = b64encode(answer.certificate.public_bytes(Encoding.DER)).decode()
            os.write(out, f"{answer.verdict} {encoded}\n".encode())
        os._exit(0)


def _until_killed(child: int, reading: int, seconds: float) -> Iterator[str]:
    """Yield the lines that a child writes, and kill it when its time is over."""
    deadline = time.monotonic() + seconds
    received, part = b"", b"-"
    while part:
        left = deadline - time.monotonic()
        if left <= 0 or select.select([reading], [], [], left)[0]:
            if left <= 0:
                os.kill(child, signal.SIGKILL)  # what it wrote is still to be read
            part = os.read(reading, 65536)
            received += part
    os.close(reading)
    # A line that was cut off has reached nobody.
    yield from received.decode().split("\n")[:-1]


def check(run: Run) -> dict[str, int]:
    """Hold the ledger against what was handed out."""
    with open_ledger(run.ca.layout.ledger) as ledger:
        ledger.verify()
        entries = list(ledger.entries())
    of = {
        event: [entry.serial for entry in entries if entry.event == event]
        for event in ("planned", "issued")
    }
    issued = {entry.certificate for entry in entries if entry.event == "issued"}
    assert len(set(run.handed_out)) == len(run.handed_out), "handed out twice"
    assert set(run.handed_out) <= issued, "handed out, and unknown to the ledger"
    for serials in of.values():
        assert len(set(serials)) == len(serials), "a serial was used twice"
    assert set(of["issued"]) <= set(of["planned"]), "issued without a plan"
    hosts = [entry for entry in entries if "@" in entry.identity]
    lost = {entry.certificate for entry in hosts if entry.event == "issued"}
    assert lost == set(run.handed_out), "issued, and handed out to nobody"
    return {
        "handed_out": len(run.handed_out),
        "kills": run.kills,
        "durable_before_a_kill": run.again,
        "plans_without_a_certificate": len(of["planned"]) - len(of["issued"]),
        "entries": len(entries),
    }


def main(directory: Path, count: int, seed: int) -> None:
    """Kill until all are handed out, and say what came of it."""
    chance = random.Random(seed)  # noqa: S311 - moments, no secrets
    requests = [(f"service-{n % IDENTITIES}@localhost", csr()) for n in range(count)]
    run, longest = Run(Ca.at(directory), requests), _LIFE
    while (before := len(run.handed_out)) < count:
        run.life(chance.uniform(0.001, longest))
        # A machine may be quick or busy: some issues a life, and never none for ever.
        longest *= 1.3 if len(run.handed_out) - before < _ISSUES_A_LIFE else 0.8
    print(json.dumps(check(run)))  # noqa: T201 - the answer


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
