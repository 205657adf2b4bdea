"""A CA in rotation, and the hosts that follow it: what each holds, what it can show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki import authority, clock, rotation
from pki.decision import Request
from pki.laggards import Evidence, Proof
from pki.pointers import signer_of
from pki.policy import read_policy
from pki.present import Present
from pki.rotation_steps import Phase, Waiver, What
from tests.pki.builders import CHEAP, ROOT_PASSPHRASE, Ca, csr, p256

PHASES = (
    Phase.PREPARED,
    Phase.DISTRIBUTING,
    Phase.SWITCHING,
    Phase.DRAINING,
    Phase.DISTRUSTING,
    Phase.DONE,
)


@dataclass(frozen=True)
class Holding:
    """One generation of one identity: what it presents, and what it trusts."""

    identity: str
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]
    standing: Present

    @property
    def evidence(self) -> Evidence:
        """What the host shows of it."""
        leaf = self.chain[0]
        return Evidence(
            identity=self.identity,
            roots=self.standing.trusted_roots,
            issuer=signer_of(leaf) or "",
            serial=f"{leaf.serial_number:x}",
            live=True,
        )


class Rotating:
    """A CA whose rotation a test drives."""

    def __init__(
        self, ca: Ca, what: What, now: Callable[[], datetime] = clock.utc_now
    ) -> None:
        self.ca, self.what, self.now = ca, what, now

    @property
    def standing(self) -> Present:
        """The CA as it stands."""
        return authority.look(self.ca.layout)

    @property
    def phase(self) -> Phase | None:
        """The phase it is in."""
        step = self.standing.rotation
        return step.phase if step else None

    def begin(self) -> rotation.Moved:
        """Begin, or go on."""
        return rotation.begin(
            self.ca.layout,
            self.what,
            keyring=self.ca.keyring(ROOT_PASSPHRASE),
            run_id="rotating",
            now=self.now,
            cost=CHEAP,
        )

    def hold(self, *identities: str) -> list[Holding]:
        """Return what the hosts get when they ask now, with new keys."""
        keys = [p256() for _ in identities]
        asked = [
            Request(name, csr(key)) for name, key in zip(identities, keys, strict=True)
        ]
        batch = authority.issue(
            self.ca.layout,
            asked,
            keyring=self.ca.keyring(),
            run_id="hosts",
            now=self.now,
        )
        held = []
        for name, key, answer in zip(identities, keys, batch.answers, strict=True):
            assert answer.certificate, answer.refusal
            chain = (answer.certificate, *batch.standing.chain)
            held.append(Holding(name, key, chain, batch.standing))
        return held

    def everyone(self) -> list[Holding]:
        """Return what all identities of the policy get now."""
        return self.hold("orders@localhost", "stock@localhost")

    def advance(
        self,
        held: Sequence[Holding] | None = None,
        *,
        waivers: Sequence[Waiver] = (),
        evidence: Callable[[Evidence], Evidence] = lambda one: one,
    ) -> rotation.Moved:
        """Begin the next phase on what `held` shows: by default all that it takes."""
        if held is None:
            held = [] if self.phase is Phase.PREPARED else self.everyone()
        proof = Proof([evidence(one.evidence) for one in held], list(waivers))
        return rotation.advance(
            self.ca.layout,
            proof,
            keyring=self.ca.keyring(ROOT_PASSPHRASE),
            run_id="rotating",
            now=self.now,
        )

    def reverse(self) -> rotation.Moved:
        """Go one phase back."""
        return rotation.reverse(self.ca.layout, run_id="rotating", now=self.now)

    def to(self, phase: Phase) -> "Rotating":
        """Go forward as far as a phase."""
        self.begin()
        while self.phase not in {phase, None}:
            self.advance()
        return self

    def hurry(self, phase: Phase) -> "Rotating":
        """Go forward as far as a phase, waiting for nobody."""
        stated = read_policy(self.ca.layout.policy.read_bytes())
        nobody = [Waiver(name, "nobody waits") for name in stated.identities]
        self.begin()
        while self.phase not in {phase, None}:
            self.advance([], waivers=nobody)
        return self
