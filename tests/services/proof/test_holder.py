"""Tests of `binding.check_holder`: the one whom the token names, by the right proof."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proof.binding import check_holder, confirmation, confirmation_of_key
from services.proof.dpop import DpopProof
from services.proof.errors import (
    CertificateRequiredError,
    InvalidTokenError,
    ProofRequiredError,
    UnboundTokenError,
    UnmatchedProofError,
    WrongCertificateError,
    WrongKeyError,
)
from tests.services.tokens import NOW, THUMBPRINT

JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # RFC 9449, section 6.1
PROOF = DpopProof(
    thumbprint=JKT,
    token_id="-BwC3ESc6acc2lTc",
    issued_at=NOW,
    expires_at=NOW + timedelta(seconds=70),
    nonce=None,
)
OTHER = THUMBPRINT[::-1]


def test_confirmation_of_a_key_has_the_form_of_the_rfc() -> None:
    """The claim has one member, `jkt`, as in RFC 9449, section 6.1."""
    assert confirmation_of_key(JKT) == {"jkt": JKT}


@pytest.mark.parametrize("presented", [None, THUMBPRINT], ids=["tls", "mutual-tls"])
def test_a_proof_by_the_named_key_opens(presented: str | None) -> None:
    """A key-bound token opens for a proof by that key, with any certificate or none."""
    check_holder(confirmation_of_key(JKT), presented=presented, proof=PROOF)


def test_the_named_certificate_opens() -> None:
    """A certificate-bound token opens for that certificate."""
    check_holder(confirmation(THUMBPRINT), presented=THUMBPRINT, proof=None)


def test_a_key_bound_token_needs_a_proof() -> None:
    """Sent as a bearer token, it opens nothing (RFC 9449, section 7.2)."""
    with pytest.raises(ProofRequiredError):
        check_holder(confirmation_of_key(JKT), presented=None, proof=None)


def test_a_certificate_is_no_proof_of_a_key() -> None:
    """Not even a certificate whose thumbprint is the very text takes its place."""
    with pytest.raises(ProofRequiredError):
        check_holder(confirmation_of_key(JKT), presented=JKT, proof=None)


def test_a_proof_by_another_key_is_refused() -> None:
    """A thief's own good proof does not open a stolen token (section 7.1)."""
    with pytest.raises(WrongKeyError):
        check_holder(confirmation_of_key(OTHER), presented=None, proof=PROOF)


def test_a_certificate_bound_token_needs_the_certificate() -> None:
    """Without a certificate on the connection it opens nothing."""
    with pytest.raises(CertificateRequiredError):
        check_holder(confirmation(THUMBPRINT), presented=None, proof=None)


def test_a_proof_is_no_certificate() -> None:
    """A proof by a key of the very same thumbprint does not take its place."""
    with pytest.raises(CertificateRequiredError):
        check_holder(confirmation(JKT), presented=None, proof=PROOF)


def test_another_certificate_is_refused() -> None:
    """A token that names one certificate does not open for another."""
    with pytest.raises(WrongCertificateError):
        check_holder(confirmation(THUMBPRINT), presented=OTHER, proof=None)


def test_a_proof_beside_a_certificate_bound_token_is_refused() -> None:
    """The right certificate does not make up for a proof that matches nothing."""
    with pytest.raises(UnmatchedProofError):
        check_holder(confirmation(THUMBPRINT), presented=THUMBPRINT, proof=PROOF)


@pytest.mark.parametrize(
    "confirmed",
    [
        pytest.param(None, id="no-claim"),
        pytest.param({}, id="empty"),
        pytest.param({"x5t#S256": THUMBPRINT, "jkt": JKT}, id="both"),
        pytest.param({"jkt": JKT, "x5t#S256": THUMBPRINT}, id="both-turned"),
        pytest.param({"jkt": JKT, "x": 1}, id="key-and-unknown"),
        pytest.param({"x5t#S256": THUMBPRINT, "x": 1}, id="certificate-and-unknown"),
        pytest.param({"jwk": {"kty": "EC"}}, id="unknown"),
        pytest.param({"kid": JKT}, id="key-id"),
        pytest.param({"JKT": JKT}, id="case"),
        pytest.param({"jkt": None}, id="null"),
        pytest.param({"jkt": [JKT]}, id="list"),
        pytest.param({"jkt": 7}, id="number"),
        pytest.param({"x5t#S256": None}, id="certificate-null"),
    ],
)
@pytest.mark.parametrize("proof", [None, PROOF], ids=["alone", "with-proof"])
def test_a_token_names_one_holder_by_a_known_method(
    confirmed: dict[str, Any] | None, proof: DpopProof | None
) -> None:
    """Two members, none, or one that nobody here can check: bound to nobody."""
    with pytest.raises(UnboundTokenError):
        check_holder(confirmed, presented=THUMBPRINT, proof=proof)


@pytest.mark.parametrize(
    "named", [JKT + "=", JKT.swapcase(), JKT[:-1], JKT + "\n", f" {JKT}", ""]
)
def test_other_spellings_of_a_key_are_refused(named: str) -> None:
    """A thumbprint has one spelling, for keys as for certificates."""
    with pytest.raises(WrongKeyError):
        check_holder({"jkt": named}, presented=None, proof=PROOF)


@given(
    st.none()
    | st.dictionaries(
        st.sampled_from(["jkt", "x5t#S256", "jwk", ""]) | st.text(max_size=5),
        st.none() | st.integers() | st.text(max_size=9) | st.just(JKT),
        max_size=3,
    ),
    st.none() | st.sampled_from([THUMBPRINT, JKT]),
    st.none() | st.just(PROOF),
)
def test_no_request_but_the_named_holders_opens(
    confirmed: dict[str, Any] | None, presented: str | None, proof: DpopProof | None
) -> None:
    """Any claim with any evidence is refused, or names exactly this holder."""
    try:
        check_holder(confirmed, presented=presented, proof=proof)
    except InvalidTokenError:
        return
    by_key = proof is not None and confirmed == {"jkt": proof.thumbprint}
    by_certificate = proof is None and confirmed == {"x5t#S256": presented}
    assert by_key or by_certificate
