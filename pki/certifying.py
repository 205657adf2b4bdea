"""A root certifies: itself, an issuing CA, another root. All of it is in the ledger.

`founding` and `rotation` come here with a root's key open. With each certificate the
root's revocation list is made if it is due, since its key is seldom open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki import profiles
from pki.crl_series import Series, publish_lists
from pki.identity import trust_domain_uri
from pki.ledger import Ledger
from pki.policy import Policy
from pki.request import spki_sha256
from pki.signing import Holder, place_order, sign_and_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """Certifies CAs as a policy says, at one moment."""

    ledger: Ledger
    policy: Policy
    now: datetime
    run_id: str

    def root(self, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        """Return the certificate of a root, by its own key."""
        builder = profiles.root(
            key.public_key(),
            trust_domain=self.policy.trust_domain,
            lifetime=self.policy.root_lifetime,
            now=self.now,
        )
        return self._sign(builder, "root", key.public_key(), None, key)

    def issuing(
        self,
        key: ec.EllipticCurvePublicKey,
        root: x509.Certificate,
        root_key: ec.EllipticCurvePrivateKey,
    ) -> x509.Certificate:
        """Return the certificate of an issuing CA, by `root`."""
        builder = profiles.issuing_ca(
            key,
            trust_domain=self.policy.trust_domain,
            permitted_dns=self.policy.permitted_dns,
            issuer=root,
            lifetime=self.policy.issuing_lifetime,
            now=self.now,
        )
        return self._sign(builder, "issuing", key, root, root_key)

    def cross(
        self,
        other: x509.Certificate,
        root: x509.Certificate,
        root_key: ec.EllipticCurvePrivateKey,
        lifetime: timedelta,
    ) -> x509.Certificate:
        """Return a certificate for the key of the root `other`, by `root`."""
        builder = profiles.cross(other, issuer=root, lifetime=lifetime, now=self.now)
        key = profiles.key_of(other)
        return self._sign(builder, "cross", key, root, root_key)

    def _sign(
        self,
        builder: x509.CertificateBuilder,
        kind: str,
        key: ec.EllipticCurvePublicKey,
        issuer: x509.Certificate | None,
        root_key: ec.EllipticCurvePrivateKey,
    ) -> x509.Certificate:
        order = place_order(
            builder,
            Holder(
                kind=kind,
                identity=kind,
                spiffe_id=trust_domain_uri(self.policy.trust_domain),
                spki_sha256=spki_sha256(key),
            ),
            issuer=issuer,
            now=self.now,
            run_id=self.run_id,
        )

        def publish(signed: Sequence[x509.Certificate]) -> None:
            series = Series(
                published=self.ledger.published,
                issuer=issuer or signed[0],
                now=self.now,
                by="root",
            )
            publish_lists(self.ledger, series, root_key)

        (certificate,) = sign_and_record(self.ledger, [order], root_key, also=publish)
        return certificate
