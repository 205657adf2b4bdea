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
from pki.envelope import SealedKeyError
from pki.errors import PkiError
from pki.layout import Layout
from pki.pointers import authority_of


class WrongIssuingKeyError(PkiError):
    """The CA's keys and certificates do not belong together, or are not ours."""

    code = "wrong_issuing_key"


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
        if authority not in self._open:
            self._open[authority] = self._unsealed(purpose, certificate)
        return self._open[authority]

    def _unsealed(
        self, purpose: str, certificate: x509.Certificate
    ) -> ec.EllipticCurvePrivateKey:
        passphrase = self._passphrases[purpose]
        if passphrase is None:
            raise SealedKeyError(f"nobody gave the {purpose} key's passphrase")
        path = self._layout.sealed_key(purpose)
        key = keys.unseal(keys.read_sealed(path), passphrase(), purpose=purpose)
        if key.public_key() != certificate.public_key():
            raise WrongIssuingKeyError(f"{path} does not belong to the certificate")
        return key
