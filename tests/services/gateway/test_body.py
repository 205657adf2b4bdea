"""Tests of `services.gateway.body`: what the head says of a body."""

import pytest
from starlette.types import Message

from services.gateway.body import Body
from services.gateway.errors import RequestTooLargeError


async def never() -> Message:
    """Receive nothing."""
    raise AssertionError("the body is read")


@pytest.mark.parametrize("length", [b"0", b"7", b"007", b"10"])
def test_a_length_within_the_bound_is_taken(length: bytes) -> None:
    """Nothing of the body is read before it is asked for."""
    body = Body([(b"content-length", length)], never, 10)
    assert body.is_there == (length != b"0")


@pytest.mark.parametrize(
    "length",
    [b"11", b"", b"-1", b"+1", b"1 ", b"1,1", b"0x1", "\u0661".encode(), b"9" * 5000],
    ids=repr,
)
def test_a_length_that_is_none_is_refused(length: bytes) -> None:
    """Whatever the HTTP parser lets pass, and however many digits it has."""
    with pytest.raises(RequestTooLargeError):
        Body([(b"content-length", length)], never, 10)
