"""Tests of `services.gateway.verdicts`: no token lives on another's verdict."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.buckets import Buckets
from services.gateway.errors import TooManyTokensError
from services.gateway.guesses import Guesses
from services.gateway.verdicts import Holder, Verdicts
from services.guard.revocations import BOUND
from services.proof.access_token import AccessToken, read_claims
from services.proof.errors import ExpiredTokenError
from services.proof.introspection_errors import (
    InactiveTokenError,
    IntrospectionError,
    UnansweredError,
)
from services.rates import Rate
from tests.services.running import Clock
from tests.services.tokens import NOW, claims

HOLDER = Holder("certificate", None)
TICK = timedelta(microseconds=1)


class Service:
    """A token service that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.token = read_claims(claims())
        self.clock = Clock(NOW)
        self.refusal: BaseException | None = None
        self.takes = timedelta(0)
        self.held: asyncio.Event | None = None

    async def __call__(self, text: str) -> AccessToken:
        """Answer: the token's id is its text."""
        self.asked.append(text)
        self.clock.moment += self.takes
        if self.held is not None:
            await self.held.wait()
        if self.refusal is not None:
            raise self.refusal
        return msgspec.structs.replace(self.token, token_id=text)

    def run(self, work: Callable[[Verdicts], Awaitable[Any]], **options: Any) -> Any:
        """Return what `work` makes of a cache before this service."""
        buckets = Buckets(monotonic=self.clock.seconds)
        guesses = Guesses(lambda: Rate(per_second=1, burst=3), buckets)

        async def running() -> Any:
            return await work(Verdicts(self, self.clock, guesses=guesses, **options))

        return asyncio.run(running())


def test_the_same_bearer_is_asked_about_once() -> None:
    """Within the bound, the token service is not asked again."""
    service = Service()

    async def work(verdicts: Verdicts) -> None:
        first = await verdicts.verdict("a", HOLDER)
        service.clock.moment += BOUND - TICK
        assert await verdicts.verdict("a", HOLDER) is first

    service.run(work)
    assert service.asked == ["a"]


@pytest.mark.parametrize(
    ("text", "holder"),
    [
        ("b", HOLDER),
        ("a", Holder("another certificate", None)),
        ("a", Holder("certificate", "key")),
        ("A", HOLDER),
    ],
    ids=["token", "certificate", "key", "case"],
)
def test_a_verdict_is_nobody_elses(text: str, holder: Holder) -> None:
    """Another token, certificate or key asks for itself and gets its own answer."""
    service = Service()

    async def work(verdicts: Verdicts) -> AccessToken:
        await verdicts.verdict("a", HOLDER)
        return await verdicts.verdict(text, holder)

    assert service.run(work).token_id == text
    assert service.asked == ["a", text]


def test_certificate_and_key_are_not_mixed_up() -> None:
    """What stands in the key's place is not taken for a certificate."""
    service = Service()

    async def work(verdicts: Verdicts) -> None:
        await verdicts.verdict("a", Holder("x", "y"))
        await verdicts.verdict("a", Holder("y", "x"))
        await verdicts.verdict("a", Holder("xy", None))

    service.run(work)
    assert len(service.asked) == 3


def test_a_verdict_ends_with_the_bound_of_revocation() -> None:
    """After five seconds from the question it may be revoked, and is asked about."""
    service = Service()

    async def work(verdicts: Verdicts) -> None:
        await verdicts.verdict("a", HOLDER)
        service.clock.moment += BOUND
        service.refusal = InactiveTokenError("revoked")
        with pytest.raises(InactiveTokenError):
            await verdicts.verdict("a", HOLDER)

    service.run(work)


def test_a_verdict_is_as_old_as_its_question() -> None:
    """The time that the answer took counts."""
    service = Service()
    service.takes = timedelta(seconds=3)

    async def work(verdicts: Verdicts) -> None:
        await verdicts.verdict("a", HOLDER)
        service.clock.moment += timedelta(seconds=2)
        await verdicts.verdict("a", HOLDER)

    service.run(work)
    assert len(service.asked) == 2


