"""Orders that hang together, as one request: all of them or none, each with its own outcome."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from contract.brokers import HIGH, LOW, resting, submit
from integration.broker_cases import (
    EACH,
    Broker,
    cancel,
    cancel_all,
    group,
    modify,
    over_gateway,
    refusals,
    simulated,
    works,
)
from support import eventually, run

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import (
    GroupKind,
    OcaType,
    OrderStatus,
    OrderStatusChanged,
    OrderType,
    Reason,
    Side,
    SubmitGroup,
    SubmitOrder,
    TimeInForce,
)
from ibstream.runtime.clock import SYSTEM_CLOCK

S = OrderStatus


def take_profit(name: str, **details: Any) -> SubmitOrder:
    """A limit order to sell far above the market."""
    return submit(name, **{"side": Side.SELL, "limit_price": HIGH, **details})


def stop_loss(name: str, **details: Any) -> SubmitOrder:
    """A stop order to sell far below the market."""
    return submit(name, **{"side": Side.SELL, "order_type": OrderType.STOP, "stop_price": LOW, **details})


def bracket(parent: SubmitOrder, *, name: str = "group", **details: Any) -> SubmitGroup:
    """A parent with both its children."""
    children = (take_profit(f"{parent.client_order_id}-tp"), stop_loss(f"{parent.client_order_id}-sl"))
    return group(GroupKind.BRACKET, parent, *children, name=name, **details)


@EACH
def test_a_bracket_is_one_request_and_each_order_of_it_has_its_own_story(broker: Broker, redis_url: str) -> None:
    """The parent fills, its children begin to work, one filling ends the other; every event names the group."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            await orders.send(bracket(submit("a")))
            assert (await orders.outcome("a")).status is S.FILLED
            for child in ("a-tp", "a-sl"):
                await orders.reaches(child, S.SUBMITTED)
            await orders.send(modify("a-tp", limit_price="1.00"))
            outcome = await orders.outcome("a-tp")
            assert (outcome.status, outcome.group_id) == (S.FILLED, "group")
            other = await orders.outcome("a-sl")
            assert (other.status, other.reason) == (S.CANCELLED, Reason.CANCELLED_BY_IBKR)
            for name in ("a", "a-tp", "a-sl"):
                events = [one for one in await orders.events(name) if isinstance(one, OrderStatusChanged)]
                assert {event.group_id for event in events} == {"group"}
            assert await works(rig)

    run(scenario())


@EACH
def test_the_children_of_a_bracket_end_with_their_parent(broker: Broker, redis_url: str) -> None:
    """The parent is cancelled before it filled."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            await orders.send(bracket(resting("a")))
            for name in ("a", "a-tp", "a-sl"):
                await orders.reaches(name, S.SUBMITTED)
            await orders.send(cancel("a"))
            parent = await orders.outcome("a")
            assert (parent.status, parent.reason) == (S.CANCELLED, Reason.CANCEL_REQUESTED)
            for child in ("a-tp", "a-sl"):
                assert (await orders.outcome(child)).status is S.CANCELLED
            assert await works(rig)

    run(scenario())


@pytest.mark.parametrize("oca_type", list(OcaType))
def test_one_of_an_oca_group_filling_ends_the_others(oca_type: OcaType, redis_url: str) -> None:
    """As IBKR is told it: the group's id, and the type that was asked for."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            orders = rig.orders
            members = [resting(name, symbol=symbol) for name, symbol in (("a", "AAPL"), ("b", "MSFT"), ("c", "NVDA"))]
            await orders.send(group(GroupKind.OCA, *members, name="one-of", oca_type=oca_type))
            for name in "abc":
                await orders.reaches(name, S.SUBMITTED)
                assert rig.order(name).placed.oca_group == "one-of"
                assert rig.order(name).placed.oca_type == list(OcaType).index(oca_type) + 1
            await orders.send(modify("b", limit_price="9000.00"))
            assert (await orders.outcome("b")).status is S.FILLED
            for name in "ac":
                assert (await orders.outcome(name)).status is S.CANCELLED
            assert await works(rig)

    run(scenario())


def bad(number: int) -> dict[str, Any]:
    """What is wrong with one order of a group, and the reason."""
    details: list[tuple[Reason, dict[str, Any]]] = [
        (Reason.INVALID_QUANTITY, {"quantity": Decimal(0)}),
        (Reason.INVALID_PRICE, {"limit_price": Decimal("9000.001")}),
        (Reason.UNKNOWN_INSTRUMENT, {"instrument": Instrument(symbol="NOPE")}),
        (Reason.INVALID_ACCOUNT, {"account": "U7"}),
        (Reason.INVALID_GROUP, {"time_in_force": TimeInForce.IOC}),
    ]
    reason, wrong = details[number]
    return {"reason": reason, "details": wrong}


