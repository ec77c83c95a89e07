"""One symbol's quote as it stands: written by whoever reads ticks, read by whoever publishes rows. The hot path's only record."""

from __future__ import annotations

import math

import msgspec

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
        """What the row shows: `values`, but between `begin` and the first tick what stood before."""
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
        self.sent: tuple[list[Value], Quality, bool] | None = None
        """What the last row said, to know whether the next one says anything new; None where nobody can know."""

    def begin(self) -> None:
        """A subscription begins: old values must not pass for new beside the first tick. Until that comes they are still shown."""
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

    def row(self) -> Quote:
        """The quote as it stands."""
        bid, ask, last, bid_size, ask_size, last_size, volume = map(number, self.known)
        if not bid_size or bid == -1:  # IBKR's way of saying that there is none: -1, or a size of 0
            bid = None
        if not ask_size or ask == -1:
            ask = None
        if last == -1:
            last = None
        return Quote(
            self.symbol,
            bid,
            ask,
            last,
            bid_size if bid_size is None or bid_size >= 0 else None,
            ask_size if ask_size is None or ask_size >= 0 else None,
            last_size if last is not None and last_size is not None and last_size >= 0 else None,
            volume if volume is None or volume >= 0 else None,
            self.time_ns,
            self.quality,
            self.halted,
        )

    def restore(self, row: Quote) -> None:
        """Take what an earlier life, or another process, knew last: shown as stale until a tick comes."""
        self.values = [row.bid, row.ask, row.last, row.bid_size, row.ask_size, row.last_size, row.volume]
        self.known = self.values
        self.time_ns = row.time_ns
        self.halted = row.halted


def number(value: Value) -> float | None:
    """A value as a number; None for one that is unset, or none at all."""
    if value is None or value == b"":
        return None
    try:
        read = float(value)
    except ValueError:
        return None
    return read if read < UNSET_FROM and not math.isnan(read) else None


def stale(row: Quote, time_ns: int) -> Quote:
    """The row, no longer kept up."""
    return msgspec.structs.replace(row, quality=Quality.STALE, time_ns=time_ns)
