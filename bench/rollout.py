"""Time the enrolment of many identities, phase by phase: first run and second run.

    .venv/bin/python bench/rollout.py 100 300 1000

Each identity is a service of its own on one host: a key and a request made by openssl,
one certificate, one generation on disk. The processes are not started
(`enrolment.yml`): this measures what a roll-out does for each identity, not what a
machine can run. What grows is the work of the two modules on the host and of the one
that signs; the number of tasks does not.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

PROJECT = Path(__file__).parent.parent
_PHASE = re.compile(
    r"(certificate authority|requests and signing|installation) ([0-9.]+) s"
)


def topology(services: int) -> dict[str, object]:
    """Return a topology in which each service calls the next."""
    names = [f"service-{number}" for number in range(services)]
    return {
        "version": 1,
        "trust_domain": "bench.internal",
        "hosts": {"localhost": {"address": "127.0.0.1", "dns": "localhost"}},
        "ca": {"host": "localhost"},
        "token_service": {
            "hosts": ["localhost"],
            "port": 19999,
            "issuer": "https://localhost:19999",
        },
        "services": {
            name: {
                "hosts": ["localhost"],
                "port": 20000 + number,
                "app": "services.samples.hello:create_app",
                "resource": f"/{name}",
                "scopes": [f"{name}.read"],
                "calls": {callee: [f"{callee}.read"]} if callee else {},
            }
            for number, (name, callee) in enumerate(
                zip(names, [*names[1:], None], strict=True)
            )
        },
    }


def enrol(directory: Path) -> tuple[float, dict[str, float]]:
    """Return the seconds of one run, in all and by phase."""
    environment = {
        **os.environ,
        "CERTBOUND_TOPOLOGY": str(directory / "topology.yml"),
        "CERTBOUND_ROOT": str(directory / "root"),
    }
    begun = time.perf_counter()
    done = subprocess.run(
        [
            str(PROJECT / ".venv/bin/ansible-playbook"),
            "bench/enrolment.yml",
        ],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - begun
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr)
    return took, {name: float(size) for name, size in _PHASE.findall(done.stdout)}


def main() -> None:
    """Print one line for each number of identities and run."""
    columns = "all s    CA s  requests, signing s  install s  ms each"
    print(f"identities  run     {columns}")
    for services in [int(text) for text in sys.argv[1:]] or [100, 300, 1000]:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            document = yaml.safe_dump(topology(services), sort_keys=False)
            (directory / "topology.yml").write_text(document)
            for run in ("first", "second"):
                took, phases = enrol(directory)
                each = 1000 * took / services
                print(
                    f"{services:10}  {run:6} {took:6.1f}  "
                    f"{phases['certificate authority']:6.1f}  "
                    f"{phases['requests and signing']:19.1f}  "
                    f"{phases['installation']:9.1f}  {each:7.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
