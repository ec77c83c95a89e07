"""The commands that only look at a running system: quotes, bars, status."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from ibstream.bus import BusUnavailable
from ibstream.cli import formats
from ibstream.cli.terminal import EXIT_FAILURE, quiet_logs, result, say
from ibstream.client import Client, EpochChanged, Gap, QuoteEvent, QuoteSnapshot, Repeated
from ibstream.contracts.quotes import Quote, QuoteBatch
from ibstream.contracts.system import ConnectionState, Heartbeat, Mode
from ibstream.runtime.clock import SYSTEM_CLOCK

T = TypeVar("T")

PATIENCE_S = 5.0
"""At a terminal nobody waits longer for a Redis that went away."""

SILENCE_S = 5.0
"""Without quotes for so long, the command says what may be wrong; once."""

STRATEGY = "ibstream-cli"


def asked(question: Coroutine[Any, Any, T]) -> T:
    """Run one question to the system to its end."""
    quiet_logs()
    return asyncio.run(question)


def client() -> Client:
    """A client for a person at a terminal."""
    return Client(strategy=STRATEGY, patience_s=PATIENCE_S)


async def show_quotes(symbols: list[str], *, as_json: bool, count: int | None) -> int:
    """Quotes as they come, one line each, until `count` are out."""
    shown = 0
    async with client() as ours, ours.quotes(symbols or None) as events:
        hint = asyncio.create_task(_hint_at_silence(ours))
        if not as_json:
            result(formats.QUOTE_HEADER)
        async for event in events:
            for row in _rows(event):
                hint.cancel()
                result(formats.as_json(formats.named(row)) if as_json else formats.quote_line(row))
                shown += 1
                if shown == count:
                    return 0
    return 0


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
        say(f"no quotes yet: {_why_silent(feeds[0]) if feeds else 'no feed is running; start it with `ibstream up`'}")


def _why_silent(feed: Heartbeat) -> str:
    if feed.state is not ConnectionState.READY:
        return f"the feed is {feed.state.replace('_', ' ')}" + (f" ({feed.reason})" if feed.reason else "")
    return f"the feed is ready, with {feed.details.get('subscriptions', 0)} symbols; are those asked for among them?"
