"""Whether a certificate is revoked, as this process knows: never older than a bound.

    status = CertificateStatus(lambda: config.current().revocation)
    await status.check(chain)

Each certificate of a verified chain but its root is looked up in the list of its own
signer: the leaf in the issuing CA's, issuing CAs and cross certificates in the root's
(RFC 5280, section 6.3). The list is the shard that the certificate points to, of what
is published under the configured address, wherever the pointer says that this is; and
for a certificate without a pointer its authority's full list. In these two `pki` tells
of a revocation at once, and in no other (`pki.crl_series`).

`wire.checked` asks for each request that comes in, `wire.looked_at` for each that goes
out, so that a connection that is open ends with its certificate. Nobody is believed
whose status cannot be learnt: that is a `StatusUnknownError`, and no revocation.

A list that was asked about lately is fetched each second while `follow` runs; the
others are fetched when they are asked about.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise

import httpx
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.clock import utc_now
from pki.errors import PkiError
from pki.pointers import PointerError, authority_of, pointers_of
from pki.revocation_list import RevocationList, RevokedError
from services import metrics
from services.revocation_config import POLL, RevocationConfig
from services.wire.lists import Answer, FollowedList, ListUnknownError, fetch
from services.wire.peer import PeerError, RevokedCertificateError, StatusUnknownError

_REMEMBERED = 1024  # chains
_MOST_LISTS = 256
_MOST_BYTES = 64 * 1024 * 1024  # of lists in DER; read, they take half of that
_IDLE = timedelta(seconds=60)  # after which a list is fetched no more

_SHARD = re.compile(r"[0-9]{1,4}\.crl")

_Key = tuple[str, bytes]


class CertificateStatus:
    """What one process knows of revocations; it lives in one event loop."""

    def __init__(
        self,
        config: Callable[[], RevocationConfig | None],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Follow the lists that `config` says where to find; None: look at nothing."""
        self._config = config
        self._clock = clock
        self._lists: OrderedDict[_Key, FollowedList] = OrderedDict()
        self._links = lru_cache(maxsize=_REMEMBERED)(_links)
        # No proxy and no environment could lead elsewhere; redirects are not followed.
        self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False)

    async def check(self, chain: Sequence[str]) -> None:
        """Return if no certificate of a verified `chain` is revoked.

        Args:
            chain: in PEM, the leaf first, the root last.

        Raises:
            RevokedCertificateError: one is.
            StatusUnknownError: that cannot be said.
        """
        config = self._config()
        if config is None:
            return
        try:
            links = self._links(tuple(chain), config.url)
            lists = [self._list(link) for link in links]
            for followed in lists:  # all at once
                followed.want()
            bound = timedelta(seconds=config.bound)
            for link, followed in zip(links, lists, strict=True):
                link.check(await followed.believed(bound))
        except RevokedError as error:
            raise RevokedCertificateError(str(error)) from error
        except (ListUnknownError, PkiError, ValueError, UnsupportedAlgorithm) as error:
            raise StatusUnknownError(str(error)) from error

    async def verdict(self, chain: Sequence[str], *, of: str) -> PeerError | None:
        """Return why a chain is not to be relied on, and count it, or None.

        `of` is a word for the metric: caller or callee.
        """
        try:
            await self.check(chain)
        except PeerError as error:
            metrics.distrusted(of, error)
            return error
        return None

    @property
    def is_asked_for(self) -> bool:
        """Whether there is anything to look at."""
        return self._config() is not None

    @property
    def age(self) -> timedelta | None:
        """How old the oldest list is that is in use; None for no list at all."""
        ages = [followed.age(self._clock()) for followed in self._lists.values()]
        return max((age for age in ages if age is not None), default=None)

    async def follow(self) -> None:
        """Fetch each second what was used lately, until cancelled."""
        while True:
            await asyncio.sleep(POLL)
            self.refresh()

    def refresh(self) -> None:
        """Fetch what was used lately, and forget the rest."""
        now = self._clock()
        self._make_room()
        for key, followed in list(self._lists.items()):
            if now - followed.used_at > _IDLE:
                self._drop(key)
            else:
                followed.refresh()

    async def aclose(self) -> None:
        """Ask no more, and close every connection."""
        for key in list(self._lists):
            self._drop(key)
        await self._client.aclose()

    def _list(self, link: "_Link") -> FollowedList:
        followed = self._lists.get(link.key)
        if followed is None:
            followed = FollowedList(
                link.url, link.issuer, ask=self._ask, clock=self._clock
            )
            self._lists[link.key] = followed
            self._make_room()
        self._lists.move_to_end(link.key)
        return followed

    async def _ask(self, url: str, tag: str) -> Answer:
        config = self._config()
        patience = config.bound / 2 if config else POLL
        try:
            async with asyncio.timeout(patience):
                return await fetch(self._client, url, tag)
        except TimeoutError:
            raise ListUnknownError(f"{url}: no list in {patience:g} s") from None

    def _make_room(self) -> None:
        """Drop what was used longest ago, where there is too much."""
        while len(self._lists) > 1 and (
            len(self._lists) > _MOST_LISTS
            or sum(followed.size for followed in self._lists.values()) > _MOST_BYTES
        ):
            self._drop(next(iter(self._lists)))

    def _drop(self, key: _Key) -> None:
        self._lists.pop(key).give_up()


@dataclass(slots=True, eq=False)
class _Link:
    """A certificate, its signer's, and where the list is that would name it."""

    certificate: x509.Certificate
    issuer: x509.Certificate
    url: str
    _good_by: RevocationList | None = None

    @property
    def key(self) -> _Key:
        """What tells lists apart: their place, and the key that signs them."""
        public = self.issuer.public_key()
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return self.url, spki

    def check(self, found: RevocationList) -> None:
        """Return if the list says that the certificate is not revoked.

        Raises:
            RevocationListError: it is, or the list is of others.
        """
        if self._good_by is not found:  # each list is asked once
            found.check_certificate(self.certificate)
            self._good_by = found


def _links(chain: tuple[str, ...], base: str) -> tuple[_Link, ...]:
    """Return the certificates of a chain with their signers.

    Raises:
        ValueError: something in it is no certificate, or it has no signer.
    """
    path = [x509.load_pem_x509_certificate(pem.encode()) for pem in chain]
    if len(path) < 2:  # noqa: PLR2004 - a leaf and its signer
        raise ValueError("the chain of the certificate is not known")
    return tuple(
        _Link(certificate, issuer, _place(certificate, issuer, base))
        for certificate, issuer in pairwise(path)
    )


def _place(certificate: x509.Certificate, issuer: x509.Certificate, base: str) -> str:
    own = f"/crl/{authority_of(issuer)}/"
    try:
        pointers = pointers_of(certificate)
    except PointerError:
        pointers = None
    shard = pointers.crl.rpartition(own)[2] if pointers and own in pointers.crl else ""
    return f"{base}{own}{shard if _SHARD.fullmatch(shard) else 'full.crl'}"
