"""The keys of roots on an offline machine: made, or opened, by two people together.

`rite` signs with them. The first root's key and those that followed lie side by side,
as on a CA's host (`layout`); each is opened at most once in a ceremony.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from pki import keys, shared_key
from pki.envelope import Cost
from pki.errors import PkiError
from pki.keyring import identifier_of
from pki.layout import Layout
from pki.storage import write_atomically


class CeremonyError(PkiError):
    """The plan does not fit what is there."""

    code = "ceremony_refused"


class RootMissingError(CeremonyError):
    """There is no root here yet, and the plan makes none; or its key is gone."""

    code = "root_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """How to get the passphrase of each; asked for only when a key is needed."""

    first: Callable[[], bytes]
    second: Callable[[], bytes]


@dataclass
class RootKeys:
    """Those of one ceremony, told apart by their identifiers in hex.

    Each method raises SealedKeyError where a passphrase is wrong, weak, or the same
    twice.
    """

    layout: Layout
    people: People
    cost: Cost  # of a guess at a passphrase, for a new key
    _open: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)

    def has_opened(self, authority: str) -> bool:
        """Return whether a key is open."""
        return authority in self._open

    def holds(self, authority: str) -> bool:
        """Return whether a key is here."""
        path = self.layout.sealed_key("root", authority)
        if not path.exists():
            return False
        public = shared_key.public_key(keys.read_sealed(path), purpose="root")
        return identifier_of(public) == authority

    def open(self, authority: str) -> ec.EllipticCurvePrivateKey:
        """Return a key.

        Raises:
            RootMissingError: it is not here.
        """
        if authority not in self._open:
            path = self.layout.sealed_key("root", authority)
            if not self.holds(authority):
                raise RootMissingError(f"{path}, the root's key, is gone: put it back")
            self._unseal(path)
        return self._open[authority]

    def first(self) -> ec.EllipticCurvePublicKey:
        """Return the first root's key, made if it is not there yet."""
        path = self.layout.sealed_key("root")
        if not path.exists():
            self._make(keys.make_key(), path)
        return self._unseal(path)

    def following(self, certified: Collection[str]) -> ec.EllipticCurvePublicKey:
        """Return a new key; one that is not `certified` was left by a run cut off."""
        left = [at for at in self.layout.later_keys("root") if at not in certified]
        if left:
            return self._unseal(self.layout.later_key("root", left[0]))
        key = keys.make_key()
        path = self.layout.later_key("root", identifier_of(key.public_key()))
        self._make(key, path)
        return self._unseal(path)

    def _make(self, key: ec.EllipticCurvePrivateKey, path: Path) -> None:
        first, second = self.people.first(), self.people.second()
        sealed = shared_key.seal(key, first, second, purpose="root", cost=self.cost)
        write_atomically(path, sealed)

    def _unseal(self, path: Path) -> ec.EllipticCurvePublicKey:
        first, second = self.people.first(), self.people.second()
        key = shared_key.unseal(keys.read_sealed(path), first, second, purpose="root")
        public = key.public_key()
        self._open[identifier_of(public)] = key
        return public
