"""The commands that look at a running system: quotes, leased ones too, bars, status."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, TypeVar

from ibstream.bus import BusUnavailable
from ibstream.cli import formats
from ibstream.cli.terminal import EXIT_FAILURE, quiet_logs, result, say
from ibstream.client import Client, EpochChanged, FeedLease, Gap, QuoteEvent, QuoteSnapshot, Repeated
from ibstream.client.subscription import Subscription
from ibstream.contracts.feed import DataKind
from ibstream.contracts.quotes import Quote, QuoteBatch
from ibstream.contracts.system import ConnectionState, Heartbeat, Mode
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.supervise import cancelled

T = TypeVar("T")

PATIENCE_S = 5.0
"""At a terminal nobody waits longer for a Redis that went away."""

SILENCE_S = 5.0
"""Without quotes for so long, the command says what may be wrong; once."""

STRATEGY = "ibstream-cli"

_MULTIPLIER = re.compile(r" X(\d+)(?= |$)")


def asked(question: Coroutine[Any, Any, T]) -> T:
    """Run one question to the system to its end."""
    quiet_logs()
    return asyncio.run(question)


def client() -> Client:
    """A client for a person at a terminal."""
    return Client(strategy=STRATEGY, patience_s=PATIENCE_S)


async def show_quotes(symbols: list[str], *, as_json: bool, count: int | None) -> int:
    """Quotes as they come, one line each, until `count` are out."""
    async with client() as ours:
        await _show_rows(ours, symbols, as_json=as_json, count=count)
    return 0


async def show_leased(
    instruments: list[str], *, data: str, priority: int, ttl_s: float, as_json: bool, count: int | None
) -> int:
    """Hold a lease, tell what becomes of it, and show what it brings, until `count` rows or entries are out."""
    async with client() as ours, ours.lease(instruments, data=data, priority=priority, ttl_s=ttl_s) as lease:
        say(f"asked for {data} of {', '.join(lease.symbols)}; Ctrl-C gives it back")
        if lease.data is DataKind.QUOTES:
            showing = _show_rows(ours, lease.symbols, as_json=as_json, count=count)
        else:
            showing = _show_live(ours, lease, count=count)
        await _until_first_ends(showing, _tell_outcomes(lease))
    return 0


async def _show_rows(ours: Client, symbols: Collection[str], *, as_json: bool, count: int | None) -> None:
    shown = 0
    width = formats.symbol_width(symbols)
    async with ours.quotes(symbols or None) as events:
        hint = asyncio.create_task(_hint_at_silence(ours))
        if not as_json:
            result(formats.quote_header(width))
        async for event in events:
            for row in _rows(event):
                hint.cancel()
                result(formats.as_json(formats.named(row)) if as_json else formats.quote_line(row, width))
                shown += 1
                if shown == count:
                    return


async def _show_live(ours: Client, lease: FeedLease, *, count: int | None) -> None:
    """What each symbol's stream brings, as it comes, until `count` entries are out."""
    ways: dict[DataKind, Callable[[str], Subscription[Any]]] = {
        DataKind.TICKS: ours.ticks,
        DataKind.BARS: ours.live_bars,
        DataKind.DEPTH: ours.depth,
    }
    follow = ways[lease.data]
    numbers = itertools.count(1)

    async def show(symbol: str) -> None:
        async with follow(symbol) as items:
            async for item in items:
                result(formats.as_json(item))
                if next(numbers) == count:
                    return

    await _until_first_ends(*(show(symbol) for symbol in lease.symbols))


async def _tell_outcomes(lease: FeedLease) -> None:
    async for told in lease:
        why = " ".join(word for word in (told.text, f"[{told.code}]" if told.code else "") if word)
        say(f"{told.symbol}: {told.outcome.replace('_', ' ')}" + (f": {why}" if why else ""))


async def _until_first_ends(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it at once until the first has ended, and raise what that raises."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            await cancelled(task)


async def show_bars(symbol: str, *, size: str, duration: str, as_json: bool) -> int:
    """Historical bars, one line each, oldest first."""
    async with client() as ours, ours.bar_job(symbol, bar_size=size, duration=duration) as chunks:
        async for chunk in chunks:
            if chunk.seq == 1 and not as_json:
                result(formats.BAR_HEADER)
            for bar in chunk.bars:
                result(formats.as_json(formats.named(bar)) if as_json else formats.bar_line(bar))
    return 0


async def show_status(*, as_json: bool) -> int:
    """The mode with its reasons and every service; 0 if the mode is normal."""
    async with client() as ours:
        mode, beats = await ours.status(), await ours.heartbeats()
    if as_json:
        result(formats.as_json({"mode": mode.mode if mode else None, "status": mode, "heartbeats": beats}))
    else:
        for line in [*formats.mode_lines(mode), *map(formats.heartbeat_line, beats)]:
            result(line)
    return 0 if mode is not None and mode.mode is Mode.NORMAL else EXIT_FAILURE


def _rows(event: QuoteEvent) -> list[Quote]:
    """The rows to show; breaks of continuity are told."""
    match event:
        case Gap():
            say(f"missed {event.missing} batches of shard {event.shard}; the latest values follow")
        case EpochChanged():
            say(f"the feed began anew on shard {event.shard}; the latest values follow")
        case Repeated():
            say(f"a batch of shard {event.shard} came twice and was left out")
        case QuoteSnapshot() | QuoteBatch():
            return event.rows
    return []


async def _hint_at_silence(ours: Client) -> None:
    await SYSTEM_CLOCK.sleep(SILENCE_S)
    with contextlib.suppress(BusUnavailable):  # whoever reads the quotes says that
        feeds = [beat for beat in await ours.heartbeats() if beat.service == "feed"]
        say(f"no quotes yet: {why_silent(feeds) if feeds else 'no feed is running; start it with `ibstream up`'}")


def why_silent(feeds: Sequence[Heartbeat]) -> str:
    """What may keep quotes away, given every feed process there is: one that is not ready, or else what was asked for."""
    working = [feed for feed in feeds if feed.state is not ConnectionState.IDLE] or feeds
    amiss = next((feed for feed in working if feed.state is not ConnectionState.READY), None)
    if amiss is not None:
        return f"the feed is {amiss.state.replace('_', ' ')}" + (f" ({amiss.reason})" if amiss.reason else "")
    wanted = sum(int(feed.details.get("wanted", 0)) for feed in working)
    return f"the feed is ready, with {wanted} symbols; are those asked for among them?"


def as_quoted(words: str) -> str:
    """What was typed as quotes call it: in capitals, but for the multiplier behind a future, `ES 202612 x1000`."""
    return _MULTIPLIER.sub(r" x\1", " ".join(words.upper().split()))
