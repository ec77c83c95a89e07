"""Currency pairs, futures, indices and options: the same promises as for stocks, and those of their kind."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibstream.contracts.data import BarSize
from ibstream.simulation import pricing
from ibstream.simulation.bars import Bar, Kind, seconds_of
from ibstream.simulation.catalog import FUTURES
from ibstream.simulation.instruments import InstrumentMaster, listing
from ibstream.simulation.keys import option_key
from ibstream.simulation.listings import MARKET_RULES
from ibstream.simulation.market import Market, Quote
from ibstream.simulation.quotes import NO_PRICE
from ibstream.simulation.sessions import from_ns, regular_window, to_ns
from ibstream.simulation.tree import NS_PER_S

MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
NOW_NS = to_ns(MONDAY)
CALL, PUT = "AAPL  270115C00420000", "AAPL  270115P00420000"
INDEX_PUT, CHEAP = "SPXW  261218P07400000", "AAPL  261127C00600000"
TRADED = ["AAPL", "EUR.USD", "USD.JPY", "ESZ2026", "XWZ2026", "CLF2027", "GCZ2026", CALL, PUT, INDEX_PUT, CHEAP]

keys = st.sampled_from(TRADED)
autumn_ns = st.integers(to_ns(datetime(2026, 9, 1, tzinfo=UTC)), to_ns(datetime(2026, 11, 20, tzinfo=UTC)))
PRICE_OF = {
    "TRADES": lambda quote: quote.last,
    "ADJUSTED_LAST": lambda quote: quote.last,
    "BID": lambda quote: quote.bid,
    "ASK": lambda quote: quote.ask,
    "MIDPOINT": lambda quote: (quote.bid + quote.ask) / 2,
}


def ohlc(bar: Bar) -> tuple[float, float, float, float]:
    return bar.open, bar.high, bar.low, bar.close


def ticks_of(market: Market, key: str, start_ns: int, end_ns: int) -> list[Quote]:
    return list(market.quotes(key, start_ns, end_ns))


@settings(deadline=None)
@given(keys, autumn_ns)
def test_prices_are_on_the_tick_and_the_book_never_crosses(key: str, now_ns: int) -> None:
    """By the instrument's market rule; the last trade is at the bid or the ask, or at the least price there is."""
    quote, listed = Market(1).quote(key, now_ns), listing(key)
    assert 0 <= quote.bid < quote.ask
    assert quote.last in (quote.bid, quote.ask, 0.01)
    for price in (quote.bid, quote.ask, quote.last):
        exact = Decimal(repr(price))
        (*_, increment) = (step for low, step in MARKET_RULES[listed.market_rule_id] if exact >= low)
        assert exact % increment == 0
        assert round(price, listed.price_places) == price
    assert quote.ask >= 0.01
    assert min(quote.ask_size, quote.last_size, quote.volume) > 0
    assert (quote.bid_size > 0) == (quote.bid > 0)
    assert quote.time_ns <= now_ns


@settings(max_examples=150, deadline=None)
@given(
    keys,
    autumn_ns,
    st.sampled_from(["1 secs", "5 secs", "10 secs", "30 secs", "1 min", "5 mins"]),
    st.sampled_from(sorted(PRICE_OF)),
)
def test_bars_hold_exactly_what_the_ticks_show(key: str, moment_ns: int, size: BarSize, what: Kind) -> None:
    """Of every kind of instrument; a put's high is at its underlying's low."""
    market, seconds = Market(5), seconds_of(size)
    assert seconds is not None
    start_ns = moment_ns - moment_ns % (seconds * NS_PER_S)
    end_ns = start_ns + seconds * NS_PER_S
    ticks = ticks_of(market, key, start_ns, end_ns)
    prices = [PRICE_OF[what](tick) for tick in ticks]
    (bar,) = market.bars(key, from_ns(start_ns), from_ns(end_ns), size, what, regular_hours=False)
    assert ohlc(bar) == pytest.approx((prices[0], max(prices), min(prices), prices[-1]), abs=1e-9)
    if what in ("TRADES", "ADJUSTED_LAST"):
        assert bar.volume == sum(tick.last_size for tick in ticks)
        assert bar.trades == len(ticks)


