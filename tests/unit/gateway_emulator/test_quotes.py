"""Subscriptions to quotes: what is told, in which order, to whom, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from unit.gateway_emulator.quote_rig import SYMBOLS, Floor, named, of, stock

from ibstream.simulation.market import Market
from ibstream_gateway_emulator.desks.outbox import CHUNK_BYTES, CONGESTED_NS_MAX
from ibstream_gateway_emulator.desks.quotes import SNAPSHOT_NS_MAX
from ibstream_gateway_emulator.domain.codes import Code
from ibstream_gateway_emulator.domain.data_types import DELAY_NS
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.messages import (
    Error,
    MarketDataType,
    Message,
    TickGeneric,
    TickOptionComputation,
    TickPrice,
    TickReqParams,
    TickSize,
    TickSnapshotEnd,
    TickString,
)

TICKS = (TickPrice, TickSize, TickString, TickGeneric, TickOptionComputation)
EUR_USD = named("CASH", "EUR", "IDEALPRO")
SPX = named("IND", "SPX", "CBOE")
ES = named("FUT", "", "CME", local_symbol="ESZ6")
AAPL_CALL = named("OPT", "", "SMART", local_symbol="AAPL  261218C00100000")


def values(messages: list[Message]) -> dict[int, object]:
    """The last value of every tick type."""
    found: dict[int, object] = {}
    for message in messages:
        match message:
            case TickPrice(tick_type=kind, price=value) | TickSize(tick_type=kind, size=value):
                found[kind] = float(value)
            case TickString(tick_type=kind, value=text):
                found[kind] = text
            case TickGeneric(tick_type=kind, value=number):
                found[kind] = float(number)
    return found


def market_values(market: Market, time_ns: int, symbol: str = "AAPL") -> dict[int, object]:
    quote, day = market.quote(symbol, time_ns), market.day(symbol, time_ns)
    return {
        1: quote.bid, 0: quote.bid_size, 2: quote.ask, 3: quote.ask_size, 4: quote.last, 5: quote.last_size, 8: quote.volume,
        45: str(quote.time_ns // 10**9), 6: day.high, 7: day.low, 9: day.previous_close, 14: day.open, 49: 0.0,
    }  # fmt: skip


def codes_of(messages: list[Message]) -> list[int]:
    return [error.code for error in of(messages, Error)]


def test_a_subscription_begins_with_its_type_its_tick_and_all_that_is_known() -> None:
    floor = Floor()
    first = floor.subscribe()
    assert first[:2] == [MarketDataType(7, 1), TickReqParams(7, first[1].min_tick, "9c0001", 3)]  # type: ignore[attr-defined]
    assert all(isinstance(message, TICKS) for message in first[2:])
    assert values(first) == market_values(Market(7), floor.now_ns)


def test_the_last_values_told_are_always_the_markets() -> None:
    """Whatever is conflated between two steps, highs and lows included."""
    for seconds in (0.25, 3.0, 40.0):
        floor, told = Floor(), {}
        told.update(values(floor.subscribe()))
        for _ in range(30):
            told.update(values(floor.step(seconds)))
            assert told == market_values(Market(7), floor.now_ns)


def test_midnight_in_new_york_begins_a_new_day() -> None:
    floor = Floor()
    told = values(floor.subscribe())
    for _ in range(3):
        told.update(values(floor.step(5 * 3600)))
        told.update(values(floor.step(1)))
        assert told == market_values(Market(7), floor.now_ns)


def test_nothing_is_told_twice_and_nothing_without_a_tick() -> None:
    floor = Floor()
    floor.subscribe()
    assert floor.step(0) == []
    told = floor.step(1)
    assert of(told, TickSize)
    assert floor.step(0) == []


def test_clients_with_ids_of_any_length_are_told_the_same() -> None:
    floor = Floor()
    for client_id, req_id in ((1, 7), (2, 1234), (3, 7), (4, 2_000_000_000)):
        floor.subscribe(req_id, client_id=client_id)
    for client_id in (1, 2, 3, 4):
        floor.recorder(client_id).messages.clear()
    floor.step(1)
    heard = [[values([one]) for one in floor.recorder(client_id).messages] for client_id in (1, 2, 3, 4)]
    assert heard[0]
    assert all(one == heard[0] for one in heard)
    assert {one.req_id for one in of(floor.recorder(4).messages, TickSize)} == {2_000_000_000}


@pytest.mark.parametrize(
    ("contract", "there", "not_there"),
    [
        (EUR_USD, {0, 1, 2, 3, 6, 7, 9, 49}, {4, 5, 8, 45}),
        (SPX, {4, 6, 7, 9, 14, 45, 49}, {0, 1, 2, 3, 5, 8}),
        (ES, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 45, 49}, {22, 86}),
        (AAPL_CALL, {0, 1, 2, 3, 4, 5, 8, 45, 49}, {27, 28}),
    ],
    ids=["currency pair", "index", "future", "option"],
)
def test_each_kind_of_instrument_has_its_ticks(contract: tuple[str, ...], there: set[int], not_there: set[int]) -> None:
    floor = Floor()
    first = floor.subscribe(7, contract)
    told = values([*first, *floor.step(5)])
    assert there <= told.keys()
    assert not not_there & told.keys()


def test_an_option_comes_with_its_greeks() -> None:
    floor = Floor()
    first = floor.subscribe(7, AAPL_CALL)
    greeks = {one.tick_type: one for one in of(first, TickOptionComputation)}
    assert 13 in greeks
    assert greeks.keys() <= {10, 11, 12, 13}
    model = Market(7).greeks("AAPL  261218C00100000", floor.now_ns)
    assert model is not None
    assert float(greeks[13].delta) == pytest.approx(model.delta)
    assert float(greeks[13].underlying_price) == model.under_price


def test_a_combination_is_quoted_from_its_legs() -> None:
    floor = Floor()
    floor.recorder()
    legs = [floor.gateway.master.by_symbol(symbol) for symbol in ("AAPL", "MSFT")]
    assert legs[0] is not None
    assert legs[1] is not None
    contract = ("0", "AAPL,MSFT", "BAG", "", "0.0", "", "", "SMART", "", "USD", "", "")
    named_legs = (2, legs[0].con_id, 1, "BUY", "SMART", legs[1].con_id, 2, "SELL", "SMART")
    told = values(floor.ask(1, 11, 7, *contract, *named_legs, 0, "", 0, 0, ""))
    for _ in range(20):
        bought, sold = (Market(7).quote(symbol, floor.now_ns) for symbol in ("AAPL", "MSFT"))
        assert told[1] == pytest.approx(bought.bid - 2 * sold.ask)
        assert told[2] == pytest.approx(bought.ask - 2 * sold.bid)
        assert told[0] == min(bought.bid_size, sold.ask_size // 2)
        assert 4 not in told
        told.update(values(floor.step()))


def test_a_snapshot_ends_at_once_and_takes_no_line() -> None:
    floor = Floor(limits=Limits(market_data_lines=0))
    told = floor.subscribe(snapshot=True)
    assert told[-1] == TickSnapshotEnd(7)
    assert values(told) == market_values(Market(7), floor.now_ns)
    assert floor.step(1) == []


def test_a_snapshot_while_the_farm_is_down_ends_after_eleven_seconds_or_when_it_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    floor = Floor()
    monkeypatch.setattr(floor.gateway.faults, "has_quotes", lambda _: False)
    assert not of(floor.subscribe(7, snapshot=True), TickSnapshotEnd)
    assert codes_of(floor.subscribe(7, snapshot=True)) == [322]
    assert floor.step(SNAPSHOT_NS_MAX / 1e9 - 1) == []
    assert floor.step(1) == [TickSnapshotEnd(7)]
    floor.subscribe(8, snapshot=True)
    monkeypatch.undo()
    told = floor.step(0.25)
    assert told[-1] == TickSnapshotEnd(8)
    assert 1 in values(told)


def test_generic_ticks_are_given_refused_or_said_to_be_missing() -> None:
    floor = Floor()
    first = floor.subscribe(7, generic="233,104,165,106,236,293,294,295,318,221,595")
    told = values([*first, *floor.step(1), *floor.step(1)])
    assert {15, 16, 17, 18, 19, 20, 21, 23, 24, 37, 46, 48, 54, 55, 56, 57, 63, 64, 65, 89} <= told.keys()
    quote = Market(7).quote("AAPL", floor.now_ns)
    price, size, millisecond, volume, average, single = str(told[48]).split(";")
    assert (float(price), int(size), int(volume)) == (quote.last, quote.last_size, quote.volume)
    assert int(millisecond) == quote.time_ns // 10**6
    assert float(average) > 0
    assert single == "true"
    assert codes_of(floor.subscribe(8, generic="258")) == [10090]
    [error] = of(floor.subscribe(9, generic="233,999"), Error)
    assert error.code == 321
    assert "Incorrect generic tick list of 999." in error.text
    assert "Legal ones for (STK) are: 100(Option Volume)" in error.text
    assert codes_of(floor.subscribe(10, EUR_USD, generic="100,106,233,588")) == []
    assert codes_of(floor.subscribe(11, generic="233", snapshot=True)) == [414]


def test_ids_in_use_unknown_ids_and_unknown_contracts_are_refused() -> None:
    floor = Floor()
    floor.subscribe(7)
    assert codes_of(floor.subscribe(7)) == [322]
    assert codes_of(floor.ask(2, 2, 8)) == [300]
    assert codes_of(floor.subscribe(9, stock("ZZZQ"))) == [200]
    assert floor.ask(2, 2, 7) == []
    assert floor.step(1) == []
    assert codes_of(floor.ask(2, 2, 7)) == [300]


def test_lines_are_counted_by_instrument_over_all_clients_and_given_back() -> None:
    floor = Floor(limits=Limits(market_data_lines=2))
    assert codes_of(floor.subscribe(1, stock("AAPL"))) == []
    assert codes_of(floor.subscribe(1, stock("MSFT"), client_id=2)) == []
    assert codes_of(floor.subscribe(2, stock("AAPL"), client_id=2)) == []
    assert codes_of(floor.subscribe(3, stock("F"))) == [101]
    floor.gateway.leave(floor.clients[2][0])
    assert codes_of(floor.subscribe(3, stock("F"))) == []
    assert codes_of(Floor(limits=Limits.lifted()).subscribe(1)) == []


def _objecting(floor: Floor, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Quotes are not permitted until the patch is undone."""
    floor.recorder()
    monkeypatch.setattr(floor.gateway.faults, "objection_to_quotes", lambda *_: Code(code, "Not subscribed."))
    monkeypatch.setattr(floor.gateway.faults, "in_force", lambda: iter([object()]))


