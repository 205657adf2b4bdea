"""Check what the CA has sent before it replaces anything: values in, a chain out."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from pki.errors import PkiError
from pki.identity import names_of
from pki.trust import TrustBundle, verify_chain
from services.renewal.errors import (
    UntrustedAnswerError,
    WrongKeyError,
    WrongNamesError,
)
from services.renewal.exchange import Answered


def verify_answer(
    answered: Answered,
    key: ec.EllipticCurvePrivateKey,
    present: x509.Certificate,
    bundle: TrustBundle,
    *,
    now: datetime,
) -> tuple[x509.Certificate, ...]:
    """Return the chain to present, the new certificate first, without a root.

    It holds all that leads upwards from the certificate, not this host's path alone:
    while roots follow one another, peers may need a cross certificate that we do not.

    1. The certificate is of the key that was made for it.
    2. A path leads from it to the bundle of this host, now (`pki.trust`). What the CA
       sends of its own certificates is used on the way, and not believed.
    3. Its names are those of the present one, in whatever order.

    That it may end sooner than the present one is for the policy to say.

    Raises:
        RenewalError: the subclass says which step failed.
    """
    certificate = answered.certificate
    if certificate.public_key() != key.public_key():  # 1
        raise WrongKeyError(f"serial {certificate.serial_number:x} is of another key")
    others = [one for one in answered.authorities if one not in bundle.roots]
    try:
        verified = verify_chain([certificate, *others], bundle, now=now)  # 2
        own = names_of(present)
    except PkiError as error:
        raise UntrustedAnswerError(str(error)) from error
    found = verified.names
    same_hosts = set(found.dns_names) == set(own.dns_names)
    if found.spiffe_id != own.spiffe_id or not same_hosts:  # 3
        raise WrongNamesError(f"the certificate is for {found.spiffe_id}")
    return certificate, *_above(certificate, others)


def _above(
    certificate: x509.Certificate, others: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    """Return those of `others` that certify it, or certify one that does.

    Roots are left out, whether this host knows them or not: nobody takes them from us.
    """
    found: list[x509.Certificate] = []
    wanted = [certificate]
    for one in wanted:  # which grows
        for other in others:
            if other not in found and _is_by(one, other) and not _is_by(other, other):
                found.append(other)
                wanted.append(other)
    return found


def _is_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether the key of `issuer` has signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
