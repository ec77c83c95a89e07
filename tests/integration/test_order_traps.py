"""The traps of ib_async and the Gateway about orders, through the whole broker: each opened again would fail a test here.

Source: ib_async 2.1.0, whose `Trade.status` calls orders dead that live and alive that are refused; IBKR's message codes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from contract.brokers import CLIENT_ID, resting, submit
from integration.broker_cases import GatewayRig, cancel, modify, over_gateway, refusals, what_if, works
from support import eventually, run

from ibstream.contracts.orders import CommissionCharged, OrderFilled, OrderStatus, OrderStatusChanged, Reason
from ibstream.contracts.system import ConnectionState
from ibstream_broker import recovery as recovery_module
from ibstream_broker.domain import reconcile as reconcile_module
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.messages import OrderStatus as Told

S = OrderStatus


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unclear is looked up at once, and what is gone is given up within a second."""
    monkeypatch.setattr(recovery_module, "SOON_S", 0.2)
    monkeypatch.setattr(reconcile_module, "GONE_AFTER", timedelta(seconds=0.5))


@asynccontextmanager
async def with_a_resting_order(url: str, name: str = "a", **details: Any) -> AsyncIterator[GatewayRig]:
    """A broker, and an order that works at the Gateway."""
    async with over_gateway(url, reconcile_interval_s=1.0, **details) as rig:
        await rig.orders.send(resting(name))
        await rig.orders.reaches(name, S.SUBMITTED)
        yield rig


def say(rig: GatewayRig, *messages: Message) -> None:
    """Have the Gateway say something out of turn."""
    rig.gateway.state.clients[CLIENT_ID].outlet.send(messages)


def told(rig: GatewayRig, name: str, status: str, *, filled: int = 0, why_held: str = "") -> Told:
    """An orderStatus about an order."""
    record = rig.order(name)
    return Told(
        order_id=record.placed.order_id,
        status=status,
        filled=Decimal(filled),
        remaining=(record.placed.quantity or Decimal(0)) - filled,
        average_fill_price=Decimal(0),
        perm_id=record.perm_id,
        last_fill_price=Decimal(0),
        client_id=CLIENT_ID,
        why_held=why_held,
    )


async def heard(rig: GatewayRig) -> None:
    """Everything that the Gateway has said is heard and written."""
    await rig.port.snapshot()
    await eventually(lambda: rig.service.details()["inputs_waiting"] == 0, what="the inbox worked off")
    async with rig.service._ledger.changing():
        pass


async def texts(rig: GatewayRig, name: str) -> list[tuple[int, str]]:
    """The codes and texts of an order's steps, those without left out."""
    events = [one for one in await rig.orders.events(name) if isinstance(one, OrderStatusChanged)]
    return [(event.code, event.text) for event in events if event.text]


@pytest.mark.parametrize("code", [10349, 399, 404, 2109, 10311])
def test_a_code_that_sounds_like_an_end_ends_no_order(code: int, redis_url: str) -> None:
    """10349, 10311 (ib_async: cancelled), 399, 404, 2109 (a warning): told to people, and the order works on and fills."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            rig.command(verbs.OrderWarning(code=code, text="Order Message: something sounds like an error", count=1))
            await rig.orders.send(resting("a"))
            await rig.orders.reaches("a", S.SUBMITTED)
            await heard(rig)
            assert (await rig.orders.steps("a"))[-1][0] is S.SUBMITTED
            assert code in [one for one, _ in await texts(rig, "a")]
            rig.command(verbs.Fill(order_ref="a"))
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.filled) == (S.FILLED, 10)

    run(scenario())


@pytest.mark.parametrize("code", [321, 201, 110, 434, 203])
def test_a_new_order_that_is_refused_ends_rejected(code: int, redis_url: str) -> None:
    """321 and 434, which ib_async takes for warnings, so that the order stays active for ever, end it as 201 does."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            rig.command(verbs.RejectOrders(code=code, text="Error validating request", count=1))
            await rig.orders.send(resting("a"), submit("b"))
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.reason, outcome.code) == (S.REJECTED, Reason.REJECTED_BY_IBKR, code)
            assert "Error validating request" in outcome.text
            assert (await rig.orders.outcome("b")).status is S.FILLED

    run(scenario())


