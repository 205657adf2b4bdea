"""Tests of `services.wire.web`: a short document, from where it may come from."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from services.wire import web
from services.wire.web import (
    LONGEST,
    ForbiddenAddressError,
    UnreachableError,
    UnusableAnswerError,
    WebError,
    check_address,
    fetch,
)
from tests.services.mesh import Mesh, serve

LOOPBACK = ("127.0.0.0/8", "::1/128")


class Page:
    """An application with one answer."""

    def __init__(self, body: bytes = b"{}", status: int = 200, **headers: str) -> None:
        self.body, self.status = body, status
        self.headers = headers
        self.seen: list[dict[bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        if scope["type"] != "http":
            return
        self.seen.append({b"path": scope["raw_path"], **dict(scope["headers"])})
        headers = [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in self.headers.items()
        ]
        start = {"type": "http.response.start", "status": self.status}
        await send({**start, "headers": headers})
        for at in range(0, len(self.body), 8192):
            part = self.body[at : at + 8192]
            more = {"type": "http.response.body", "body": part, "more_body": True}
            await send(more)
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def roots(mesh: Mesh, tmp_path: Path) -> Path:
    """Return a file with the roots of the mesh."""
    path = tmp_path / "roots.pem"
    path.write_bytes(mesh.bundle_pem)
    return path


@contextmanager
def publishing(mesh: Mesh, page: Any, **faults: Any) -> Iterator[str]:
    """Serve `page` to everybody, without asking for a certificate."""
    host = mesh.instance("client", **faults)
    with serve(page, host, demand_certificate=False) as running:
        yield running.url


def got(url: str, roots: Path | None, *networks: str) -> bytes:
    """Return the document at `url`; the loopback is allowed unless others are named."""
    return asyncio.run(fetch(url, trust_bundle=roots, networks=networks or LOOPBACK))


def test_a_document_is_fetched(mesh: Mesh, roots: Path) -> None:
    """It is asked for by its name, without credentials and uncompressed."""
    page = Page(b'{"keys":[]}')
    with publishing(mesh, page) as url:
        assert got(f"{url}/jwks", roots) == b'{"keys":[]}'
    (seen,) = page.seen
    assert seen[b"host"] == url.removeprefix("https://").encode()
    assert seen[b"path"] == b"/jwks"
    assert seen[b"accept-encoding"] == b"identity"
    assert seen.keys().isdisjoint({b"authorization", b"cookie"})


def test_a_private_network_is_not_looked_into(mesh: Mesh, roots: Path) -> None:
    """A name that leads to ourselves is not followed unless it was agreed on."""
    page = Page()
    with publishing(mesh, page) as url, pytest.raises(ForbiddenAddressError):
        got(url, roots, "10.0.0.0/8")
    assert page.seen == []


def test_one_bad_address_spoils_the_name(
    mesh: Mesh, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of a public and of a private address is meant to confuse."""
    page = Page()
    with publishing(mesh, page) as url:
        port = int(url.rpartition(":")[2])

        async def both(*_args: Any, **_options: Any) -> list[Any]:
            return [
                (2, 1, 6, "", ("127.0.0.1", port)),
                (2, 1, 6, "", ("10.1.2.3", port)),
            ]

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", both)
        with pytest.raises(ForbiddenAddressError, match=r"10\.1\.2\.3"):
            got(url, roots)
    assert page.seen == []


