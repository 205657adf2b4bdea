"""What the verbs of `python -m pki` share: options, JSON answers, standard input."""

import json
import re
import secrets
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from pki.errors import PkiError

if TYPE_CHECKING:
    from pki.pkcs11.place import Place

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


def passphrase_option(purpose: str, whose: str = "") -> Callable[..., Any]:
    """Return the option that says where the passphrase of a key comes from."""
    owner = whose or f"{purpose} key's"
    return click.option(
        f"--{purpose}-passphrase-fd",
        type=click.IntRange(min=3),
        metavar="N",
        help=f"File descriptor to read the {owner} passphrase "
        "from; without it, a credential of systemd or a hidden prompt.",
    )


def token_options(*purposes: str) -> Callable[..., Any]:
    """Return the options that say in which PKCS#11 token a key is made."""

    def add(verb: Any) -> Any:
        for purpose in reversed(purposes):
            verb = click.option(
                f"--{purpose}-token",
                metavar="LABEL",
                help=f"Make the {purpose} key in this token of the module.",
            )(verb)
        return click.option(
            "--pkcs11-module",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="The library of the tokens that keys are to be made in.",
        )(verb)

    return add


def token_places(module: Path | None, **labels: str | None) -> "dict[str, Place]":
    """Return the token of each purpose that has one.

    Raises:
        UsageError: a module is named and no token, or a token and no module.
    """
    from pki.pkcs11.place import Place  # noqa: PLC0415 - loads cryptography

    named = {purpose: label for purpose, label in labels.items() if label is not None}
    if bool(named) != (module is not None):
        raise click.UsageError("a token needs its module, and a module a token")
    return {p: Place(module.resolve(), n) for p, n in named.items() if module}


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
            refusal = {"error": error.code, "message": str(error), **error.details}
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
