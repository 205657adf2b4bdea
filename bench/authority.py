"""A CA to be measured: founded as ever, its ledger filled to any size.

The filler writes entries as issuing and revoking do, with the hash chain, and none of
the signatures: what is measured afterwards is real, and stands behind them.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from secrets import randbits, token_hex

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pki import clock
from pki.authority import issue
from pki.decision import Request, Verdict
from pki.entry import Entry, Event, Reason
from pki.layout import Layout
from pki.ledger import open_ledger
from tests.pki.builders import Ca, policy_document

BATCH = 100
_SERIAL = 159  # bits
_AT_ONCE = 1_000  # certificates of the filler in a statement
_ROOM = 4 * 1024 * 1024  # KiB for the pages of the largest ledger


class Authority:
    """A CA with so many identities, `service-0@localhost` and so on."""

    def __init__(
        self, directory: Path, identities: int = BATCH, shards: int = 0
    ) -> None:
        document = policy_document([f"service-{n}" for n in range(identities)])
        if shards:
            url = "http://ca.shop.internal:8451/pki"
            document["revocation"] = {"url": url, "shards": shards}
        self.ca = Ca.found(directory, document)
        self.keyring = self.ca.keyring()
        self.identities = identities

    @property
    def layout(self) -> Layout:
        """Where its files are."""
        return self.ca.layout

    def requests(self) -> list[Request]:
        """Return a request with a new key for each identity."""
        return [
            Request(f"service-{number}@localhost", csr())
            for number in range(self.identities)
        ]

    def issue(self, requests: Sequence[Request]) -> list[x509.Certificate]:
        """Issue a batch."""
        batch = issue(self.layout, requests, keyring=self.keyring, run_id="measurement")
        assert {answer.verdict for answer in batch.answers} == {Verdict.ISSUED}
        return [a.certificate for a in batch.answers if a.certificate is not None]

    def fill(self, certificates: int, *, revoked: bool = False) -> None:
        """Write so many certificates of the past into the ledger.

        Each is planned and issued to an identity of its own; `revoked` as well, and
        then none has ended.
        """
        now = clock.utc_now()
        ends = now + timedelta(hours=24) if revoked else now
        like = replace(
            self._issued(),
            recorded_at=clock.to_text(now),
            not_before=clock.to_text(now),
            not_after=clock.to_text(ends),
        )
        events = [Event.PLANNED, Event.ISSUED, *([Event.REVOKED] if revoked else [])]
        with open_ledger(self.layout.ledger) as ledger:
            # So that a page is written once, however often it is come back to.
            ledger.connection.execute(f"PRAGMA cache_size = -{_ROOM}")
            with ledger.transaction():
                for first in range(0, certificates, _AT_ONCE):
                    numbers = range(first, min(first + _AT_ONCE, certificates))
                    pasts = map(partial(_past, like), numbers)
                    ledger.append(*[_as(one, e) for one in pasts for e in events])

    def _issued(self) -> Entry:
        self.issue(self.requests()[:1])
        with open_ledger(self.layout.ledger) as ledger:
            found = ledger.newest_issued("service-0@localhost")
        assert found is not None
        return found


def csr() -> str:
    """Return a request with a new key, in PEM."""
    unsigned = x509.CertificateSigningRequestBuilder(x509.Name([]))
    signed = unsigned.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


def _past(like: Entry, number: int) -> Entry:
    """Return what is planned of another identity, with another key and serial."""
    return replace(
        like,
        serial=f"{randbits(_SERIAL):x}",
        identity=f"past-{number}@localhost",
        spki_sha256=token_hex(32),
    )


def _as(entry: Entry, event: Event) -> Entry:
    certificate = entry.certificate if event is Event.ISSUED else None
    reason = Reason.SUPERSEDED if event is Event.REVOKED else None
    return replace(entry, event=event, certificate=certificate, reason=reason)
