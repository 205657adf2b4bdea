"""A test mesh: a CA like the kit's own, and instances of services with identities.

`Mesh` is the CA of one trust domain: root, issuing CA (pathLen 0, DNS name constraint)
and P-256 leaves with the profile of `pki.profiles`. `Instance` is one service on one
host: a directory laid out as on a real one, whose `current` link can be turned.

    orders = mesh.instance("orders")
    orders.current              # the path that a configuration would name
    orders.live()               # a LiveIdentity of it
    orders.renew()              # a second generation, and the link turned to it
    orders.renew(not_after=...) # one with exactly that fault

Faults come as keyword arguments of `Mesh.issue`, so that each test makes one only.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki.identity import SpiffeId
from pki.pointers import Pointers
from services.wire.anchors import NO_ANCHORS, Anchors
from services.wire.generation import Generation, LiveIdentity
from services.wire.grace import NO_GRACE
from services.wire.server import Loop, Parser, Server, server
from services.wire.tls import Minimum
from tests.services.profiles import authority_key, builder, key_usage

TRUST_DOMAIN = "shop.internal"
_HOUR = timedelta(hours=1)


def now() -> datetime:
    """Return the present moment as certificates know it."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Leaf:
    """A key, its certificate and the issuing CA's, as PEM files hold them."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    issuing: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        """The unencrypted PKCS #8 key."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def chain_pem(self) -> bytes:
        """The leaf, then its issuing CA."""
        return b"".join(
            certificate.public_bytes(Encoding.PEM)
            for certificate in (self.certificate, self.issuing)
        )


class Mesh:
    """The CA of a trust domain, and the instances it has made in `directory`."""

    def __init__(self, directory: Path, trust_domain: str = TRUST_DOMAIN) -> None:
        self.directory = directory
        self.trust_domain = trust_domain
        self._root_key = ec.generate_private_key(ec.SECP256R1())
        self._issuing_key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._authority("root", self._root_key, None)
        self.issuing = self._authority("issuing CA", self._issuing_key, self.root)
        self._instances = 0

    @property
    def bundle_pem(self) -> bytes:
        """The trust bundle: the root."""
        return self.root.public_bytes(Encoding.PEM)

    def spiffe_id(self, service: str) -> SpiffeId:
        """Return the name of a service, or of `token-service`, in this mesh."""
        path = "/token-service" if service == "token-service" else f"/service/{service}"
        return SpiffeId(self.trust_domain, path)

    def instance(self, service: str, **faults: Any) -> "Instance":
        """Make an instance with a first generation, in a directory of its own.

        The same service may be made as often as wanted. `faults` go to `issue`.
        """
        self._instances += 1
        home = self.directory / f"{service}-{self._instances}" / "identity"
        (home / "generations").mkdir(parents=True, mode=0o700)
        made = Instance(self, service, home)
        made.renew(**faults)
        return made

    def issue(  # noqa: PLR0913 - each is one thing that a test may get wrong
        self,
        service: str,
        *,
        dns_names: Sequence[str] | None = None,
        uris: Sequence[str] | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
        authority: bool = False,
        signs: bool = False,
        usages: Sequence[x509.ObjectIdentifier] = (
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.CLIENT_AUTH,
        ),
        pointers: Pointers | None = None,
    ) -> Leaf:
        """Make a certificate for `service`, good in all that is not said otherwise."""
        if dns_names is None:
            dns_names = [f"{service}.{self.trust_domain}", "localhost"]
        if uris is None:
            uris = [str(self.spiffe_id(service))]
        key = key or ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
        names += [x509.UniformResourceIdentifier(uri) for uri in uris]
        unsigned = (
            builder(x509.Name([]), key.public_key(), self.issuing.subject)
            .not_valid_before(not_before or now() - timedelta(minutes=5))
            .not_valid_after(not_after or now() + _HOUR)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(
                x509.BasicConstraints(ca=authority, path_length=None), critical=True
            )
            .add_extension(
                key_usage(digital_signature=True, key_cert_sign=signs), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(authority_key(self._issuing_key), critical=False)
        )
        for extension in pointers.as_extensions() if pointers else ():
            unsigned = unsigned.add_extension(extension, critical=False)
        certificate = unsigned.sign(self._issuing_key, hashes.SHA256())
        return Leaf(key, certificate, self.issuing)

    def cross(self, other: "Mesh") -> x509.Certificate:
        """Return a certificate by this root for the root key of another mesh."""
        key = other._root_key.public_key()
        return (
            builder(other.root.subject, key, self.root.subject)
            .not_valid_before(now() - 24 * _HOUR)
            .not_valid_after(now() + 24 * _HOUR)
            .add_extension(
                x509.BasicConstraints(ca=True, path_length=None), critical=True
            )
            .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(authority_key(self._root_key), critical=False)
            .sign(self._root_key, hashes.SHA256())
        )

    def _authority(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Certificate | None,
    ) -> x509.Certificate:
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, f"{self.trust_domain} {name}")]
        )
        unsigned = (
            builder(subject, key.public_key(), issuer.subject if issuer else subject)
            .not_valid_before(now() - 24 * _HOUR)
            .not_valid_after(now() + 24 * _HOUR)
            .add_extension(
                x509.BasicConstraints(ca=True, path_length=0 if issuer else None),
                critical=True,
            )
            .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(authority_key(self._root_key), critical=False)
        )
        if issuer:
            permitted = [x509.DNSName(self.trust_domain), x509.DNSName("localhost")]
            unsigned = unsigned.add_extension(
                x509.NameConstraints(permitted, None), critical=True
            )
        return unsigned.sign(self._root_key, hashes.SHA256())