def test_a_verdict_never_outlives_its_token() -> None:
    """A token that ends in a second is not believed for five."""
    service = Service()
    service.token = msgspec.structs.replace(
        service.token, expires_at=NOW + timedelta(seconds=1)
    )

    async def work(verdicts: Verdicts) -> None:
        await verdicts.verdict("a", HOLDER)
        service.clock.moment += timedelta(seconds=1)
        service.refusal = InactiveTokenError("over")
        with pytest.raises(InactiveTokenError):
            await verdicts.verdict("a", HOLDER)

    service.run(work)


def test_a_late_answer_is_not_believed() -> None:
    """An answer that took as long as the bound may be overtaken by a revocation."""
    service = Service()
    service.takes = BOUND
    with pytest.raises(UnansweredError):
        service.run(lambda verdicts: verdicts.verdict("a", HOLDER))


def test_a_clock_that_goes_back_ends_verdicts() -> None:
    """Nobody can say any more how old they are."""
    service = Service()

    async def work(verdicts: Verdicts) -> None:
        await verdicts.verdict("a", HOLDER)
        service.clock.moment -= TICK
        await verdicts.verdict("a", HOLDER)

    service.run(work)
    assert len(service.asked) == 2


def test_no_answer_is_no_verdict() -> None:
    """An outage heals at once."""
    service = Service()

    async def work(verdicts: Verdicts) -> int:
        service.refusal = IntrospectionError("away")
        with pytest.raises(IntrospectionError):
            await verdicts.verdict("a", HOLDER)
        service.refusal = None
        await verdicts.verdict("a", HOLDER)
        return len(verdicts)

    assert service.run(work) == 1


def test_a_token_that_is_none_is_asked_about_once_within_the_bound() -> None:
    """Whoever repeats it is refused without a question, and asked about after it."""
    service = Service()
    service.refusal = InactiveTokenError("no")

    async def work(verdicts: Verdicts) -> None:
        for _ in range(5):
            with pytest.raises(InactiveTokenError):
                await verdicts.verdict("a", HOLDER)
        assert service.asked == ["a"]
        service.clock.moment += BOUND - TICK
        with pytest.raises(InactiveTokenError):
            await verdicts.verdict("a", HOLDER)
        assert service.asked == ["a"]
        service.clock.moment += TICK
        service.refusal = None
        await verdicts.verdict("a", HOLDER)

    service.run(work)
    assert service.asked == ["a", "a"]


@pytest.mark.parametrize(
    "holder", [Holder("another certificate", None), Holder("certificate", "key")]
)
def test_nobody_is_refused_for_what_another_brought(holder: Holder) -> None:
    """Who knows a token cannot have its holder refused by bringing it first."""
    service = Service()

    async def work(verdicts: Verdicts) -> AccessToken:
        service.refusal = InactiveTokenError("no")
        with pytest.raises(InactiveTokenError):
            await verdicts.verdict("a", HOLDER)
        service.refusal = None
        return await verdicts.verdict("a", holder)

    assert service.run(work).token_id == "a"


def test_a_late_no_is_a_no() -> None:
    """A token that was none five seconds ago is refused, and asked about again."""
    service = Service()
    service.takes = BOUND
    service.refusal = InactiveTokenError("no")

    async def work(verdicts: Verdicts) -> None:
        for _ in range(2):
            with pytest.raises(InactiveTokenError):
                await verdicts.verdict("a", HOLDER)

    service.run(work)
    assert len(service.asked) == 2


async def invent(verdicts: Verdicts) -> None:
    """Bring tokens that are none, until the limit."""
    for number in range(3):
        with pytest.raises(InactiveTokenError):
            await verdicts.verdict(f"none {number}", HOLDER)


def test_who_invents_tokens_is_stopped_alone() -> None:
    """The token service is not asked any more, and others are heard as before."""
    service = Service()

    async def work(verdicts: Verdicts) -> None:
        service.refusal = InactiveTokenError("no")
        await invent(verdicts)
        service.refusal = None
        with pytest.raises(TooManyTokensError) as refused:
            await verdicts.verdict("good", HOLDER)
        assert refused.value.retry_after == timedelta(seconds=1)
        assert "good" not in service.asked
        await verdicts.verdict("good", Holder("another certificate", None))
        service.clock.moment += timedelta(seconds=1)
        await verdicts.verdict("good", HOLDER)

    service.run(work)


