"""The keys and certificates that follow the present ones: made before they are used.

`rotation` comes here to begin, as often as it takes. What exists is not made again: a
key that a run cut off has left is taken up, a certificate in the ledger is found there.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki.ceremony.asking import leave_request
from pki.certifying import Registrar
from pki.decision import Desk
from pki.envelope import Cost
from pki.errors import PkiError
from pki.inspection import permits
from pki.keyring import Keyring, has_key
from pki.layout import Layout
from pki.pointers import authority_of
from pki.present import certificates, find_cross, is_revoked
from pki.profiles import BACKDATING
from pki.rotation_steps import ORDER, Phase, Step, What


class CeremonyNeededError(PkiError):
    """The root is offline, and has not signed yet what the rotation needs."""

    code = "ceremony_needed"


class UnpreparedError(PkiError):
    """What the next phase needs is not there: `begin` makes it."""

    code = "not_prepared"


@dataclass(frozen=True, slots=True)
class Successors:
    """Makes them; the caller holds the CA's lock."""

    layout: Layout
    desk: Desk
    keyring: Keyring
    cost: Cost

    def key(self, purpose: str, old: str) -> str:
        """Return the identifier of a new key, which lies where the key `old` does.

        One in the directory that nobody certified and no step names was left by a run
        that was cut off: it is taken.

        Raises:
            SealedKeyError, WrongIssuingKeyError: a key cannot be opened.
        """
        # Half of a key, which a run has left; another one has another name.
        for half in self.layout.directory.glob(f".{purpose}-*.new"):
            half.unlink()
        taken = set(certificates(self.desk.ledger, purpose))
        for step in self.desk.standing.steps:
            taken |= {step.after.root, step.after.issuing}
        for left in self.layout.later_keys(purpose):
            if left not in taken:
                self._open(purpose, left)
                return left
        return self.keyring.make(purpose, like=old, cost=self.cost)

    def root_key(self, old: x509.Certificate) -> str:
        """Return the identifier of the next root's key.

        Empty where the root is offline: a ceremony makes the next one, and the CA knows
        of it when it is imported (`ceremony.taking`).
        """
        if not has_key(self.layout, "root", old):
            return ""
        return self.key("root", authority_of(old))

    def certify(self, step: Step) -> None:
        """Make the certificates of the new keys that are missing.

        Raises:
            CeremonyNeededError: the root is offline; what to carry to it is made.
            SealedKeyError, WrongIssuingKeyError: a key cannot be opened.
        """
        old, new, ledger = step.before, step.after, self.desk.ledger
        roots = certificates(ledger, "root")
        if not new.root:
            self._ask(self._open("issuing", new.issuing), new.issuing, "update-root")
        if new.root not in roots:
            roots[new.root] = self._registrar().root(self._open("root", new.root))
        issuing = certificates(ledger, "issuing").get(new.issuing)
        if issuing is None or not permits(issuing, self.desk.policy):
            successor = self._open("issuing", new.issuing)
            if not has_key(self.layout, "root", roots[new.root]):
                self._ask(successor, new.issuing, "certify")
            key = self._open("root", new.root)
            self._registrar().issuing(successor.public_key(), roots[new.root], key)
        if new.root == old.root:
            return
        for of, by, life in (
            # For whoever trusts the old root alone, as long as the issuing CA lives;
            (new.root, old.root, self.desk.policy.issuing_lifetime),
            # and the new one alone: it need not outlive the leaves of today.
            (old.root, new.root, self._longest_leaf()),
        ):
            if find_cross(ledger, of=of, by=by) is None:
                if not has_key(self.layout, "root", roots[by]):
                    raise CeremonyNeededError(
                        "the roots do not certify each other yet: import the result of"
                        " the ceremony that made the new one (docs/keys.md)"
                    )
                key = self._open("root", by)
                self._registrar().cross(roots[of], roots[by], key, life)

    def _ask(
        self, key: ec.EllipticCurvePrivateKey, authority: str, step: str
    ) -> NoReturn:
        path = leave_request(self.layout, key, self.desk.policy, named=authority)
        wanted = {
            "certify": f"have it certify {path}",
            "update-root": f"have the next one made and {path} certified by it",
        }
        raise CeremonyNeededError(
            f"the root is offline: {wanted[step]} in a ceremony, import the result, and"
            " begin again (docs/keys.md)"
        )

    def _open(self, purpose: str, authority: str) -> ec.EllipticCurvePrivateKey:
        return self.keyring.open_file(purpose, authority)

    def _registrar(self) -> Registrar:
        desk = self.desk
        return Registrar(
            ledger=desk.ledger, policy=desk.policy, now=desk.now, run_id=desk.run_id
        )

    def _longest_leaf(self) -> timedelta:
        lives = [one.lifetime for one in self.desk.policy.identities.values()]
        return max(lives, default=2 * BACKDATING)


def check_ready(desk: Desk, step: Step) -> None:
    """Return if the new issuing CA can take over, or has.

    Raises:
        UnpreparedError: it cannot.
    """
    if step.phase is Phase.PREPARING:
        raise UnpreparedError("not all certificates are made: begin again")
    if step.phase not in ORDER[:2]:
        return
    issuing = certificates(desk.ledger, "issuing")[step.after.issuing]
    if not permits(issuing, desk.policy):
        raise UnpreparedError("the policy permits more since: begin again")
    if issuing.not_valid_after_utc <= desk.now or is_revoked(desk.ledger, issuing):
        raise UnpreparedError("the new issuing CA has ended or is revoked: reverse")
    if step.what is not What.ROOT:
        return
    for of, by in (
        (step.after.root, step.before.root),
        (step.before.root, step.after.root),
    ):
        cross = find_cross(desk.ledger, of=of, by=by)
        if cross is None or cross.not_valid_after_utc <= desk.now:
            raise UnpreparedError("a certificate from root to root has ended: reverse")
