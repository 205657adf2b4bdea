"""Break off an installation at every step it takes, look, and let the next one heal it.

    python -m tests.services.renewal.killing killed DIRECTORY
    python -m tests.services.renewal.killing full DIRECTORY

With SIGKILL, or on a disk with n pages left, then with n files. A process of its own,
because forking is for processes with one thread. It says how many runs there were, and
how many of them had the new generation in place when they were broken off.
"""

import sys
from functools import partial
from pathlib import Path

from services.renewal.directory import Directory
from services.renewal.exchange import request_for
from services.wire.generation import Generation
from tests.pki import filling
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


def full(home: Path) -> None:
    """Fill the disk for one run after the other until one is through."""
    disk = home / "disk"
    filling.mount(disk)
    mesh, runs, taken = Mesh(disk), 0, 0
    for of in ("pages", "files"):
        left, refused = 0, True
        while refused:
            orders = mesh.instance("orders")
            before = orders.generation
            refused = filling.refused_on(
                disk, partial(install, orders), left=left, of=of
            )
            left, runs = left + 1, runs + 1
            taken += refused and orders.generation != before
            assert refused or orders.generation != before
            check_healed(orders)
    print(runs, taken)  # noqa: T201 - the answer


def killed(home: Path) -> None:
    """Kill one run after the other until one is through, of either kind."""
    mesh, step, broken, taken = Mesh(home), 0, True, 0
    while broken:
        step += 1
        orders = mesh.instance("orders")
        before = orders.generation
        broken = killed_at(step, lambda orders=orders: install(orders))  # type: ignore[misc]  # bound now
        taken += orders.generation != before
        check_healed(orders)
    installed, step, broken = step, 0, True
    while broken:
        step += 1
        orders = mesh.instance("orders")
        before = orders.generation
        install(orders)
        broken = killed_at(step, lambda o=orders, b=before: take_back(o, b))  # type: ignore[misc]  # bound now
        assert broken or orders.generation == before
        check_healed(orders)
    print(installed, taken, step)  # noqa: T201 - the answer


if __name__ == "__main__":
    {"killed": killed, "full": full}[sys.argv[1]](Path(sys.argv[2]))
