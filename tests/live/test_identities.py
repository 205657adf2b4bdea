"""Every identity: what its live port presents, and the files it comes from."""

import pwd
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pki.clock import from_text
from pki.identity import spiffe_id_of
from tests.live.fleet import Fleet, Seen


def test_the_name_is_the_topologys(fleet: Fleet, seen: Seen, identity: str) -> None:
    """The one URI name of the certificate is the SPIFFE ID of this trust domain."""
    presented = seen.identities[identity]["spiffe_id"]
    assert presented == fleet.identities[identity]["spiffe_id"]
    assert presented.startswith(f"spiffe://{fleet.deployment['trust_domain']}/")


def test_it_does_not_expire_before_it_is_renewed(
    fleet: Fleet, seen: Seen, identity: str
) -> None:
    """More time is left than a roll-out renews with."""
    until = from_text(seen.identities[identity]["not_after"])
    left = until - from_text(seen.evidence["made_at"])
    assert left > timedelta(seconds=fleet.renew_before), f"{left} left, until {until}"


def test_the_port_presents_what_is_installed(
    fleet: Fleet, seen: Seen, identity: str
) -> None:
    """The process has taken the present generation, whose one URI name is its own."""
    pem = (current(fleet, identity) / "certificate.pem").read_bytes()
    installed, *_ = x509.load_pem_x509_certificates(pem)
    assert seen.identities[identity]["serial"] == format(installed.serial_number, "x")
    assert str(spiffe_id_of(installed)) == seen.identities[identity]["spiffe_id"]


def test_the_key_is_its_owners_alone(fleet: Fleet, identity: str) -> None:
    """Nobody else may read the key, or look into the directories that lead to it."""
    generation = current(fleet, identity)
    top = Path(fleet.identities[identity]["directory"])
    for path in (generation / "key.pem", generation, top / "identity", top):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    owner = fleet.identities[identity].get("owner")
    if owner:
        assert pwd.getpwuid((generation / "key.pem").stat().st_uid).pw_name == owner


def current(fleet: Fleet, identity: str) -> Path:
    """Return the directory of the present generation, or skip."""
    if not fleet.is_here(identity):
        pytest.skip("its files are on another host, and stay there")
    return Path(fleet.identities[identity]["directory"]) / "identity" / "current"
