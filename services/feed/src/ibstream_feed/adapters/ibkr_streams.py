"""Single ticks, five-second bars and order books of a Gateway, by ib_async's own decoding.

Its tickers are left aside: one ticker of a contract is shared by all its subscriptions, holds the ticks of the chunk just read
alone, and drops IBKR's time of a tick. So what the decoder calls is taken over, and told apart by request.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import quote_symbol
from ibstream.contracts.ticks import DEPTH_LEVELS, BidAskTick, FiveSecondBar, Level, TradeTick
from ibstream.ibkr import GatewayUnavailable
from ibstream.ibkr.contracts import SMART, to_ib_symbol
from ibstream.ibkr.session import IbkrSession
from ibstream.runtime.clock import Clock
from ibstream_feed.domain.depth import DepthBook
from ibstream_feed.domain.streams import ALL_TRADES, bars_of, tick_types
from ibstream_feed.ports import Item, OnItem, OnStreamCode, Qualified

if TYPE_CHECKING:
    from ib_async import Contract

BAR_S = 5
BOOK_RESET = 317

Send = Callable[[Any, int], None]
"""Sends a message about a request id through ib_async's client."""


@dataclass(eq=False)
class _Stream:
    symbol: str
    on_item: OnItem
    on_code: OnStreamCode
    session: int
    """In which of the connection's sessions it was asked for."""
    book: DepthBook
    cancels: dict[int, Send] = field(default_factory=dict)
    """What was asked for it, by request id, and how each is ended."""


