"""The command `python -m tests.lab`: boot a lab, break it, remove it."""

import subprocess
import sys
from pathlib import Path

import click

from tests.lab import faults, fleet, requirements
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.places import Places

_host = click.argument("host")
# What follows the command's name is the command's, options and all.
_PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


class _Group(click.Group):
    """Says what went wrong in one line, not in a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except LabError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Group)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Real Debian hosts on this machine: systemd, sshd, a network of their own."""
    ctx.obj = Lab(Places.chosen())


@main.command("set-up")
def set_up() -> None:
    """Install the Debian packages that the lab needs."""
    requirements.install(click.echo)


@main.command()
@click.option(
    "--spec",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=fleet.DEFAULT,
    help="Which hosts to boot; tests/lab/fleet.yml if absent.",
)
@click.pass_obj
def up(lab: Lab, spec: Path) -> None:
    """Boot the hosts, building their bases first if there are none."""
    requirements.install(click.echo)
    lab.up(spec, click.echo)


@main.command()
@click.pass_obj
def down(lab: Lab) -> None:
    """Remove every trace of the lab; the bases stay in the cache."""
    lab.down()


@main.command()
@click.pass_obj
def status(lab: Lab) -> None:
    """Show each host: its address, its Debian, and how it is."""
    for one in lab.status():
        state = "up" if one.powered else "off"
        if one.powered and not one.plugged:
            state = "up, off the network"
        host = one.host
        click.echo(f"{host.name:14} {host.address:15} {host.release:9} {state}")


@main.command(context_settings=_PASSED_ON)
@_host
@click.argument("argv", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ssh(lab: Lab, host: str, argv: tuple[str, ...]) -> None:
    """Log in to a host, or run a command there."""
    lab.fleet.host(host)
    _become(lab, lab.ssh.to(host, *argv))


@main.command(context_settings=_PASSED_ON)
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def run(lab: Lab, argv: tuple[str, ...]) -> None:
    """Run a command as the controller: in the lab's network, with its SSH."""
    if not lab.network.exists():
        raise LabError("no lab is up: `python -m tests.lab up` boots it")
    _become(lab, lab.network.inside(*argv))


@main.command()
@_host
@click.pass_obj
def reboot(lab: Lab, host: str) -> None:
    """Reboot a host in order; it keeps its disk."""
    lab.reboot(host)


@main.command()
@_host
@click.pass_obj
def cut(lab: Lab, host: str) -> None:
    """Cut a host's power; what it had not synced is lost."""
    lab.cut(host)


@main.command()
@_host
@click.pass_obj
def start(lab: Lab, host: str) -> None:
    """Switch a host on again."""
    lab.start(host)


@main.command()
@_host
@click.pass_obj
def partition(lab: Lab, host: str) -> None:
    """Take a host off the network."""
    lab.network.unplug(lab.fleet.host(host).name)


@main.command()
@_host
@click.pass_obj
def heal(lab: Lab, host: str) -> None:
    """Put a host back on the network."""
    lab.network.plug(lab.fleet.host(host).name)


@main.command("disk-full")
@_host
@click.option("--undo", is_flag=True, help="Give the space back.")
@click.pass_obj
def disk_full(lab: Lab, host: str, *, undo: bool) -> None:
    """Leave no byte free on a host's own disk."""
    if undo:
        faults.empty_disk(lab.ssh, host)
    elif lab.fleet.host(host).disk is None:
        raise LabError(
            f"{host} has no disk of its own; its `disk:` in the spec makes one"
        )
    else:
        faults.fill_disk(lab.ssh, host)


@main.command(context_settings={"ignore_unknown_options": True})
@_host
@click.argument("offset")
@click.option("--unit", multiple=True, help="A service whose clock is wrong, too.")
@click.pass_obj
def skew(lab: Lab, host: str, offset: str, unit: tuple[str, ...]) -> None:
    """Make a host's clock wrong by OFFSET, such as +1h; 0 makes it right again."""
    faults.skew_clock(lab.ssh, lab.fleet.host(host).name, offset, unit)


def _become(lab: Lab, argv: list[str]) -> None:
    """Run a command in this one's place, as far as anyone can see."""
    done = subprocess.run(argv, check=False, env=lab.environment())
    sys.exit(done.returncode if done.returncode >= 0 else 128 - done.returncode)


if __name__ == "__main__":
    main(prog_name="python -m tests.lab")
