"""Bind an access token to its client's certificate (RFC 8705, section 3).

The token service puts `confirmation(thumbprint)` among the claims it signs; a guard
calls `check_binding` with the thumbprint of the certificate on the connection that the
token arrived on.

This proves one thing: the token names the certificate the caller presented. That the
caller holds its key is for TLS to prove, that the certificate is trusted is for the
trust bundle, that the token is genuine for `access_token`. No clock, no network.
"""

from collections.abc import Mapping

from services.proof.errors import UnboundTokenError, WrongCertificateError

CONFIRMATION = "cnf"  # RFC 7800, section 3.1
THUMBPRINT = "x5t#S256"  # RFC 8705, section 3.1


def confirmation(thumbprint: str) -> dict[str, str]:
    """Return the value of the `cnf` claim that binds a token to a certificate.

    Args:
        thumbprint: SHA-256 of the certificate's DER form, base64url without padding.
    """
    return {THUMBPRINT: thumbprint}


def check_binding(confirmed: Mapping[str, object] | None, presented: str) -> None:
    """Return if the verified `cnf` claim names the `presented` thumbprint.

    A token has one confirmation member: with a second one, two implementations could
    each check another half and neither the whole.

    Raises:
        UnboundTokenError: no `cnf` claim, or not exactly a certificate thumbprint.
        WrongCertificateError: the thumbprint is that of another certificate.
    """
    if confirmed is None:
        raise UnboundTokenError(f"no {CONFIRMATION} claim")
    named = confirmed.get(THUMBPRINT)
    if not isinstance(named, str) or len(confirmed) != 1:
        members = sorted(confirmed)
        raise UnboundTokenError(f"{CONFIRMATION} holds {members}, not one {THUMBPRINT}")
    # The RFC allows one spelling (no padding, no white space): compare the texts and
    # never decode them. Thumbprints are public, so timing gives nothing away.
    if named != presented:
        raise WrongCertificateError(f"token names {named!r}, caller has {presented!r}")
