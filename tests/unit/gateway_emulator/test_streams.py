"""Books, single ticks and real-time bars: each agrees with the market, and each has its limits and errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest
from unit.gateway_emulator.quote_rig import MONDAY, Floor, named, of, stock

from ibstream.simulation.market import Market
from ibstream.simulation.sessions import from_ns
from ibstream_gateway_emulator.domain.codes import Code
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.messages import (
    Error,
    HistoricalBidAsks,
    HistoricalMidpoints,
    HistoricalTrades,
    MarketDepth,
    MarketDepthL2,
    Message,
    RealTimeBar,
    TickByTickBidAsk,
    TickByTickMidpoint,
    TickByTickTrade,
)

EUR_USD = named("CASH", "EUR", "IDEALPRO")
SPX = named("IND", "SPX", "CBOE")
ES = named("FUT", "", "CME", local_symbol="ESZ6")
AAPL_ON_ISLAND = named("STK", "AAPL", "ISLAND")
AAPL_CALL = named("OPT", "", "SMART", local_symbol="AAPL  261218C00100000")
BAG = named("BAG", "AAPL", "SMART")


def codes_of(messages: list[Message]) -> list[int]:
    return [error.code for error in of(messages, Error)]


def depth(
    floor: Floor, req_id: int, contract: tuple[str, ...], rows: int = 5, *, is_smart: bool = False
) -> list[Message]:
    return floor.ask(10, 5, req_id, *contract, rows, int(is_smart), "")


def single(
    floor: Floor, req_id: int, kind: str, contract: tuple[str, ...] = (), past: int = 0, ignore: int = 0
) -> list[Message]:
    return floor.ask(97, req_id, *(contract or stock("AAPL")), kind, past, ignore)


def bars(
    floor: Floor, req_id: int, what: str, contract: tuple[str, ...] = (), *, seconds: int = 5, rth: int = 0
) -> list[Message]:
    return floor.ask(50, 3, req_id, *(contract or stock("AAPL")), seconds, what, rth, "")


class Ladder:
    """A book as a client keeps it: rows are inserted, changed and deleted by position."""

    def __init__(self) -> None:
        self.sides: tuple[list[tuple[float, int]], list[tuple[float, int]]] = ([], [])

    def apply(self, messages: list[Message]) -> None:
        for one in messages:
            assert isinstance(one, MarketDepth | MarketDepthL2)
            rows, row = self.sides[one.side], (float(one.price), int(one.size))
            if one.operation == 0:
                rows.insert(one.position, row)
            elif one.operation == 1:
                rows[one.position] = row
            else:
                del rows[one.position]


@pytest.mark.parametrize(
    ("contract", "key", "is_smart", "kind"),
    [
        (stock("AAPL"), "AAPL", True, MarketDepthL2),
        (AAPL_ON_ISLAND, "AAPL", False, MarketDepth),
        (ES, "ESZ2026", False, MarketDepth),
        (EUR_USD, "EUR.USD", False, MarketDepth),
    ],
    ids=["smart", "one exchange", "future", "currency pair"],
)
def test_a_book_kept_from_the_changes_is_the_markets(
    contract: tuple[str, ...], key: str, is_smart: bool, kind: type[Message]
) -> None:
    floor, ladder = Floor(), Ladder()
    first = depth(floor, 7, contract, 5, is_smart=is_smart)
    assert first
    assert all(isinstance(one, kind) for one in first)
    ladder.apply(first)
    for _ in range(60):
        book = Market(7).depth(key, floor.now_ns, 5)
        assert ladder.sides[1] == [(row.price, row.size) for row in book.bids]
        assert ladder.sides[0] == [(row.price, row.size) for row in book.asks]
        told = floor.step(0.5)
        assert all(isinstance(one, kind) for one in told)
        ladder.apply(told)
    for one in of(first, MarketDepthL2):
        assert one.is_smart_depth
        assert one.market_maker


def test_books_have_their_limits_and_errors() -> None:
    floor = Floor()
    assert codes_of(depth(floor, 1, stock("AAPL"))) == [10092]
    assert codes_of(depth(floor, 1, SPX)) == [10092]
    assert codes_of(depth(floor, 1, AAPL_ON_ISLAND, 0)) == [321]
    for req_id in (1, 2, 3):
        assert codes_of(depth(floor, req_id, AAPL_ON_ISLAND)) == []
    assert codes_of(depth(floor, 3, AAPL_ON_ISLAND)) == [322]
    [error] = of(depth(floor, 4, ES), Error)
    assert (error.code, error.text) == (309, "Max number (3) of market depth requests has been reached")
    assert floor.ask(11, 1, 2, 0) == []
    assert codes_of(depth(floor, 4, ES)) == []
    assert codes_of(floor.ask(11, 1, 99, 0)) == [310]
    floor.gateway.leave(floor.clients[1][0])
    assert floor.step(5) == []
    lifted = Floor(limits=Limits.lifted())
    assert [codes_of(depth(lifted, req_id, ES)) for req_id in range(9)] == [[]] * 9


@pytest.mark.parametrize("seconds", [0.1, 0.25, 7.0, 1_500.0])
def test_every_trade_of_the_market_is_told_once(seconds: float) -> None:
    """However long the steps are; what one cannot tell, since a step has a bound, the next ones do."""
    floor = Floor()
    start_ns = floor.now_ns
    assert single(floor, 7, "AllLast") == []
    told = [one for _ in range(6) for one in floor.step(seconds)]
    end_ns = floor.now_ns
    for _ in range(12):
        told += floor.step(0)
    expected = list(Market(7).quotes("AAPL", start_ns + 1, end_ns + 1))
    assert [(one.epoch_s, float(one.price), one.size) for one in of(told, TickByTickTrade)] == [
        (quote.time_ns // 10**9, quote.last, quote.last_size) for quote in expected
    ]
    assert {one.tick_type for one in of(told, TickByTickTrade)} == {2}


@pytest.mark.parametrize("ignores_size", [0, 1])
def test_bids_and_asks_are_told_when_they_change(ignores_size: int) -> None:
    floor = Floor()
    before = Market(7).quote("AAPL", floor.now_ns)
    start_ns = floor.now_ns
    single(floor, 7, "BidAsk", ignore=ignores_size)
    told = [one for _ in range(60) for one in floor.step(1)]
    expected = []
    for quote in Market(7).quotes("AAPL", start_ns + 1, floor.now_ns + 1):
        prices, sizes = (quote.bid, quote.ask), (quote.bid_size, quote.ask_size)
        if prices != (before.bid, before.ask) or (not ignores_size and sizes != (before.bid_size, before.ask_size)):
            expected.append((*prices, *sizes))
        before = quote
    heard = [(float(one.bid), float(one.ask), one.bid_size, one.ask_size) for one in of(told, TickByTickBidAsk)]
    assert heard == expected
    assert heard


def test_midpoints_are_told_when_they_change_of_currency_pairs_too() -> None:
    floor = Floor()
    single(floor, 7, "MidPoint", EUR_USD)
    told = of([one for _ in range(30) for one in floor.step(1)], TickByTickMidpoint)
    assert len(told) > 10
    assert all(one.midpoint != other.midpoint for one, other in itertools.pairwise(told))
    quote = Market(7).quote("EUR.USD", floor.now_ns)
    assert float(told[-1].midpoint) == pytest.approx((quote.bid + quote.ask) / 2, abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "message"), [("Last", HistoricalTrades), ("BidAsk", HistoricalBidAsks), ("MidPoint", HistoricalMidpoints)]
)
def test_ticks_of_the_past_come_first_and_no_gap_follows(kind: str, message: type[HistoricalTrades]) -> None:
    floor = Floor()
    [past] = single(floor, 7, kind, past=50)
    assert isinstance(past, message)
    assert past.is_done
    assert len(past.ticks) == 50
    assert past.ticks[-1].epoch_s <= floor.now_ns // 10**9
    if isinstance(past, HistoricalTrades):
        expected = list(Market(7).quotes("AAPL", floor.now_ns - 60 * 10**9, floor.now_ns + 1))[-50:]
        assert [float(one.price) for one in past.ticks] == [quote.last for quote in expected]


def test_single_ticks_have_their_limits_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    for contract in (AAPL_CALL, SPX, BAG):
        assert codes_of(single(floor, 1, "BidAsk", contract)) in ([10189], [320])
    assert codes_of(single(floor, 1, "Last", EUR_USD)) == [10189]
    assert codes_of(single(floor, 1, "last")) == [321]
    for req_id in (1, 2, 3):
        assert codes_of(single(floor, req_id, "Last")) == []
    assert codes_of(single(floor, 3, "Last")) == [322]
    assert codes_of(single(floor, 4, "Last")) == [10190]
    assert floor.ask(98, 2) == []
    assert codes_of(single(floor, 4, "Last")) == []
    assert codes_of(floor.ask(98, 99)) == [300]
    floor.recorder(2)
    monkeypatch.setattr(floor.gateway.faults, "objection_to_quotes", lambda *_: Code(354, "Not subscribed."))
    assert codes_of(floor.ask(97, 5, *stock("AAPL"), "Last", 0, 0, client_id=2)) == [10189]
    assert floor.step(5) == []


@pytest.mark.parametrize("what", ["TRADES", "MIDPOINT", "BID", "ASK"])
@pytest.mark.parametrize("seconds", [0.25, 5.0, 17.0])
def test_real_time_bars_are_the_historical_ones(what: str, seconds: float) -> None:
    floor = Floor()
    floor.clock.advance(3)
    assert bars(floor, 7, what) == []
    told = of([one for _ in range(int(60 / seconds)) for one in floor.step(seconds)], RealTimeBar)
    first, end = MONDAY + timedelta(seconds=5), from_ns(floor.now_ns // (5 * 10**9) * 5 * 10**9)
    expected = Market(7).bars("AAPL", first, end, "5 secs", what, regular_hours=False)  # type: ignore[arg-type]
    heard = [tuple(float(value) for value in (one.open, one.high, one.low, one.close, one.volume)) for one in told]
    assert [one.epoch_s for one in told] == [int(bar.start.timestamp()) for bar in expected]
    assert heard == [(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in expected]
    assert len(told) > 8


def test_real_time_bars_of_regular_hours_alone_pause_at_night() -> None:
    floor = Floor()
    bars(floor, 7, "TRADES", rth=1)
    assert of(floor.step(10), RealTimeBar)
    floor.step(7 * 3600)
    for _ in range(12):
        floor.step(0)
    assert not of(floor.step(60), RealTimeBar)


def test_real_time_bars_have_their_limits_and_errors() -> None:
    floor = Floor(limits=Limits(market_data_lines=1, real_time_bars_per_10_min=3))
    refusals: list[Callable[[], list[Message]]] = [
        lambda: bars(floor, 1, "TRADES", seconds=10),
        lambda: bars(floor, 1, "YIELD_BID"),
        lambda: bars(floor, 1, "TRADES", EUR_USD),
        lambda: bars(floor, 1, "BID", SPX),
        lambda: bars(floor, 1, "TRADES", BAG),
    ]
    for refused in refusals:
        assert codes_of(refused()) in ([420], [320])
    assert bars(floor, 1, "TRADES") == []
    assert codes_of(bars(floor, 1, "TRADES")) == [322]
    assert codes_of(floor.subscribe(9, stock("MSFT"))) == [101]
    assert bars(floor, 2, "BID") == []
    assert codes_of(bars(floor, 3, "TRADES", stock("MSFT"))) == [101]
    assert codes_of(bars(floor, 3, "ASK")) == [420]
    assert floor.ask(51, 1, 1) == []
    assert floor.ask(51, 1, 2) == []
    assert codes_of(floor.ask(51, 1, 2)) == [300]
    floor.step(601)
    assert bars(floor, 3, "TRADES", stock("MSFT")) == []
