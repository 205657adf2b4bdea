"""The clients of today's configuration, and what TLS needs to let them in.

One object for the endpoints, which ask it for clients, keys and trust bundles, and for
the listener, which asks it for `Anchors` (`wire.tls`): the roots of further trust
domains, and the self-signed certificates that are registered (RFC 8705, section 6.1).

A certificate that a client has only just begun to publish is unknown in its first
handshake. Python's TLS cannot wait for an answer from elsewhere in the middle of one,
so that handshake is refused; but the keys of such clients are then asked for again, and
the next connection gets in. Clients that publish a certificate ten minutes before they
use it never see this.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding

from pki.clock import utc_now
from services.config import TokenServiceConfig
from services.registration.methods import KeySource, SelfSigned
from services.token.client_keys import ClientKeys, Fetch, fetched
from services.token.clients import Clients
from services.token.issuers import Issuers
from services.watched import Watched
from services.wire.bundles import ForeignBundle, fetched_bundles, paths_of
from services.wire.generation import LiveIdentity


class Registry:
    """Who is registered now; it follows the configuration."""

    def __init__(
        self,
        config: Watched[TokenServiceConfig],
        identity: LiveIdentity,
        *,
        clock: Callable[[], datetime] = utc_now,
        fetch: Fetch = fetched,
    ) -> None:
        """Read the registrations of today.

        Raises:
            BundleError: the trust bundle of `identity` cannot be read.
        """
        self._config = config
        self._identity = identity
        self._clock = clock
        self._fetch = fetch
        self._keys: dict[str, tuple[KeySource, ClientKeys]] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._seen = config.current()
        self._issuers = Issuers(identity, _bundles(self._seen))
        self._read(self._seen)

    @property
    def clients(self) -> Clients:
        """All registered clients."""
        self._follow()
        return self._clients

    @property
    def issuers(self) -> Issuers:
        """The trust bundles."""
        self._follow()
        return self._issuers

    def keys_of(self, client_id: str) -> ClientKeys:
        """Return the keys of a client whose method has some."""
        return self._keys[client_id][1]

    def current(self) -> bytes:
        """Return what TLS is to trust beside our own bundle; see `wire.tls`."""
        self._follow()
        certificates = dict.fromkeys(
            key.certificate.public_bytes(Encoding.DER)
            for keys in self._self_signed()
            for key in keys.last_known
            if key.certificate is not None
        )
        return self._issuers.roots() + b"".join(certificates)

    def missed(self) -> None:
        """Ask for the published certificates anew: a self-signed one was refused."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a blocking socket: nobody is there to ask
            return
        for keys in self._self_signed():
            task = loop.create_task(keys.refresh())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def prepare(self) -> None:
        """Ask for the published certificates, so that their owners get in at once."""
        await asyncio.gather(*(keys.refresh() for keys in self._self_signed()))

    def _self_signed(self) -> list[ClientKeys]:
        return [
            keys
            for source, keys in self._keys.values()
            if isinstance(source, SelfSigned)
        ]

    def _follow(self) -> None:
        config = self._config.current()
        if config is not self._seen:
            self._read(config)

    def _read(self, config: TokenServiceConfig) -> None:
        if _others(config) != _others(self._seen):
            self._issuers = Issuers(self._identity, _bundles(config))
        self._clients = Clients(config.clients)
        known, self._keys = self._keys, {}
        for client_id, client in config.clients.items():
            _, method = client.method
            if not isinstance(method, KeySource):
                continue
            # A changed document is no reason to ask all clients for their keys again.
            source, keys = known.get(client_id, (None, None))
            if keys is None or source != method:
                keys = ClientKeys(method, self._fetch, self._clock)
            self._keys[client_id] = method, keys
        self._seen = config


def _others(config: TokenServiceConfig) -> tuple[object, object]:
    return config.trust_bundles, config.federation


def _bundles(config: TokenServiceConfig) -> dict[str, ForeignBundle]:
    """Return the bundles of other trust domains, federated or not."""
    fetched = fetched_bundles(config)
    return {
        domain: ForeignBundle(domain, path)
        for domain, path in config.trust_bundles.items()
    } | {
        domain: ForeignBundle(domain, *paths_of(domain, said, fetched))
        for domain, said in config.federation.items()
    }
