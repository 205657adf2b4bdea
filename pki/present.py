"""The CA as it stands: who signs, what is trusted, what is presented above a leaf.

Read from the ledger: its certificates, and how far a rotation is (`rotation_steps`).
The files of root and issuing CA are copies for people and other programs; nothing is
decided by them. Who issues, revokes, publishes or answers for the CA asks here.
"""

from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from pki.entry import Entry, Event
from pki.layout import NoAuthorityError
from pki.ledger import Ledger
from pki.pointers import authority_of, signer_of
from pki.rotation_steps import Phase, Step, What, read_steps

_BOTH_ROOTS = {Phase.DISTRIBUTING, Phase.SWITCHING, Phase.DRAINING}
_CROSSED = {Phase.SWITCHING, Phase.DRAINING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What holds now, in the phase that a rotation is in, if one is under way."""

    root: x509.Certificate  # above `issuing`
    issuing: x509.Certificate
    roots: tuple[x509.Certificate, ...]  # what is trusted, the oldest first
    crosses: tuple[x509.Certificate, ...] = ()  # so that the old root's trust suffices
    steps: tuple[Step, ...] = ()  # of all rotations ever

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What is presented above a leaf."""
        return (self.issuing, *self.crosses)

    @property
    def rotation(self) -> Step | None:
        """The newest step of the rotation that is under way."""
        return None if not self.steps or self.steps[-1].is_over else self.steps[-1]

    @property
    def issued_after(self) -> str | None:
        """The moment before which no certificate should begin, as `clock` writes it."""
        return self.steps[-1].issued_after if self.steps else None

    @property
    def replaced_up_to(self) -> int:
        """The entry of the ledger up to which certificates are to be replaced."""
        said = self.issued_after
        began = [step.sequence for step in self.steps if step.issued_after == said]
        return began[0] if said else 0

    @property
    def trusted_roots(self) -> list[str]:
        """SHA-256 of each root in DER, in hex."""
        return [root.fingerprint(hashes.SHA256()).hex() for root in self.roots]


def find_present(ledger: Ledger) -> Present | None:
    """Return the CA as it stands, None before it is founded."""
    steps = tuple(read_steps(ledger))
    if not steps:
        root, issuing = newest(ledger, "root"), newest(ledger, "issuing")
        if root is None or issuing is None:
            return None
        return Present(root=root, issuing=issuing, roots=(root,))
    step, roots = steps[-1], certificates(ledger, "root")
    root = roots[step.signing.root]
    both = step.what is What.ROOT and step.phase in _BOTH_ROOTS
    crossed = step.what is What.ROOT and step.phase in _CROSSED
    old, new = step.before.root, step.after.root
    given = find_cross(ledger, of=new, by=old)
    return Present(
        root=root,
        issuing=certificates(ledger, "issuing")[step.signing.issuing],
        roots=(roots[old], roots[new]) if both else (root,),
        crosses=(given,) if crossed and given else (),
        steps=steps,
    )


def present(ledger: Ledger) -> Present:
    """Return the CA as it stands.

    Raises:
        NoAuthorityError: it is not founded.
    """
    found = find_present(ledger)
    if found is None:
        raise NoAuthorityError("there is no CA yet: python -m pki init founds it")
    return found


def newest(ledger: Ledger, identity: str) -> x509.Certificate | None:
    """Return the certificate that was made last for `root` or `issuing`."""
    return next(reversed(_issued(ledger, identity)), None)


def certificates(ledger: Ledger, identity: str) -> dict[str, x509.Certificate]:
    """Return the newest certificate of each key of `root` or `issuing`, oldest first.

    Keyed by key identifier, in hex.
    """
    return {authority_of(found): found for found in _issued(ledger, identity)}


def find_cross(ledger: Ledger, *, of: str, by: str) -> x509.Certificate | None:
    """Return the newest certificate that one root's key gave another's, if any."""
    for found in reversed(_issued(ledger, "cross")):
        if (authority_of(found), signer_of(found)) == (of, by):
            return found
    return None


def earlier_issuers(
    ledger: Ledger, standing: Present, now: datetime
) -> list[x509.Certificate]:
    """Return the issuing CAs of before that still tell of revocations.

    Those are the ones under which something lives: a service's certificate, and the
    CA's own, which has not ended and is not revoked.
    """
    living = ledger.living_authorities(now=now) - {authority_of(standing.issuing)}
    return [
        found
        for authority, found in certificates(ledger, "issuing").items()
        if authority in living
        and found.not_valid_after_utc > now
        and not is_revoked(ledger, found)
    ]


def telling(ledger: Ledger, standing: Present, now: datetime) -> set[str]:
    """Return the key identifiers of all who tell of revocations now."""
    earlier = earlier_issuers(ledger, standing, now)
    ours = (standing.issuing, *standing.roots, *earlier)
    return {authority_of(one) for one in ours}


def is_revoked(ledger: Ledger, authority: x509.Certificate) -> bool:
    """Return whether a CA's certificate was revoked."""
    issuer, serial = authority.issuer.rfc4514_string(), f"{authority.serial_number:x}"
    return ledger.find(Event.REVOKED, issuer=issuer, serial=serial) is not None


def certificate_of(entry: Entry) -> x509.Certificate:
    """Return the certificate that an entry of `issued` holds."""
    return _read(entry.certificate or "")


@lru_cache(maxsize=64)  # of the few that a CA has itself
def _read(encoded: str) -> x509.Certificate:
    return x509.load_der_x509_certificate(b64decode(encoded))


def _issued(ledger: Ledger, identity: str) -> list[x509.Certificate]:
    return [*map(certificate_of, ledger.entries_of(identity, Event.ISSUED))]