@pytest.mark.parametrize("code", [321, 201, 110, 105])
def test_a_change_that_is_refused_leaves_the_order_alive(code: int, redis_url: str) -> None:
    """The same codes about a modify: ib_async marks the order cancelled, but it works as it did, and can be cancelled."""

    async def scenario() -> None:
        async with with_a_resting_order(redis_url) as rig:
            rig.command(verbs.RejectOrders(code=code, text="no", count=1))
            await rig.orders.send(modify("a", quantity="20"))
            await eventually(lambda: _said(rig, code), what="the code told")
            await rig.orders.reaches("a", S.SUBMITTED)
            assert await works(rig, "a")
            assert rig.order("a").placed.quantity == 10
            await rig.orders.send(cancel("a"))
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.quantity) == (S.CANCELLED, 10)

    run(scenario())


async def _said(rig: GatewayRig, code: int) -> bool:
    return code in [one for one, _ in await texts(rig, "a")]


@pytest.mark.parametrize("code", [161, 10148])
def test_a_cancel_that_is_refused_leaves_the_order_alive(code: int, redis_url: str) -> None:
    """161 and 10148, on which ib_async calls the order cancelled: it works, and the next cancel ends it."""

    async def scenario() -> None:
        async with with_a_resting_order(redis_url) as rig:
            rig.command(verbs.CancelError(code=code, status="PendingSubmit", count=1))  # type: ignore[arg-type]
            await rig.orders.send(cancel("a"))
            await eventually(lambda: _said(rig, code), what="the code told")
            await rig.orders.reaches("a", S.SUBMITTED)
            assert await works(rig, "a")
            await rig.orders.send(cancel("a"))
            assert (await rig.orders.outcome("a")).status is S.CANCELLED

    run(scenario())


def test_a_cancel_that_is_refused_because_the_order_has_filled(redis_url: str) -> None:
    """10148 with the state Filled, told before the fill itself: the outcome is the fill, and the only one."""

    async def scenario() -> None:
        async with with_a_resting_order(redis_url) as rig:
            rig.command(verbs.CancelError(code=10148, status="Filled", count=1))
            await rig.orders.send(cancel("a"))
            await eventually(lambda: _said(rig, 10148), what="the code told")
            rig.command(verbs.Fill(order_ref="a"))
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.filled) == (S.FILLED, 10)
            await heard(rig)
            await rig.orders.check("a")

    run(scenario())


@pytest.mark.parametrize("quantity", [10, 4])
def test_an_order_that_fills_while_its_cancel_is_on_its_way(quantity: int, redis_url: str) -> None:
    """Filled whole it is filled, and not cancelled; in part it is cancelled with what it filled. PendingCancel is no end."""

    async def scenario() -> None:
        async with with_a_resting_order(redis_url) as rig:
            rig.command(verbs.Freeze(client_id=CLIENT_ID))
            await rig.orders.send(cancel("a"))
            await rig.orders.reaches("a", S.PENDING_CANCEL)
            rig.command(verbs.Fill(order_ref="a", quantity=Decimal(quantity)))
            rig.command(verbs.Clear(fault="freeze"))
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.filled) == (S.FILLED if quantity == 10 else S.CANCELLED, quantity)
            assert [fill.quantity for fill in await rig.orders.fills("a")] == [quantity]

    run(scenario())


def test_a_cancellation_waits_for_the_executions_that_it_counts(redis_url: str) -> None:
    """Cancelled with 4 filled, and the execution comes after it: the outcome has the fill, and is told after it."""

    async def scenario() -> None:
        async with with_a_resting_order(redis_url) as rig:
            say(rig, told(rig, "a", "Cancelled", filled=4))
            await heard(rig)
            assert not [one for one in await rig.orders.steps("a") if one[0] is S.CANCELLED]
            rig.command(verbs.Fill(order_ref="a", quantity=Decimal(4)))
            rig.command(verbs.CancelOrder(order_ref="a"))
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.filled) == (S.CANCELLED, 4)
            kinds = [type(one) for one in await rig.orders.events("a") if not isinstance(one, CommissionCharged)]
            assert kinds.index(OrderFilled) < len(kinds) - 1

    run(scenario())


