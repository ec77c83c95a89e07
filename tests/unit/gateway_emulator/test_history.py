"""Which period, bars and ticks of the past a request means."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.gateway_emulator.quote_rig import Floor, of

from ibstream.simulation.bars import BAR_SIZES, seconds_of
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream.simulation.sessions import day_window, new_york_date, session_window, to_ns
from ibstream_gateway_emulator.domain import history, history_ticks, times
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.contracts import find_one
from ibstream_gateway_emulator.domain.history import Query, query_of
from ibstream_gateway_emulator.domain.live_bars import UPDATE_NS, LiveBars
from ibstream_gateway_emulator.domain.schedule import schedule
from ibstream_gateway_emulator.handlers import respond
from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.messages import (
    HistoricalBidAsks,
    HistoricalData,
    HistoricalDataUpdate,
    HistoricalMidpoints,
    HistoricalTrades,
)
from ibstream_gateway_emulator.protocol.requests import ReqHistoricalData, ReqHistoricalTicks

SECOND = 1_000_000_000
MASTER = InstrumentMaster(["AAPL"])
MARKET = Market(7)
MONDAY = to_ns(datetime(2026, 11, 23, 15, 0, tzinfo=UTC))
AAPL = Contract(symbol="AAPL", security_type="STK", exchange="SMART", currency="USD")
EUR = Contract(symbol="EUR", security_type="CASH", exchange="IDEALPRO", currency="USD")
ES = Contract(local_symbol="ESZ6", security_type="FUT", exchange="CME", currency="USD")
OPTION = Contract(local_symbol="AAPL  261218C00250000", security_type="OPT", exchange="SMART")
SPX = Contract(symbol="SPX", security_type="IND", exchange="CBOE")


def asked(contract: Contract = AAPL, **fields: Any) -> ReqHistoricalData:
    given = {
        "req_id": 5,
        "contract": contract,
        "include_expired": False,
        "end": "",
        "bar_size": "1 hour",
        "duration": "1 D",
        "use_rth": True,
        "what_to_show": "TRADES",
        "format_date": 1,
        "legs": (),
        "keep_up_to_date": False,
        "options": "",
    }
    return ReqHistoricalData(**{**given, **fields})


def understood(contract: Contract = AAPL, now_ns: int = MONDAY, **fields: Any) -> Query:
    return query_of(asked(contract, **fields), find_one(MASTER, contract, now_ns, continuous=True), now_ns)


def dates(query: Query) -> list[str]:
    return [bar.date for bar in history.answer(query, history.all_bars(query, MARKET)).bars]


def test_the_hours_of_a_day_are_those_recorded() -> None:
    """grounded_historical_bars: asked on Easter Sunday for a day, answered with Thursday's seven bars."""
    asked_at = to_ns(datetime(2026, 4, 5, 21, 50, tzinfo=UTC))
    assert dates(understood(now_ns=asked_at)) == [
        f"20260402 {time}:00 US/Eastern" for time in ("09:30", "10:00", "11:00", "12:00", "13:00", "14:00", "15:00")
    ]


def test_the_sessions_of_a_month_are_those_recorded() -> None:
    """historical_schedule_aapl."""
    asked_at = to_ns(datetime(2026, 4, 11, 17, 52, tzinfo=UTC))
    found = schedule(understood(now_ns=asked_at, duration="1 M", bar_size="1 day", what_to_show="SCHEDULE"))
    assert (found.start, found.end, found.time_zone) == ("20260312-09:30:00", "20260410-16:00:00", "US/Eastern")
    assert len(found.sessions) == 21
    assert "20260403" not in [one.reference_date for one in found.sessions]
    assert all(one.start[:8] == one.reference_date == one.end[:8] for one in found.sessions)


def test_all_hours_of_a_schedule_are_longer() -> None:
    found = schedule(understood(duration="2 D", bar_size="1 day", what_to_show="SCHEDULE", use_rth=False))
    assert [one.start[9:] for one in found.sessions] == ["04:00:00"] * len(found.sessions)


@pytest.mark.parametrize(
    ("contract", "what", "stamp"),
    [
        (AAPL, "FEE_RATE", "US/Eastern"),
        (AAPL, "HISTORICAL_VOLATILITY", "US/Eastern"),
        (AAPL, "OPTION_IMPLIED_VOLATILITY", "US/Eastern"),
        (AAPL, "BID_ASK", "US/Eastern"),
        (EUR, "MIDPOINT", "US/Eastern"),
        (ES, "TRADES", "US/Central"),
        (OPTION, "TRADES", "US/Eastern"),
        (SPX, "TRADES", "US/Central"),
    ],
)
def test_every_kind_of_instrument_has_bars_in_its_own_zone(contract: Contract, what: str, stamp: str) -> None:
    query = understood(contract, what_to_show=what, duration="2 D", now_ns=MONDAY + 4 * 3600 * SECOND)
    bars = history.answer(query, history.all_bars(query, MARKET)).bars
    assert len(bars) > 5
    assert all(bar.date.endswith(stamp) for bar in bars)
    assert all(float(bar.low) <= float(bar.high) for bar in bars)


