"""Good and bad chains of every kind of certificate that the CA makes, for verifiers.

Each bad chain has one fault, and its good one beside it. They are made now and asked
about now: not every verifier can be told another time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pki import clock, profiles
from tests.pki.builders import (
    NAMES,
    Draft,
    Forge,
    alternative,
    dns,
    draft_of,
    p256,
)

HOST = "localhost"
Issuer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@dataclass(frozen=True)
class Chain:
    """One question: may the first certificate be trusted for a purpose?

    The purpose is server, client, authority (to sign others) or answers (of OCSP).
    """

    profile: str
    fault: str  # none: a good chain
    purpose: str
    presented: tuple[x509.Certificate, ...]
    root: x509.Certificate

    @property
    def name(self) -> str:
        """What tells it from the others; the name of a directory."""
        return "-".join((self.profile, self.fault or "good", self.purpose)).replace(
            " ", "_"
        )

    def write(self, directory: Path) -> Path:
        """Write it in a directory of its own, and what is asked."""
        place = directory / self.name
        place.mkdir()
        parts = {"root": [self.root], "all": self.presented}
        parts |= {"leaf": self.presented[:1], "between": self.presented[1:]}
        for name, certificates in parts.items():
            pems = [one.public_bytes(Encoding.PEM) for one in certificates]
            (place / f"{name}.pem").write_bytes(b"".join(pems))
        for number, one in enumerate(self.presented):
            pem = one.public_bytes(Encoding.PEM)
            (place / f"presented-{number}.pem").write_bytes(pem)
        (place / "asked").write_text(f"{self.purpose} {HOST}\n")
        return place


def chains() -> list[Chain]:
    """Return all of them."""
    forge = Forge(clock.utc_now())
    return [
        *_services(forge),
        *_authorities(forge),
        *_roots(forge),
        *_responders(forge),
        *_crossed(forge),
    ]


def _expired(draft: Draft) -> Draft:
    return draft.but(ends=draft.begins + timedelta(seconds=1))


def _services(forge: Forge) -> Iterator[Chain]:
    good, key = forge.leaf_draft, forge.issuing_key
    outside = alternative(*NAMES.as_general_names(), *dns("orders.other.internal"))
    leaves = {
        "": good.sign(key),
        "expired": _expired(good).sign(key),
        "forged": good.sign(p256()),
        "outside the constraint": good.with_extension(outside, critical=True).sign(key),
    }
    for fault, leaf in leaves.items():
        for purpose in ("server", "client"):
            presented = (leaf, forge.issuing)
            yield Chain("service", fault, purpose, presented, forge.root)


def _authorities(forge: Forge) -> Iterator[Chain]:
    """Yield issuing CAs, each asked about itself and about a service below it."""
    good, root = forge.issuing_draft, forge.root_key
    none = x509.BasicConstraints(ca=False, path_length=None)
    authorities = {
        "": good.sign(root),
        "expired": _expired(good).sign(root),
        "forged": good.sign(p256()),
        "no CA": good.with_extension(none, critical=True).sign(root),
    }
    leaf = forge.leaf_draft.sign(forge.issuing_key)
    for fault, issuing in authorities.items():
        yield Chain("issuing CA", fault, "authority", (issuing,), forge.root)
        yield Chain("issuing CA", fault, "server", (leaf, issuing), forge.root)
    key = p256()
    below = good.but(subject=_called("below"), issuer=forge.issuing.subject, key=key)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    below = below.with_extension(own).with_extension(_signed_by(forge.issuing))
    middle = below.sign(forge.issuing_key)
    draft = forge.leaf_draft.but(issuer=middle.subject)
    leaf_below = draft.with_extension(_signed_by(middle)).sign(key)
    deep = (leaf_below, middle, forge.issuing)
    yield Chain("issuing CA", "makes another CA", "server", deep, forge.root)


def _roots(forge: Forge) -> Iterator[Chain]:
    """Yield roots that a service's good chain leads to."""
    good, key = forge.root_draft, forge.root_key
    none = x509.BasicConstraints(ca=False, path_length=None)
    roots = {
        "": good.sign(key),
        "expired": _expired(good).sign(key),
        "of the same name": Forge(forge.now).root,
        "no CA": good.with_extension(none, critical=True).sign(key),
    }
    presented = (forge.leaf_draft.sign(forge.issuing_key), forge.issuing)
    for fault, root in roots.items():
        yield Chain("root", fault, "client", presented, root)


def _responders(forge: Forge) -> Iterator[Chain]:
    key = p256()
    builder = profiles.responder(
        key.public_key(),
        trust_domain="shop.internal",
        issuer=forge.issuing,
        lifetime=timedelta(days=7),
        now=forge.now,
    )
    good = draft_of(builder, key)
    responders = {
        "": good.sign(forge.issuing_key),
        "expired": _expired(good).sign(forge.issuing_key),
        "forged": good.sign(p256()),
        "a service": forge.leaf_draft.sign(forge.issuing_key),
    }
    for fault, leaf in responders.items():
        yield Chain("responder", fault, "answers", (leaf, forge.issuing), forge.root)


def _crossed(forge: Forge) -> Iterator[Chain]:
    """Yield chains over a root's cross certificate (RFC 4210, section 4.4)."""
    new = Forge(forge.now)
    over = {"new with old": (forge, new), "old with new": (new, forge)}
    for which, (trusted, other) in over.items():
        builder = profiles.cross(
            other.root,
            issuer=trusted.root,
            lifetime=timedelta(days=180),
            now=forge.now,
        )
        good = draft_of(builder, other.root_key)
        none = x509.BasicConstraints(ca=False, path_length=None)
        crosses = {
            "": good.sign(trusted.root_key),
            "expired": _expired(good).sign(trusted.root_key),
            "forged": good.sign(p256()),
            "no CA": good.with_extension(none, critical=True).sign(trusted.root_key),
        }
        leaf = other.leaf_draft.sign(other.issuing_key)
        for fault, cross in crosses.items():
            presented = (leaf, other.issuing, cross)
            yield Chain(which, fault, "server", presented, trusted.root)


def _called(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed_by(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    key = issuer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
