"""Streams at the source: each is opened once and closed once, whoever asks for it, and takes its slots until it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument
from ibstream.runtime.supervise import unless
from ibstream_feed.domain.register import Refusal
from ibstream_feed.domain.streams import Fate, Key, Wish
from ibstream_feed.outlets import Outlet
from ibstream_feed.ports import MarketDataPort, OnItem, OnStreamCode, Qualified

Qualify = Callable[[Instrument], Awaitable[Qualified]]

SETTLED_S = 3.0
"""A stream that IBKR has not objected to for so long is active: where nothing is traded, nothing comes."""


@dataclass(eq=False, slots=True)
class Channel:
    """A stream that is open, or being opened or closed."""

    wish: Wish
    outlet: Outlet
    number: int | None = None
    """The port's; None until the request is sent."""
    asked_s: float = 0.0
    is_active: bool = False
    has_come: bool = False
    """Whether it has brought anything."""
    refusal: tuple[Fate, Refusal] | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: nothing that still arrives counts, and it is closed as soon as that can be done."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Of whoever opens or closes it."""

    @property
    def is_over(self) -> bool:
        """Whether nothing that still arrives counts."""
        return self.over.is_set()

    def is_settled(self, now_s: float) -> bool:
        """Whether it was asked for so long ago that IBKR would have objected by now."""
        is_sound = not self.is_over and self.refusal is None
        return is_sound and self.number is not None and now_s >= self.asked_s + SETTLED_S


class Channels:
    """Those of one process, by what is wished."""

    def __init__(self, port: MarketDataPort) -> None:
        self._port = port
        self._by_key: dict[Key, Channel] = {}

    def __iter__(self) -> Iterator[Channel]:
        """As they are now: they may come and go meanwhile."""
        return iter(list(self._by_key.values()))

    def __contains__(self, key: Key) -> bool:
        return key in self._by_key

    def slots(self, kind: DataKind) -> int:
        """How many slots of a kind are taken."""
        return sum(channel.wish.slots for key, channel in self._by_key.items() if key[0] is kind)

    def add(self, channel: Channel) -> None:
        """It is about to be opened; there is none for its wish."""
        self._by_key[channel.wish.key] = channel

    def forget(self, channel: Channel) -> None:
        """It is not open, or no longer."""
        channel.over.set()
        if self._by_key.get(channel.wish.key) is channel:
            del self._by_key[channel.wish.key]

    async def open(self, channel: Channel, qualify: Qualify, on_item: OnItem, on_code: OnStreamCode) -> None:
        """Ask for it. Given up where it is over before the requests are sent; raises what `qualify` and the port raise."""
        async with channel.turn:
            await unless(channel.over, self._open(channel, qualify, on_item, on_code))

    async def close(self, channel: Channel) -> None:
        """Return when it is closed; it takes no slot from then on."""
        channel.over.set()
        async with channel.turn:
            if channel.number is not None:
                await self._port.close_stream(channel.number)
            self.forget(channel)

    async def _open(self, channel: Channel, qualify: Qualify, on_item: OnItem, on_code: OnStreamCode) -> None:
        contract = await qualify(channel.wish.instrument)
        channel.number = await self._port.open_stream(channel.wish.kind, contract, on_item, on_code)
