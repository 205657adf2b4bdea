"""The load of renewals: each on a connection of its own, with the newest certificate.

    python -m bench.renewing < job.json > outcome.json

Beside `bench.load` because whoever renews is somebody else afterwards: the next
connection shows the certificate that the last one brought. Keys and requests are made
before the clock starts. With `path` elsewhere than EST's, the same is sent and the
answer not looked at: that is what the connections alone cost.
"""

import asyncio
import ssl
import sys
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
)

from bench.load import Outcome

_AHEAD = 64  # keys and requests made for each identity


class Renewals(msgspec.Struct, frozen=True, kw_only=True):
    """Who renews where, for how long."""

    port: int
    bundle: str
    identities: list[tuple[str, str]]  # paths of PEM: chain, key; written, too
    path: str
    renews: bool  # else the answer is not looked at
    seconds: float = 2.0


class _Identity:
    """Whoever renews: a certificate, a key, and those that may follow."""

    def __init__(self, chain: Path, key: Path, bundle: str) -> None:
        self._chain, self._key, self._bundle = chain, key, bundle
        certificate, *self._above = x509.load_pem_x509_certificates(chain.read_bytes())
        names = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        self._unsigned = x509.CertificateSigningRequestBuilder(
            certificate.subject
        ).add_extension(names.value, critical=True)
        self._made = [self._make() for _ in range(_AHEAD)]
        self._wanted = self._made.pop()

    def context(self) -> ssl.SSLContext:
        """Return what a connection is made with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self._bundle)
        context.load_cert_chain(self._chain, self._key)
        return context

    def body(self) -> bytes:
        """Return the request that is sent next."""
        self._wanted = self._made.pop() if self._made else self._make()
        return self._wanted[1]

    def take(self, answer: bytes) -> None:
        """Be from now on what the answer says."""
        (found,) = pkcs7.load_der_pkcs7_certificates(b64decode(answer))
        chain = [found, *self._above]
        self._chain.write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in chain))
        self._key.write_bytes(
            self._wanted[0].private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
        )

    def _make(self) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        request = self._unsigned.sign(key, hashes.SHA256())
        return key, b64encode(request.public_bytes(Encoding.DER))


async def _ask(job: Renewals, identity: _Identity) -> tuple[int, bytes]:
    body = identity.body()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", job.port, ssl=identity.context(), server_hostname="localhost"
    )
    try:
        writer.write(
            f"POST {job.path} HTTP/1.1\r\nHost: localhost:{job.port}\r\n"
            f"Content-Type: application/pkcs10\r\nContent-Length: {len(body)}\r\n"
            "\r\n".encode()
        )
        writer.write(body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return int(head.split()[1]), await reader.readexactly(length)
    finally:
        writer.close()


async def _renew(
    job: Renewals, identity: _Identity, ends: float
) -> Iterator[tuple[str, float]]:
    """Ask until it is time; return what came of each, and how long it took."""
    outcomes = []
    while (began := time.perf_counter()) < ends:
        try:
            status, answer = await _ask(job, identity)
        except (OSError, asyncio.IncompleteReadError) as error:
            outcomes.append((type(error).__name__, 0.0))
            continue
        outcomes.append((str(status), time.perf_counter() - began))
        if job.renews and status == 200:  # noqa: PLR2004 - of HTTP
            identity.take(answer)
    return iter(outcomes)


async def _run(job: Renewals) -> Outcome:
    identities = [_Identity(Path(c), Path(k), job.bundle) for c, k in job.identities]
    began, cpu = time.perf_counter(), time.process_time()
    ends = began + job.seconds
    # All that was begun is finished and counts: the server has worked for it.
    found = await asyncio.gather(*(_renew(job, one, ends) for one in identities))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    outcomes = [one for of_one in found for one in of_one]
    good = sorted(took for status, took in outcomes if status == "200") or [0.0]
    return Outcome(
        answered=len(good),
        others=dict(Counter(status for status, _ in outcomes if status != "200")),
        seconds=seconds,
        cpu=cpu,
        median=good[len(good) // 2],
        p99=good[int(len(good) * 0.99)],
        uncounted=0.0,
    )


def main() -> None:
    """Do the job on standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Renewals)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(_run(job))))


if __name__ == "__main__":
    main()
