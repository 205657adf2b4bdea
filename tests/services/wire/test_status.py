"""Whether a certificate is revoked: lists on a real socket, every fault alone."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import pytest

from pki.pointers import Pointers, authority_of
from services.revocation_config import RevocationConfig
from services.wire import lists, status
from services.wire.peer import RevokedCertificateError, StatusUnknownError
from services.wire.status import CertificateStatus
from tests.services.logged import lines, listen
from tests.services.mesh import Instance, Mesh, now
from tests.services.running import Clock
from tests.services.shelf import Shelf, shelf

BOUND = timedelta(seconds=5)


@pytest.fixture(scope="module")
def running(mesh: Mesh) -> Iterator[Shelf]:
    """Return a publisher."""
    with shelf(mesh) as made:
        yield made


@pytest.fixture
def told(running: Shelf) -> Shelf:
    """Return a publisher that names nobody, and has been asked nothing."""
    running.reset()
    running.publish()
    return running


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return who is looked up."""
    return mesh.instance("orders")


@pytest.fixture
def clock() -> Clock:
    """Return the time of the one who looks."""
    return Clock()


def looking(
    known: CertificateStatus, work: Callable[[CertificateStatus], Awaitable[None]]
) -> None:
    """Do `work` in an event loop, and close the connections."""

    async def closed() -> None:
        try:
            await work(known)
        finally:
            await known.aclose()

    asyncio.run(closed())


def look(told: Shelf, clock: Clock, *instances: Instance) -> None:
    """Look certificates up, one after the other."""

    async def work(known: CertificateStatus) -> None:
        for instance in instances:
            await known.check(instance.generation.path)

    looking(told.status(clock), work)


def test_who_is_in_no_list_is_good(told: Shelf, clock: Clock, orders: Instance) -> None:
    """The leaf is looked up in the issuing CA's list, the CA in the root's."""
    look(told, clock, orders, orders)
    places = [told.place(told.mesh.issuing), told.place(told.mesh.root)]
    assert sorted(told.asked) == sorted((place, 200) for place in places)


def test_a_revoked_certificate_is_refused(
    told: Shelf, clock: Clock, orders: Instance, mesh: Mesh
) -> None:
    """Its serial is in the list of its signer; that of another service is not."""
    told.publish(orders)
    with pytest.raises(RevokedCertificateError, match=f"{orders.generation.serial:x}"):
        look(told, clock, orders)
    look(told, clock, mesh.instance("stock"))


@pytest.mark.parametrize("told_at", ["http://ca.old.internal:8451/pki", "{url}"])
def test_a_pointer_leads_to_its_shard_wherever_it_says_that_is(
    told: Shelf, clock: Clock, mesh: Mesh, told_at: str
) -> None:
    """The address has moved: the full list, which may wait, is not asked for."""
    own = f"{told_at.format(url=told.url)}/crl/{authority_of(mesh.issuing)}/3.crl"
    pointers = Pointers(crl=own, ocsp="http://x/ocsp", ca_issuers="http://x/ca")
    stock = mesh.instance("stock", pointers=pointers)
    told.put(
        mesh.issuing, mesh._issuing_key, [stock.generation.serial], shard=pointers.crl
    )
    with pytest.raises(RevokedCertificateError):
        look(told, clock, stock)
    assert told.place(mesh.issuing) not in {place for place, _ in told.asked}


def test_a_pointer_that_is_no_shard_leads_to_the_full_list(
    told: Shelf, clock: Clock, mesh: Mesh
) -> None:
    """The CA makes that one anew for whoever points to no shard of its own."""
    odd = Pointers(crl="http://x/3.crl", ocsp="http://x/ocsp", ca_issuers="http://x/ca")
    stock = mesh.instance("stock", pointers=odd)
    told.publish(stock)
    with pytest.raises(RevokedCertificateError):
        look(told, clock, stock)


def test_with_its_issuing_ca_a_certificate_is_revoked(
    told: Shelf, clock: Clock, orders: Instance
) -> None:
    """The root's list counts for all that the CA has signed."""
    mesh = told.mesh
    told.put(mesh.root, mesh._root_key, [mesh.issuing.serial_number])
    with pytest.raises(RevokedCertificateError):
        look(told, clock, orders)


