"""What the tests of `pki` build with: a cheap CA, requests, faulty certificates.

Each builder makes something right; a test changes one thing in it and shows that this
alone is refused.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pki import clock, founding, inspection, profiles, upkeep, withdrawal
from pki.authority import Batch, issue
from pki.decision import Request
from pki.entry import Reason
from pki.envelope import Cost
from pki.identity import DnsName, Names, SpiffeId
from pki.keyring import Keyring
from pki.layout import Layout
from pki.pointers import Addresses, authority_of
from pki.policy import Policy, read_policy
from pki.published import read_published
from pki.unsigned import Unsigned

# The least Argon2id takes: a guess costs nothing, and so does a test.
CHEAP = Cost(memory_kib=8, iterations=1, lanes=1)
ROOT_PASSPHRASE = b"root passphrase of the tests"
ISSUING_PASSPHRASE = b"issuing passphrase of the tests"
NOW = datetime(2026, 11, 22, 17, 35, 16, tzinfo=UTC)
NAMES = Names(
    SpiffeId.parse("spiffe://shop.internal/service/orders"),
    (DnsName("orders.shop.internal"), DnsName("localhost")),
)

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def p256() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


ADDRESSES = Addresses("http://ca.shop.internal:8445", 4)


def policy_document(
    services: Sequence[str] = ("orders", "stock"), *, addresses: Addresses | None = None
) -> dict[str, Any]:
    """Return a policy with one identity on localhost for each of `services`."""
    said = {"revocation": asdict(addresses)} if addresses else {}
    return said | {
        "trust_domain": "shop.internal",
        "permitted_dns": ["shop.internal", "localhost"],
        "lifetimes": {"root": 315360000, "issuing_ca": 15552000},
        "identities": {
            f"{name}@localhost": {
                "spiffe_id": f"spiffe://shop.internal/service/{name}",
                "dns_names": [f"{name}.shop.internal", "localhost"],
                "lifetime": 86400,
            }
            for name in services
        },
    }


def policy(document: Mapping[str, Any] | None = None) -> Policy:
    """Return the checked form of a policy document."""
    return read_policy(json.dumps(document or policy_document()).encode())


# A name constraint on what is no network; the library raises TypeError.
NO_NETWORK = bytes.fromhex("300aa008300687047f000001")


def csr(
    key: PrivateKey | None = None,
    *,
    subject: x509.Name | None = None,
    extensions: Sequence[x509.ExtensionType] = (),
    attributes: Sequence[tuple[x509.ObjectIdentifier, bytes]] = (),
    digest: hashes.SHA224 | hashes.SHA256 | None = hashes.SHA256(),  # noqa: B008 - a value
) -> str:
    """Return a request in PEM; nothing but a P-256 key is asked for unless said."""
    builder = x509.CertificateSigningRequestBuilder(subject or x509.Name([]))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    for oid, value in attributes:
        builder = builder.add_attribute(oid, value)
    signed = builder.sign(key or p256(), digest)
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def alternative(*names: x509.GeneralName) -> x509.SubjectAlternativeName:
    """Return these names as an extension."""
    return x509.SubjectAlternativeName(names)


def dns(*names: str) -> list[x509.GeneralName]:
    """Return DNS names as a certificate holds them."""
    return [x509.DNSName(name) for name in names]


def uri(*names: str) -> list[x509.GeneralName]:
    """Return URIs as a certificate holds them."""
    return [x509.UniformResourceIdentifier(name) for name in names]


@dataclass(frozen=True)
class Ca:
    """A CA on the disk, founded as the command does it but with a cheap seal."""

    layout: Layout

    @classmethod
    def at(cls, directory: Path) -> "Ca":
        """Return the CA that is there already."""
        return cls(Layout(directory))

    @classmethod
    def found(cls, directory: Path, document: Mapping[str, Any] | None = None) -> "Ca":
        """Found it, or complete it."""
        ca = cls.at(directory)
        ca.complete(document)
        return ca

    def complete(
        self, document: Mapping[str, Any] | None = None
    ) -> tuple[inspection.State, inspection.State]:
        """Run the founding (again) and return the states before and after."""
        return founding.found(
            self.layout,
            policy(document),
            passphrases=founding.Passphrases(
                root=lambda: ROOT_PASSPHRASE, issuing=lambda: ISSUING_PASSPHRASE
            ),
            run_id="founding",
            cost=CHEAP,
        )

    def keyring(self, root_passphrase: bytes | None = None) -> Keyring:
        """Return its keys, those of roots only with their passphrase."""
        return Keyring(
            self.layout,
            issuing=lambda: ISSUING_PASSPHRASE,
            root=(lambda: root_passphrase) if root_passphrase else None,
        )

    def issue(self, *requests: tuple[str, str]) -> Batch:
        """Issue for pairs of identity and request."""
        return issue(
            self.layout,
            [Request(identity, text) for identity, text in requests],
            keyring=self.keyring(),
            run_id="issuing",
        )

    def revoke(
        self,
        identity: str | None = None,
        *,
        serial: int | None = None,
        reason: Reason = Reason.KEY_COMPROMISE,
        now: Callable[[], datetime] = clock.utc_now,
        root_passphrase: bytes | None = None,
    ) -> withdrawal.Withdrawn:
        """Revoke an identity's certificates, or the one with a serial."""
        return withdrawal.revoke(
            self.layout,
            withdrawal.Target(identity=identity, serial=serial),
            reason=reason,
            keyring=self.keyring(root_passphrase),
            run_id="revoking",
            now=now,
        )

    def publish(
        self,
        *,
        now: Callable[[], datetime] = clock.utc_now,
        root_passphrase: bytes | None = None,
    ) -> upkeep.Publication:
        """Make the lists and answers that are due."""
        return upkeep.publish(
            self.layout,
            keyring=self.keyring(root_passphrase),
            run_id="publishing",
            now=now,
        )

    def crl(
        self, scope: str = "full", by: str = "issuing"
    ) -> x509.CertificateRevocationList:
        """Return the newest list of a scope."""
        authority = authority_of(self.certificate(by))
        with read_published(self.layout.ledger) as published:
            stored = published.crl(authority, scope)
        assert stored, scope
        return x509.load_der_x509_crl(stored.der)

    def one(self, identity: str = "orders@localhost") -> x509.Certificate:
        """Issue one certificate for a new key."""
        (answer,) = self.issue((identity, csr())).answers
        assert answer.certificate, answer.refusal
        return answer.certificate

    def certificate(self, purpose: str) -> x509.Certificate:
        """Return the certificate of the root or the issuing CA."""
        return x509.load_pem_x509_certificate(
            self.layout.certificate(purpose).read_bytes()
        )