@settings(max_examples=40, deadline=None)
@given(keys, autumn_ns, st.sampled_from([("1 hour", "5 mins"), ("8 hours", "30 mins"), ("1 day", "1 hour")]))
def test_large_bars_are_small_bars_folded(key: str, moment_ns: int, sizes: tuple[BarSize, BarSize]) -> None:
    """Across UTC's midnight too, where an option's time to expiry changes."""
    market, (large, small) = Market(2), sizes
    start = from_ns(moment_ns)
    for bar, following in pairwise(market.bars(key, start, start + timedelta(days=3), large, regular_hours=False)):
        parts = market.bars(key, bar.start, following.start, small, regular_hours=False)
        assert ohlc(bar) == (parts[0].open, max(p.high for p in parts), min(p.low for p in parts), parts[-1].close)
        assert bar.volume == sum(part.volume for part in parts)


def average_of(prices: list[float]) -> float:
    return sum(prices) / len(prices)


@settings(max_examples=40, deadline=None)
@given(keys, autumn_ns, st.sampled_from(["5 secs", "1 min", "5 mins"]), st.integers(0, 299))
def test_bid_ask_bars_are_the_averages_of_the_ticks(key: str, moment_ns: int, size: BarSize, cut_s: int) -> None:
    """Open is the average bid, close the average ask, high the highest ask and low the lowest bid, also of an unfinished bar."""
    market, seconds = Market(5), seconds_of(size)
    assert seconds is not None
    start_ns = moment_ns - moment_ns % (seconds * NS_PER_S)
    end_ns = start_ns + (seconds - cut_s % seconds) * NS_PER_S
    ticks = ticks_of(market, key, start_ns, end_ns)
    (bar,) = market.bars(key, from_ns(start_ns), from_ns(end_ns), size, "BID_ASK", regular_hours=False)
    assert bar.open == pytest.approx(average_of([tick.bid for tick in ticks]), abs=2e-6)
    assert bar.close == pytest.approx(average_of([tick.ask for tick in ticks]), abs=2e-6)
    assert (bar.high, bar.low) == (max(tick.ask for tick in ticks), min(tick.bid for tick in ticks))


@pytest.mark.parametrize("key", ["AAPL", "ESZ2026", CALL, PUT])
def test_bid_ask_bars_of_all_sizes_agree(key: str) -> None:
    """An hour's averages are those of its ticks, too; four hours' differ by less than a spread."""
    market, end = Market(7), MONDAY + timedelta(hours=1)
    ticks = ticks_of(market, key, NOW_NS, to_ns(end))
    (hour,) = market.bars(key, MONDAY, end, "1 hour", "BID_ASK", regular_hours=False)
    assert hour.open == pytest.approx(average_of([tick.bid for tick in ticks]), abs=2e-6)
    assert hour.close == pytest.approx(average_of([tick.ask for tick in ticks]), abs=2e-6)
    start = MONDAY + timedelta(hours=2)
    later, (four,) = (
        market.bars(key, start, start + timedelta(hours=4), size, "BID_ASK", regular_hours=False)
        for size in ("1 hour", "4 hours")
    )
    spread = ticks[0].ask - ticks[0].bid
    assert abs(four.open - average_of([bar.open for bar in later])) < spread
    assert abs(four.close - average_of([bar.close for bar in later])) < spread
    assert (four.high, four.low) == (max(bar.high for bar in later), min(bar.low for bar in later))


def test_two_processes_agree() -> None:
    """Whatever Python salts its own hashes with."""
    program = (
        "from ibstream.simulation.market import Market\n"
        f"market = Market(7)\nfor key in {TRADED!r}: print(market.quote(key, {NOW_NS}), market.greeks(key, {NOW_NS}))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**environment, "PYTHONHASHSEED": salt},
            capture_output=True,
            check=True,
        ).stdout
        for salt in ("1", "2")
    ]
    market = Market(7)
    here = [f"{market.quote(key, NOW_NS)} {market.greeks(key, NOW_NS)}" for key in TRADED]
    assert told[0] == told[1]
    assert told[0].decode().splitlines() == here


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [("EUR.USD", 0.9, 1.4), ("USD.JPY", 120, 190), ("ESZ2026", 5500, 8500), ("CLF2027", 40, 110), ("SPX", 5500, 8500)],
)
def test_levels_are_realistic(key: str, low: float, high: float) -> None:
    """Over years and seeds."""
    for seed in range(5):
        for year in range(2020, 2030):
            assert low < Market(seed).quote(key, to_ns(datetime(year, 5, 4, tzinfo=UTC))).last < high


