"""Fetch a small document from somebody else's server, and from nowhere it should not.

`token.client_keys` fetches with this what a client publishes at its `jwks_uri` (RFC
8705, section 2.2; FAPI 2.0, section 5.4.2). Such a URI is a lever into our network
(SSRF) for whoever can choose it, or the DNS answers for its host. So:

1. `https` alone; the server proves its name by the roots that were agreed on.
2. The name is resolved once. If any address of it is not public, and not in a network
   that was named for this URI, nothing is fetched. The connection then goes to one of
   the addresses that were looked at, and to no other that a second answer may hold.
3. One answer of status 200 counts: no redirect is followed.
4. It is short, uncompressed, and here within a few seconds.

No certificate of ours is shown, no proxy used and no environment read.
"""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path

import httpx

from services.errors import ServiceError

LONGEST = 64 * 1024  # bytes; a JWKS of twenty certified RSA keys has 50 kB
PATIENCE = 5.0  # seconds for the whole
_MOST_ADDRESSES = 4  # to be tried
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: it leads into the IPv4 network

_UNICAST = IPv6Network("2000::/3")  # all that is public; Python counts some relics, too

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


class WebError(ServiceError):
    """A document cannot be had."""

    code = "temporarily_unavailable"


class ForbiddenAddressError(WebError):
    """The server's name leads into a network where nobody asked us to look."""


class UnreachableError(WebError):
    """The server does not answer, or not as who it should be, or not in time."""


class UnusableAnswerError(WebError):
    """The server answers with something else than a short document."""


async def fetch(
    url: str, *, trust_bundle: Path | None = None, networks: Iterable[str] = ()
) -> bytes:
    """Return the document at `url`.

    Args:
        url: with the scheme `https`.
        trust_bundle: a PEM file of the server's roots; None: those of this machine.
        networks: where the server may be, beside the public Internet.

    Raises:
        WebError: the subclass says why it cannot be had.
    """
    target = httpx.URL(url)
    try:
        async with asyncio.timeout(PATIENCE):
            addresses = await _addresses(target, [ip_network(net) for net in networks])
            return await _fetched(target, addresses, _context(trust_bundle))
    except TimeoutError:
        raise UnreachableError(f"{target.host}: no answer in {PATIENCE} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise UnreachableError(f"{target.host}: {error!r}") from None


def check_address(address: _Address, networks: Sequence[_Network]) -> None:
    """Return if `address` is one to connect to.

    Raises:
        ForbiddenAddressError: it is not public, nor in one of the `networks`; or it
            stands for such an address of the other version.
    """
    inner = _embedded(address)
    if inner is not None:
        check_address(inner, networks)
        return
    named = any(address in network for network in networks)
    public = address.is_global and not address.is_multicast
    if isinstance(address, IPv6Address):
        public = public and address in _UNICAST
    if not named and not public:
        raise ForbiddenAddressError(f"{address} is no public address")


def _embedded(address: _Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to, if it is made of one."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


async def _addresses(url: httpx.URL, networks: Sequence[_Network]) -> list[_Address]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.host, url.port or 443, proto=6)  # TCP
    # A zone, as in fe80::1%eth0, belongs to addresses that are refused anyway.
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    addresses = [ip_address(text) for text in texts]
    for address in addresses:
        check_address(address, networks)
    return addresses[:_MOST_ADDRESSES]


async def _fetched(
    url: httpx.URL, addresses: Sequence[_Address], context: ssl.SSLContext
) -> bytes:
    """Return the answer of the first address that takes a connection."""
    transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False)
    async with httpx.AsyncClient(
        transport=transport, trust_env=False, follow_redirects=False, timeout=PATIENCE
    ) as client:
        *others, last = addresses
        for address in others:
            try:
                return await _answer(client, url, address)
            except httpx.ConnectError:
                continue
        return await _answer(client, url, last)


async def _answer(
    client: httpx.AsyncClient, url: httpx.URL, address: _Address
) -> bytes:
    request = client.build_request(
        "GET",
        url.copy_with(host=str(address)),
        headers={
            "Host": url.netloc.decode("ascii"),
            "Accept": "application/jwk-set+json, application/json",
            "Accept-Encoding": "identity",
        },
        extensions={"sni_hostname": url.raw_host.decode("ascii")},
    )
    response = await client.send(request, stream=True)
    try:
        if response.status_code != httpx.codes.OK:
            raise UnusableAnswerError(f"{url.host}: status {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise UnusableAnswerError(f"{url.host}: a compressed answer")
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > LONGEST:
                raise UnusableAnswerError(f"{url.host}: more than {LONGEST} bytes")
        return bytes(body)
    finally:
        await response.aclose()


def _context(trust_bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trust_bundle)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