def serials(crl: x509.CertificateRevocationList) -> set[int]:
    """Return what a list says is revoked."""
    return {entry.serial_number for entry in crl}


def number(crl: x509.CertificateRevocationList) -> int:
    """Return the number of a list."""
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


@dataclass(frozen=True)
class Draft:
    """A certificate to be, of which a test changes one thing."""

    serial: int
    subject: x509.Name
    issuer: x509.Name
    begins: datetime
    ends: datetime
    key: PrivateKey
    extensions: tuple[tuple[x509.ExtensionType, bool], ...]

    def but(self, **changes: Any) -> "Draft":
        """Return it with some members changed."""
        return replace(self, **changes)

    def with_extension(
        self, value: x509.ExtensionType, *, critical: bool = False
    ) -> "Draft":
        """Return it with this extension in place of the one of the same kind."""
        return self.but(
            extensions=(*self.without(type(value)).extensions, (value, critical))
        )

    def without(self, kind: type[x509.ExtensionType]) -> "Draft":
        """Return it without the extension of this kind."""
        kept = [item for item in self.extensions if not isinstance(item[0], kind)]
        return self.but(extensions=tuple(kept))

    def critical(self, kind: type[x509.ExtensionType], *, to: bool) -> "Draft":
        """Return it with the extension of this kind made critical or not."""
        return self.but(
            extensions=tuple(
                (value, to if isinstance(value, kind) else critical)
                for value, critical in self.extensions
            )
        )

    def sign(self, by: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        """Return it signed, whatever is wrong with it."""
        builder = (
            x509.CertificateBuilder()
            .serial_number(self.serial)
            .subject_name(self.subject)
            .issuer_name(self.issuer)
            .not_valid_before(self.begins)
            .not_valid_after(self.ends)
            .public_key(self.key.public_key())
        )
        for value, critical in self.extensions:
            builder = builder.add_extension(value, critical=critical)
        return builder.sign(by, hashes.SHA256())


class Forge:
    """A root and an issuing CA in memory, whose keys sign anything a test wants."""

    def __init__(self, now: datetime = NOW) -> None:
        """Make all of them at `now`."""
        self.now = now
        self.root_key, self.issuing_key = p256(), p256()
        self.root_draft = draft_of(
            profiles.root(
                self.root_key.public_key(),
                trust_domain="shop.internal",
                lifetime=timedelta(days=3650),
                now=now,
            ),
            self.root_key,
        )
        self.root = self.root_draft.sign(self.root_key)
        self.issuing_draft = draft_of(
            profiles.issuing_ca(
                self.issuing_key.public_key(),
                trust_domain="shop.internal",
                permitted_dns=(DnsName("shop.internal"), DnsName("localhost")),
                issuer=self.root,
                lifetime=timedelta(days=180),
                now=now,
            ),
            self.issuing_key,
        )
        self.issuing = self.issuing_draft.sign(self.root_key)
        self.leaf_draft = self.draft(NAMES)

    def draft(self, names: Names, lifetime: timedelta = timedelta(days=1)) -> Draft:
        """Return the certificate of a service, as `profiles` builds it."""
        key = p256()
        builder = profiles.service(
            key.public_key(),
            names=names,
            issuer=self.issuing,
            lifetime=lifetime,
            now=self.now,
        )
        return draft_of(builder, key)


def draft_of(
    builder: x509.CertificateBuilder | Unsigned, key: ec.EllipticCurvePrivateKey
) -> Draft:
    """Return what a builder makes, as a draft in which a test changes one thing."""
    made = builder.sign(key, hashes.SHA256())
    return Draft(
        serial=made.serial_number,
        subject=made.subject,
        issuer=made.issuer,
        begins=made.not_valid_before_utc,
        ends=made.not_valid_after_utc,
        key=key,
        extensions=tuple((item.value, item.critical) for item in made.extensions),
    )
