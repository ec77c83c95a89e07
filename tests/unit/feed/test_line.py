"""The record of one symbol: what IBKR's values mean, and what the row says of where it stands."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream.contracts.quotes import Quality, Quote
from ibstream_feed.domain import line as line_module
from ibstream_feed.domain.line import (
    ASK,
    ASK_SIZE,
    BID,
    BID_SIZE,
    DELAYED,
    DELAYED_FROZEN,
    FROZEN,
    LAST,
    LAST_SIZE,
    LIVE,
    VOLUME,
    Line,
    Value,
    number,
)

DBL_MAX = b"1.7976931348623157E308"

values = st.one_of(
    st.none(),
    st.floats(),
    st.sampled_from([b"", b"-1", b"0", b"-1.0", b"187.35", b"100", b"nan", b"inf", b"-inf", b"junk", b"\xff", DBL_MAX]),
    st.floats(-10, 1e9).map(lambda value: repr(value).encode()),
)


def line(**wire: Value) -> Line:
    """A line with a whole quote, but for what is given."""
    made = Line("AAPL", 3)
    quote: dict[str, Value] = {
        "bid": b"187.34",
        "ask": b"187.36",
        "last": b"187.35",
        "bid_size": b"4",
        "ask_size": b"7",
        "last_size": b"100",
        "volume": b"123456",
    }
    made.values[:] = {**quote, **wire}.values()
    made.is_stale = False
    return made


def shown(made: Line) -> tuple[float | None, ...]:
    row = made.row()
    return row.bid, row.ask, row.last, row.bid_size, row.ask_size, row.last_size, row.volume


def test_values_stand_where_their_names_say() -> None:
    """The order of `values` is that of the row."""
    made = Line("AAPL", 3)
    for place in (BID, ASK, LAST, BID_SIZE, ASK_SIZE, LAST_SIZE, VOLUME):
        made.values[place] = b"%d" % (place + 1)
    made.time_ns = 9
    made.is_stale = False
    assert made.row() == Quote("AAPL", 1, 2, 3, 4, 5, 6, 7, 9, Quality.LIVE)


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({}, (187.34, 187.36, 187.35, 4, 7, 100, 123456)),
        ({"bid": b"-1", "bid_size": b"0"}, (None, 187.36, 187.35, 0, 7, 100, 123456)),
        ({"ask": b"-1.0", "ask_size": b"0"}, (187.34, None, 187.35, 4, 0, 100, 123456)),
        ({"bid": b"-1"}, (None, 187.36, 187.35, 4, 7, 100, 123456)),
        ({"bid_size": b"0"}, (None, 187.36, 187.35, 0, 7, 100, 123456)),
        ({"bid_size": b"-1"}, (None, 187.36, 187.35, None, 7, 100, 123456)),
        ({"ask_size": None}, (187.34, None, 187.35, 4, None, 100, 123456)),
        ({"last": b"-1"}, (187.34, 187.36, None, 4, 7, None, 123456)),
        ({"last_size": b"0"}, (187.34, 187.36, 187.35, 4, 7, 0, 123456)),
        ({"volume": b"-1"}, (187.34, 187.36, 187.35, 4, 7, 100, None)),
        ({"volume": b"0"}, (187.34, 187.36, 187.35, 4, 7, 100, 0)),
        ({"last": DBL_MAX, "volume": b""}, (187.34, 187.36, None, 4, 7, None, None)),
        ({"bid": b"-37.63", "ask": b"0"}, (-37.63, 0, 187.35, 4, 7, 100, 123456)),
        ({"bid": 187.34, "last": math.nan}, (187.34, 187.36, None, 4, 7, None, 123456)),
    ],
)
def test_what_ibkr_says_for_none_is_none(wire: dict[str, Value], expected: tuple[float | None, ...]) -> None:
    """-1, a size of 0, the greatest double, an empty field; but a price may be 0 or below, as oil's was in 2020."""
    assert shown(line(**wire)) == expected


@given(st.lists(values, min_size=7, max_size=7))
def test_whatever_comes_off_the_wire_makes_a_row_that_travels(wire: list[Value]) -> None:
    """No value breaks the row or reaches it as NaN or infinity, and sizes are never negative."""
    made = Line("AAPL", 3)
    made.values[:] = wire
    row = made.row()
    assert msgspec.json.decode(msgspec.json.encode(row), type=Quote) == row
    sizes = [row.bid_size, row.ask_size, row.last_size, row.volume]
    assert all(size is None or 0 <= size < 1e300 for size in sizes)
    assert -1 not in (row.bid, row.ask, row.last)
    assert row.bid is None or row.bid_size
    assert row.ask is None or row.ask_size