def test_the_day_of_a_pair_begins_in_the_evening_before() -> None:
    found = dates(understood(EUR, what_to_show="MIDPOINT", bar_size="1 day", duration="1 W"))
    assert found[-1] == "20261123"
    assert not {"20261121", "20261122"} & set(found), "no weekend"


def test_days_are_written_as_dates_whatever_the_format() -> None:
    assert dates(understood(bar_size="1 day", duration="3 D", format_date=2)) == ["20261119", "20261120", "20261123"]


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"duration": ""}, 321, "duration not specified"),
        ({"duration": "1"}, 321, "duration is invalid"),
        ({"duration": "20 S"}, 321, "duration is invalid"),
        ({"duration": "1D"}, 321, "integer{SPACE}unit"),
        ({"duration": "1 X"}, 321, "integer{SPACE}unit"),
        ({"duration": "0 D"}, 321, "duration is invalid"),
        ({"duration": "366 D"}, 321, "must be made in years"),
        ({"duration": "53 W"}, 321, "must be made in years"),
        ({"duration": "13 M"}, 321, "must be made in years"),
        ({"duration": "86401 S"}, 321, "86400 seconds"),
        ({"duration": "1 D", "bar_size": "1 secs"}, 162, "invalid step"),
        ({"duration": "1 W", "bar_size": "5 secs"}, 162, "invalid step"),
        ({"duration": "1 M", "bar_size": "15 secs"}, 162, "invalid step"),
        ({"duration": "1 Y", "bar_size": "30 secs"}, 162, "invalid step"),
        ({"duration": "2001 S", "bar_size": "1 secs"}, 162, "Time length exceed max"),
        ({"bar_size": "7 mins"}, 321, "Legal ones are: 1 secs,"),
        ({"format_date": 4}, 321, "Date formatting selection of 4 rejected"),
        ({"what_to_show": "GOSSIP"}, 321, "Invalid source price"),
        ({"what_to_show": "AGGTRADES"}, 10299, "Expected what to show is TRADES"),
        ({"what_to_show": "SCHEDULE"}, 10295, "Only daily resolution"),
        ({"what_to_show": "ADJUSTED_LAST", "end": "20261120-15:00:00"}, 321, "adjusted last"),
        ({"what_to_show": "YIELD_BID"}, 162, "no data: AAPL@SMART Yield_bid"),
        ({"keep_up_to_date": True, "end": "20261120-15:00:00"}, 321, "End date not supported with live updates"),
        ({"keep_up_to_date": True, "what_to_show": "BID_ASK"}, 321, "Source price not supported"),
        ({"end": "yesterday"}, 10314, "End Date/Time"),
        ({"end": "20261340 10:00:00 UTC"}, 10314, "End Date/Time"),
        ({"end": "20261123 10:00:00 Mars/Base"}, 10314, "End Date/Time"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_gateways_words(fields: dict[str, Any], code: int, text: str) -> None:
    with pytest.raises(RequestError, match=text.replace("{", r"\{").replace("|", r"\|")) as refused:
        understood(**fields)
    assert refused.value.code.code == code


@pytest.mark.parametrize(
    ("contract", "what"), [(EUR, "TRADES"), (SPX, "BID"), (OPTION, "FEE_RATE"), (ES, "ADJUSTED_LAST")]
)
def test_a_kind_that_an_instrument_has_not_is_no_data(contract: Contract, what: str) -> None:
    with pytest.raises(RequestError, match="HMDS query returned no data") as refused:
        understood(contract, what_to_show=what)
    assert refused.value.code.code == 162


def test_a_continuous_future_has_no_end() -> None:
    contract = Contract(symbol="ES", security_type="CONTFUT", exchange="CME")
    assert understood(contract).listing.symbol == "ESZ2026"
    with pytest.raises(RequestError) as refused:
        understood(contract, end="20261120-15:00:00")
    assert refused.value.code.code == 10339


def test_small_bars_are_kept_for_half_a_year() -> None:
    query = understood(end="20260301-15:00:00", duration="60 S", bar_size="5 secs", use_rth=False)
    with pytest.raises(RequestError, match="no data"):
        history.all_bars(query, MARKET)
    assert dates(understood(end="20260301-15:00:00", duration="120 S", bar_size="1 min", use_rth=False))


@pytest.mark.parametrize("text", ["1 week", "1W", "1w", "1 WEEK"])
def test_bar_sizes_are_read_in_either_case(text: str) -> None:
    assert understood(bar_size=text, duration="2 M").bar_size == "1 week"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("20261123 10:00:00 US/Eastern", True),
        ("20261123 16:00:00 Europe/Zurich", True),
        ("20261123-15:00:00", True),
        ("20261123 10:00:00", False),
        ("20261123  10:00:00", False),
        ("10:00:00", False),
    ],
)
def test_one_moment_is_written_in_many_ways(text: str, named: bool) -> None:
    moment = times.read_moment(text, MONDAY + 3600 * SECOND)
    assert (moment.time_ns, moment.zone_is_named) == (MONDAY, named)


