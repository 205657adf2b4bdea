"""Independent verifiers agree on what our CA issues, and on what it never would.

Three of them: the one of `cryptography`, OpenSSL's library through pyOpenSSL, and the
`openssl` command in its strict mode.
"""

import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from OpenSSL import crypto

from pki import clock
from pki.identity import DnsName, Names
from tests.pki.builders import NAMES, NOW, Ca, Forge, alternative, csr, dns

Chain = tuple[x509.Certificate, x509.Certificate, x509.Certificate]
Verifier = Callable[[Chain, datetime, Path], bool]


def by_cryptography_as_client(chain: Chain, now: datetime, directory: Path) -> bool:
    """Ask whether a server may accept this client."""
    leaf, issuing, root = chain
    builder = verification.PolicyBuilder().store(verification.Store([root])).time(now)
    try:
        builder.build_client_verifier().verify(leaf, [issuing])
    except verification.VerificationError:
        return False
    return True


def by_cryptography_as_server(chain: Chain, now: datetime, directory: Path) -> bool:
    """Ask whether a client may accept this server as localhost."""
    leaf, issuing, root = chain
    builder = verification.PolicyBuilder().store(verification.Store([root])).time(now)
    try:
        builder.build_server_verifier(x509.DNSName("localhost")).verify(leaf, [issuing])
    except verification.VerificationError:
        return False
    return True


def by_pyopenssl(chain: Chain, now: datetime, directory: Path) -> bool:
    """Ask OpenSSL's library."""
    leaf, issuing, root = map(crypto.X509.from_cryptography, chain)
    store = crypto.X509Store()
    store.add_cert(root)
    store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    store.set_time(now)
    try:
        crypto.X509StoreContext(store, leaf, [issuing]).verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True


def by_openssl(chain: Chain, now: datetime, directory: Path) -> bool:
    """Ask the openssl command, strictly, for both sides of TLS."""
    names = ("leaf.pem", "issuing.pem", "root.pem")
    for name, certificate in zip(names, chain, strict=True):
        (directory / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    asked = [
        *("openssl", "verify", "-x509_strict", "-attime", str(int(now.timestamp()))),
        *("-CAfile", "root.pem", "-untrusted", "issuing.pem"),
    ]
    sides = [
        subprocess.run(
            [*asked, "-purpose", purpose, "leaf.pem"],
            cwd=directory,
            capture_output=True,
            check=False,
        ).returncode
        for purpose in ("sslserver", "sslclient")
    ]
    assert sides[0] == sides[1]
    return sides[0] == 0


VERIFIERS = [
    by_cryptography_as_client,
    by_cryptography_as_server,
    by_pyopenssl,
    pytest.param(
        by_openssl,
        marks=pytest.mark.skipif(
            not shutil.which("openssl"), reason="there is no openssl command here"
        ),
    ),
]
every_verifier = pytest.mark.parametrize("accepts", VERIFIERS)


@every_verifier
def test_issued_chain_is_accepted(ca: Ca, tmp_path: Path, accepts: Verifier) -> None:
    """What the authority issues, straight from its answer."""
    batch = ca.issue(("orders@localhost", csr()))
    leaf = batch.answers[0].certificate
    assert leaf
    assert accepts((leaf, batch.issuing, batch.root), clock.utc_now(), tmp_path)


@every_verifier
def test_expired_chain_is_refused(ca: Ca, tmp_path: Path, accepts: Verifier) -> None:
    """The same chain two days later."""
    batch = ca.issue(("orders@localhost", csr()))
    leaf = batch.answers[0].certificate
    assert leaf
    later = clock.utc_now() + timedelta(days=2)
    assert not accepts((leaf, batch.issuing, batch.root), later, tmp_path)


@every_verifier
def test_chain_of_another_root_is_refused(
    forge: Forge, tmp_path: Path, accepts: Verifier
) -> None:
    """The same names under a root of the same name, but with another key."""
    leaf = forge.leaf_draft.sign(forge.issuing_key)
    assert accepts((leaf, forge.issuing, forge.root), NOW, tmp_path)
    assert not accepts((leaf, forge.issuing, Forge().root), NOW, tmp_path)


@every_verifier
def test_name_constraint_holds_everywhere(
    forge: Forge, tmp_path: Path, accepts: Verifier
) -> None:
    """A stolen issuing key cannot name a host of another domain."""
    names = alternative(*NAMES.as_general_names(), *dns("orders.other.internal"))
    draft = forge.leaf_draft.with_extension(names, critical=True)
    leaf = draft.sign(forge.issuing_key)
    assert not accepts((leaf, forge.issuing, forge.root), NOW, tmp_path)


@every_verifier
def test_one_dns_name_is_enough(
    forge: Forge, tmp_path: Path, accepts: Verifier
) -> None:
    """A service with one DNS name only is as good as one with two."""
    names = Names(NAMES.spiffe_id, (DnsName("localhost"),))
    leaf = forge.draft(names).sign(forge.issuing_key)
    assert accepts((leaf, forge.issuing, forge.root), NOW, tmp_path)
