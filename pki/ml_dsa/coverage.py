"""What of an identity would outlast a quantum computer, and what would not.

`inventory` shows it. Three things that are not one: whether what was said on the wire
stays secret, whether who said it can be impersonated, and whether it can be proved
afterwards for whom the CA vouched.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from pki.entry import Entry
from pki.ml_dsa.statement import ISSUING, identity_of

Verdict = Literal["yes", "no", "unknown"]

_HYBRID = "MLKEM"  # in the name of every group with FIPS 203 in it


class Coverage:
    """The statements among the certificates of a ledger."""

    def __init__(self, issued: Iterable[Entry]) -> None:
        """Take note of the statements, and of when their issuing CA ends."""
        self._ends: dict[str, set[str]] = {}
        self._last: list[str] = []
        for entry in issued:
            if entry.identity == ISSUING:
                self._last.append(entry.not_after)
            elif is_statement(entry):
                self._ends.setdefault(entry.identity, set()).add(entry.not_after)

    def of(self, issued: Entry) -> Verdict:
        """Return whether there is a statement on a certificate of a service.

        It ends with the certificate, or with its own issuing CA before that.
        """
        known = self._ends.get(identity_of(issued.spki_sha256), set())
        whole = {min(issued.not_after, last) for last in self._last}
        return "yes" if known & whole else "no"


def is_statement(entry: Entry) -> bool:
    """Return whether an entry is about a statement, and no certificate that is used."""
    return entry.identity == identity_of(entry.spki_sha256)


def key_exchange(groups: Sequence[str]) -> Verdict:
    """Return whether secrets stay secret where keys are agreed on in these groups."""
    if not groups or "unknown" in groups:
        return "unknown"
    return "yes" if all(_HYBRID in group for group in groups) else "no"
