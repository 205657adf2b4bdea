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

    def sealed_key(self, purpose: str, authority: str | None = None) -> Path:
        """Return where the key of `root` or `issuing` lies, sealed.

        The first one's file is named for its purpose alone; those that followed in a
        rotation are told by their identifier, `authority`.
        """
        later = self.later_key(purpose, authority or "")
        return later if later.exists() else self.directory / f"{purpose}.key.sealed"

    def later_key(self, purpose: str, authority: str) -> Path:
        """Return where the key with an identifier lies that is not the first one."""
        return self.directory / f"{purpose}-{authority}.key.sealed"

    def later_keys(self, purpose: str) -> list[str]:
        """Return the identifiers of all keys that are not the first one."""
        begins, ends = f"{purpose}-", ".key.sealed"
        return sorted(
            path.name.removeprefix(begins).removesuffix(ends)
            for path in self.directory.glob(f"{begins}*{ends}")
        )

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
            # The first key may have been taken away since another one followed it.
            *([] if self.later_keys("issuing") else [self.sealed_key("issuing")]),
        ]
        for path in needed:
            if not path.exists():
                raise NoAuthorityError(
                    f"{path} is missing: python -m pki init makes or completes a CA"
                )
        check_private(self.directory)
