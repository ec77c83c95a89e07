"""One symbol's quote as it stands: written by whoever reads ticks, read by whoever publishes rows. The hot path's only record."""

from __future__ import annotations

from collections.abc import Callable

from ibstream.contracts.quotes import Quality, Quote

BID, ASK, LAST, BID_SIZE, ASK_SIZE, LAST_SIZE, VOLUME = range(7)
"""Where a value stands in `Line.values`."""

VALUES = 7

LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4
"""IBKR's market data types, as it tells them of each subscription."""

UNSET_FROM = 1e300
"""IBKR writes the greatest double for "not known"."""

Value = bytes | float | None
"""A number as it came off the wire, or already read; None before there is one."""

NUMBERS_KEPT_MAX = 50_000
"""Numbers remembered by the bytes they came in; of more, all are forgotten."""

Shown = tuple[
    float | None, float | None, float | None, float | None, float | None, float | None, float | None, Quality, bool
]
"""What a row says but for its symbol and time: bid, ask, last, their sizes, volume, quality, halted."""

_LIVE = Quality.LIVE
_QUALITIES = {
    LIVE: _LIVE,
    FROZEN: Quality.FROZEN,
    DELAYED: Quality.DELAYED,
    DELAYED_FROZEN: Quality.DELAYED_FROZEN,
}


class Line:
    """The values of one symbol, and where they stand.

    Ticks are written straight into `values`, as the bytes they came in: a value that is overwritten before anyone asks for
    it is never read. After that the book is told (`QuoteBook.ticked`), once for all the lines that one read has touched.
    """

    __slots__ = (
        "_is_sampled",
        "_said",
        "data_type",
        "halted",
        "is_closed",
        "is_gathering",
        "is_stale",
        "is_unsaved",
        "is_unsent",
        "known",
        "sent",
        "shard",
        "symbol",
        "time_ns",
        "values",
    )

    def __init__(self, symbol: str, shard: int) -> None:
        self.symbol = symbol
        self.shard = shard
        self.values: list[Value] = [None] * VALUES
        self.known: list[Value] = self.values
        """What the row shows: `values`, but of a line that is stale, or has begun and waits for its first tick, what stood
        before."""
        self.time_ns = 0
        """When the newest value came; of a stale line, since when it is not kept up. 0: nothing came yet."""
        self.data_type = LIVE
        """As IBKR says of this subscription, like `halted`: of `values`, so not of the row before that shows them."""
        self.halted = False
        self._is_sampled = False
        self._said: tuple[int, bool, bool] = (LIVE, False, False)
        """Data type, halt and whether it was sampled, of `known` while that is not `values`."""
        self.is_gathering = False
        """Whether a snapshot of it is on its way: its values are not whole yet, and the book does not look at them."""
        self.is_stale = True
        self.is_closed = False
        """Whether the book has forgotten it: what may still arrive is nobody's."""
        self.is_unsent = False
        self.is_unsaved = False
        self.sent: Shown | None = None
        """What the last row said, to know whether the next one says anything new; None where nobody can know."""

    def begin(self) -> None:
        """A subscription begins: old values must not pass for new beside the first tick. Until that comes they are shown."""
        self.hold()
        self.values = [None] * VALUES
        self.data_type = LIVE
        self.halted = False

    def hold(self) -> None:
        """Until the next tick that is believed the row shows what it shows now, and says of it what it says now."""
        if self.known is self.values:
            self.known = self.known.copy()
            self._said = self.data_type, self.halted, self._is_sampled

    def forgo(self) -> None:
        """What has begun comes to nothing: all is as the row shows it."""
        if self.known is not self.values:
            self.values = self.known
            self.data_type, self.halted, _ = self._said

    @property
    def is_sampled(self) -> bool:
        """Whether it is asked for in turn with others, and not streamed. A sample stays one until the first tick of a stream;
        what was streamed is a sample at once, as it is not kept up any more."""
        return self._is_sampled

    @is_sampled.setter
    def is_sampled(self, is_sampled: bool) -> None:
        if self._is_sampled and not is_sampled:
            self.hold()
        self._is_sampled = is_sampled

    @property
    def quality(self) -> Quality:
        """Where the row stands: stale before anything else, then what IBKR says of the data, then whether it is sampled."""
        return self._standing()[0]

    def _standing(self) -> tuple[Quality, bool]:
        """The quality of what the row shows, and whether it is halted."""
        if self.known is self.values:
            data_type, halted, is_sampled = self.data_type, self.halted, self._is_sampled
        else:
            data_type, halted, is_sampled = self._said
            is_sampled = is_sampled or self._is_sampled
        if self.is_stale:
            return Quality.STALE, halted
        quality = _QUALITIES.get(data_type, _LIVE)
        return (Quality.SNAPSHOT if is_sampled and quality is _LIVE else quality), halted

    def shown(self) -> Shown:
        """What the row says as it stands."""
        bid, ask, last, bid_size, ask_size, last_size, volume = self.known
        bid_size = _size(bid_size)
        ask_size = _size(ask_size)
        last = _price(last)
        quality, halted = self._standing()
        return (
            _price(bid) if bid_size else None,  # a size of 0 is one of IBKR's ways of saying that there is none
            _price(ask) if ask_size else None,
            last,
            bid_size,
            ask_size,
            None if last is None else _size(last_size),
            _size(volume),
            quality,
            halted,
        )

    def row(self) -> Quote:
        """The quote as it stands."""
        return self.row_of(self.shown())

    def row_of(self, shown: Shown) -> Quote:
        """The quote that says this."""
        bid, ask, last, bid_size, ask_size, last_size, volume, quality, halted = shown
        return Quote(self.symbol, bid, ask, last, bid_size, ask_size, last_size, volume, self.time_ns, quality, halted)

    def restore(self, row: Quote) -> None:
        """Take what an earlier life, or another process, knew last: shown as stale until a tick comes."""
        restored: list[Value] = [row.bid, row.ask, row.last, row.bid_size, row.ask_size, row.last_size, row.volume]
        if self.values is self.known:  # else a subscription has begun, and what it brings must not mingle with this
            self.values = restored
            self.halted = row.halted
        self.known = restored
        self._said = LIVE, row.halted, False
        self.time_ns = row.time_ns
        self.is_stale = True


def number(value: Value) -> float | None:
    """A value as a number; None for one that is unset, or none at all."""
    if value is None or value == b"":
        return None
    try:
        read = float(value)
    except ValueError:
        return None
    return read if abs(read) < UNSET_FROM else None  # which NaN is not, either


def price(value: Value) -> float | None:
    """A value as a price; -1 is IBKR's other way of saying that there is none."""
    read = number(value)
    return None if read == -1 else read


def size(value: Value) -> float | None:
    """A value as a size or volume, which is never negative."""
    read = number(value)
    return None if read is None or read < 0 else read


class _Remembered(dict[Value, float | None]):
    """What a value was read as before: most prices and sizes come again and again."""

    def __init__(self, read: Callable[[Value], float | None]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, value: Value) -> float | None:
        if len(self) >= NUMBERS_KEPT_MAX:
            self.clear()
        read = self[value] = self._read(value)
        return read


_price = _Remembered(price).__getitem__
_size = _Remembered(size).__getitem__
