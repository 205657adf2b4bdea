"""The verbs `python -m pki backup` and `restore`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pki.command import answers_in_json, directory_option, standard_input

if TYPE_CHECKING:
    from cryptography import x509

_BACKUP_EXAMPLES = """\b
Example:
  python -m pki backup --directory ca --to /var/backups/certbound
"""
_RESTORE_EXAMPLES = """\b
Standard input, with --witnesses: what hosts hold
  {"witnesses": {"web-1": {"sequence": 42, "hash": "…", "signature": "…", "time": "…"}}}
\b
Example:
  python -m pki restore --from certbound-ca-20261123T000000Z.tar --directory ca \\
      --witnesses --crl full.crl < heads.json
"""


@click.command(epilog=_BACKUP_EXAMPLES)
@directory_option
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    required=True,
    help="A file, or a directory that gets one more.",
)
@answers_in_json
def backup(directory: Path, to: Path) -> dict[str, object]:
    """Copy the CA while it works: sealed keys, certificates, policy, ledger.

    The file appears whole, mode 0600. It holds keys: keep it as you keep the CA's host.
    """
    from pki import report
    from pki.backup import back_up
    from pki.layout import Layout

    return report.backup(back_up(Layout(directory), to))


@click.command(epilog=_RESTORE_EXAMPLES)
@directory_option
@click.option(
    "--from",
    "archive",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="What `backup` wrote.",
)
@click.option(
    "--witness",
    "files",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    metavar="FILE",
    help="A head of the ledger that was kept elsewhere; repeatable.",
)
@click.option(
    "--witnesses", is_flag=True, help="Read heads of many hosts from standard input."
)
@click.option(
    "--crl",
    "lists",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    metavar="FILE",
    help="A revocation list that was published, in DER or PEM; repeatable.",
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Restore although the backup is older than what the others know.",
)
@click.option(
    "--ledger",
    metavar="URL",
    help="The database that is to have the ledger, or `file`; by default where it was. "
    "A database that has it still, and goes on from the backup's, keeps it.",
)
@click.option("--ledger-password-file", type=click.Path(path_type=Path, dir_okay=False))
@answers_in_json
def restore(  # noqa: PLR0913 - one an option
    directory: Path,
    *,
    archive: Path,
    files: tuple[Path, ...],
    witnesses: bool,
    lists: tuple[Path, ...],
    accept_loss: bool,
    ledger: str | None,
    ledger_password_file: Path | None,
) -> dict[str, object]:
    """Put a lost CA back into an empty directory, whole or not at all.

    An older backup than the witnesses and lists know of is refused. What was revoked
    since then would be good again: `lost_revocations` names it, revoke it anew. All
    lists are due afterwards: `python -m pki crl`.
    """
    from pki import report, restoring, witness
    from pki.layout import Layout
    from pki.place import Place

    heads = [witness.read_head(path.read_bytes()) for path in files]
    if witnesses:
        heads += witness.read_heads(standard_input()).values()
    evidence = restoring.Evidence(heads=heads, crls=[_crl(path) for path in lists])
    where: Place | None = restoring.FROM_BACKUP
    if ledger is not None:
        where = None if ledger == "file" else Place(ledger, ledger_password_file)
    done = restoring.restore(
        archive,
        Layout(directory),
        evidence=evidence,
        accept_loss=accept_loss,
        ledger=where,
    )
    return report.restored(done)


def _crl(path: Path) -> "x509.CertificateRevocationList":
    from cryptography import x509

    from pki.command import InputError

    content = path.read_bytes()
    try:
        if content.startswith(b"-----"):
            return x509.load_pem_x509_crl(content)
        return x509.load_der_x509_crl(content)
    except ValueError as error:
        raise InputError(f"{path} is no revocation list: {error}") from error