def test_months_of_a_future_follow_one_path() -> None:
    """A constant apart, and the micro future at the same price as the large one."""
    market = Market(7)
    distances = {
        market.quote("ESH2027", at).bid - market.quote("ESZ2026", at).bid
        for at in range(NOW_NS, NOW_NS + 3600 * NS_PER_S, 60 * NS_PER_S)
    }
    assert len(distances) == 1
    assert 0 < distances.pop() < 50
    assert market.quote("MESZ2026", NOW_NS).bid == market.quote("ESZ2026", NOW_NS).bid
    assert abs(market.quote("SPX", NOW_NS).last - market.quote("ESZ2026", NOW_NS).last) < 100


@pytest.mark.parametrize("root", sorted(FUTURES))
@pytest.mark.parametrize("today", [date(2025, 3, 1), date(2026, 11, 23), date(2028, 12, 1)])
def test_a_later_month_of_a_future_is_dearer(root: str, today: date) -> None:
    """Over all that are listed, by the same amount for each month between."""
    market, months = Market(7), InstrumentMaster(()).futures(root, today)
    at = to_ns(datetime.combine(today, time(12), UTC))
    for near, far in pairwise(months):
        between = (int(far.contract_month[:4]) - int(near.contract_month[:4])) * 12
        between += int(far.contract_month[4:]) - int(near.contract_month[4:])
        distance = Decimal(str(market.quote(far.symbol, at).bid)) - Decimal(str(market.quote(near.symbol, at).bid))
        assert distance == between * FUTURES[root].carry_ticks * near.min_tick


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([("SPY", "SPX", 10), ("IVV", "SPX", 9.95), ("VOO", "SPX", 10.9), ("QQQ", "NDX", 41),
                     ("DIA", "INDU", 100), ("IWM", "RUT", 10.05)]),
    st.integers(0, 1000),
    autumn_ns,
)  # fmt: skip
def test_a_fund_follows_its_index(which: tuple[str, str, float], seed: int, now_ns: int) -> None:
    """To a thousandth, at any seed and time; its shares are traded as those of any stock."""
    fund, index, divisor = which
    market = Market(seed)
    quote, points = market.quote(fund, now_ns), market.quote(index, now_ns).last
    assert (quote.bid + quote.ask) / 2 * divisor == pytest.approx(points, rel=1e-3)
    assert min(quote.bid_size, quote.ask_size, quote.last_size) > 0
    assert market.bars(fund, MONDAY, MONDAY + timedelta(minutes=1), "1 min")[0].volume > 0


def test_funds_of_one_index_trade_each_at_their_own_pace() -> None:
    """Sizes and volumes of SPY and IVV are their own."""
    spy, ivv = (Market(7).quote(key, NOW_NS) for key in ("SPY", "IVV"))
    assert (spy.bid_size, spy.ask_size, spy.volume) != (ivv.bid_size, ivv.ask_size, ivv.volume)


def test_an_index_has_a_last_price_alone() -> None:
    """No bid, no ask, no sizes, no volume, no depth; bars of trades, none of the book."""
    market = Market(7)
    quote = market.quote("SPX", NOW_NS)
    assert (quote.bid, quote.ask, quote.bid_size, quote.ask_size, quote.last_size, quote.volume) == (
        NO_PRICE, NO_PRICE, 0, 0, 0, 0,
    )  # fmt: skip
    assert market.day("SPX", NOW_NS).low <= quote.last <= market.day("SPX", NOW_NS).high
    assert market.depth("SPX", NOW_NS, 5).bids == ()
    assert market.bars("SPX", MONDAY, MONDAY + timedelta(hours=1), "1 min")[0].volume == 0
    assert market.bars("SPX", MONDAY, MONDAY + timedelta(hours=1), "1 min", "BID") == []


