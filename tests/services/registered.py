"""Clients that no CA of ours knows: self-signed certificates, and signed assertions.

    owner = Owner("partner")                    # a key and its self-signed certificate
    owner.jwk()                                 # as it would be registered
    owner.sign("spiffe://...", key)             # somebody's certificate, signed by it
    assertion(prover, aud="...")                # good, but for one claim

`Owner(..., authority=True, signs=True)` is the trap of RFC 8705, section 2.2: trusted
as itself, it is trusted as a CA as well.
"""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey

from services.token.assertion import TYPE
from tests.services.documents import ISSUER
from tests.services.mesh import now
from tests.services.profiles import authority_key, builder, key_usage
from tests.services.proofs import Proving
from tests.services.tokens import ABSENT, NOW

CLIENT_ID = "partner"


def named(text: str) -> x509.Name:
    """Return a name with one part."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Owner:
    """A key, and a certificate that it has signed itself."""

    def __init__(
        self,
        name: str = CLIENT_ID,
        *,
        authority: bool | None = False,
        signs: bool | None = False,
        uris: Sequence[str] = (),
        not_after: datetime | None = None,
    ) -> None:
        """Make both; `authority` and `signs` None leave their extensions out."""
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = named(name)
        self._extensions: list[tuple[x509.ExtensionType, bool]] = []
        if authority is not None:
            basic = x509.BasicConstraints(ca=authority, path_length=None)
            self._extensions.append((basic, True))
        if signs is not None:
            usage = key_usage(digital_signature=True, key_cert_sign=signs)
            self._extensions.append((usage, True))
        if uris:
            names = [x509.UniformResourceIdentifier(uri) for uri in uris]
            alternative = x509.SubjectAlternativeName(names)
            self._extensions.append((alternative, False))
        self.certificate = self._signed(
            self.subject, self.key, self._extensions, not_after
        )

    def sign(self, uri: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        """Return a workload's certificate, as if this were a CA."""
        name = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        usage = key_usage(digital_signature=True)
        basic = x509.BasicConstraints(ca=False, path_length=None)
        extensions = [(name, False), (usage, True), (basic, True)]
        return self._signed(named("victim"), key, extensions, None)

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """Return the key and its certificate as a JWK, but for the `changes`."""
        public = dict(ECKey.import_key(self.key.public_key()).as_dict(private=False))
        good = {**public, "use": "sig", "x5c": [x5c(self.certificate)]}
        members = {**good, **changes}
        return {name: value for name, value in members.items() if value is not ABSENT}

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
        not_after: datetime | None,
    ) -> x509.Certificate:
        unsigned = (
            builder(subject, key.public_key(), self.subject)
            .not_valid_before(now() - timedelta(minutes=5))
            .not_valid_after(not_after or now() + timedelta(hours=1))
            .add_extension(authority_key(self.key), critical=False)
        )
        for extension, critical in extensions:
            unsigned = unsigned.add_extension(extension, critical=critical)
        return unsigned.sign(self.key, SHA256())


def x5c(certificate: x509.Certificate) -> str:
    """Return a certificate as a member of `x5c`."""
    return b64encode(certificate.public_bytes(Encoding.DER)).decode()


def written(
    directory: Path,
    key: ec.EllipticCurvePrivateKey,
    *chain: x509.Certificate,
) -> Path:
    """Write a key and its chain into one file, as TLS libraries read it."""
    path = directory / f"{chain[0].serial_number:x}.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pems = [certificate.public_bytes(Encoding.PEM) for certificate in chain]
    path.write_bytes(private + b"".join(pems))
    return path


def assertion_claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good assertion at `NOW`, but for the `changes`."""
    issued_at = int(NOW.timestamp())
    good = {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": ISSUER,
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + 60,
        "jti": "f81d4fae-7dec-11d0",
    }
    members = {**good, **changes}
    return {name: value for name, value in members.items() if value is not ABSENT}


def assertion_header(prover: Proving, **changes: Any) -> dict[str, Any]:
    """Return the header of a good assertion, but for the `changes`."""
    good = {"alg": prover.algorithm, "typ": "JWT", "kid": "one"}
    members = {**good, **changes}
    return {name: value for name, value in members.items() if value is not ABSENT}


def assertion(prover: Proving, **changes: Any) -> str:
    """Return a signed assertion, good but for the `changes` to its claims."""
    return prover.sign(assertion_header(prover), assertion_claims(**changes))


def asserted(text: str, **changes: Any) -> dict[str, Any]:
    """Return the parameters that carry an assertion."""
    return {"client_assertion": text, "client_assertion_type": TYPE, **changes}


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Return status and error code."""
    return answer.status_code, answer.json()["error"]
