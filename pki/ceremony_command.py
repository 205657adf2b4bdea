"""The verbs `python -m pki ceremony`: a root that is offline, and the CA under it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pki.command import (
    answers_in_json,
    check_option,
    directory_option,
    passphrase_option,
    run_id_option,
    standard_input,
    token_options,
    token_places,
)

if TYPE_CHECKING:
    from pki.ceremony.plan import Plan
    from pki.ceremony.result import Result
    from pki.layout import Layout

# \b keeps click from filling the lines that follow into a paragraph.
_EXAMPLES = """\b
On the CA's host, then on the offline machine, then on the CA's host again:
  python -m pki ceremony request --directory ca --issuing-passphrase-fd 4 \\
      < policy.json 4< issuing.pass
  python -m pki ceremony run --directory root --plan plan.json
  python -m pki ceremony import --directory ca --root-sha256 "1a2b 3c4d ..." \\
      < first-root.result.json
"""
_RUN_EXAMPLES = """\b
The plan:
  {"format": "certbound-ceremony-plan", "version": 1, "name": "first-root",
   "trust_domain": "shop.internal", "people": ["Ada Lang", "Ben Stern"], "steps": [
     {"type": "make-root", "lifetime": 315360000},
     {"type": "certify", "request": "request.json", "sha256": "..."}]}
\b
Further steps:
  {"type": "revoke", "serial": "1a2b...", "reason": "superseded"}, {"type": "list"}
\b
The first step of a plan for the root that follows:
  {"type": "update-root", "lifetime": 315360000,
   "new_with_old": 94608000, "old_with_new": 604800}
"""


@click.group(epilog=_EXAMPLES)
def ceremony() -> None:
    """Make and use a root key on an offline machine, with two people."""


@ceremony.command()
@directory_option
@passphrase_option("issuing")
@token_options("issuing")
@answers_in_json
def request(
    directory: Path,
    *,
    issuing_passphrase_fd: int | None,
    pkcs11_module: Path | None,
    issuing_token: str | None,
) -> dict[str, object]:
    """Make the issuing key, and ask the root for its certificate.

    On the CA's host, with its policy on standard input. The key never leaves it.
    """
    from pki import passphrase
    from pki.ceremony import asking
    from pki.ceremony.request import read_request
    from pki.ceremony.result import grouped
    from pki.layout import Layout
    from pki.policy import read_policy

    text, changed = asking.ask(
        Layout(directory),
        read_policy(standard_input()),
        passphrase=passphrase.reader("issuing", issuing_passphrase_fd),
        place=token_places(pkcs11_module, issuing=issuing_token).get("issuing"),
    )
    digest = read_request(text).sha256
    return {
        "changed": changed,
        "path": str(directory / "issuing.request.json"),
        "sha256": digest,
        "read_aloud": {"request": grouped(digest)},
    }


@ceremony.command(epilog=_RUN_EXAMPLES)
@directory_option
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="What is done; the requests it names lie beside it.",
)
@passphrase_option("first", "first person's")
@passphrase_option("second", "second person's")
@check_option
@answers_in_json
def run(
    directory: Path,
    *,
    plan_file: Path,
    first_passphrase_fd: int | None,
    second_passphrase_fd: int | None,
    check: bool,
) -> dict[str, object]:
    """Do what a plan says, on the offline machine; the same plan again verifies it.

    Asks each of the two people for a passphrase, on the terminal unless said.
    """
    from pki.ceremony import hall
    from pki.ceremony.plan import read_plan
    from pki.ceremony.root_keys import People
    from pki.layout import Layout
    from pki.passphrase import reader

    if first_passphrase_fd is not None and first_passphrase_fd == second_passphrase_fd:
        raise click.UsageError("the two passphrases need a file descriptor each")
    layout, plan = Layout(directory), read_plan(plan_file.read_bytes())
    if check:
        return _would(layout, plan, plan_file.parent)
    ada, ben = plan.people
    new = not layout.sealed_key("root").exists()
    outcome = hall.perform(
        layout,
        plan,
        beside=plan_file.parent,
        people=People(
            first=reader("first", first_passphrase_fd, whose=ada, twice=new),
            second=reader("second", second_passphrase_fd, whose=ben, twice=new),
        ),
    )
    told = {"changed": outcome.changed, "path": str(outcome.path)}
    return told | _told(outcome.result)


@ceremony.command()
@answers_in_json
def verify() -> dict[str, object]:
    """Check the result on standard input: whole, and signed by the root in it.

    Whether that is the right root, the fingerprint says.
    """
    from pki.ceremony.result import read_result

    return {"changed": False, **_told(read_result(standard_input()))}


@ceremony.command("import")
@directory_option
@run_id_option
@click.option(
    "--root-sha256",
    required=True,
    metavar="HEX",
    help="The root's fingerprint, as it was read aloud; spaces are left out.",
)
@answers_in_json
def take(directory: Path, *, run_id: str, root_sha256: str) -> dict[str, object]:
    """Take over, on the CA's host, the result on standard input."""
    from pki.ceremony import taking
    from pki.layout import Layout

    taken = taking.take(
        Layout(directory), standard_input(), root_sha256=root_sha256, run_id=run_id
    )
    return {
        "changed": taken.changed,
        "certificates": list(taken.certificates),
        "list": taken.listed,
        "revoked": list(taken.revoked),
        "follows": taken.follows,
    }


def _would(layout: "Layout", plan: "Plan", beside: Path) -> dict[str, object]:
    import msgspec

    from pki import clock
    from pki.ceremony import hall
    from pki.ceremony.result import grouped

    requests = hall.read_requests(plan, beside)
    held = hall.result_path(layout, plan).exists()
    told = _told(hall.verify(layout, plan)) if held else {}
    return {
        "changed": not held,
        # The machine has no network: people look whether its clock is right.
        "now": clock.to_text(clock.utc_now()),
        "people": list(plan.people),
        "steps": [msgspec.to_builtins(step) for step in plan.steps],
        "read_aloud": {
            "plan": grouped(plan.sha256),
            **{name: grouped(one.sha256) for name, one in requests.items()},
        },
    } | told


def _told(result: "Result") -> dict[str, object]:
    import msgspec

    from pki.ceremony.result import fingerprint, grouped

    stated = result.transcript
    read_aloud = {
        "plan": grouped(stated.plan_sha256),
        "root": grouped(stated.outputs.root),
    }
    for one in result.certificates:
        kind = "cross certificate" if result.is_cross(one) else "issuing CA"
        read_aloud[f"{kind} {one.serial_number:x}"] = grouped(fingerprint(one))
    read_aloud["list"] = grouped(stated.outputs.crl)
    for number, other in enumerate(stated.outputs.others, start=1):
        read_aloud[f"other root {number}"] = grouped(other.root)
        read_aloud[f"list of other root {number}"] = grouped(other.crl)
    return {
        "transcript": msgspec.to_builtins(stated),
        "read_aloud": read_aloud,
    }
