"""How many tokens each caller may bring that are none (RFC 7662, section 4).

Every token that is not known costs the token service a question, and invented ones are
never known. The gateway has one share of the token service's answers for all of its
callers (`services.token.limits`), so that one of them could use up everybody's. Each
certificate therefore has a bucket of its own. A question about an active token puts
back what it took, and so does one without an answer: only what is refused counts, and
what is under way.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.buckets import Buckets
from services.gateway.errors import TooManyTokensError
from services.proof.errors import InvalidTokenError
from services.rates import Rate


class Guesses:
    """The buckets of one gateway's callers, by certificate."""

    def __init__(self, rate: Callable[[], Rate], buckets: Buckets) -> None:
        self._rate = rate
        self._buckets = buckets

    @contextmanager
    def question(self, thumbprint: str) -> Iterator[None]:
        """Ask about a token that the bearer of a certificate has brought.

        Raises:
            TooManyTokensError: it has brought too many that are none.
        """
        wait = self._buckets.take(thumbprint, self._rate())
        if wait is not None:
            raise TooManyTokensError(f"certificate {thumbprint}", wait)
        try:
            yield
        except InvalidTokenError:
            raise
        except BaseException:  # nobody knows that it was none
            self._buckets.put_back(thumbprint)
            raise
        self._buckets.put_back(thumbprint)
