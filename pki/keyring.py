"""The CA's keys while they are open: each is opened when it is first needed, and kept.

Opening one costs a quarter of a second on purpose (`keys`), so whoever signs more than
once in its life holds one keyring: the CA's front, a rotation. `authority`, `upkeep`
and `withdrawal` take it instead of passphrases; each key is told by its certificate,
because the keys of several generations may be in use.

What this does not prove: see `keys`. An opened key is readable to whoever may read
this process's memory, for as long as the keyring lives.
"""

from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki import keys
from pki.envelope import Cost, SealedKeyError
from pki.errors import PkiError
from pki.layout import Layout
from pki.pointers import authority_of
from pki.storage import write_atomically


class WrongIssuingKeyError(PkiError):
    """The CA's keys and certificates do not belong together, or are not ours."""

    code = "wrong_issuing_key"


class KeyElsewhereError(SealedKeyError):
    """The key's file is not in the directory: that of an offline root never is."""

    code = "key_elsewhere"


class Keyring:
    """The keys of the CA in one directory; used by one thread at a time."""

    def __init__(
        self,
        layout: Layout,
        *,
        issuing: Callable[[], bytes],
        root: Callable[[], bytes] | None = None,
    ) -> None:
        """Take how to get each passphrase; without one, roots stay closed."""
        self._layout = layout
        self._passphrases = {"issuing": issuing, "root": root}
        self._open: dict[str, ec.EllipticCurvePrivateKey] = {}

    @property
    def has_root(self) -> bool:
        """Whether it opens the keys of roots, too."""
        return self._passphrases["root"] is not None

    def open(
        self, purpose: str, certificate: x509.Certificate
    ) -> ec.EllipticCurvePrivateKey:
        """Return the key of a CA certificate; `purpose` is root or issuing.

        Raises:
            SealedKeyError: it cannot be opened.
            WrongIssuingKeyError: it is not the certificate's.
        """
        authority = authority_of(certificate)
        key = self.open_file(purpose, authority)
        if key.public_key() != certificate.public_key():
            path = self._layout.sealed_key(purpose, authority)
            raise WrongIssuingKeyError(f"{path} does not belong to the certificate")
        return key

    def open_file(self, purpose: str, authority: str) -> ec.EllipticCurvePrivateKey:
        """Return the key with this identifier, before there is a certificate.

        Raises:
            KeyElsewhereError: it is not here.
            SealedKeyError: it cannot be opened.
            WrongIssuingKeyError: the file holds another one.
        """
        if authority not in self._open:
            path = self._layout.sealed_key(purpose, authority)
            if not path.exists():
                raise KeyElsewhereError(
                    f"{path} is not here; what an offline root signs, it signs in a"
                    " ceremony (docs/keys.md)"
                )
            sealed = keys.read_sealed(path)
            key = keys.unseal(sealed, self._passphrase(purpose), purpose=purpose)
            if identifier_of(key.public_key()) != authority:
                raise WrongIssuingKeyError(f"{path} does not belong to the certificate")
            self._open[authority] = key
        return self._open[authority]

    def make(self, purpose: str, *, like: str, cost: Cost) -> str:
        """Return the identifier of a new key, made where the key `like` lies.

        It is sealed with the same passphrase, which is tried on the earlier one first.

        Raises:
            SealedKeyError: the passphrase does not open the earlier one.
        """
        self.open_file(purpose, like)
        earlier = keys.read_sealed(self._layout.sealed_key(purpose, like))
        key, sealed = keys.make(
            purpose, self._passphrase(purpose), like=earlier, cost=cost
        )
        authority = identifier_of(key.public_key())
        write_atomically(self._layout.later_key(purpose, authority), sealed)
        self._open[authority] = key
        return authority

    def _passphrase(self, purpose: str) -> bytes:
        passphrase = self._passphrases[purpose]
        if passphrase is None:
            raise SealedKeyError(f"nobody gave the {purpose} key's passphrase")
        return passphrase()


def has_key(layout: Layout, purpose: str, certificate: x509.Certificate) -> bool:
    """Return whether the key of a CA certificate is in the directory, still closed."""
    path = layout.sealed_key(purpose, authority_of(certificate))
    if not path.exists():
        return False
    public = keys.public_key(keys.read_sealed(path), purpose=purpose)
    return public == certificate.public_key()


def identifier_of(key: ec.EllipticCurvePublicKey) -> str:
    """Return the identifier of a CA key in hex, as `pointers.authority_of` has it."""
    return x509.SubjectKeyIdentifier.from_public_key(key).digest.hex()
