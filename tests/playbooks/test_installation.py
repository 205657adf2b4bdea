"""A certificate is installed whole, after every check, or not at all."""

import shutil
import subprocess
from pathlib import Path

import pytest
import trustme
from ansible_collections.certbound.kit.plugins.module_utils.generation import (
    NotInstalledError,
    current_serial,
)
from ansible_collections.certbound.kit.plugins.module_utils.openssl import (
    OpensslError,
    make_key,
    verify_chain,
)

from tests.playbooks.enrolling import DAY, Enrolling


def not_installed(enrolled: Enrolling, signed: dict[str, object], said: str) -> None:
    before = current_serial(enrolled.identity)
    with pytest.raises((NotInstalledError, OpensslError), match=said):
        enrolled.install(signed)
    assert current_serial(enrolled.identity) == before


def test_certificate_of_another_key_is_not_installed(enrolled: Enrolling) -> None:
    """What was issued for another key leaves everything as it was."""
    signed = enrolled.sign(enrolled.ask(renew_before=2 * DAY))
    make_key(f"{enrolled.paths.pending}/key.pem")
    not_installed(enrolled, signed, "not of the key that waits")


def test_certificate_of_another_ca_is_not_installed(
    enrolled: Enrolling, tmp_path: Path
) -> None:
    """What another CA issued leaves everything as it was."""
    rogue = Enrolling(tmp_path / "rogue")
    rogue.found()
    asked = enrolled.ask(renew_before=2 * DAY)
    bundle = enrolled.sign(asked)["trust_bundle"]
    signed = rogue.sign(asked) | {"trust_bundle": bundle}
    not_installed(enrolled, signed, "openssl verify")


def test_the_machines_own_trust_store_does_not_count(
    enrolled: Enrolling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain to a root that this machine trusts, and not the bundle, is refused."""
    current = Path(enrolled.paths.current)
    store = tmp_path / "store"
    store.mkdir()
    shutil.copy(current / "bundle.pem", store / "root.pem")
    subprocess.run(["openssl", "rehash", str(store)], check=True)
    monkeypatch.setenv("SSL_CERT_DIR", str(store))
    monkeypatch.setenv("SSL_CERT_FILE", str(store / "root.pem"))
    another = tmp_path / "another.pem"
    trustme.CA().cert_pem.write_to_path(str(another))
    with pytest.raises(OpensslError, match="openssl verify"):
        verify_chain(str(current / "certificate.pem"), str(another))


def test_certificate_with_other_names_is_not_installed(enrolled: Enrolling) -> None:
    """What carries other names than this host expects leaves everything as it was."""
    signed = enrolled.sign(enrolled.ask(renew_before=2 * DAY))
    enrolled.dns_names = ["orders.shop.internal"]
    not_installed(enrolled, signed, "the certificate is for DNS:localhost")


def test_certificate_without_waiting_key_is_not_installed(enrolled: Enrolling) -> None:
    """Without the key it was made for, a certificate is of no use."""
    signed = enrolled.sign(enrolled.ask(renew_before=2 * DAY))
    shutil.rmtree(enrolled.paths.pending)
    not_installed(enrolled, signed, "no key that waits")


def test_key_exists_once(enrolled: Enrolling) -> None:
    """The key is moved with its generation; no copy stays behind."""
    enrolled.renew()
    key = (Path(enrolled.paths.current) / "key.pem").read_bytes()
    holders = [
        path
        for path in enrolled.root.rglob("*")
        if path.is_file() and key in path.read_bytes()
    ]
    assert len({path.resolve() for path in holders}) == 1


def test_old_generations_are_few(enrolled: Enrolling) -> None:
    """After many renewals the current generation and a few before it are there."""
    serials = [enrolled.renew(keep=2).serial for _ in range(4)]
    kept = {path.name for path in Path(enrolled.paths.generations).iterdir()}
    assert kept == set(serials[-3:])
    assert Path(enrolled.paths.current).resolve().name == serials[-1]


def test_installed_certificate_is_what_openssl_likes(enrolled: Enrolling) -> None:
    """The installed chain passes openssl's strict check for server and client."""
    current = enrolled.paths.current
    for purpose in ("sslserver", "sslclient"):
        subprocess.run(
            [
                *("openssl", "verify", "-x509_strict", "-purpose", purpose),
                *("-CAfile", f"{current}/bundle.pem"),
                *("-untrusted", f"{current}/certificate.pem"),
                f"{current}/certificate.pem",
            ],
            check=True,
            capture_output=True,
        )