@pytest.mark.parametrize(("key", "ends"), [("ESU2026", datetime(2026, 9, 18, 13, 30, tzinfo=UTC)),
                                           ("AAPL  261120P00420000", datetime(2026, 11, 20, 21, 0, tzinfo=UTC))])  # fmt: skip
def test_the_last_quote_of_what_has_expired_stands(key: str, ends: datetime) -> None:
    """And nothing ticks any more; no bar begins after the end, no greeks are left."""
    market, ends_ns = Market(7), to_ns(ends)
    last = market.quote(key, ends_ns - 1)
    assert last.time_ns < ends_ns
    assert (
        market.quote(key, ends_ns) == market.quote(key, ends_ns + 10**18) == Market(7).quote(key, ends_ns + 5) == last
    )
    assert ticks_of(market, key, ends_ns, ends_ns + 60 * NS_PER_S) == []
    assert ticks_of(market, key, ends_ns - NS_PER_S, ends_ns + NS_PER_S)[-1] == last
    assert market.bars(key, ends, ends + timedelta(days=1), "1 min", regular_hours=False) == []
    assert market.day(key, ends_ns + 1) == market.day(key, ends_ns - 1)
    assert market.greeks(key, ends_ns) is None


@settings(deadline=None)
@given(
    autumn_ns,
    st.sampled_from([300, 360, 400, 420, 450, 500, 600]),
    st.sampled_from([date(2026, 12, 18), date(2027, 6, 17)]),
)
def test_calls_and_puts_keep_parity(now_ns: int, strike: int, expiry: date) -> None:
    """Call minus put is spot minus strike: exactly in theory, and within the spreads of the book."""
    market = Market(7)
    call, put = (option_key("AAPL", expiry, strike, right) for right in ("C", "P"))
    stock = market.quote("AAPL", now_ns)
    distance = (stock.bid + stock.ask) / 2 - strike
    of_call, of_put = market.greeks(call, now_ns), market.greeks(put, now_ns)
    assert of_call is not None
    assert of_put is not None
    assert of_call.price - of_put.price == pytest.approx(distance, abs=1e-6)
    bought, sold = market.quote(call, now_ns), market.quote(put, now_ns)
    assert bought.bid - sold.ask <= distance <= bought.ask - sold.bid


@settings(deadline=None)
@given(autumn_ns, st.sampled_from([CALL, PUT, INDEX_PUT]), st.sampled_from(["bid", "ask", "last", "model"]))
def test_greeks_have_their_signs(now_ns: int, key: str, side: str) -> None:
    """Delta of its right's sign and within one, gamma and vega above zero, theta below."""
    found = Market(7).greeks(key, now_ns, side)  # type: ignore[arg-type]
    if found is None:
        assert side != "model"
        return
    low, high = (0, 1) if listing(key).right == "C" else (-1, 0)
    assert low <= found.delta <= high
    assert found.gamma >= 0
    assert found.vega >= 0
    assert found.theta <= 0
    assert 0 < found.implied_volatility < 8
    assert (found.under_price > 0, found.pv_dividend) == (True, 0)


@settings(deadline=None)
@given(autumn_ns, st.sampled_from([CALL, PUT]))
def test_the_greeks_of_a_side_give_its_price(now_ns: int, key: str) -> None:
    """The implied volatility of the bid prices the option at the bid; the bid's is below the ask's."""
    market = Market(7)
    quote, bid, ask = market.quote(key, now_ns), market.greeks(key, now_ns, "bid"), market.greeks(key, now_ns, "ask")
    if bid is None or ask is None:
        return
    assert bid.price == pytest.approx(quote.bid, abs=1e-6)
    assert ask.price == pytest.approx(quote.ask, abs=1e-6)
    assert bid.implied_volatility < ask.implied_volatility


