"""A load beside a roll-out, and what came of it (`calling`)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.playbooks import calling
from tests.playbooks.lab_rolling import LabRolling
from tests.playbooks.rolling import Rolling
from tests.services.mesh import until

CALLERS = ("storefront", "orders")
IN_THE_LAB = {"storefront-1": "storefront", "orders-1": "orders"}
FEWEST = 300  # requests under which a rotation proves little
_AWAY = "/run/load"  # on a host of the lab
_SECONDS = 60.0  # until a load has begun, or ended


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

    def check(self, what: str) -> None:
        """Say the counts; see that enough was asked for, and all of it answered."""
        failed = sum(self.failures.values())
        print(f"{what}: {self.requests} requests, {failed} failed")  # noqa: T201
        assert not self.failures, self.failures
        assert self.requests > FEWEST, self.requests


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
        until(beside["began"].exists, _SECONDS)
        yield found
        beside["stop"].touch()
        assert process.wait(_SECONDS) == 0, (rolling.base / "load.log").read_text()
    finally:
        process.kill()
        process.wait()
    found.add(json.loads(out.read_text()))


@contextmanager
def lab_load(
    rolling: LabRolling, callers: Mapping[str, str] = IN_THE_LAB
) -> Iterator[Load]:
    """Call services while the context lasts: on each host, as one that runs there."""
    ssh = rolling.lab.ssh
    script = Path(calling.__file__).read_text()
    for host, name in callers.items():
        user = f"certbound-{name}"
        ssh.run(
            host,
            f"sudo rm -rf {_AWAY}; sudo install -d -o {user} -m 0700 {_AWAY};"
            f" sudo tee {_AWAY}/calling.py >/dev/null <<'END'\n{script}\nEND\n"
            f"sudo systemd-run --quiet --collect --unit=load --uid={user} --gid={user}"
            f" /opt/certbound/current/bin/python -I {_AWAY}/calling.py {_AWAY}/out"
            f" /var/lib/certbound/services/{name}/config.json",
        )

    def there(host: str, name: str) -> bool:
        return not ssh.attempt(host, f"sudo test -e {_AWAY}/{name}").returncode

    found = Load()
    for host in callers:
        until(lambda host=host: there(host, "out.began"), _SECONDS)  # type: ignore[misc]
    yield found
    for host in callers:
        ssh.run(host, f"sudo touch {_AWAY}/out.stop")
        until(lambda host=host: there(host, "out"), _SECONDS)  # type: ignore[misc]
        found.add(json.loads(ssh.run(host, f"sudo cat {_AWAY}/out")))
