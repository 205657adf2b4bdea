"""OCSP: what is answered to whom, by what, and that revoked always wins."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki import clock
from pki.engine import LedgerError
from pki.ledger import open_ledger
from pki.ocsp import Answered, OcspService, Standing, sign_in_advance
from pki.pointers import authority_of
from pki.published import read_published
from pki.responder import Responder, ResponderError, read_responder
from pki.storage import InsecurePermissionsError
from tests.pki.builders import ADDRESSES, NOW, Ca, Forge, p256, policy_document

ORDERS = "orders@localhost"
GOOD, REVOKED, UNKNOWN = (
    ocsp.OCSPCertStatus.GOOD,
    ocsp.OCSPCertStatus.REVOKED,
    ocsp.OCSPCertStatus.UNKNOWN,
)
Status = ocsp.OCSPResponseStatus
DIGESTS = [hashes.SHA1(), hashes.SHA256()]  # noqa: S303 - as clients ask
either_digest = pytest.mark.parametrize("digest", DIGESTS, ids=lambda used: used.name)


def request(
    ca: Ca,
    certificate: x509.Certificate,
    *,
    digest: hashes.HashAlgorithm | None = None,
    issuer: x509.Certificate | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """Return a request in DER."""
    issuing = issuer or ca.certificate("issuing")
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        certificate, issuing, digest or hashes.SHA256()
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def ask(ca: Ca, der: bytes, now: datetime | None = None) -> Answered:
    """Return the answer as the web's side gets it."""
    return OcspService(ca.layout).answer(der, now=now or clock.utc_now())


def response(answered: Answered) -> ocsp.OCSPResponse:
    """Return the answer as a client reads it."""
    return ocsp.load_der_ocsp_response(answered.der)


def responder(ca: Ca) -> Responder:
    """Return who signs the answers."""
    found = read_responder(ca.layout.responder(authority_of(ca.certificate("issuing"))))
    assert found
    return found


def check_signed(ca: Ca, answer: ocsp.OCSPResponse) -> x509.Certificate:
    """Return who signed the answer, having checked the signature."""
    (signer,) = answer.certificates
    key = signer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert answer.signature_hash_algorithm
    key.verify(
        answer.signature,
        answer.tbs_response_bytes,
        ec.ECDSA(answer.signature_hash_algorithm),
    )
    signer.verify_directly_issued_by(ca.certificate("issuing"))
    return signer


@either_digest
def test_good_is_answered_from_the_store(
    telling: Ca, digest: hashes.HashAlgorithm
) -> None:
    """Signed before the certificate left, in the hash of the question."""
    certificate = telling.one()
    telling.layout.responder(authority_of(telling.certificate("issuing"))).unlink()
    now = clock.utc_now()
    answered = ask(telling, request(telling, certificate, digest=digest), now)
    answer = response(answered)
    assert answer.certificate_status is GOOD
    assert answer.hash_algorithm.name == digest.name
    assert answer.serial_number == certificate.serial_number
    assert answer.next_update_utc
    assert answer.this_update_utc <= now < answer.next_update_utc
    assert answered.max_age == int((answer.next_update_utc - now).total_seconds())
    check_signed(telling, answer)


def test_answers_are_signed_by_a_delegate(telling: Ca) -> None:
    """Named by its key, certified by the issuing CA for this alone, for a week."""
    answer = response(ask(telling, request(telling, telling.one())))
    signer = check_signed(telling, answer)
    identifier = x509.SubjectKeyIdentifier.from_public_key(signer.public_key())
    assert answer.responder_key_hash == identifier.digest
    assert answer.responder_name is None
    usages = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.OCSP_SIGNING]
    signer.extensions.get_extension_for_class(x509.OCSPNoCheck)
    life = signer.not_valid_after_utc - signer.not_valid_before_utc
    assert life == timedelta(days=7)
    assert answer.produced_at_utc >= answer.this_update_utc


@either_digest
def test_revoked_is_answered_at_once(telling: Ca, digest: hashes.HashAlgorithm) -> None:
    """With when and why; the earlier answer is gone."""
    certificate = telling.one()
    asked = request(telling, certificate, digest=digest)
    assert response(ask(telling, asked)).certificate_status is GOOD
    (entry,) = telling.revoke(ORDERS).revoked
    answered = ask(telling, asked)
    answer = response(answered)
    assert answer.certificate_status is REVOKED
    assert answer.revocation_reason is x509.ReasonFlags.key_compromise
    assert answer.revocation_time_utc == clock.from_text(entry.recorded_at)
    assert answered.max_age > 0


