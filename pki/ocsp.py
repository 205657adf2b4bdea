"""Answer what the status of one certificate is (RFC 6960; RFC 5019; RFC 9654).

    answer = OcspService(layout).answer(body, now=clock.utc_now())

The web's side calls `OcspService` with the bytes of a request; `publication` calls
`sign_in_advance`, so that the usual request is answered from the store. What is signed
on the spot is the rest: a request with a nonce, a certificate that was never issued.

The ledger decides: an answer in the store that does not agree with it is not given.
Nothing here uses a CA's key.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from pki import clock
from pki.entry import Entry, Event, Reason
from pki.layout import Layout
from pki.ledger import Ledger, read_ledger
from pki.pointers import authority_of
from pki.present import certificates, is_revoked
from pki.published import StoredAnswer
from pki.responder import Responder, read_responder

LIFETIME = timedelta(hours=24)
_ON_THE_SPOT = timedelta(minutes=5)
_DIGESTS: dict[str, hashes.SHA1 | hashes.SHA256] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - names the issuer, protects nothing
    "sha256": hashes.SHA256(),
}
_SHORTEST_NONCE, _LONGEST_NONCE = 16, 128  # octets (RFC 9654, section 2.1)
_Status = ocsp.OCSPResponseStatus
_UNREADABLE = (
    ValueError,
    NotImplementedError,
    x509.DuplicateExtension,
    UnsupportedAlgorithm,
)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer in DER, and for how many seconds anyone may keep it."""

    der: bytes
    max_age: int


class Standing(NamedTuple):
    """What the ledger says of a certificate."""

    issued: Entry | None
    revoked: Entry | None


class _Asked(NamedTuple):
    """Which certificate a request names: the issuer by hashes, and a serial."""

    digest: str
    name_hash: bytes
    key_hash: bytes
    serial: int


@dataclass(frozen=True, slots=True)
class OcspService:
    """Answers requests with what the CA in a directory has recorded."""

    layout: Layout

    def answer(self, request: bytes, *, now: datetime) -> Answered:
        """Return the answer to a request in DER, read in a ledger opened for it."""
        with read_ledger(self.layout.ledger) as ledger:
            return self.answer_from(ledger, request, now=now)

    def answer_from(self, ledger: Ledger, request: bytes, *, now: datetime) -> Answered:
        """Return the answer to a request in DER, as an open ledger has it.

        1. It is a request for one certificate, whose serial is not negative, else
           malformedRequest.
        2. A nonce has 1 to 128 octets, else malformedRequest; one of fewer than 16 is
           ignored (RFC 9654, section 2.1).
        3. It names an issuing CA of ours by SHA-1 or SHA-256, else unauthorized.
        4. Without a nonce it gets the answer in the store, if the ledger agrees.
        5. Otherwise one is signed: good, revoked or, if never issued, unknown.
        """
        try:  # 1
            parsed = ocsp.load_der_ocsp_request(request)
            nonce = _nonce(parsed)
            digest, serial = parsed.hash_algorithm.name, parsed.serial_number
        except _UNREADABLE:
            return _refusal(_Status.MALFORMED_REQUEST)
        # No certificate has a negative serial, and no answer could be built.
        if serial < 0 or not (nonce is None or 1 <= len(nonce) <= _LONGEST_NONCE):  # 2
            return _refusal(_Status.MALFORMED_REQUEST)
        if digest not in _DIGESTS:
            return _refusal(_Status.UNAUTHORIZED)
        asked = _Asked(
            digest,
            parsed.issuer_name_hash,
            parsed.issuer_key_hash,
            serial,
        )
        issuing = _issuer(ledger, asked, now)  # 3
        if issuing is None:
            return _refusal(_Status.UNAUTHORIZED)
        standing = standing_of(ledger, issuing, asked.serial)
        if nonce is None or len(nonce) < _SHORTEST_NONCE:  # 4
            nonce = None
            stored = _stored(ledger, issuing, asked, standing, now)
            if stored:
                return stored
        return self._sign(asked, issuing, standing, nonce, now)  # 5

    def _sign(
        self,
        asked: _Asked,
        issuing: x509.Certificate,
        standing: Standing,
        nonce: bytes | None,
        now: datetime,
    ) -> Answered:
        responder = read_responder(self.layout.responder(authority_of(issuing)))
        if responder is None or not responder.serves(now):
            return _refusal(_Status.TRY_LATER)
        builder = _response(asked, standing, now, now + _ON_THE_SPOT)
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return Answered(_signed(builder, responder), 0)