class Streams:
    """The streams of one connection. `open` and `close` are as the port says of `open_stream` and `close_stream`."""

    def __init__(self, session: IbkrSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._numbers = itertools.count(1)
        self._streams: dict[int, _Stream] = {}
        self._by_request: dict[int, _Stream] = {}
        self._wrapper: Any = None
        self._changed_books: set[_Stream] = set()

    async def open(self, kind: DataKind, contract: Qualified, on_item: OnItem, on_code: OnStreamCode) -> int:
        """Ask for a stream and return its number, once the requests are sent. Ticks are one request for trades and one for
        bids and asks, where the instrument has both."""
        symbol = quote_symbol(contract.instrument)
        stream = _Stream(symbol, on_item, on_code, self._session.count, DepthBook(symbol))
        try:
            for ask, cancel in _requests(kind, contract):
                await self._session.room()
                self._ask(stream, ask, cancel)
        except BaseException:
            self._cancel_at_once(stream)
            raise
        number = next(self._numbers)
        self._streams[number] = stream
        return number

    async def close(self, number: int) -> None:
        """End a stream; nothing where there is none of this number, or its session is over. Whoever cannot wait for room for the
        messages cancels this: they are sent all the same, at once."""
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        self._drop(stream)
        try:
            while stream.cancels and self._is_of_this_session(stream):
                await self._session.room()
                self._send(stream, *stream.cancels.popitem())
        except BaseException:
            self._cancel_at_once(stream)
            raise

    def on_code(self, request_id: int, code: int, text: str) -> bool:
        """Hand a code to the stream that it is about; False where it is about none."""
        stream = self._by_request.get(request_id)
        if stream is None:
            return False
        if code == BOOK_RESET:
            stream.book.clear()
            self._book_changed(stream)
        stream.on_code(code, text)
        return True

    def forget(self) -> None:
        """The session is over, and every stream with it."""
        self._streams.clear()
        self._by_request.clear()
        self._changed_books.clear()

    # What goes out.

    def _ask(self, stream: _Stream, ask: Send, cancel: Send) -> None:
        if stream.session != self._session.count:
            raise GatewayUnavailable("the session ended while a stream was asked for")
        ib = self._session.ib
        self._take_over(ib.wrapper)
        request_id = ib.client.getReqId()
        self._by_request[request_id] = stream
        stream.cancels[request_id] = cancel
        _ask_or_unavailable(ask, ib.client, request_id)

    def _cancel_at_once(self, stream: _Stream) -> None:
        """Without waiting for room: whoever asked is gone, and what was sent in part must not go on unseen."""
        self._drop(stream)
        for request_id, cancel in stream.cancels.items():
            self._send(stream, request_id, cancel)

    def _send(self, stream: _Stream, request_id: int, message: Send) -> None:
        if self._is_of_this_session(stream):
            try:
                message(self._session.ib.client, request_id)
            except ConnectionError:
                return  # it ended just now, and the stream with it

    def _is_of_this_session(self, stream: _Stream) -> bool:
        return self._session.connected and stream.session == self._session.count

    def _drop(self, stream: _Stream) -> None:
        for request_id in stream.cancels:
            self._by_request.pop(request_id, None)
        self._changed_books.discard(stream)

    # What comes in.

    def _take_over(self, wrapper: Any) -> None:
        """Have the decoder, which looks these names up with each message, call us. Nobody else here asks for such messages."""
        if wrapper is self._wrapper:
            return
        self._wrapper = wrapper
        wrapper.tickByTickAllLast = self._on_trade
        wrapper.tickByTickBidAsk = self._on_bid_ask
        wrapper.realtimeBar = self._on_bar
        wrapper.updateMktDepth = self._on_row
        wrapper.updateMktDepthL2 = self._on_row_of

    def _on_trade(
        self,
        request_id: int,
        _type: int,
        time_s: int,
        price: float,
        size: float,
        attributes: Any,
        exchange: str,
        conditions: str,
    ) -> None:
        flags = attributes.pastLimit, attributes.unreported
        self._tell(request_id, TradeTick(time_s, price, size, exchange, conditions, *flags, self._clock.time_ns()))

    def _on_bid_ask(
        self, request_id: int, time_s: int, bid: float, ask: float, bid_size: float, ask_size: float, _: Any
    ) -> None:
        prices = _price(bid, bid_size), _price(ask, ask_size)
        self._tell(request_id, BidAskTick(time_s, *prices, bid_size, ask_size, self._clock.time_ns()))

    def _on_bar(self, request_id: int, time_s: int, *values: float) -> None:
        stream = self._by_request.get(request_id)
        if stream is not None:
            self._tell(request_id, _bar(stream.symbol, time_s, *values))

    def _tell(self, request_id: int, item: Item) -> None:
        stream = self._by_request.get(request_id)
        if stream is not None:  # else it was on its way when its stream was closed
            stream.on_item(item)

    def _on_row(self, request_id: int, position: int, operation: int, side: int, price: float, size: float) -> None:
        self._on_row_of(request_id, position, "", operation, side, price, size)

    def _on_row_of(
        self,
        request_id: int,
        position: int,
        market_maker: str,
        operation: int,
        side: int,
        price: float,
        size: float,
        _is_smart: bool = False,
    ) -> None:
        stream = self._by_request.get(request_id)
        if stream is not None:
            stream.book.change(position, operation, side, Level(price, size, market_maker))
            self._book_changed(stream)

    def _book_changed(self, stream: _Stream) -> None:
        """Tell the book once for all the rows that one read of the socket brings."""
        if not self._changed_books:
            asyncio.get_running_loop().call_soon(self._tell_books)
        self._changed_books.add(stream)

    def _tell_books(self) -> None:
        changed, self._changed_books = self._changed_books, set()
        now_ns = self._clock.time_ns()
        for stream in changed:
            stream.on_item(stream.book.told(now_ns))


def _ask_or_unavailable(ask: Send, client: Any, request_id: int) -> None:
    """Send a request; ib_async's bare `ConnectionError` becomes ours."""
    try:
        ask(client, request_id)
    except GatewayUnavailable:
        raise
    except ConnectionError as error:
        raise GatewayUnavailable(str(error)) from error


def _requests(kind: DataKind, qualified: Qualified) -> list[tuple[Send, Send]]:
    """How to ask for a stream and how to end it, for each request that it takes."""
    contract = _contract(qualified)
    security_type = qualified.instrument.security_type
    if kind is DataKind.TICKS:
        names = tick_types(security_type) or (ALL_TRADES,)  # where there are none, IBKR says so itself
        return [(_ask_ticks(contract, name), _cancel_ticks) for name in names]
    if kind is DataKind.BARS:
        what = bars_of(security_type)
        return [
            (lambda client, number: client.reqRealTimeBars(number, contract, BAR_S, what, False, []), _cancel_bars)  # noqa: FBT003
        ]
    is_smart = contract.exchange == SMART
    return [
        (
            lambda client, number: client.reqMktDepth(number, contract, DEPTH_LEVELS, is_smart, None),
            lambda client, number: client.cancelMktDepth(number, is_smart),
        )
    ]


def _ask_ticks(contract: Contract, name: str) -> Send:
    return lambda client, number: client.reqTickByTickData(number, contract, name, 0, False)  # noqa: FBT003 - its own order


def _cancel_ticks(client: Any, number: int) -> None:
    client.cancelTickByTickData(number)


def _cancel_bars(client: Any, number: int) -> None:
    client.cancelRealTimeBars(number)


def _contract(qualified: Qualified) -> Contract:
    """The contract id and where to ask say it all; the rest is for the Gateway's own checks."""
    from ib_async import Contract

    instrument = qualified.instrument
    return Contract(
        conId=qualified.con_id,
        secType=instrument.security_type,
        symbol=to_ib_symbol(instrument.symbol),
        exchange=qualified.exchange,
        primaryExchange=qualified.primary_exchange,
        currency=instrument.currency,
        localSymbol=qualified.local_symbol,
    )


def _bar(
    symbol: str,
    time_s: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    wap: float,
    count: float,
) -> FiveSecondBar:
    has_trades = volume >= 0  # those of midpoints say -1
    return FiveSecondBar(
        symbol=symbol,
        at=datetime.fromtimestamp(time_s, UTC),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume if has_trades else None,
        wap=wap if has_trades else None,
        count=int(count) if has_trades else None,
    )


def _price(price: float, size: float) -> float | None:
    """IBKR says -1 or 0, and no size, where there is none."""
    return None if price <= 0 and size <= 0 else price
