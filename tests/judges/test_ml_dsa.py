"""Others verify what the parallel CA signs: another ML-DSA, another path, a linter."""

from base64 import b64encode
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from pki.ledger import open_ledger
from pki.ml_dsa import keys, statement
from pki.ml_dsa.authority import ParallelCa, Passphrases
from tests.judges.npm import Node
from tests.judges.verdicts import Judge, Verdict
from tests.pki.builders import CHEAP, Ca, policy_document
from tests.pki.flows.test_revocation_judges import ALLOWED, ask_pkilint, put

PASSPHRASE = b"parallel passphrase of the judges"
PublicKey = mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey


@dataclass(frozen=True)
class Chain:
    """A statement, and the parallel CA above it."""

    ca: Ca
    statement: x509.Certificate
    issuing: x509.Certificate
    root: x509.Certificate

    def signed(self) -> list[tuple[x509.Certificate, x509.Certificate]]:
        """Return each certificate with its issuer."""
        return [
            (self.statement, self.issuing),
            (self.issuing, self.root),
            (self.root, self.root),
        ]


def vouched(directory: Path) -> Chain:
    """Return a chain of a new CA, whose names are names of the web, too."""
    document = policy_document()
    document["permitted_dns"] = ["shop.internal"]
    for identity in document["identities"].values():
        identity["dns_names"] = identity["dns_names"][:1]
    ca = Ca.found(directory, document)
    ca.one()
    passphrases = Passphrases(root=lambda: PASSPHRASE, issuing=lambda: PASSPHRASE)
    parallel = ParallelCa(ca.layout, passphrases, "judges", cost=CHEAP)
    parallel.found()
    parallel.sign()
    with open_ledger(ca.layout.ledger) as ledger:
        pem = statement.shown(ledger, "orders@localhost").encode()
    said, issuing = x509.load_pem_x509_certificates(pem)
    return Chain(ca, said, issuing, ca.certificate(statement.ROOT))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Return the chain that is judged."""
    return vouched(tmp_path_factory.mktemp("chain") / "ca")


def encoded(value: bytes) -> str:
    """Return bytes as JSON takes them."""
    return b64encode(value).decode()


def kind_of(key: PublicKey) -> str:
    """Return the name of a key's parameters."""
    return "ML-DSA-65" if isinstance(key, mldsa.MLDSA65PublicKey) else "ML-DSA-87"


def of_signature(
    subject: x509.Certificate, issuer: x509.Certificate, message: bytes
) -> dict[str, str]:
    """Return what a verifier of the signature alone needs."""
    key = issuer.public_key()
    assert isinstance(key, PublicKey)
    return {
        "kind": kind_of(key),
        "key": encoded(key.public_bytes_raw()),
        "message": encoded(message),
        "signature": encoded(subject.signature),
    }


def test_another_ml_dsa_agrees(chain: Chain, node: Node, verdict: Verdict) -> None:
    """Each signature, none over another byte; and the keys that follow from seeds."""
    good, bad = [], []
    for subject, issuer in chain.signed():
        message = bytearray(subject.tbs_certificate_bytes)
        good.append(of_signature(subject, issuer, bytes(message)))
        message[-1] ^= 1
        bad.append(of_signature(subject, issuer, bytes(message)))
    seeds, public = [], []
    for purpose in (statement.ISSUING, statement.ROOT):
        sealed = chain.ca.layout.sealed_key(purpose).read_bytes()
        key = keys.unseal(sealed, PASSPHRASE, purpose=purpose)
        kind = kind_of(key.public_key())
        seeds.append({"kind": kind, "seed": encoded(key.private_bytes_raw())})
        public.append(encoded(key.public_key().public_bytes_raw()))
    said = node.run("ml-dsa.mjs", {"signatures": good + bad, "seeds": seeds})
    assert said == {"verified": [True] * 3 + [False] * 3, "keys": public}
    judge = node.judge("@noble/post-quantum")
    verdict(judge, accepted="signatures, keys of seeds", refused="one bit more")


def test_openssl_follows_the_path(
    chain: Chain, verdict: Verdict, tmp_path: Path
) -> None:
    """Strictly, up to the parallel root, and to no other one of these names."""
    other = vouched(tmp_path / "other")
    assert verifies(chain, chain.root)
    assert not verifies(chain, other.root)
    assert not verifies(chain, chain.ca.certificate("root"))
    version = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode().split()[1]
    judge = Judge("OpenSSL (pyOpenSSL)", version)
    verdict(judge, accepted="ML-DSA statements", refused="under other roots")


def verifies(chain: Chain, root: x509.Certificate) -> bool:
    """Return whether OpenSSL finds a path from the statement to `root`."""
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(root))
    store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    context = crypto.X509StoreContext(
        store,
        crypto.X509.from_cryptography(chain.statement),
        [crypto.X509.from_cryptography(chain.issuing)],
    )
    try:
        context.verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True


def test_pkilint_finds_nothing(chain: Chain, verdict: Verdict, tmp_path: Path) -> None:
    """In the three certificates, but that spiffe is a scheme."""
    paths = [
        put(tmp_path, "certificate", name, one.public_bytes(Encoding.DER))
        for name, one in (
            ("root", chain.root),
            ("issuing", chain.issuing),
            ("statement", chain.statement),
        )
    ]
    found = ask_pkilint(paths)
    assert len(found) == len(paths)
    for name, codes in found.items():
        assert codes <= ALLOWED, name
    judge = Judge("pkilint", metadata.version("pkilint"))
    verdict(judge, accepted="ML-DSA certificates")
