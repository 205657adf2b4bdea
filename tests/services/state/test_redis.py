"""Tests of what only `services.state.redis` must hold to: servers come and go."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import redis as client
import trustme

from services.state.open import open_store
from services.state.redis import RedisStore
from services.state.store import AlreadyClaimedError, StateUnavailableError, Store
from tests.services.state.backends import NOON, Backend, Clock, after
from tests.services.state.redis_server import KEEPS_EVERYTHING, RedisServer, free_port

pytestmark = pytest.mark.anyio

SCOPE = "https://localhost:8440"


def open_it(server: RedisServer, seconds: float = 1) -> RedisStore:
    """Return a store on `server` whose clock stands at `NOON`."""
    patience = timedelta(seconds=seconds)
    return RedisStore(server.url, scope=SCOPE, clock=Clock(), patience=patience)


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[RedisStore]:
    """Return a store on a server of the test's own."""
    store = open_it(redis)
    yield store
    await store.aclose()


def everything(store: Store) -> list[Callable[[], Awaitable[object]]]:
    """Return every operation, each with values that nothing else uses."""
    return [
        store.ping,
        store.revocations,
        lambda: store.claim("dpop", "any", after(60)),
        lambda: store.put_token("any", b"any", after(60)),
        lambda: store.get_token("any"),
        lambda: store.revoke("any", after(60)),
        lambda: store.is_revoked("any"),
    ]


async def test_killed_and_started_again(store: RedisStore, redis: RedisServer) -> None:
    """With Redis gone all is refused; with Redis back all works and is remembered."""
    claims = (store.claim("dpop", str(number), after(60)) for number in range(10))
    await asyncio.gather(*claims)  # so that there are several connections to lose
    await store.revoke("id", after(60))
    before = await store.revocations()
    redis.kill()
    for operation in everything(store):
        with pytest.raises(StateUnavailableError, match="Redis: ConnectionError"):
            await operation()
    redis.start()
    for number in range(10):
        with pytest.raises(AlreadyClaimedError):
            await store.claim("dpop", str(number), after(60))
    assert await store.is_revoked("id")
    assert await store.revocations() == before


@pytest.mark.parametrize("way", ["url", "tcp_url"])
async def test_restarted_between_two_calls(redis: RedisServer, way: str) -> None:
    """No request pays for connections that a restart has closed: none is refused."""
    store = RedisStore(getattr(redis, way), scope=SCOPE, clock=Clock())
    names = [str(number) for number in range(10)]
    await asyncio.gather(*map(store.is_revoked, names))
    redis.kill()
    await asyncio.to_thread(redis.start)  # the loop goes on, as it does in production
    assert await asyncio.gather(*map(store.is_revoked, names)) == [False] * 10
    await store.aclose()


async def test_a_server_that_hangs(redis: RedisServer) -> None:
    """What gets no answer in time is refused; when the server goes on, so do we."""
    store = open_it(redis, seconds=0.05)
    await store.ping()
    redis.pause()
    for operation in everything(store):
        with pytest.raises(StateUnavailableError):
            await operation()
    redis.resume()
    await _until_it_answers(store)
    await store.claim("dpop", "jti", after(60))
    await store.aclose()


async def test_a_server_that_hangs_from_the_start(redis: RedisServer) -> None:
    """A connection that is taken but never answered has an end too."""
    store = open_it(redis, seconds=0.05)
    redis.pause()
    with pytest.raises(StateUnavailableError):
        await store.ping()
    redis.resume()
    await _until_it_answers(store)
    await store.aclose()


async def test_a_call_given_up_hands_its_answer_to_nobody(
    store: RedisStore, redis: RedisServer
) -> None:
    """A request that ends while Redis is asked leaves no answer for the next one."""
    await store.put_token("mine", b"mine", after(60))
    await store.put_token("theirs", b"theirs", after(60))
    redis.pause()
    given_up = [asyncio.create_task(store.get_token("mine")) for _ in range(20)]
    await asyncio.wait(given_up, timeout=0.05)
    for task in given_up:
        task.cancel()
    await asyncio.wait(given_up)
    assert all(task.cancelled() for task in given_up)
    redis.resume()
    await _until_it_answers(store)
    theirs = await asyncio.gather(*(store.get_token("theirs") for _ in range(40)))
    assert theirs == [b"theirs"] * 40


