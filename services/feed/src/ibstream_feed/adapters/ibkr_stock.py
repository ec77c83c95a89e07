"""Ticks read by ib_async, and taken from its tickers: slower, and the measure of what the feed's own reading must give."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ibstream.runtime.clock import Clock
from ibstream_feed.domain.line import Line, Value
from ibstream_feed.ports import OnTicks

if TYPE_CHECKING:
    from ib_async import IB, Ticker

FORGOTTEN_MAX = 1000
"""Requests whose late ticks are let pass without a word; ib_async logs each tick of one that it does not know."""

_HALTS = {49, 90}
_VALUES = {0, 1, 2, 3, 4, 5, 8, 66, 67, 68, 69, 70, 71, 74}
"""Types of the ticks that a row is made of."""


class StockTicks:
    """Gives each request a ticker of its own. ib_async would have one for each contract, with the old values still in it."""

    def __init__(self, *, clock: Clock, on_ticks: OnTicks, on_snapshot_end: Callable[[int], None]) -> None:
        self._clock = clock
        self._on_ticks = on_ticks
        self._on_snapshot_end = on_snapshot_end
        self._wrapper: Any = None
        self._tickers: dict[int, Ticker] = {}
        self._lines: dict[Ticker, Line] = {}
        self._changed: set[Ticker] = set()
        """Those whose line's state has changed, which no tick of a value tells."""
        self._forgotten: deque[int] = deque()
        self._ticker_of_nobody: Ticker | None = None

    def attach(self, ib: IB) -> None:
        """Hear what ib_async has read, for all sessions to come."""
        from ib_async import Ticker

        self._wrapper = ib.wrapper
        self._wrapper.marketDataType = self._on_data_type
        self._wrapper.tickSnapshotEnd = self._on_end
        self._ticker_of_nobody = Ticker()
        ib.pendingTickersEvent += self._on_tickers

    def watch(self, request_id: int, line: Line) -> None:
        """Write what comes for a request into a line."""
        from ib_async import Ticker

        ticker = Ticker(defaults=self._wrapper.defaults)
        self._wrapper.reqId2Ticker[request_id] = ticker
        self._tickers[request_id] = ticker
        self._lines[ticker] = line

    def forget(self, request_id: int) -> None:
        """Write nothing of a request any more."""
        ticker = self._tickers.pop(request_id, None)
        if ticker is None:
            return
        del self._lines[ticker]
        self._changed.discard(ticker)
        tickers = self._wrapper.reqId2Ticker
        tickers[request_id] = self._ticker_of_nobody
        self._forgotten.append(request_id)
        if len(self._forgotten) > FORGOTTEN_MAX:
            oldest = self._forgotten.popleft()
            if tickers.get(oldest) is self._ticker_of_nobody:  # else a later session has given the id out anew
                del tickers[oldest]

    def clear(self) -> None:
        """Write nothing of any request any more."""
        for request_id in list(self._tickers):
            self.forget(request_id)

    def flush(self) -> None:
        """Tell the ticks of this read that ib_async has decoded so far, and has not told."""
        ours = [ticker for ticker in self._wrapper.pendingTickers if ticker in self._lines]
        self._on_tickers(ours)
        for ticker in ours:
            ticker.ticks = []  # so that at the end of the read they are told only if more has come

    def _on_tickers(self, tickers: Iterable[Ticker]) -> None:
        touched = [ticker for ticker in tickers if self._write(ticker)]
        if touched:
            self._on_ticks([self._lines[ticker] for ticker in touched], self._clock.time_ns())

    def _write(self, ticker: Ticker) -> bool:
        """Write what is new into the ticker's line, and return whether anything of its row is."""
        line = self._lines.get(ticker)
        if line is None:
            return False
        is_touched = False
        for tick in ticker.ticks:
            if tick.tickType in _HALTS:
                self._say(ticker, line.data_type, halted=tick.price > 0)
            elif tick.tickType in _VALUES:
                is_touched = True
        line.values[:] = _values(ticker)
        is_changed = ticker in self._changed
        self._changed.discard(ticker)
        return is_touched or is_changed

    def _say(self, ticker: Ticker, data_type: int, *, halted: bool) -> None:
        line = self._lines[ticker]
        if (data_type, halted) == (line.data_type, line.halted):
            return
        line.data_type, line.halted = data_type, halted
        if line.known is line.values:
            self._changed.add(ticker)

    def _on_data_type(self, request_id: int, data_type: int) -> None:
        ticker = self._tickers.get(request_id)
        if ticker is not None:
            self._say(ticker, data_type, halted=self._lines[ticker].halted)
            self._wrapper.pendingTickers.add(ticker)

    def _on_end(self, request_id: int) -> None:
        if request_id in self._tickers:
            self.flush()
            self._on_snapshot_end(request_id)


def _values(ticker: Ticker) -> list[Value]:
    """In the order of a line's; ib_async has NaN before the first."""
    told = (
        *(ticker.bid, ticker.ask, ticker.last),
        *(ticker.bidSize, ticker.askSize, ticker.lastSize),
        ticker.volume,
    )
    return [value if value == value else None for value in told]  # NaN alone differs from itself
