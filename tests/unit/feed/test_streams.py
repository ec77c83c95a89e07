"""Who gets a stream and when, what a refusal means, how a book is kept, and what waits for Redis."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream.contracts.feed import DataKind, SubscriptionOutcome
from ibstream.contracts.instrument import Instrument, SecurityType, quote_symbol
from ibstream.contracts.ticks import DEPTH_LEVELS, BidAskTick, Depth, Level, TickBatch, TradeTick
from ibstream_feed import outlets
from ibstream_feed.domain.depth import DELETE, INSERT, ROWS_KEPT_MAX, UPDATE, DepthBook
from ibstream_feed.domain.streams import (
    BAR_REQUESTS_MAX,
    BAR_WINDOW_S,
    STREAM_KINDS,
    TICK_REST_S,
    Fate,
    Pace,
    Setbacks,
    Wish,
    bars_of,
    grant,
    share,
    tick_types,
)
from ibstream_feed.outlets import BarOutlet, DepthOutlet, TickOutlet
from ibstream_feed.stream_verdicts import judge

BIDS, ASKS = 1, 0
SECURITY_TYPES: list[SecurityType] = ["STK", "CASH", "FUT", "OPT", "BAG", "IND"]


def wish(
    symbol: str = "AAPL",
    kind: DataKind = DataKind.TICKS,
    *,
    security_type: SecurityType = "STK",
    priority: int = 5,
    since_ms: int = 0,
) -> Wish:
    instrument = Instrument(symbol=symbol, security_type=security_type)
    return Wish(kind, quote_symbol(instrument), instrument, priority, since_ms)


wishes = st.builds(
    wish,
    st.sampled_from(["A", "B", "C", "D", "E"]),
    st.sampled_from(STREAM_KINDS),
    security_type=st.sampled_from(["STK", "CASH"]),
    priority=st.integers(1, 9),
    since_ms=st.integers(0, 3),
)


class TestSlots:
    @given(st.lists(wishes, unique_by=lambda one: one.key), st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
    def test_no_slot_is_given_twice_and_none_is_withheld(
        self, wanted: list[Wish], ticks: int, bars: int, depth: int
    ) -> None:
        """Every wish is answered once; a budget is kept; who is turned away would not fit even then."""
        slots = dict(zip(STREAM_KINDS, (ticks, bars, depth), strict=True))
        grants = grant(wanted, slots)
        assert sorted(map(id, grants.granted + grants.over)) == sorted(map(id, wanted))
        for kind, budget in slots.items():
            used = sum(one.slots for one in grants.granted if one.kind is kind)
            assert used <= budget
            assert all(one.slots > budget - used for one in grants.over if one.kind is kind)

    @given(st.lists(wishes, unique_by=lambda one: one.key), st.integers(0, 6))
    def test_a_worse_wish_never_pushes_out_a_better_one_of_its_size(self, wanted: list[Wish], budget: int) -> None:
        grants = grant(wanted, dict.fromkeys(STREAM_KINDS, budget))
        for served, turned_away in itertools.product(grants.granted, grants.over):
            if (served.kind, served.slots) == (turned_away.kind, turned_away.slots):
                assert (served.priority, served.since_ms) <= (turned_away.priority, turned_away.since_ms)

    def test_a_smaller_wish_uses_what_the_better_one_cannot(self) -> None:
        """With three tick-by-tick slots: one stock takes two, a second one does not fit, a currency pair does."""
        first, second, pair = wish("A"), wish("B", since_ms=1), wish("EUR", security_type="CASH", since_ms=2)
        grants = grant([pair, second, first], {DataKind.TICKS: 3})
        assert grants.granted == (first, pair)
        assert grants.over == (second,)

    @pytest.mark.parametrize("security_type", SECURITY_TYPES)
    def test_what_ibkr_does_not_have_takes_no_slot(self, security_type: SecurityType) -> None:
        """No single ticks of options and combos, no book of an index, nothing but quotes of a combo."""
        slots = tuple(wish("X", kind, security_type=security_type).slots for kind in STREAM_KINDS)
        expected = {"STK": (2, 1, 1), "FUT": (2, 1, 1), "CASH": (1, 1, 1), "IND": (1, 1, 0), "OPT": (0, 1, 1)}
        assert slots == expected.get(security_type, (0, 0, 0))

    def test_pairs_have_no_trades(self) -> None:
        assert tick_types("CASH") == ("BidAsk",)
        assert [bars_of(kind) for kind in ("CASH", "STK")] == ["MIDPOINT", "TRADES"]


class TestPace:
    def test_ticks_of_one_symbol_rest_fifteen_seconds(self) -> None:
        """Those of another need not wait, and their bars and books neither."""
        pace, one = Pace(), wish()
        assert pace.wait_s(one, 100.0) == 0
        pace.asked(one, 100.0)
        assert pace.wait_s(one, 110.0) == pytest.approx(TICK_REST_S - 10)
        assert pace.wait_s(one, 100.0 + TICK_REST_S) == 0
        for other in (wish("MSFT"), wish(kind=DataKind.BARS), wish(kind=DataKind.DEPTH)):
            assert pace.wait_s(other, 100.0) == 0

    @given(st.lists(st.floats(0, 60), min_size=100, max_size=200))
    def test_no_ten_minutes_hold_more_new_bars_than_allowed(self, pauses: list[float]) -> None:
        """Whoever waits as long as told never asks too often."""
        pace, now_s, asked = Pace(), 0.0, list[float]()
        for pause in pauses:
            now_s += pause
            one = wish(kind=DataKind.BARS)
            now_s += pace.wait_s(one, now_s)
            pace.asked(one, now_s)
            asked.append(now_s)
        for index, first in enumerate(asked[:-BAR_REQUESTS_MAX]):
            assert asked[index + BAR_REQUESTS_MAX] - first >= BAR_WINDOW_S - 1e-6

    @pytest.mark.parametrize(("peers", "at_once"), [(1, BAR_REQUESTS_MAX), (3, BAR_REQUESTS_MAX // 3), (1000, 1)])
    def test_processes_share_the_new_bars_of_ten_minutes(self, peers: int, at_once: int) -> None:
        """Each asks for its part, and for one at least. What was asked for before counts."""
        pace, one = Pace(), wish(kind=DataKind.BARS)
        pace.share(peers)
        for _ in range(at_once):
            assert pace.wait_s(one, 100.0) == 0
            pace.asked(one, 100.0)
        assert pace.wait_s(one, 100.0) == BAR_WINDOW_S
        pace.share(peers + 1)
        assert pace.wait_s(one, 100.0) == BAR_WINDOW_S


@pytest.mark.parametrize(
    ("kind", "slots", "peers", "part"),
    [
        (DataKind.TICKS, 12, 3, 4),
        (DataKind.TICKS, 3, 1, 3),
        (DataKind.TICKS, 3, 3, 2),  # a stock takes two
        (DataKind.TICKS, 1, 2, 1),
        (DataKind.DEPTH, 3, 2, 1),
        (DataKind.DEPTH, 3, 8, 1),
        (DataKind.DEPTH, 0, 2, 0),
        (DataKind.BARS, 100, 3, 33),
    ],
)
def test_a_process_asks_for_its_part_and_for_one_stream_at_least(
    kind: DataKind, slots: int, peers: int, part: int
) -> None:
    assert share(kind, slots, peers) == part


class TestSetbacks:
    def test_what_merely_ended_is_had_again_soon_and_later_each_time(self) -> None:
        setbacks, key, now_s = Setbacks(), wish().key, 0.0
        rests = []
        for _ in range(6):
            setbacks.note(key, Fate.AGAIN, now_s)
            start_s = now_s
            while setbacks.hold(key, now_s):
                now_s += 0.5
            rests.append(now_s - start_s)
        assert rests == [1, 5, 15, 60, 60, 60]
        setbacks.overcome(key)
        setbacks.note(key, Fate.AGAIN, now_s)
        assert not setbacks.hold(key, now_s + 1)

    @pytest.mark.parametrize(
        ("fate", "kind", "rest_s"),
        [
            (Fate.FORBIDDEN, DataKind.TICKS, 3600),
            (Fate.REFUSED, DataKind.DEPTH, 300),
            (Fate.ELSEWHERE, DataKind.BARS, 60),
            (Fate.TOO_FAST, DataKind.TICKS, TICK_REST_S),
            (Fate.TOO_FAST, DataKind.BARS, BAR_WINDOW_S),
        ],
    )
    def test_a_refusal_is_respected_for_its_time(self, fate: Fate, kind: DataKind, rest_s: float) -> None:
        setbacks, key = Setbacks(), wish(kind=kind).key
        setbacks.note(key, fate, 10.0)
        assert setbacks.hold(key, 10.0 + rest_s - 0.1)
        assert not setbacks.hold(key, 10.0 + rest_s)

    def test_who_asks_anew_is_served_anew(self) -> None:
        """A refusal ends with the wish, and with the session."""
        setbacks, one, other = Setbacks(), wish("A").key, wish("B").key
        setbacks.note(one, Fate.FORBIDDEN, 0.0)
        setbacks.note(other, Fate.FORBIDDEN, 0.0)
        setbacks.keep_only([other])
        assert (setbacks.hold(one, 1.0), setbacks.hold(other, 1.0)) == (False, True)
        setbacks.forgive()
        assert not setbacks.hold(other, 1.0)

    def test_a_full_house_is_the_budgets_business(self) -> None:
        setbacks, key = Setbacks(), wish().key
        setbacks.note(key, Fate.FULL, 0.0)
        assert not setbacks.hold(key, 0.0)


_O = SubscriptionOutcome


@pytest.mark.parametrize(
    ("code", "text", "fate", "outcome"),
    [
        (10190, "Max number of tick-by-tick requests has been reached", Fate.FULL, _O.OVER_CAPACITY),
        (309, "Max number (3) of market depth requests has been reached", Fate.FULL, _O.OVER_CAPACITY),
        (101, "Max number of tickers has been reached", Fate.FULL, _O.OVER_CAPACITY),
        (316, "Market depth data has been HALTED. Please re-subscribe.", Fate.AGAIN, _O.REFUSED),
        (10225, "Bust event occurred, resubscribe", Fate.AGAIN, _O.REFUSED),
        (317, "Market depth data has been RESET.", Fate.KEEP, None),
        (2152, "Exchanges - Depth: IEX; Need additional market data permissions", Fate.KEEP, None),
        (10090, "Part of requested market data is not subscribed.", Fate.KEEP, None),
        (300, "Can't find EId", Fate.KEEP, None),
        (354, "Requested market data is not subscribed.", Fate.FORBIDDEN, _O.NO_PERMISSION),
        (10167, "Displaying delayed market data.", Fate.FORBIDDEN, _O.NO_PERMISSION),
        (10189, "Failed to request tick-by-tick data.No market data permissions", Fate.FORBIDDEN, _O.NO_PERMISSION),
        (10189, "Failed to request tick-by-tick data.AllLast data is not available for OPT", Fate.REFUSED, _O.REFUSED),
        (10189, "Trading TWS session is connected from a different IP address", Fate.ELSEWHERE, _O.COMPETING_SESSION),
        (10197, "No market data during competing live session", Fate.ELSEWHERE, _O.COMPETING_SESSION),
        (420, "Invalid Real-time Query:Historical data request pacing violation", Fate.TOO_FAST, _O.REFUSED),
        (420, "Invalid Real-time Query:No market data permissions for X", Fate.FORBIDDEN, _O.NO_PERMISSION),
        (420, "Invalid Real-time Query:Bar size is invalid", Fate.REFUSED, _O.REFUSED),
        (200, "No security definition has been found", Fate.REFUSED, _O.UNKNOWN_INSTRUMENT),
        (10092, "Deep market data is not supported for this combination", Fate.REFUSED, _O.REFUSED),
        (99999, "something new", Fate.REFUSED, _O.REFUSED),
    ],
)
def test_codes_mean_what_they_say(code: int, text: str, fate: Fate, outcome: SubscriptionOutcome | None) -> None:
    found, why = judge(code, text)
    assert found is fate
    assert (why.code, why.text) == (code, text)
    assert outcome is None or why.outcome is outcome


class TestBook:
    def test_an_insert_moves_rows_down_and_a_delete_moves_them_up(self) -> None:
        book = DepthBook("AAPL")
        for position, price in enumerate([10.0, 9.0, 8.0]):
            book.change(position, INSERT, BIDS, Level(price, 1))
        book.change(1, INSERT, BIDS, Level(9.5, 2))
        book.change(0, DELETE, BIDS, Level(0, 0))
        book.change(2, UPDATE, BIDS, Level(8.0, 7, "ARCA"))
        book.change(0, INSERT, ASKS, Level(11.0, 3))
        told = book.told(5)
        assert told == Depth(
            symbol="AAPL",
            bids=[Level(9.5, 2), Level(9.0, 1), Level(8.0, 7, "ARCA")],
            asks=[Level(11.0, 3)],
            received_ns=5,
        )

    @given(
        st.lists(
            st.tuples(st.integers(-2, 40), st.integers(0, 3), st.integers(0, 2), st.floats(allow_nan=False)),
            max_size=200,
        )
    )
    def test_nonsense_neither_fails_nor_grows(self, changes: list[tuple[int, int, int, float]]) -> None:
        """Whatever rows IBKR names, a book shows ten of a side at most and keeps twice as many."""
        book = DepthBook("AAPL")
        for position, operation, side, price in changes:
            book.change(position, operation, side, Level(price, 1))
        told = book.told(1)
        assert max(len(told.bids), len(told.asks)) <= DEPTH_LEVELS
        assert max(len(book._bids), len(book._asks)) <= ROWS_KEPT_MAX

    @given(st.lists(st.lists(st.integers(1, 50), unique=True, max_size=DEPTH_LEVELS), min_size=2, max_size=6))
    def test_any_book_is_reached_by_row_changes(self, states: list[list[int]]) -> None:
        """Told the differences row by row, as a Gateway does, the book is the one meant."""
        book, before = DepthBook("AAPL"), list[int]()
        for rows in states:
            for position in reversed(range(len(rows), len(before))):
                book.change(position, DELETE, BIDS, Level(0, 0))
            for position, price in enumerate(rows):
                operation = UPDATE if position < len(before) else INSERT
                book.change(position, operation, BIDS, Level(float(price), 1))
            before = rows
            assert [level.price for level in book.told(1).bids] == rows


def trade(number: int) -> TradeTick:
    return TradeTick(number, 1.0, 1.0)


def numbers(batch: TickBatch | None) -> list[int]:
    assert batch is not None
    return [tick.time_s for tick in batch.trades]


class TestTickOutlet:
    def test_batches_are_numbered_and_hold_every_tick_in_order(self) -> None:
        """Five hundred a batch; trades and quotes each in their order."""
        outlet, found = TickOutlet("AAPL"), list[TickBatch]()
        for number in range(1100):
            outlet.put(trade(number))
        outlet.put(BidAskTick(7, 1.0, 2.0, 3, 4))
        while (batch := outlet.take(0, 5_000_000)) is not None:
            outlet.written()
            found.append(batch)
        assert [(batch.epoch, batch.seq) for batch in found] == [(5, 1), (5, 2), (5, 3)]
        assert [tick.time_s for batch in found for tick in batch.trades] == list(range(1100))
        assert found[-1].quotes == [BidAskTick(7, 1.0, 2.0, 3, 4)]
        assert outlet.is_empty

    def test_a_batch_that_may_be_written_comes_again_in_a_new_epoch(self) -> None:
        outlet = TickOutlet("AAPL")
        outlet.put(trade(1))
        first = outlet.take(0, 1_000_000)
        outlet.put(trade(2))
        outlet.not_written()
        again = outlet.take(0, 1_000_000)
        assert numbers(first) == [1]
        assert numbers(again) == [1, 2]
        assert again is not None
        assert (again.epoch, again.seq) == (2, 1)

    def test_too_many_drop_the_oldest_and_the_gap_shows(self) -> None:
        """Bounded memory while Redis is away; the next batch is of a new epoch."""
        outlet = TickOutlet("AAPL")
        outlet.put(trade(-1))
        assert outlet.take(0, 0) is not None
        outlet.written()
        for number in range(outlets.TICKS_KEPT_MAX + 3):
            outlet.put(trade(number))
        batch = outlet.take(0, 0)
        assert numbers(batch)[0] == 3
        assert batch is not None
        assert (batch.epoch, batch.seq) == (2, 1)

    @pytest.mark.parametrize("is_written", [True, False])
    def test_a_break_while_a_batch_is_under_way_parts_the_epochs(self, *, is_written: bool) -> None:
        """What came before it never shares an epoch with what comes after it."""
        outlet = TickOutlet("AAPL")
        outlet.put(trade(1))
        first = outlet.take(0, 0)
        outlet.interrupt(0)
        outlet.put(trade(2))
        if is_written:
            outlet.written()
        else:
            outlet.not_written()
            first = outlet.take(0, 0)
            outlet.written()
        second = outlet.take(0, 0)
        assert (numbers(first), numbers(second)) == ([1], [2])
        assert first is not None
        assert second is not None
        assert (second.epoch > first.epoch, second.seq) == (True, 1)

    @given(st.lists(st.sampled_from(["put", "interrupt", "write", "fail"]), max_size=60))
    def test_whatever_happens_readers_can_tell(self, story: list[str]) -> None:
        """In the stream epochs grow, numbers have no gap, ticks of one epoch follow on each other, and none is lost."""
        outlet, put, breaks, stream = TickOutlet("AAPL"), 0, set[int](), list[TickBatch]()
        for step in [*story, "write", "write", *["write"] * len(story)]:
            if step == "put":
                outlet.put(trade(put))
                put += 1
            elif step == "interrupt":
                breaks.add(put)
                outlet.interrupt(0)
            elif (batch := outlet.take(0, 0)) is not None:
                stream.append(batch)  # a write that fails may have been done
                (outlet.written if step == "write" else outlet.not_written)()
        by_epoch: dict[int, list[TickBatch]] = {}
        for batch in stream:
            by_epoch.setdefault(batch.epoch, []).append(batch)
        assert list(by_epoch) == sorted(by_epoch)
        assert [batch for batches in by_epoch.values() for batch in batches] == stream
        for batches in by_epoch.values():
            assert [batch.seq for batch in batches] == list(range(1, len(batches) + 1))
            ticks = [number for batch in batches for number in numbers(batch)]
            assert ticks == list(range(ticks[0], ticks[-1] + 1))
            assert not breaks.intersection(ticks[1:])
        assert {number for batch in stream for number in numbers(batch)} == set(range(put))


class TestDepthOutlet:
    def book(self, price: float, received_ns: int = 1) -> Depth:
        return Depth(symbol="AAPL", bids=[Level(price, 1)], asks=[], received_ns=received_ns)

    def test_the_newest_book_is_told_four_times_a_second(self) -> None:
        outlet, told = DepthOutlet("AAPL"), list[float]()
        for step in range(100):  # a change every 10 ms
            outlet.put(self.book(step))
            book = outlet.take(step / 100, 0)
            if book is not None:
                outlet.written()
                told.append(book.bids[0].price)
        assert told == [0, 25, 50, 75]

    def test_a_book_that_is_not_kept_up_is_told_empty_at_once(self) -> None:
        """And nothing where none was told."""
        outlet = DepthOutlet("AAPL")
        outlet.interrupt(1)
        assert outlet.take(0, 0) is None
        outlet.put(self.book(1.0))
        assert outlet.take(0, 0) is not None
        outlet.written()
        outlet.put(self.book(2.0))
        outlet.interrupt(9)
        assert outlet.take(0.01, 0) == Depth(symbol="AAPL", bids=[], asks=[], received_ns=9)
        outlet.written()
        outlet.interrupt(10)
        assert outlet.take(9, 0) is None

    def test_what_was_not_written_gives_way_to_the_newer(self) -> None:
        outlet = DepthOutlet("AAPL")
        outlet.put(self.book(1.0))
        outlet.take(0, 0)
        outlet.not_written()
        assert outlet.take(1, 0) == self.book(1.0)
        outlet.put(self.book(2.0))
        outlet.not_written()
        assert outlet.take(2, 0) == self.book(2.0)


def test_bars_wait_for_redis_in_order_and_for_an_hour() -> None:
    """Of more the oldest go; one that may have been written comes again."""
    outlet, items = BarOutlet("AAPL"), [_bar(number) for number in range(outlets.BARS_KEPT_MAX + 2)]
    for bar in items:
        outlet.put(bar)
    assert outlet.take(0, 0) == items[2]
    outlet.not_written()
    assert outlet.take(0, 0) == items[2]
    outlet.written()
    assert outlet.take(0, 0) == items[3]
    for bar in items[:3]:  # meanwhile the room is taken
        outlet.put(bar)
    outlet.not_written()
    assert outlet.take(0, 0) == items[5]


def _bar(number: int) -> Any:
    from datetime import UTC, datetime

    from ibstream.contracts.ticks import FiveSecondBar

    at = datetime.fromtimestamp(number * 5, UTC)
    return FiveSecondBar(symbol="AAPL", at=at, open=1, high=1, low=1, close=1, volume=number, wap=None, count=None)
