"""A load beside a roll-out, and what came of it (`calling`)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.playbooks import calling
from tests.playbooks.rolling import Rolling
from tests.services.mesh import until

CALLERS = ("storefront", "orders")


@dataclass
class Load:
    """What has been called; known when the load has ended."""

    requests: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def add(self, told: dict[str, Any]) -> None:
        """Take what one caller has told."""
        self.requests += told["requests"]
        for failure, count in told["failures"].items():
            self.failures[failure] = self.failures.get(failure, 0) + count

    def __str__(self) -> str:
        failed = sum(self.failures.values())
        return f"{self.requests} requests, {failed} failed"


@contextmanager
def load(rolling: Rolling) -> Iterator[Load]:
    """Call services while the context lasts; then see what came of it."""
    out = rolling.base / "load.json"
    beside = {end: out.with_name(f"load.json.{end}") for end in ("began", "stop")}
    for path in (out, *beside.values()):
        path.unlink(missing_ok=True)
    configs = [rolling.root / "services" / name / "config.json" for name in CALLERS]
    with (rolling.base / "load.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, calling.__file__, str(out), *map(str, configs)],
            env=os.environ | {"PYTHONPATH": str(rolling.base / "project")},
            stderr=log,
        )
    found = Load()
    try:
        until(beside["began"].exists, 30)
        yield found
        beside["stop"].touch()
        assert process.wait(30) == 0, (rolling.base / "load.log").read_text()
    finally:
        process.kill()
        process.wait()
    found.add(json.loads(Path(out).read_text()))
    print(f"under load: {found}")  # noqa: T201 - the count is what this is for
