"""More requests than IBKR takes messages: what is urgent goes first, everyone has a turn, and what waits can be cancelled."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from broker_rig import Orders
from contract.brokers import resting, submit
from integration.broker_cases import (
    EMULATOR,
    all_acknowledged,
    cancel,
    cancel_all,
    group,
    modify,
    over_gateway,
    pour,
    slow,
    works,
)
from support import eventually, run
from system import Process

from ibstream.bus import Bus
from ibstream.contracts.orders import (
    GroupKind,
    OrderRequest,
    OrderStatus,
    OrderStatusChanged,
    Reason,
    RequestRefused,
)
from ibstream.contracts.registry import OPEN_ORDERS_KEY, ORDER_EVENTS, ORDER_REQUESTS
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.server import running_gateway

S = OrderStatus

FLOOD = int(os.environ.get("IBSTREAM_TEST_FLOOD", "20000"))
"""Requests in the flood. 100,000 of them take about two minutes."""

GROWTH_KB = 8_000
"""What the second half of the flood may add to the broker's memory."""


def test_cancels_overtake_a_queue_of_500_orders(redis_url: str) -> None:
    """A cancel asked for after them goes out with the next message, and not half a minute later."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("works"), resting("changed"))
            for name in ("works", "changed"):
                await orders.reaches(name, S.SUBMITTED)
            await slow(rig, 10)
            await pour(orders.bus, [resting(f"o-{number}") for number in range(500)])
            await eventually(lambda: len(rig.placed()) > 5, what="the queue being worked off")
            asked_at = SYSTEM_CLOCK.monotonic()
            await orders.send(modify("changed", limit_price="1.25"), cancel("works"))
            assert (await orders.outcome("works")).status is S.CANCELLED
            await eventually(lambda: rig.order("changed").placed.limit_price == Decimal("1.25"), what="the change")
            assert SYSTEM_CLOCK.monotonic() - asked_at < 5
            assert len(rig.placed()) < 100
            await orders.send(cancel_all())
            await eventually(lambda: rig.service.details()["requests_waiting"] == 0, what="an empty queue")
            await eventually(lambda: works(rig), within_s=40, what="all that was sent cancelled")
            assert len(rig.placed()) < 150
            counts = Counter([(await orders.outcome(f"o-{number}")).status for number in range(500)])
            assert counts == {S.CANCELLED: 500}

    run(scenario(), timeout_s=120)


def test_a_strategy_with_300_requests_does_not_starve_one_with_one(redis_url: str) -> None:
    """Strategies have turns."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            await slow(rig, 10)
            greedy: list[OrderRequest] = [resting(f"g-{number}", strategy="greedy") for number in range(300)]
            await pour(rig.orders.bus, [*greedy, resting("modest", strategy="modest")])
            await rig.orders.reaches("modest", S.SUBMITTED)
            assert rig.placed().index("modest") < 60
            await rig.orders.send(cancel_all())
            await eventually(lambda: works(rig), within_s=40, what="an end")

    run(scenario(), timeout_s=120)


