"""Cards B-40 to B-59: brackets, one-cancels-all groups and combos, for every executor that has a market.

The stub fills every order of a group at once, whatever it hangs together with; combos it executes with their legs.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from contract.brokers import (
    EVERY,
    HIGH,
    LOW,
    MATCHING,
    Broker,
    Desk,
    combo,
    future,
    resting,
    submit,
)
from support import eventually, run

from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import Algo, AlgoName, OcaType, OrderType, Side, SubmitOrder
from ibstream_broker.domain.inputs import PositionReported, StatusReported

D = Decimal


def target(name: str = "target", price: Decimal = HIGH) -> SubmitOrder:
    return submit(name, side=Side.SELL, limit_price=price)


def stop(name: str = "stop") -> SubmitOrder:
    return submit(name, side=Side.SELL, order_type=OrderType.STOP, stop_price=LOW)


@MATCHING
def test_nothing_of_a_bracket_works_before_its_last_order_is_sent(broker: Broker) -> None:
    """B-40: a market order as parent does not fill meanwhile; once the last has come it does."""

    async def scenario() -> None:
        async with broker() as desk:
            parent = await desk.place(submit("parent"), transmit=False)
            child = await desk.place(target(), parent_id=parent, transmit=False)
            await desk.settled()
            assert desk.statuses(parent) == desk.statuses(child) == []
            assert desk.executions("parent") == {}
            await desk.place(stop(), parent_id=parent)
            assert (await desk.status(parent, "Filled")).filled == 10

    run(scenario())


@MATCHING
def test_the_children_work_when_the_parent_has_filled_and_one_ends_the_other(broker: Broker) -> None:
    """B-41: both wait for their parent, then work; the one that fills cancels the other."""

    async def scenario() -> None:
        async with broker() as desk:
            ids = await desk.bracket(resting("parent"), target(), stop())
            parent, profit, loss = ids
            await desk.status(parent, "Submitted")
            for child in (profit, loss):
                assert "child" in (await desk.status(child, "PreSubmitted")).why_held
            await desk.modify(parent, resting("parent", limit_price=HIGH))
            await desk.status(parent, "Filled")
            await desk.status(profit, "Submitted")
            await desk.hears(StatusReported, lambda one: (one.order_id, one.why_held) == (loss, "trigger"))
            await desk.modify(profit, target(price=LOW))
            await desk.status(profit, "Filled")
            assert (await desk.status(loss, "Cancelled")).filled == 0
            assert (await desk.port.snapshot()).open_orders == []

    run(scenario())


@MATCHING
def test_a_parent_that_is_cancelled_takes_its_children_along(broker: Broker) -> None:
    """B-42: none of them can fill any more."""

    async def scenario() -> None:
        async with broker() as desk:
            ids = await desk.bracket(resting("parent"), target(), stop())
            await desk.status(ids[0], "Submitted")
            await desk.cancel(ids[0])
            for order_id in ids:
                assert (await desk.status(order_id, "Cancelled")).filled == 0
            assert (await desk.port.snapshot()).open_orders == []

    run(scenario())


@MATCHING
def test_the_children_of_a_parent_that_was_refused_are_refused(broker: Broker) -> None:
    """B-43: with a code each; nothing is left that could open a position."""

    async def scenario() -> None:
        async with broker() as desk:
            ids = await desk.bracket(submit("parent", quantity=D(1_000_000)), target(), stop())
            codes = [(await desk.code(order_id)).code for order_id in ids]
            assert codes == [201, 10006, 10006]
            snapshot = await desk.port.snapshot()
            assert (snapshot.open_orders, snapshot.executions) == ([], [])

    run(scenario())


@MATCHING
def test_an_order_of_a_bracket_is_changed_though_it_was_not_the_last(broker: Broker) -> None:
    """B-44: a change is transmitted whatever the link of the order says, and holds nothing back again."""

    async def scenario() -> None:
        async with broker() as desk:
            parent, profit, loss = await desk.bracket(resting("parent"), target(), stop())
            await desk.status(loss, "PreSubmitted")
            await desk.modify(parent, resting("parent", limit_price=D("1.25")))
            await desk.seen("parent", lambda one: one.limit_price == D("1.25"))
            await desk.modify(profit, target(price=D("8000.00")))
            await desk.seen("target", lambda one: one.limit_price == D("8000.00"))
            assert {one.order_ref for one in (await desk.port.snapshot()).open_orders} == {"parent", "target", "stop"}

    run(scenario())


@MATCHING
@pytest.mark.parametrize("oca_type", list(OcaType))
def test_the_order_of_a_group_that_fills_ends_the_others(broker: Broker, oca_type: OcaType) -> None:
    """B-45: whichever fills, of whatever type the group is."""

    async def scenario() -> None:
        async with broker() as desk:
            ids = await desk.group("g-1", oca_type, resting("o-1"), resting("o-2", symbol="MSFT"), resting("o-3"))
            for order_id in ids:
                await desk.status(order_id, "Submitted")
            await desk.modify(ids[1], resting("o-2", symbol="MSFT", limit_price=HIGH))
            await desk.status(ids[1], "Filled")
            for other in (ids[0], ids[2]):
                assert (await desk.status(other, "Cancelled")).filled == 0

    run(scenario())


async def slices(desk: Desk, oca_type: OcaType) -> list[int]:
    """A group of a resting order, and of one that fills the twentieth part of itself at once."""
    sliced = submit("sliced", quantity=D(40), algo=Algo(name=AlgoName.TWAP))
    ids = await desk.group("g-1", oca_type, resting("whole", quantity=D(100)), sliced)
    assert (await desk.executed("sliced")).quantity == 2
    return ids


@MATCHING
@pytest.mark.parametrize("oca_type", [OcaType.REDUCE, OcaType.REDUCE_WITHOUT_BLOCK])
def test_a_part_of_one_order_reduces_the_others_of_its_group(broker: Broker, oca_type: OcaType) -> None:
    """B-46: in proportion: a twentieth of 40 was filled, so of 100 there are 95 left."""

    async def scenario() -> None:
        async with broker() as desk:
            whole, sliced = await slices(desk, oca_type)
            await desk.seen("whole", lambda one: one.quantity == 95)
            open_orders = {one.order_ref: one for one in (await desk.port.snapshot()).open_orders}
            assert (open_orders["whole"].quantity or 100) <= 95
            for order_id in (sliced, whole):
                await desk.cancel(order_id)
                await desk.status(order_id, "Cancelled")

    run(scenario())


@MATCHING
def test_a_part_of_one_order_ends_the_others_of_a_group_that_cancels(broker: Broker) -> None:
    """B-47: any fill does, even a twentieth."""

    async def scenario() -> None:
        async with broker() as desk:
            whole, _ = await slices(desk, OcaType.CANCEL)
            assert (await desk.status(whole, "Cancelled")).filled == 0

    run(scenario())


@EVERY
def test_a_combo_is_executed_as_such_and_leg_by_leg(broker: Broker) -> None:
    """B-50: the combo's own execution counts for the order; the legs' name their instruments, sides and sizes."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(submit("c-1", instrument=combo(), quantity=D(3)))
            assert (await desk.status(order_id, "Filled")).filled == 3
            own = await desk.executed("c-1", "BAG")
            assert (own.symbol, own.side, own.quantity) == ("AAPL", Side.BUY, 3)
            executions = await eventually(lambda: _three(desk), what="the legs' executions")
            legs = {one.symbol: one for one in executions.values() if one.security_type == "STK"}
            assert {key: (one.side, one.quantity) for key, one in legs.items()} == {
                "AAPL": (Side.BUY, 3),
                "MSFT": (Side.SELL, 6),
            }
            for symbol, leg in legs.items():
                assert leg.con_id == (await desk.port.terms(Instrument(symbol=symbol))).con_id
                await desk.charged(leg)

    run(scenario())


