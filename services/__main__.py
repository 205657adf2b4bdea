"""The command `python -m services`: run a process, look at it, steal from it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pki.errors import PkiError
from services.errors import ServiceError

_FILE = click.Path(dir_okay=False, path_type=Path)
_DEPLOYMENT = click.option(
    "--deployment",
    type=_FILE,
    default=Path("certs/deployment.json"),
    show_default=True,
    help="What was rolled out; the roll-out writes it.",
)
_PROJECT = click.option(
    "--project",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The directory that its paths are relative to.  [default: this one]",
)


@click.group()
def main() -> None:
    """Certificate-bound tokens: the services, and the proof that they hold."""
    # httpx would load its own command line with itself, and all that paints it: twice
    # what the rest of it takes. It does without what cannot be imported.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # as Python documents it


@main.command()
@click.argument("config", type=_FILE)
def run(config: Path) -> None:
    """Serve the process that CONFIG describes, until told to stop.

    CONFIG is the config.json that the roll-out wrote for one instance. Log lines go to
    standard error, one JSON object each.
    """
    from services import log, process

    log.configure()
    with _refusals():
        process.serve(config)


@main.command("signing-keys")
@click.argument("verb", type=click.Choice(["show", "publish", "begin", "withdraw"]))
@click.argument("config", type=_FILE)
@click.option(
    "--older-than",
    default=0,
    metavar="SECONDS",
    help="Leave a key alone that has signed for less (publish).",
)
def signing_keys(verb: str, config: Path, older_than: int) -> None:
    """Replace the keys of a token service before they are due; print JSON.

    Works on the files of the process that CONFIG describes, as its user, while it runs.
    `publish` makes the next key, which waits for its turn. `begin` lets it sign at
    once: only after every verifier is seen to hold it (`certbound_known_key`), or
    tokens are refused. `withdraw` forgets it instead.
    """
    import json
    from datetime import timedelta

    from pki.clock import utc_now
    from services.token.on_demand import on_demand

    young = timedelta(seconds=older_than)
    with _refusals():
        answer = on_demand(config, verb, utc_now(), older_than=young)
    click.echo(json.dumps(answer, indent=2))


@main.command()
@_DEPLOYMENT
@_PROJECT
@click.option("--wait", default=0.0, help="Seconds that a port may take to open.")
@click.option(
    "--only",
    default="",
    metavar="SERVICE@HOST",
    help="Whose identity to read and whose calls to try: SERVICE, SERVICE@HOST, @HOST.",
)
def probe(deployment: Path, project: Path, wait: float, only: str) -> None:
    """Read the identities off the live ports and try every call edge; print JSON.

    Exits with 1 if an edge differs from the topology.
    """
    import msgspec

    from services import probe as probing
    from services.deployment import read_deployment

    with _refusals():
        found = probing.probe(
            read_deployment(deployment, project), wait=wait, only=only
        )
    click.echo(msgspec.json.encode(found))
    sys.exit(not found.ok)


@main.command()
@_DEPLOYMENT
@_PROJECT
@click.option(
    "--only",
    required=True,
    metavar="SERVICE@HOST",
    help="Whose certificate is to be refused: SERVICE@HOST, @HOST.",
)
@click.option("--patience", default=60.0, help="Seconds until all must have refused.")
@click.option("--ready", type=_FILE, help="Made once everybody has been called.")
def refusals(
    deployment: Path, project: Path, *, only: str, patience: float, ready: Path | None
) -> None:
    """Call everybody until each refuses the certificate as revoked; print JSON.

    Exits with 1 if one has not.
    """
    import msgspec

    from services.deployment import read_deployment
    from services.refusals import watch

    with _refusals():
        described = read_deployment(deployment, project)
        found = watch(described, only, patience=patience, ready=ready)
    click.echo(msgspec.json.encode(found))
    sys.exit(not all(one.ok for one in found))


@main.command()
@_DEPLOYMENT
@_PROJECT
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not the table.")
@click.option(
    "--holding",
    default="",
    metavar="SERVICE[,SERVICE]",
    help="Play one leg of a relay, with the keys of these services, where not all keys "
    "lie on one host. Prints JSON, which the deployment of the next leg must have as "
    "its member handed_on: it holds tokens.",
)
def drill(deployment: Path, project: Path, *, as_json: bool, holding: str) -> None:
    """Steal tokens of every kind and try to use them; print what happened.

    Exits with 1 if anything differs from what should happen.
    """
    import msgspec

    from services.deployment import read_deployment
    from services.drill import drill as drilling
    from services.report.observations import Observations
    from services.report.tables import render

    with _refusals():
        described = read_deployment(deployment, project)
        if holding:
            baton = drilling.play(described, holding=holding.split(","))
            click.echo(msgspec.json.encode(baton))
            sys.exit(baton.result.differs)
        result = drilling.run_drill(described)
    if as_json:
        click.echo(msgspec.json.encode(result))
    else:
        click.echo(render(Observations(drill=result)))
    sys.exit(not result.ok)


@main.command()
@click.option("--html", type=_FILE, help="Write a page for people here, too.")
@click.option("--json", "kept", type=_FILE, help="Write all that was seen here, too.")
def report(html: Path | None, kept: Path | None) -> None:
    """Read {"probe": ..., "drill": ...} on standard input; print the tables.

    The page also shows what the members "deployment" and "run" say.
    """
    from pki.clock import utc_now
    from services.report.evidence import evidence, write
    from services.report.observations import read_observations
    from services.report.tables import render
    from services.report.versions import versions

    with _refusals():
        document, now = sys.stdin.buffer.read(), utc_now()
        observed = read_observations(document)
        made_by = versions(observed.run.ansible)
        if kept is not None:
            write(kept, evidence(document, now, made_by))
        if html is not None:
            from services.report.page import render_page  # needs the template engine

            write(html, render_page(observed, now, made_by).encode())
    click.echo(render(observed))
    if html is not None:
        click.echo(f"\nThe same as a page, with a picture: {html}")


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn a refusal into one sentence on standard error and exit code 1."""
    try:
        yield
    except (ServiceError, PkiError) as error:
        click.echo(f"certbound: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m services")
