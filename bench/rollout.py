"""Time the enrolment of many identities, phase by phase: first run and second run.

    .venv/bin/python -m bench.rollout 100 300 1000

Each identity is a service of its own on one host: a key and a request made by openssl,
one certificate, one generation on disk. The processes are not started
(`enrolment.yml`): this measures what a roll-out does for each identity, not what a
machine can run. What grows is the work of the two modules on the host and of the one
that signs; the number of tasks does not.
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.contestants import ENVIRONMENT, PROJECT
from bench.rounds import AbsentError

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


@dataclass(frozen=True)
class Run:
    """What one run took."""

    seconds: float
    cpu: float  # of the play, its modules and the CA
    phases: dict[str, float]
    modules: list[str]  # that ran on the host, once each time


def enrol(directory: Path) -> Run:
    """Enrol the identities of the topology in `directory`."""
    return play(directory, "bench/enrolment.yml")


def play(directory: Path, playbook: str, *arguments: str) -> Run:
    """Run a playbook once for the topology in `directory`.

    Raises:
        AbsentError: it failed.
    """
    runs = directory / "runs"
    runs.write_text("")
    environment = {
        **ENVIRONMENT,
        "CERTBOUND_TOPOLOGY": str(directory / "topology.yml"),
        "CERTBOUND_ROOT": str(directory / "root"),
        "CERTBOUND_BENCH_RUNS": str(runs),
        "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "bench/callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "certbound.kit.summary,module_runs",
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run(
        [str(PROJECT / ".venv/bin/ansible-playbook"), playbook, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise AbsentError(f"the play failed: {(done.stdout + done.stderr)[-3000:]}")
    return Run(
        seconds=took,
        cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        phases={name: float(size) for name, size in _PHASE.findall(done.stdout)},
        modules=[line.split()[1] for line in runs.read_text().splitlines()],
    )


def prepare(directory: Path, services: int) -> None:
    """Write the topology that `enrol` rolls out."""
    document = yaml.safe_dump(topology(services), sort_keys=False)
    (directory / "topology.yml").write_text(document)


def main() -> None:
    """Print one line for each number of identities and run."""
    columns = "all s   CPU s    CA s  requests, signing s  install s  ms each"
    print(f"identities  run     {columns}")
    for services in [int(text) for text in sys.argv[1:]] or [100, 300, 1000]:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            prepare(directory, services)
            for number in ("first", "second"):
                run = enrol(directory)
                each = 1000 * run.seconds / services
                print(
                    f"{services:10}  {number:6} {run.seconds:6.1f}  {run.cpu:6.1f}  "
                    f"{run.phases['certificate authority']:6.1f}  "
                    f"{run.phases['requests and signing']:19.1f}  "
                    f"{run.phases['installation']:9.1f}  {each:7.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