async def test_a_claim_is_sent_once(redis: RedisServer) -> None:
    """If the answer to a claim is lost, it is unknown: not a replay of itself."""
    cut = asyncio.Event()
    async with await asyncio.start_server(
        lambda *client: _pass_on(redis, cut, *client), "127.0.0.1", 0
    ) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        store = RedisStore(f"redis://127.0.0.1:{port}", scope=SCOPE, clock=Clock())
        await store.ping()
        cut.set()
        with pytest.raises(StateUnavailableError, match="ConnectionError"):
            await store.claim("dpop", "jti", after(60))
        with pytest.raises(AlreadyClaimedError):  # it was done, as nobody could know
            await store.claim("dpop", "jti", after(60))
        await store.aclose()


async def test_an_answer_too_many_is_nobodys(redis: RedisServer) -> None:
    """Who asks next gets his own answer, or none: never one that was left over."""
    async with await asyncio.start_server(
        lambda *client: _pass_on(redis, asyncio.Event(), *client, twice=b"any"),
        "127.0.0.1",
        0,
    ) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        store = RedisStore(f"redis://127.0.0.1:{port}", scope=SCOPE, clock=Clock())
        await store.put_token("mine", b"any", after(60))
        assert await store.get_token("mine") == b"any"
        for _ in range(3):
            with suppress(StateUnavailableError):  # the connection may be gone by now
                assert await store.get_token("theirs") is None
        await store.aclose()


async def _pass_on(
    redis: RedisServer,
    cut: asyncio.Event,
    asking: asyncio.StreamReader,
    answering: asyncio.StreamWriter,
    *,
    twice: bytes | None = None,
) -> None:
    """Stand between a client and Redis; if `cut`, lose one script's answer.

    Answers with `twice` in them are given twice.
    """
    path = redis.url.removeprefix("unix://")
    answers, questions = await asyncio.open_unix_connection(path)
    while question := await asking.read(65536):
        questions.write(question)
        answer = await answers.read(65536)
        if cut.is_set() and b"EVAL" in question:
            cut.clear()
            break
        answering.write(answer * 2 if twice and twice in answer else answer)
    questions.close()
    answering.close()


async def _until_it_answers(store: Store) -> None:
    for _ in range(100):
        try:
            return await store.ping()
        except StateUnavailableError:
            continue
    return await store.ping()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--appendonly", "no"), "set `appendonly yes`"),
        (
            (*KEEPS_EVERYTHING, "--maxmemory-policy", "volatile-lru"),
            "set `maxmemory-policy noeviction`",
        ),
        ((*KEEPS_EVERYTHING, "--replicaof", "127.0.0.1 1"), "connect to the primary"),
    ],
    ids=["no file", "evicts", "replica"],
)
async def test_a_server_that_forgets_is_refused(
    options: tuple[str, ...], reason: str
) -> None:
    """A claim that Redis may lose is no claim; the message says what to set."""
    with RedisServer.started(options) as server:
        store = open_it(server)
        for operation in everything(store):
            with pytest.raises(StateUnavailableError, match=reason):
                await operation()
        await store.aclose()


async def test_a_full_server_is_refused(redis: RedisServer) -> None:
    """What does not fit is refused, what is there is found, and room heals."""
    store = open_it(redis)
    await store.put_token("handle", b"record", after(60))
    with client.Redis(unix_socket_path=redis.url.removeprefix("unix://")) as operator:
        operator.config_set("maxmemory", "1")
        for writes in (
            store.claim("dpop", "jti", after(60)),
            store.revoke("id", after(60)),
            store.put_token("other", b"record", after(60)),
        ):
            with pytest.raises(StateUnavailableError, match="maxmemory"):
                await writes
        assert await store.get_token("handle") == b"record"
        operator.config_set("maxmemory", "0")
    assert not await store.is_revoked("id")
    assert (await store.revocations()).entries == ()
    await store.claim("dpop", "jti", after(60))
    await store.aclose()


