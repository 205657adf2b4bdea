"""A certification authority that nobody should trust, made for one drill.

It certifies the thief's key under the victim's names, which is what a thief with a CA
of his own would do, and names the drill's bearer API. It lives in memory and in a
temporary directory, for minutes.
"""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

_LIFE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class RogueAuthority:
    """A root of its own, and the directory its files lie in (mode 0700)."""

    directory: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    now: datetime

    @classmethod
    def make(cls, directory: Path, now: datetime) -> "RogueAuthority":
        """Make a root and leave its certificate in `directory`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Rogue Root")])
        certificate = (
            _builder(name, name, key, now)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, SHA256())
        )
        rogue = cls(directory, certificate, key, now)
        rogue.trust_bundle.write_bytes(certificate.public_bytes(Encoding.PEM))
        return rogue

    @property
    def trust_bundle(self) -> Path:
        """The PEM file that makes a client believe this authority."""
        return self.directory / "rogue-root.pem"

    def issue(
        self, name: str, *, dns_names: list[str], spiffe_id: str, address: str
    ) -> tuple[Path, Path]:
        """Return the files of a certificate and its key, which carry these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(dns) for dns in dns_names]
        names += [x509.UniformResourceIdentifier(spiffe_id)]
        names += [x509.IPAddress(ip_address(address))]
        certificate = (
            _builder(x509.Name([]), self.certificate.subject, key, self.now)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(
                x509.BasicConstraints(ca=False, path_length=None), critical=True
            )
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self.key.public_key()
                ),
                critical=False,
            )
            .sign(self.key, SHA256())
        )
        paths = self.directory / f"{name}.pem", self.directory / f"{name}-key.pem"
        paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        _write_key(paths[1], key)
        return paths


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public), critical=False
        )
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
    ) as file:
        file.write(pem)