def test_nothing_is_signed_in_advance_on_what_was_not_issued(
    telling: Ca, forge: Forge
) -> None:
    """Good is said of certificates, not of serials."""
    telling.one()
    nothing = Standing(issued=None, revoked=None)
    signed = sign_in_advance(responder(telling), forge.issuing, nothing, NOW)
    assert not list(signed)


def test_certificates_from_before_are_answered(ca: Ca) -> None:
    """The policy has gained its addresses; `crl` makes what is missing, once."""
    certificate = ca.one()
    with open_ledger(ca.layout.ledger) as ledger:  # as by the first release
        ledger.connection.execute("DROP TRIGGER entry_is_never_changed")
        ledger.connection.execute("UPDATE entry SET authority = NULL")
    ca.complete(policy_document(addresses=ADDRESSES))
    done = ca.publish()
    assert (done.answers, done.responder) == (1, True)
    answered = ask(ca, request(ca, certificate))
    assert response(answered).certificate_status is GOOD
    assert answered.max_age > 0
    assert not ca.publish().changed


def test_good_is_never_stored_after_revoked(telling: Ca) -> None:
    """The database itself refuses it."""
    certificate = telling.one()
    issuer = telling.certificate("issuing").subject.rfc4514_string()
    with read_published(telling.layout.ledger) as published:
        good = published.answer(issuer, f"{certificate.serial_number:x}", "sha256")
    assert good
    telling.revoke(ORDERS)
    with (
        pytest.raises(LedgerError, match="is revoked"),
        open_ledger(telling.layout.ledger) as ledger,
    ):
        ledger.published.put_answer(good)


def test_good_that_was_stored_after_revoked_is_not_given(telling: Ca) -> None:
    """The ledger decides, whatever the store says."""
    certificate = telling.one()
    asked = request(telling, certificate)
    issuer = telling.certificate("issuing").subject.rfc4514_string()
    with read_published(telling.layout.ledger) as published:
        good = published.answer(issuer, f"{certificate.serial_number:x}", "sha256")
    assert good
    telling.revoke(ORDERS)
    with open_ledger(telling.layout.ledger) as ledger:
        ledger.connection.execute("DROP TRIGGER revoked_always_wins")
        ledger.published.put_answer(good)
    assert response(ask(telling, asked)).certificate_status is REVOKED


@either_digest
def test_serial_never_issued_is_unknown(
    telling: Ca, digest: hashes.HashAlgorithm
) -> None:
    """Signed on the spot, and nobody keeps it: it may be issued the next moment."""
    certificate = telling.one()
    issuing = telling.certificate("issuing")
    known = ocsp.load_der_ocsp_request(request(telling, certificate, digest=digest))
    der = (
        ocsp.OCSPRequestBuilder()
        .add_certificate_by_hash(
            known.issuer_name_hash, known.issuer_key_hash, 4711, digest
        )
        .build()
        .public_bytes(Encoding.DER)
    )
    answered = ask(telling, der)
    answer = response(answered)
    assert answer.certificate_status is UNKNOWN
    assert answer.serial_number == 4711
    assert answered.max_age == 0
    check_signed(telling, answer).verify_directly_issued_by(issuing)


def test_another_issuer_is_unauthorized(telling: Ca) -> None:
    """The root's certificates too: it delegated nothing."""
    certificate = telling.one()
    other = Ca.found(telling.layout.directory.with_name("other")).certificate("issuing")
    for issuer in (other, telling.certificate("root")):
        answered = ask(telling, request(telling, certificate, issuer=issuer))
        assert response(answered).response_status is Status.UNAUTHORIZED
        assert answered.max_age == 0


def test_hash_that_nobody_asks_with_is_unauthorized(telling: Ca) -> None:
    """SHA-1 and SHA-256 name issuers, no other."""
    der = request(telling, telling.one(), digest=hashes.SHA512())
    assert response(ask(telling, der)).response_status is Status.UNAUTHORIZED


@pytest.mark.parametrize("length", [16, 32, 128])
def test_nonce_is_echoed(telling: Ca, length: int) -> None:
    """Exactly, in an answer of its own that nobody keeps (RFC 9654)."""
    nonce = bytes(range(length))
    answered = ask(telling, request(telling, telling.one(), nonce=nonce))
    answer = response(answered)
    echoed = answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    assert echoed == nonce
    assert answer.certificate_status is GOOD
    assert answered.max_age == 0
    check_signed(telling, answer)


@pytest.mark.parametrize("length", [1, 15])
def test_short_nonce_is_ignored(telling: Ca, length: int) -> None:
    """It gets the answer in the store."""
    answered = ask(telling, request(telling, telling.one(), nonce=b"n" * length))
    answer = response(answered)
    assert answer.certificate_status is GOOD
    assert not list(answer.extensions)
    assert answered.max_age > 0


