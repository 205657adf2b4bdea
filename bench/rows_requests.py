"""Rows about requests: tokens, guarded resources, questions about tokens."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlencode

from bench.asking import asking
from bench.contestants import Contestant, free_port
from bench.rounds import Goal, Row, Sample
from bench.stand import AUDIENCE, FORM, Stand
from tests import debian

UNIT = "answers per second of CPU"
_GUARDED = "services.samples.hello:create_app"
_UNGUARDED = "bench.servers.unguarded:create_app"
_TOKENS = 1000  # in turn, so that no server can lean on the last one
_PROVED = 100
_MODULES = Path("/usr/lib/apache2/modules")


def rows(stand: Stand, seconds: float) -> Iterator[Row]:
    """Yield the rows, each with its servers running."""
    ours, hello = stand.token_service(), stand.hello()
    theirs = stand.peer("oidc-provider.mjs", "oidc-provider")
    yield from _tokens(stand, ours, hello, theirs, seconds)
    yield from _resources(stand, ours, seconds)
    yield from _questions(stand, ours, seconds)


def _tokens(
    stand: Stand,
    ours: Contestant,
    hello: Contestant,
    theirs: Contestant,
    seconds: float,
) -> Iterator[Row]:
    def ask(server: Contestant, **options: Any) -> Callable[[], Sample]:
        return asking(server, stand.token_job(server, seconds=seconds, **options))

    yield Row(
        name="tokens, kept connections",
        unit=UNIT,
        ways={
            "token service": ask(ours),
            "oidc-provider": ask(theirs),
            "hello": ask(hello),
        },
        goals=[
            Goal(against="oidc-provider", ratio=2.5),
            Goal(against="hello", ratio=0.45),
        ],
    )
    yield Row(
        name="tokens, a new connection each",
        unit=UNIT,
        ways={
            "token service": ask(ours, fresh=True),
            "oidc-provider": ask(theirs, fresh=True),
            "hello": ask(hello, fresh=True),
        },
        goals=[
            Goal(against="oidc-provider", ratio=2.0),
            Goal(against="hello", ratio=0.9),
        ],
    )
    yield Row(
        name="DPoP-bound tokens, a fresh proof each",
        unit=UNIT,
        ways={
            "token service": ask(ours, dpop=True),
            "oidc-provider": ask(theirs, dpop=True),
        },
        goals=[Goal(against="oidc-provider", ratio=3.0)],
    )


def _resources(stand: Stand, ours: Contestant, seconds: float) -> Iterator[Row]:
    tokens = stand.tokens(ours, _TOKENS)
    issuer = f"https://localhost:{ours.port}"
    guarded = stand.orders(ours, app=_GUARDED, name="guarded")
    bare = stand.orders(ours, app=_UNGUARDED, name="unguarded")
    jose = stand.peer("jose.mjs", "jose", keys=stand.keys(ours), tokens=issuer)

    def ask(server: Contestant, **options: Any) -> Callable[[], Sample]:
        return asking(
            server, stand.resource_job(server, tokens, seconds=seconds, **options)
        )

    ways = {
        "guarded": ask(guarded),
        "unguarded": ask(bare),
        "npm jose": ask(jose),
    }
    apache = _apache(stand, ours)
    if apache:
        ways["mod_oauth2"] = ask(apache)
    yield Row(
        name="guarded requests, kept connections, many tokens in turn",
        unit=UNIT,
        ways=ways,
        goals=[
            Goal(against="unguarded", ratio=0.85),
            Goal(against="npm jose", ratio=2.2),
            Goal(against="mod_oauth2", ratio=10.0),
        ],
    )
    proved = stand.tokens(ours, _PROVED, "storefront-dpop")

    def prove(server: Contestant) -> Callable[[], Sample]:
        job = stand.resource_job(server, proved, dpop=True, seconds=seconds)
        return asking(server, job)

    yield Row(
        name="guarded requests, a DPoP proof each",
        unit=UNIT,
        ways={"guarded": prove(guarded), "unguarded": prove(bare)},
    )


def _questions(stand: Stand, sqlite: Contestant, seconds: float) -> Iterator[Row]:
    theirs = stand.peer("oidc-provider.mjs", "oidc-provider opaque", format="opaque")
    asked = _asked(
        stand, theirs, seconds, client="storefront", path="/token/introspection"
    )
    redis = _redis(stand)
    shared = stand.token_service("token-service-redis", store=redis) if redis else None
    for name, ours in (("SQLite", sqlite), ("Redis", shared)):
        if ours is None:
            continue
        yield Row(
            name=f"introspection of opaque bound tokens, {name}",
            unit=UNIT,
            ways={
                "token service": _asked(stand, ours, seconds),
                "oidc-provider": asked,
            },
            goals=[Goal(against="oidc-provider", ratio=1.5)],
        )


def _asked(
    stand: Stand,
    server: Contestant,
    seconds: float,
    client: str = "storefront-opaque",
    path: str = "/introspect",
) -> Callable[[], Sample]:
    who = "asking" if client.endswith("opaque") else client
    bodies = [
        urlencode({"client_id": who, "token": token})
        for token in stand.tokens(server, _TOKENS, client)
    ]
    job = stand.job(server, "POST", path, headers=FORM, bodies=bodies, seconds=seconds)
    return asking(server, job)


def _redis(stand: Stand) -> str | None:
    """Return the URL of a Redis on the server's core, None if there is no Redis."""
    program = debian.program("redis-server", serves=True)
    if program is None:
        return None
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    # As a store of ours demands it, and each write to the log of it is flushed once a
    # second.
    options += ["--appendonly", "yes", "--dir", str(stand.directory)]
    command = [program, *options]
    stand.start("redis", command, port)
    return f"redis://127.0.0.1:{port}"


def _apache(stand: Stand, tokens: Contestant) -> Contestant | None:
    """Return Apache with mod_oauth2, None if there is none."""
    package = "libapache2-mod-oauth2"
    apache = debian.program("apache2", package, path="/usr/sbin:/usr/bin", serves=True)
    if apache is None or not (_MODULES / "mod_oauth2.so").exists():
        return None
    port = free_port()
    own = stand.mesh.instance("orders").generation
    (key, *_) = stand.keys(tokens)["keys"]
    template = Path(__file__).parent / "peers" / "apache.conf"
    configuration = stand.directory / "apache.conf"
    configuration.write_text(
        Template(template.read_text()).substitute(
            directory=stand.directory,
            port=port,
            modules=_MODULES,
            certificate=own.certificate_path,
            key=own.key_path,
            bundle=stand.bundle,
            jwk=json.dumps(key).replace('"', '\\"'),
            issuer=f"https://localhost:{tokens.port}",
            audience=AUDIENCE,
        )
    )
    (stand.directory / "orders").write_text('{"service": "orders"}')
    command = [apache, "-f", str(configuration), "-D", "FOREGROUND"]
    return stand.start("mod_oauth2", command, port)