def bar_ends(start_ns: int, size: Any, query: Query) -> int:
    """On the grid counted from New York's midnight, or at the close where hours are regular."""
    day, length_ns = new_york_date(start_ns), (seconds_of(size) or 0) * SECOND
    on_grid = start_ns + length_ns - (start_ns - day_window(day)[0]) % length_ns
    return min(on_grid, session_window(day, query.listing.hours)[1]) if query.regular_hours else on_grid


@settings(max_examples=30, deadline=None)
@given(
    size=st.sampled_from([size for size in BAR_SIZES if seconds_of(size) is not None]),
    offset=st.integers(0, 20 * 86_400),
    contract=st.sampled_from([AAPL, ES, OPTION]),
)
def test_bars_agree_with_the_ticks_of_their_time(size: Any, offset: int, contract: Contract) -> None:
    """Open, high, low, close, volume and count of any bar are those of the ticks that a request for ticks returns."""
    end_ns = MONDAY - offset * SECOND
    query = understood(contract, now_ns=end_ns, duration="1800 S", bar_size=size, use_rth=False)
    bars = history.bars_of(query, MARKET, query.start_ns, query.end_ns)
    for bar in bars[:3]:
        start_ns = to_ns(bar.start)
        ticks = list(MARKET.quotes(query.listing.symbol, start_ns, min(bar_ends(start_ns, size, query), end_ns)))
        prices = [tick.last for tick in ticks]
        assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert (bar.volume, bar.trades) == (sum(tick.last_size for tick in ticks), len(ticks))


def ticks_asked(contract: Contract = AAPL, **fields: Any) -> ReqHistoricalTicks:
    given = {
        "req_id": 6,
        "contract": contract,
        "include_expired": False,
        "start": "",
        "end": "20261123-15:00:00",
        "count": 10,
        "what_to_show": "TRADES",
        "use_rth": False,
        "ignore_size": False,
        "options": "",
    }
    return ReqHistoricalTicks(**{**given, **fields})


def ticks(contract: Contract = AAPL, now_ns: int = MONDAY + 3600 * SECOND, **fields: Any) -> Any:
    found = find_one(MASTER, contract, now_ns)
    return history_ticks.answer(history_ticks.tick_query_of(ticks_asked(contract, **fields), found, now_ns), MARKET)


def test_ticks_up_to_an_end_are_the_last_ones_and_whole_seconds() -> None:
    answer = ticks(count=10)
    assert isinstance(answer, HistoricalTrades)
    assert answer.is_done
    first = answer.ticks[0].epoch_s
    expected = [(tick.last, tick.last_size) for tick in MARKET.quotes("AAPL", first * SECOND, MONDAY)]
    assert [(tick.price, tick.size) for tick in answer.ticks] == expected
    assert 10 <= len(answer.ticks) < 20
    assert len([tick for tick in answer.ticks if tick.epoch_s > first]) < 10, "the first second was completed"


def test_ticks_from_a_start_are_the_next_ones_and_whole_seconds() -> None:
    answer = ticks(start="20261123-15:00:00", end="", count=10)
    last = answer.ticks[-1].epoch_s
    expected = [tick.last for tick in MARKET.quotes("AAPL", MONDAY, (last + 1) * SECOND)]
    assert [tick.price for tick in answer.ticks] == expected
    assert len([tick for tick in answer.ticks if tick.epoch_s < last]) < 10


def test_a_thousand_ticks_are_the_most() -> None:
    assert 1000 <= len(ticks(count=5000).ticks) < 1100


