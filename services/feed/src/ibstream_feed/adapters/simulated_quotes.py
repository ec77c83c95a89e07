"""Lines and snapshots of the simulated market."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ibstream.ibkr import GatewayUnavailable, RequestFailed
from ibstream.simulation.extents import TimedQuote
from ibstream.simulation.instruments import InstrumentMaster, Listing
from ibstream.simulation.market import Market
from ibstream.simulation.quotes import Quote
from ibstream_feed.adapters.simulated_contracts import NO_CONTRACT
from ibstream_feed.domain.line import ASK, ASK_SIZE, BID, BID_SIZE, LAST, LAST_SIZE, VOLUME, Line
from ibstream_feed.ports import OnCode, OnTicks, Qualified


@dataclass(slots=True)
class _Quoted:
    """What a line shows, and until when that stands which was written last."""

    listing: Listing
    quote_at: Callable[[int], TimedQuote]
    beyond_ns: int = 0

    def write(self, line: Line, now_ns: int) -> bool:
        """Write the quote where it is another than the one before; return whether it was."""
        if now_ns < self.beyond_ns:
            return False
        _, self.beyond_ns, quote = self.quote_at(now_ns)
        _write(line, quote, self.listing)
        return True


@dataclass(slots=True, eq=False)
class _Snapshot:
    line: Line
    quoted: _Quoted
    told: asyncio.Future[None]


class QuoteDesk:
    """All lines that are followed, and what waits for the next step: snapshots and refusals."""

    def __init__(self, market: Market, master: InstrumentMaster) -> None:
        self._market = market
        self._master = master
        self._lines: dict[Line, _Quoted] = {}
        self._refused: set[Line] = set()
        self._snapshots: list[_Snapshot] = []
        self.on_ticks: OnTicks = lambda *_: None
        self.on_code: OnCode = lambda *_: None

    def subscribe(self, line: Line, contract: Qualified) -> None:
        """Follow from the next step on, or refuse with it."""
        line.begin()
        quoted = self._quoted(contract)
        if quoted is None:
            self._refused.add(line)
        else:
            self._lines[line] = quoted

    def unsubscribe(self, line: Line) -> None:
        """Write and say nothing more of it."""
        self._lines.pop(line, None)
        self._refused.discard(line)

    async def snapshot(self, line: Line, contract: Qualified) -> None:
        """Return when the next step has told it. Raises `RequestFailed`, and `GatewayUnavailable` where none comes."""
        quoted = self._quoted(contract)
        if quoted is None:
            raise RequestFailed(*NO_CONTRACT)
        waiting = _Snapshot(line, quoted, asyncio.get_running_loop().create_future())
        self._snapshots.append(waiting)
        line.is_gathering = True
        try:
            await waiting.told
        finally:
            line.is_gathering = False

    def step(self, now_ns: int) -> None:
        """Tell what has changed, and what has waited."""
        touched = [line for line, quoted in self._lines.items() if quoted.write(line, now_ns)]
        if touched:
            self.on_ticks(touched, now_ns)
        refused, self._refused = self._refused, set()
        for line in refused:
            self.on_code(line, *NO_CONTRACT)
        snapshots, self._snapshots = self._snapshots, []
        for waiting in snapshots:
            if not waiting.told.done():
                self._tell(waiting, now_ns)

    def forget(self, reason: str) -> None:
        """The session is over: nothing is followed, and what waits is in vain."""
        self._lines.clear()
        self._refused.clear()
        snapshots, self._snapshots = self._snapshots, []
        for waiting in snapshots:
            if not waiting.told.done():
                waiting.told.set_exception(GatewayUnavailable(f"the session ended during a snapshot: {reason}"))

    def _tell(self, waiting: _Snapshot, now_ns: int) -> None:
        line = waiting.line
        line.begin()
        waiting.quoted.write(line, now_ns)
        line.is_gathering = False
        self.on_ticks([line], now_ns)
        waiting.told.set_result(None)

    def _quoted(self, contract: Qualified) -> _Quoted | None:
        listing = self._master.by_con_id(contract.con_id)
        return None if listing is None else _Quoted(listing, self._market.source(listing.symbol))


def _write(line: Line, quote: Quote, listing: Listing) -> None:
    """What IBKR tells of such an instrument; what it does not tell stays as it is."""
    values = line.values
    if listing.has_book:
        values[BID], values[BID_SIZE] = quote.bid, float(quote.bid_size)
        values[ASK], values[ASK_SIZE] = quote.ask, float(quote.ask_size)
    if listing.has_trades:
        values[LAST], values[LAST_SIZE] = quote.last, float(quote.last_size)
    if listing.has_book and listing.has_trades:
        values[VOLUME] = float(quote.volume)
