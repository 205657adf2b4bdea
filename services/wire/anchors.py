"""What one server trusts beside its bundle (`wire.tls`): the face of who knows it."""

from typing import Protocol


class Anchors(Protocol):
    """Certificates that are let in, or whose issues are, beside those of the bundle."""

    def current(self) -> bytes:
        """Return them in DER, one after the other; asked for at each handshake."""

    def missed(self) -> None:
        """Take notice that a self-signed certificate which is none of them came."""


class _NoAnchors:
    """What every server has but one."""

    def current(self) -> bytes:
        return b""

    def missed(self) -> None:
        """Do nothing: it is as it should be."""


NO_ANCHORS: Anchors = _NoAnchors()
