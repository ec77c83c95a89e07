"""Cards B-30 to B-39: order types, times in force, algos, refusals; for every executor."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from contract.brokers import (
    EVERY,
    HIGH,
    LOW,
    MATCHING,
    Broker,
    last,
    option,
    resting,
    stub,
    submit,
)
from support import run

from ibstream.contracts.orders import Algo, AlgoName, OrderType, Side, SubmitOrder, TimeInForce
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.domain.inputs import StatusReported

D = Decimal
MARKET, LIMIT, STOP, STOP_LIMIT = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT
TRAIL, TRAIL_LIMIT = OrderType.TRAIL, OrderType.TRAIL_LIMIT
MIT, LIT = OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED

ALGOS = {
    "Adaptive": Algo(name=AlgoName.ADAPTIVE, parameters={"adaptivePriority": "Patient"}),
    "Twap": Algo(name=AlgoName.TWAP, parameters={"strategyType": "Marketable", "allowPastEndTime": "1"}),
    "Vwap": Algo(name=AlgoName.VWAP, parameters={"maxPctVol": "0.1", "noTakeLiq": "0"}),
}

FILLED, WORKS, WAITS = "Filled", "Submitted", "PreSubmitted"

TYPES: list[tuple[dict[str, Any], str]] = [
    ({"order_type": MARKET}, FILLED),
    ({"order_type": LIMIT, "limit_price": HIGH}, FILLED),
    ({"order_type": LIMIT, "limit_price": LOW}, WORKS),
    ({"order_type": STOP, "stop_price": HIGH}, WAITS),
    ({"order_type": STOP, "stop_price": LOW}, FILLED),
    ({"order_type": STOP_LIMIT, "stop_price": HIGH, "limit_price": HIGH}, WAITS),
    ({"order_type": STOP_LIMIT, "stop_price": LOW, "limit_price": HIGH}, FILLED),
    ({"order_type": STOP_LIMIT, "stop_price": LOW, "limit_price": LOW}, WORKS),
    ({"order_type": TRAIL, "trailing_amount": D(15)}, WAITS),
    ({"order_type": TRAIL, "trailing_percent": D("12.5")}, WAITS),
    ({"order_type": TRAIL, "trailing_amount": D(15), "stop_price": LOW}, FILLED),
    ({"order_type": TRAIL_LIMIT, "trailing_amount": D(15), "stop_price": HIGH, "limit_offset": D("0.05")}, WAITS),
    ({"order_type": TRAIL_LIMIT, "trailing_percent": D(10), "stop_price": HIGH, "limit_offset": D("0.05")}, WAITS),
    ({"order_type": MIT, "stop_price": LOW}, WAITS),
    ({"order_type": MIT, "stop_price": HIGH}, FILLED),
    ({"order_type": LIT, "stop_price": LOW, "limit_price": LOW}, WAITS),
    ({"order_type": LIT, "stop_price": HIGH, "limit_price": HIGH}, FILLED),
    ({"order_type": LIT, "stop_price": HIGH, "limit_price": LOW}, WORKS),
    ({"order_type": OrderType.MARKET_ON_CLOSE}, WAITS),
    ({"order_type": OrderType.LIMIT_ON_CLOSE, "limit_price": HIGH}, WAITS),
    ({"order_type": OrderType.RELATIVE, "peg_offset": D(0), "limit_price": LOW}, WORKS),
    ({"order_type": LIMIT, "limit_price": LOW, "time_in_force": TimeInForce.GTC}, WORKS),
    ({"order_type": LIMIT, "limit_price": LOW, "outside_regular_hours": True}, WORKS),
    ({"order_type": MARKET, "time_in_force": TimeInForce.OPG}, WAITS),
    ({"order_type": LIMIT, "limit_price": HIGH, "time_in_force": TimeInForce.OPG}, WAITS),
    ({"order_type": MARKET, "time_in_force": TimeInForce.IOC}, FILLED),
    ({"order_type": LIMIT, "limit_price": LOW, "time_in_force": TimeInForce.IOC}, "Cancelled"),
    ({"order_type": LIMIT, "limit_price": HIGH, "time_in_force": TimeInForce.FOK}, FILLED),
    ({"order_type": LIMIT, "limit_price": LOW, "time_in_force": TimeInForce.FOK}, "Cancelled"),
    *(({"order_type": LIMIT, "limit_price": LOW, "algo": algo}, WORKS) for algo in ALGOS.values()),
]
"""What is bought, and what must have become of it at once."""


def named(number: int, terms: dict[str, Any]) -> SubmitOrder:
    return submit(f"t-{number}", **terms)


@MATCHING
def test_of_every_type_and_time_in_force_becomes_at_once_what_must(broker: Broker) -> None:
    """B-32, B-34: fills, works, waits for its price or its auction, or ends; none is refused or passed over."""

    async def scenario() -> None:
        async with broker() as desk:
            ids = []
            for number, (terms, expected) in enumerate(TYPES):
                ids.append(await desk.place(named(number, terms)))
                await desk.status(ids[-1], expected)
            await desk.settled()  # once: a listing takes of the message limit
            became = {number: desk.statuses(order_id)[-1] for number, order_id in enumerate(ids)}
            assert became == {number: expected for number, (_, expected) in enumerate(TYPES)}
            assert {one.order_type for one in (named(0, terms) for terms, _ in TYPES)} == set(OrderType)

    run(scenario(), timeout_s=120)


def test_the_stub_fills_every_type() -> None:
    """B-32, B-34: whole and at once, at its limit or at 100.00, whatever type, time in force and algo."""

    async def scenario() -> None:
        async with stub() as desk:
            for number, (terms, _) in enumerate(TYPES):
                order_id = await desk.place(named(number, terms))
                await desk.status(order_id, "Filled")
                fill = await desk.executed(f"t-{number}")
                assert (fill.quantity, fill.price) == (10, terms.get("limit_price", D("100.00")))

    run(scenario())


@EVERY
def test_a_market_order_is_acknowledged_executed_charged_and_filled(broker: Broker) -> None:
    """B-30: all four are told, in whatever order, under one order id and one permanent id."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(submit("m-1"))
            fill = await desk.executed("m-1")
            acknowledged = await desk.seen("m-1")
            filled = await desk.status(order_id, "Filled")
            await desk.charged(fill)
            assert acknowledged.order_id == filled.order_id == fill.order_id == order_id
            assert acknowledged.perm_id == filled.perm_id == fill.perm_id != 0
            assert (fill.quantity, fill.side, fill.symbol, filled.filled) == (10, Side.BUY, "AAPL", 10)

    run(scenario())


