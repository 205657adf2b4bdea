"""Rows about requests: tokens, guarded resources, questions about tokens."""

import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from string import Template
from time import process_time
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench.asking import asking
from bench.contestants import Contestant, free_port
from bench.rounds import AbsentError, Goal, Row, Sample, later
from bench.servers.steps import STEPS
from bench.stand import AUDIENCE, FORM, Stand
from tests import debian

UNIT = "answers per second of CPU"
GUARDED = "services.samples.hello:create_app"
_UNGUARDED = "bench.servers.unguarded:create_app"
_VERIFYING = "P-256 signatures verified"
_SMALLER = "the smaller of the two"
_STEPS = ("an answer", "the body read", "a token's length", "a P-256 signature")
_TOKENS = 1000  # in turn, so that no server can lean on the last one
_PROVED = 100
_MODULES = Path("/usr/lib/apache2/modules")


def rows(stand: Stand, seconds: float) -> Iterator[Row]:
    """Yield the rows, each with its servers running."""
    ours, hello = stand.token_service(), stand.hello()
    theirs = cache(partial(stand.peer, "oidc-provider.mjs", "oidc-provider"))
    yield from _tokens(stand, ours, hello, theirs, seconds)
    yield from _resources(stand, ours, seconds)
    yield from _questions(stand, ours, seconds)


def _tokens(
    stand: Stand,
    ours: Contestant,
    hello: Contestant,
    theirs: Callable[[], Contestant],
    seconds: float,
) -> Iterator[Row]:
    def ask(server: Contestant, **options: Any) -> Callable[[], Sample]:
        return asking(server, stand.token_job(server, seconds=seconds, **options))

    def ask_them(**options: Any) -> Callable[[], Sample]:
        return later(lambda: ask(theirs(), **options))

    def ask_step(step: str) -> Callable[[], Sample]:
        return later(lambda: ask(stand.step(step)))

    yield Row(
        name="tokens, kept connections",
        unit=UNIT,
        ways={
            "token service": ask(ours),
            "oidc-provider": ask_them(),
            "hello": ask(hello),
            # Reads the form, signs, answers, and asks nobody who he is.
            "floor": ask(stand.floor()),
        },
        goals=[
            Goal(against="oidc-provider", ratio=2.5),
            Goal(against="hello", ratio=0.45),
        ],
    )
    # What of a token's cost is nobody's choice, without a framework: no goal.
    yield Row(
        name="what a token cannot do without, one thing more at a time",
        unit=UNIT,
        ways={name: ask_step(step) for step, name in zip(STEPS, _STEPS, strict=True)},
    )
    yield Row(
        name="tokens, a new connection each",
        unit=UNIT,
        ways={
            "token service": ask(ours, fresh=True),
            "oidc-provider": ask_them(fresh=True),
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
            "oidc-provider": ask_them(dpop=True),
        },
        goals=[Goal(against="oidc-provider", ratio=3.0)],
    )


def _resources(stand: Stand, ours: Contestant, seconds: float) -> Iterator[Row]:
    tokens = stand.tokens(ours, _TOKENS)
    issuer = f"https://localhost:{ours.port}"
    guarded = stand.orders(ours, app=GUARDED, name="guarded")
    bare = stand.orders(ours, app=_UNGUARDED, name="unguarded")

    def ask(server: Contestant, **options: Any) -> Callable[[], Sample]:
        return asking(
            server, stand.resource_job(server, tokens, seconds=seconds, **options)
        )

    def ask_jose() -> Callable[[], Sample]:
        known = {"keys": stand.keys(ours), "tokens": issuer}
        return ask(stand.peer("jose.mjs", "jose", **known))

    yield Row(
        name="guarded requests, kept connections, many tokens in turn",
        unit=UNIT,
        ways={
            "guarded": ask(guarded),
            "unguarded": ask(bare),
            "npm jose": later(ask_jose),
            "mod_oauth2": later(lambda: ask(_apache(stand, ours))),
        },
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

    yield _proved(prove(guarded), prove(bare), seconds)


def _proved(
    guarded: Callable[[], Sample], bare: Callable[[], Sample], seconds: float
) -> Row:
    """Compare with what no guard can do without: to answer, and to verify a proof."""
    bounds: dict[str, Sample] = {}

    def answer() -> Sample:
        return bounds.setdefault("unguarded", bare())

    def verify() -> Sample:
        return bounds.setdefault(_VERIFYING, _verifications(seconds / 4))

    def smaller() -> Sample:  # of this round
        found = min(bounds.values(), key=lambda sample: sample.figure)
        bounds.clear()
        return found

    return Row(
        name="guarded requests, a DPoP proof each",
        unit=UNIT,
        ways={
            "guarded": guarded,
            "unguarded": answer,
            _VERIFYING: verify,
            _SMALLER: smaller,
        },
        goals=[Goal(against=_SMALLER, ratio=0.5)],
    )


def _verifications(seconds: float) -> Sample:
    """Return how many P-256 signatures a second of CPU verifies, and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    algorithm, proof = ec.ECDSA(hashes.SHA256()), bytes(400)
    signature, public = key.sign(proof, algorithm), key.public_key()
    done, began = 0, process_time()
    while (used := process_time() - began) < seconds:
        for _ in range(100):
            public.verify(signature, proof, algorithm)
        done += 100
    return Sample(figure=done / used)


def _questions(stand: Stand, sqlite: Contestant, seconds: float) -> Iterator[Row]:
    @cache
    def asked() -> Callable[[], Sample]:
        script, name = "oidc-provider.mjs", "oidc-provider opaque"
        theirs = stand.peer(script, name, format="opaque")
        return _asked(stand, theirs, seconds, "storefront", "/token/introspection")

    def shared() -> Callable[[], Sample]:
        ours = stand.token_service("token-service-redis", store=_redis(stand))
        return _asked(stand, ours, seconds)

    for name, ours in (
        ("SQLite", lambda: _asked(stand, sqlite, seconds)),
        ("Redis", shared),
    ):
        yield Row(
            name=f"introspection of opaque bound tokens, {name}",
            unit=UNIT,
            ways={"token service": later(ours), "oidc-provider": later(asked)},
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


def _redis(stand: Stand) -> str:
    """Return the URL of a Redis on the server's core."""
    program = debian.program("redis-server", serves=True)
    if program is None:
        raise AbsentError("Debian's redis-server is not installed")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    # As a store of ours demands it, and each write to the log of it is flushed once a
    # second.
    options += ["--appendonly", "yes", "--dir", str(stand.directory)]
    command = [program, *options]
    stand.start("redis", command, port)
    return f"redis://127.0.0.1:{port}"


def _apache(stand: Stand, tokens: Contestant) -> Contestant:
    """Return Apache with mod_oauth2."""
    package = "libapache2-mod-oauth2"
    apache = debian.program("apache2", package, path="/usr/sbin:/usr/bin", serves=True)
    if apache is None or not (_MODULES / "mod_oauth2.so").exists():
        raise AbsentError("Debian's libapache2-mod-oauth2 is not installed")
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