def test_without_a_configuration_nobody_is_looked_up(
    told: Shelf, clock: Clock, orders: Instance
) -> None:
    """The topology has no publication: nothing is asked."""
    told.publish(orders)

    async def work(known: CertificateStatus) -> None:
        await known.check(orders.generation.path)

    looking(CertificateStatus(lambda: None, clock), work)
    assert told.asked == []


def _nothing(told: Shelf) -> None:
    told.documents.clear()


def _no_root(told: Shelf) -> None:
    del told.documents[told.place(told.mesh.root)]


def _broken(told: Shelf) -> None:
    told.code = 500


def _moved(told: Shelf) -> None:
    told.code = 302


def _nonsense(told: Shelf) -> None:
    told.documents[told.place(told.mesh.issuing)] = b"no list"


def _forged(told: Shelf) -> None:
    told.publish(by=told.mesh._root_key)


def _ended(told: Shelf) -> None:
    told.publish(since=now() - timedelta(days=1, minutes=1))


def _early(told: Shelf) -> None:
    told.publish(since=now() + timedelta(minutes=6))


def _cached(told: Shelf) -> None:
    told.headers["Age"] = "5"


UNRELIABLE = {
    "404": (_nothing, "status 404"),
    "404 for the root's": (_no_root, "status 404"),
    "an error": (_broken, "status 500"),
    "a redirect": (_moved, "status 302"),
    "nonsense": (_nonsense, "no revocation list"),
    "another's signature": (_forged, "not signed by its issuer"),
    "a list that has ended": (_ended, "relied on until"),
    "a list of tomorrow": (_early, "begins at"),
    "a list of five seconds ago in a cache": (_cached, "no list younger than"),
}


