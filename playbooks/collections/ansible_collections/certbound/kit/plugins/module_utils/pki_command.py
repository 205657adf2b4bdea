"""Run `python -m pki`: JSON in, JSON out, passphrases by pipe.

A passphrase travels through a pipe whose number the command is told: never an argument
or a variable of the environment, both of which other processes can read.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any


class PkiCommandError(Exception):
    """The command refused, or did not answer as agreed; the message is its own."""


def run_pki(
    command: list[str],
    arguments: list[str],
    *,
    chdir: str,
    document: Any = None,
    passphrases: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return the answer of `command` to `document` on its standard input.

    `passphrases` maps options (`--issuing-passphrase-fd`) to what is to be sent.

    Raises:
        PkiCommandError: it cannot be run or refused.
    """
    pipes: list[int] = []
    try:
        for option, passphrase in (passphrases or {}).items():
            reader = _pipe_of(passphrase)
            pipes.append(reader)
            arguments = [*arguments, option, str(reader)]
        done = subprocess.run(
            [*command, *arguments],
            input=json.dumps(document) if document is not None else "",
            cwd=chdir,
            pass_fds=pipes,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    except OSError as error:
        raise PkiCommandError(f"{error.filename}: {error.strerror}") from None
    finally:
        for reader in pipes:
            os.close(reader)
    return _answer(done.returncode, done.stdout, done.stderr)


def is_there(command: list[str]) -> bool:
    """Return whether every program that `command` names by its path is there."""
    return all(os.path.exists(word) for word in command if os.path.isabs(word))


def _pipe_of(passphrase: str) -> int:
    """Return the reading end of a pipe that holds `passphrase`."""
    reader, writer = os.pipe()
    # A passphrase is far shorter than what a pipe holds, so this cannot block.
    os.write(writer, passphrase.encode())
    os.close(writer)
    return reader


def _answer(returncode: int, stdout: str, stderr: str) -> dict[str, Any]:
    if returncode != 0:
        last = (stderr.strip().splitlines() or [f"exit {returncode}"])[-1]
        try:
            said = json.loads(last)
            message = f"{said['message']} ({said['error']})"
        except (ValueError, KeyError, TypeError):
            message = last
        raise PkiCommandError(message)
    try:
        answer = json.loads(stdout)
    except ValueError:
        raise PkiCommandError(f"the answer is no JSON: {stdout[:80]!r}") from None
    if not isinstance(answer, dict):
        raise PkiCommandError("the answer is no JSON object")
    return answer
