"""Tests of `services.renewal.task`: what it does at each look, and when it does not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services import metrics
from services.config import ProcessConfig, read_config
from services.renewal.moment import due
from services.renewal.task import Renewal, renewing
from services.watched import Watched
from tests.services.authority import Authority, Front
from tests.services.documents import service_document, write
from tests.services.logged import lines
from tests.services.mesh import Instance, Mesh
from tests.services.renewal.conftest import Host
from tests.services.running import Clock

NOWHERE = "https://localhost:1/.well-known/est"


@dataclass
class Watch:
    """A renewal that a test lets look, at times of its own."""

    renewal: Renewal
    clock: Clock
    instance: Instance

    def look(self, **step: float) -> None:
        """Let time pass, and look."""
        self.clock.move(**step)
        self.renewal.look()


def watched(
    instance: Instance,
    directory: Path,
    *,
    url: str = NOWHERE,
    port: int = 1,
    grace: int = 0,
) -> Watch:
    """Return the renewal of an instance, at the real time."""
    clock = Clock()
    document = service_document(
        identity=str(instance.current),
        spiffe_id=str(instance.spiffe_id),
        port=port,
        renewal={
            "url": url,
            "spiffe_id": "spiffe://shop.internal/enrolment",
            "first_pause": 10,
            "longest_pause": 60,
            "grace": grace,
        },
    )
    path = write(directory, document)
    config: Watched[ProcessConfig] = Watched(
        lambda: read_config(path), lambda: None, name="config"
    )
    identity = instance.live(clock.seconds)
    renewal = Renewal(config, identity, lambda _seconds: False, clock)
    return Watch(renewal, clock, instance)


def failures(cause: str) -> float:
    """Return how many tries have failed for a cause, in this process."""
    return metrics.value("certbound_renewals_total", outcome="failed", reason=cause)


def causes(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and cause of each failure in the log."""
    said = [one for one in lines(caplog) if one["event"] == "renewal.failed"]
    return [(one["level"], one["cause"]) for one in said]


def test_nothing_happens_before_its_moment(mesh: Mesh, tmp_path: Path) -> None:
    """Not a key is made; a second later the CA is asked."""
    orders = mesh.instance("orders")
    watch = watched(orders, tmp_path)
    watch.clock.moment = due(orders.generation.certificate) - timedelta(seconds=1)
    watch.look()
    assert not (orders.home / "renewal").exists()
    watch.look(seconds=1)
    assert (orders.home / "renewal" / "request.pem").exists()


def test_what_is_due_is_renewed_and_counted(
    host: Host, front: Front, tmp_path: Path
) -> None:
    """Once: the next look finds a certificate that is not due."""
    home = tmp_path / "watch"
    home.mkdir()
    watch = watched(host.instance, home, url=front.url, port=host.config.port)
    before = host.instance.generation
    counted = metrics.value("certbound_renewals_total", outcome="answered", reason="")
    watch.look()
    renewed = host.instance.generation
    assert renewed.serial != before.serial
    watch.look(seconds=5)
    assert host.instance.generation == renewed
    now = metrics.value("certbound_renewals_total", outcome="answered", reason="")
    assert now == counted + 1
    assert metrics.value("certbound_certificate_not_after_seconds") == (
        renewed.not_after.timestamp()
    )
    assert metrics.value("certbound_renewal_age_seconds") < 400


def test_failures_are_followed_by_pauses(
    house: Authority,
    orders: Instance,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A CA that is away is a warning, and asked again when the pause is over."""
    watch = watched(orders, tmp_path)
    before = failures("AuthorityAwayError")
    watch.look()
    watch.look(seconds=1)
    assert failures("AuthorityAwayError") == before + 1
    watch.look(seconds=10)
    assert failures("AuthorityAwayError") == before + 2
    watch.look(seconds=9)
    assert failures("AuthorityAwayError") == before + 2
    watch.look(seconds=11)
    assert failures("AuthorityAwayError") == before + 3
    assert causes(caplog) == [("warning", "AuthorityAwayError")] * 3


def test_what_a_play_installs_is_the_present_one(
    house: Authority, orders: Instance, tmp_path: Path
) -> None:
    """Its moment has not come, and no failure of before is remembered."""
    watch = watched(orders, tmp_path)
    watch.look()
    before = failures("AuthorityAwayError")
    played = orders.renew()
    watch.look(minutes=1)
    assert failures("AuthorityAwayError") == before
    assert orders.generation.directory == played


def test_a_link_that_was_turned_a_moment_ago_is_waited_for(
    house: Authority, orders: Instance, tmp_path: Path
) -> None:
    """What is not taken up yet is not renewed by the one before it."""
    watch = watched(orders, tmp_path)
    before = failures("AuthorityAwayError")
    orders.renew()
    watch.look(seconds=0.5)
    assert failures("AuthorityAwayError") == before


def test_an_end_that_has_passed_needs_a_play(
    house: Authority,
    orders: Instance,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is an error that says so, time after time, until one has come."""
    watch = watched(orders, tmp_path)
    watch.clock.moment = orders.generation.not_after
    watch.look(seconds=1)
    watch.look(seconds=1)
    watch.look(seconds=60)
    assert causes(caplog) == [("error", "ExpiredError")] * 2
    assert "run the roll-out" in lines(caplog)[0]["reason"]
    assert not (orders.home / "renewal").exists()


def test_a_refusal_is_an_alarm(
    host: Host,
    house: Authority,
    front: Front,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Asking again mends nothing."""
    house.issue("orders")
    home = tmp_path / "watch"
    home.mkdir()
    watched(host.instance, home, url=front.url).look()
    assert causes(caplog)[-1] == ("error", "RefusedError")


def test_what_nobody_foresaw_ends_no_renewal(
    house: Authority,
    orders: Instance,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, and there is a pause before the next look does anything."""
    watch = watched(orders, tmp_path)
    told = iter([0, 0, 60])

    def wait(_seconds: float) -> bool:
        passed = next(told, None)
        watch.clock.move(seconds=passed or 0)
        return passed is None

    watch.renewal.wait = wait
    watch.renewal.config = None  # type: ignore[assignment]  # as nobody foresaw
    watch.renewal.run()
    assert [one["event"] for one in lines(caplog)].count("renewal.broken") == 2


@contextmanager
def running(instance: Instance, directory: Path, **changes: Any) -> Iterator[int]:
    """Run the thread of a process, and return how many there are more."""
    path = write(directory, service_document(**changes))
    config: Watched[ProcessConfig] = Watched(
        lambda: read_config(path), lambda: None, name="config"
    )
    before = threading.active_count()
    with renewing(config, instance.live()):
        yield threading.active_count() - before
    assert threading.active_count() == before


def test_the_thread_ends_with_its_process(mesh: Mesh, tmp_path: Path) -> None:
    """At once, whatever it waits for."""
    renewal = {"url": NOWHERE, "spiffe_id": "spiffe://shop.internal/enrolment"}
    with running(mesh.instance("orders"), tmp_path, renewal=renewal) as more:
        assert more == 1


def test_without_its_member_there_is_no_renewal(mesh: Mesh, tmp_path: Path) -> None:
    """All is as it was before there was one."""
    with running(mesh.instance("orders"), tmp_path) as more:
        assert more == 0
