"""Tests of `services.renewal.attempt`: over real sockets, from the key to the port."""

from base64 import b64encode
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from services.config import RenewalConfig
from services.enrolment.messages import certificates
from services.renewal.attempt import Place, renew
from services.renewal.errors import (
    AuthorityAwayError,
    AuthorityBusyError,
    NotServedError,
    OvertakenError,
    RefusedError,
    RenewalError,
    StorageError,
    UnreadableAnswerError,
    UsedKeyError,
)
from services.renewal.exchange import ask, request_for
from services.renewal.live import presented
from tests.services.authority import Authority, Front, enrolment
from tests.services.logged import lines, listen
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.renewal.conftest import Host


def replaced(place: Place, **changes: object) -> Place:
    """Return a place with another configuration of renewal."""
    known = {
        name: getattr(place.renewal, name)
        for name in ("url", "spiffe_id", "patience", "first_pause", "longest_pause")
    }
    renewal = RenewalConfig(**{**known, **changes})
    return Place(place.config, renewal, place.clock, place.wait)


def unchanged(host: Host, before: object) -> bool:
    """Return whether the present generation is the one before, and is presented."""
    now = host.instance.generation
    return now == before and _serial(host) == now.serial


def _serial(host: Host) -> int | None:
    return presented(
        host.instance.generation,
        address=host.config.address,
        port=host.config.port,
        patience=5,
    )


