"""Ticks, bars and books through the SDK over a real Redis: in order, once, and breaks are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from support import run

from ibstream.bus import Bus, Publisher
from ibstream.client.continuity import EpochChanged, Gap, Repeated
from ibstream.client.ticks import DepthSubscription, LiveBarSubscription, TickSubscription
from ibstream.contracts.registry import DEPTH, LIVE_BARS, TICKS
from ibstream.contracts.ticks import Depth, FiveSecondBar, Level, TickBatch, TradeTick
from ibstream.runtime.clock import SYSTEM_CLOCK

SYMBOL = "ES 202612"
NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
OPTIONS: dict[str, Any] = {"patience_s": 5.0, "clock": SYSTEM_CLOCK}


def scenario(url: str, story: Callable[[Bus], Awaitable[None]]) -> None:
    async def play() -> None:
        async with Bus(url, client_name="test") as bus:
            await story(bus)

    run(play(), timeout_s=30)


async def ticks(bus: Bus, epoch: int, seq: int) -> TickBatch:
    batch = TickBatch(symbol=SYMBOL, epoch=epoch, seq=seq, published_at=1, trades=[TradeTick(seq, 1.0, 1.0)])
    await Publisher(bus).publish(TICKS.named(SYMBOL), batch)
    return batch


async def bar(bus: Bus, number: int) -> FiveSecondBar:
    at = NOON + timedelta(seconds=5 * number)
    made = FiveSecondBar(symbol=SYMBOL, at=at, open=1, high=2, low=1, close=2, volume=3, wap=1.5, count=2)
    await Publisher(bus).publish(LIVE_BARS.named(SYMBOL), made)
    return made


async def book(bus: Bus, received_ns: int) -> Depth:
    made = Depth(symbol=SYMBOL, bids=[Level(received_ns, 1)], asks=[], received_ns=received_ns)
    await Publisher(bus).publish(DEPTH.named(SYMBOL), made)
    return made


def test_ticks_come_in_order_and_every_break_is_told(redis_url: str) -> None:
    """Reports stand before the batch in which they showed; a batch that was seen already is left out."""

    async def story(bus: Bus) -> None:
        await ticks(bus, 1, 1)  # before anybody listens
        async with TickSubscription(bus, SYMBOL, **OPTIONS) as events:
            first, second, missed = await ticks(bus, 1, 2), await ticks(bus, 1, 3), await ticks(bus, 1, 6)
            await ticks(bus, 1, 6)
            anew = await ticks(bus, 2, 1)
            found = [await anext(events) for _ in range(7)]
            assert found == [
                first,
                second,
                Gap(0, 1, 4, 5),
                missed,
                Repeated(0, 1, 6, 7),
                EpochChanged(0, 1, 2),
                anew,
            ]
            assert not events.continuity.unbroken

    scenario(redis_url, story)


def test_bars_come_once_each(redis_url: str) -> None:
    """One that the feed had to write twice is left out the second time."""

    async def story(bus: Bus) -> None:
        async with LiveBarSubscription(bus, SYMBOL, **OPTIONS) as bars:
            first = await bar(bus, 1)
            await bar(bus, 1)
            second = await bar(bus, 2)
            assert [await anext(bars) for _ in range(2)] == [first, second]

    scenario(redis_url, story)


def test_a_book_comes_as_it_stands_first(redis_url: str) -> None:
    """Whoever joins late need not wait for a change, and is told nothing twice."""

    async def story(bus: Bus) -> None:
        await book(bus, 1)
        standing = await book(bus, 2)
        async with DepthSubscription(bus, SYMBOL, **OPTIONS) as books:
            await Publisher(bus).publish(DEPTH.named(SYMBOL), standing)
            changed = await book(bus, 3)
            assert [await anext(books) for _ in range(2)] == [standing, changed]

    scenario(redis_url, story)


def test_who_joins_before_anything_was_told_gets_the_first(redis_url: str) -> None:
    async def story(bus: Bus) -> None:
        async with DepthSubscription(bus, SYMBOL, **OPTIONS) as books:
            first = await book(bus, 1)
            assert await anext(books) == first

    scenario(redis_url, story)