async def test_redis_clears_away_what_is_over(
    store: RedisStore, redis: RedisServer
) -> None:
    """Every claim and token has an expiry, a minute after its end and no later."""
    await store.claim("dpop", "jti", after(300))
    await store.put_token("handle", b"record", after(300))
    await store.claim("dpop", "over", after(-300))
    await store.revoke("over", after(-300))
    await store.revoke("id", after(300))
    with client.Redis(unix_socket_path=redis.url.removeprefix("unix://")) as operator:
        left = sorted(
            operator.ttl(key) for key in operator.scan_iter("*:[ct][lo][ak]*")
        )
        assert operator.zcard(f"certbound:{SCOPE}:revocations") == 1
    assert [50 <= left[0] <= 60, *(350 <= ttl <= 361 for ttl in left[1:])] == [True] * 3


async def test_redis_holds_no_handle(store: RedisStore, redis: RedisServer) -> None:
    """Neither keys nor values nor the file tell an opaque token or a claimed `jti`."""
    await store.put_token("the-opaque-token", b"record", after(60))
    await store.claim("dpop", "the-jti-of-a-proof", after(60))
    with client.Redis(unix_socket_path=redis.url.removeprefix("unix://")) as operator:
        assert all(key.startswith(b"certbound:") for key in operator.scan_iter())
    files = [file for file in redis.directory.rglob("*") if file.is_file()]
    content = b"".join(file.read_bytes() for file in files)
    assert b"record" in content
    assert b"the-opaque-token" not in content
    assert b"the-jti-of-a-proof" not in content


async def test_scopes_are_apart(shared_redis: RedisServer) -> None:
    """Two issuers in one Redis know nothing of each other."""
    one, two = Backend(shared_redis.url).open(), Backend(shared_redis.url).open()
    await one.claim("dpop", "jti", after(60))
    await two.claim("dpop", "jti", after(60))
    await one.revoke("id", after(60))
    await one.put_token("handle", b"record", after(60))
    assert not await two.is_revoked("id")
    assert (await two.revocations()).entries == ()
    assert await two.get_token("handle") is None
    await one.aclose()
    await two.aclose()


async def test_lists_asked_for_at_once_are_whole(store: RedisStore) -> None:
    """A list that is asked for while another is read anew is never an empty one."""
    await store.revoke("first", after(60))
    lists = [asyncio.create_task(store.revocations()) for _ in range(20)]
    await store.revoke("second", after(60))
    lists += [asyncio.create_task(store.revocations()) for _ in range(20)]
    sizes = {len(made.entries) for made in await asyncio.gather(*lists)}
    assert sizes <= {1, 2}
    assert len((await store.revocations()).entries) == 2


async def test_over_tls(tmp_path: Path) -> None:
    """`rediss://` works with the CA that the URL names, and with no other."""
    ca, stranger = trustme.CA(), trustme.CA()
    server_certificate = ca.issue_cert("localhost", "127.0.0.1")
    files = {name: tmp_path / f"{name}.pem" for name in ("key", "leaf", "ca", "other")}
    server_certificate.private_key_pem.write_to_path(files["key"])
    server_certificate.cert_chain_pems[0].write_to_path(files["leaf"])
    ca.cert_pem.write_to_path(files["ca"])
    stranger.cert_pem.write_to_path(files["other"])
    port = free_port()
    options = (
        *KEEPS_EVERYTHING,
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-key-file", str(files["key"]), "--tls-cert-file", str(files["leaf"])),
    )
    with RedisServer.started(options):
        url = f"rediss://localhost:{port}/0"
        good = open_store(f"{url}?ssl_ca_certs={files['ca']}", scope=SCOPE)
        await good.claim("dpop", "jti", NOON)
        await good.aclose()
        for other in (url, f"{url}?ssl_ca_certs={files['other']}"):
            bad = open_store(other, scope=SCOPE)
            with pytest.raises(
                StateUnavailableError, match="CERTIFICATE_VERIFY_FAILED"
            ):
                await bad.ping()
            await bad.aclose()
