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

_QUALITIES = {
    LIVE: Quality.LIVE,
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
        "data_type",
        "halted",
        "is_gathering",
        "is_sampled",
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
        """As IBKR says of this subscription."""
        self.halted = False
        self.is_sampled = False
        """Whether it is asked for in turn with others, and not streamed."""
        self.is_gathering = False
        """Whether a snapshot of it is on its way: its values are not whole yet, and the book does not look at them."""
        self.is_stale = True
        self.is_unsent = False
        self.is_unsaved = False
        self.sent: Shown | None = None
        """What the last row said, to know whether the next one says anything new; None where nobody can know."""

    def begin(self) -> None:
        """A subscription begins: old values must not pass for new beside the first tick. Until that comes they are shown."""
        self.values = [None] * VALUES
        self.data_type = LIVE
        self.halted = False

    @property
    def quality(self) -> Quality:
        """Where the row stands: stale before anything else, then what IBKR says of the data, then whether it is sampled."""
        if self.is_stale:
            return Quality.STALE
        quality = _QUALITIES.get(self.data_type, Quality.LIVE)
        return Quality.SNAPSHOT if self.is_sampled and quality is Quality.LIVE else quality

    def shown(self) -> Shown:
        """What the row says as it stands."""
        bid, ask, last, bid_size, ask_size, last_size, volume = self.known
        bid_size = _size(bid_size)
        ask_size = _size(ask_size)
        last = _price(last)
        return (
            _price(bid) if bid_size else None,  # a size of 0 is one of IBKR's ways of saying that there is none
            _price(ask) if ask_size else None,
            last,
            bid_size,
            ask_size,
            None if last is None else _size(last_size),
            _size(volume),
            self.quality,
            self.halted,
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
        self.known = restored
        self.time_ns = row.time_ns
        self.halted = row.halted
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