def _three(desk: Desk) -> object:
    found = desk.executions("c-1")
    return found if len(found) == 3 else None


@MATCHING
def test_the_prices_of_the_legs_add_up_to_that_of_the_combo(broker: Broker) -> None:
    """B-51: so the sum of what was paid is what was asked for; and the legs are held, the combo is not."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.place(submit("c-1", instrument=combo(), side=Side.SELL))
            executions = await eventually(lambda: _three(desk), what="the legs' executions")
            by_symbol = {(one.security_type, one.symbol): one for one in executions.values()}
            own, bought, sold = (by_symbol[key] for key in (("BAG", "AAPL"), ("STK", "AAPL"), ("STK", "MSFT")))
            assert own.price == bought.price - 2 * sold.price
            await desk.hears(PositionReported, lambda one: (one.symbol, one.quantity) == ("AAPL", -10))
            await desk.hears(PositionReported, lambda one: (one.symbol, one.quantity) == ("MSFT", 20))
            held = {one.symbol: one.quantity for one in await desk.port.positions()}
            assert held == {"AAPL": -10, "MSFT": 20}

    run(scenario())


@MATCHING
@pytest.mark.parametrize("price", [D("-9000.00"), D("0.00")], ids=["credit", "nothing"])
def test_a_combo_may_be_bought_for_a_credit_or_for_nothing(broker: Broker, price: Decimal) -> None:
    """B-52: a limit below the net price rests; in this market an AAPL costs more than two MSFT."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(submit("c-1", instrument=combo(), limit_price=price))
            await desk.status(order_id, "Submitted")
            [listed] = (await desk.port.snapshot()).open_orders
            assert listed.limit_price == price
            await desk.cancel(order_id)
            await desk.status(order_id, "Cancelled")

    run(scenario())


@MATCHING
def test_a_calendar_spread_of_futures_is_a_combo(broker: Broker) -> None:
    """B-50: legs of another kind, on their own exchange."""

    async def scenario() -> None:
        async with broker() as desk:
            legs = tuple(
                ComboLeg(instrument=future("ES", month), side=side) for month, side in ((1, Side.BUY), (2, Side.SELL))
            )
            spread = Instrument(symbol="ES", security_type="BAG", exchange="CME", legs=legs)
            order_id = await desk.place(submit("c-1", instrument=spread, quantity=D(1)))
            await desk.status(order_id, "Filled")
            executions = await eventually(lambda: _three(desk), what="the legs' executions")
            kinds = sorted((one.security_type, one.symbol, one.side.value) for one in executions.values())
            assert kinds == [("BAG", "ES", "BUY"), ("FUT", "ES", "BUY"), ("FUT", "ES", "SELL")]

    run(scenario())
