"""Ticks, five-second bars and books of one symbol as a consumer sees them. They flow while somebody holds a lease on them."""

from __future__ import annotations

from datetime import datetime

from ibstream.bus import Bus
from ibstream.bus.reader import LATEST, last_message
from ibstream.client.continuity import Continuity, EpochChanged, Gap, Repeated
from ibstream.client.subscription import PatientReader, Subscription, T
from ibstream.contracts.base import Message
from ibstream.contracts.registry import DEPTH, LIVE_BARS, TICKS, Stream
from ibstream.contracts.ticks import Depth, FiveSecondBar, TickBatch
from ibstream.runtime.clock import Clock

TickEvent = TickBatch | Gap | EpochChanged | Repeated
"""What a tick subscription yields. Every report comes before the batch in which it showed; its `shard` means nothing here."""

_ONE_STREAM = 0
"""Continuity is counted by shard; the ticks of a symbol are one stream."""


class _Following(Subscription[T]):
    """Follows one stream from now on."""

    def __init__(self, bus: Bus, stream: Stream, *, patience_s: float, clock: Clock) -> None:
        super().__init__()
        self._reader = PatientReader(bus, {stream: LATEST}, patience_s=patience_s, clock=clock)

    async def _close(self) -> None:
        await self._reader.close()

    async def _open(self) -> None:
        await self._reader.start()

    async def _messages(self) -> list[Message]:
        return [entry.message for entry in await self._reader.read()]


class TickSubscription(_Following[TickEvent]):
    """Every trade and every change of bid and ask of one symbol, in `TickBatch`es, and where continuity broke.

    After an `EpochChanged` ticks may be missing, or told a second time. A `Repeated` batch is not yielded.
    """

    def __init__(self, bus: Bus, symbol: str, *, patience_s: float, clock: Clock) -> None:
        super().__init__(bus, TICKS.named(symbol), patience_s=patience_s, clock=clock)
        self.continuity = Continuity()
        """What was seen and what was missed, so far."""

    async def _more(self) -> list[TickEvent]:
        batches = [message for message in await self._messages() if isinstance(message, TickBatch)]
        return [event for batch in batches for event in self._judged(batch)]

    def _judged(self, batch: TickBatch) -> list[TickEvent]:
        reports = self.continuity.observe(_ONE_STREAM, batch.epoch, batch.seq)
        is_repeated = any(isinstance(report, Repeated) for report in reports)
        return [*reports] if is_repeated else [*reports, batch]


class LiveBarSubscription(_Following[FiveSecondBar]):
    """Bars of five seconds of one symbol, as each is over; each once, whatever the feed had to repeat."""

    def __init__(self, bus: Bus, symbol: str, *, patience_s: float, clock: Clock) -> None:
        super().__init__(bus, LIVE_BARS.named(symbol), patience_s=patience_s, clock=clock)
        self._newest: datetime | None = None

    async def _more(self) -> list[FiveSecondBar]:
        return [bar for bar in await self._messages() if isinstance(bar, FiveSecondBar) and self._is_new(bar)]

    def _is_new(self, bar: FiveSecondBar) -> bool:
        if self._newest is not None and bar.at <= self._newest:
            return False
        self._newest = bar.at
        return True


class DepthSubscription(_Following[Depth]):
    """The order book of one symbol: first as it stands, where the feed has told one, then whenever it has changed.

    Both sides are empty while it is not kept up.
    """

    def __init__(self, bus: Bus, symbol: str, *, patience_s: float, clock: Clock) -> None:
        stream = DEPTH.named(symbol)
        super().__init__(bus, stream, patience_s=patience_s, clock=clock)
        self._bus, self._stream = bus, stream
        self._first: Depth | None = None
        """What stood in the stream, until the first entries are read."""

    async def _open(self) -> None:
        await super()._open()
        newest = await last_message(self._bus, self._stream)
        if isinstance(newest, Depth):
            self._pending.append(newest)
            self._first = newest

    async def _more(self) -> list[Depth]:
        """Of what was written between the two looks at the stream, nothing is yielded twice, and nothing out of order."""
        books = [book for book in await self._messages() if isinstance(book, Depth)]
        first, self._first = self._first, None if books else self._first
        return books[books.index(first) + 1 :] if first in books else books
