"""`ca.keys`: a roll-out has the CA's keys made in a PKCS#11 token (SoftHSM)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.certbound.kit.plugins.inventory.topology import load
from ansible_collections.certbound.kit.plugins.modules.authority import ensure_authority
from ansible_collections.certbound.kit.plugins.plugin_utils.passphrases import (
    PassphraseError,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.model import Tokens

from pki import keys
from tests.pki.tokens import MODULE, PIN, SoftHsm
from tests.playbooks.enrolling import Enrolling


class InToken(Enrolling):
    """The three steps, for a CA whose issuing key is in a token."""

    @property
    def ca(self) -> dict[str, Any]:
        """The parameters of the modules that ask the CA."""
        tokens = {"pkcs11_module": str(MODULE), "issuing_token": "issuing"}
        return super().ca | tokens


@pytest.fixture
def in_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InToken]:
    """Return a CA's host with a token, and a controller that knows its PIN."""
    hsm = SoftHsm.at(tmp_path / "softhsm")
    hsm.make_token("issuing")
    rolled = InToken(tmp_path / "certs")
    file = rolled.passphrase_file("issuing_passphrase")
    file.parent.mkdir(parents=True)
    file.write_bytes(PIN + b"\n")
    with hsm.used():
        yield rolled


def test_a_roll_out_makes_the_key_in_the_token(in_token: InToken) -> None:
    """Founded and asked again; the certificate of a host is signed there."""
    assert in_token.found()["changed"]
    assert not ensure_authority(in_token.ca, check=False)["changed"]
    directory = in_token.root / "ca"
    assert keys.is_reference((directory / "issuing.key.sealed").read_bytes())
    assert not keys.is_reference((directory / "root.key.sealed").read_bytes())
    (verdict,) = in_token.sign(in_token.ask())["results"]
    assert verdict["verdict"] == "issued"


def test_no_pin_is_made_up(in_token: InToken) -> None:
    """A token has its PIN before the CA has its key."""
    in_token.passphrase_file("issuing_passphrase").unlink()
    with pytest.raises(PassphraseError, match="issuing-passphrase is missing"):
        in_token.found()


def test_the_topology_says_which_tokens(sample: str, tmp_path: Path) -> None:
    """By their labels; the root's may be sealed in a file all the same."""
    path = tmp_path / "topology.yml"
    said = "ca:\n  keys: {module: /usr/lib/hsm.so, issuing: issuing 1}\n"
    path.write_text(sample.replace("ca:\n", said, 1))
    assert load(path).keys == Tokens("/usr/lib/hsm.so", "issuing 1", None)
    path.write_text(sample)
    assert load(path).keys is None
