"""A path against lists: each certificate is asked about, and unknown is no."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pki import revocation
from pki.entry import Reason, Revocation
from pki.path_revocation import MissingListError, check_path_revocation
from pki.pointers import authority_of
from pki.revocation_list import (
    EarlyListError,
    RevocationList,
    RevokedError,
    StaleListError,
    verify_list,
)
from tests.pki.builders import ADDRESSES, NOW, Forge


@pytest.fixture(scope="module")
def path(forge: Forge) -> tuple[x509.Certificate, ...]:
    """Return a service's path to the root; its list is a shard."""
    draft = forge.leaf_draft
    pointers = ADDRESSES.pointers(authority_of(forge.issuing), draft.serial)
    for extension in pointers.as_extensions():
        draft = draft.with_extension(extension)
    return draft.sign(forge.issuing_key), forge.issuing, forge.root


def listed(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    *serials: int,
    number: int = 7,
    age: timedelta = timedelta(0),
    scope: str = "full",
) -> RevocationList:
    """Return a list of an issuer that began `age` ago."""
    edition = revocation.Edition(issuer=issuer, number=number, this_update=NOW - age)
    revoked = [
        Revocation(1, serial, NOW - age, Reason.KEY_COMPROMISE, NOW + timedelta(days=1))
        for serial in serials
    ]
    if scope == "full":
        builder = revocation.full(edition, revoked)
    else:
        name = ADDRESSES.crl(authority_of(issuer), scope)
        builder = revocation.shard(edition, revoked, names=[name])
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    return verify_list(der, issuer)


Path = tuple[x509.Certificate, ...]


@pytest.fixture(scope="module")
def roots_list(forge: Forge) -> RevocationList:
    """Return what the root says: nothing is revoked."""
    return listed(forge.root, forge.root_key)


@pytest.mark.parametrize("scope", ["full", "right shard"])
def test_path_of_which_nothing_is_listed_passes(
    forge: Forge, path: Path, roots_list: RevocationList, scope: str
) -> None:
    """The issuing CA's list says so of the leaf, the root's of the issuing CA."""
    if scope == "right shard":
        scope = ADDRESSES.shard_of(path[0].serial_number)
    own = listed(forge.issuing, forge.issuing_key, 0xABC, scope=scope)
    check_path_revocation(path, [roots_list, own], now=NOW)


@pytest.mark.parametrize("place", [0, 1], ids=["leaf", "issuing CA"])
def test_revoked_certificate_is_refused(forge: Forge, path: Path, place: int) -> None:
    """Wherever on the path it is."""
    revoked = [path[place].serial_number]
    lists = [
        listed(forge.root, forge.root_key, *(revoked if place == 1 else [])),
        listed(forge.issuing, forge.issuing_key, *(revoked if place == 0 else [])),
    ]
    with pytest.raises(RevokedError):
        check_path_revocation(path, lists, now=NOW)


@pytest.mark.parametrize("missing", [0, 1], ids=["the root's", "the issuing CA's"])
def test_path_without_a_list_is_refused(
    forge: Forge, path: Path, roots_list: RevocationList, missing: int
) -> None:
    """A certificate that nobody speaks of may be revoked."""
    lists = [roots_list, listed(forge.issuing, forge.issuing_key)]
    with pytest.raises(MissingListError):
        check_path_revocation(path, lists[1 - missing : 2 - missing], now=NOW)


def test_list_of_another_shard_is_no_list(
    forge: Forge, path: Path, roots_list: RevocationList
) -> None:
    """It says nothing of this certificate."""
    other = ADDRESSES.shard_of(path[0].serial_number + 1)
    own = listed(forge.issuing, forge.issuing_key, scope=other)
    with pytest.raises(MissingListError):
        check_path_revocation(path, [roots_list, own], now=NOW)


def test_list_of_another_authority_says_nothing(
    forge: Forge, path: Path, roots_list: RevocationList
) -> None:
    """Another CA has revoked its own certificate of that number."""
    other = Forge()
    foreign = listed(other.issuing, other.issuing_key, path[0].serial_number)
    with pytest.raises(MissingListError):
        check_path_revocation(path, [roots_list, foreign], now=NOW)
    own = listed(forge.issuing, forge.issuing_key)
    check_path_revocation(path, [roots_list, foreign, own], now=NOW)


def test_stale_list_is_refused(
    forge: Forge, path: Path, roots_list: RevocationList
) -> None:
    """Past its own end, or past the bound; one of today beside it heals that."""
    old = listed(forge.issuing, forge.issuing_key, age=timedelta(hours=12))
    check_path_revocation(path, [roots_list, old], now=NOW)
    for now, bound in ((NOW, timedelta(hours=1)), (NOW + timedelta(hours=12), None)):
        with pytest.raises(StaleListError):
            check_path_revocation(path, [roots_list, old], now=now, bound=bound)
        new = listed(forge.issuing, forge.issuing_key, number=8, age=NOW - now)
        current = listed(forge.root, forge.root_key, number=8, age=NOW - now)
        check_path_revocation(path, [current, old, new], now=now, bound=bound)


def test_list_of_tomorrow_is_refused(
    forge: Forge, path: Path, roots_list: RevocationList
) -> None:
    """It says nothing of today."""
    early = listed(forge.issuing, forge.issuing_key, age=-timedelta(hours=1))
    with pytest.raises(EarlyListError):
        check_path_revocation(path, [roots_list, early], now=NOW)


def test_a_revocation_in_an_old_list_still_counts(
    forge: Forge, path: Path, roots_list: RevocationList
) -> None:
    """Nobody takes it back, so a list of today that has dropped it is not believed."""
    serial = path[0].serial_number
    old = listed(forge.issuing, forge.issuing_key, serial, age=timedelta(days=2))
    new = listed(forge.issuing, forge.issuing_key, number=8)
    with pytest.raises(RevokedError):
        check_path_revocation(path, [roots_list, new, old], now=NOW)
