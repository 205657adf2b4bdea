"""Break off what a CA does at every step it takes, one step a copy.

    python -m tests.pki.crashing killed found DIRECTORY
    python -m tests.pki.crashing full issue DIRECTORY REQUESTS

`found` makes DIRECTORY/1, DIRECTORY/2, ... and founds a CA in each; the other verbs
take copies of the CA in DIRECTORY/0. `killed`: the n-th run gets SIGKILL before its
n-th step (`killing`). `full`: the disk has n - 1 pages left, and from where that is
enough, one file more with each run (`filling`). The last run goes through. A process of
its own, because forking is for processes with one thread.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509

from pki import clock, rotation
from pki.laggards import Proof
from pki.ledger import open_ledger
from pki.rotation_steps import What
from services.enrolment.office import Office, Wish
from tests.pki import filling
from tests.pki.builders import ROOT_PASSPHRASE, Ca
from tests.pki.killing import killed_at
from tests.pki.rotating import Rotating

_PLENTY = 500  # pages or files
LATER = clock.utc_now() + timedelta(hours=13)  # lists are due after twelve
Act = Callable[[Path], object]


def renew(text: str, place: Path) -> x509.Certificate:
    """Renew a certificate as the CA's front does, with the files beside the CA."""
    office = Office(
        Ca.at(place / "ca").layout, place / "passphrase", clock=clock.utc_now
    )
    present = x509.load_pem_x509_certificate((place / "present.pem").read_bytes())
    request = x509.load_pem_x509_csr(text.encode())
    (renewed,) = office.renew([Wish(request, present)])
    if isinstance(renewed, Exception):
        raise renewed
    return renewed.certificate


def upgrade(place: Path) -> None:
    """Open the ledger, which is of an earlier version."""
    with open_ledger(Ca.at(place).layout.ledger):
        pass


def advance(shown: list[dict[str, Any]], place: Path) -> None:
    """Begin a rotation's next phase on what the hosts have shown."""
    proof = msgspec.convert({"evidence": shown}, Proof)
    ca = Ca.at(place)
    rotation.advance(
        ca.layout, proof, keyring=ca.keyring(ROOT_PASSPHRASE), run_id="rotating"
    )


def acts(asked: list[Any]) -> dict[str, Act]:
    """Return what can be broken off; `asked` are requests, evidence, or what."""
    return {
        "found": Ca.found,
        "issue": lambda place: Ca.at(place).issue(*map(tuple, asked)),
        "renew": lambda place: renew(asked[0][1], place),
        "begin": lambda place: Rotating(Ca.at(place), What(asked[0])).begin(),
        "advance": lambda place: advance(asked, place),
        "reverse": lambda place: Rotating(Ca.at(place), What.ROOT).reverse(),
        "revoke": lambda place: Ca.at(place).revoke("orders@localhost"),
        "publish": lambda place: Ca.at(place).publish(now=lambda: LATER),
        "upgrade": upgrade,
    }


def killed(directory: Path, act: Act) -> Iterator[bool]:
    """Yield for each run whether it was killed."""
    step = 0
    while True:
        step += 1
        place = directory / str(step)
        _copy(directory, place)
        yield killed_at(step, partial(act, place))


def full(directory: Path, act: Act) -> Iterator[bool]:
    """Yield for each run whether the disk was full."""
    disk = directory / "disk"
    filling.mount(disk)
    step = 0
    for of in ("pages", "files"):
        left, broken = 0, True
        while broken:
            step += 1
            _copy(directory, disk / "ca")
            broken = filling.refused_on(
                disk, partial(act, disk / "ca"), left=left, of=of
            )
            if left > _PLENTY:
                sys.exit(f"{left} {of} are not enough")
            left += 1
            if (disk / "ca").exists():
                shutil.move(disk / "ca", directory / str(step))
            yield broken or of == "pages"


def _copy(directory: Path, place: Path) -> None:
    if (directory / "0").exists():
        shutil.copytree(directory / "0", place)


def main(how: str, verb: str, directory: Path, *requests: str) -> None:
    """Break off one run after the other until one is through."""
    asked = json.loads(Path(requests[0]).read_text()) if requests else []
    act = acts(asked)[verb]
    runs = 0
    for broken in {"killed": killed, "full": full}[how](directory, act):
        runs += 1
        if not broken:
            break
    print(runs)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
