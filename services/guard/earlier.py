"""Tell a client that kept a token over its renewal from a thief.

A token is bound to one certificate, so whoever renews fetches a new one (RFC 8705,
section 6.3). A client that sends the old token on the new certificate is refused like
anybody else, but it is no theft: `judgement` says so, and it is counted apart. Known
are the certificates that callers have come with lately, in this process.
"""

from collections import OrderedDict

from services.proof.errors import WrongCertificateError
from services.wire.peer import Peer

_CALLERS = 1000  # about 1 kB each
_CERTIFICATES = 4  # of each caller


class EarlierCertificateError(WrongCertificateError):
    """The token names a certificate that the same caller had before.

    Or has on another of its hosts: instances of a service share its name.
    """

    description = "the token is bound to an earlier certificate of this client"


class Certificates:
    """The last few certificates of each caller."""

    def __init__(self) -> None:
        self._known: OrderedDict[object, OrderedDict[str, None]] = OrderedDict()
        self._last: Peer | None = None

    def note(self, peer: Peer) -> None:
        """Remember the certificate that a caller has come with."""
        if peer is self._last:  # as with most requests of a connection
            return
        self._last = peer
        own = self._known.setdefault(peer.spiffe_id, OrderedDict())
        own[peer.thumbprint] = None
        own.move_to_end(peer.thumbprint)
        self._known.move_to_end(peer.spiffe_id)
        if len(own) > _CERTIFICATES:
            own.popitem(last=False)
        if len(self._known) > _CALLERS:
            self._known.popitem(last=False)

    def check(self, peer: Peer, refusal: WrongCertificateError) -> None:
        """Return if what the refused token names was never a certificate of `peer`.

        Raises:
            EarlierCertificateError: it was.
        """
        if refusal.named in self._known.get(peer.spiffe_id, ()):
            raise EarlierCertificateError(str(refusal), refusal.named) from refusal
