"""Cards M-40 to M-49: single ticks, bars of five seconds and books, for every source of market data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise

import msgspec
import pytest
from contract.market_data_sources import (
    AAPL,
    CLIENT_ID,
    EVERY,
    KINDS,
    MARKET,
    NS_PER_S,
    Followed,
    Source,
    listing_of,
    watching,
)
from support import eventually, run

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.contracts.ticks import DEPTH_LEVELS, BidAskTick, Depth, FiveSecondBar, Level, TradeTick
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.simulation import quotes as sim
from ibstream.simulation.bars import Kind

TICKED = ("stock", "class", "pair", "future")
NO_TICKS, NO_DEPTH = 10189, 10092
LOOK_BACK_NS = 30 * NS_PER_S


def is_run_of(told: Sequence[object], market: Sequence[object]) -> bool:
    """Whether what was told stands in the market's list, in its order, with nothing left out."""
    return any(list(market[start : start + len(told)]) == list(told) for start in range(len(market) - len(told) + 1))


def past(instrument: Instrument) -> list[sim.Quote]:
    """Every tick of the market of the last seconds."""
    now_ns = SYSTEM_CLOCK.time_ns()
    return list(MARKET.quotes(listing_of(instrument).symbol, now_ns - LOOK_BACK_NS, now_ns + 1))


