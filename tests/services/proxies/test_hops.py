"""Tests of `services.wire.hops`: which proxy is trusted, and by what."""

from pathlib import Path

import pytest

from pki.identity import SpiffeId
from services.wire.forwarding_errors import (
    DuplicateFieldError,
    NoHopError,
    WrongSecretError,
)
from services.wire.hops import (
    ExposedSecretError,
    Hop,
    NamelessHopError,
    UnreadableSecretError,
    hop_by_name,
    hop_by_secret,
    read_secret,
)

EDGE = SpiffeId.parse("spiffe://shop.internal/service/edge")
OTHER = SpiffeId.parse("spiffe://shop.internal/service/other")
SECRET = b"0123456789abcdef0123456789abcdef0123456789abcdef"
ANOTHER = SECRET[::-1]

named = Hop("client-cert", EDGE, None)
both = Hop("client-cert", EDGE, lambda: SECRET)
nameless = Hop("xfcc", None, lambda: SECRET)


def test_a_hop_is_known_by_its_name() -> None:
    """The SPIFFE ID of the connection finds the hop, and nobody else's does."""
    assert hop_by_name([named], EDGE, []) is named
    assert hop_by_name([named], OTHER, []) is None


def test_without_hops_nobody_is_one() -> None:
    """The empty list trusts nobody."""
    assert hop_by_name([], EDGE, []) is None
    with pytest.raises(NoHopError):
        hop_by_secret([], [SECRET])


def test_a_secret_can_be_asked_for_beside_the_name() -> None:
    """A hop with both shows both."""
    assert hop_by_name([both], EDGE, [SECRET]) is both


@pytest.mark.parametrize("shown", [[], [ANOTHER], [b""], [SECRET[:-1]]])
def test_a_name_without_its_secret_is_refused(shown: list[bytes]) -> None:
    """A hop with both that shows one is refused, and not taken for a caller."""
    with pytest.raises(WrongSecretError):
        hop_by_name([both], EDGE, shown)


def test_a_secret_alone_does_not_lend_a_name() -> None:
    """Whoever has a certificate is known by that: a stolen secret adds nothing."""
    assert hop_by_name([nameless], OTHER, [SECRET]) is None
    assert hop_by_name([both], OTHER, [SECRET]) is None


def test_a_nameless_hop_is_known_by_its_secret() -> None:
    """Without a certificate the secret decides, among several hops."""
    second = Hop("client-cert", None, lambda: ANOTHER)
    assert hop_by_secret([nameless, second], [SECRET]) is nameless
    assert hop_by_secret([nameless, second], [ANOTHER]) is second


@pytest.mark.parametrize("shown", [[], [ANOTHER], [b""], [SECRET + b"="]])
def test_without_name_and_secret_there_is_no_hop(shown: list[bytes]) -> None:
    """No certificate and not the secret: nobody."""
    with pytest.raises(NoHopError):
        hop_by_secret([nameless], shown)


def test_the_secret_of_a_named_hop_is_not_enough() -> None:
    """A hop that owes a certificate is none without it."""
    with pytest.raises(NoHopError):
        hop_by_secret([both], [SECRET])


def test_two_secrets_are_refused() -> None:
    """Of two values nobody says which one the proxy has set."""
    with pytest.raises(DuplicateFieldError):
        hop_by_secret([nameless], [SECRET, SECRET])
    with pytest.raises(DuplicateFieldError):
        hop_by_name([both], EDGE, [SECRET, SECRET])


def test_a_hop_is_somebody() -> None:
    """Neither name nor secret is no way to know a proxy; an address is none."""
    with pytest.raises(NamelessHopError):
        Hop("client-cert", None, None)


def secret_file(directory: Path, content: bytes, mode: int = 0o600) -> Path:
    """Write a file that may hold a secret."""
    path = directory / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    """The end of the line is no part of it."""
    path = secret_file(tmp_path, SECRET + b"\n")
    hop = Hop.load("xfcc", spiffe_id=None, secret=path)
    assert hop.secret
    assert hop.secret() == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_may_read_is_none(tmp_path: Path, mode: int) -> None:
    """The file is its owner's alone."""
    with pytest.raises(ExposedSecretError, match="0600"):
        read_secret(secret_file(tmp_path, SECRET, mode))


@pytest.mark.parametrize(
    "content",
    [b"", SECRET[:42], SECRET * 6, SECRET + b" ", b"a\r\nb" * 20, b"\xff" * 50],
)
def test_a_weak_or_unsendable_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    """A secret has 256 bits and can stand in a field."""
    with pytest.raises(UnreadableSecretError) as caught:
        read_secret(secret_file(tmp_path, content))
    assert SECRET[:42].decode() not in str(caught.value)


def test_a_missing_secret_is_refused(tmp_path: Path) -> None:
    """Without the file there is no hop, and no process."""
    with pytest.raises(UnreadableSecretError, match="No such file"):
        Hop.load("xfcc", spiffe_id=None, secret=tmp_path / "none")
