"""The load: requests over mutual TLS, as many as one core can ask.

    python -m bench.load < job.json > outcome.json

A job is a `Job` in JSON. `side_by_side` runs this on a core of its own and looks at how
much of that core it used: a row in which it used all of it says nothing of the server.

Each connection waits for its answer before it asks again. With `rate` it asks at fixed
moments instead, and a latency counts from the moment at which it should have asked, so
that a server which stalls cannot hide it.
"""

import asyncio
import hashlib
import json
import ssl
import sys
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from secrets import token_urlsafe
from typing import Any, cast

import httptools
import msgspec
import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_COORDINATE = 32  # bytes of P-256
WARM = 0.3  # seconds whose answers are not counted


class Proofs(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh DPoP proof for each request (RFC 9449, section 4.2)."""

    key: str  # PEM
    method: str
    url: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of which server, for how long."""

    port: int
    certificate: str  # paths of PEM files
    key: str
    bundle: str
    method: str
    path: str
    headers: dict[str, str] = {}
    body: str = ""
    tokens: list[str] = []  # one after the other, in the Authorization field
    bodies: list[str] = []  # one after the other, in the place of `body`
    scheme: str = "Bearer"
    proofs: Proofs | None = None
    connections: int = 8
    seconds: float = 2.0
    requests: int = 0  # end after so many instead; 0: after `seconds`
    fresh: bool = False  # a connection for each request
    rate: float = 0.0  # requests a second in all; 0: as fast as they are answered


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a job."""

    answered: int  # with status 200
    others: dict[str, int]  # other statuses, and what broke, with how often
    seconds: float
    cpu: float  # seconds of this process, in that time
    median: float  # seconds an answer took
    p99: float
    uncounted: float = WARM  # seconds before, whose answers are not among them


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class Prover:
    """Makes proofs, with the nonce that the server gave last."""

    def __init__(self, proofs: Proofs) -> None:
        key = load_pem_private_key(proofs.key.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._proofs = proofs
        self.nonce = ""
        numbers = key.public_key().public_numbers()
        header = {
            "typ": "dpop+jwt",
            "alg": "ES256",
            "jwk": {
                "kty": "EC",
                "crv": "P-256",
                "x": _encoded(numbers.x.to_bytes(_COORDINATE, "big")),
                "y": _encoded(numbers.y.to_bytes(_COORDINATE, "big")),
            },
        }
        self._header = _encoded(json.dumps(header).encode())
        self._hashes: dict[str, str] = {}

    def proof(self, token: str) -> str:
        """Return a proof for one request, with `token` unless that is empty."""
        claims: dict[str, object] = {
            "jti": token_urlsafe(16),
            "htm": self._proofs.method,
            "htu": self._proofs.url,
            "iat": int(time.time()),
        }
        if self.nonce:
            claims["nonce"] = self.nonce
        if token:
            claims["ath"] = self._hash(token)
        text = f"{self._header}.{_encoded(msgspec.json.encode(claims))}"
        r, s = decode_dss_signature(
            self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        )
        signature = r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
        return f"{text}.{_encoded(signature)}"

    def _hash(self, token: str) -> str:
        if token not in self._hashes:
            self._hashes[token] = _encoded(hashlib.sha256(token.encode()).digest())
        return self._hashes[token]


def texts(job: Job, prover: Prover | None) -> Iterator[bytes]:
    """Yield requests without end, made beforehand where they can be."""
    if prover is None:
        made = [
            _request(job, token, body, None)
            for token in job.tokens or [""]
            for body in job.bodies or [job.body]
        ]
        yield from cycle(made)
    for token in cycle(job.tokens or [""]):
        assert prover is not None
        yield _request(job, token, job.body, prover.proof(token))


def _request(job: Job, token: str, body: str, proof: str | None) -> bytes:
    headers = {"Host": f"localhost:{job.port}", **job.headers}
    if token:
        headers["Authorization"] = f"{job.scheme} {token}"
    if proof:
        headers["DPoP"] = proof
    if body:
        headers["Content-Length"] = str(len(body))
    lines = [f"{job.method} {job.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", body]).encode()


class Load:
    """All connections of a job, and what came of them."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.prover = Prover(job.proofs) if job.proofs else None
        self.texts = texts(job, self.prover)
        self.others: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.counting = False
        self.over = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.done = asyncio.get_running_loop().create_future()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(job.bundle)
        context.load_cert_chain(job.certificate, job.key)
        self._context = context

    async def run(self) -> Outcome:
        """Ask until the job is done."""
        for number in range(self.job.connections):
            self.begin(number)
        await asyncio.sleep(WARM)
        self.counting = True
        began, cpu = time.perf_counter(), time.process_time()
        if self.job.requests:
            await self.done
        else:
            await asyncio.sleep(self.job.seconds)
        self.over = True
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        found = sorted(self.latencies) or [0.0]
        return Outcome(
            answered=len(self.latencies),
            others=dict(self.others),
            seconds=seconds,
            cpu=cpu,
            median=found[len(found) // 2],
            p99=found[int(len(found) * 0.99)],
        )

    def begin(self, number: int) -> None:
        """Open a connection soon."""
        task = asyncio.get_running_loop().create_task(self.connect(number))
        self._tasks.add(task)  # the loop holds them weakly
        task.add_done_callback(self._tasks.discard)

    async def connect(self, number: int) -> None:
        """Open a connection; it asks by itself."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(
                lambda: _Connection(self, number),
                "127.0.0.1",
                self.job.port,
                ssl=self._context,
                server_hostname="localhost",
            )
        except OSError as error:
            self.failed(type(error).__name__)
            if not self.over:
                await asyncio.sleep(0.01)
                self.begin(number)

    def failed(self, why: str) -> None:
        """Count what was no good answer."""
        if self.counting and not self.over:
            self.others[why] += 1

    def answered(self, began: float) -> None:
        """Count a good answer."""
        if self.counting and not self.over:
            self.latencies.append(time.perf_counter() - began)
            if 0 < self.job.requests <= len(self.latencies) and not self.done.done():
                self.done.set_result(None)


class _Connection(asyncio.Protocol):
    """One connection: asks, waits for the answer, asks again."""

    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._number = number
        self._began = time.perf_counter()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        rate = load.job.rate
        self._interval = load.job.connections / rate if rate else 0.0
        self._due = self._began + self._interval * number / load.job.connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        # uvloop's own is none of asyncio's by class.
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        """Connect again, if the server hung up in the middle."""
        if self._transport is not None and not self._load.over:
            self._load.failed("hung up")
            self._load.begin(self._number)

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Remember a nonce."""
        if self._load.prover and name.lower() == b"dpop-nonce":
            self._load.prover.nonce = value.decode()

    def on_message_complete(self) -> None:
        """Count the answer and go on."""
        load = self._load
        status = self._parser.get_status_code()
        if status == 200:  # noqa: PLR2004 - of HTTP
            load.answered(self._began)
        else:
            load.failed(str(status))
        if load.over:
            return
        if load.job.fresh:
            transport, self._transport = self._transport, None
            assert transport is not None
            transport.close()
            load.begin(self._number)
        else:
            # The parser is in the middle of a callback, and takes no new message yet.
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        if not self._interval:
            self._ask()
            return
        self._due = max(self._due + self._interval, 0)
        wait = self._due - time.perf_counter()
        if wait <= 0:
            self._ask()
        else:
            asyncio.get_running_loop().call_later(wait, self._ask)

    def _ask(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._began = self._due if self._interval else time.perf_counter()
        self._transport.write(next(self._load.texts))


async def _run(job: Job) -> Outcome:
    return await Load(job).run()


def main(read: Callable[[], bytes], write: Callable[[bytes], Any]) -> None:
    """Do the job that `read` gives, and tell `write` what came of it."""
    job = msgspec.json.decode(read(), type=Job)
    write(msgspec.json.encode(uvloop.run(_run(job))))


if __name__ == "__main__":
    main(sys.stdin.buffer.read, sys.stdout.buffer.write)
