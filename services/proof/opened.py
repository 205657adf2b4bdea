"""Remember tokens that were opened: the same bytes need no second look.

That a key has signed certain bytes stays true for as long as anybody believes in the
key, so a guard checks the signature of a token with its first request and finds it here
with the next ones. What may change from one request to the next is never kept: whether
the key is published, the token is in time, revoked, or the caller's.

A token is found by its whole text, so none can pass for another; and what was found is
taken only for the very key that is asked about, so a key set that was fetched anew has
every token looked at again. Only what was signed is remembered, at most so much of it.
"""

from collections import OrderedDict

from joserfc.jwk import ECKey

from services.proof.access_token import Opened, open_token
from services.proof.jws import UnverifiedToken, parse

_REMEMBERED = 2048  # tokens; about 3 kB each


class OpenedTokens:
    """The tokens that were used last."""

    def __init__(self, at_most: int = _REMEMBERED) -> None:
        self._at_most = at_most
        self._known: OrderedDict[str, tuple[UnverifiedToken, ECKey, Opened]] = (
            OrderedDict()
        )

    def parse(self, text: str) -> UnverifiedToken:
        """Return what `jws.parse` makes of `text`.

        Raises:
            InvalidTokenError: as there.
        """
        known = self._known.get(text)
        return known[0] if known else parse(text)

    def open(self, token: UnverifiedToken, key: ECKey) -> Opened:
        """Return what `access_token.open_token` makes of `token` and `key`.

        Raises:
            InvalidTokenError: as there.
        """
        known = self._known.get(token.text)
        if known is not None and known[1] is key:
            self._known.move_to_end(token.text)
            return known[2]
        opened = open_token(token, key)
        self._known[token.text] = (token, key, opened)
        if len(self._known) > self._at_most:
            self._known.popitem(last=False)
        return opened
