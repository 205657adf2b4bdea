"""Run `python -m pki` for real, with documents and passphrases as a play gives them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "pki"]


@dataclass(frozen=True)
class Done:
    """What a finished command left."""

    code: int
    output: str
    errors: str

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON document on standard output, after a success."""
        assert self.code == 0, self.errors
        parsed: dict[str, Any] = json.loads(self.output)
        return parsed

    @property
    def refusal(self) -> dict[str, Any]:
        """The JSON document on standard error, after a refusal."""
        assert (self.code, self.output) == (1, ""), self
        parsed: dict[str, Any] = json.loads(self.errors)
        return parsed


def pki(
    *arguments: str | Path,
    document: object = None,
    passphrases: Mapping[str, bytes] | None = None,
) -> Done:
    """Run a verb to its end; `passphrases` are given by purpose, each in a pipe."""
    options: list[str] = []
    readers: list[int] = []
    for purpose, passphrase in (passphrases or {}).items():
        reader, writer = os.pipe()
        os.write(writer, passphrase)
        os.close(writer)
        readers.append(reader)
        options += [f"--{purpose}-passphrase-fd", str(reader)]
    text = document if isinstance(document, str) else json.dumps(document)
    try:
        done = subprocess.run(
            [*COMMAND, *arguments, *options],
            input=text,
            capture_output=True,
            text=True,
            pass_fds=readers,
            check=False,
            # A session of its own has no terminal to ask at.
            start_new_session=True,
        )
    finally:
        for reader in readers:
            os.close(reader)
    return Done(done.returncode, done.stdout, done.stderr)