@given(values)
def test_a_value_that_was_read_before_reads_the_same(value: Value) -> None:
    """What is remembered of a number is the number."""
    for _ in range(2):
        made = line(bid=value)
        expected = number(value)
        assert made.row().bid == (None if expected == -1 else expected)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume is new with every trade: it must not fill the memory."""
    monkeypatch.setattr(line_module, "NUMBERS_KEPT_MAX", 100)
    kept = line_module._Remembered(line_module.size)
    for count in range(1000):
        assert kept[b"%d" % count] == count
        assert len(kept) <= 100


@pytest.mark.parametrize(
    ("data_type", "is_sampled", "quality"),
    [
        (LIVE, False, Quality.LIVE),
        (FROZEN, False, Quality.FROZEN),
        (DELAYED, False, Quality.DELAYED),
        (DELAYED_FROZEN, False, Quality.DELAYED_FROZEN),
        (LIVE, True, Quality.SNAPSHOT),
        (FROZEN, True, Quality.FROZEN),
        (DELAYED, True, Quality.DELAYED),
        (DELAYED_FROZEN, True, Quality.DELAYED_FROZEN),
    ],
)
def test_the_quality_is_the_most_that_can_be_said(data_type: int, is_sampled: bool, quality: Quality) -> None:
    """Stale before all; then IBKR's word; a sample of live data is a snapshot."""
    made = line()
    made.data_type, made.is_sampled = data_type, is_sampled
    assert made.row().quality is quality
    made.is_stale = True
    assert made.row().quality is Quality.STALE


def test_between_a_new_subscription_and_its_first_tick_the_old_values_are_shown() -> None:
    """And none of them beside the first new one."""
    made = line()
    before = shown(made)
    made.begin()
    made.values[BID], made.values[BID_SIZE] = b"190", b"1"
    assert shown(made) == before
    made.known = made.values
    assert shown(made) == (190, None, None, 1, None, None, None)


def test_a_new_subscription_knows_nothing_of_the_type_or_halt_of_the_one_before() -> None:
    """IBKR tells both anew."""
    made = line()
    made.data_type, made.halted = DELAYED, True
    made.begin()
    assert (made.data_type, made.halted) == (LIVE, False)


@pytest.mark.parametrize(
    ("data_type", "is_sampled", "quality"),
    [(DELAYED, False, Quality.DELAYED), (DELAYED, True, Quality.DELAYED), (LIVE, True, Quality.SNAPSHOT)],
)
def test_old_values_are_shown_as_what_they_were(data_type: int, is_sampled: bool, quality: Quality) -> None:
    """Whatever begins, and however often: what a row says of its values changes with them, at the first tick."""
    made = line()
    made.data_type, made.halted, made.is_sampled = data_type, True, is_sampled
    made.begin()
    assert (made.quality, made.row().halted) == (quality, True)
    made.is_sampled = False
    made.begin()
    made.data_type, made.halted = FROZEN, False
    assert (made.quality, made.row().halted) == (quality, True)
    made.known = made.values
    assert (made.quality, made.row().halted) == (Quality.FROZEN, False)


def test_a_snapshot_does_not_turn_live_before_the_first_tick_of_a_stream() -> None:
    """The line is given back its place, and its subscription waits its turn."""
    made = line()
    made.is_sampled = True
    made.is_sampled = False
    assert (made.is_sampled, made.quality) == (False, Quality.SNAPSHOT)
    made.known = made.values
    assert made.quality is Quality.LIVE


@pytest.mark.parametrize("has_begun", [False, True])
def test_what_is_not_kept_up_any_more_is_a_snapshot_at_once(has_begun: bool) -> None:
    """Also where another subscription had begun, and had brought nothing yet."""
    made = line()
    if has_begun:
        made.begin()
    made.is_sampled = True
    assert made.quality is Quality.SNAPSHOT


def test_what_comes_to_nothing_leaves_all_as_it_was() -> None:
    """Values, type and halt."""
    made = line()
    made.data_type, made.halted = DELAYED, True
    row = made.row()
    made.begin()
    made.values[BID], made.halted, made.data_type = b"1", False, FROZEN
    made.forgo()
    assert (made.row(), made.data_type, made.halted) == (row, DELAYED, True)
    made.values[LAST] = b"190"
    assert made.row().last == 190, "what goes on is shown"


def test_what_is_restored_is_stale_and_says_what_it_said() -> None:
    """The prices, sizes, time and halt of another life."""
    row = Quote("AAPL", 1, 2, 3, 4, 5, 6, 7, 9, Quality.DELAYED, halted=True)
    made = line()
    made.restore(row)
    assert made.row() == msgspec.structs.replace(row, quality=Quality.STALE)


def test_what_is_restored_does_not_mingle_with_a_subscription_that_has_begun() -> None:
    """It is shown until the first tick, and no longer."""
    made = Line("AAPL", 3)
    made.begin()
    made.restore(Quote("AAPL", 1, 2, 3, 4, 5, 6, 7, 9, halted=True))
    made.values[BID], made.values[BID_SIZE] = b"190", b"1"
    assert shown(made) == (1, 2, 3, 4, 5, 6, 7)
    assert (made.row().halted, made.halted) == (True, False)
    made.known = made.values
    assert shown(made) == (190, None, None, 1, None, None, None)
