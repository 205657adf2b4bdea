"""Nonces for DPoP proofs that any replica can check (RFC 9449, sections 8 and 9).

A nonce is a keyed hash of the present time step. Nothing is stored: whoever shares the
secret knows which nonces are good. A server that asks for one bounds how long before
its use a proof can have been made, by somebody who had the key only for a moment
(section 11.2). It does not make a proof usable once: that is for the replay memory.

The secret belongs to the replicas of one service. The key is derived from it for one
purpose, so the nonces of a token endpoint and of a resource are not interchangeable
(section 8), even in a process that answers for both.
"""

from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from hmac import compare_digest, digest
from typing import Protocol

from services.proof.dpop_errors import StaleNonceError

# As long as a proof's own time: one made ahead serves for two of these at most, and an
# honest client, which takes the next nonce from any answer, rarely has to try twice.
STEP = timedelta(seconds=60)
_LEAST_SECRET = 32  # octets: the key of HMAC-SHA-256 (RFC 2104, section 3)
_KEPT = 4  # steps: each request asks for the nonces of the same two
_LENGTH = 16  # octets: 128 bits cannot be guessed


class NonceVerifier(Protocol):
    """What a server that wants nonces gives to the check of a proof."""

    def check(self, nonce: str, now: datetime) -> None:
        """Return if `nonce` is good now.

        Raises:
            NonceRequiredError: it is not.
        """


class NonceIssuer:
    """The nonces of one purpose of one service.

    Args:
        secret: at least 32 random octets, the same on each replica.
        purpose: what the nonces are for, such as `token endpoint` or `resource`.
        step: how long a nonce is the newest; it is good for one more step.
    """

    def __init__(self, secret: bytes, purpose: str, *, step: timedelta = STEP) -> None:
        if len(secret) < _LEAST_SECRET:
            raise ValueError(f"a nonce secret has {_LEAST_SECRET} octets or more")
        if not purpose:
            raise ValueError("a nonce is for a purpose")
        if step < timedelta(seconds=1):
            raise ValueError("a nonce is good for a second or more")
        self._key = digest(
            secret, b"certbound dpop nonce\0" + purpose.encode(), "sha256"
        )
        self._step = step
        self._made: dict[int, str] = {}  # by the numbers of their steps

    def issue(self, now: datetime) -> str:
        """Return the nonce of this moment: 22 characters, all of them NQCHAR (8.1)."""
        return self._nonce(self._number(now))

    def check(self, nonce: str, now: datetime) -> None:
        """Return if `nonce` is that of the present time step or of the one before.

        Raises:
            StaleNonceError: it is older, or none of ours.
        """
        presented = nonce.encode("utf-8", "surrogatepass")  # what JSON can hold
        number = self._number(now)
        # In constant time: a good nonce found letter by letter would serve everybody.
        good = [
            compare_digest(presented, self._nonce(step).encode())
            for step in (number, number - 1)
        ]
        if not any(good):
            raise StaleNonceError("the nonce is none of the last two time steps")

    def _number(self, now: datetime) -> int:
        return int(now.timestamp() // self._step.total_seconds())

    def _nonce(self, number: int) -> str:
        made = self._made.get(number)
        if made is None:
            if len(self._made) >= _KEPT:
                self._made.clear()
            made = self._made[number] = self._make(number)
        return made

    def _make(self, number: int) -> str:
        tag = digest(self._key, number.to_bytes(8, signed=True), "sha256")
        return urlsafe_b64encode(tag[:_LENGTH]).rstrip(b"=").decode()
