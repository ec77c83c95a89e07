"""The market is one pure function: whoever asks, whenever and in whatever order, sees the same prices."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibstream.contracts.data import BarSize, WhatToShow
from ibstream.simulation.bars import BAR_SIZES, Bar, seconds_of
from ibstream.simulation.market import Market, Quote
from ibstream.simulation.sessions import NEW_YORK, from_ns, to_ns

MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
NOW_NS = to_ns(MONDAY)

symbols = st.sampled_from(["AAPL", "BRK.B", "TSLA", "A", "ZZZZ"])
moments_ns = st.integers(to_ns(datetime(2001, 1, 1, tzinfo=UTC)), to_ns(datetime(2040, 1, 1, tzinfo=UTC)))
PRICE_OF = {
    "TRADES": lambda quote: quote.last,
    "BID": lambda quote: quote.bid,
    "ASK": lambda quote: quote.ask,
    "MIDPOINT": lambda quote: round((quote.bid + quote.ask) / 2, 4),
}


def ohlc(bar: Bar) -> tuple[float, float, float, float]:
    return bar.open, bar.high, bar.low, bar.close


def test_a_seed_shows_the_same_quote_for_ever() -> None:
    """Recorded runs stay comparable: a change of these numbers changes the market of every seed."""
    assert Market(7).quote("AAPL", NOW_NS) == Quote(
        symbol="AAPL",
        time_ns=1795446000000000000,
        sequence=6463605600,
        bid=419.08,
        ask=419.12,
        last=419.08,
        bid_size=600,
        ask_size=900,
        last_size=100,
        volume=12117986,
    )


@settings(deadline=None)
@given(symbols, st.lists(moments_ns, min_size=1, max_size=5))
def test_what_was_asked_before_makes_no_difference(symbol: str, moments: list[int]) -> None:
    asked_in_a_row = Market(3)
    for moment in moments:
        assert asked_in_a_row.quote(symbol, moment) == Market(3).quote(symbol, moment)


@settings(deadline=None)
@given(symbols, moments_ns)
def test_quotes_are_plausible(symbol: str, now_ns: int) -> None:
    quote = Market(1).quote(symbol, now_ns)
    assert quote.bid < quote.ask
    assert quote.last in (quote.bid, quote.ask)
    assert 5 < quote.bid < 2000
    assert min(quote.bid_size, quote.ask_size, quote.last_size, quote.volume) > 0
    for price in (quote.bid, quote.ask, quote.last):
        assert Decimal(repr(price)) % Decimal("0.01") == 0
    assert quote.time_ns <= now_ns < quote.time_ns + 1_000_000_000


@settings(deadline=None)
@given(symbols, moments_ns)
def test_every_symbol_ticks_one_to_four_times_a_second(symbol: str, start_ns: int) -> None:
    ticks = list(Market(1).quotes(symbol, start_ns, start_ns + 10_000_000_000))
    assert 10 <= len(ticks) <= 40
    assert [tick.sequence for tick in ticks] == list(range(ticks[0].sequence, ticks[0].sequence + len(ticks)))


@settings(max_examples=60, deadline=None)
@given(
    symbols,
    moments_ns,
    st.sampled_from(["1 secs", "5 secs", "10 secs", "15 secs", "30 secs", "1 min", "2 mins", "5 mins"]),
    st.sampled_from(sorted(PRICE_OF)),
)
def test_bars_hold_exactly_what_the_ticks_show(symbol: str, moment_ns: int, size: BarSize, what: WhatToShow) -> None:
    market, seconds = Market(5), seconds_of(size)
    assert seconds is not None
    start_ns = moment_ns - moment_ns % (seconds * 1_000_000_000)
    end_ns = start_ns + seconds * 1_000_000_000
    ticks = list(market.quotes(symbol, start_ns, end_ns))
    prices = [PRICE_OF[what](tick) for tick in ticks]
    (bar,) = market.bars(symbol, from_ns(start_ns), from_ns(end_ns), size, what, regular_hours=False)
    assert ohlc(bar) == (prices[0], max(prices), min(prices), prices[-1])
    if what == "TRADES":
        assert bar.volume == sum(tick.last_size for tick in ticks)
        assert bar.trades == len(ticks)
    else:
        assert (bar.volume, bar.average, bar.trades) == (-1, -1.0, -1)


@pytest.mark.parametrize(
    ("large", "small"),
    [("1 hour", "1 min"), ("30 mins", "10 mins"), ("4 hours", "20 mins"), ("1 day", "1 hour"), ("1 week", "1 day")],
)
def test_large_bars_are_small_bars_folded(large: BarSize, small: BarSize) -> None:
    """Also across the levels of the tree, over regular hours and over a change of the clock."""
    market, start = Market(2), datetime(2026, 10, 26, 4, 0, tzinfo=UTC)
    for bar in market.bars("AAPL", start, start + timedelta(days=14), large)[:10]:
        end = bar.start + (timedelta(days=6, hours=12) if large == "1 week" else timedelta(hours=7))
        if (seconds := seconds_of(large)) is not None:
            in_day = bar.start.astimezone(NEW_YORK)
            since_midnight = in_day.hour * 3600 + in_day.minute * 60
            end = bar.start + timedelta(seconds=seconds - since_midnight % seconds)
        parts = market.bars("AAPL", bar.start, end, small)
        assert len(parts) >= 1
        folded = (parts[0].open, max(p.high for p in parts), min(p.low for p in parts), parts[-1].close)
        assert ohlc(bar) == folded
        assert bar.volume == sum(part.volume for part in parts)


def test_regular_hours_begin_at_the_opening_as_in_a_recorded_session() -> None:
    """The time stamps of AAPL, 1 D, 1 hour, TRADES, useRTH on 2026-04-02, as a paper Gateway gave them."""
    day = datetime(2026, 4, 2, 9, 30, tzinfo=NEW_YORK)
    bars = Market(7).bars("AAPL", day, day.replace(hour=16), "1 hour")
    local = [f"{bar.start.astimezone(NEW_YORK):%H:%M:%S}" for bar in bars]
    assert local == ["09:30:00", "10:00:00", "11:00:00", "12:00:00", "13:00:00", "14:00:00", "15:00:00"]


def test_daily_bars_of_regular_hours_skip_the_weekend() -> None:
    start = datetime(2026, 11, 20, 0, 0, tzinfo=NEW_YORK)
    bars = Market(7).bars("AAPL", start, start + timedelta(days=5), "1 day")
    assert [bar.start.astimezone(NEW_YORK).date() for bar in bars] == [
        date(2026, 11, 20),
        date(2026, 11, 23),
        date(2026, 11, 24),
    ]


def test_the_market_never_closes() -> None:
    saturday = datetime(2026, 11, 21, 5, 0, tzinfo=UTC)
    assert len(Market(7).bars("AAPL", saturday, saturday + timedelta(days=1), "1 hour", regular_hours=False)) == 24
    assert not Market(7).bars("AAPL", saturday, saturday + timedelta(days=1), "1 hour")


def test_an_unfinished_bar_holds_what_came_before_its_end() -> None:
    market, end = Market(7), MONDAY + timedelta(minutes=7, seconds=3)
    *_, last = market.bars("AAPL", MONDAY, end, "5 mins", regular_hours=False)
    ticks = [tick.last for tick in market.quotes("AAPL", to_ns(last.start), to_ns(end))]
    assert ohlc(last) == (ticks[0], max(ticks), min(ticks), ticks[-1])


@settings(deadline=None)
@given(symbols, moments_ns)
def test_the_day_so_far_encloses_the_last_trade(symbol: str, now_ns: int) -> None:
    market = Market(1)
    day, quote = market.day(symbol, now_ns), market.quote(symbol, now_ns)
    assert day.low <= quote.last <= day.high
    assert day.low <= day.open <= day.high


def test_the_days_volume_starts_at_new_yorks_midnight() -> None:
    midnight = to_ns(datetime(2026, 11, 23, 0, 0, tzinfo=NEW_YORK))
    before, after = Market(7).quote("AAPL", midnight - 1), Market(7).quote("AAPL", midnight)
    assert before.volume > 1_000_000
    assert after.volume == after.last_size


@pytest.mark.parametrize("size", BAR_SIZES)
def test_every_bar_size_starts_its_bars_in_order_and_within_the_period(size: BarSize) -> None:
    span = timedelta(days=70) if seconds_of(size) is None else timedelta(seconds=12 * (seconds_of(size) or 0))
    bars = Market(7).bars("MSFT", MONDAY, MONDAY + span, size, regular_hours=False)
    starts = [bar.start for bar in bars]
    assert starts == sorted(set(starts))
    assert starts
    assert starts[0] >= MONDAY
    assert starts[-1] < MONDAY + span


def test_prices_move() -> None:
    """Ten minutes of ticks are no flat line, for cheap and dear symbols alike."""
    market = Market(7)
    for symbol in ("AAPL", "F", "T", "GOOG", "A", "ZTS"):
        prices = {tick.bid for tick in market.quotes(symbol, NOW_NS, NOW_NS + 600 * 1_000_000_000)}
        assert len(prices) >= 4
