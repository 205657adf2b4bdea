"""The files of one identity, laid out as the roll-out does (`module_utils/identity`).

    identity/renewal/{key.pem,request.pem}   from the request to the installation
    identity/generations/<serial>/{key.pem,certificate.pem,bundle.pem}
    identity/current -> generations/<serial>

What waits is not in `pending`, where a play keeps its own: a play clears that when it
finds nothing to do, and a key whose certificate was issued, and is lost, cannot be
renewed from the one before it. A key is moved and never copied; after a power cut there
is a whole generation or none.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pki.storage import make_private_directory, sync_directory, write_atomically
from services.renewal.errors import OvertakenError
from services.wire.generation import BUNDLE, CERTIFICATE, KEY

REQUEST = "request.pem"
KEEP = 3  # old generations


@dataclass(frozen=True, slots=True)
class Directory:
    """The directory that `current`, the symbolic link, lies in."""

    current: Path

    @property
    def pending(self) -> Path:
        """What waits for the CA's answer."""
        return self.current.parent / "renewal"

    @property
    def generations(self) -> Path:
        """What was installed, the last few of it."""
        return self.current.parent / "generations"

    def pending_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the key that waits for a certificate: one that is left, or a new one.

        One is left where an answer was lost; the CA answers to it again.
        """
        self._recover()
        path = self.pending / KEY
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
            if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(
                key.curve, ec.SECP256R1
            ):
                return key
        except (OSError, ValueError, TypeError):
            pass  # none, or half of one: it is worth nothing to anybody
        key = ec.generate_private_key(ec.SECP256R1())
        make_private_directory(self.pending)
        write_atomically(path, _pem(key))
        return key

    def drop_pending(self) -> None:
        """Delete a key that will not be certified any more."""
        shutil.rmtree(self.pending, ignore_errors=True)

    def write_request(self, request: x509.CertificateSigningRequest) -> None:
        """Write the request beside its key."""
        write_atomically(self.pending / REQUEST, request.public_bytes(Encoding.PEM))

    def install(
        self,
        key: ec.EllipticCurvePrivateKey,
        chain: Sequence[x509.Certificate],
        bundle: bytes,
        *,
        over: Path,
    ) -> Path:
        """Make the chain the current generation, and return its directory.

        Args:
            key: the one that waits; written again if it is gone.
            chain: what to present, leaf first.
            bundle: the roots to trust, in PEM.
            over: the generation that it follows.

        Raises:
            OvertakenError: another generation is the current one.
        """
        make_private_directory(self.pending)
        if not (self.pending / KEY).exists():
            write_atomically(self.pending / KEY, _pem(key))
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
        write_atomically(self.pending / CERTIFICATE, pem)
        write_atomically(self.pending / BUNDLE, bundle)
        (self.pending / REQUEST).unlink(missing_ok=True)
        self._check_current(over)
        made = self.generations / format(chain[0].serial_number, "x")
        self.pending.rename(made)
        sync_directory(self.generations)
        sync_directory(self.current.parent)
        self.turn(made, over=over)
        self._drop_old()
        return made

    def take_back(self, made: Path, *, old: Path) -> None:
        """Make the generation `old` the current one again instead of `made`.

        The key goes back to where it waited, so that the next try gets the same
        certificate; the CA would not renew the old one for another key.

        Raises:
            OvertakenError: a third generation is the current one.
        """
        self.turn(old, over=made)
        (made / CERTIFICATE).unlink(missing_ok=True)
        (made / BUNDLE).unlink(missing_ok=True)
        made.rename(self.pending)
        sync_directory(self.current.parent)

    def turn(self, to: Path, *, over: Path) -> None:
        """Point the link to `to`, in one step, if it points to `over`.

        Raises:
            OvertakenError: it points elsewhere.
        """
        self._check_current(over)
        beside = self.current.with_name("current.renewal")
        beside.unlink(missing_ok=True)
        beside.symlink_to(Path("generations") / to.name)
        beside.replace(self.current)
        sync_directory(self.current.parent)

    def _recover(self) -> None:
        """Let the key of a newer generation, which was never put in place, wait again.

        Whoever died before the link was turned has left it, or a play that went back.
        The CA renews for no other key now.
        """
        if (self.pending / KEY).exists():
            return
        newer = max(self.generations.iterdir(), key=_begin)
        if _begin(newer) > _begin(self.current):
            self.drop_pending()
            newer.rename(self.pending)
            sync_directory(self.current.parent)

    def _check_current(self, expected: Path) -> None:
        # A play that turns the link in the microseconds from here to the renaming loses
        # its generation to ours: both are good, and the next play finds that out.
        if self.current.resolve() != expected.resolve():
            raise OvertakenError(f"{self.current} was turned by somebody else")

    def _drop_old(self) -> None:
        """Delete all but the current generation and the newest few before it."""
        current = self.current.resolve()
        old = [one for one in self.generations.iterdir() if one.resolve() != current]
        for directory in sorted(old, key=_age, reverse=True)[KEEP:]:
            shutil.rmtree(directory, ignore_errors=True)


def _begin(directory: Path) -> datetime:
    """Return from when on the certificate of a generation is valid."""
    try:
        pem = (directory / CERTIFICATE).read_bytes()
        return x509.load_pem_x509_certificate(pem).not_valid_before_utc
    except (OSError, ValueError):
        return datetime.min.replace(tzinfo=UTC)


def _age(directory: Path) -> int:
    return directory.stat().st_mtime_ns


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
