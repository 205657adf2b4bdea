"""A CA of `pki` itself under a mesh: what the CA's front renews is in a ledger.

    house = Authority(directory, age=timedelta(hours=23))
    orders = house.instance("orders", age=timedelta(hours=20))    # of 24: due long ago
    with enrolment(house, serve, tmp_path) as front:
        front.post(orders, house.request(orders, key))

The CA is founded, and certificates are issued, as if `age` ago: the ledger's clock does
not go back, so older ones are made first.
"""

from base64 import b64decode, encodebytes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from pki import authority, keys, withdrawal
from pki.clock import utc_now
from pki.decision import Request
from pki.entry import Reason
from pki.identity import SpiffeId
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from services.config import ConfigError, EnrolmentConfig, read_config
from services.enrolment.app import EST, create_app
from services.enrolment.office import keyring_of
from services.watched import Watched, file_stamp
from tests.pki.builders import ISSUING_PASSPHRASE, Ca, policy_document
from tests.services.documents import enrolment_document, write
from tests.services.mesh import Instance, Leaf, Mesh, Running, Serve
from tests.services.running import client_of

SERVICES = ("storefront", "orders", "stock")
OTHERS = ("token-service", "enrolment")  # their names stand above those of services
HOURS_23 = timedelta(hours=23)


