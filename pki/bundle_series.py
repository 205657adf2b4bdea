"""The bundle that a CA publishes, and its number, which never goes back.

The newest document lies in the CA's directory. One with other roots gets a higher
number: the present second, or one more than the last number if that is not higher. So
numbers rise even if the file is lost, and after the CA comes back from a backup: the
next change is numbered above all that was published until then. A consumer that has
seen a higher number keeps what it has (`services.federation`).
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TypeGuard

from cryptography import x509

from pki.bundle import SpiffeBundle, read_spiffe, write_spiffe
from pki.layout import Layout
from pki.policy import read_policy
from pki.storage import exclusive, write_atomically
from pki.trust import TrustBundle

# What SPIFFE_Federation.md, section 4.1, recommends. New roots are to be published
# three to five times as long before they sign: a rotation distributes them first.
REFRESH_HINT = 300  # seconds


def published(
    layout: Layout, roots: Sequence[x509.Certificate], *, now: datetime
) -> SpiffeBundle:
    """Return the bundle of `roots`, numbered; a new number is on the disk before.

    Raises:
        BundleError: what was published last cannot be read.
    """
    trust_domain = read_policy(layout.policy.read_bytes()).trust_domain
    trust = TrustBundle(trust_domain, tuple(roots))
    last = _last(layout, trust_domain)
    if _is_of(last, trust):
        return last
    with exclusive(layout.lock):
        last = _last(layout, trust_domain)
        if _is_of(last, trust):
            return last
        before = -1 if last is None or last.sequence is None else last.sequence
        number = max(before + 1, int(now.timestamp()))
        bundle = SpiffeBundle(trust, number, REFRESH_HINT)
        document = json.dumps(write_spiffe(bundle), indent=2).encode()
        write_atomically(layout.bundle, document + b"\n")
    return bundle


def _last(layout: Layout, trust_domain: str) -> SpiffeBundle | None:
    if not layout.bundle.exists():
        return None
    return read_spiffe(trust_domain, layout.bundle.read_bytes())


def _is_of(last: SpiffeBundle | None, trust: TrustBundle) -> TypeGuard[SpiffeBundle]:
    return (
        last is not None
        and last.refresh_hint == REFRESH_HINT
        and set(last.trust.roots) == set(trust.roots)
    )
