"""The command `python -m pki`: found a CA, issue and revoke, read the ledger.

Every verb answers with one JSON document on standard output, so that Ansible and
other programs stay thin. A refusal is JSON on standard error, with exit code 1; a
wrong command line is exit code 2. Passphrases come from file descriptors or a hidden
prompt: arguments and environment are visible to other processes.

Each verb imports what it needs when it runs: `--help` loads no cryptography, and
reading the ledger loads nothing that signs.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pki.backup_command import backup, restore
from pki.ceremony_command import ceremony
from pki.command import (
    InputError,
    answers_in_json,
    check_option,
    directory_option,
    passphrase_option,
    run_id_option,
    standard_input,
    token_options,
    token_places,
)
from pki.inventory_command import inventory
from pki.ledger_command import ledger
from pki.ml_dsa_command import ml_dsa
from pki.revocation_command import crl, revoke
from pki.rotation_command import rotation

if TYPE_CHECKING:
    from pki.decision import Request
    from pki.layout import Layout

# \b keeps click from filling the lines that follow into a paragraph.
_MAIN_EXAMPLES = """\b
Examples:
  python -m pki init --directory ca --root-passphrase-fd 3 \\
      --issuing-passphrase-fd 4 < policy.json 3< root.pass 4< issuing.pass
  python -m pki issue --directory ca --issuing-passphrase-fd 4 \\
      < requests.json 4< issuing.pass
  python -m pki revoke --directory ca --identity orders@localhost \\
      --reason keyCompromise --issuing-passphrase-fd 4 4< issuing.pass
  python -m pki crl --directory ca --issuing-passphrase-fd 4 4< issuing.pass
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
@directory_option
@check_option
@run_id_option
@passphrase_option("root")
@passphrase_option("issuing")
@token_options("root", "issuing")
@click.option(
    "--ledger",
    metavar="URL",
    help="Have the ledger in this PostgreSQL, instead of a file; no password in it.",
)
@click.option(
    "--ledger-password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Its password, mode 0600; without it, libpq looks into ~/.pgpass.",
)
@answers_in_json
def init(  # noqa: PLR0913 - each is an option
    directory: Path,
    *,
    check: bool,
    run_id: str,
    root_passphrase_fd: int | None,
    issuing_passphrase_fd: int | None,
    pkcs11_module: Path | None,
    root_token: str | None,
    issuing_token: str | None,
    ledger: str | None,
    ledger_password_file: Path | None,
) -> dict[str, object]:
    """Found the CA, or complete it, for the policy on standard input.

    Makes what is missing of ledger, root, issuing CA and policy, and stores the policy
    if it differs. A key that exists is never replaced, and a run that was cut off is
    completed by the next one. Passphrases are read only when a key is made or used;
    that of a key in a token is the token's PIN.
    """
    from pki import founding, inspection, passphrase, place, report
    from pki.layout import Layout
    from pki.policy import read_policy

    if root_passphrase_fd is not None and root_passphrase_fd == issuing_passphrase_fd:
        raise click.UsageError("the two passphrases need a file descriptor each")
    layout, policy = Layout(directory), read_policy(standard_input())
    if ledger is not None:
        where = place.Place(ledger, ledger_password_file)
        founding.place_ledger(layout, where, check=check)
    if check:
        state = inspection.inspect(layout, policy)
        return report.founding(state, state) | _witnessed(layout)
    before, after = founding.found(
        layout,
        policy,
        passphrases=founding.Passphrases(
            root=passphrase.reader("root", root_passphrase_fd),
            issuing=passphrase.reader("issuing", issuing_passphrase_fd),
            places=token_places(pkcs11_module, root=root_token, issuing=issuing_token),
        ),
        run_id=run_id,
    )
    return report.founding(before, after) | _witnessed(layout)


@main.command(epilog=_ISSUE_EXAMPLES)
@directory_option
@check_option
@run_id_option
@passphrase_option("issuing")
@answers_in_json
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
    from pki.keyring import Keyring
    from pki.layout import Layout

    requests = _requests(standard_input())
    layout = Layout(directory)
    if check:
        batch = authority.preview(layout, requests, run_id=run_id, now=clock.utc_now())
    else:
        reader = passphrase.reader("issuing", issuing_passphrase_fd)
        keyring = Keyring(layout, issuing=reader)
        batch = authority.issue(layout, requests, keyring=keyring, run_id=run_id)
    return report.batch(batch) | _witnessed(layout)


@main.command()
@directory_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "pem", "spiffe"]),
    default="json",
    help="pem: the certificates alone; spiffe: a numbered JWK Set, for other "
    "trust domains.",
)
@answers_in_json
def bundle(directory: Path, *, form: str) -> dict[str, object] | str:
    """Show the trust bundle: the root certificates that everyone needs.

    A SPIFFE bundle gets a higher number whenever its certificates change.
    """
    from pki import authority, bundle_series, clock, report
    from pki.bundle import write_spiffe
    from pki.layout import Layout

    layout = Layout(directory)
    present = authority.look(layout)
    if form == "spiffe":
        now = clock.utc_now()
        return write_spiffe(bundle_series.published(layout, present.roots, now=now))
    return report.pem(*present.roots) if form == "pem" else report.bundle(present)


def _witnessed(layout: "Layout") -> dict[str, object]:
    from pki import report, witness

    return report.left_to_hosts(witness.newest_at(layout.ledger))


def _requests(document: bytes) -> "list[Request]":
    import msgspec

    from pki.decision import Request

    class Requests(msgspec.Struct, forbid_unknown_fields=True):
        requests: list[Request]

    try:
        return msgspec.json.decode(document, type=Requests).requests
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"standard input: {error}") from error


for _command in (
    ceremony,
    ledger,
    ml_dsa,
    revoke,
    crl,
    rotation,
    backup,
    restore,
    inventory,
):
    main.add_command(_command)

if __name__ == "__main__":
    main(prog_name="python -m pki")
