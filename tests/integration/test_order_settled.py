"""An order that IBKR acknowledged and lists no more: unknown until a person says what became of it."""

from __future__ import annotations

from typing import Any

from contract.brokers import resting, submit
from integration.broker_cases import GatewayRig, over_gateway
from support import eventually, run

from ibstream.bus import Publisher
from ibstream.contracts.orders import OrderStatus, Reason
from ibstream.contracts.registry import SYSTEM_CONTROL
from ibstream.contracts.system import SettleOrder
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_gateway_emulator.faults import verbs

S = OrderStatus


async def say(rig: GatewayRig, name: str, outcome: Any) -> None:
    """An operator's word about an order."""
    word = SettleOrder(who="ops", why="statement", client_order_id=name, status=outcome, at=SYSTEM_CLOCK.now())
    await Publisher(rig.orders.bus).publish(SYSTEM_CONTROL, word)


def test_an_operator_settles_what_stays_unknown_once(redis_url: str) -> None:
    """What works is left alone, and what is settled stays so when the words are heard again by the next broker."""

    async def scenario() -> None:
        async with over_gateway(redis_url, reconcile_interval_s=0.5) as rig:
            orders = rig.orders
            await orders.send(resting("lost"), resting("works"))
            for name in ("lost", "works"):
                await orders.reaches(name, S.SUBMITTED)
            rig.command(verbs.OmitOrders(order_ref="lost"))
            await orders.reaches("lost", S.UNKNOWN)
            for name in ("works", "nobody", "lost"):
                await say(rig, name, "cancelled")
            outcome = await orders.outcome("lost")
            assert (outcome.status, outcome.reason) == (S.CANCELLED, Reason.SETTLED_BY_OPERATOR)
            assert outcome.text == "settled by ops: statement"
            await say(rig, "lost", "filled")
            await orders.send(submit("after"))
            await orders.outcome("after")
            assert (await orders.steps("works"))[-1][0] is S.SUBMITTED
            told = await orders.events("lost")
        async with over_gateway(redis_url, reconcile_interval_s=0.5) as rig:
            await rig.orders.reaches(
                "works", S.UNKNOWN
            )  # at this Gateway it never was; the word about it is an old one
            await rig.orders.send(submit("later"))
            await rig.orders.outcome("later")
            assert await rig.orders.events("lost") == told
            await say(rig, "works", "filled")
            assert (await rig.orders.outcome("works")).status is S.FILLED

    run(scenario())


def test_an_order_that_was_settled_and_works_is_ended_when_it_is_seen(redis_url: str) -> None:
    """Its strategy relies on the outcome."""

    async def scenario() -> None:
        async with over_gateway(redis_url, reconcile_interval_s=0.5) as rig:
            await rig.orders.send(resting("a"))
            await rig.orders.reaches("a", S.SUBMITTED)
            rig.command(verbs.OmitOrders(order_ref="a"))
            await rig.orders.reaches("a", S.UNKNOWN)
            await say(rig, "a", "cancelled")
            await rig.orders.outcome("a")
            rig.command(verbs.Clear(fault="omit_orders"))
            rig.command(verbs.DropConnection())
            await eventually(lambda: not rig.order("a").is_live, what="its end at the Gateway")
            await rig.orders.check("a")

    run(scenario())
