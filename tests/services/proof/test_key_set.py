"""Tests of `services.proof.key_set`: which keys count, and when they are asked for."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from services.errors import ServiceError
from services.proof.errors import UnknownKeyError
from services.proof.key_set import (
    MAX_AGE,
    REFETCH_INTERVAL,
    KeySetUnavailableError,
    RemoteKeySet,
    read_key_set,
)
from tests.services.tokens import ABSENT, NOW, Signer

SIGNER, OTHER = Signer(), Signer()
SECOND = timedelta(seconds=1)


def document(*keys: dict[str, Any]) -> bytes:
    """Return a JWKS of these keys."""
    return json.dumps({"keys": keys}).encode()


def _rsa_member() -> dict[str, Any]:
    pem = (
        rsa.generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return {**RSAKey.import_key(pem).as_dict(private=False), "kid": "rsa"}


# Reading


def test_a_published_key_verifies() -> None:
    """A public P-256 key comes out under its id."""
    keys = read_key_set(document(SIGNER.jwk()))
    assert keys[SIGNER.key_id].thumbprint() == SIGNER.key_id


def test_use_and_algorithm_may_be_left_out() -> None:
    """Both members are optional (RFC 7517, sections 4.2 and 4.4)."""
    assert read_key_set(document(SIGNER.jwk(use=ABSENT, alg=ABSENT)))


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(SIGNER.jwk(use="enc"), id="for-encryption"),
        pytest.param(SIGNER.jwk(alg="ES384"), id="for-another-algorithm"),
        pytest.param({"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "e"}, id="okp"),
        pytest.param({"kty": "future", "kid": "f"}, id="unknown-type"),
        pytest.param(
            ECKey.generate_key("P-384", {"kid": "p"}).as_dict(private=False), id="p384"
        ),
        pytest.param(_rsa_member(), id="rsa"),
    ],
)
def test_keys_for_other_uses_are_left_out(member: dict[str, Any]) -> None:
    """What cannot verify our signatures does not spoil the rest (RFC 7517, 5)."""
    assert list(read_key_set(document(member, OTHER.jwk()))) == [OTHER.key_id]


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="no-json"),
        pytest.param(b"\xff", id="no-utf8"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"7", id="number"),
        pytest.param(b"{}", id="no-keys"),
        pytest.param(b'{"keys":7}', id="keys-number"),
        pytest.param(b'{"keys":"text"}', id="keys-text"),
        pytest.param(b'{"keys":[7]}', id="key-number"),
        pytest.param(b'{"keys":["text"]}', id="key-text"),
        pytest.param(b'{"keys":[[]]}', id="key-array"),
        pytest.param(b'{"keys":' + b"[" * 99_999, id="deep"),
        pytest.param(document(SIGNER.jwk(x="AA")), id="point-off-the-curve"),
        pytest.param(document(SIGNER.jwk(x=ABSENT)), id="half-a-point"),
        pytest.param(document(SIGNER.jwk(x=7)), id="coordinate-number"),
        pytest.param(document(SIGNER.jwk(kid={})), id="kid-object"),
        pytest.param(document(SIGNER.jwk(kid=7)), id="kid-number"),
    ],
)
def test_what_is_no_key_set_is_refused(spoilt: bytes) -> None:
    """A document that is no JWKS gives no keys at all, and no other error."""
    with pytest.raises(KeySetUnavailableError):
        read_key_set(spoilt)


@pytest.mark.parametrize("key_id", [ABSENT, ""], ids=repr)
def test_a_key_without_id_is_refused(key_id: object) -> None:
    """A key that no token can name is a mistake of the publisher."""
    with pytest.raises(KeySetUnavailableError, match="missing or given twice"):
        read_key_set(document(SIGNER.jwk(kid=key_id)))


def test_a_key_id_given_twice_is_refused() -> None:
    """Two keys of one id would leave it open which one counts (FAPI 2.0, 5.4.3)."""
    with pytest.raises(KeySetUnavailableError, match="missing or given twice"):
        read_key_set(document(SIGNER.jwk(), OTHER.jwk(kid=SIGNER.key_id)))


def test_a_private_key_is_refused() -> None:
    """A key set that shows a private key is compromised, whatever else it holds."""
    private = ECKey.generate_key("P-256", {"kid": "p"}).as_dict(private=True)
    with pytest.raises(KeySetUnavailableError, match="private or symmetric"):
        read_key_set(document(private))


def test_a_symmetric_key_is_refused() -> None:
    """A shared secret in a public document is none (RFC 8725, section 3.5)."""
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}
    with pytest.raises(KeySetUnavailableError, match="private or symmetric"):
        read_key_set(document(SIGNER.jwk(), secret))


def test_a_private_key_of_another_kind_is_refused() -> None:
    """It is refused even where it would have been left out for its type."""
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with pytest.raises(KeySetUnavailableError, match="private or symmetric"):
        read_key_set(document(RSAKey.import_key(pem).as_dict(private=True)))


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_refused_in_our_words(data: bytes) -> None:
    """No bytes make the reader raise anything but its own error."""
    with pytest.raises(ServiceError):
        read_key_set(data)


# Fetching


class Publisher:
    """A token service that counts how often it is asked, at a time that it keeps."""

    def __init__(self) -> None:
        self.now: datetime = NOW
        self.document: bytes | None = document(SIGNER.jwk())
        self.asked = 0
        self.keys = RemoteKeySet(self._answer, lambda: self.now)

    async def _answer(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)  # others get their turn, as with a real answer
        if self.document is None:
            raise KeySetUnavailableError("unreachable")
        return self.document

    def key(self, key_id: str = SIGNER.key_id) -> ECKey:
        """Return a key as a guard would ask for it."""
        return asyncio.run(self.keys.key(key_id))


def test_the_key_set_is_fetched_once() -> None:
    """While it is young, a known key costs no request."""
    publisher = Publisher()
    publisher.key()
    publisher.now += MAX_AGE - SECOND
    publisher.key()
    assert publisher.asked == 1


def test_many_at_once_share_one_fetch() -> None:
    """Requests that arrive together wait for the same answer."""
    publisher = Publisher()

    async def many() -> None:
        await asyncio.gather(*(publisher.keys.key(SIGNER.key_id) for _ in range(20)))

    asyncio.run(many())
    assert publisher.asked == 1


def test_an_old_key_set_is_fetched_anew() -> None:
    """At its greatest age it is not believed without asking."""
    publisher = Publisher()
    publisher.key()
    publisher.now += MAX_AGE
    publisher.key()
    assert publisher.asked == 2


def test_a_withdrawn_key_is_forgotten() -> None:
    """After a refetch only what is published now counts."""
    publisher = Publisher()
    publisher.key()
    publisher.document = document(OTHER.jwk())
    publisher.now += MAX_AGE
    with pytest.raises(UnknownKeyError):
        publisher.key()


def test_a_new_key_is_found_at_once() -> None:
    """An unknown id asks again, so that a new signing key needs no restart."""
    publisher = Publisher()
    publisher.key()
    publisher.document = document(SIGNER.jwk(), OTHER.jwk())
    publisher.now += REFETCH_INTERVAL
    assert publisher.key(OTHER.key_id).thumbprint() == OTHER.key_id
    assert publisher.asked == 2


def test_invented_ids_do_not_set_the_pace() -> None:
    """Unknown ids ask at most once an interval, however many come."""
    publisher = Publisher()
    publisher.key()
    publisher.now += REFETCH_INTERVAL
    for number in range(10):
        with pytest.raises(UnknownKeyError):
            publisher.key(f"invented-{number}")
    publisher.now += REFETCH_INTERVAL - SECOND
    with pytest.raises(UnknownKeyError):
        publisher.key("invented")
    assert publisher.asked == 2
    publisher.now += SECOND
    with pytest.raises(UnknownKeyError):
        publisher.key("invented")
    assert publisher.asked == 3


def test_a_failed_refetch_keeps_the_young_set() -> None:
    """An outage does not unlearn keys that are young enough."""
    publisher = Publisher()
    publisher.key()
    publisher.document = None
    publisher.now += REFETCH_INTERVAL
    with pytest.raises(UnknownKeyError):
        publisher.key("invented")
    publisher.key()


def _unreachable(publisher: Publisher) -> None:
    publisher.document = None


def _unreadable(publisher: Publisher) -> None:
    publisher.document = b"<html>"


@pytest.mark.parametrize("fail", [_unreachable, _unreadable])
def test_an_old_set_is_not_believed_in_an_outage(
    fail: Callable[[Publisher], None],
) -> None:
    """Too old and not to be had anew means unknown, and unknown is no."""
    publisher = Publisher()
    publisher.key()
    fail(publisher)
    publisher.now += MAX_AGE
    with pytest.raises(KeySetUnavailableError):
        publisher.key()


def test_an_outage_is_not_asked_about_at_the_callers_pace() -> None:
    """Without any key set, too, one question an interval is enough."""
    publisher = Publisher()
    publisher.document = None
    for _ in range(5):
        with pytest.raises(KeySetUnavailableError):
            publisher.key()
    assert publisher.asked == 1
    publisher.document = document(SIGNER.jwk())
    publisher.now += REFETCH_INTERVAL
    publisher.key()


def test_a_clock_set_back_makes_the_set_old() -> None:
    """A set from the future has no known age, so it is fetched anew."""
    publisher = Publisher()
    publisher.key()
    publisher.now -= timedelta(hours=1)
    publisher.key()
    assert publisher.asked == 2