def test_bids_and_asks_are_those_of_the_book() -> None:
    answer = ticks(what_to_show="BID_ASK", count=30)
    assert isinstance(answer, HistoricalBidAsks)
    assert all(tick.bid < tick.ask for tick in answer.ticks)
    quiet = ticks(what_to_show="BID_ASK", count=30, ignore_size=True)
    pairs = [(tick.bid, tick.ask) for tick in quiet.ticks]
    assert all(before != now for before, now in pairwise(pairs))


def test_trades_of_a_pair_are_told_as_midpoints() -> None:
    answer = ticks(EUR, count=5)
    assert isinstance(answer, HistoricalMidpoints)
    assert all(1.0 < tick.price < 1.2 for tick in answer.ticks)


def test_ticks_of_regular_hours_skip_the_night() -> None:
    answer = ticks(end="20261123-14:30:05", use_rth=True, count=200)
    friday_closes = int(datetime(2026, 11, 20, 21, 0, tzinfo=UTC).timestamp())
    opens = int(datetime(2026, 11, 23, 14, 30, tzinfo=UTC).timestamp())
    assert {tick.epoch_s for tick in answer.ticks if tick.epoch_s < opens} <= set(
        range(friday_closes - 600, friday_closes)
    )
    assert answer.ticks[-1].epoch_s >= opens


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"count": 0}, 321),
        ({"what_to_show": ""}, 321),
        ({"what_to_show": "ASK"}, 321),
        ({"what_to_show": "AGGTRADES"}, 10299),
        ({"end": "soon"}, 10314),
        ({"start": "soon"}, 10314),
    ],
)
def test_ticks_that_cannot_be_had_are_refused(fields: dict[str, Any], code: int) -> None:
    with pytest.raises(RequestError) as refused:
        ticks(**fields)
    assert refused.value.code.code == code


@pytest.mark.parametrize("what", ["TRADES", "MIDPOINT", "BID", "ASK"])
@pytest.mark.parametrize("size", ["5 secs", "1 min"])
def test_bars_kept_up_to_date_end_as_a_later_query_has_them(size: str, what: str) -> None:
    """Whatever was told last of each bar is what history says of it afterwards, and no bar is left out."""
    query = understood(
        now_ns=MONDAY, duration="300 S", bar_size=size, what_to_show=what, use_rth=False, keep_up_to_date=True
    )
    live = LiveBars(query, query.end_ns, history.all_bars(query, MARKET)[-1])
    told: dict[str, HistoricalDataUpdate] = {}
    now_ns = MONDAY
    for _ in range(150):
        now_ns += 700_000_000
        for message in live.update(MARKET, now_ns):
            assert isinstance(message, HistoricalDataUpdate)
            assert not told or message.date >= max(told), "time does not run backwards"
            told[message.date] = message
    later = understood(
        now_ns=now_ns + 3600 * SECOND,
        end=times.utc_text(now_ns),
        duration="600 S",
        bar_size=size,
        what_to_show=what,
        use_rth=False,
    )
    past = {history.update(bar, later).date: history.update(bar, later) for bar in history.all_bars(later, MARKET)}
    complete = sorted(told)[:-1]
    assert len(complete) >= 1
    assert [past[date] for date in complete] == [told[date] for date in complete]
    assert [date for date in past if complete[0] <= date <= complete[-1]] == complete


def test_nothing_is_told_twice_and_nothing_too_soon() -> None:
    query = understood(duration="300 S", bar_size="1 min", use_rth=False, keep_up_to_date=True)
    live = LiveBars(query, query.end_ns, history.all_bars(query, MARKET)[-1])
    assert list(live.update(MARKET, MONDAY + UPDATE_NS - 1)) == []
    assert list(live.update(MARKET, MONDAY + 2 * UPDATE_NS))
    assert list(live.update(MARKET, MONDAY + 2 * UPDATE_NS + 1)) == []
    live.failed = True
    assert list(live.update(MARKET, MONDAY + 90 * UPDATE_NS)) == []


@pytest.mark.parametrize(
    ("what", "size", "duration", "apart"),
    [("TRADES", "1 hour", "1 D", False), ("BID_ASK", "1 hour", "1 D", True), ("TRADES", "1 min", "1 W", True)],
)
def test_what_takes_long_is_computed_apart_from_the_loop(what: str, size: str, duration: str, apart: bool) -> None:
    """Many bars, and any bars of averages, for which every tick is looked at."""
    floor = Floor()
    recorder = floor.recorder()
    request = asked(what_to_show=what, bar_size=size, duration=duration)
    at_once = list(respond(floor.gateway, floor.clients[1][0], request, request.req_id))
    assert [len(of(told, HistoricalData)) for told in (at_once, recorder.messages)] == [not apart, apart]