def sign_in_advance(
    responder: Responder,
    issuing: x509.Certificate,
    standing: Standing,
    now: datetime,
) -> Iterator[StoredAnswer]:
    """Yield the answers on one certificate that was issued, one for each hash."""
    entry = standing.issued
    if entry is None:
        return
    for digest in _DIGESTS:
        name_hash, key_hash = _hashes_of(issuing, digest)
        asked = _Asked(digest, name_hash, key_hash, int(entry.serial, 16))
        builder = _response(asked, standing, now, now + LIFETIME)
        yield StoredAnswer(
            issuer=entry.issuer,
            serial=entry.serial,
            digest=digest,
            revoked=standing.revoked is not None,
            this_update=clock.to_text(now),
            next_update=clock.to_text(now + LIFETIME),
            not_after=entry.not_after,
            der=_signed(builder, responder),
        )


def standing_of(ledger: Ledger, issuing: x509.Certificate, serial: int) -> Standing:
    """Return what the ledger says of the certificate with this serial."""
    issuer, text = issuing.subject.rfc4514_string(), f"{serial:x}"
    issued = ledger.find(Event.ISSUED, issuer=issuer, serial=text)
    # Issuing CAs that follow one another have one name; each answers for its own.
    if issued is None or issued.authority not in {None, authority_of(issuing)}:
        return Standing(None, None)
    return Standing(issued, ledger.find(Event.REVOKED, issuer=issuer, serial=text))


def _nonce(request: ocsp.OCSPRequest) -> bytes | None:
    for extension in request.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            return extension.value.nonce
    return None


def _issuer(ledger: Ledger, asked: _Asked, now: datetime) -> x509.Certificate | None:
    """Return the issuing CA a request names, if it is one of ours that lasts.

    For a revoked one nobody answers, so that nobody calls what it signed good.
    """
    for issuing in certificates(ledger, "issuing").values():
        if _hashes_of(issuing, asked.digest) == (asked.name_hash, asked.key_hash):
            lasts = issuing.not_valid_after_utc > now
            return issuing if lasts and not is_revoked(ledger, issuing) else None
    return None


@lru_cache(maxsize=16)  # of the few issuers that there are
def _hashes_of(issuing: x509.Certificate, digest: str) -> tuple[bytes, bytes]:
    """Return the hashes of name and key bits that name an issuer (section 4.1.1)."""
    key = issuing.public_key()
    bits = key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    found = []
    for content in (issuing.subject.public_bytes(), bits):
        hashing = hashes.Hash(_DIGESTS[digest])
        hashing.update(content)
        found.append(hashing.finalize())
    return found[0], found[1]


def _stored(
    ledger: Ledger,
    issuing: x509.Certificate,
    asked: _Asked,
    standing: Standing,
    now: datetime,
) -> Answered | None:
    stored = ledger.published.answer(
        issuing.subject.rfc4514_string(), f"{asked.serial:x}", asked.digest
    )
    if stored is None or standing.issued is None:
        return None
    if stored.revoked != (standing.revoked is not None):
        return None
    left = clock.from_text(stored.next_update) - now
    if left <= timedelta(0):
        return None
    return Answered(stored.der, int(left.total_seconds()))


def _response(
    asked: _Asked, standing: Standing, begins: datetime, ends: datetime
) -> ocsp.OCSPResponseBuilder:
    status, at, reason = ocsp.OCSPCertStatus.UNKNOWN, None, None
    if standing.revoked:
        status = ocsp.OCSPCertStatus.REVOKED
        at = clock.from_text(standing.revoked.recorded_at)
        if standing.revoked.reason not in {None, Reason.UNSPECIFIED}:
            reason = x509.ReasonFlags(standing.revoked.reason)
    elif standing.issued:
        status = ocsp.OCSPCertStatus.GOOD
    return ocsp.OCSPResponseBuilder().add_response_by_hash(
        asked.name_hash,
        asked.key_hash,
        asked.serial,
        _DIGESTS[asked.digest],
        status,
        begins,
        ends,
        at,
        reason,
    )


def _signed(builder: ocsp.OCSPResponseBuilder, responder: Responder) -> bytes:
    response = (
        builder.responder_id(ocsp.OCSPResponderEncoding.HASH, responder.certificate)
        .certificates([responder.certificate])
        .sign(responder.key, hashes.SHA256())
    )
    return response.public_bytes(serialization.Encoding.DER)


def _refusal(status: ocsp.OCSPResponseStatus) -> Answered:
    response = ocsp.OCSPResponseBuilder.build_unsuccessful(status)
    return Answered(response.public_bytes(serialization.Encoding.DER), 0)
