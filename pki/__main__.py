"""The command `python -m pki`: found a CA, issue certificates, read the ledger.

Every verb answers with one JSON document on standard output, so that Ansible and
other programs stay thin. A refusal is JSON on standard error, with exit code 1; a
wrong command line is exit code 2. Passphrases come from file descriptors or a hidden
prompt: arguments and environment are visible to other processes.

Each verb imports what it needs when it runs: `--help` loads no cryptography, and
reading the ledger loads nothing that signs.
"""

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
    from pki.decision import Request

_P = ParamSpec("_P")
_RUN_ID = re.compile(r"[ -~]{1,100}")
_LARGEST_INPUT = 64 * 2**20  # bytes; a batch of 40,000 requests

_directory = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where the CA keeps its files (mode 0700).",
)
_check = click.option(
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


_run_id = click.option(
    "--run-id",
    callback=_check_run_id,
    help="Written into the ledger with each entry; a random one if absent.",
)


def _passphrase_option(purpose: str) -> Callable[..., Any]:
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


def _answers_in_json(verb: Callable[_P, dict[str, object]]) -> Callable[_P, None]:
    """Print what `verb` returns, or the reason it refuses."""

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
        click.echo(json.dumps(answer, indent=2))

    return run


# \b keeps click from filling the lines that follow into a paragraph.
_MAIN_EXAMPLES = """\b
Examples:
  python -m pki init --directory ca --root-passphrase-fd 3 \\
      --issuing-passphrase-fd 4 < policy.json 3< root.pass 4< issuing.pass
  python -m pki issue --directory ca --issuing-passphrase-fd 4 \\
      < requests.json 4< issuing.pass
  python -m pki ledger verify --directory ca
  python -m pki bundle --directory ca
"""
_INIT_EXAMPLES = """\b
Standard input:
  {"trust_domain": "shop.internal", "permitted_dns": ["shop.internal", "localhost"],
   "lifetimes": {"root": 315360000, "issuing_ca": 15552000},
   "identities": {"orders@localhost": {
     "spiffe_id": "spiffe://shop.internal/service/orders",
     "dns_names": ["orders.shop.internal", "localhost"], "lifetime": 86400}}}
\b
Example:
  python -m pki init --directory ca --root-passphrase-fd 3 \\
      --issuing-passphrase-fd 4 < policy.json 3< root.pass 4< issuing.pass
"""
_ISSUE_EXAMPLES = """\b
Standard input:
  {"requests": [{"identity": "orders@localhost", "csr": "-----BEGIN ..."}]}
\b
Verdicts:
  issued, reused, refused (with code and reason), would_issue (with --check)
\b
Example:
  python -m pki issue --directory ca --issuing-passphrase-fd 4 \\
      < requests.json 4< issuing.pass
"""


@click.group(context_settings={"max_content_width": 88}, epilog=_MAIN_EXAMPLES)
def main() -> None:
    """Certificates for services: one root, one issuing CA, names from a policy.

    Answers are JSON on standard output. A refusal is {"error", "message"} on standard
    error with exit code 1; a wrong command line is exit code 2.
    """


@main.command(epilog=_INIT_EXAMPLES)
@_directory
@_check
@_run_id
@_passphrase_option("root")
@_passphrase_option("issuing")
@_answers_in_json
def init(
    directory: Path,
    *,
    check: bool,
    run_id: str,
    root_passphrase_fd: int | None,
    issuing_passphrase_fd: int | None,
) -> dict[str, object]:
    """Found the CA, or complete it, for the policy on standard input.

    Makes what is missing of ledger, root, issuing CA and policy, and stores the policy
    if it differs. A key that exists is never replaced, and a run that was cut off is
    completed by the next one. Passphrases are read only when a key is made or used.
    """
    from pki import founding, inspection, passphrase, report
    from pki.layout import Layout
    from pki.policy import read_policy

    if root_passphrase_fd is not None and root_passphrase_fd == issuing_passphrase_fd:
        raise click.UsageError("the two passphrases need a file descriptor each")
    layout, policy = Layout(directory), read_policy(_standard_input())
    if check:
        state = inspection.inspect(layout, policy)
        return report.founding(state, state)
    before, after = founding.found(
        layout,
        policy,
        passphrases=founding.Passphrases(
            root=passphrase.reader("root", root_passphrase_fd),
            issuing=passphrase.reader("issuing", issuing_passphrase_fd),
        ),
        run_id=run_id,
    )
    return report.founding(before, after)


@main.command(epilog=_ISSUE_EXAMPLES)
@_directory
@_check
@_run_id
@_passphrase_option("issuing")
@_answers_in_json
def issue(
    directory: Path,
    *,
    check: bool,
    run_id: str,
    issuing_passphrase_fd: int | None,
) -> dict[str, object]:
    """Answer the certificate requests on standard input, all in one go.

    Names and lifetime come from the policy; a request that asks for others is refused,
    and spoils nothing for the rest. The same key and names get the same certificate
    again while half of its life is left.
    """
    from pki import authority, clock, passphrase, report
    from pki.layout import Layout

    requests = _requests(_standard_input())
    if check:
        batch = authority.preview(
            Layout(directory), requests, run_id=run_id, now=clock.utc_now()
        )
    else:
        batch = authority.issue(
            Layout(directory),
            requests,
            passphrase=passphrase.reader("issuing", issuing_passphrase_fd),
            run_id=run_id,
        )
    return report.batch(batch)


@main.command()
@_directory
@_answers_in_json
def bundle(directory: Path) -> dict[str, object]:
    """Show the trust bundle: the root certificate that everyone needs."""
    from pki import authority, report
    from pki.layout import Layout

    return report.bundle(authority.trust_bundle(Layout(directory)))


@main.group()
def ledger() -> None:
    """Read the ledger of every certificate ever planned and issued."""


@ledger.command()
@_directory
@_answers_in_json
def verify(directory: Path) -> dict[str, object]:
    """Recompute the hash chain; exit code 1 and the place if it is broken.

    Keep the `head` it prints somewhere else: a history rewritten as a whole, or cut
    short by an old backup, can be told by it alone.
    """
    from pki import report
    from pki.layout import Layout
    from pki.ledger import open_ledger

    with open_ledger(Layout(directory).ledger) as opened:
        return report.verified(opened.verify())


@ledger.command("list")
@_directory
@click.option("--identity", help="Show entries of this identity only.")
@_answers_in_json
def list_entries(directory: Path, identity: str | None) -> dict[str, object]:
    """Show the entries, oldest first, without checking the chain."""
    from pki import report
    from pki.layout import Layout
    from pki.ledger import open_ledger

    with open_ledger(Layout(directory).ledger) as opened:
        entries = [
            report.entry(line)
            for line in opened.entries()
            if identity in {None, line.identity}
        ]
    return {"entries": entries}


def _standard_input() -> bytes:
    document = sys.stdin.buffer.read(_LARGEST_INPUT + 1)
    if len(document) > _LARGEST_INPUT:
        raise InputError(f"standard input is longer than {_LARGEST_INPUT} bytes")
    return document


def _requests(document: bytes) -> "list[Request]":
    import msgspec

    from pki.decision import Request

    class Requests(msgspec.Struct, forbid_unknown_fields=True):
        requests: list[Request]

    try:
        return msgspec.json.decode(document, type=Requests).requests
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"standard input: {error}") from error


if __name__ == "__main__":
    main(prog_name="python -m pki")
