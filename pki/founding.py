"""Found the CA, or complete one: ledger, root, issuing CA, policy.

`python -m pki init` calls `found`. Each step leaves the directory in a state from
which the next run goes on: a key is on the disk before anything is signed with it, a
certificate is in the ledger before it becomes a file, and a file is whole or absent.
A key that exists is never replaced. The root's key is opened for one purpose, to
certify the issuing CA, and the passphrases are asked for only when they are needed.

A second certificate for the same issuing key is made in one case: the policy permits
a DNS domain that the certificate in use does not. The old one stays valid beside it.
"""

from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki import clock, keys, profiles
from pki.errors import PkiError
from pki.identity import trust_domain_uri
from pki.layout import Layout
from pki.ledger import Ledger, create_ledger, is_missing, open_ledger
from pki.policy import Policy
from pki.request import spki_sha256
from pki.signing import Holder, place_order, sign_and_record
from pki.storage import (
    check_private,
    exclusive,
    make_private_directory,
    write_atomically,
)


class FoundingError(PkiError):
    """What lies in the directory does not fit what is asked for."""

    code = "founding_refused"


class LedgerLostError(FoundingError):
    """There are certificates but no ledger that knows them."""

    code = "ledger_lost"


class KeyLostError(FoundingError):
    """There is a certificate but no key for it."""

    code = "key_lost"


