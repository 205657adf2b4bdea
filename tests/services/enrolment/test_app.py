"""Tests of `services.enrolment.app`: EST over real mutual TLS."""

import subprocess
from base64 import b64decode
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki.rotation_steps import Phase, What
from tests.pki.builders import Ca
from tests.pki.rotating import Rotating
from tests.services.authority import (
    Authority,
    Front,
    certificate,
    certificates,
    encoded,
    enrolment,
    request_of,
)
from tests.services.logged import lines, listen
from tests.services.mesh import Instance, Leaf, Serve

CSR_ATTRIBUTES = [":ecdsa-with-SHA256", ":id-ecPublicKey", ":prime256v1"]


def test_the_next_certificate_has_new_key_and_same_names(
    house: Authority,
    front: Front,
    orders: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is in the ledger as the renewal of the one before, and audited by name."""
    listen(caplog)
    key = ec.generate_private_key(ec.SECP256R1())
    renewed = certificate(front.post(orders, request_of(orders, key)))
    present = orders.generation.certificate
    assert renewed.public_key() == key.public_key() != present.public_key()
    san = x509.SubjectAlternativeName
    assert renewed.extensions.get_extension_for_class(
        san
    ) == present.extensions.get_extension_for_class(san)
    life = renewed.not_valid_after_utc - renewed.not_valid_before_utc
    assert life == timedelta(days=1)
    with house.ledger() as ledger:
        ledger.verify()
        newest = ledger.newest_issued("orders@localhost")
    assert newest
    assert newest.serial == format(renewed.serial_number, "x")
    assert newest.run_id == f"renewal of {orders.generation.serial:x}"
    (line,) = [one for one in lines(caplog) if one["event"] == "certificate.renewed"]
    assert line["client_id"] == "orders@localhost"
    assert line["renewed"] == newest.serial


def test_cacerts_are_for_every_client_of_the_bundle(
    house: Authority, front: Front, orders: Instance
) -> None:
    """The issuing CA and the root, in base64 on one line."""
    with front.client(orders) as client:
        answer = client.get("/cacerts")
    assert answer.headers["content-type"].startswith("application/pkcs7-mime")
    assert set(certificates(answer)) == {house.issuing, house.root}
    assert len(answer.content.split()) == 1


def test_cacerts_and_renewals_follow_a_rotation(
    house: Authority, front: Front, orders: Instance
) -> None:
    """The new issuing CA, the certificate that leads to the old root, both roots."""
    with front.client(orders) as client:
        client.get("/cacerts").raise_for_status()
        rotating = Rotating(Ca(house.layout), What.ROOT, now=front.clock)
        rotating.hurry(Phase.SWITCHING)
        answer = client.get("/cacerts")
    standing = rotating.standing
    given = set(certificates(answer))
    assert given == {*standing.chain, *standing.roots}
    assert house.root in given
    assert len(given) == 4
    renewed = certificate(front.post(orders, request_of(orders)))
    renewed.verify_directly_issued_by(standing.issuing)


def test_csrattrs_name_key_and_signature(front: Front, orders: Instance) -> None:
    """OpenSSL reads a P-256 key and ECDSA with SHA-256 in them."""
    with front.client(orders) as client:
        answer = client.get("/csrattrs")
    assert answer.headers["content-type"] == "application/csrattrs"
    said = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER"],
        input=b64decode(answer.content),
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert [word for word in said.split() if word[1:] and word[0] == ":"] == (
        CSR_ATTRIBUTES
    )


def test_an_encoding_that_a_header_claims_is_not_looked_at(
    front: Front, orders: Instance
) -> None:
    """RFC 8951: a body is base64, whatever Content-Transfer-Encoding says."""
    headers = {"content-transfer-encoding": "binary"}
    certificate(front.post(orders, request_of(orders), **headers))


def test_a_label_is_taken_if_it_is_the_configured_one(
    house: Authority, orders: Instance, serve: Serve, tmp_path: Path
) -> None:
    """Under any other there is no CA."""
    with enrolment(house, serve, tmp_path, label="shop") as front:
        request = request_of(orders)
        other = front.post(orders, request, "/other/simplereenroll")
        assert (other.status_code, other.text[:10]) == (404, "not_found:")
        certificate(front.post(orders, request, "/shop/simplereenroll"))


def test_a_lost_answer_is_given_again(front: Front, orders: Instance) -> None:
    """The old certificate and the same request: the same certificate once more."""
    request = request_of(orders)
    first = certificate(front.post(orders, request))
    assert certificate(front.post(orders, request)) == first


def test_the_renewed_certificate_renews(
    house: Authority, front: Front, orders: Instance
) -> None:
    """A second renewal, by the first one's certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    renewed = certificate(front.post(orders, request_of(orders, key)))
    orders.turn(orders.write(Leaf(key, renewed, house.issuing)))
    assert certificate(front.post(orders, request_of(orders))) != renewed


def test_the_key_is_opened_once(
    house: Authority, front: Front, orders: Instance
) -> None:
    """Without its passphrase file a running front still signs."""
    house.passphrase.unlink()
    certificate(front.post(orders, request_of(orders)))


def test_what_the_play_issues_beside_it_is_in_one_ledger(
    house: Authority, front: Front, orders: Instance
) -> None:
    """The command and the front take turns; nothing is lost."""
    played = house.issue("stock")
    renewed = certificate(front.post(orders, request_of(orders)))
    house.issue("storefront")
    with house.ledger() as ledger:
        ledger.verify()
        serials = {entry.serial for entry in ledger.entries()}
    assert format(played.certificate.serial_number, "x") in serials
    assert format(renewed.serial_number, "x") in serials


def test_a_renewed_certificate_is_told_of_as_an_issued_one(
    serve: Serve, tmp_path: Path
) -> None:
    """Its OCSP answer is there before it leaves, as the command does it."""
    home = tmp_path / "told"
    home.mkdir()
    house = Authority(home, revocation={"url": "http://ca.internal", "shards": 2})
    told = house.instance("stock", age=timedelta(hours=20))
    with enrolment(house, serve, home) as front:
        renewed = certificate(front.post(told, request_of(told)))
    renewed.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    with house.ledger() as ledger:
        for one in (told.generation.certificate, renewed):
            issuer, serial = one.issuer.rfc4514_string(), f"{one.serial_number:x}"
            assert ledger.published.answer(issuer, serial, "sha256")


def test_a_policy_of_today_decides_on_the_life(
    house: Authority, front: Front, orders: Instance
) -> None:
    """A shorter life in the policy is what the next certificate has."""
    house.configure(orders={"lifetime": 7200})
    renewed = certificate(front.post(orders, request_of(orders)))
    life = renewed.not_valid_after_utc - renewed.not_valid_before_utc
    assert life == timedelta(hours=2)


def test_wrapped_and_plain_base64_are_read(front: Front, orders: Instance) -> None:
    """A client may break the lines, or not."""
    body = encoded(request_of(orders))
    assert b"\n" in body.strip()
    wrapped = certificate(front.post(orders, body))
    assert certificate(front.post(orders, b"".join(body.split()))) == wrapped
