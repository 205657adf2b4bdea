"""The CA's keys while they are open: asked for once, and for the right certificate."""

import pytest

from pki.envelope import SealedKeyError
from pki.keyring import Keyring
from tests.pki.builders import ISSUING_PASSPHRASE, ROOT_PASSPHRASE, Ca


def test_a_key_is_opened_once(ca: Ca) -> None:
    """Opening costs a quarter of a second on purpose."""
    asked = []

    def passphrase() -> bytes:
        asked.append("issuing")
        return ISSUING_PASSPHRASE

    keyring = Keyring(ca.layout, issuing=passphrase)
    issuing = ca.certificate("issuing")
    key = keyring.open("issuing", issuing)
    assert key.public_key() == issuing.public_key()
    assert keyring.open("issuing", issuing) is key
    assert asked == ["issuing"]


def test_roots_stay_closed_without_their_passphrase(ca: Ca) -> None:
    """Whoever has the issuing keys' alone has no root."""
    assert not ca.keyring().has_root
    with pytest.raises(SealedKeyError, match="nobody gave the root"):
        ca.keyring().open("root", ca.certificate("root"))
    root = ca.keyring(ROOT_PASSPHRASE).open("root", ca.certificate("root"))
    assert root.public_key() == ca.certificate("root").public_key()