def touches(quotes: Sequence[sim.Quote]) -> list[tuple[float, ...]]:
    """Each second with its bid and ask, where they are others than those before."""
    told = [(one.time_ns // NS_PER_S, one.bid, one.ask, one.bid_size, one.ask_size) for one in quotes]
    return [new for old, new in pairwise(told) if old[1:] != new[1:]]


@EVERY
@pytest.mark.parametrize("kind", TICKED)
def test_every_tick_is_told(source: Source, kind: str) -> None:
    """M-40: each trade and each change of bid and ask, once, in order, none left out; of a pair no trades."""

    async def scenario() -> None:
        instrument, has_trades = KINDS[kind], KINDS[kind].security_type != "CASH"
        async with watching(source) as watch:
            began_ns = SYSTEM_CLOCK.time_ns()
            followed = await Followed.open(watch, DataKind.TICKS, instrument)
            await followed.has(16)
            market = past(instrument)
            trades = [one for one in followed.items if isinstance(one, TradeTick)]
            books = [one for one in followed.items if isinstance(one, BidAskTick)]
            assert len(trades) + len(books) == len(followed.items)
            assert bool(trades) is has_trades
            told = [(one.time_s, one.price, one.size) for one in trades]
            assert is_run_of(told, [(one.time_ns // NS_PER_S, one.last, one.last_size) for one in market])
            assert is_run_of(
                [(one.time_s, one.bid, one.ask, one.bid_size, one.ask_size) for one in books], touches(market)
            )
            received = [one.received_ns for one in trades] + [one.received_ns for one in books]
            assert all(began_ns <= one <= SYSTEM_CLOCK.time_ns() for one in received)
            assert followed.codes == []

    run(scenario())


@EVERY
def test_a_bar_is_told_when_it_is_over(source: Source) -> None:
    """M-41: whole, with its beginning, from the first that began after it was asked for; as the market has it."""

    async def scenario() -> None:
        kinds = ("stock", "pair", "future", "index")
        async with watching(source) as watch:
            asked_at = SYSTEM_CLOCK.now()
            following = {kind: await Followed.open(watch, DataKind.BARS, KINDS[kind]) for kind in kinds}
            for kind, followed in following.items():
                [bar, *_] = await followed.has(1)
                instrument = KINDS[kind]
                what: Kind = "MIDPOINT" if kind == "pair" else "TRADES"
                assert isinstance(bar, FiveSecondBar)
                assert bar.symbol == quote_symbol(instrument)
                assert asked_at <= bar.at <= SYSTEM_CLOCK.now() - timedelta(seconds=5)
                [true] = MARKET.bars(
                    listing_of(instrument).symbol, bar.at, bar.at + timedelta(seconds=5), "5 secs", what,
                    regular_hours=False,
                )  # fmt: skip
                assert (bar.open, bar.high, bar.low, bar.close) == (true.open, true.high, true.low, true.close)
                traded = (None, None, None) if kind == "pair" else (true.volume, true.average, true.trades)
                assert (bar.volume, bar.wap, bar.count) == traded
                assert followed.codes == []

    run(scenario())


@EVERY
@pytest.mark.parametrize("kind", ["stock", "future"])
def test_a_book_is_whole_and_best_first(source: Source, kind: str) -> None:
    """M-42: as the market's at one moment; again when it has changed."""

    async def scenario() -> None:
        instrument = KINDS[kind]
        async with watching(source) as watch:
            followed = await Followed.open(watch, DataKind.DEPTH, instrument)
            await eventually(
                lambda: [one for one in followed.items if isinstance(one, Depth) and is_the_markets(one, instrument)],
                within_s=15,
                what=f"a book of the market among {followed.items[-1:]}; codes: {followed.codes}",
            )
            last = followed.items[-1]
            assert isinstance(last, Depth)
            assert last.symbol == quote_symbol(instrument)
            assert len(last.bids) == len(last.asks) == DEPTH_LEVELS
            assert [one.price for one in last.bids] == sorted((one.price for one in last.bids), reverse=True)
            assert [one.price for one in last.asks] == sorted(one.price for one in last.asks)
            await followed.has(len(followed.items) + 2)

    run(scenario())


def is_the_markets(depth: Depth, instrument: Instrument) -> bool:
    """Whether the market had this book in the last seconds; of a single exchange's nobody is named."""
    key, named = listing_of(instrument).symbol, instrument.exchange == "SMART"
    for quote in past(instrument):
        book = MARKET.depth(key, quote.time_ns, DEPTH_LEVELS)
        sides = (
            [Level(row.price, row.size, row.market_maker if named else "") for row in rows]
            for rows in (book.bids, book.asks)
        )
        if [depth.bids, depth.asks] == list(sides):
            return True
    return False


@EVERY
@pytest.mark.parametrize(("data", "code"), [(DataKind.TICKS, NO_TICKS), (DataKind.DEPTH, NO_DEPTH)])
def test_what_there_is_not_is_refused_by_code(source: Source, data: DataKind, code: int) -> None:
    """M-43: IBKR's, of that stream; others go on."""

    async def scenario() -> None:
        async with watching(source) as watch:
            other = await Followed.open(watch, DataKind.TICKS, AAPL)
            refused = await Followed.open(watch, data, KINDS["index"])
            await eventually(lambda: refused.codes, what="a code")
            assert {one for one, _ in refused.codes} == {code}
            await other.has(len(other.items) + 1)
            assert (refused.items, other.codes) == ([], [])
            await watch.port.close_stream(refused.number)

    run(scenario())


@EVERY
def test_nothing_comes_of_a_stream_that_is_closed(source: Source) -> None:
    """M-44: not from when `close_stream` has returned; closing it again is nothing."""

    async def scenario() -> None:
        async with watching(source) as watch:
            closed = [await Followed.open(watch, kind, AAPL) for kind in (DataKind.TICKS, DataKind.DEPTH)]
            other = await Followed.open(watch, DataKind.TICKS, KINDS["future"])
            for one in closed:
                await one.has(1)
            for one in closed:
                await watch.port.close_stream(one.number)
            counts = [len(one.items) for one in closed]
            for one in closed:
                await watch.port.close_stream(one.number)
            await other.has(len(other.items) + 5)
            assert [len(one.items) for one in closed] == counts
            assert [one.codes for one in closed] == [[], []]

    run(scenario())


@EVERY
def test_streams_end_with_their_session(source: Source) -> None:
    """M-45: in the next one nothing comes of them, and their numbers mean nothing."""

    async def scenario() -> None:
        async with watching(source) as watch:
            before = await Followed.open(watch, DataKind.TICKS, AAPL)
            await before.has(1)
            await watch.port.close()
            await watch.port.connect(CLIENT_ID)
            count = len(before.items)
            after = await Followed.open(watch, DataKind.TICKS, KINDS["future"])
            assert after.number != before.number
            await after.has(5)
            assert len(before.items) == count
            await watch.port.close_stream(before.number)
            await after.has(len(after.items) + 2)

    run(scenario())


@EVERY
def test_a_stream_needs_no_second_look_up(source: Source) -> None:
    """M-46: of a contract that nobody has it is refused by code; of one that was remembered it comes."""

    async def scenario() -> None:
        async with watching(source) as watch:
            contract, followed = await watch.qualify(AAPL), Followed()
            unknown = msgspec.structs.replace(contract, con_id=999)
            on_code: Callable[[int, str], None] = lambda code, text: followed.codes.append((code, text))  # noqa: E731
            await watch.port.open_stream(DataKind.BARS, unknown, followed.items.append, on_code)
            await eventually(lambda: followed.codes, what="a code")
            assert followed.codes[0][0] == 200

    run(scenario())