@pytest.mark.parametrize("fault", UNRELIABLE)
def test_without_a_list_to_rely_on_nobody_is_good(
    told: Shelf,
    clock: Clock,
    orders: Instance,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    """Unknown is another refusal than revoked, and its cause is in the log or said."""
    listen(caplog)
    spoil, said = UNRELIABLE[fault]
    spoil(told)
    with pytest.raises(StatusUnknownError) as refusal:
        look(told, clock, orders)
    reasons = [str(line.get("reason")) for line in lines(caplog)]
    assert any(said in text for text in (str(refusal.value), *reasons))


def test_a_list_that_is_too_long_is_not_read(
    told: Shelf, clock: Clock, orders: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends where no honest list would go on."""
    monkeypatch.setattr(lists, "LONGEST", 100)
    with pytest.raises(StatusUnknownError):
        look(told, clock, orders)


def test_a_publisher_that_does_not_answer_is_not_waited_for(
    told: Shelf, clock: Clock, orders: Instance
) -> None:
    """Half the bound, and no longer."""

    async def work(known: CertificateStatus) -> None:
        with pytest.raises(StatusUnknownError):
            await known.check(orders.generation.path)

    silent = RevocationConfig(url=told.url, bound=3.1)
    told.delay = 2.0
    looking(CertificateStatus(lambda: silent, clock), work)


def test_a_leaf_without_its_signer_is_unknown(
    told: Shelf, clock: Clock, orders: Instance
) -> None:
    """A chain of one says nothing of who signed."""

    async def work(known: CertificateStatus) -> None:
        with pytest.raises(StatusUnknownError, match="chain"):
            await known.check(orders.generation.path[:1])

    looking(told.status(clock), work)


def test_a_list_is_believed_until_the_bound(
    told: Shelf, clock: Clock, orders: Instance
) -> None:
    """The publisher is away: nothing changes before the bound, then nobody is good."""

    async def work(known: CertificateStatus) -> None:
        await known.check(orders.generation.path)
        told.code = 503
        clock.moment += BOUND - timedelta(seconds=1)
        await known.check(orders.generation.path)
        clock.move(seconds=1)
        with pytest.raises(StatusUnknownError):
            await known.check(orders.generation.path)
        told.code = 200
        clock.move(seconds=1)
        await known.check(orders.generation.path)

    looking(told.status(clock), work)


def test_a_publisher_that_is_away_is_asked_once_a_second(
    told: Shelf, clock: Clock, orders: Instance
) -> None:
    """However many requests wait for an answer: two lists, one question each."""
    told.code = 503

    async def work(known: CertificateStatus) -> None:
        for _ in range(5):
            with pytest.raises(StatusUnknownError):
                await known.check(orders.generation.path)
        assert len(told.asked) <= 2
        clock.move(seconds=1)
        with pytest.raises(StatusUnknownError):
            await known.check(orders.generation.path)
        assert 2 <= len(told.asked) <= 4

    looking(told.status(clock), work)


def test_a_clock_that_goes_back_makes_lists_unknown(
    told: Shelf, clock: Clock, orders: Instance
) -> None:
    """How old they are cannot be said; the next answer says it again."""

    async def work(known: CertificateStatus) -> None:
        await known.check(orders.generation.path)
        before = len(told.asked)
        clock.move(seconds=-60)
        await known.check(orders.generation.path)
        assert len(told.asked) == before + 2

    looking(told.status(clock), work)


def test_within_the_bound_a_revocation_is_known(
    told: Shelf, clock: Clock, orders: Instance
) -> None:
    """Nobody has asked for as long as the bound: the next one waits for the list."""

    async def work(known: CertificateStatus) -> None:
        await known.check(orders.generation.path)
        told.publish(orders, number=2)
        clock.moment += BOUND
        with pytest.raises(RevokedCertificateError):
            await known.check(orders.generation.path)

    looking(told.status(clock), work)


def test_an_older_list_is_not_taken(
    told: Shelf, clock: Clock, orders: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever puts an old list back in its place gains nothing, and is told of."""
    listen(caplog)
    told.publish()
    innocent = dict(told.documents)
    told.publish(orders, number=2)

    async def work(known: CertificateStatus) -> None:
        with pytest.raises(RevokedCertificateError):
            await known.check(orders.generation.path)
        told.documents = innocent
        for _ in range(2):
            clock.move(seconds=1)
            with pytest.raises(RevokedCertificateError):
                await known.check(orders.generation.path)
        clock.moment += BOUND
        with pytest.raises(StatusUnknownError):
            await known.check(orders.generation.path)

    looking(told.status(clock), work)
    assert "OlderListError" in {line.get("cause") for line in lines(caplog)}


def test_what_has_not_changed_is_not_sent_again(
    told: Shelf, clock: Clock, orders: Instance
) -> None:
    """A question with the entity tag is answered by 304."""

    async def work(known: CertificateStatus) -> None:
        await known.check(orders.generation.path)
        clock.moment += BOUND
        await known.check(orders.generation.path)

    looking(told.status(clock), work)
    assert sorted(code for _, code in told.asked) == [200, 200, 304, 304]


def test_lists_in_use_are_fetched_each_second(
    told: Shelf, clock: Clock, orders: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that nobody asked about for a minute are not."""
    monkeypatch.setattr(status, "POLL", 0.01)

    async def work(known: CertificateStatus) -> None:
        following = asyncio.create_task(known.follow())
        await known.check(orders.generation.path)
        told.publish(orders, number=2)
        clock.move(seconds=1)
        await _until(lambda: _is_revoked(known, orders))
        clock.move(seconds=61)
        await _until(lambda: _is_forgotten(known))
        following.cancel()

    looking(told.status(clock), work)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)


async def _is_forgotten(known: CertificateStatus) -> bool:
    return known.age is None


async def _is_revoked(known: CertificateStatus, instance: Instance) -> bool:
    try:
        await known.check(instance.generation.path)
    except RevokedCertificateError:
        return True
    return False


def test_no_more_lists_are_kept_than_there_is_room_for(
    told: Shelf, clock: Clock, orders: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was used longest ago is fetched again when it is asked about."""
    monkeypatch.setattr(status, "_MOST_LISTS", 1)
    look(told, clock, orders, orders)
    assert [code for _, code in told.asked] == [200] * 4


def test_an_outage_is_told_of_once(
    told: Shelf, clock: Clock, orders: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for each list when it begins, and one when it is over."""
    listen(caplog)

    async def work(known: CertificateStatus) -> None:
        await known.check(orders.generation.path)
        for code in (503, 503, 200, 200):
            told.code = code
            clock.moment += BOUND
            await _is_known(known, orders)

    looking(told.status(clock), work)
    events = [line["event"] for line in lines(caplog)]
    assert events.count("revocation.list_missed") == 2
    assert events.count("revocation.list_back") == 2


async def _is_known(known: CertificateStatus, instance: Instance) -> bool:
    try:
        await known.check(instance.generation.path)
    except StatusUnknownError:
        return False
    return True
