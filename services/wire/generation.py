"""A generation: one set of key, certificate, issuing chain and trust bundle.

What an instance presents and trusts lies in a directory that is never changed once it
is written; `identity/current` is a symbolic link to it. A renewal writes a new
directory and turns the link, so that a reader sees all of the old or all of the new.
`LiveIdentity` follows the link for `wire.tls` (each handshake) and `wire.client` (each
request).

A loaded generation has a key that belongs to its certificate, the name that was
expected, and a chain to its own bundle that is trusted as `pki.trust` says, by which
peers with the same bundle go. That the certificate is in date is for them to judge, and
that the bundle is the right one for whoever installed it.
"""

import os
import stat
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from pki.errors import PkiError
from pki.identity import IdentityError, SpiffeId, spiffe_id_of
from pki.trust import TrustBundle, verify_chain
from services.errors import ServiceError
from services.watched import Watched

KEY = "key.pem"
CERTIFICATE = "certificate.pem"  # the leaf first, then its issuing CA
BUNDLE = "bundle.pem"  # the roots of the trust domain, nothing else

_PERMITTED_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class GenerationError(ServiceError):
    """A directory holds no complete, consistent identity."""

    code = "invalid_generation"


class MissingFileError(GenerationError):
    """One of the three files is not there or cannot be read."""


class ExposedKeyError(GenerationError):
    """Somebody beside the owner may read or change the key."""


class UnreadableFileError(GenerationError):
    """A file holds no PEM of the kind its name says."""


class WrongKeyError(GenerationError):
    """The key does not belong to the certificate."""


class WrongIdentityError(GenerationError):
    """The certificate names somebody else than expected."""


class UntrustedChainError(GenerationError):
    """By the bundle, the chain is not that of a workload that anybody would trust."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One consistent identity on disk; `thumbprint` as in RFC 8705, section 3.1."""

    directory: Path
    certificate: x509.Certificate
    spiffe_id: SpiffeId
    thumbprint: str
    bundle: str  # SHA-256 of the file, in hex
    not_after: datetime
    serial: int
    path: tuple[str, ...]  # in PEM, from the leaf to a root of the bundle

    @classmethod
    def load(cls, directory: Path, expected: SpiffeId) -> "Generation":
        """Read the directory behind `directory`, which may be a symbolic link to it.

        Raises:
            MissingFileError: a file is absent or unreadable.
            ExposedKeyError: the key's mode grants anything to group or others.
            UnreadableFileError: a file is not the PEM it should be.
            WrongKeyError: key and certificate do not belong together.
            WrongIdentityError: the certificate's SPIFFE ID is not `expected`.
            UntrustedChainError: the chain does not end at the bundle.
        """
        # The link is resolved once, here: a turn of it in the middle of the reading
        # must not mix two generations.
        try:
            resolved = directory.resolve(strict=True)
        except OSError as error:
            raise MissingFileError(f"{directory}: {error.strerror}") from error
        leaf, *issuers = _certificates(resolved / CERTIFICATE)
        _check_key(resolved / KEY, leaf)
        _check_name(leaf, expected)
        path = _path([leaf, *issuers], resolved / BUNDLE, expected.trust_domain)
        return cls(
            directory=resolved,
            certificate=leaf,
            spiffe_id=expected,
            thumbprint=thumbprint(leaf),
            bundle=sha256(_read(resolved / BUNDLE)).hexdigest(),
            not_after=leaf.not_valid_after_utc,
            serial=leaf.serial_number,
            path=tuple(one.public_bytes(Encoding.PEM).decode() for one in path),
        )

    @property
    def key_path(self) -> Path:
        """The one copy of the private key."""
        return self.directory / KEY

    @property
    def certificate_path(self) -> Path:
        """The chain to present, leaf first."""
        return self.directory / CERTIFICATE

    @property
    def bundle_path(self) -> Path:
        """The roots to trust."""
        return self.directory / BUNDLE


class LiveIdentity:
    """The identity behind a symbolic link, as of now.

    `current` looks at the disk at most once a second of `monotonic`. A new generation
    that cannot be used leaves the old one in place and is logged once.
    """

    def __init__(
        self,
        path: Path,
        expected: SpiffeId,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the present generation.

        Raises:
            GenerationError: it cannot be used; there is no older one to fall back to.
        """
        self.path = path
        self.expected = expected
        self._watched = Watched(
            lambda: Generation.load(path, expected),
            lambda: _stamp(path),
            name=f"identity {expected}",
            monotonic=monotonic,
        )

    def current(self) -> Generation:
        """Return the newest usable generation."""
        return self._watched.current()


def _stamp(path: Path) -> object:
    """Return what changes when the link is turned, or a refused file is repaired."""
    try:
        directory = path.resolve(strict=True)
        # The time of the last change of status tells of a new mode, too.
        files = [(directory / name).stat() for name in (KEY, CERTIFICATE, BUNDLE)]
    except OSError as error:
        return error.errno, error.filename
    return directory, [(file.st_ino, file.st_ctime_ns) for file in files]


def thumbprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the DER form in base64url: 43 characters, no padding."""
    return urlsafe_b64encode(certificate.fingerprint(SHA256())).rstrip(b"=").decode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingFileError(f"{path}: {error.strerror}") from error


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise MissingFileError(f"{path}: {error.strerror}") from error


def _certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates in the file, at least one."""
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise UnreadableFileError(f"{path}: no PEM certificates: {error}") from error


def _check_key(path: Path, leaf: x509.Certificate) -> None:
    """Check that the key is private to its owner and belongs to `leaf`."""
    mode = stat.S_IMODE(_stat(path).st_mode)
    if mode & _PERMITTED_TO_OTHERS:
        raise ExposedKeyError(f"{path}: mode {mode:04o}, 0600 is needed")
    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause is left out: it may quote what it could not parse.
        raise UnreadableFileError(f"{path}: no unencrypted PEM key") from None
    try:
        certified = _spki(leaf)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnreadableFileError(f"{CERTIFICATE}: key of no known kind") from error
    if _spki(key) != certified:
        raise WrongKeyError(f"{path}: does not belong to {CERTIFICATE} beside it")


def _spki(holder: PrivateKeyTypes | x509.Certificate) -> bytes:
    return holder.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def _check_name(leaf: x509.Certificate, expected: SpiffeId) -> None:
    try:
        found = spiffe_id_of(leaf)
    except IdentityError as error:
        raise WrongIdentityError(f"{error}, expected {expected}") from error
    if found != expected:
        raise WrongIdentityError(f"certificate is for {found}, expected {expected}")


def _path(
    chain: Sequence[x509.Certificate], path: Path, trust_domain: str
) -> Sequence[x509.Certificate]:
    """Return the path by which peers with this bundle trust the chain, in its time."""
    try:
        bundle = TrustBundle(trust_domain, tuple(_certificates(path)))
        # Its last moment: issuers live on, and whether it is over the peers will say.
        return verify_chain(
            chain, bundle, now=chain[0].not_valid_after_utc
        ).certificates
    except PkiError as error:
        raise UntrustedChainError(f"{path.parent}: {error}") from error
