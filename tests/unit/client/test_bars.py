"""Bar jobs through the SDK over a real Redis: every chunk once, and an error that says why there are none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from support import run

from ibstream.bus import Bus, Publisher, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.client import Client, InvalidRequestError, JobFailedError, NoAnswerError
from ibstream.contracts.base import Message
from ibstream.contracts.data import Bar, BarsRequest, FailureReason, JobAccepted, JobChunk, JobDone, JobFailed
from ibstream.contracts.registry import DATA_JOBS, DATA_REQUESTS
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.settings import Settings

NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)


def bar(close: float) -> Bar:
    return Bar(start=NOON, open=1, high=2, low=1, close=close, volume=100, average=1.5, trades=3)


def chunk(request: BarsRequest, seq: int) -> JobChunk:
    return JobChunk(job_id=request.job_id, seq=seq, bars=[bar(seq)], progress=0.5)


def done(request: BarsRequest, chunks: int) -> JobDone:
    return JobDone(job_id=request.job_id, bars=chunks, chunks=chunks, at=NOON)


def asking(url: str, answer: Callable[[BarsRequest], list[Message]], *, deadline_s: float = 10) -> list[Bar]:
    async def service(bus: Bus) -> None:
        async with StreamReader(bus, {DATA_REQUESTS: BEGINNING}) as reader:
            while not (entries := await reader.read()):
                pass
        request = entries[0].message
        assert isinstance(request, BarsRequest)
        for message in answer(request):
            await Publisher(bus).publish(DATA_JOBS.named(request.job_id), message)

    async def play() -> list[Bar]:
        async with Bus(url, client_name="test") as bus, Client(url, settings=Settings()) as client:
            answering = asyncio.create_task(service(bus))
            try:
                return await client.bars("AAPL", bar_size="5 mins", deadline_s=deadline_s)
            finally:
                answering.cancel()

    return run(play(), timeout_s=20)


def test_all_bars_in_order(redis_url: str) -> None:
    """Chunks are put together in the order of their numbers; the acceptance is no bar."""
    bars = asking(
        redis_url,
        lambda request: [
            JobAccepted(job_id=request.job_id, at=NOON),
            chunk(request, 1),
            chunk(request, 2),
            done(request, 2),
        ],
    )
    assert [one.close for one in bars] == [1, 2]


def test_a_chunk_that_comes_twice_counts_once(redis_url: str) -> None:
    """A service that died and took the job up again may repeat itself; the bars must not."""
    bars = asking(
        redis_url,
        lambda request: [chunk(request, 1), chunk(request, 1), chunk(request, 2), done(request, 2)],
    )
    assert [one.close for one in bars] == [1, 2]


def test_a_missing_chunk_is_never_taken_for_the_whole(redis_url: str) -> None:
    """Done says two chunks and one could be read: that is an error, not half an answer."""
    with pytest.raises(NoAnswerError, match="2 chunks, of which 1"):
        asking(redis_url, lambda request: [chunk(request, 1), done(request, 2)])


def test_no_bars_is_an_answer(redis_url: str) -> None:
    """A period without trades is an empty list, not a failure."""
    assert asking(redis_url, lambda request: [done(request, 0)]) == []


def test_a_failed_job_says_why(redis_url: str) -> None:
    """The reason is there for machines and in the text for people."""
    with pytest.raises(JobFailedError, match="pacing") as caught:
        asking(
            redis_url,
            lambda request: [
                JobFailed(job_id=request.job_id, reason=FailureReason.PACING, text="too many", code=162, at=NOON)
            ],
        )
    assert (caught.value.reason, caught.value.code) == (FailureReason.PACING, 162)


def test_silence_ends_at_the_deadline(redis_url: str) -> None:
    """No data service: the wait is bounded and the error asks the right question."""
    begun = SYSTEM_CLOCK.monotonic()
    with pytest.raises(NoAnswerError, match="is the data service running"):
        asking(redis_url, lambda _: [], deadline_s=0.5)
    assert SYSTEM_CLOCK.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("details", "named"),
    [({"bar_size": "7 mins"}, "bar_size"), ({"duration": "1 fortnight"}, "duration"), ({"job_id": "a b"}, "job_id")],
)
def test_what_no_service_would_understand_is_not_asked(redis_url: str, details: dict[str, str], named: str) -> None:
    """The mistake is told by the field's name before anything is written."""

    async def play() -> None:
        async with Client(redis_url, settings=Settings()) as client:
            with pytest.raises(InvalidRequestError, match=named):
                client.bar_job("AAPL", **details)  # type: ignore[arg-type]

    run(play())
