"""How often one endpoint may be asked: by each certificate, and by each client.

The certificate counts before anything is read or checked, so that failed requests count
too and nobody can try out clients or tokens at will. The client counts once it is
authenticated, so that nobody can use up another one's share by naming it; it is the
sum over all its certificates.

Refused with 429 (RFC 6585, section 4), when to try again, and `temporarily_unavailable`
(RFC 6749, section 4.1.2.1: "temporary overloading"). `slow_down` (RFC 8628) would tell
a client to poll more slowly for ever.
"""

from collections.abc import Callable

from starlette.types import Scope

from services.buckets import Buckets
from services.rates import Rate
from services.token.errors import TooManyRequestsError


class Limits:
    """The limits of one endpoint."""

    def __init__(self, rate: Callable[[], Rate], buckets: Buckets) -> None:
        self._rate = rate
        self._buckets = buckets

    def count_connection(self, scope: Scope) -> None:
        """Count a request of whoever is at the other end of the connection.

        Raises:
            TooManyRequestsError: its certificate has asked too often.
        """
        tls = (scope.get("extensions") or {}).get("tls") or {}
        # Without a certificate, which `admission` decides on, the address must do.
        name = tls.get("client_cert") or (scope.get("client") or ("",))[0]
        self._count(name, "this certificate")

    def count_client(self, client_id: str) -> None:
        """Count a request of an authenticated client.

        Raises:
            TooManyRequestsError: the client has asked too often.
        """
        self._count(("client", client_id), f"client {client_id!r}")

    def _count(self, name: object, who: str) -> None:
        wait = self._buckets.take(name, self._rate())
        if wait is not None:
            raise TooManyRequestsError(f"too many requests of {who}", wait)
