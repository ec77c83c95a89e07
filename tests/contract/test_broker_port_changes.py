"""Cards B-70 to B-79: changes and cancels of orders, for every executor."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from contract.brokers import EVERY, HIGH, LOW, MATCHING, Broker, resting, submit
from support import run

from ibstream.contracts.orders import OrderType, Side, TimeInForce
from ibstream_broker.domain.inputs import OrderSeen, StatusReported

D = Decimal
STOP = {"order_type": OrderType.STOP, "stop_price": HIGH}

CHANGES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"limit_price": LOW}, {"quantity": D(25)}, {"quantity": D(25), "limit_price": LOW}),
    ({"limit_price": LOW}, {"limit_price": D("1.25")}, {"quantity": D(10), "limit_price": D("1.25")}),
    ({"limit_price": LOW}, {"quantity": D(3), "limit_price": D("0.5")}, {"quantity": D(3), "limit_price": D("0.5")}),
    (STOP, {"stop_price": D("9001.5")}, {"quantity": D(10), "stop_price": D("9001.5")}),
    ({**STOP, "order_type": OrderType.STOP_LIMIT, "limit_price": HIGH}, {"limit_price": D(9500)},
     {"stop_price": HIGH, "limit_price": D(9500)}),
]  # fmt: skip
"""How it is placed, what is changed, and what must then be shown."""


def shows(shown: dict[str, Any]) -> Callable[[OrderSeen], bool]:
    """Whether an order is shown with these terms."""
    return lambda one: {name: getattr(one, name) for name in shown} == shown


@MATCHING
def test_a_working_order_is_changed_in_place(broker: Broker) -> None:
    """B-70: quantity, limit and stop, alone and together; the same order, under the same ids, and only once."""

    async def scenario() -> None:
        async with broker() as desk:
            for number, (terms, change, shown) in enumerate(CHANGES):
                request = submit(f"c-{number}", **terms)
                order_id = await desk.place(request)
                perm_id = (await desk.seen(f"c-{number}")).perm_id
                await desk.modify(order_id, msgspec.structs.replace(request, **change))
                changed = await desk.seen(f"c-{number}", shows(shown))
                assert (changed.order_id, changed.perm_id) == (order_id, perm_id)
                [listed] = (await desk.port.snapshot()).open_orders
                assert {name: getattr(listed, name) for name in shown} == shown
                await desk.cancel(order_id)
                await desk.status(order_id, "Cancelled")

    run(scenario())


@MATCHING
@pytest.mark.parametrize(
    ("placed", "changed"),
    [
        ({"trailing_amount": D(40)}, {"trailing_amount": D(5)}),
        ({"trailing_percent": D(40)}, {"trailing_percent": D(5)}),
    ],
    ids=["amount", "percent"],
)
def test_the_distance_of_a_trailing_stop_is_changed(
    broker: Broker, placed: dict[str, Any], changed: dict[str, Any]
) -> None:
    """B-71: it then stands nearer to the price."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.place(submit("bought"))
            request = submit("t-1", order_type=OrderType.TRAIL, side=Side.SELL, **placed)
            order_id = await desk.place(request)
            await desk.status(order_id, "PreSubmitted")
            [far] = (await desk.port.snapshot()).open_orders
            await desk.modify(order_id, msgspec.structs.replace(request, **changed))
            near = await desk.seen("t-1", lambda one: (one.stop_price or D(0)) > (far.stop_price or D(0)) + 1)
            assert near.perm_id == far.perm_id

    run(scenario())


@MATCHING
def test_a_day_order_is_changed_to_one_that_must_fill_at_once(broker: Broker) -> None:
    """B-72: and as it cannot, it ends."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(resting("d-1"))
            await desk.status(order_id, "Submitted")
            await desk.modify(order_id, resting("d-1", time_in_force=TimeInForce.IOC))
            assert (await desk.status(order_id, "Cancelled")).filled == 0

    run(scenario())


@MATCHING
def test_a_change_to_a_price_that_somebody_takes_fills_the_order(broker: Broker) -> None:
    """B-73: with the quantity that stands then."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(resting("f-1"))
            await desk.status(order_id, "Submitted")
            await desk.modify(order_id, resting("f-1", limit_price=HIGH, quantity=D(12)))
            assert (await desk.status(order_id, "Filled")).filled == 12
            assert sum(one.quantity for one in desk.executions("f-1").values()) == 12

    run(scenario())


@MATCHING
@pytest.mark.parametrize(
    ("change", "code"),
    [({"limit_price": D("1.005")}, 110), ({"quantity": D(1_000_000), "limit_price": D("900.00")}, 201)],
    ids=["off the step", "beyond the account"],
)
def test_a_change_that_is_refused_leaves_the_order_as_it_was(broker: Broker, change: dict[str, Any], code: int) -> None:
    """B-74: a code that does not say that it is cancelled; it works on, and can still be cancelled."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(resting("n-1"))
            await desk.status(order_id, "Submitted")
            await desk.modify(order_id, resting("n-1", **change))
            refused = await desk.code(order_id)
            assert (refused.code, refused.cancelled) == (code, False)
            [listed] = (await desk.port.snapshot()).open_orders
            assert (listed.order_id, listed.quantity, listed.limit_price) == (order_id, 10, LOW)
            await desk.cancel(order_id)
            await desk.status(order_id, "Cancelled")

    run(scenario())


@EVERY
def test_a_change_of_an_order_that_has_filled_is_refused_and_makes_no_other(broker: Broker) -> None:
    """B-76: to a Gateway a change and a new order are one message; the id is spent, so nothing comes of it."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(submit("e-1"))
            await desk.status(order_id, "Filled")
            await desk.modify(order_id, submit("e-1", limit_price=HIGH, quantity=D(20)))
            refused = await desk.code(order_id)
            assert (refused.cancelled, refused.advice) == (False, False)
            snapshot = await desk.port.snapshot()
            assert snapshot.open_orders == []
            assert len(snapshot.completed_orders) == 1
            assert sum(one.quantity for one in snapshot.executions) == 10

    run(scenario())


@EVERY
def test_a_cancel_of_an_order_that_has_ended_is_refused(broker: Broker) -> None:
    """B-77: with 10148, which names the state; the order stays what it was."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id = await desk.place(submit("e-2"))
            await desk.status(order_id, "Filled")
            await desk.cancel(order_id)
            refused = await desk.code(order_id)
            assert (refused.code, refused.cancelled, refused.dead_if_new) == (10148, False, False)
            assert "Filled" in refused.text
            assert [one.status for one in (await desk.port.snapshot()).completed_orders] == ["Filled"]

    run(scenario())


@EVERY
def test_a_cancel_of_an_order_that_nobody_has_is_answered_with_a_code(broker: Broker) -> None:
    """B-78: 10147, which says neither that the order is cancelled nor that it lives."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.cancel(4711)
            refused = await desk.code(4711)
            assert refused.code == 10147
            assert (refused.cancelled, refused.dead_if_new, refused.advice) == (False, False, False)
            assert not any(isinstance(one, StatusReported) for one in desk.heard)

    run(scenario())
