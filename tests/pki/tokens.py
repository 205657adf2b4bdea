"""SoftHSM, as a token of the tests: Debian's, in a directory of its own."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pki.pkcs11.reference import Place
from tests import debian

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = b"pin of the tests"
_OFFICER = "pin of the officer"


@dataclass(frozen=True)
class SoftHsm:
    """Tokens that programs see while SOFTHSM2_CONF names `configuration`."""

    directory: Path

    @property
    def configuration(self) -> Path:
        """The file that says where the tokens lie."""
        return self.directory / "softhsm2.conf"

    @classmethod
    def at(cls, directory: Path) -> "SoftHsm":
        """Return one without a token."""
        if debian.program("softhsm2-util", "softhsm2", serves=False) is None:
            pytest.skip("Debian's softhsm2 is not installed, and cannot be")
        hsm = cls(directory)
        tokens = directory / "tokens"
        tokens.mkdir(parents=True)
        hsm.configuration.write_text(
            f"directories.tokendir = {tokens}\nlog.level = ERROR\n"
        )
        return hsm

    def make_token(self, label: str) -> Place:
        """Make a token whose user's PIN is `PIN`."""
        command = ["softhsm2-util", "--init-token", "--free", "--label", label]
        subprocess.run(
            [*command, "--pin", PIN.decode(), "--so-pin", _OFFICER],
            check=True,
            capture_output=True,
            env={"SOFTHSM2_CONF": str(self.configuration)},
        )
        return Place(MODULE, label)
