"""Tests of `services.proof.binding`: the token names this certificate, or nothing."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from services.errors import ServiceError
from services.proof.binding import check_binding, confirmation
from services.proof.errors import UnboundTokenError, WrongCertificateError
from services.wire.generation import thumbprint
from tests.services.mesh import Mesh
from tests.services.tokens import THUMBPRINT

_VECTOR = Path(__file__).parents[2] / "vectors" / "rfc8705-appendix-a.pem"

_VALUE = (
    st.none() | st.integers() | st.text(max_size=50) | st.lists(st.text(max_size=3))
)
_MEMBER = st.sampled_from(["x5t#S256", "x5t", "jkt", ""]) | st.text(max_size=8)


@pytest.fixture(scope="module")
def vector() -> x509.Certificate:
    """Return the certificate of RFC 8705, appendix A."""
    return x509.load_pem_x509_certificate(_VECTOR.read_bytes())


def test_appendix_a_has_its_thumbprint(vector: x509.Certificate) -> None:
    """The certificate of RFC 8705, appendix A, has the thumbprint printed there."""
    assert thumbprint(vector) == THUMBPRINT


def test_appendix_a_is_bound_to_itself(vector: x509.Certificate) -> None:
    """A token that names the certificate of appendix A opens for it."""
    check_binding(confirmation(THUMBPRINT), thumbprint(vector))


def test_confirmation_has_the_form_of_the_rfc() -> None:
    """The claim has one member, `x5t#S256`, as in RFC 8705, section 3.1."""
    assert confirmation(THUMBPRINT) == {"x5t#S256": THUMBPRINT}


def test_every_thumbprint_has_43_characters(mesh: Mesh) -> None:
    """The base64url of 32 bytes without padding is 43 characters, and no other."""
    made = thumbprint(mesh.issue("orders").certificate)
    assert len(made) == 43
    assert set(made) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") | (
        set("0123456789-_")
    )


def test_no_confirmation_is_unbound() -> None:
    """A token without the claim is a bearer token, which binds to nobody."""
    with pytest.raises(UnboundTokenError, match="no cnf claim"):
        check_binding(None, THUMBPRINT)


@pytest.mark.parametrize(
    "confirmed",
    [
        pytest.param({}, id="empty"),
        pytest.param({"jkt": THUMBPRINT}, id="another-method"),
        pytest.param({"x5t": THUMBPRINT}, id="sha1-member"),
        pytest.param({"X5T#S256": THUMBPRINT}, id="case-of-member"),
        pytest.param({"x5t#S256": None}, id="null"),
        pytest.param({"x5t#S256": [THUMBPRINT]}, id="list"),
        pytest.param({"x5t#S256": 7}, id="number"),
        pytest.param({"x5t#S256": THUMBPRINT, "jkt": THUMBPRINT}, id="second-method"),
        pytest.param({"x5t#S256": THUMBPRINT, "x": 1}, id="unknown-member"),
    ],
)
def test_anything_but_one_thumbprint_is_unbound(confirmed: dict[str, Any]) -> None:
    """One member, of type text: what else stands there was checked by nobody."""
    with pytest.raises(UnboundTokenError, match=r"not one x5t#S256"):
        check_binding(confirmed, THUMBPRINT)


def test_another_certificate_is_refused(mesh: Mesh) -> None:
    """A thief's own valid certificate does not open another's token."""
    stolen = confirmation(thumbprint(mesh.issue("storefront").certificate))
    thief = thumbprint(mesh.issue("stock").certificate)
    with pytest.raises(WrongCertificateError):
        check_binding(stolen, thief)


def test_a_renewed_certificate_is_another(mesh: Mesh) -> None:
    """Renewal ends the use of a token even when the key stays (RFC 8705, 6.3)."""
    first = mesh.issue("storefront")
    renewed = mesh.issue("storefront", key=first.key)
    with pytest.raises(WrongCertificateError):
        check_binding(
            confirmation(thumbprint(first.certificate)),
            thumbprint(renewed.certificate),
        )


# Other ways to write the digest; RFC 8705, section 3.1, allows none of them.
_SPELLINGS: dict[str, Callable[[x509.Certificate], str]] = {
    "padded": lambda _: THUMBPRINT + "=",
    "hex": lambda certificate: certificate.fingerprint(SHA256()).hex(),
    "hex-with-colons": lambda certificate: (
        certificate.fingerprint(SHA256()).hex(":").upper()
    ),
    "case": lambda _: THUMBPRINT.swapcase(),
    "blank": lambda _: THUMBPRINT + " ",
    "newline": lambda _: THUMBPRINT + "\n",
    "cut": lambda _: THUMBPRINT[:-1],
    "empty": lambda _: "",
    "spare-bits": lambda _: THUMBPRINT[:-1] + "1",
    "of-the-pem": lambda certificate: sha256(
        certificate.public_bytes(Encoding.PEM)
    ).hexdigest(),
}


@pytest.mark.parametrize("spelling", _SPELLINGS)
def test_other_spellings_of_the_thumbprint_are_refused(
    vector: x509.Certificate, spelling: str
) -> None:
    """The RFC allows one spelling of a thumbprint; a second one is another text."""
    named = _SPELLINGS[spelling](vector)
    with pytest.raises(WrongCertificateError):
        check_binding({"x5t#S256": named}, THUMBPRINT)


@given(st.none() | st.dictionaries(_MEMBER, _VALUE | st.just(THUMBPRINT), max_size=3))
def test_no_claim_but_the_right_one_opens(confirmed: dict[str, Any] | None) -> None:
    """Any claim either is the one right one or is refused under our own error."""
    try:
        check_binding(confirmed, THUMBPRINT)
    except ServiceError:
        assert confirmed != confirmation(THUMBPRINT)
    else:
        assert confirmed == confirmation(THUMBPRINT)
