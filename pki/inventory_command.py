"""The verb `python -m pki inventory`."""

from pathlib import Path

import click

from pki.command import answers_in_json, directory_option, standard_input

_EXAMPLES = """\b
Standard input, with --reconcile: what the live ports present
  {"presented": {"orders@web-1": {"serials": ["4c1…"], "owner": "shop team",
                                  "groups": ["X25519MLKEM768"]},
                 "stock@web-1": {"serials": [], "reason": "nobody listens"}}}
\b
Example:
  python -m pki inventory --directory ca --format csv > certificates.csv
"""


@click.command(epilog=_EXAMPLES)
@directory_option
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json")
@click.option("--all", "everything", is_flag=True, help="Show what has ended, too.")
@click.option(
    "--reconcile",
    is_flag=True,
    help="Compare with what hosts present; `differences` and `ok` say what was found.",
)
@answers_in_json
def inventory(
    directory: Path, *, form: str, everything: bool, reconcile: bool
) -> dict[str, object] | str:
    """Show every certificate: whose, where, by which key of the CA, until when, state.

    `quantum_safe_…` says what would outlast a quantum computer: the key exchange of the
    live port (unknown unless standard input says), authentication (no), and whether
    the parallel CA has made a statement (`ml-dsa`).

    The owner is the service, unless standard input says another.
    """
    from pki import clock, report
    from pki import inventory as taking
    from pki.layout import Layout
    from pki.ledger import read_ledger

    presented = taking.read_presented(standard_input()) if reconcile else {}
    with read_ledger(Layout(directory).ledger) as ledger:
        items = taking.take(ledger, clock.utc_now(), presented=presented)
    shown = [
        item for item in items if everything or item.state is not taking.State.EXPIRED
    ]
    if form == "csv":
        return taking.as_csv(shown)
    differences = taking.reconcile(items, presented) if reconcile else None
    return report.inventory(shown, differences)