def test_inactive_for_want_of_shares_to_borrow_is_alive(redis_url: str) -> None:
    """whyHeld `locate`: ib_async counts Inactive as done, and IBKR looks for the shares; the order fills when they are found."""

    async def scenario() -> None:
        async with with_a_resting_order(redis_url) as rig:
            say(rig, told(rig, "a", "Inactive", why_held="locate"))
            await eventually(lambda: _is_told(rig, "locate"), what="why it is held")
            assert (await rig.orders.steps("a"))[-1][0] is S.SUBMITTED
            rig.command(verbs.Fill(order_ref="a"))
            assert (await rig.orders.outcome("a")).status is S.FILLED

    run(scenario())


async def _is_told(rig: GatewayRig, text: str) -> bool:
    return any(text in one for _, one in await texts(rig, "a"))


def test_inactive_without_a_reason_is_unclear_until_the_lists_tell(redis_url: str) -> None:
    """Neither done nor alive by itself: it is `unknown`; the lists show it working, so it works."""

    async def scenario() -> None:
        async with with_a_resting_order(redis_url) as rig:
            say(rig, told(rig, "a", "Inactive"))
            await eventually(lambda: _has_been(rig, S.UNKNOWN), what="a doubt")
            await rig.orders.reaches("a", S.SUBMITTED)
            assert await works(rig, "a")
            rig.command(verbs.Fill(order_ref="a"))
            assert (await rig.orders.outcome("a")).status is S.FILLED

    run(scenario())


async def _has_been(rig: GatewayRig, status: OrderStatus) -> bool:
    return status in [one for one, _ in await rig.orders.steps("a")]


def test_a_new_order_that_is_inactive_and_listed_nowhere_ends_rejected(redis_url: str) -> None:
    """IBKR refused it by 201 and called it inactive, in this order or the other: one outcome, and it is a rejection."""

    async def scenario() -> None:
        async with over_gateway(redis_url, reconcile_interval_s=1.0) as rig:
            rig.command(verbs.RejectOrders(code=201, text="Order rejected - reason:no shares", count=1))
            await rig.orders.send(resting("a"))
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.code) == (S.REJECTED, 201)
            say(
                rig,
                Told(
                    order_id=outcome.order_id,
                    status="Inactive",
                    filled=Decimal(0),
                    remaining=Decimal(10),
                    average_fill_price=Decimal(0),
                    perm_id=77,
                    last_fill_price=Decimal(0),
                    client_id=CLIENT_ID,
                ),
            )
            await heard(rig)
            await rig.orders.check("a")
            assert (await rig.orders.steps("a"))[-1] == (S.REJECTED, Reason.REJECTED_BY_IBKR)

    run(scenario())


@pytest.mark.parametrize("code", [1100, 2110])
def test_nothing_is_sent_while_the_link_to_ibkr_is_down(code: int, redis_url: str) -> None:
    """The socket stands, and the Gateway would keep what it gets and send it late: all is refused by name; a cancel waits."""

    async def scenario() -> None:
        async with with_a_resting_order(redis_url) as rig:
            before = await rig.orders.steps("a")
            rig.command(verbs.LoseLink(code=code))  # type: ignore[arg-type]
            await eventually(lambda: rig.host.state is ConnectionState.DEGRADED, what="the loss noticed")
            await rig.orders.send(modify("a", limit_price="1.25"), submit("b"), cancel("a"), what_if(submit("c")))
            assert (await rig.orders.outcome("b")).reason is Reason.LINK_LOST
            for name, request in (("a", "orders.modify.v1"), ("c", "orders.what_if.v1")):
                refused = await rig.orders.refused(name)
                assert (refused.reason, refused.request) == (Reason.LINK_LOST, request)
            assert await rig.orders.steps("a") == before
            rig.command(verbs.RestoreLink())
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.reason) == (S.CANCELLED, Reason.CANCEL_REQUESTED)
            assert rig.order("a").placed.limit_price == Decimal("1.00")
            assert rig.placed() == ["a"]
            assert len(await refusals(rig, "a")) == 1

    run(scenario())


