"""What a CA publishes, running: certificates that point to a listener that is there.

with publisher(directory) as told:
told.get(told.pointers("orders").crl)
"""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch
from urllib.parse import quote, urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from pki.pointers import Pointers, pointers_of
from services.config import EnrolmentConfig
from services.enrolment import publishing as room
from tests.services.authority import Authority
from tests.services.documents import enrolment_document, read
from tests.services.mesh import Instance, until
from tests.services.proxies.standing import free_ports
from tests.services.running import Clock


@dataclass
class Told:
    """A CA, two of its instances, and where it tells of them."""

    house: Authority
    orders: Instance
    stock: Instance
    url: str
    config: EnrolmentConfig
    clock: Clock
    client: httpx.Client = field(
        default_factory=lambda: httpx.Client(trust_env=False, timeout=10)
    )

    def pointers(self, instance: Instance) -> Pointers:
        """Return what the certificate of an instance points to."""
        found = pointers_of(instance.generation.certificate)
        assert found
        return found

    def get(self, url: str, **headers: str) -> httpx.Response:
        """Fetch something."""
        return self.client.get(url, headers=headers)

    def post(
        self, body: bytes, kind: str = "application/ocsp-request"
    ) -> httpx.Response:
        """Send a question."""
        return self.client.post(
            f"{self.url}/ocsp", content=body, headers={"content-type": kind}
        )

    def question(self, instance: Instance, nonce: bytes | None = None) -> bytes:
        """Return a question about the certificate of an instance."""
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            instance.generation.certificate, self.house.issuing, hashes.SHA256()
        )
        if nonce:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.build().public_bytes(Encoding.DER)

    def asking(self, instance: Instance) -> str:
        """Return the URL of a question about an instance."""
        encoded = b64encode(self.question(instance)).decode()
        return f"{self.pointers(instance).ocsp}/{quote(encoded, safe='')}"

    def crl(self, instance: Instance) -> x509.CertificateRevocationList:
        """Return the list that the certificate of an instance points to."""
        answer = self.get(self.pointers(instance).crl).raise_for_status()
        return x509.load_der_x509_crl(answer.content)

    def status(self, answer: httpx.Response) -> ocsp.OCSPCertStatus:
        """Return what an OCSP answer says."""
        response = ocsp.load_der_ocsp_response(answer.raise_for_status().content)
        return response.certificate_status


def founded(directory: Path, *, path: str = "/pki") -> Told:
    """Return a CA founded a minute ago that is to publish, and does not yet."""
    (port,) = free_ports(1)
    url = f"http://localhost:{port}{path}"
    minute = timedelta(minutes=1)
    house = Authority(directory, age=minute, revocation={"url": url, "shards": 2})
    document = enrolment_document(
        ca=str(house.layout.directory),
        issuing_passphrase=str(house.passphrase),
        publication={"port": port, "path": path},
    )
    config = read(directory, document)
    assert isinstance(config, EnrolmentConfig)
    orders, stock = house.instance("orders"), house.instance("stock")
    return Told(house, orders, stock, url, config, Clock())


@contextmanager
def publisher(directory: Path, *, told: Told | None = None) -> Iterator[Told]:
    """Publish while the context lasts; a look at what is due comes each 20 ms."""
    told = told or founded(directory)
    with (
        patch.object(room, "_TICK", 0.02),
        room.publishing(told.config, clock=told.clock),
        told.client,
    ):
        until(lambda: _answers(told))
        yield told


def _answers(told: Told) -> bool:
    try:
        return told.client.get(told.url).status_code == httpx.codes.NOT_FOUND
    except httpx.TransportError:
        return False


def path_of(url: str) -> str:
    """Return the path of a URL."""
    return urlsplit(url).path
