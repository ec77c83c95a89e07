"""Quotes from a Gateway."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quality, Quote
from ibstream.ibkr import GatewayUnavailable, RequestFailed
from ibstream.ibkr.codes import CodeClass, classify
from ibstream.ibkr.contracts import ContractBook, InstrumentError
from ibstream.ibkr.session import IbkrSession, SessionOptions
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent
from ibstream.runtime.settings import Settings
from ibstream_feed.ports import OnQuote, OnSubscription

if TYPE_CHECKING:
    from ib_async import IB, Ticker

LOOKUPS_AT_ONCE = 8
"""Contract look-ups under way together: each waits for an answer, and the next need not."""

_QUALITIES = {1: Quality.LIVE, 2: Quality.FROZEN, 3: Quality.DELAYED, 4: Quality.DELAYED}

_HARMLESS = {CodeClass.BENIGN, CodeClass.INFO}

_OUTCOMES = {
    CodeClass.NO_PERMISSION: SubscriptionOutcome.NO_PERMISSION,
    CodeClass.DELAYED_DATA: SubscriptionOutcome.DELAYED,
    CodeClass.CAPACITY: SubscriptionOutcome.OVER_CAPACITY,
    CodeClass.UNKNOWN_CONTRACT: SubscriptionOutcome.UNKNOWN_INSTRUMENT,
}


class IBKRMarketFeed:
    """The feed's connection: market data alone, subscribed anew with every session."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._clock = clock
        options = SessionOptions(service="feed", requests_per_s=settings.feed.requests_per_s)
        self._session = IbkrSession(settings, options, clock=clock, on_error=self._on_error)
        self._contracts = ContractBook(self._session)
        self._symbols: dict[int, str] = {}
        """Symbol by contract id, of what is subscribed in this session."""
        self._requests: dict[int, str] = {}
        """Symbol by request id, to know whom a code is about."""
        self._on_quote: OnQuote = lambda _: None
        self._on_subscription: OnSubscription = lambda *_: None

    @property
    def gateway(self) -> str:
        """`host:port` of the Gateway."""
        return self._session.address

    @property
    def account(self) -> str:
        """The account of the session."""
        return self._session.account

    def listen(self, on_quote: OnQuote, on_subscription: OnSubscription) -> None:
        """Tell where rows and outcomes go."""
        self._on_quote, self._on_subscription = on_quote, on_subscription

    async def connect(self, client_id: int) -> None:
        """Make the session; nothing is subscribed on it yet."""
        await self._session.connect(client_id, self._prepare)

    async def next_event(self) -> ConnectionEvent:
        """What happens next to the session."""
        return await self._session.next_event()

    async def close(self) -> None:
        """End the session."""
        await self._session.close()

    async def subscribe(self, instruments: Sequence[Instrument], *, afresh: bool) -> None:
        """Look up and subscribe, within the message limit, several at once: a look-up waits for its answer."""
        if afresh:
            self._forget_subscriptions()
        waiting = iter(instruments)
        async with asyncio.TaskGroup() as group:
            for _ in range(LOOKUPS_AT_ONCE):
                group.create_task(self._subscribe_each(waiting))

    def _forget_subscriptions(self) -> None:
        """IBKR has dropped them. ib_async's tickers go too: their old prices would pass for new with the first tick."""
        self._symbols.clear()
        self._requests.clear()
        wrapper = self._session.ib.wrapper
        wrapper.tickers.clear()
        wrapper.ticker2ReqId.clear()
        wrapper.reqId2Ticker.clear()

    async def _subscribe_each(self, waiting: Iterator[Instrument]) -> None:
        for instrument in waiting:
            try:
                await self._subscribe_one(instrument)
            except InstrumentError as error:
                self._on_subscription(instrument.symbol, SubscriptionOutcome.UNKNOWN_INSTRUMENT, str(error), 200)
            except RequestFailed as error:
                self._on_subscription(instrument.symbol, SubscriptionOutcome.REFUSED, str(error), error.code)
            except TimeoutError as error:
                if not self._symbols:  # not one of them: it is the Gateway that does not answer yet, not the symbol
                    raise GatewayUnavailable(f"no look-up is answered: {error}") from error
                self._on_subscription(instrument.symbol, SubscriptionOutcome.REFUSED, str(error), 0)

    async def _subscribe_one(self, instrument: Instrument) -> None:
        contract = await self._contracts.find(instrument)
        if contract.conId in self._symbols:  # a second subscription would leak the first one's line
            return
        await self._session.room()
        ib = self._session.ib
        self._symbols[contract.conId] = instrument.symbol
        ticker = ib.reqMktData(contract)
        self._requests[ib.wrapper.ticker2ReqId["mktData"][ticker]] = instrument.symbol
        self._on_subscription(instrument.symbol, SubscriptionOutcome.ACTIVE, "", 0)

    def _prepare(self, ib: IB) -> None:
        ib.pendingTickersEvent += self._on_tickers

    def _on_tickers(self, tickers: Iterable[Ticker]) -> None:
        """All tickers that one read of the socket touched; several ticks of one are already one row."""
        now_ns = self._clock.time_ns()
        for ticker in tickers:
            contract = ticker.contract
            symbol = self._symbols.get(contract.conId) if contract is not None else None
            if symbol is not None:
                self._on_quote(_row(symbol, ticker, now_ns))

    def _on_error(self, request_id: int, code: int, text: str) -> None:
        symbol, kind = self._requests.get(request_id), classify(code, text)
        if symbol is not None and kind not in _HARMLESS:
            self._on_subscription(symbol, _OUTCOMES.get(kind, SubscriptionOutcome.REFUSED), text, code)


def _row(symbol: str, ticker: Ticker, now_ns: int) -> Quote:
    return Quote(
        symbol=symbol,
        bid=_price(ticker.bid),
        ask=_price(ticker.ask),
        last=_price(ticker.last),
        bid_size=_size(ticker.bidSize),
        ask_size=_size(ticker.askSize),
        last_size=_size(ticker.lastSize),
        volume=_size(ticker.volume),
        time_ns=now_ns,
        quality=_QUALITIES.get(ticker.marketDataType, Quality.LIVE),
    )


def _price(value: float) -> float | None:
    """IBKR writes -1 with size 0 for "there is none"; ib_async has NaN before the first."""
    return None if math.isnan(value) or value == -1 else value


def _size(value: float) -> float | None:
    return None if math.isnan(value) or value < 0 else value
