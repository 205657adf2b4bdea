"""A CA directory is whole and private, or refused."""

import pytest

from pki.layout import NoAuthorityError
from pki.storage import InsecurePermissionsError
from tests.pki.builders import Ca


def test_whole_directory_passes(ca: Ca) -> None:
    """What the founding leaves behind is complete."""
    ca.layout.check_complete()


@pytest.mark.parametrize(
    "name",
    [
        "policy.json",
        "ledger.sqlite",
        "root.pem",
        "issuing.pem",
        "issuing.key.sealed",
    ],
)
def test_missing_file_is_named(ca: Ca, name: str) -> None:
    """Each file is needed, and the message names the one that is missing."""
    (ca.layout.directory / name).unlink()
    with pytest.raises(NoAuthorityError, match=name):
        ca.layout.check_complete()


def test_root_key_may_be_elsewhere(ca: Ca) -> None:
    """Issuing does not need the root's key: it may be taken off the machine."""
    ca.layout.sealed_key("root").unlink()
    ca.layout.check_complete()


def test_directory_open_to_others_is_refused(ca: Ca) -> None:
    """Others may not even list the CA's files."""
    ca.layout.directory.chmod(0o755)
    with pytest.raises(InsecurePermissionsError):
        ca.layout.check_complete()


def test_every_file_is_private(ca: Ca) -> None:
    """The directory is 0700 and each file in it 0600."""
    assert ca.layout.directory.stat().st_mode & 0o777 == 0o700
    for path in ca.layout.directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