class ForeignRootError(FoundingError):
    """The CA here was founded for another trust domain."""

    code = "foreign_root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passphrases:
    """How to get each passphrase, called only when it is needed."""

    root: Callable[[], bytes]
    issuing: Callable[[], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a directory holds, and what it lacks for a policy."""

    missing: tuple[str, ...]
    policy_changed: bool
    root: x509.Certificate | None
    issuing: x509.Certificate | None


def inspect(layout: Layout, policy: Policy) -> State:
    """Return what `found` would make, changing nothing.

    Raises:
        LedgerLostError: there is a certificate but no ledger.
        KeyLostError: there is an issuing certificate but no key.
        ForeignRootError: the root is one of another trust domain.
    """
    root = issuing = None
    no_ledger = is_missing(layout.ledger)
    if no_ledger:
        _check_nothing_signed(layout)
    else:
        with open_ledger(layout.ledger) as ledger:
            root, issuing = recorded(ledger, "root"), recorded(ledger, "issuing")
    if root:
        _check_trust_domain(root, policy)
    has_issuing_key = layout.sealed_key("issuing").exists()
    if issuing and not has_issuing_key:
        raise KeyLostError(
            f"{layout.sealed_key('issuing')} is gone, but its certificate is in the "
            "ledger: restore the file from a backup"
        )
    stored = layout.policy.read_bytes() if layout.policy.exists() else None
    missing = {
        "ledger": no_ledger,
        # A root key may be kept elsewhere once its certificate exists.
        "root_key": not root and not layout.sealed_key("root").exists(),
        "root_certificate": not _is_written(layout, "root", root),
        "issuing_key": not has_issuing_key,
        "issuing_certificate": not _is_written(layout, "issuing", issuing)
        or not _permits(issuing, policy),
        "policy": stored is None,
    }
    return State(
        missing=tuple(name for name, lacking in missing.items() if lacking),
        policy_changed=stored is not None and stored != policy.text,
        root=root,
        issuing=issuing,
    )


def found(
    layout: Layout,
    policy: Policy,
    *,
    passphrases: Passphrases,
    run_id: str,
    cost: keys.Cost = keys.RECOMMENDED,
) -> tuple[State, State]:
    """Make what is missing and return the state before and after.

    Raises:
        PkiError: what `inspect` refuses, a passphrase that is weak (for a new key) or
            wrong (for one that exists), or a clock behind the ledger.
    """
    make_private_directory(layout.directory)
    check_private(layout.directory)
    with exclusive(layout.lock):
        before = inspect(layout, policy)
        create_ledger(layout.ledger)
        with open_ledger(layout.ledger) as ledger:
            founder = _Founder(layout, policy, ledger, passphrases, run_id, cost)
            root = before.root or founder.certify_root()
            founder.write("root", root)
            founder.make_issuing_key()
            issuing = before.issuing
            if issuing is None or not _permits(issuing, policy):
                issuing = founder.certify_issuing(root)
            founder.write("issuing", issuing)
        if "policy" in before.missing or before.policy_changed:
            write_atomically(layout.policy, policy.text)
        return before, inspect(layout, policy)


def recorded(ledger: Ledger, identity: str) -> x509.Certificate | None:
    """Return the newest certificate of `identity` in the ledger, None without one."""
    entry = ledger.newest_issued(identity)
    if entry is None or entry.certificate is None:
        return None
    return x509.load_der_x509_certificate(b64decode(entry.certificate))


@dataclass
class _Founder:
    """One run: opens or makes the root key at most once."""

    layout: Layout
    policy: Policy
    ledger: Ledger
    passphrases: Passphrases
    run_id: str
    cost: keys.Cost
    _root_key: ec.EllipticCurvePrivateKey | None = None

    def certify_root(self) -> x509.Certificate:
        key, now = self._open_root(), clock.utc_now()
        builder = profiles.root(
            key.public_key(),
            trust_domain=self.policy.trust_domain,
            lifetime=self.policy.root_lifetime,
            now=now,
        )
        return self._sign(builder, key.public_key(), "root", None, now)

    def certify_issuing(self, root: x509.Certificate) -> x509.Certificate:
        now = clock.utc_now()
        sealed = keys.read_sealed(self.layout.sealed_key("issuing"))
        key = keys.public_key(sealed, purpose="issuing")
        builder = profiles.issuing_ca(
            key,
            trust_domain=self.policy.trust_domain,
            permitted_dns=self.policy.permitted_dns,
            issuer=root,
            lifetime=self.policy.issuing_lifetime,
            now=now,
        )
        return self._sign(builder, key, "issuing", root, now)

    def make_issuing_key(self) -> None:
        if not self.layout.sealed_key("issuing").exists():
            self._make_key("issuing", self.passphrases.issuing)

    def write(self, purpose: str, certificate: x509.Certificate) -> None:
        if not _is_written(self.layout, purpose, certificate):
            write_atomically(self.layout.certificate(purpose), _pem(certificate))

    def _open_root(self) -> ec.EllipticCurvePrivateKey:
        path = self.layout.sealed_key("root")
        if self._root_key is None and path.exists():
            self._root_key = keys.unseal(
                keys.read_sealed(path), self.passphrases.root(), purpose="root"
            )
        elif self._root_key is None:
            self._root_key = self._make_key("root", self.passphrases.root)
        return self._root_key

    def _make_key(
        self, purpose: str, passphrase: Callable[[], bytes]
    ) -> ec.EllipticCurvePrivateKey:
        key = keys.make_key()
        sealed = keys.seal(key, passphrase(), purpose=purpose, cost=self.cost)
        write_atomically(self.layout.sealed_key(purpose), sealed)
        return key

    def _sign(
        self,
        builder: x509.CertificateBuilder,
        key: ec.EllipticCurvePublicKey,
        kind: str,
        issuer: x509.Certificate | None,
        now: datetime,
    ) -> x509.Certificate:
        order = place_order(
            builder,
            Holder(
                kind=kind,
                identity=kind,
                spiffe_id=trust_domain_uri(self.policy.trust_domain),
                spki_sha256=spki_sha256(key),
            ),
            issuer=issuer,
            now=now,
            run_id=self.run_id,
        )
        (certificate,) = sign_and_record(self.ledger, [order], self._open_root())
        return certificate


def _check_nothing_signed(layout: Layout) -> None:
    for purpose in ("root", "issuing"):
        if layout.certificate(purpose).exists():
            raise LedgerLostError(
                f"{layout.certificate(purpose)} exists but {layout.ledger} does not: "
                "restore the ledger from a backup"
            )


def _check_trust_domain(root: x509.Certificate, policy: Policy) -> None:
    names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uri = trust_domain_uri(policy.trust_domain)
    if uri not in names.get_values_for_type(x509.UniformResourceIdentifier):
        raise ForeignRootError(
            f"the root here was not made for {uri}: "
            "another trust domain needs a directory of its own"
        )


def _permits(issuing: x509.Certificate | None, policy: Policy) -> bool:
    permitted = profiles.permitted_dns_of(issuing) if issuing else ()
    return all(
        any(map(domain.lies_within, permitted)) for domain in policy.permitted_dns
    )


def _is_written(
    layout: Layout, purpose: str, certificate: x509.Certificate | None
) -> bool:
    path = layout.certificate(purpose)
    return (
        certificate is not None
        and path.exists()
        and path.read_bytes() == _pem(certificate)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