@pytest.mark.parametrize("tells_missed", [True, False])
@pytest.mark.parametrize("data_lost", [False, True])
def test_a_fill_while_the_link_is_down_is_told_once_when_it_is_back(
    data_lost: bool, tells_missed: bool, redis_url: str
) -> None:
    """1101 or 1102, whether the Gateway tells what was missed or has to be asked for it."""

    async def scenario() -> None:
        async with with_a_resting_order(redis_url) as rig:
            rig.command(verbs.LoseLink())
            await eventually(lambda: rig.host.state is ConnectionState.DEGRADED, what="the loss noticed")
            rig.command(verbs.Fill(order_ref="a"))
            rig.command(verbs.RestoreLink(data_lost=data_lost, tells_missed=tells_missed))
            assert (await rig.orders.outcome("a")).status is S.FILLED
            await heard(rig)
            assert len(await rig.orders.fills("a")) == 1

    run(scenario())


def test_a_commission_that_comes_before_its_execution_is_told_after_it_and_once(redis_url: str) -> None:
    """ib_async loses it where it does not know the trade yet."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            rig.command(verbs.CommissionBeforeExecution())
            await rig.orders.send(submit("a"))
            await rig.orders.outcome("a")
            await eventually(lambda: _charges(rig, 1), what="the commission")
            kinds = [type(one) for one in await rig.orders.events("a")]
            assert kinds.index(CommissionCharged) > kinds.index(OrderFilled)
            await heard(rig)
            assert await _charges(rig, 1)
            await rig.orders.check("a")

    run(scenario())


async def _charges(rig: GatewayRig, count: int) -> bool:
    return sum(isinstance(one, CommissionCharged) for one in await rig.orders.events("a")) == count


def test_statuses_that_come_several_times_are_told_once(redis_url: str) -> None:
    """IBKR repeats itself; a strategy hears each step once."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            rig.command(verbs.DuplicateOrderStatus(copies=3))
            await rig.orders.send(submit("a"))
            await rig.orders.outcome("a")
            await heard(rig)
            steps = [status for status, _ in await rig.orders.steps("a")]
            assert steps[-1] is S.FILLED
            assert len(steps) == len(set(steps))

    run(scenario())


def test_an_execution_that_is_corrected_counts_as_corrected(redis_url: str) -> None:
    """`.01` and `.02` are one execution: the second replaces the first, and says so."""

    async def scenario() -> None:
        async with with_a_resting_order(redis_url) as rig:
            rig.command(verbs.Fill(order_ref="a", quantity=Decimal(6)))
            [first] = await eventually(lambda: rig.orders.fills("a"), what="the fill")
            rig.command(verbs.CorrectExecution(exec_id=first.exec_id, quantity=Decimal(4)))
            await eventually(lambda: _fills(rig, 2), what="the correction")
            [_, corrected] = await rig.orders.fills("a")
            assert (corrected.replaces_exec_id, corrected.quantity, corrected.cumulative_quantity) == (
                first.exec_id,
                4,
                4,
            )
            await rig.orders.send(cancel("a"))
            assert (await rig.orders.outcome("a")).filled == 4

    run(scenario())


async def _fills(rig: GatewayRig, count: int) -> bool:
    return len(await rig.orders.fills("a")) == count


def test_an_order_whose_acknowledgement_is_lost_is_found_and_not_sent_again(redis_url: str) -> None:
    """The Gateway says nothing of it by itself: the lists show it, under its own reference."""

    async def scenario() -> None:
        async with over_gateway(redis_url, reconcile_interval_s=1.0) as rig:
            rig.command(verbs.LoseAcknowledgement(until="never"))
            await rig.orders.send(resting("a"))
            await rig.orders.reaches("a", S.SUBMITTED)
            assert rig.placed() == ["a"]
            await rig.orders.send(cancel("a"))
            assert (await rig.orders.outcome("a")).status is S.CANCELLED

    run(scenario())


def test_order_ids_that_go_back_after_a_restart_of_the_gateway_name_nobody_elses_order(redis_url: str) -> None:
    """The next id is lower than one that was used: no new order takes it, and nothing is filled or ended for another."""

    async def scenario() -> None:
        async with with_a_resting_order(redis_url) as rig:
            rig.command(verbs.Restart(down_s=0.3, roll_back_order_ids=5))
            await eventually(lambda: rig.host.state is not ConnectionState.READY, what="the restart noticed")
            await rig.ready()
            await rig.orders.send(submit("b"))
            assert (await rig.orders.outcome("b")).status is S.FILLED
            assert rig.order("b").placed.order_id > rig.order("a").placed.order_id
            await rig.orders.send(cancel("a"))
            assert (await rig.orders.outcome("a")).status is S.CANCELLED

    run(scenario())
