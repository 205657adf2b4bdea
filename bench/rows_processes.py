"""Rows about processes: how soon they are there, how much memory they keep."""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from secrets import randbits

from bench.asking import outcome
from bench.authority import Authority
from bench.contestants import ENVIRONMENT, PROJECT
from bench.rounds import Goal, Row, Sample
from bench.rows_requests import GUARDED
from bench.stand import Stand
from tests.services.mesh import until
from tests.services.shelf import Shelf, shelf

_MEGABYTE = 1024 * 1024
_MOST = 20.0  # megabytes that a process may have grown by
_WARM = 2000  # tokens before memory is looked at for the first time
_REVOKED = 100_000
_IMPORT = "import of cryptography.x509"
_LIBRARIES = "import of the libraries alone"
# What a token service stands on, and nothing of ours.
_STOOD_ON = (
    "import sys; sys.modules['httpx._main'] = None; import cryptography.x509, httpx, "
    "httpcore, joserfc.jws, joserfc.jwk, msgspec, prometheus_client, "
    "starlette.applications, starlette.routing, starlette.responses, uvicorn, uvloop, "
    "uvicorn.protocols.http.httptools_impl"
)


def rows(stand: Stand, tokens: int) -> Iterator[Row]:
    """Yield the rows; memory is looked at after so many `tokens`."""
    with tempfile.TemporaryDirectory(prefix="certbound-bench-") as directory:
        yield _commands(Authority(Path(directory) / "ca"))
    yield _services(stand)
    yield _memory(stand, tokens)
    yield _memory_of_a_guard(stand)


def _commands(authority: Authority) -> Row:
    ledger = ["ledger", "verify", "--directory", str(authority.layout.directory)]
    return Row(
        name="start of python -m pki, until a ledger is verified",
        unit="ms of CPU",
        ways={
            "python -m pki": _used_by("-m", "pki", *ledger),
            _IMPORT: _used_by("-c", "import cryptography.x509"),
        },
        goals=[Goal(against=_IMPORT, ratio=2.5, sense="at most")],
    )


def _services(stand: Stand) -> Row:
    count = iter(range(1000))

    def start() -> Sample:
        with stand.passing() as brief:
            server = brief.token_service(f"token-service-{next(count)}")
            brief.tokens(server, 1)
            return Sample(figure=server.cpu() * 1000)

    return Row(
        name="start of python -m services, until the first token is given",
        unit="ms of CPU",
        ways={
            "python -m services": start,
            _IMPORT: _used_by("-c", "import cryptography.x509"),
            _LIBRARIES: _used_by("-c", _STOOD_ON),
        },
        goals=[Goal(against=_IMPORT, ratio=2.5, sense="at most")],
    )


def _memory(stand: Stand, tokens: int) -> Row:
    @cache  # once is enough: it takes minutes
    def grown() -> Sample:
        with stand.passing() as brief:
            server = brief.token_service("token-service-memory")
            outcome(brief.token_job(server, requests=_WARM))
            before = server.memory()
            outcome(brief.token_job(server, requests=tokens))
            return Sample(figure=(server.memory() - before) / _MEGABYTE)

    limit = Sample(figure=_MOST)
    return Row(
        name=f"memory of the token service, {tokens:,} tokens later",
        unit="MB more",
        ways={"token service": grown, "the limit": lambda: limit},
        goals=[Goal(against="the limit", ratio=1.0, sense="at most")],
    )


def _memory_of_a_guard(stand: Stand) -> Row:
    @cache
    def grown() -> Sample:
        with stand.passing() as brief, shelf(stand.mesh) as told:
            told.publish()
            tokens = brief.token_service("token-service-of-the-guard")
            guard = brief.orders(
                tokens, app=GUARDED, name="guard-memory", revocation={"url": told.url}
            )
            job = brief.resource_job(guard, brief.tokens(tokens, 10), requests=_WARM)
            outcome(job)
            before = guard.memory()
            for number in (2, 3):  # the first list of this size, and its successor
                _revoke(told, number)
                outcome(job)
            return Sample(figure=(guard.memory() - before) / _MEGABYTE)

    limit = Sample(figure=_MOST)
    return Row(
        name=f"memory of a guard, {_REVOKED:,} revoked serials later",
        unit="MB more",
        ways={"guard": grown, "the limit": lambda: limit},
        goals=[Goal(against="the limit", ratio=1.0, sense="at most")],
    )


def _revoke(told: Shelf, number: int) -> None:
    """Publish a list of many, and return when whoever follows it has read it."""
    mesh = told.mesh
    serials = [randbits(159) for _ in range(_REVOKED)]
    told.put(mesh.issuing, mesh._issuing_key, serials, number)  # noqa: SLF001 - a test's
    told.asked.clear()
    path = told.place(mesh.issuing)
    # It asks again only after it has read what it got.
    until(lambda: {(path, 200), (path, 304)} <= set(told.asked), seconds=60)


def _used_by(*arguments: str) -> Callable[[], Sample]:
    def run() -> Sample:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env=ENVIRONMENT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return Sample(figure=used * 1000)

    return run
