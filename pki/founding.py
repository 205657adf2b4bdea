"""Found the CA, or complete one: ledger, root, issuing CA, policy.

`python -m pki init` calls `found`. Each step leaves the directory in a state from
which the next run goes on: a key is on the disk before anything is signed with it, a
certificate is in the ledger before it becomes a file, and a file is whole or absent.
A key that exists is never replaced. The root's key is opened for one purpose, to
certify the issuing CA and list what it revoked (the list of a root lasts a year), and
the passphrases are asked for only when they are needed.

A second certificate for the same issuing key is made in one case: the policy permits
a DNS domain that the certificate in use does not. The old one stays valid beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki import clock, keys
from pki import place as ledger_place
from pki.certifying import Registrar
from pki.database import create_ledger
from pki.envelope import RECOMMENDED, Cost
from pki.inspection import (
    KeyLostError,
    State,
    WrongKeyError,
    inspect,
    is_written,
    pem,
    permits,
    recorded,
)
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from pki.pkcs11.place import Place
from pki.pointers import authority_of
from pki.policy import Policy
from pki.storage import (
    check_private,
    exclusive,
    make_private_directory,
    write_atomically,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passphrases:
    """How to get each passphrase, called only when it is needed; where keys lie."""

    root: Callable[[], bytes]
    issuing: Callable[[], bytes]
    # The tokens that keys are to be made in; what is not named is sealed.
    places: Mapping[str, Place] = field(default_factory=dict)


def found(
    layout: Layout,
    policy: Policy,
    *,
    passphrases: Passphrases,
    run_id: str,
    cost: Cost = RECOMMENDED,
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
            if issuing is None or not permits(issuing, policy):
                issuing = founder.certify_issuing(root)
            founder.write("issuing", issuing)
        if "policy" in before.missing or before.policy_changed:
            write_atomically(layout.policy, policy.text)
        return before, inspect(layout, policy)


def place_ledger(
    layout: Layout, place: ledger_place.Place, *, check: bool = False
) -> None:
    """Have the ledger of a CA that is to be founded in a database; or only `check`.

    Raises:
        PlaceError: it has one somewhere else, or this is no place for one.
    """
    if check:
        ledger_place.settle(layout.ledger_place, place, check=True)
        return
    make_private_directory(layout.directory)
    check_private(layout.directory)
    with exclusive(layout.lock):
        ledger_place.settle(layout.ledger_place, place)


@dataclass
class _Founder:
    """One run: opens or makes the root key at most once."""

    layout: Layout
    policy: Policy
    ledger: Ledger
    passphrases: Passphrases
    run_id: str
    cost: Cost
    _root_key: ec.EllipticCurvePrivateKey | None = None

    def certify_root(self) -> x509.Certificate:
        return self._registrar().root(self._open_root())

    def certify_issuing(self, root: x509.Certificate) -> x509.Certificate:
        present = recorded(self.ledger, "issuing")
        authority = authority_of(present) if present else None
        sealed = keys.read_sealed(self.layout.sealed_key("issuing", authority))
        key = keys.public_key(sealed, purpose="issuing")
        return self._registrar().issuing(key, root, self._open_root())

    def make_issuing_key(self) -> None:
        first = self.layout.sealed_key("issuing")
        if not first.exists() and not self.layout.later_keys("issuing"):
            self._make_key("issuing", self.passphrases.issuing)

    def write(self, purpose: str, certificate: x509.Certificate) -> None:
        if not is_written(self.layout, purpose, certificate):
            write_atomically(self.layout.certificate(purpose), pem(certificate))

    def _open_root(self) -> ec.EllipticCurvePrivateKey:
        if self._root_key is None:
            self._root_key = self._find_root_key()
        return self._root_key

    def _find_root_key(self) -> ec.EllipticCurvePrivateKey:
        root = recorded(self.ledger, "root")
        path = self.layout.sealed_key("root", authority_of(root) if root else None)
        if not path.exists():
            if root:
                raise KeyLostError(
                    f"{path} is needed to certify the issuing CA: put it back"
                )
            return self._make_key("root", self.passphrases.root)
        sealed = keys.read_sealed(path)
        key = keys.unseal(sealed, self.passphrases.root(), purpose="root")
        if root and root.public_key() != key.public_key():
            raise WrongKeyError(f"{path} is not the key of the root in the ledger")
        return key

    def _make_key(
        self, purpose: str, passphrase: Callable[[], bytes]
    ) -> ec.EllipticCurvePrivateKey:
        key, sealed = keys.make(
            purpose,
            passphrase(),
            place=self.passphrases.places.get(purpose),
            cost=self.cost,
        )
        write_atomically(self.layout.sealed_key(purpose), sealed)
        return key

    def _registrar(self) -> Registrar:
        return Registrar(
            ledger=self.ledger,
            policy=self.policy,
            now=clock.utc_now(),
            run_id=self.run_id,
        )
