"""The verbs `python -m pki revoke` and `crl`: take back, and tell of it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pki.command import (
    answers_in_json,
    check_option,
    directory_option,
    passphrase_option,
    run_id_option,
)
from pki.entry import Reason

if TYPE_CHECKING:
    from pki.keyring import Keyring

# \b keeps click from filling the lines that follow into a paragraph.
_REVOKE_EXAMPLES = """\b
Example:
  python -m pki revoke --directory ca --identity orders@localhost \\
      --reason keyCompromise --issuing-passphrase-fd 4 4< issuing.pass
"""
_CRL_EXAMPLES = """\b
Examples:
  python -m pki crl --directory ca --issuing-passphrase-fd 4 4< issuing.pass
  python -m pki crl --directory ca --check
"""


def _serial(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> int | None:
    if value is None:
        return None
    try:
        return int(value.removeprefix("0x").replace(":", ""), 16)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no serial in hex") from error


def _keyring(directory: Path, *, issuing: int | None, root: int | None) -> "Keyring":
    """Return the CA's keys; the terminal is not asked for the root's passphrase."""
    from pki.keyring import Keyring
    from pki.layout import Layout
    from pki.passphrase import reader

    return Keyring(
        Layout(directory),
        issuing=reader("issuing", issuing),
        root=None if root is None else reader("root", root),
    )


@click.command(epilog=_REVOKE_EXAMPLES)
@directory_option
@click.option("--identity", help="Revoke every certificate of it that has not ended.")
@click.option("--serial", callback=_serial, help="Revoke one certificate (hex).")
@click.option(
    "--reason",
    type=click.Choice([reason.value for reason in Reason]),
    required=True,
    help="Why (RFC 5280, section 5.3.1).",
)
@check_option
@run_id_option
@passphrase_option("issuing")
@click.option(
    "--root-passphrase-fd",
    type=click.IntRange(min=3),
    metavar="N",
    help="For the serial of an issuing CA, which the root revokes.",
)
@answers_in_json
def revoke(  # noqa: PLR0913 - one an option
    directory: Path,
    *,
    identity: str | None,
    serial: int | None,
    reason: str,
    check: bool,
    run_id: str,
    issuing_passphrase_fd: int | None,
    root_passphrase_fd: int | None,
) -> dict[str, object]:
    """Revoke certificates, and publish the lists and answers that say so.

    All of it is one transaction. What is revoked already stays as it is, and its key is
    not certified again.
    """
    from pki import clock, report, withdrawal
    from pki.layout import Layout

    if (identity is None) == (serial is None):
        raise click.UsageError("either --identity or --serial is expected")
    target = withdrawal.Target(identity=identity, serial=serial)
    if check:
        withdrawn = withdrawal.preview(
            Layout(directory),
            target,
            reason=Reason(reason),
            run_id=run_id,
            now=clock.utc_now(),
        )
    else:
        withdrawn = withdrawal.revoke(
            Layout(directory),
            target,
            reason=Reason(reason),
            keyring=_keyring(
                directory, issuing=issuing_passphrase_fd, root=root_passphrase_fd
            ),
            run_id=run_id,
        )
    return report.withdrawn(withdrawn)


@click.command(epilog=_CRL_EXAMPLES)
@directory_option
@check_option
@run_id_option
@passphrase_option("issuing")
@click.option(
    "--root-passphrase-fd",
    type=click.IntRange(min=3),
    metavar="N",
    help="Make the root's list too, if it is due: the root key is opened for it.",
)
@answers_in_json
def crl(
    directory: Path,
    *,
    check: bool,
    run_id: str,
    issuing_passphrase_fd: int | None,
    root_passphrase_fd: int | None,
) -> dict[str, object]:
    """Publish the revocation lists and OCSP answers that are due, and show the lists.

    Due is what is missing or half through its life. The passphrase is read only if
    something is. `root_waits` says that the root's list is due, and needs its key.
    """
    from pki import clock, report, upkeep
    from pki.layout import Layout

    if check:
        published = upkeep.show(
            Layout(directory),
            root=root_passphrase_fd is not None,
            run_id=run_id,
            now=clock.utc_now(),
        )
    else:
        published = upkeep.publish(
            Layout(directory),
            keyring=_keyring(
                directory, issuing=issuing_passphrase_fd, root=root_passphrase_fd
            ),
            run_id=run_id,
        )
    return report.publication(published)
