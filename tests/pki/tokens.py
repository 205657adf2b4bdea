"""SoftHSM, as a token of the tests: Debian's, in a directory of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pkcs11
import pytest

from pki.pkcs11 import session
from pki.pkcs11.place import Place
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

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let this process and its children see the tokens while the context lasts."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOFTHSM2_CONF", str(self.configuration))
            yield
            session._sessions.clear()
            pkcs11.unload(str(MODULE))

    def make_token(self, label: str, pin: bytes = PIN) -> Place:
        """Make a token, and its user's PIN."""
        command = ["softhsm2-util", "--init-token", "--free", "--label", label]
        subprocess.run(
            [*command, "--pin", pin.decode(), "--so-pin", _OFFICER],
            check=True,
            capture_output=True,
            env={"SOFTHSM2_CONF": str(self.configuration)},
        )
        return Place(MODULE, label)
