"""Bind an access token to its client's certificate or key (RFC 8705, 3; RFC 9449, 6).

The token service puts `confirmation(thumbprint)`, or `confirmation_of_key(jkt)`, among
the claims it signs; a guard calls `check_holder` with the thumbprint of the certificate
on the connection that the token arrived on, and with the DPoP proof that came with it.

This proves one thing: the token names the certificate the caller presented, or the key
that made the proof. That the caller holds the certificate's key is for TLS to prove,
that the certificate is trusted is for the trust bundle, that the proof is good for
`dpop`, that the token is genuine for `access_token`. No clock, no network.
"""

from collections.abc import Mapping

from services.proof.dpop import DpopProof
from services.proof.errors import (
    CertificateRequiredError,
    ProofRequiredError,
    UnboundTokenError,
    UnmatchedProofError,
    WrongCertificateError,
    WrongKeyError,
)

CONFIRMATION = "cnf"  # RFC 7800, section 3.1
THUMBPRINT = "x5t#S256"  # RFC 8705, section 3.1
KEY_THUMBPRINT = "jkt"  # RFC 9449, section 6.1


def confirmation(thumbprint: str) -> dict[str, str]:
    """Return the value of the `cnf` claim that binds a token to a certificate.

    Args:
        thumbprint: SHA-256 of the certificate's DER form, base64url without padding.
    """
    return {THUMBPRINT: thumbprint}


def confirmation_of_key(jkt: str) -> dict[str, str]:
    """Return the value of the `cnf` claim that binds a token to a key.

    Args:
        jkt: SHA-256 thumbprint of the public key (RFC 7638), as `DpopProof` has it.
    """
    return {KEY_THUMBPRINT: jkt}


def check_binding(confirmed: Mapping[str, object] | None, presented: str) -> None:
    """Return if the verified `cnf` claim names the `presented` thumbprint.

    A token has one confirmation member: with a second one, two implementations could
    each check another half and neither the whole.

    Raises:
        UnboundTokenError: no `cnf` claim, or not exactly a certificate thumbprint.
        WrongCertificateError: the thumbprint is that of another certificate.
    """
    _, named = _only_member(confirmed, THUMBPRINT)
    _check_certificate(named, presented)


def check_holder(
    confirmed: Mapping[str, object] | None,
    *,
    presented: str | None,
    proof: DpopProof | None,
) -> None:
    """Return if the verified `cnf` claim names the one who sent this request.

    What the token names decides, and nothing else on the request can replace it:

    - a key: a proof by that key is due. A certificate may be there, too: where every
      connection is mutual TLS it always is, and says nothing about the token.
    - a certificate: that certificate is due. With a proof beside it the token is
      refused all the same: a caller who sends one takes the token for bound to his
      key, and RFC 9449, section 7.1, demands that it then is. Passing over it would
      leave a proof in the request that nobody matched with anything.

    Args:
        confirmed: the `cnf` claim of a verified token.
        presented: thumbprint of the connection's certificate, None if it has none.
        proof: the verified proof of this request, None if it came without.

    Raises:
        UnboundTokenError: no `cnf` claim, not exactly one member, or one of a method
            that is not known here.
        ProofRequiredError: bound to a key, and there is no proof.
        WrongKeyError: bound to another key than the proof's.
        CertificateRequiredError: bound to a certificate, and there is none.
        WrongCertificateError: bound to another certificate.
        UnmatchedProofError: bound to this certificate, and there is a proof.
    """
    method, named = _only_member(confirmed, THUMBPRINT, KEY_THUMBPRINT)
    if method == KEY_THUMBPRINT:
        _check_key(named, proof)
        return
    if presented is None:
        raise CertificateRequiredError("no certificate on the connection")
    _check_certificate(named, presented)
    if proof is not None:
        raise UnmatchedProofError("a proof beside a token bound to a certificate")


def _only_member(
    confirmed: Mapping[str, object] | None, *methods: str
) -> tuple[str, str]:
    """Return the one member of a `cnf` claim, which is of one of the `methods`."""
    if confirmed is None:
        raise UnboundTokenError(f"no {CONFIRMATION} claim")
    method = next(iter(confirmed), None)
    named = confirmed.get(method) if method in methods else None
    if not isinstance(method, str) or not isinstance(named, str) or len(confirmed) != 1:
        raise UnboundTokenError(
            f"{CONFIRMATION} holds {sorted(confirmed)}, not one {' or '.join(methods)}"
        )
    return method, named


# The RFCs allow one spelling of a thumbprint (no padding, no white space): compare the
# texts and never decode them. Thumbprints are public, so timing gives nothing away.


def _check_certificate(named: str, presented: str) -> None:
    if named != presented:
        raise WrongCertificateError(
            f"token names {named!r}, caller has {presented!r}", named
        )


def _check_key(named: str, proof: DpopProof | None) -> None:
    if proof is None:
        raise ProofRequiredError("no proof beside a token bound to a key")
    if named != proof.thumbprint:
        raise WrongKeyError(f"token names {named!r}, the proof is {proof.thumbprint!r}")
