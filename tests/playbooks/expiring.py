"""Certificates that have expired: the present ones, as they would be days from now.

The CA does not sign what is over, and the machine's clock is nobody's to set. So its
key is opened, in a copy, by the passphrase that the controller has, and each of them is
signed once more with its own key and names, and with dates of the past.
"""

import shlex
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from pki.keys import unseal
from tests.playbooks.lab_rolling import LabRolling

_DAYS = timedelta(days=3)
_SEALED = "/var/lib/certbound/ca/issuing.key.sealed"


def issuing_key(rolling: LabRolling) -> EllipticCurvePrivateKey:
    """Return the key of the lab's issuing CA, opened."""
    sealed = rolling.lab.ssh.run("ca", f"sudo cat {_SEALED}").encode()
    passphrase = rolling.controller / "secrets" / "issuing-passphrase"
    return unseal(sealed, passphrase.read_bytes().strip(), purpose="issuing")


def expire(
    rolling: LabRolling, host: str, service: str, key: EllipticCurvePrivateKey
) -> None:
    """Have a host's certificate be over, and its process know it."""
    ssh = rolling.lab.ssh
    path = Path(f"/var/lib/certbound/services/{service}/identity/current")
    file = shlex.quote(str(path / "certificate.pem"))
    leaf, issuer = x509.load_pem_x509_certificates(
        ssh.run(host, f"sudo cat {file}").encode() + b"\n"
    )
    over = (
        x509.CertificateBuilder(extensions=list(leaf.extensions))
        .subject_name(leaf.subject)
        .issuer_name(leaf.issuer)
        .public_key(leaf.public_key())
        .serial_number(leaf.serial_number)
        .not_valid_before(leaf.not_valid_before_utc - _DAYS)
        .not_valid_after(leaf.not_valid_after_utc - _DAYS)
        .sign(key, SHA256())
    )
    chain = b"".join(one.public_bytes(Encoding.PEM) for one in (over, issuer))
    ssh.run(host, f"sudo tee {file} >/dev/null", stdin=chain.decode())
    ssh.attempt(host, f"sudo timeout 5 systemctl restart certbound-{service}.service")