def test_a_flood_of_requests_has_a_reason_each_and_takes_bounded_memory(redis_url: str, tmp_path: Path) -> None:
    """A few wait, the others are refused at once; the second half of the flood finds as much memory as the first has left.

    The environment's IBSTREAM_TEST_FLOOD says how many requests.
    """

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus, running_gateway(EMULATOR) as gateway:
            environment = {
                **os.environ,
                "SA_REDIS__URL": redis_url,
                "SA_BROKER__IBKR__PORT": str(gateway.port),
                "SA_BROKER__REQUESTS_PER_S": "20",  # hardly any goes on working, which would rightly take memory
                "SA_BROKER__REQUESTS_WAITING_MAX": "200",
                "SA_METRICS__PORT_BROKER": "0",
                "SA_LOGGING__LEVEL": "error",
            }
            broker = Process(tmp_path / "broker.log", "ibstream_broker", environment=environment)
            orders = Orders(bus)
            try:
                await broker.start()
                await eventually(lambda: gateway.state.clients, within_s=20, what="the broker at the Gateway")
                flood: list[OrderRequest] = [resting(f"o-{number}") for number in range(FLOOD)]
                after_kb = []
                for half in (flood[: FLOOD // 2], flood[FLOOD // 2 :]):
                    await pour(bus, half)
                    await eventually(lambda: _is_read(bus), within_s=FLOOD / 100, what="the end of the flood")
                    after_kb.append(_memory_kb(broker.pid))
                assert after_kb[1] - after_kb[0] < GROWTH_KB, after_kb
                await orders.send(cancel_all())
                await eventually(lambda: all_acknowledged(bus), within_s=30, what="an end of what waits")
                await eventually(lambda: _all_are_over(bus), within_s=30, what="an end of what works")
                await _check_flood(bus)
                await orders.send(submit("last"))
                assert (await orders.outcome("last")).status is S.FILLED
            finally:
                if broker.running:
                    await broker.stop()

    run(scenario(), timeout_s=120 + FLOOD / 100)


async def _is_read(bus: Bus) -> bool:
    """Whether all was given out, and no more is left open than may wait and be in hand."""
    [told] = await bus.call(bus.redis.xinfo_groups(ORDER_REQUESTS.name))
    return bool(told["lag"] == 0 and told["pending"] <= 300)


async def _all_are_over(bus: Bus) -> bool:
    return not await bus.members(OPEN_ORDERS_KEY)


def _memory_kb(pid: int) -> int:
    """What a process has in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} tells no VmRSS")


async def _check_flood(bus: Bus) -> None:
    """Each has a story that begins once and ends once; none was passed over."""
    decode = ORDER_EVENTS.codec().decode
    begun, ended, reasons = Counter[str](), Counter[str](), Counter[Reason]()
    position = "-"
    while entries := await bus.call(bus.redis.xrange(ORDER_EVENTS.name, position, "+", count=5000)):
        for _, fields in entries:
            event = decode(fields[b"type"], fields[b"data"])
            assert not isinstance(event, RequestRefused)
            if isinstance(event, OrderStatusChanged):
                begun[event.client_order_id] += event.seq == 1
                ended[event.client_order_id] += event.final
                reasons[event.reason] += event.final
        position = f"({entries[-1][0].decode()}"
    names = [f"o-{number}" for number in range(FLOOD)]
    assert all(begun[name] == ended[name] == 1 for name in names)
    assert reasons[Reason.OVERLOADED] > 0
    assert set(+reasons) <= {Reason.CANCEL_REQUESTED, Reason.OVERLOADED, Reason.EXPIRED, Reason.RECONCILING}


def test_requests_beyond_what_may_wait_are_refused_at_once(redis_url: str) -> None:
    """Those that wait keep their place; modifies count, cancels do not."""

    async def scenario() -> None:
        async with over_gateway(redis_url, waiting_max=5) as rig:
            orders = rig.orders
            await orders.send(resting("works"))
            await orders.reaches("works", S.SUBMITTED)
            await slow(rig, 3)
            await orders.send(*(resting(f"o-{number}") for number in range(12)), modify("works", quantity="20"))
            refused = await orders.refused("works")
            assert (refused.reason, refused.status) == (Reason.OVERLOADED, S.SUBMITTED)
            last = await orders.outcome("o-11")
            assert (last.status, last.reason) == (S.REJECTED, Reason.OVERLOADED)
            await orders.send(cancel("works"))
            assert (await orders.outcome("works")).status is S.CANCELLED
            taken = [f"o-{number}" for number in range(12) if not await _ended(orders, f"o-{number}")]
            assert taken == [f"o-{number}" for number in range(len(taken))]
            assert len(taken) == 5
            for name in taken:
                await orders.reaches(name, S.SUBMITTED)

    run(scenario(), timeout_s=90)


async def _ended(orders: Orders, name: str) -> bool:
    steps = await orders.steps(name)
    return bool(steps) and steps[-1][0] is S.REJECTED


def test_what_waits_too_long_expires_unsent(redis_url: str) -> None:
    """Its time runs out while it waits for room; those before it went out."""

    async def scenario() -> None:
        async with over_gateway(redis_url, valid_for=timedelta(seconds=3)) as rig:
            await slow(rig, 1)
            names = [f"o-{number}" for number in range(10)]
            await rig.orders.send(*(resting(name) for name in names))
            last = await rig.orders.outcome("o-9")
            assert (last.status, last.reason, last.order_id) == (S.REJECTED, Reason.EXPIRED, 0)
            sent = rig.placed()
            assert sent == names[: len(sent)]
            assert 1 <= len(sent) <= 8
            for name in names[len(sent) :]:
                assert (await rig.orders.outcome(name)).reason is Reason.EXPIRED

    run(scenario(), timeout_s=90)


def test_a_group_of_more_orders_than_a_second_takes_goes_out_whole(redis_url: str) -> None:
    """It saves up room until there is enough for all of it; a cancel that comes meanwhile does not wait for it."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("works"))
            await orders.reaches("works", S.SUBMITTED)
            await slow(rig, 4)
            members = [resting(f"g-{number}") for number in range(10)]
            await orders.send(group(GroupKind.OCA, *members), resting("after"), cancel("works"))
            assert (await orders.outcome("works")).status is S.CANCELLED
            assert rig.placed() == ["works"]
            await orders.reaches("after", S.SUBMITTED)
            assert rig.placed() == ["works", *(f"g-{number}" for number in range(10)), "after"]

    run(scenario())


def test_what_waits_when_the_session_ends_is_refused_and_cancels_wait_for_the_next(redis_url: str) -> None:
    """What waits when the Gateway goes is refused by name, each once; cancels wait for it to come back, and are done then."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("works"))
            await orders.reaches("works", S.SUBMITTED)
            await slow(rig, 5)
            names = [f"o-{number}" for number in range(60)]
            await pour(orders.bus, [resting(name) for name in names])
            await eventually(lambda: len(rig.placed()) > 5, what="the queue being worked off")
            rig.command(verbs.Restart(down_s=1.0))
            await eventually(lambda: rig.host.state is not ConnectionState.READY, what="the loss noticed")
            await orders.send(cancel("works"))
            sent = set(rig.placed())
            for name in names:
                if name not in sent:
                    outcome = await orders.outcome(name)
                    assert (outcome.status, outcome.reason) == (S.REJECTED, Reason.GATEWAY_DISCONNECTED), name
            assert (await orders.outcome("works", within_s=30)).status is S.CANCELLED
            await rig.ready()
            assert set(rig.placed()) == sent

    run(scenario(), timeout_s=90)