def test_another_key_is_no_other_bearer() -> None:
    """Keys of proofs cost nothing: the certificate is what counts."""
    service = Service()
    service.refusal = InactiveTokenError("no")

    async def work(verdicts: Verdicts) -> None:
        await invent(verdicts)
        with pytest.raises(TooManyTokensError):
            await verdicts.verdict("a", Holder("certificate", "key"))

    service.run(work)


@pytest.mark.parametrize(
    "refusal", [None, IntrospectionError("away"), asyncio.CancelledError()]
)
def test_only_tokens_that_are_none_count(refusal: BaseException | None) -> None:
    """As many good tokens as there are, and as many questions without an answer."""
    service = Service()

    async def work(verdicts: Verdicts) -> None:
        service.refusal = refusal
        for number in range(20):
            with suppress(IntrospectionError, asyncio.CancelledError):
                await verdicts.verdict(str(number), HOLDER)

    service.run(work)
    assert len(service.asked) == 20


def test_a_token_that_is_over_counts_and_is_not_kept() -> None:
    """It depends on our own clock, which each look asks."""
    service = Service()
    service.refusal = ExpiredTokenError("over")

    async def work(verdicts: Verdicts) -> int:
        for _ in range(3):
            with pytest.raises(ExpiredTokenError):
                await verdicts.verdict("a", HOLDER)
        with pytest.raises(TooManyTokensError):
            await verdicts.verdict("a", HOLDER)
        return len(verdicts)

    assert service.run(work) == 0


def test_questions_under_way_count() -> None:
    """Who asks for all at once gets no further than one who asks in turn."""
    service = Service()

    async def work(verdicts: Verdicts) -> None:
        service.held = asyncio.Event()
        asking = [
            asyncio.create_task(verdicts.verdict(str(number), HOLDER))
            for number in range(10)
        ]
        for _ in range(3):
            await asyncio.sleep(0)  # all of them get as far as their question
        service.held.set()
        done = await asyncio.gather(*asking, return_exceptions=True)
        refused = [isinstance(each, TooManyTokensError) for each in done]
        assert sum(refused) == 7

    service.run(work)
    assert len(service.asked) == 3


def test_invented_tokens_drive_out_no_good_one() -> None:
    """The two kinds of verdict are kept apart, each bounded."""
    service = Service()

    async def work(verdicts: Verdicts) -> int:
        await verdicts.verdict("good", HOLDER)
        service.refusal = InactiveTokenError("no")
        for number in range(10):
            with pytest.raises(InactiveTokenError):
                await verdicts.verdict("none", Holder(str(number), None))
        await verdicts.verdict("good", HOLDER)
        return len(verdicts)

    assert service.run(work, most=3) == 4


def test_the_memory_is_bounded() -> None:
    """However many tokens come, the oldest verdicts make room."""
    service = Service()

    async def work(verdicts: Verdicts) -> int:
        for number in range(10):
            await verdicts.verdict(str(number), HOLDER)
        await verdicts.verdict("9", HOLDER)
        return len(verdicts)

    assert service.run(work, most=3) == 3
    assert len(service.asked) == 10


def test_those_who_ask_together_ask_once() -> None:
    """A burst of requests with one token is one question; who hangs up stops nobody."""
    service = Service()

    async def work(verdicts: Verdicts) -> None:
        service.held = asyncio.Event()
        asking = [asyncio.create_task(verdicts.verdict("a", HOLDER)) for _ in range(5)]
        await asyncio.sleep(0)  # all of them get as far as their question
        await asyncio.sleep(0)
        asking[0].cancel()
        service.held.set()
        done = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError)
        assert all(isinstance(each, AccessToken) for each in done[1:])

    service.run(work)
    assert service.asked == ["a"]
