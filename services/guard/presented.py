"""The token a request came with, kept from the application and for the exchange.

The application holds a `Grant` and never a token. When it calls on in the caller's name
(RFC 8693), `outbound` needs the token again: it finds it here, as long as the request
lasts and in no other.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from services.errors import ServiceError
from services.guard.grant import Grant


@dataclass(slots=True)
class _Presented:
    grant: Grant
    token: str | None


_presented: ContextVar[_Presented | None] = ContextVar("presented", default=None)


class ForeignGrantError(ServiceError):
    """The grant is not that of the request which is being answered."""

    code = "foreign_grant"


class presenting:  # noqa: N801 - it is used as a function
    """Keep `token` for `grant` while its request is answered."""

    __slots__ = ("_mark", "_present")

    def __init__(self, grant: Grant, token: str) -> None:
        self._present = _Presented(grant, token)

    def __enter__(self) -> None:
        self._mark = _presented.set(self._present)

    def __exit__(self, *_raised: object) -> None:
        # A task that the request started, and that outlives it, still sees this one.
        self._present.token = None
        _presented.reset(self._mark)


def token_behind(grant: Grant) -> str:
    """Return the token that `grant` was given for.

    Raises:
        ForeignGrantError: its request is over, or this is another one.
    """
    found = _presented.get()
    if found is None or found.grant is not grant or found.token is None:
        raise ForeignGrantError("the grant is not that of this request")
    return found.token