class Authority(Mesh):
    """A mesh whose certificates come from `python -m pki`'s own code."""

    def __init__(
        self,
        directory: Path,
        *,
        age: timedelta = HOURS_23,
        services: Sequence[str] = (*SERVICES, *OTHERS),
        revocation: dict[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self.trust_domain = "shop.internal"
        self._instances = 0
        self.layout = Layout(directory / "ca")
        self.document = document(services)
        if revocation:
            self.document["revocation"] = revocation
        self.passphrase = directory / "issuing.passphrase"
        self.passphrase.write_bytes(ISSUING_PASSPHRASE + b"\n")
        self.passphrase.chmod(0o600)
        with patch("pki.clock.utc_now", lambda: utc_now() - age):
            Ca.found(self.layout.directory, self.document)
        self._keyring = keyring_of(self.layout, self.passphrase)
        self.root = authority.look(self.layout).root
        pem = self.layout.certificate("issuing").read_bytes()
        self.issuing = x509.load_pem_x509_certificate(pem)

    def spiffe_id(self, service: str) -> SpiffeId:
        """Return the name of a service, or of one of the others."""
        return SpiffeId(self.trust_domain, _path(service))

    def issue(  # type: ignore[override]  # the CA decides on the rest
        self,
        service: str,
        *,
        age: timedelta = timedelta(0),
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Leaf:
        """Issue a certificate as if `age` ago."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        unsigned = x509.CertificateSigningRequestBuilder(x509.Name([]))
        pem = unsigned.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
        batch = authority.issue(
            self.layout,
            [Request(f"{service}@localhost", pem)],
            keyring=self._keyring,
            run_id="test",
            now=lambda: utc_now() - age,
        )
        (answer,) = batch.answers
        assert answer.certificate, answer.refusal
        return Leaf(key, answer.certificate, self.issuing)

    def forge(self, service: str) -> Leaf:
        """Sign a certificate with the CA's own key, of which the ledger knows nothing.

        It is what somebody makes who has stolen the key.
        """
        sealed = self.layout.sealed_key("issuing").read_bytes()
        signer = keys.unseal(sealed, ISSUING_PASSPHRASE, purpose="issuing")
        like = self.issue(service, age=HOURS_23 - timedelta(minutes=1)).certificate
        key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateBuilder(
            like.issuer,
            like.subject,
            key.public_key(),
            x509.random_serial_number(),
            like.not_valid_before_utc,
            like.not_valid_after_utc,
        )
        for extension in like.extensions:
            value = extension.value
            if isinstance(value, x509.SubjectKeyIdentifier):
                value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
            builder = builder.add_extension(value, critical=extension.critical)
        return Leaf(key, builder.sign(signer, hashes.SHA256()), self.issuing)

    def configure(self, **identities: Any) -> None:
        """Change the policy of some identities; None takes one out."""
        stated = self.document["identities"]
        for name, value in identities.items():
            instance = f"{name.replace('_', '-')}@localhost"
            if value is None:
                del stated[instance]
            else:
                stated[instance] |= value
        Ca.found(self.layout.directory, self.document)

    def revoke(self, service: str) -> None:
        """Revoke all certificates of an instance."""
        withdrawal.revoke(
            self.layout,
            withdrawal.Target(identity=f"{service}@localhost"),
            reason=Reason.KEY_COMPROMISE,
            keyring=self._keyring,
            run_id="test",
        )

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Open the ledger."""
        with open_ledger(self.layout.ledger) as opened:
            yield opened


def document(services: Sequence[str]) -> dict[str, Any]:
    """Return a policy with one identity on localhost for each of `services`."""
    made = policy_document(services)
    for name in services:
        identity = made["identities"][f"{name}@localhost"]
        identity["spiffe_id"] = f"spiffe://shop.internal{_path(name)}"
    return made


def _path(service: str) -> str:
    return f"/{service}" if service in OTHERS else f"/service/{service}"


def request_of(
    instance: Instance,
    key: Any = None,
    *,
    subject: x509.Name | None = None,
    names: x509.SubjectAlternativeName | None = None,
    silent: bool = False,
) -> x509.CertificateSigningRequest:
    """Return a good request for renewal, but for what is said otherwise."""
    present = instance.generation.certificate
    found = present.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    unsigned = x509.CertificateSigningRequestBuilder(subject or present.subject)
    if not silent:
        unsigned = unsigned.add_extension(names or found.value, critical=True)
    return unsigned.sign(
        key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()
    )


@dataclass
class RunningClock:
    """The real time, and how far a test has moved it.

    A clock that stands falls behind a ledger in which a test goes on writing, and what
    is behind the ledger signs nothing.
    """

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        """Return the moment."""
        return utc_now() + self.ahead

    def seconds(self) -> float:
        """Return seconds that rise with the moment."""
        return self().timestamp()

    def set(self, moment: datetime) -> None:
        """Let it be `moment` now."""
        self.ahead = moment - utc_now()

    def move(self, **step: float) -> None:
        """Let time pass."""
        self.ahead += timedelta(**step)


@dataclass
class Front:
    """The CA's front, running."""

    running: Running
    instance: Instance
    path: Path
    clock: RunningClock
    house: Authority

    @property
    def url(self) -> str:
        """What EST's operations follow."""
        return self.running.url + EST

    def client(self, caller: Instance) -> httpx.Client:
        """Return a client that keeps its connection."""
        return client_of(caller, self.instance, base_url=self.url)

    def post(
        self,
        caller: Instance,
        body: bytes | x509.CertificateSigningRequest,
        operation: str = "/simplereenroll",
        **headers: str,
    ) -> httpx.Response:
        """Send a request, or whatever else, as `caller`."""
        with self.client(caller) as client:
            return client.post(
                operation,
                content=body if isinstance(body, bytes) else encoded(body),
                headers={"content-type": "application/pkcs10"} | headers,
            )


def encoded(request: x509.CertificateSigningRequest) -> bytes:
    """Return a request as EST sends it, wrapped as `openssl base64` does."""
    return encodebytes(request.public_bytes(Encoding.DER))


def certificates(answer: httpx.Response) -> list[x509.Certificate]:
    """Return the certificates in an answer."""
    assert answer.status_code == 200, answer.text
    return pkcs7.load_der_pkcs7_certificates(b64decode(answer.content, validate=True))


def certificate(answer: httpx.Response) -> x509.Certificate:
    """Return the one certificate in an answer."""
    (only,) = certificates(answer)
    return only


@contextmanager
def enrolment(
    house: Authority, serve: Serve, directory: Path, **changes: Any
) -> Iterator[Front]:
    """Run the CA's front while the context lasts."""
    instance = house.instance("enrolment")
    clock = RunningClock()
    own = {
        "identity": str(instance.current),
        "ca": str(house.layout.directory),
        "issuing_passphrase": str(house.passphrase),
    }
    path = write(directory, enrolment_document(**own | changes))

    def read() -> EnrolmentConfig:
        config = read_config(path)
        if not isinstance(config, EnrolmentConfig):
            raise ConfigError("another kind")
        return config

    config = Watched(read, file_stamp(path), name="config", monotonic=clock.seconds)
    app = create_app(config, clock=clock)
    grace = timedelta(seconds=config.current().grace)
    with serve(app, instance, grace=grace) as running:
        yield Front(running, instance, path, clock, house)
