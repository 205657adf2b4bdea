"""Replace the signing keys of one replica when somebody asks, not when they are due.

`python -m services signing-keys` works here on the files that the running process has
(`key_files`); it sees their names change with the next token or key set, or a tenth of
a second later, and does what is due then (`own_keys`). Each step is one that the
schedule takes too:

1. `publish`: the next key is made. It begins one lead from now, as ever.
2. `begin`: it begins now. Whoever calls this has seen that every verifier of the
   deployment holds it; that is what the lead is for, and a guess at it.
   `withdraw`, instead: it is forgotten; nothing was ever signed with it.

From then on the schedule goes on by itself: the key before loses its private half at
once, and its public half when no token of it lives. The files alone say how far it is,
so whatever is interrupted is found again as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pki.clock import to_text
from services.config import ConfigError, TokenServiceConfig, read_config
from services.token.key_files import KeyFile, KeyFiles
from services.token.rotation import KEPT, present_of
from services.token.signing_keys import SigningKeyError

VERBS = ("show", "publish", "begin", "withdraw")

_SECOND = timedelta(seconds=1)  # the names of the files have no less


class NothingWaitsError(SigningKeyError):
    """There is no key that is published and does not sign yet."""


def on_demand(
    path: Path, verb: str, now: datetime, *, older_than: timedelta = timedelta(0)
) -> dict[str, object]:
    """Do what `verb` names for the token service whose document lies at `path`.

    Args:
        path: of the document.
        verb: one of `VERBS`.
        now: the present moment.
        older_than: a key that has signed for less is not followed (`publish`).

    Raises:
        ConfigError: the document is not a token service's.
        SigningKeyError: what `verb` refuses.
    """
    config = read_config(path)
    if not isinstance(config, TokenServiceConfig):
        raise ConfigError(f"{path}: kind is not 'token-service'")
    asked = OnDemand(config, now)
    if verb == "publish":
        return asked.publish(older_than)
    done: dict[str, object] = getattr(asked, verb)()
    return done


@dataclass(frozen=True, slots=True)
class OnDemand:
    """The signing keys of one replica at one moment."""

    config: TokenServiceConfig
    now: datetime

    @property
    def _files(self) -> KeyFiles:
        return KeyFiles(self.config.state)

    def show(self) -> dict[str, object]:
        """Return how the keys stand."""
        files = self._files
        with files.alone():
            return self._answer(files.read(), changed=False)

    def publish(self, older_than: timedelta = timedelta(0)) -> dict[str, object]:
        """Have a key that waits for its turn, unless the present one is so young.

        Raises:
            SigningKeyError: it cannot be made, or the replica has never run.
        """
        files = self._files
        with files.alone():
            keys = files.read()
            present = self._present(keys)
            young = self.now - keys[present].begins < older_than
            if young or keys[present + 1 :]:
                return self._answer(keys, changed=False)
            lead = timedelta(seconds=self.config.key_lead)
            files.make(self.now.replace(microsecond=0) + lead + _SECOND)
            return self._answer(files.read(), changed=True)

    def begin(self) -> dict[str, object]:
        """Let the key that waits sign from now on.

        Raises:
            NothingWaitsError: no key waits.
        """
        files = self._files
        with files.alone():
            keys = files.read()
            waiting, present = self._waiting(keys), keys[self._present(keys)]
            earliest = present.begins + _SECOND
            files.move(waiting, max(self.now.replace(microsecond=0), earliest))
            return self._answer(files.read(), changed=True)

    def withdraw(self) -> dict[str, object]:
        """Forget the key that waits.

        Raises:
            NothingWaitsError: no key waits.
        """
        files = self._files
        with files.alone():
            files.forget(self._waiting(files.read()))
            return self._answer(files.read(), changed=True)

    def _present(self, keys: Sequence[KeyFile]) -> int:
        if not keys:
            raise SigningKeyError(f"{self.config.state}: no signing key was ever made")
        return present_of([file.begins for file in keys], self.now)

    def _waiting(self, keys: Sequence[KeyFile]) -> KeyFile:
        waiting = keys[self._present(keys) + 1 :]
        if not waiting:
            raise NothingWaitsError(f"{self.config.state}: no key waits for its turn")
        return waiting[0]

    def _answer(self, keys: Sequence[KeyFile], *, changed: bool) -> dict[str, object]:
        """Return what the files say; key ids are public."""
        number = self._present(keys)
        present, waiting = keys[number], keys[number + 1 :]
        return {
            "changed": changed,
            "signing": present.key.key_id,
            "since": to_text(present.begins),
            "waiting": waiting[0].key.key_id if waiting else None,
            "begins": to_text(waiting[0].begins) if waiting else None,
            "retired": [file.key.key_id for file in keys[:number]],
            "forgotten_at": to_text(present.begins + KEPT) if number else None,
        }
