"""The token a request came with, kept from the application and for the exchange.

The application holds a `Grant` and never a token. When it calls on in the caller's name
(RFC 8693), `outbound` needs the token again: it finds it here, as long as the request
lasts and in no other.
"""

from contextvars import ContextVar

from services.errors import ServiceError
from services.guard.grant import Grant


class ForeignGrantError(ServiceError):
    """The grant is not that of the request which is being answered."""

    code = "foreign_grant"


class presenting:  # noqa: N801 - it is used as a function
    """Keep `token` for `grant` while its request is answered."""

    __slots__ = ("_mark", "grant", "token")

    def __init__(self, grant: Grant, token: str) -> None:
        self.grant = grant
        self.token: str | None = token

    def __enter__(self) -> None:
        self._mark = _presented.set(self)

    def __exit__(self, *_raised: object) -> None:
        # A task that the request started, and that outlives it, still sees this one.
        self.token = None
        _presented.reset(self._mark)


_presented: ContextVar[presenting | None] = ContextVar("presented", default=None)


def token_behind(grant: Grant) -> str:
    """Return the token that `grant` was given for.

    Raises:
        ForeignGrantError: its request is over, or this is another one.
    """
    found = _presented.get()
    if found is None or found.grant is not grant or found.token is None:
        raise ForeignGrantError("the grant is not that of this request")
    return found.token
