"""Ticks made from prepared parts are, byte for byte, what the codec makes of the messages."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream.simulation.quotes import DayStatistics, Greeks, Quote
from ibstream_gateway_emulator.domain.pace import LATE_STEPS_MAX, Pace
from ibstream_gateway_emulator.domain.tick_frames import ENCODING, MARK, Form, form, quote_form, shapes, size_frames
from ibstream_gateway_emulator.domain.ticks import (
    DELAYED_TYPES,
    GENERIC,
    PRICE,
    SIZE,
    STRING,
    Kind,
    Tick,
    day_ticks,
    delayed,
    greek_tick,
    halted_tick,
    message_of,
    quote_ticks,
)
from ibstream_gateway_emulator.protocol.messages import TickSize, encode

prices = st.integers(1, 10_000_000).map(lambda cents: cents / 100) | st.just(0.0) | st.just(-1.0)
sizes = st.integers(0, 10**12)
req_ids = st.integers(0, 2**31 - 1)
types = st.integers(0, 104)
numbers = st.floats(-1e9, 1e9, allow_nan=False)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=80)
ticks = st.one_of(
    st.tuples(st.just(PRICE), types, prices, sizes, st.integers(0, 7)),
    st.tuples(st.just(SIZE), types, sizes),
    st.tuples(st.just(GENERIC), types, numbers | st.integers(0, 3)),
    st.tuples(st.just(STRING), types, st.text("0123456789;.true", max_size=80)),
    st.builds(greek_tick, st.integers(10, 13), st.builds(Greeks, *[numbers] * 8)),
)
quotes = st.builds(
    Quote,
    st.just("AAPL"),
    st.integers(0, 2**62),
    st.integers(0, 2**40),
    prices,
    prices,
    prices,
    sizes,
    sizes,
    sizes,
    sizes,
)
kinds = st.builds(Kind, st.booleans(), st.booleans(), st.booleans())
changes = st.fixed_dictionaries({}, optional={"time_ns": st.integers(0, 2**62), "bid": prices, "ask": prices, "last": prices,
    "bid_size": sizes, "ask_size": sizes, "last_size": sizes, "volume": sizes})  # fmt: skip


def expected(found: list[Tick], req_id: int) -> bytes:
    return b"".join(encode(message_of(req_id, tick), 178) for tick in found)


def written(found: Form, req_id: int) -> bytes:
    return found.replace(MARK, str(req_id)).encode(ENCODING)


@given(st.lists(ticks, max_size=12), req_ids)
def test_frames_of_any_ticks_are_those_of_the_codec(found: list[Tick], req_id: int) -> None:
    made = form(found, len(str(req_id)))
    assert written(made, req_id) == expected(found, req_id)
    assert made.count(MARK) == len(found)


@given(quotes, changes, kinds, req_ids)
def test_the_quick_way_writes_what_the_plain_way_does(
    told: Quote, changed: dict[str, object], kind: Kind, req_id: int
) -> None:
    quote = msgspec.structs.replace(told, **changed)
    found = quote_ticks(quote, told, kind)
    made = quote_form(quote, told, kind, shapes(len(str(req_id))))
    assert written(made, req_id) == expected(found, req_id)
    assert made.count(MARK) == len(found)


@given(req_ids, st.sampled_from([1, 100, 500_000]))
def test_prepared_sizes_are_tick_sizes(req_id: int, unit: int) -> None:
    for tick_type, frames in zip((0, 3), size_frames(str(req_id), unit), strict=True):
        for step, frame in enumerate(frames, 1):
            assert frame.encode(ENCODING) == encode(TickSize(req_id, tick_type, unit * step), 178)


@given(quotes, changes)
def test_a_price_is_followed_by_its_size_and_a_size_alone_brings_no_price(
    told: Quote, changed: dict[str, object]
) -> None:
    quote = msgspec.structs.replace(told, **changed)
    found = quote_ticks(quote, told, Kind())
    followers = {1: 0, 2: 3, 4: 5}
    for place, tick in enumerate(found):
        if tick[0] == PRICE:
            assert found[place + 1] == (SIZE, followers[tick[1]], tick[3])
    if (quote.bid, quote.bid_size) == (told.bid, told.bid_size):
        assert not {tick[1] for tick in found} & {0, 1}


def test_what_is_not_there_is_minus_one_with_size_zero() -> None:
    quote = Quote("AAPL  261218P00001000", 10**18, 5, 0.0, 0.05, 0.01, 0, 10, 1, 3)
    assert quote_ticks(quote, None, Kind())[:2] == [(PRICE, 1, -1.0, 0, 1), (SIZE, 0, 0)]


def test_an_index_has_a_last_price_alone_and_a_currency_pair_a_book_alone() -> None:
    quote = Quote("X", 10**18, 5, 1.1, 1.2, 1.15, 1, 2, 3, 4)
    index = quote_ticks(quote, None, Kind(has_book=False, has_volume=False))
    pair = quote_ticks(quote, None, Kind(has_trades=False, has_volume=False))
    assert [tick[1] for tick in index] == [45, 4]
    assert [tick[1] for tick in pair] == [1, 0, 2, 3]


def test_delayed_ticks_have_types_of_their_own() -> None:
    quote, day = Quote("X", 10**18, 5, 1.1, 1.2, 1.15, 1, 2, 3, 4), DayStatistics(1.0, 2.0, 0.5, 1.1)
    found = [halted_tick(), *quote_ticks(quote, None, Kind()), *day_ticks(day, None)]
    late = delayed(found)
    assert [tick[1] for tick in late] == [90, 66, 69, 67, 70, 88, 68, 71, 74, 72, 73, 75, 76]
    assert [tick[2:] for tick in late] == [tick[2:] for tick in found]
    assert delayed([(STRING, 48, "x")]) == []
    assert set(DELAYED_TYPES.values()) == {*range(66, 77), *range(80, 84), 88, 90}


def test_only_what_changed_of_a_day_is_told() -> None:
    day = DayStatistics(1.0, 2.0, 0.5, 1.1)
    assert day_ticks(msgspec.structs.replace(day, high=2.5), day) == [(PRICE, 6, 2.5, 0, 0)]


@given(st.integers(1, 5_000_000), st.lists(st.integers(1, 300_000_000), min_size=2, max_size=60), st.data())
def test_the_pace_is_exact_over_any_steps(per_second: int, gaps_ns: list[int], data: st.DataObject) -> None:
    """Updates are not torn, so a step may overshoot its share; the next ones repay that. Nothing else is lost or added."""
    pace, now_ns, sent = Pace(), 0, 0
    assert pace.share(now_ns, per_second, 1_000_000_000) == 0
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        share = pace.share(now_ns, per_second, 1_000_000_000)
        spent = share + (data.draw(st.integers(0, 9)) if share else 0)
        pace.spent(spent)
        sent += spent
    assert sent - 9 <= now_ns * per_second // 1_000_000_000 <= sent + 1 or sent == 0


def test_no_pause_ends_in_a_flood_and_what_was_not_used_lapses() -> None:
    pace = Pace()
    pace.share(0, 1000, 100_000_000)
    assert pace.share(60_000_000_000, 1000, 100_000_000) == LATE_STEPS_MAX * 100
    assert pace.share(60_100_000_000, 1000, 100_000_000) == pytest.approx(100, abs=1)