@pytest.mark.parametrize("length", [0, 129, 1000])
def test_nonce_out_of_bounds_is_malformed(telling: Ca, length: int) -> None:
    """None at all in its place, or more than 128 octets (RFC 9654, 2.1)."""
    der = request(telling, telling.one(), nonce=b"n" * length)
    assert response(ask(telling, der)).response_status is Status.MALFORMED_REQUEST


def test_negative_serial_is_malformed(telling: Ca) -> None:
    """No certificate has one, and no answer could be built."""
    certificate = telling.one()
    serial = certificate.serial_number
    octets = serial.to_bytes((serial.bit_length() + 8) // 8)
    question = request(telling, certificate)
    assert question.count(octets) == 1
    negative = question.replace(octets, b"\x80" + octets[1:])
    assert ocsp.load_der_ocsp_request(negative).serial_number < 0
    assert response(ask(telling, negative)).response_status is Status.MALFORMED_REQUEST


@pytest.mark.parametrize("der", [b"", b"rubbish", b"\x30\x00"])
def test_what_is_no_request_is_malformed(telling: Ca, der: bytes) -> None:
    """Unsigned: nothing was said that could be misused."""
    telling.one()
    assert response(ask(telling, der)).response_status is Status.MALFORMED_REQUEST


def test_revoked_is_answered_to_a_nonce(telling: Ca) -> None:
    """On the spot, out of the ledger."""
    certificate = telling.one()
    telling.revoke(ORDERS)
    answer = response(ask(telling, request(telling, certificate, nonce=b"n" * 32)))
    assert answer.certificate_status is REVOKED


def test_answer_past_its_time_is_not_given(telling: Ca) -> None:
    """One is signed on the spot instead, while the responder's certificate lasts."""
    certificate = telling.one()
    later = clock.utc_now() + timedelta(hours=24, seconds=1)
    answered = ask(telling, request(telling, certificate), later)
    answer = response(answered)
    assert answer.this_update_utc == later
    assert answered.max_age == 0


def test_nobody_signs_without_a_responder_that_lasts(telling: Ca) -> None:
    """Later, says the answer; somebody has forgotten `crl` for a week."""
    certificate = telling.one()
    later = clock.utc_now() + timedelta(days=7)
    answered = ask(telling, request(telling, certificate), later)
    assert response(answered).response_status is Status.TRY_LATER


def test_responder_is_renewed_half_through_its_life(telling: Ca) -> None:
    """With a new key; the ledger has both, the first superseded."""
    telling.one()
    first = responder(telling).certificate
    later = clock.utc_now() + timedelta(days=3, hours=11)
    telling.publish(now=lambda: later)
    assert responder(telling).certificate == first
    later += timedelta(hours=2)
    done = telling.publish(now=lambda: later)
    assert done.responder
    assert responder(telling).certificate.public_key() != first.public_key()
    with open_ledger(telling.layout.ledger) as ledger:
        events = [
            entry.event for entry in ledger.entries() if "@" not in entry.identity
        ]
    assert events[-3:] == ["planned", "superseded", "issued"]


def test_responders_file_is_private(telling: Ca) -> None:
    """Mode 0600, and refused if somebody opened it."""
    telling.one()
    path = telling.layout.responder(authority_of(telling.certificate("issuing")))
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(InsecurePermissionsError):
        read_responder(path)


@pytest.mark.parametrize("spoil", ["rubbish", "another key"])
def test_responders_file_is_read_strictly(telling: Ca, spoil: str) -> None:
    """Key and certificate belong together."""
    telling.one()
    path = telling.layout.responder(authority_of(telling.certificate("issuing")))
    if spoil == "rubbish":
        path.write_text("rubbish")
    else:
        Responder(p256(), responder(telling).certificate).write(path)
    with pytest.raises(ResponderError):
        read_responder(path)


def test_answers_load_nothing_that_uses_a_cas_key(
    loaded_by: Callable[[str], set[str]],
) -> None:
    """Whose web side is broken into, its CA key is not."""
    loaded = loaded_by("pki.ocsp")
    assert "pki.responder" in loaded
    assert not loaded & {"pki.authority", "pki.signing", "pki.keys", "pki.founding"}


def test_lists_are_verified_without_loading_anything_that_signs(
    loaded_by: Callable[[str], set[str]],
) -> None:
    """Nor the ledger, nor what builds lists."""
    loaded = loaded_by("pki.revocation_list")
    assert loaded == {
        "pki.errors",
        "pki.pointers",
        "pki.revocation_list",
        "pki.serials",
    }