@MATCHING
def test_a_limit_order_rests_until_it_is_cancelled(broker: Broker) -> None:
    """B-31, B-75: Submitted, then cancelled; without a fill, and listed as that."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(resting("r-1"))
            await desk.status(order_id, "Submitted")
            await desk.cancel(order_id)
            assert (await desk.status(order_id, "Cancelled")).filled == 0
            snapshot = await desk.port.snapshot()
            assert snapshot.open_orders == snapshot.executions == []
            assert [(one.order_ref, one.status) for one in snapshot.completed_orders] == [("r-1", "Cancelled")]

    run(scenario())


@MATCHING
def test_a_stop_says_what_it_waits_for_and_works_once_the_price_has_come(broker: Broker) -> None:
    """B-33: PreSubmitted, held by `trigger`; brought to the price by a change, it fills."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(submit("s-1", order_type=STOP, stop_price=HIGH))
            held = await desk.status(order_id, "PreSubmitted")
            assert held.why_held == "trigger"
            assert (await desk.seen("s-1")).stop_price == HIGH
            await desk.modify(order_id, submit("s-1", order_type=STOP, stop_price=LOW))
            await desk.status(order_id, "Filled")

    run(scenario())


@MATCHING
def test_a_trailing_stop_follows_the_price_at_its_distance(broker: Broker) -> None:
    """B-33: where it stands is told, at the distance that was asked for, of a sale below the price."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.place(submit("bought"))
            await desk.place(submit("t-1", order_type=TRAIL, side=Side.SELL, trailing_amount=D(15)))
            await desk.seen("t-1")
            [listed] = (await desk.port.snapshot()).open_orders
            assert listed.stop_price is not None
            assert abs(last() - 15 - listed.stop_price) < 7  # what the market can do in a moment

    run(scenario())


@MATCHING
def test_an_order_ends_when_its_time_has_come(broker: Broker) -> None:
    """B-35: a GTD order is cancelled by itself at `good_till`, and not before."""

    async def scenario() -> None:
        async with broker() as desk:
            ends = (SYSTEM_CLOCK.now() + timedelta(seconds=3)).replace(microsecond=0)
            order_id = await desk.place(resting("g-1", time_in_force=TimeInForce.GTD, good_till=ends))
            await desk.status(order_id, "Submitted")
            assert SYSTEM_CLOCK.now() < ends
            assert (await desk.status(order_id, "Cancelled")).filled == 0
            assert SYSTEM_CLOCK.now() >= ends

    run(scenario())


@MATCHING
def test_an_order_is_not_worked_before_its_time(broker: Broker) -> None:
    """B-36: it is PreSubmitted until `good_after`, and a market order then fills."""

    async def scenario() -> None:
        async with broker() as desk:
            begins = (SYSTEM_CLOCK.now() + timedelta(seconds=3)).replace(microsecond=0)
            order_id = await desk.place(submit("a-1", good_after=begins))
            await desk.status(order_id, "PreSubmitted")
            assert SYSTEM_CLOCK.now() < begins
            await desk.status(order_id, "Filled")
            assert (await desk.executed("a-1")).executed_at >= begins - timedelta(seconds=1)  # told in whole seconds

    run(scenario())


@MATCHING
def test_an_algo_works_the_order_in_parts(broker: Broker) -> None:
    """B-37: a Twap order fills a slice at once, counts it in its status, and keeps the rest."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(submit("al-1", quantity=D(40), algo=ALGOS["Twap"]))
            first = await desk.executed("al-1")
            assert first.quantity == 2
            await desk.hears(StatusReported, lambda one: (one.order_id, one.filled, one.status) == (order_id, 2, WORKS))
            await desk.cancel(order_id)
            ended = await desk.status(order_id, "Cancelled")
            assert ended.filled == sum(one.quantity for one in desk.executions("al-1").values()) < 40

    run(scenario())


