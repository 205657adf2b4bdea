"""The verbs of `python -m pki ledger`: they read, and load nothing that signs."""

from pathlib import Path

import click

from pki.command import answers_in_json, directory_option, standard_input


@click.group()
def ledger() -> None:
    """Read the ledger of every certificate ever planned and issued."""


@ledger.command()
@directory_option
@click.option(
    "--witness",
    "witnesses",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    metavar="FILE",
    help="A head that was kept elsewhere, as `ledger head` printed it; repeatable.",
)
@click.option(
    "--witnesses",
    "many",
    is_flag=True,
    help='Read heads from standard input: {"witnesses": {host: head}}.',
)
@answers_in_json
def verify(
    directory: Path, *, witnesses: tuple[Path, ...], many: bool
) -> dict[str, object]:
    """Recompute the hash chain; exit code 1 and the place if it is broken.

    A history rewritten as a whole, cut short or taken from an old backup is found by
    heads alone that were kept somewhere else.
    """
    from pki import report, witness
    from pki.layout import Layout
    from pki.ledger import read_ledger

    heads = {str(path): witness.read_head(path.read_bytes()) for path in witnesses}
    if many:
        heads |= witness.read_heads(standard_input())
    with read_ledger(Layout(directory).ledger) as opened:
        verified = opened.verify()
        witness.check_heads(opened, heads)
    return report.verified(verified, witnesses=len(heads))


@ledger.command()
@directory_option
@answers_in_json
def head(directory: Path) -> dict[str, object]:
    """Show the newest entry's hash, signed by the issuing CA, to be kept elsewhere.

    It is signed whenever the issuing key is open.
    """
    from pki import report, witness
    from pki.layout import Layout
    from pki.ledger import read_ledger

    with read_ledger(Layout(directory).ledger) as opened:
        return report.head(witness.newest_head(opened))


@ledger.command("list")
@directory_option
@click.option("--identity", help="Show entries of this identity only.")
@answers_in_json
def list_entries(directory: Path, identity: str | None) -> dict[str, object]:
    """Show the entries, oldest first, without checking the chain."""
    from pki import report
    from pki.layout import Layout
    from pki.ledger import read_ledger

    with read_ledger(Layout(directory).ledger) as opened:
        entries = [
            report.entry(line)
            for line in opened.entries()
            if identity in {None, line.identity}
        ]
    return {"entries": entries}