@pytest.mark.parametrize(
    ("code", "wanted", "told", "data_type"),
    [
        (10167, 1, [10167], 3),
        (10089, 1, [10089], 3),
        (354, 3, [10167], 3),
        (354, 4, [10167], 3),
        (10197, 3, [10167], 3),
        (354, 1, [354], None),
        (10168, 3, [10168], None),
        (10197, 1, [10197], None),
    ],
)
def test_without_permission_data_is_delayed_or_refused(
    code: int, wanted: int, told: list[int], data_type: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in quote_delayed_data, a recording of a live Gateway: the code, the type, delayed ticks."""
    floor = Floor()
    _objecting(floor, monkeypatch, code)
    floor.ask(59, 1, wanted)
    first = floor.subscribe()
    assert codes_of(first) == told
    assert [one.market_data_type for one in of(first, MarketDataType)] == ([data_type] if data_type else [])
    if data_type is None:
        assert not values(first)
        assert not values(floor.step(1))
        return
    quote = Market(7).quote("AAPL", floor.now_ns - DELAY_NS)
    late = values(first)
    assert (late[66], late[67], late[68], late[74]) == (quote.bid, quote.ask, quote.last, quote.volume)
    late.update(values(floor.step(2)))
    quote = Market(7).quote("AAPL", floor.now_ns - DELAY_NS)
    assert (late[66], late[67], late[68], late[88]) == (quote.bid, quote.ask, quote.last, str(quote.time_ns // 10**9))


def test_a_permission_that_goes_and_comes_is_told_and_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    floor.subscribe()
    _objecting(floor, monkeypatch, 10167)
    told = floor.step(1)
    assert codes_of(told) == [10167]
    assert of(told, MarketDataType) == [MarketDataType(7, 3)]
    assert 66 in values(told)
    assert 1 not in values(told)
    assert codes_of(floor.step(1)) == []
    monkeypatch.undo()
    told = floor.step(1)
    assert of(told, MarketDataType) == [MarketDataType(7, 1)]
    assert values(told).items() <= market_values(Market(7), floor.now_ns).items()
    assert 1 in values(told)


def test_nothing_comes_while_the_farm_is_down_and_the_latest_after(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    told = values(floor.subscribe())
    monkeypatch.setattr(floor.gateway.faults, "quotes_flow", lambda _: False)
    monkeypatch.setattr(floor.gateway.faults, "in_force", lambda: iter([object()]))
    assert floor.step(60) == []
    monkeypatch.undo()
    told.update(values(floor.step(1)))
    assert told == market_values(Market(7), floor.now_ns)


def test_frozen_data_is_the_last_close_where_exchanges_have_hours() -> None:
    floor = Floor(market_hours="exchange")
    floor.ask(59, 1, 2)
    assert of(floor.subscribe(7), MarketDataType) == [MarketDataType(7, 1)]
    floor.step(12 * 3600)  # 22:00 in New York
    first = floor.subscribe(8)
    assert of(first, MarketDataType) == [MarketDataType(8, 2)]
    close_ns = floor.now_ns - 6 * 3600 * 10**9
    assert values(first)[4] == Market(7).quote("AAPL", close_ns - 1).last
    assert not [one for one in floor.step(60) if getattr(one, "req_id", 0) == 8]


def test_a_congested_client_is_left_out_and_then_told_the_latest() -> None:
    floor = Floor()
    told = values(floor.subscribe())
    floor.subscribe(client_id=2)
    floor.recorder().is_congested = True
    assert floor.step(5) == []
    assert floor.recorder(2).messages
    floor.recorder().is_congested = False
    told.update(values(floor.step(0)))
    assert told == market_values(Market(7), floor.now_ns)


def test_a_client_that_stays_congested_is_cut_off_where_that_is_chosen() -> None:
    floor = Floor(slow_clients="disconnect")
    floor.subscribe()
    recorder = floor.recorder()
    recorder.is_congested = True
    assert floor.step(1)
    assert not recorder.is_aborted
    assert floor.step(1)
    floor.step(CONGESTED_NS_MAX / 1e9)
    assert recorder.is_aborted


@pytest.mark.parametrize("per_second", [5, 40, 20_000])
def test_ticks_per_second_paces_the_total_exactly(per_second: int) -> None:
    floor = Floor(ticks_per_second=per_second)
    for client_id in (1, 2):
        for req_id, symbol in enumerate(SYMBOLS, 1):
            floor.subscribe(req_id, stock(symbol), client_id=client_id)
    # The first quotes, which were not held back, are repaid.
    for _ in range(int(4 * 100 / per_second) + 8):
        floor.step()
    before, counts = floor.gateway.quotes.told, []
    for _ in range(200):
        told = floor.gateway.quotes.told
        floor.step()
        counts.append(floor.gateway.quotes.told - told)
    total = floor.gateway.quotes.told - before
    assert total == pytest.approx(per_second * 50, abs=10)
    assert max(counts) <= per_second / 4 + 10


def test_below_the_markets_rate_all_get_their_turn_and_the_last_values() -> None:
    floor = Floor(ticks_per_second=20)
    told = {req_id: values(floor.subscribe(req_id, stock(symbol))) for req_id, symbol in enumerate(SYMBOLS, 1)}
    heard = dict.fromkeys(told, 0)
    for _ in range(400):
        for message in floor.step():
            heard[message.req_id] += 1  # type: ignore[attr-defined]
    assert min(heard.values()) > 0.5 * max(heard.values())
    floor.gateway.settings = msgspec.structs.replace(floor.gateway.settings, ticks_per_second=None)
    final = floor.step(0)
    for req_id, symbol in enumerate(SYMBOLS, 1):
        last = values([one for one in final if one.req_id == req_id])  # type: ignore[attr-defined]
        assert last.items() <= market_values(Market(7), floor.now_ns, symbol).items()


def test_above_the_markets_rate_only_sizes_change_between_its_ticks() -> None:
    """Prices, trades and volumes are the market's, so that bars agree with ticks; two runs tell the same."""
    runs = []
    for per_second in (4_000, 4_000, None):
        floor = Floor(ticks_per_second=per_second)
        for req_id, symbol in enumerate(SYMBOLS, 1):
            floor.subscribe(req_id, stock(symbol))
        for _ in range(3):
            floor.step()
        runs.append([message for _ in range(40) for message in floor.step()])
    assert runs[0] == runs[1]
    plain = runs[2]

    def but_sizes(messages: list[Message]) -> list[Message]:
        kept = [one for one in messages if not (isinstance(one, TickSize) and one.tick_type in (0, 3))]
        return sorted(kept, key=lambda one: one.req_id)  # type: ignore[attr-defined]

    assert but_sizes(runs[0]) == but_sizes(plain)
    bid_sizes = [one.size for one in of(runs[0], TickSize) if (one.req_id, one.tick_type) == (1, 0)]
    assert len(bid_sizes) > 10 * len([one for one in of(plain, TickSize) if (one.req_id, one.tick_type) == (1, 0)])
    assert all(100 <= size <= 1000 and size % 100 == 0 for size in bid_sizes)
    changed = sum(one != other for one, other in pairwise(bid_sizes))
    assert changed > 0.9 * len(bid_sizes)


def test_what_is_written_at_once_is_bounded_and_stops_with_a_client_that_is_congested() -> None:
    floor = Floor(ticks_per_second=2_000_000, tick_interval_ms=50)
    floor.subscribe()
    recorder = floor.recorder()
    floor.step(0.05)
    floor.step(0.05)
    assert len(recorder.chunks) > 2
    assert max(recorder.chunks) < 2 * CHUNK_BYTES
    recorder.chunks.clear()
    send = recorder.send_frames

    def congesting(frames: bytes) -> None:
        send(frames)
        recorder.is_congested = True

    recorder.send_frames = congesting
    floor.step(0.05)
    assert len(recorder.chunks) == 1


def test_many_new_subscriptions_do_not_hold_up_the_rest() -> None:
    """First quotes and days' figures are computed some at a time; all come within a few steps."""
    floor = Floor(limits=Limits.lifted())
    symbols = [one.symbol for one in floor.gateway.master if one.security_type == "STK"]
    assert len(symbols) > 30
    for req_id, symbol in enumerate(symbols, 1):
        floor.subscribe(req_id, stock(symbol))
    for _ in range(4):
        floor.step()
    assert floor.gateway.quotes.is_settled
    del floor


def test_only_tick_types_are_sent_that_clients_know() -> None:
    """ib_async logs a traceback for each of another type."""
    floor = Floor()
    messages = [*floor.subscribe(), *(message for _ in range(300) for message in floor.step())]
    kinds = {(message.HEAD[0], getattr(message, "tick_type", None)) for message in messages}
    known = {(1, kind) for kind in (1, 2, 4, 6, 7, 9, 14)} | {(2, kind) for kind in (0, 3, 5, 8)} | {(46, 45), (45, 49)}
    assert kinds <= known | {(58, None), (81, None)}
    assert {(1, 1), (1, 2), (1, 4), (2, 8), (46, 45)} <= kinds


def test_an_options_price_and_volatility_are_calculated_by_the_markets_model() -> None:
    floor = Floor()
    model = Market(7).greeks("AAPL  261218C00100000", floor.now_ns)
    assert model is not None
    [priced] = of(
        floor.ask(55, 3, 5, *AAPL_CALL, model.implied_volatility, model.under_price, 0, ""), TickOptionComputation
    )
    assert (priced.req_id, priced.tick_type) == (5, 53)
    assert float(priced.price) == pytest.approx(model.price)
    [found] = of(floor.ask(54, 3, 6, *AAPL_CALL, model.price + 1, model.under_price, 0, ""), TickOptionComputation)
    [again] = of(
        floor.ask(55, 3, 7, *AAPL_CALL, found.implied_volatility, model.under_price, 0, ""), TickOptionComputation
    )
    assert float(again.price) == pytest.approx(model.price + 1, abs=1e-4)
    [impossible] = of(floor.ask(54, 3, 8, *AAPL_CALL, 1, model.under_price, 0, ""), TickOptionComputation)
    assert (impossible.implied_volatility, impossible.delta) == (-1, -2)
    assert codes_of(floor.ask(54, 3, 9, *stock("AAPL"), 1, 100, 0, "")) == [321]
    assert codes_of(floor.ask(55, 3, 9, *AAPL_CALL, 0, 100, 0, "")) == [321]
    assert floor.ask(56, 1, 6) == []


def test_delayed_ticks_can_come_under_the_types_of_live_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """As quote_delayed_data, a recording of a live Gateway, shows them; there is no message 81 in between."""
    floor = Floor(delayed_tick_types=False)
    _objecting(floor, monkeypatch, 10167)
    told = floor.subscribe(snapshot=True)
    quote = Market(7).quote("AAPL", floor.now_ns - DELAY_NS)
    assert codes_of(told[:1]) == [10167]
    assert told[1] == MarketDataType(7, 3)
    assert not of(told, TickReqParams)
    assert (values(told)[1], values(told)[2]) == (quote.bid, quote.ask)
    assert told[-1] == TickSnapshotEnd(7)