@given(st.floats(50, 500), st.floats(50, 500), st.floats(0.01, 3), st.floats(0.05, 1.5), st.booleans())
def test_greeks_are_the_derivatives_of_the_price(
    spot: float, strike: float, years: float, volatility: float, put: bool
) -> None:
    """Compared with finite differences."""

    def price(at: float, sigma: float = volatility, left: float = years) -> float:
        return pricing.value(at, strike, left, sigma, put=put)

    found = pricing.greeks(spot, strike, years, volatility, put=put)
    step = spot * 1e-4
    assert found.delta == pytest.approx((price(spot + step) - price(spot - step)) / (2 * step), abs=1e-3)
    vega = (price(spot, volatility + 1e-4) - price(spot, volatility - 1e-4)) / 2e-4 / 100
    assert found.vega == pytest.approx(vega, abs=1e-3)
    theta = (price(spot, left=years - 1e-5) - price(spot, left=years + 1e-5)) / 2e-5 / 365
    assert found.theta == pytest.approx(theta, abs=2e-3)


@settings(deadline=None)
@given(keys, autumn_ns, st.integers(1, 20))
def test_depth_begins_with_the_quote_and_gets_worse_row_by_row(key: str, now_ns: int, rows: int) -> None:
    """On both sides, with sizes and makers; every price on the tick."""
    market = Market(3)
    quote, book = market.quote(key, now_ns), market.depth(key, now_ns, rows)
    assert (book.asks[0].price, book.asks[0].size) == (quote.ask, quote.ask_size)
    assert len(book.asks) == rows
    if quote.bid > 0:
        assert (book.bids[0].price, book.bids[0].size) == (quote.bid, quote.bid_size)
    assert all(better.price > worse.price > 0 for better, worse in pairwise(book.bids))
    assert all(better.price < worse.price for better, worse in pairwise(book.asks))
    assert all(level.size > 0 and level.market_maker for level in (*book.bids, *book.asks))


@pytest.mark.parametrize("what", ["HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY", "FEE_RATE"])
def test_indicators_wander_slowly_and_agree_between_sizes(what: Kind) -> None:
    """A day's high is the highest of its hours."""
    market, end = Market(7), MONDAY + timedelta(days=7)
    days = market.bars("AAPL", MONDAY, end, "1 day", what, regular_hours=False)
    assert len(days) == 7
    for bar, following in pairwise(days):
        hours = market.bars("AAPL", bar.start, following.start, "1 hour", what, regular_hours=False)
        assert bar.high == max(hour.high for hour in hours)
        assert bar.low == min(hour.low for hour in hours)
        assert (bar.open, bar.close) == (hours[0].open, hours[-1].close)
        assert bar.close == pytest.approx(following.open, rel=1e-4)


def test_regular_hours_are_the_groups_own() -> None:
    """A future's begin at 08:30 in Chicago, an option's end at 16:00, a pair trades round the clock."""
    start, end = MONDAY.replace(hour=6), MONDAY.replace(hour=6) + timedelta(days=1)
    hours = {key: [bar.start.hour for bar in Market(7).bars(key, start, end, "1 hour")] for key in ("ESZ2026", "AAPL")}
    assert hours == {"ESZ2026": [14, 15, 16, 17, 18, 19, 20, 21], "AAPL": [14, 15, 16, 17, 18, 19, 20]}
    assert len(Market(7).bars("EUR.USD", start, end, "1 hour")) == 24


def test_holidays_and_half_days_have_no_regular_bars() -> None:
    """Thanksgiving 2026 and the day after it."""
    start = datetime(2026, 11, 25, 12, tzinfo=UTC)
    bars = Market(7).bars("AAPL", start, start + timedelta(days=3), "30 mins")
    days = [bar.start.date() for bar in bars]
    assert (days.count(date(2026, 11, 25)), days.count(date(2026, 11, 26)), days.count(date(2026, 11, 27))) == (
        13,
        0,
        7,
    )
    assert regular_window(date(2026, 11, 26)) is None


def test_the_schedule_has_the_regular_sessions_that_the_period_touches() -> None:
    """The one that has begun included, Good Friday not."""
    found = Market(7).schedule("AAPL", datetime(2026, 4, 1, 19, tzinfo=UTC), datetime(2026, 4, 7, 14, tzinfo=UTC))
    assert [one.day.day for one in found] == [1, 2, 6, 7]
