"""The row about renewals: the CA's front, over a new connection each."""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from bench.asking import asking
from bench.contestants import Contestant, free_port
from bench.renewing import Renewals
from bench.rounds import Goal, Row, Sample
from bench.stand import Stand
from tests.services.authority import Authority
from tests.services.documents import enrolment_document

_MANY = 32  # who renew side by side; each again as soon as it has its certificate
_EST = "/.well-known/est/simplereenroll"


def rows(stand: Stand, seconds: float) -> Iterator[Row]:
    """Yield the row, its servers running."""
    names = [f"service-{number}" for number in range(_MANY)]
    house = Authority(
        stand.directory,
        services=["orders", "enrolment", *names],
        age=timedelta(minutes=1),
    )
    bundle = house.directory / "bundle.pem"
    bundle.write_bytes(house.bundle_pem)
    identities = [_paths(house, name) for name in names]
    current = str(house.instance("orders").current)

    def ask(server: Contestant, *, renews: bool = False) -> Callable[[], Sample]:
        job = Renewals(
            port=server.port,
            bundle=str(bundle),
            identities=identities,
            path=_EST,
            renews=renews,
            seconds=seconds,
        )
        return asking(server, job, driver="bench.renewing")

    yield Row(
        name=f"renewals over EST, a new connection each, {_MANY} at a time",
        unit="answers per second of CPU",
        ways={
            "CA's front": ask(_front(stand, house), renews=True),
            "hello": ask(_server(stand, "hello", current)),
            "signing, no ledger": ask(_server(stand, "signing", current)),
        },
        goals=[Goal(against="hello", ratio=0.8)],
    )


def _front(stand: Stand, house: Authority) -> Contestant:
    port = free_port()
    document = enrolment_document(
        port=port,
        identity=str(house.instance("enrolment").current),
        ca=str(house.layout.directory),
        issuing_passphrase=str(house.passphrase),
        rate={"per_second": 1e6, "burst": 1_000_000},  # is for clients, not for a load
    )
    path = stand.directory / "enrolment.json"
    path.write_text(json.dumps(document))
    command = [sys.executable, "-m", "services", "run", str(path)]
    return stand.start("enrolment", command, port)


def _server(stand: Stand, name: str, current: str) -> Contestant:
    port = free_port()
    command = [sys.executable, "-m", f"bench.servers.{name}", current, str(port)]
    return stand.start(f"{name} renewals", command, port)


def _paths(house: Authority, name: str) -> tuple[str, str]:
    """Return copies of an identity's files, which the load may write."""
    generation = house.instance(name).generation
    directory = house.directory / "renewing" / name
    directory.mkdir(parents=True)
    copies = directory / "chain.pem", directory / "key.pem"
    own = generation.certificate_path, generation.key_path
    for found, copy in zip(own, copies, strict=True):
        copy.write_bytes(Path(found).read_bytes())
    return str(copies[0]), str(copies[1])
