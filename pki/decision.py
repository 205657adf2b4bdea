"""Decide on certificate requests: policy, request and ledger in, order or answer out.

`authority` asks at a desk opened for one batch at one moment. Nothing is written here
and no key is used, so the same decision serves the check mode.
"""

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509

from pki import profiles
from pki.errors import PkiError
from pki.identity import names_of
from pki.ledger import Ledger
from pki.pointers import Addresses, Pointers, authority_of, pointers_of, signer_of
from pki.policy import Entitlement, Policy
from pki.present import Present
from pki.request import VerifiedRequest, verify_request
from pki.signing import Holder, Order, place_order


class UnknownIdentityError(PkiError):
    """The policy does not name the identity."""

    code = "unknown_identity"


class RepeatedIdentityError(PkiError):
    """One batch asks twice for the same identity."""

    code = "repeated_identity"


class ForeignKeyError(PkiError):
    """The key was certified for another identity before."""

    code = "foreign_key"


class RevokedKeyError(PkiError):
    """A certificate for the key was revoked."""

    code = "revoked_key"


class RevokedIssuerError(PkiError):
    """The issuing CA's own certificate was revoked."""

    code = "issuer_revoked"


class Verdict(StrEnum):
    """What became of one request."""

    ISSUED = "issued"
    REUSED = "reused"
    REFUSED = "refused"
    WOULD_ISSUE = "would_issue"


@dataclass(frozen=True, slots=True)
class Request:
    """An identity, and the PEM text of the request that came for it."""

    identity: str
    csr: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on one request, with the certificate or the reason."""

    identity: str
    verdict: Verdict
    certificate: x509.Certificate | None = None
    refusal: PkiError | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """The CA as it stands at one moment, for one batch."""

    policy: Policy
    ledger: Ledger
    standing: Present
    issuer_is_revoked: bool
    authority_keys: frozenset[str]  # SHA-256 of the SPKI of all CAs of ours, ever
    now: datetime
    run_id: str

    @property
    def issuing(self) -> x509.Certificate:
        """The issuing CA that signs now."""
        return self.standing.issuing

    def addresses_of(self, issuing: x509.Certificate) -> Addresses | None:
        """Return where certificates of an issuing CA say that revocations are told.

        Of an earlier one that is what it wrote last, whatever the policy says today.
        """
        if authority_of(issuing) == authority_of(self.issuing):
            return self.policy.addresses
        known = self.ledger.published.addresses(authority_of(issuing))
        written = [Addresses(url, shards) for url, shards in known.items()]
        return written[-1] if written else None

    def decide_all(self, requests: Sequence[Request]) -> list[Order | Answer]:
        """Return an order or an answer for each request, in the same order.

        1. The policy names the identity, and the issuing CA is not revoked.
        2. The request passes `verify_request`.
        3. Nobody else was certified with its key, and no certificate for it revoked.
        4. A certificate for the same key and names with half its life left is given
           again, unless a rotation replaces it.
        5. The lint finds nothing in the certificate to be signed.
        """
        seen: set[str] = set()
        checked = [self._check(request, seen) for request in requests]
        holders = self.ledger.holders_of(
            [one.spki_sha256 for one in checked if isinstance(one, VerifiedRequest)]
        )
        held = set(holders)  # the others are of this batch, which no ledger knows yet
        decided: list[Order | Answer] = []
        for request, one in zip(requests, checked, strict=True):
            try:
                if isinstance(one, PkiError):
                    raise one
                holder = holders.setdefault(one.spki_sha256, request.identity)
                if holder != request.identity:  # 3
                    raise ForeignKeyError(f"the key was certified for {holder} before")
                decided.append(
                    self._decide(request.identity, one, new=one.spki_sha256 not in held)
                )
            except PkiError as refusal:
                decided.append(
                    Answer(request.identity, Verdict.REFUSED, refusal=refusal)
                )
        return decided

    def _check(self, request: Request, seen: set[str]) -> VerifiedRequest | PkiError:
        try:
            if request.identity in seen:
                raise RepeatedIdentityError(
                    f"{request.identity} stands in the batch twice"
                )
            seen.add(request.identity)
            entitlement = self._entitled(request.identity)  # 1
            if self.issuer_is_revoked:
                raise RevokedIssuerError(
                    "the issuing CA is revoked: it needs another one"
                )
            return verify_request(  # 2
                request.csr,
                names=entitlement.names,
                authority_keys=self.authority_keys,
            )
        except PkiError as refusal:
            return refusal

    def _entitled(self, identity: str) -> Entitlement:
        entitlement = self.policy.identities.get(identity)
        if entitlement is None:
            raise UnknownIdentityError(f"the policy names no {identity!r}")
        return entitlement

    def _decide(
        self, identity: str, verified: VerifiedRequest, *, new: bool
    ) -> Order | Answer:
        entitlement = self.policy.identities[identity]
        if not new:
            if self.ledger.is_revoked_key(verified.spki_sha256):
                raise RevokedKeyError(
                    "a certificate for the key was revoked: make another"
                )
            earlier = self._reusable(identity, verified, entitlement)  # 4
            if earlier is not None:
                return Answer(identity, Verdict.REUSED, earlier)
        return self._order(identity, verified, entitlement)  # 5

    def _order(
        self, identity: str, verified: VerifiedRequest, entitlement: Entitlement
    ) -> Order:
        builder = profiles.service(
            verified.public_key,
            names=entitlement.names,
            issuer=self.issuing,
            lifetime=entitlement.lifetime,
            now=self.now,
            addresses=self.policy.addresses,
        )
        return place_order(
            builder,
            Holder(
                kind="service",
                identity=identity,
                spiffe_id=str(entitlement.names.spiffe_id),
                spki_sha256=verified.spki_sha256,
            ),
            issuer=self.issuing,
            now=self.now,
            run_id=self.run_id,
        )

    def _reusable(
        self, identity: str, verified: VerifiedRequest, entitlement: Entitlement
    ) -> x509.Certificate | None:
        entry = self.ledger.newest_issued(identity, spki_sha256=verified.spki_sha256)
        if entry is None or entry.certificate is None:
            return None
        certificate = x509.load_der_x509_certificate(b64decode(entry.certificate))
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        reusable = (
            _is_signed_by_key_of(certificate, self.issuing)
            and names_of(certificate) == entitlement.names
            and pointers_of(certificate) == self._pointers(certificate)
            and ends - self.now >= (ends - begins) / 2
            and self.ledger.sequence_of(entry) > self.standing.replaced_up_to
        )
        return certificate if reusable else None

    def _pointers(self, certificate: x509.Certificate) -> Pointers | None:
        if self.policy.addresses is None:
            return None
        return self.policy.addresses.pointers(
            authority_of(self.issuing), certificate.serial_number
        )


def _is_signed_by_key_of(
    certificate: x509.Certificate, issuing: x509.Certificate
) -> bool:
    """Compare key identifiers: the issuing CA may have had another key before."""
    return signer_of(certificate) == authority_of(issuing)
