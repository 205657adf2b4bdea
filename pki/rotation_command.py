"""The verbs of `python -m pki rotation`: replace keys and certificates, in phases."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pki.command import (
    InputError,
    answers_in_json,
    check_option,
    directory_option,
    passphrase_option,
    run_id_option,
    standard_input,
)

if TYPE_CHECKING:
    from pki.keyring import Keyring
    from pki.laggards import Proof
    from pki.layout import Layout

_ADVANCE_EXAMPLES = """\b
Standard input:
  {"evidence": [{"identity": "orders@localhost", "roots": ["9f86d0..."],
                 "issuer": "a1b2...", "serial": "4711", "live": true}],
   "waivers": [{"identity": "stock@localhost", "reason": "in the workshop"}]}
"""


@click.group()
def rotation() -> None:
    """Replace the issuing CA, the root or all certificates while all goes on.

    Phases: prepared, distributing, switching, draining, distrusting.
    """


@rotation.command()
@directory_option
@click.option(
    "--what",
    type=click.Choice(["issuing", "root", "certificates"]),
    required=True,
    help="The root takes its issuing CA with it.",
)
@check_option
@run_id_option
@passphrase_option("root")
@passphrase_option("issuing")
@answers_in_json
def begin(  # noqa: PLR0913 - one an option
    directory: Path,
    *,
    what: str,
    check: bool,
    run_id: str,
    root_passphrase_fd: int | None,
    issuing_passphrase_fd: int | None,
) -> dict[str, object]:
    """Make the new keys and certificates, which nobody trusts or uses yet.

    A rotation of the same kind that is under way is gone on with. New keys lie where
    the present ones do, under the same passphrases.
    """
    from pki import authority, clock, report, rotation
    from pki.layout import Layout
    from pki.rotation_steps import What

    layout = Layout(directory)
    if check:
        changed = rotation.would_begin(
            layout, What(what), run_id=run_id, now=clock.utc_now()
        )
        return report.rotation(authority.look(layout), changed=changed)
    keyring = _keyring(layout, issuing=issuing_passphrase_fd, root=root_passphrase_fd)
    moved = rotation.begin(layout, What(what), keyring=keyring, run_id=run_id)
    return report.rotation(moved.after, changed=moved.changed)


@rotation.command()
@directory_option
@answers_in_json
def show(directory: Path) -> dict[str, object]:
    """Show the phase, and what every host should trust and be certified by."""
    from pki import authority, report
    from pki.layout import Layout

    return report.rotation(authority.look(Layout(directory)), changed=False)


@rotation.command(epilog=_ADVANCE_EXAMPLES)
@directory_option
@run_id_option
@passphrase_option("root")
@answers_in_json
def advance(
    directory: Path, *, run_id: str, root_passphrase_fd: int | None
) -> dict[str, object]:
    """Begin the next phase, on the proof of the present one on standard input.

    Refused with `laggards` as long as an identity of the policy is not where it should
    be; a waiver is an identity and a reason, and stands in the ledger. The root's
    passphrase is read for `distrusting`, which revokes the old issuing CA.
    """
    from pki import report, rotation
    from pki.layout import Layout

    layout, proof = Layout(directory), _proof(standard_input())
    keyring = _keyring(layout, issuing=None, root=root_passphrase_fd)
    moved = rotation.advance(layout, proof, keyring=keyring, run_id=run_id)
    return report.rotation(moved.after, changed=moved.changed)


@rotation.command()
@directory_option
@run_id_option
@answers_in_json
def reverse(directory: Path, *, run_id: str) -> dict[str, object]:
    """Go one phase back; from the first one, give the rotation up."""
    from pki import report, rotation
    from pki.layout import Layout

    moved = rotation.reverse(Layout(directory), run_id=run_id)
    return report.rotation(moved.after, changed=moved.changed)


def _keyring(layout: "Layout", *, issuing: int | None, root: int | None) -> "Keyring":
    from pki.keyring import Keyring
    from pki.passphrase import reader

    return Keyring(
        layout, issuing=reader("issuing", issuing), root=reader("root", root)
    )


def _proof(document: bytes) -> "Proof":
    import msgspec

    from pki.laggards import Proof

    try:
        return msgspec.json.decode(document, type=Proof)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"standard input: {error}") from error
