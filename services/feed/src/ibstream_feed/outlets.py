"""What waits to be written of one symbol's ticks, bars or book. No I/O: a message is taken, and then it was written or not.

Bounded whatever happens: ticks and bars drop the oldest, and ticks say so by a new epoch; of a book only the newest state counts.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from ibstream.contracts.base import Message
from ibstream.contracts.feed import DataKind
from ibstream.contracts.registry import DEPTH, LIVE_BARS, TICKS, Stream
from ibstream.contracts.ticks import BidAskTick, Depth, FiveSecondBar, TickBatch, TradeTick
from ibstream_feed.domain.sequence import Sequence
from ibstream_feed.ports import Item

TICKS_KEPT_MAX = 10_000
"""Ticks of a symbol that wait while Redis is away."""

BATCH_TICKS_MAX = 500

BARS_KEPT_MAX = 720
"""An hour of them."""

DEPTH_INTERVAL_S = 0.25
"""A book is told no more often."""


class Outlet(Protocol):
    """Takes items from the source, and gives messages to whoever writes them, one at a time."""

    stream: Stream

    def put(self, item: Item) -> None:
        """Something has come."""
        ...

    def interrupt(self, now_ns: int) -> None:
        """What comes from now on does not follow on what came so far."""
        ...

    def take(self, now_s: float, now_ns: int) -> Message | None:
        """The next message to write; None where none is due. After it comes `written` or `not_written`."""
        ...

    def written(self) -> None:
        """The message taken stands in the stream."""
        ...

    def not_written(self) -> None:
        """It is not known to stand there: it is given again."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        ...


class TickOutlet:
    """Ticks in their order, in numbered batches, nothing conflated."""

    def __init__(self, symbol: str, *, epoch_after: int = 0) -> None:
        """Its epochs are greater than `epoch_after`."""
        self.stream = TICKS.named(symbol)
        self._symbol = symbol
        self._epoch_after = epoch_after
        self._sequence = Sequence()
        self._begins = True
        """Whether the next batch starts an epoch."""
        self._waiting: deque[TradeTick | BidAskTick | None] = deque()
        """None stands where continuity broke."""
        self._taken: list[TradeTick | BidAskTick] = []

    def put(self, item: Item) -> None:
        """Add a tick; where too many wait, the oldest goes, and the next batch starts an epoch."""
        assert isinstance(item, TradeTick | BidAskTick)  # noqa: S101 - the port was asked for ticks
        self._add(item)

    def interrupt(self, now_ns: int) -> None:  # noqa: ARG002 - an epoch is named when its first batch is
        """Ticks may be missing here: those behind belong to another epoch."""
        newest = self._waiting[-1] if self._waiting else next(iter(self._taken), None)
        if newest is None:
            self._begins = True
        else:
            self._add(None)

    def take(self, now_s: float, now_ns: int) -> TickBatch | None:  # noqa: ARG002 - ticks are due at once
        """At most `BATCH_TICKS_MAX` ticks of one epoch."""
        while self._waiting and self._waiting[0] is None:
            self._waiting.popleft()
            self._begins = True
        if not self._waiting:
            return None
        if self._begins:
            self._sequence.begin(now_ns // 1_000_000, after=self._epoch_after)
            self._begins = False
        while len(self._taken) < BATCH_TICKS_MAX and self._waiting and (tick := self._waiting[0]) is not None:
            self._taken.append(tick)
            self._waiting.popleft()
        return TickBatch(
            symbol=self._symbol,
            epoch=self._sequence.epoch,
            seq=self._sequence.next(),
            published_at=now_ns,
            trades=[tick for tick in self._taken if isinstance(tick, TradeTick)],
            quotes=[tick for tick in self._taken if isinstance(tick, BidAskTick)],
        )

    def written(self) -> None:
        """They are out."""
        self._taken.clear()

    def not_written(self) -> None:
        """They go out again, in a new epoch: whether the old one's last batch stands in the stream nobody knows."""
        self._waiting.extendleft(reversed(self._taken))
        self._taken.clear()
        self._begins = True
        while len(self._waiting) > TICKS_KEPT_MAX:
            self._waiting.popleft()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def _add(self, tick: TradeTick | BidAskTick | None) -> None:
        if len(self._waiting) >= TICKS_KEPT_MAX:
            self._waiting.popleft()
            self._begins = True
        self._waiting.append(tick)


class BarOutlet:
    """Bars, one message each. One that may have been written is written again: its time tells it."""

    def __init__(self, symbol: str) -> None:
        self.stream = LIVE_BARS.named(symbol)
        self._waiting: deque[FiveSecondBar] = deque(maxlen=BARS_KEPT_MAX)
        self._taken: FiveSecondBar | None = None

    def put(self, item: Item) -> None:
        """Add a bar; where too many wait, the oldest goes."""
        assert isinstance(item, FiveSecondBar)  # noqa: S101 - the port was asked for bars
        self._waiting.append(item)

    def interrupt(self, now_ns: int) -> None:
        """Nothing: each bar says of when it is, so a gap shows."""

    def take(self, now_s: float, now_ns: int) -> FiveSecondBar | None:  # noqa: ARG002 - bars are due at once
        """The oldest bar."""
        self._taken = self._waiting.popleft() if self._waiting else None
        return self._taken

    def written(self) -> None:
        """It is out."""
        self._taken = None

    def not_written(self) -> None:
        """It goes out again, unless newer ones have taken all the room."""
        if self._taken is not None and len(self._waiting) < BARS_KEPT_MAX:
            self._waiting.appendleft(self._taken)
        self._taken = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting


class DepthOutlet:
    """The newest state of a book, at most every `DEPTH_INTERVAL_S` seconds."""

    def __init__(self, symbol: str) -> None:
        self.stream = DEPTH.named(symbol)
        self._symbol = symbol
        self._newest: Depth | None = None
        self._taken: Depth | None = None
        self._is_shown = False
        """Whether rows stand in the stream that a reader takes for the book as it is."""
        self._due_s = 0.0

    def put(self, item: Item) -> None:
        """The book as it is now."""
        assert isinstance(item, Depth)  # noqa: S101 - the port was asked for books
        self._newest = item

    def interrupt(self, now_ns: int) -> None:
        """The book is not kept up from now on: readers are told an empty one, at once."""
        self._newest, self._due_s = None, 0.0
        if self._is_shown or self._taken is not None:
            self._newest = Depth(symbol=self._symbol, bids=[], asks=[], received_ns=now_ns)

    def take(self, now_s: float, now_ns: int) -> Depth | None:  # noqa: ARG002 - a book says when it was received
        """The newest state, if it is due."""
        if self._newest is None or now_s < self._due_s:
            return None
        self._taken, self._newest = self._newest, None
        self._due_s = now_s + DEPTH_INTERVAL_S
        return self._taken

    def written(self) -> None:
        """It is out."""
        if self._taken is not None:
            self._is_shown = bool(self._taken.bids or self._taken.asks)
        self._taken = None

    def not_written(self) -> None:
        """It goes out again, unless a newer one has come."""
        if self._newest is None:
            self._newest = self._taken
        self._taken = None
        self._is_shown = True  # it may stand there

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._newest is None


def outlet(kind: DataKind, symbol: str, *, epoch_after: int) -> Outlet:
    """The outlet for streams of this kind; where it numbers what it writes, by epochs greater than `epoch_after`."""
    if kind is DataKind.TICKS:
        return TickOutlet(symbol, epoch_after=epoch_after)
    return BarOutlet(symbol) if kind is DataKind.BARS else DepthOutlet(symbol)