REFUSALS: list[tuple[str, dict[str, Any], int]] = [
    ("off the step", {"limit_price": D("1.005")}, 110),
    ("off the option's step", {"instrument": option(), "quantity": D(1), "limit_price": D("5.03")}, 110),
    ("beyond the account", {"quantity": D(1_000_000)}, 201),
    ("a good-till in the past", {"time_in_force": TimeInForce.GTD, "limit_price": LOW, "good_till": "past"}, 201),
    ("a close order that is not for the day", {"order_type": OrderType.MARKET_ON_CLOSE, "time_in_force": "GTC"}, 113),
    ("a stop for the opening", {"order_type": STOP, "stop_price": HIGH, "time_in_force": TimeInForce.OPG}, 111),
    ("a stop at once", {"order_type": STOP, "stop_price": HIGH, "time_in_force": TimeInForce.IOC}, 111),
    ("a trailing stop without a distance", {"order_type": TRAIL}, 158),
    ("one with two", {"order_type": TRAIL, "trailing_amount": D(1), "trailing_percent": D(1)}, 158),
    ("an unknown attribute", {"algo": Algo(name=AlgoName.ADAPTIVE, parameters={"speed": "Fast"})}, 443),
    ("an algo on a stop", {"order_type": STOP, "stop_price": HIGH, "algo": ALGOS["Adaptive"]}, 442),
]


def refused_order(number: int, terms: dict[str, Any]) -> SubmitOrder:
    terms = dict(terms)
    if terms.get("good_till") == "past":
        terms["good_till"] = (SYSTEM_CLOCK.now() - timedelta(hours=1)).replace(microsecond=0)
    if "time_in_force" in terms:
        terms["time_in_force"] = TimeInForce(terms["time_in_force"])
    return submit(f"x-{number}", **terms)


@MATCHING
def test_what_ibkr_would_not_take_is_refused_with_its_code(broker: Broker) -> None:
    """B-38: one code each, which says that a new order is dead; it is never shown, never listed, never executed."""

    async def scenario() -> None:
        async with broker() as desk:
            codes = {}
            for number, (what, terms, _) in enumerate(REFUSALS):
                order_id = await desk.place(refused_order(number, terms))
                told = await desk.code(order_id)
                codes[what] = told.code
                assert (told.dead_if_new, told.cancelled, told.advice) == (True, False, False), what
                assert desk.statuses(order_id) == []
            assert codes == {what: code for what, _, code in REFUSALS}
            snapshot = await desk.port.snapshot()
            assert (snapshot.open_orders, snapshot.completed_orders, snapshot.executions) == ([], [], [])

    run(scenario())


@MATCHING
def test_an_order_for_another_account_is_refused(broker: Broker) -> None:
    """B-39: with 321; the account is the session's."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(submit("acc-1"), account="DU0000000")
            assert (await desk.code(order_id)).code == 321
            assert (await desk.port.snapshot()).executions == []

    run(scenario())
