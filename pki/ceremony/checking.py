"""What a ceremony gave, held against the rules and the policy of the CA's host.

`taking` comes here. `result` has found the document whole and signed; here it is seen
whether a CA of ours may take what is in it, before anything is written.
"""

import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from pki import lint, lint_crl
from pki.ceremony.result import (
    Result,
    ResultError,
    fingerprint,
    grouped,
    is_root_of,
)
from pki.policy import Policy
from pki.revocation_list import RevocationList, verify_list


class FingerprintError(ResultError):
    """The root is not the one whose fingerprint was said."""

    code = "wrong_fingerprint"


class NotForUsError(ResultError):
    """It certifies no key of this CA, or under another root than this CA's."""

    code = "ceremony_not_ours"


def check_fingerprint(root: x509.Certificate, said: str) -> None:
    """Return if a root has the SHA-256 that a person has said, in hex.

    Raises:
        FingerprintError: it has another.
    """
    found = fingerprint(root)
    if found != re.sub(r"[\s:]", "", said).lower():
        raise FingerprintError(
            f"the result's root has the fingerprint {grouped(found)}"
        )


def check_result(
    result: Result, policy: Policy
) -> dict[x509.Certificate, tuple[RevocationList, bytes]]:
    """Return the list of each root of a result, read and as it came.

    1. Each certificate and each root is signed by the root that it names.
    2. Each root is one of the policy's trust domain.
    3. Certificates and lists keep the rules for their kind.

    Raises:
        ResultError: 1 does not hold.
        NotForUsError: 2 does not hold.
        LintError, RevocationListError: 3 does not hold.
    """
    try:
        for listing in result.listings:
            listing.root.verify_directly_issued_by(listing.root)
        for one in result.certificates:
            one.verify_directly_issued_by(result.issuer_of(one))
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ResultError(f"its roots did not sign all of it: {error}") from error
    for listing in result.listings:
        lint.check_certificate(listing.root, kind="root", issuer=None)
        if not is_root_of(listing.root, policy.trust_domain):
            raise NotForUsError(f"the root is not one of {policy.trust_domain}")
        crl = x509.load_der_x509_crl(listing.crl)
        lint_crl.check_crl(crl, kind="full", by="root", issuer=listing.root)
    for one in result.certificates:
        kind = "cross" if result.is_cross(one) else "issuing"
        lint.check_certificate(one, kind=kind, issuer=result.issuer_of(one))
    return {
        listing.root: (verify_list(listing.crl, listing.root), listing.crl)
        for listing in result.listings
    }
