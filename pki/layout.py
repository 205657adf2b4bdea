"""Where the CA keeps its files: one private directory on the CA host.

`founding` fills it; `inspection`, `authority` and the commands read it.
"""

from dataclasses import dataclass
from pathlib import Path

from pki.errors import PkiError
from pki.storage import check_private


class NoAuthorityError(PkiError):
    """There is no CA in this directory, or not all of one."""

    code = "no_authority"


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of all files below `directory`."""

    directory: Path

    @property
    def lock(self) -> Path:
        """Held by the one process that changes anything here."""
        return self.directory / "lock"

    @property
    def policy(self) -> Path:
        """What may be issued to whom."""
        return self.directory / "policy.json"

    @property
    def ledger(self) -> Path:
        """Every certificate ever: a file, or the document that names a database."""
        elsewhere = self.ledger_place
        return elsewhere if elsewhere.exists() else self.directory / "ledger.sqlite"

    @property
    def ledger_place(self) -> Path:
        """Where the ledger is, if it is no file here."""
        return self.directory / "ledger.json"

    @property
    def bundle(self) -> Path:
        """The trust bundle as it was last published, with its number."""
        return self.directory / "bundle.json"

    def sealed_key(self, purpose: str) -> Path:
        """Return where the key of `root` or `issuing` lies, sealed."""
        return self.directory / f"{purpose}.key.sealed"

    def certificate(self, purpose: str) -> Path:
        """Return where the certificate of `root` or `issuing` lies."""
        return self.directory / f"{purpose}.pem"

    def responder(self, authority: str) -> Path:
        """Return where key and certificate of the OCSP responder for a CA key lie."""
        return self.directory / f"responder-{authority}.pem"

    def check_complete(self) -> None:
        """Return if a whole, private CA is here.

        Raises:
            NoAuthorityError: a file is missing.
            InsecurePermissionsError: other users may use the directory.
        """
        needed = [
            self.policy,
            self.ledger,
            self.certificate("root"),
            self.certificate("issuing"),
            self.sealed_key("issuing"),
        ]
        for path in needed:
            if not path.exists():
                raise NoAuthorityError(
                    f"{path} is missing: python -m pki init makes or completes a CA"
                )
        check_private(self.directory)