def test_a_renewal_ends_at_the_live_port(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """Another key, another serial, the same names, presented by the same process."""
    listen(caplog)
    before = host.instance.generation
    renewed = renew(host.place, before)
    assert renewed == host.instance.generation
    assert renewed.serial != before.serial == _old_serial(caplog)
    assert renewed.certificate.public_key() != before.certificate.public_key()
    assert renewed.bundle == before.bundle
    assert _serial(host) == renewed.serial
    assert host.names() == {"current", "generations"}


def _old_serial(caplog: pytest.LogCaptureFixture) -> int:
    (line,) = [one for one in lines(caplog) if one["event"] == "renewal.done"]
    assert abs(line["clock_offset_s"]) < 5
    return int(line["before"], 16)


def test_the_next_one_renews_the_renewed(host: Host) -> None:
    """Each certificate vouches for the one after it."""
    first = renew(host.place, host.instance.generation)
    second = renew(host.place, first)
    assert len({first.serial, second.serial}) == 2


def test_a_ca_that_is_away_changes_nothing(host: Host) -> None:
    """Key and request wait for the next try."""
    before = host.instance.generation
    place = replaced(host.place, url="https://localhost:1/.well-known/est")
    with pytest.raises(AuthorityAwayError):
        renew(place, before)
    assert unchanged(host, before)
    assert host.names() == {"current", "generations", "renewal"}
    key = host.directory.pending_key()
    renewed = renew(host.place, before)
    assert renewed.certificate.public_key() == key.public_key()


def test_an_answer_that_was_never_installed_is_had_again(host: Host) -> None:
    """A process that died in between asks with the key that waits: the same serial."""
    before = host.instance.generation
    request = request_for(host.directory.pending_key(), before.certificate)
    lost = ask(request, before, host.place.renewal).certificate
    assert renew(host.place, before).serial == lost.serial_number


def test_another_service_is_not_the_ca(host: Host) -> None:
    """Whoever answers must be the one that the topology names."""
    before = host.instance.generation
    place = replaced(host.place, spiffe_id="spiffe://shop.internal/service/stock")
    with pytest.raises(AuthorityAwayError, match="expected"):
        renew(place, before)
    assert unchanged(host, before)


def test_a_refusal_says_what_the_ca_said(host: Host, house: Authority) -> None:
    """A certificate that somebody has superseded needs a play."""
    before = host.instance.generation
    house.issue("orders")
    with pytest.raises(RefusedError, match="403: superseded"):
        renew(host.place, before)
    assert unchanged(host, before)


def test_a_busy_ca_says_when(
    house: Authority, host: Host, serve: Serve, tmp_path: Path
) -> None:
    """The next try comes no sooner."""
    home = tmp_path / "busy"
    home.mkdir()
    rate = {"per_second": 0.01, "burst": 1}
    with enrolment(house, serve, home, rate=rate) as front:
        place = replaced(host.place, url=front.url)
        first = renew(place, host.instance.generation)
        with pytest.raises(AuthorityBusyError) as caught:
            renew(place, first)
    assert caught.value.retry_after.total_seconds() >= 1


def test_what_is_not_served_is_taken_back(host: Host) -> None:
    """Another process holds the port: the old generation is in place again."""
    before = host.instance.generation
    place = replaced(host.place, patience=0.6)
    host.identity.current = lambda: before  # type: ignore[method-assign]  # deaf
    with pytest.raises(NotServedError, match=f"presents {before.serial:x}"):
        renew(place, before)
    assert unchanged(host, before)


def test_what_was_taken_back_is_tried_again(host: Host) -> None:
    """With the same key, so that the CA gives the same certificate."""
    before, hears = host.instance.generation, host.identity.current
    host.identity.current = lambda: before  # type: ignore[method-assign]  # deaf
    with pytest.raises(NotServedError) as caught:
        renew(replaced(host.place, patience=0.6), before)
    host.identity.current = hears  # type: ignore[method-assign]
    renewed = renew(host.place, before)
    assert f"{renewed.serial:x}" in str(caught.value)


def test_a_port_where_nobody_listens(host: Host, orders: Instance) -> None:
    """A process that has died presents nothing."""
    before = orders.generation
    config = type(host.config)(
        **{
            name: getattr(host.config, name)
            for name in host.config.__struct_fields__
            if name != "port"
        },
        port=1,
    )
    place = replaced(host.place, patience=0.3)
    place = Place(config, place.renewal, place.clock, place.wait)
    with pytest.raises(NotServedError, match="nobody answers"):
        renew(place, before)
    assert orders.generation == before


def test_a_play_that_was_faster_wins(host: Host, orders: Instance) -> None:
    """What it has installed stays."""
    before = orders.generation
    played = orders.renew()
    with pytest.raises(RenewalError) as caught:
        renew(host.place, before)
    assert isinstance(caught.value, RefusedError | OvertakenError)
    assert orders.generation.directory == played


def test_a_disk_that_takes_nothing(host: Host) -> None:
    """The old generation serves on."""
    before = host.instance.generation
    host.directory.pending.write_text("no directory")
    with pytest.raises(StorageError):
        renew(host.place, before)
    assert unchanged(host, before)
    host.directory.pending.unlink()


@pytest.mark.parametrize("body", [b"", b"%", b64encode(b"no PKCS #7")])
def test_an_answer_that_is_no_certificate(
    host: Host, house: Authority, serve: Serve, body: bytes
) -> None:
    """Whatever is not certs-only PKCS #7 is none."""
    before = host.instance.generation
    with (
        serve(_saying(body), house.instance("enrolment")) as running,
        pytest.raises(UnreadableAnswerError),
    ):
        renew(replaced(host.place, url=f"{running.url}/est"), before)
    assert unchanged(host, before)


def _saying(body: bytes) -> ASGIApp:
    async def answer(_request: Request) -> Response:
        return Response(body)

    paths = ("/est/simplereenroll", "/est/cacerts")
    return Starlette(
        routes=[Route(path, answer, methods=["GET", "POST"]) for path in paths]
    )


def test_more_than_one_certificate_is_refused(
    host: Host, house: Authority, mesh: Mesh, serve: Serve
) -> None:
    """RFC 7030, section 4.2.3: the one that was issued, alone."""
    body = certificates([house.issuing, house.root])
    before = host.instance.generation
    with (
        serve(_saying(body), house.instance("enrolment")) as running,
        pytest.raises(UnreadableAnswerError, match="2 certificates"),
    ):
        renew(replaced(host.place, url=f"{running.url}/est"), before)
    assert unchanged(host, before)


def test_a_play_that_issued_last_and_installed_last(
    host: Host, house: Authority, front: Front
) -> None:
    """The key that waits is of no use any more; the try after the next has another."""
    orders, place = host.instance, host.place
    before = orders.generation
    request = request_for(host.directory.pending_key(), before.certificate)
    ask(request, before, place.renewal)
    orders.turn(orders.write(house.issue("orders")))
    played = orders.generation
    with pytest.raises(UsedKeyError):
        renew(place, played)
    assert orders.generation == played
    assert renew(place, played).serial not in {before.serial, played.serial}