@EACH
@pytest.mark.parametrize("number", range(5))
def test_a_group_with_one_order_that_cannot_be_is_refused_whole(broker: Broker, number: int, redis_url: str) -> None:
    """That one with its reason, the others because of it, naming it; nothing is sent."""
    case = bad(number)

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            wrong = take_profit("b", **case["details"])
            await orders.send(group(GroupKind.OCA, resting("a"), wrong, resting("c")))
            outcome = await orders.outcome("b")
            assert (outcome.status, outcome.reason, outcome.group_id) == (S.REJECTED, case["reason"], "group")
            for name in "ac":
                other = await orders.outcome(name)
                assert (other.status, other.order_id) == (S.REJECTED, 0)
                if case["reason"] is not Reason.INVALID_ACCOUNT:  # one account for all: each is wrong
                    assert other.reason is Reason.GROUP_REFUSED
                    assert "b" in other.text
            assert await works(rig)
            assert (await rig.port.snapshot()).completed_orders == []

    run(scenario())


@EACH
def test_an_id_that_was_used_before_refuses_the_whole_group(broker: Broker, redis_url: str) -> None:
    """The order that has the id already stands as it stood; the new ones are rejected, and nothing is sent."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("b"))
            await orders.reaches("b", S.SUBMITTED)
            await orders.send(group(GroupKind.OCA, resting("a"), resting("b"), resting("c")))
            refused = await orders.refused("b")
            assert (refused.reason, refused.status, refused.request) == (
                Reason.DUPLICATE,
                S.SUBMITTED,
                "orders.submit_group.v1",
            )
            for name in "ac":
                assert (await orders.outcome(name)).reason is Reason.GROUP_REFUSED
            assert await works(rig, "b")
            assert [status for status, _ in await orders.steps("b")][-1] is S.SUBMITTED

    run(scenario())


def test_a_group_sent_twice_is_placed_once(redis_url: str) -> None:
    """Each of its orders is a repeated id; another entry with the same group is not the same request."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            orders = rig.orders
            request = bracket(resting("a"))
            await orders.send(request, request)
            names = ["a", "a-tp", "a-sl"]
            for name in names:
                assert (await orders.refused(name)).reason is Reason.DUPLICATE
                await orders.reaches(name, S.SUBMITTED)
                assert len(await refusals(rig, name)) == 1
            assert rig.placed() == names

    run(scenario())


def test_two_orders_of_a_group_with_one_id_are_refused(redis_url: str) -> None:
    """There is one story of that id, and it is a rejection."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            await rig.orders.send(group(GroupKind.OCA, resting("a"), resting("a"), resting("b")))
            assert (await rig.orders.outcome("a")).reason is Reason.INVALID_GROUP
            assert (await rig.orders.outcome("b")).reason is Reason.GROUP_REFUSED
            assert [status for status, _ in await rig.orders.steps("a")] == [S.REJECTED]
            assert rig.placed() == []

    run(scenario())


def test_a_group_whose_parent_is_refused_by_ibkr_ends_whole(redis_url: str) -> None:
    """The parent would cost more than there is: rejected by IBKR, and no child is left behind."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            orders = rig.orders
            await orders.send(bracket(resting("a", quantity=Decimal(900_000), limit_price=HIGH)))
            parent = await orders.outcome("a")
            assert (parent.status, parent.reason, parent.code) == (S.REJECTED, Reason.REJECTED_BY_IBKR, 201)
            for child in ("a-tp", "a-sl"):
                assert (await orders.outcome(child, within_s=30)).status in (S.CANCELLED, S.REJECTED)
            await eventually(lambda: works(rig), what="nothing left at the Gateway")

    run(scenario())


def test_a_group_that_expired_is_rejected_whole(redis_url: str) -> None:
    """By the group's own time, whatever its orders say."""

    async def scenario() -> None:
        async with simulated(redis_url) as rig:
            until = SYSTEM_CLOCK.now()
            await rig.orders.send(bracket(submit("a"), valid_until=until))
            for name in ("a", "a-tp", "a-sl"):
                assert (await rig.orders.outcome(name)).reason is Reason.EXPIRED

    run(scenario())


@EACH
def test_cancel_all_ends_every_order_of_a_group(broker: Broker, redis_url: str) -> None:
    """Each is told for itself."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            await orders.send(bracket(resting("a")))
            for name in ("a", "a-tp", "a-sl"):
                await orders.reaches(name, S.SUBMITTED)
            await orders.send(cancel_all(strategy="test"))
            for name in ("a", "a-tp", "a-sl"):
                assert (await orders.outcome(name)).status is S.CANCELLED
            assert await works(rig)

    run(scenario())