@dataclass
class Instance:
    """One service on one host: the directory `identity` and what lies in it."""

    mesh: Mesh
    service: str
    home: Path

    @property
    def spiffe_id(self) -> SpiffeId:
        """The name that its certificates carry."""
        return self.mesh.spiffe_id(self.service)

    @property
    def current(self) -> Path:
        """The link to the present generation."""
        return self.home / "current"

    @property
    def generation(self) -> Generation:
        """The present generation, read now."""
        return Generation.load(self.current, self.spiffe_id)

    def live(self, monotonic: Callable[[], float] = time.monotonic) -> LiveIdentity:
        """Return a live identity; give it a clock to decide when it looks."""
        return LiveIdentity(self.current, self.spiffe_id, monotonic=monotonic)

    def renew(self, **faults: Any) -> Path:
        """Issue and write a further generation, turn the link to it, and return it."""
        directory = self.write(self.mesh.issue(self.service, **faults))
        self.turn(directory)
        return directory

    def write(self, leaf: Leaf, *, bundle_pem: bytes | None = None) -> Path:
        """Write a generation that the link does not yet point to, and return it."""
        serial = format(leaf.certificate.serial_number, "x")
        directory = self.home / "generations" / serial
        directory.mkdir(mode=0o700)
        private = os.open(
            directory / "key.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600
        )
        with os.fdopen(private, "wb") as file:
            file.write(leaf.key_pem)
        (directory / "certificate.pem").write_bytes(leaf.chain_pem)
        (directory / "bundle.pem").write_bytes(bundle_pem or self.mesh.bundle_pem)
        return directory

    def turn(self, directory: Path) -> None:
        """Point the link to `directory`, in one step as the roll-out does."""
        link = self.home / "current.new"
        link.symlink_to(Path("generations") / directory.name)
        link.rename(self.current)


@dataclass
class Running:
    """A server that answers on `port` of the loopback."""

    server: Server

    @property
    def port(self) -> int:
        """The port it got."""
        return self.server.port

    @property
    def url(self) -> str:
        """Its root, by the host name that every certificate of a mesh carries."""
        return f"https://localhost:{self.port}"


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Return soon after `condition` holds; fail if it takes longer than `seconds`.

    The longer it takes, the less often it is asked about.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < seconds, "it did not come to that"
        time.sleep(min(max(waited / 20, 0.002), 0.25))


class Serve(Protocol):
    """The type of the `serve` fixture."""

    def __call__(  # noqa: PLR0913 - what `server` takes
        self,
        app: Callable[..., Any],
        identity: Instance | LiveIdentity,
        *,
        tls_minimum: Minimum = "1.3",
        http: Parser = "auto",
        loop: Loop = "auto",
        anchors: Anchors = NO_ANCHORS,
        grace: timedelta = NO_GRACE,
    ) -> AbstractContextManager[Running]:
        """Serve `app` while the context lasts."""


@contextmanager
def serve(
    app: Callable[..., Any], identity: Instance | LiveIdentity, **settings: Any
) -> Iterator[Running]:
    """Serve `app` as `identity` in a thread, on a free port of 127.0.0.1.

    The port takes connections from the first moment, so there is nothing to wait for.
    """
    if isinstance(identity, Instance):
        identity = identity.live()
    made = server(app, identity=identity, address="127.0.0.1", port=0, **settings)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            factory = made.config.get_loop_factory()
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(made.serve())
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            failures.append(error)

    thread = Thread(target=work, name=f"server of port {made.port}", daemon=True)
    thread.start()
    try:
        yield Running(made)
    finally:
        made.should_exit = True
        thread.join(10)
    assert not thread.is_alive(), "the server did not stop"
    assert not failures, f"the server fell over: {failures[0]!r}"