def test_the_name_is_resolved_once(
    mesh: Mesh, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second answer of the DNS cannot lead elsewhere (rebinding)."""
    asked: list[object] = []
    real = asyncio.BaseEventLoop.getaddrinfo

    async def counted(self: Any, host: Any, *args: Any, **options: Any) -> Any:
        asked.append(host)
        return await real(self, host, *args, **options)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", counted)
    with publishing(mesh, Page()) as url:
        got(url, roots)
    assert asked.count("localhost") == 1


def test_a_silent_address_is_passed_over(
    mesh: Mesh, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several addresses the first that takes a connection answers."""
    with publishing(mesh, Page()) as url:
        port = int(url.rpartition(":")[2])

        async def two(*_args: Any, **_options: Any) -> list[Any]:
            return [
                (2, 1, 6, "", ("127.0.0.9", port)),
                (2, 1, 6, "", ("127.0.0.1", port)),
            ]

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", two)
        assert got(url, roots) == b"{}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(mesh: Mesh, roots: Path, status: int) -> None:
    """It could lead from a good place to any other."""
    page = Page(b"", status, location="/elsewhere")
    with publishing(mesh, page) as url, pytest.raises(UnusableAnswerError):
        got(url, roots)
    assert len(page.seen) == 1


@pytest.mark.parametrize("status", [201, 204, 206, 400, 404, 500])
def test_only_success_counts(mesh: Mesh, roots: Path, status: int) -> None:
    """An error page is no document."""
    body = b"" if status == 204 else b"{}"
    with (
        publishing(mesh, Page(body, status)) as url,
        pytest.raises(UnusableAnswerError, match=str(status)),
    ):
        got(url, roots)


def test_a_compressed_answer_is_refused(mesh: Mesh, roots: Path) -> None:
    """Nobody asked for one, and a few bytes could become very many."""
    page = Page(b"x", content_encoding="gzip")
    with (
        publishing(mesh, page) as url,
        pytest.raises(UnusableAnswerError, match="compressed"),
    ):
        got(url, roots)


def test_a_document_of_the_greatest_size_is_taken(mesh: Mesh, roots: Path) -> None:
    """The limit itself is allowed."""
    with publishing(mesh, Page(b"x" * LONGEST)) as url:
        assert len(got(url, roots)) == LONGEST


def test_a_longer_document_is_refused(mesh: Mesh, roots: Path) -> None:
    """The reading ends where it has become too long."""
    with (
        publishing(mesh, Page(b"x" * (LONGEST + 1))) as url,
        pytest.raises(UnusableAnswerError, match="more than"),
    ):
        got(url, roots)


def test_a_slow_server_is_given_up(
    mesh: Mesh, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole has a few seconds, however much comes in each of them."""
    monkeypatch.setattr(web, "PATIENCE", 0.2)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(1)

    with (
        publishing(mesh, slow) as url,
        pytest.raises(UnreachableError, match="no answer in"),
    ):
        got(url, roots)


def test_a_server_of_another_ca_is_refused(
    mesh: Mesh, foreign_mesh: Mesh, roots: Path
) -> None:
    """The roots are those that were agreed on."""
    page = Page()
    with publishing(foreign_mesh, page) as url, pytest.raises(UnreachableError):
        got(url, roots)
    assert page.seen == []


def test_this_machines_roots_do_not_know_ours(mesh: Mesh) -> None:
    """Without a bundle the server needs a certificate of a public CA."""
    with publishing(mesh, Page()) as url, pytest.raises(UnreachableError):
        got(url, None)


def test_a_server_of_another_name_is_refused(mesh: Mesh, roots: Path) -> None:
    """It is the name of the URI that counts, and not the address."""
    names = ["client.shop.internal"]
    with (
        publishing(mesh, Page(), dns_names=names) as url,
        pytest.raises(UnreachableError),
    ):
        got(url, roots)


def test_nobody_there_is_an_outage(mesh: Mesh, roots: Path) -> None:
    """A server that is down is told like any other."""
    with publishing(mesh, Page()) as url:
        pass
    with pytest.raises(UnreachableError):
        got(url, roots)
    with pytest.raises(WebError):
        got("https://nowhere.invalid/", roots)


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.2.1"),  # noqa: S104 - refused
        *("::", "::1", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"),
        *("64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:0:0::80ff:fffe"),
    ],
)
def test_what_is_not_public_is_refused(text: str) -> None:
    """Neither plainly nor inside an address of the other version."""
    with pytest.raises(ForbiddenAddressError):
        check_address(ip_address(text), [])


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700::1", "64:ff9b::808:808"])
def test_what_is_public_is_taken(text: str) -> None:
    """The Internet is where clients are."""
    check_address(ip_address(text), [])


@pytest.mark.parametrize("text", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"])
def test_what_was_named_is_taken(text: str) -> None:
    """A network that the registration names is agreed on."""
    check_address(ip_address(text), [ip_network("10.0.0.0/8"), ip_network("fd00::/8")])
