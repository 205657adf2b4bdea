"""What the verbs of `python -m pki` share: options, JSON answers, standard input."""

import json
import re
import secrets
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click

from pki.errors import PkiError

_P = ParamSpec("_P")
_RUN_ID = re.compile(r"[ -~]{1,100}")
_LARGEST_INPUT = 64 * 2**20  # bytes; a batch of 40,000 requests

directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where the CA keeps its files (mode 0700).",
)
check_option = click.option(
    "--check", is_flag=True, help="Say what would change; change nothing."
)


def _check_run_id(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> str:
    if value is None:
        return secrets.token_hex(8)
    if not _RUN_ID.fullmatch(value):
        raise click.BadParameter("1 to 100 printable ASCII characters are expected")
    return value


run_id_option = click.option(
    "--run-id",
    callback=_check_run_id,
    help="Written into the ledger with each entry; a random one if absent.",
)


def passphrase_option(purpose: str) -> Callable[..., Any]:
    """Return the option that says where the passphrase of a key comes from."""
    return click.option(
        f"--{purpose}-passphrase-fd",
        type=click.IntRange(min=3),
        metavar="N",
        help=f"File descriptor to read the {purpose} key's passphrase from; "
        "without it, a hidden prompt on the terminal.",
    )


class InputError(PkiError):
    """What came on standard input is not what the verb takes."""

    code = "invalid_input"


def answers_in_json(
    verb: Callable[_P, dict[str, object] | str],
) -> Callable[_P, None]:
    """Print what `verb` returns, or the reason it refuses; a text goes out as it is."""

    @wraps(verb)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            answer = verb(*args, **kwargs)
        except PkiError as error:
            refusal = {"error": error.code, "message": str(error)}
            click.echo(json.dumps(refusal), err=True)
            sys.exit(1)
        except OSError as error:
            refusal = {"error": "system", "message": str(error)}
            click.echo(json.dumps(refusal), err=True)
            sys.exit(1)
        text = answer if isinstance(answer, str) else json.dumps(answer, indent=2)
        click.echo(text, nl=not text.endswith("\n"))

    return run


def standard_input() -> bytes:
    """Return the document on standard input.

    Raises:
        InputError: it is longer than any honest one.
    """
    document = sys.stdin.buffer.read(_LARGEST_INPUT + 1)
    if len(document) > _LARGEST_INPUT:
        raise InputError(f"standard input is longer than {_LARGEST_INPUT} bytes")
    return document
