"""Trusted hops: the proxies in front of this process that may name a caller.

`wire.forwarded` asks here which hop a request came from. A hop is recognised by the
SPIFFE ID of the certificate on its own connection, by a secret it sends, or by both;
never by its address, which says nothing about who uses it (RFC 9440, section 4).

A secret alone is for proxies that cannot present a certificate: it counts only on a
connection without one. Whoever has a certificate is known by that, and a stolen secret
does not make him a hop.
"""

import hmac
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pki.identity import SpiffeId
from services.errors import ServiceError
from services.watched import Watched, file_stamp
from services.wire.forwarding_errors import (
    DuplicateFieldError,
    NoHopError,
    WrongSecretError,
)

Form = Literal["client-cert", "xfcc"]
# Whose certificate a token that comes over the hop is bound to: a proxy passes on the
# caller's token, a gateway brings one of its own (`wire.original`).
Binding = Literal["caller", "hop"]

SECRET_FIELD = b"certbound-hop-secret"
# 43 characters of base64url are 256 bits; the rest of the alphabet is token68's.
_SECRET = re.compile(rb"[A-Za-z0-9._~+/=-]{43,256}")
_PERMITTED_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class HopError(ServiceError):
    """A trusted hop cannot be set up."""

    code = "invalid_hop"


class NamelessHopError(HopError):
    """A hop with neither identity nor secret could be anybody."""


class ExposedSecretError(HopError):
    """Somebody beside the owner may read or change a hop's secret."""


class UnreadableSecretError(HopError):
    """A hop's secret is missing, too short or not to be sent in a field."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One proxy, how it forwards and how it is recognised."""

    form: Form
    spiffe_id: SpiffeId | None
    secret: Callable[[], bytes] | None
    binding: Binding = "caller"

    def __post_init__(self) -> None:
        if self.spiffe_id is None and self.secret is None:
            raise NamelessHopError("a hop needs a SPIFFE ID, a secret or both")
        if self.spiffe_id is None and self.binding == "hop":
            raise NamelessHopError("a hop without a certificate can bind no token")

    @classmethod
    def load(
        cls,
        form: Form,
        *,
        spiffe_id: SpiffeId | None,
        secret: Path | None,
        binding: Binding = "caller",
    ) -> "Hop":
        """Return a hop whose secret is read from a file, and again if it changes.

        Raises:
            HopError: the secret cannot be used, or there is nothing to recognise.
        """
        if secret is None:
            return cls(form, spiffe_id, None, binding)
        watched = Watched(
            lambda: read_secret(secret), file_stamp(secret), name=f"secret {secret}"
        )
        return cls(form, spiffe_id, watched.current, binding)

    @property
    def is_nameless(self) -> bool:
        """Whether it is recognised without a certificate."""
        return self.spiffe_id is None


def hop_by_name(
    hops: Iterable[Hop], direct: SpiffeId, presented: Sequence[bytes]
) -> Hop | None:
    """Return the hop that a connection with the certificate of `direct` comes from.

    Args:
        hops: the trusted ones.
        direct: the verified name of the connection's own peer.
        presented: the values of the secret's field in the request.

    Raises:
        WrongSecretError: it is a hop that owes a secret, and sent another or none.
        DuplicateFieldError: it sent two.
    """
    hop = next((hop for hop in hops if hop.spiffe_id == direct), None)
    if hop is not None and hop.secret is not None:
        shown = _only(presented)
        if shown is None or not hmac.compare_digest(hop.secret(), shown):
            raise WrongSecretError(f"{direct} did not show its secret")
    return hop


def hop_by_secret(hops: Iterable[Hop], presented: Sequence[bytes]) -> Hop:
    """Return the hop that a connection without a certificate comes from.

    Raises:
        NoHopError: no hop is recognised by the secret alone that was sent, if any.
        DuplicateFieldError: two were sent.
    """
    shown = _only(presented)
    found = None
    if shown is not None:
        for hop in hops:
            # All are compared: which one it was must not show in the time it takes.
            if hop.is_nameless and hop.secret is not None:
                found = hop if hmac.compare_digest(hop.secret(), shown) else found
    if found is None:
        raise NoHopError("neither a client certificate nor the secret of a hop")
    return found


def read_secret(path: Path) -> bytes:
    """Return the secret in the file at `path`, without the line's end.

    Raises:
        ExposedSecretError: its mode grants anything to group or others.
        UnreadableSecretError: it cannot be read, or is no secret.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        secret = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise UnreadableSecretError(f"{path}: {error.strerror}") from error
    if mode & _PERMITTED_TO_OTHERS:
        raise ExposedSecretError(f"{path}: mode {mode:04o}, 0600 is needed")
    if not _SECRET.fullmatch(secret):
        raise UnreadableSecretError(f"{path}: 43 to 256 letters and digits are needed")
    return secret


def _only(presented: Sequence[bytes]) -> bytes | None:
    if len(presented) > 1:
        raise DuplicateFieldError("two secrets")
    return presented[0] if presented else None
