"""The caller behind a proxy: a forwarded certificate, checked by our own trust.

A proxy says what it saw; whether that is good is decided here, by the trust bundle of
this process (`pki.trust`), so that a proxy with a wider bundle or a slow clock widens
nothing. `wire.forwarded` calls this for each request; a certificate is verified once
for each generation of this process and compared with the clock every time.

Most proxies cannot pass the issuing CA's certificate on, so that of our own generation
is tried as well. It is a link of the path and no anchor: the path must end at a root.

Not proved: that the caller holds the key. The proxy has seen that, in its handshake.
"""

import logging
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from pki.errors import PkiError
from pki.trust import TrustBundle, verify_chain
from services import log
from services.wire.forwarding_errors import UntrustedCallerError
from services.wire.generation import Generation, LiveIdentity

_REMEMBERED = 1024  # callers; about 4 kB each


@dataclass(frozen=True, slots=True)
class Caller:
    """A forwarded certificate that is trusted; only `Callers` makes one."""

    der: bytes
    chain: tuple[str, ...]  # PEM, the caller's own first, a root last
    not_before: datetime
    not_after: datetime  # of the first to end in the chain


class Callers:
    """What is trusted today, and the callers found good by it."""

    def __init__(self, identity: LiveIdentity) -> None:
        """Read today's trust bundle.

        Raises:
            BundleError: it is no trust bundle.
        """
        self._identity = identity
        self._seen = identity.current()
        self._trust = _Trust.of(self._seen)

    def known(self, key: Hashable, *, now: datetime) -> Caller | None:
        """Return the caller that was verified under `key`, if it is still good."""
        caller = self._present().callers.get(key)
        if caller is None or not caller.not_before <= now <= caller.not_after:
            return None
        return caller

    def verify(
        self,
        unverified_chain: tuple[x509.Certificate, ...],
        key: Hashable,
        *,
        now: datetime,
    ) -> Caller:
        """Return whose chain this is, and remember it under `key`.

        Raises:
            UntrustedCallerError: it is not good by our trust bundle at `now`.
        """
        trust = self._present()
        # A certificate twice would use up the length that a chain may have.
        chain = tuple(dict.fromkeys([*unverified_chain, *trust.issuers]))
        try:
            path = verify_chain(chain, trust.bundle, now=now).certificates
        except (PkiError, ValueError, UnsupportedAlgorithm) as error:
            raise UntrustedCallerError(f"the forwarded certificate: {error}") from error
        caller = Caller(
            der=path[0].public_bytes(Encoding.DER),
            chain=tuple(each.public_bytes(Encoding.PEM).decode() for each in path),
            not_before=max(each.not_valid_before_utc for each in path),
            not_after=min(each.not_valid_after_utc for each in path),
        )
        if len(trust.callers) >= _REMEMBERED:
            trust.callers.clear()
        trust.callers[key] = caller
        return caller

    def _present(self) -> "_Trust":
        generation = self._identity.current()
        if generation is not self._seen:
            self._seen = generation
            try:
                self._trust = _Trust.of(generation)
            except (OSError, ValueError, PkiError) as error:
                # As in `wire.tls`: what was good before still serves.
                log.event(
                    "forwarded.generation_refused",
                    level=logging.ERROR,
                    serial=format(generation.serial, "x"),
                    reason=error,
                )
        return self._trust


@dataclass(frozen=True, slots=True)
class _Trust:
    """The trust of one generation; what it found good is good by no other."""

    bundle: TrustBundle
    issuers: tuple[x509.Certificate, ...]
    callers: dict[Hashable, Caller]

    @classmethod
    def of(cls, generation: Generation) -> "_Trust":
        presented = generation.certificate_path.read_bytes()
        _, *issuers = x509.load_pem_x509_certificates(presented)
        bundle = TrustBundle.from_pem(
            generation.spiffe_id.trust_domain, generation.bundle_path.read_bytes()
        )
        return cls(bundle, tuple(issuers), {})
