"""Orders that IBKR has not answered when the Gateway loses its link: unknown from then on, and settled by the lists after it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from contract.brokers import resting
from integration.broker_cases import GatewayRig, cancel, over_gateway, works
from support import eventually, run

from ibstream.contracts.orders import OrderStatus, OrderStatusChanged, Reason
from ibstream.contracts.system import ConnectionState
from ibstream_broker.domain import reconcile as reconcile_module
from ibstream_gateway_emulator.faults import verbs

S = OrderStatus


async def lose_link(rig: GatewayRig, code: int = 1100) -> None:
    """The Gateway loses IBKR, and the broker has noticed."""
    rig.command(verbs.LoseLink(code=code))  # type: ignore[arg-type]
    await eventually(lambda: rig.host.state is ConnectionState.DEGRADED, what="the loss noticed")


async def text(rig: GatewayRig, name: str) -> str:
    """The text of an order's last status."""
    return [one for one in await rig.orders.events(name) if isinstance(one, OrderStatusChanged)][-1].text


@pytest.mark.parametrize("code", [1100, 2110])
def test_an_order_that_was_not_answered_is_unknown_while_the_link_is_down(code: int, redis_url: str) -> None:
    """It works at IBKR, which did not say so; one that was answered stands as it stood. The lists tell when the link is back."""

    async def scenario() -> None:
        async with over_gateway(redis_url, reconcile_interval_s=1.0) as rig:
            orders = rig.orders
            await orders.send(resting("answered"))
            await orders.reaches("answered", S.SUBMITTED)
            rig.command(verbs.LoseAcknowledgement(until="never"))
            await orders.send(resting("a"))
            await eventually(lambda: "a" in rig.placed(), what="the order at the Gateway")
            assert (await orders.steps("a"))[-1][0] is S.PENDING_SUBMIT
            await lose_link(rig, code)
            await orders.reaches("a", S.UNKNOWN)
            assert await text(rig, "a") == "the link to IBKR was lost before it acknowledged it"
            assert (await orders.steps("answered"))[-1][0] is S.SUBMITTED
            rig.command(verbs.RestoreLink())
            await orders.reaches("a", S.SUBMITTED)
            assert await works(rig, "a", "answered")
            assert rig.placed() == ["answered", "a"]
            await orders.check("a")

    run(scenario())


def test_an_order_that_the_link_took_with_it_ends_and_is_not_sent_again(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one session nothing proves that it never arrived: it is given up when it stays away."""
    monkeypatch.setattr(reconcile_module, "GONE_AFTER", timedelta(seconds=0.5))

    async def scenario() -> None:
        async with over_gateway(redis_url, reconcile_interval_s=0.5) as rig:
            rig.command(verbs.LoseOrder(count=1))
            await rig.orders.send(resting("a"))
            await rig.orders.reaches("a", S.PENDING_SUBMIT)
            await lose_link(rig)
            await rig.orders.reaches("a", S.UNKNOWN)
            rig.command(verbs.RestoreLink())
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.reason) == (S.REJECTED, Reason.NO_ANSWER)
            assert await works(rig)

    run(scenario())


def test_a_cancel_that_was_not_answered_is_unknown_and_asked_for_again(redis_url: str) -> None:
    """The link took it; the order works when the link is back, and its end is still wanted."""

    async def scenario() -> None:
        async with over_gateway(redis_url, reconcile_interval_s=1.0) as rig:
            await rig.orders.send(resting("a"))
            await rig.orders.reaches("a", S.SUBMITTED)
            rig.command(verbs.Freeze())
            rig.command(verbs.LoseLink(keeps_orders=False))
            await rig.orders.send(cancel("a"))
            await rig.orders.reaches("a", S.PENDING_CANCEL)
            rig.command(verbs.Clear(fault="freeze"))
            await rig.orders.reaches("a", S.UNKNOWN)
            assert await text(rig, "a") == "the link to IBKR was lost before it acknowledged the cancel"
            rig.command(verbs.RestoreLink())
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.reason) == (S.CANCELLED, Reason.CANCEL_REQUESTED)

    run(scenario())
