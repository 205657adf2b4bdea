"""Kill an installation at every step it takes, look, and let the next one heal it.

    python -m tests.services.renewal.killing DIRECTORY

A process of its own, because forking is for processes with one thread. It says how many
runs there were, and how many of them had the new generation in place when they died.
"""

import sys
from pathlib import Path

from services.renewal.directory import Directory
from services.renewal.exchange import request_for
from services.wire.generation import Generation
from tests.pki.killing import killed_at
from tests.services.mesh import Instance, Mesh


def install(instance: Instance) -> None:
    """Go through a renewal, but for the network."""
    directory, present = Directory(instance.current), instance.generation
    key = directory.pending_key()
    directory.write_request(request_for(key, present.certificate))
    leaf = instance.mesh.issue("orders", key=key)
    directory.install(
        key,
        (leaf.certificate, leaf.issuing),
        instance.mesh.bundle_pem,
        over=present.directory,
    )


def take_back(instance: Instance, old: Generation) -> None:
    """Put the generation before in place again."""
    made = instance.generation.directory
    Directory(instance.current).take_back(made, old=old.directory)


def check_healed(instance: Instance) -> None:
    """Renew once more, whatever was left; nothing of it is left then."""
    before = instance.generation
    install(instance)
    assert instance.generation != before
    left = {path.name for path in instance.home.iterdir()}
    assert left == {"current", "generations"}, left


def main(home: Path) -> None:
    """Kill one run after the other until one is through, of either kind."""
    mesh, step, killed, taken = Mesh(home), 0, True, 0
    while killed:
        step += 1
        orders = mesh.instance("orders")
        before = orders.generation
        killed = killed_at(step, lambda orders=orders: install(orders))  # type: ignore[misc]  # bound now
        taken += orders.generation != before
        check_healed(orders)
    installed, step, killed = step, 0, True
    while killed:
        step += 1
        orders = mesh.instance("orders")
        before = orders.generation
        install(orders)
        killed = killed_at(step, lambda o=orders, b=before: take_back(o, b))  # type: ignore[misc]  # bound now
        assert killed or orders.generation == before
        check_healed(orders)
    print(installed, taken, step)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(Path(sys.argv[1]))
