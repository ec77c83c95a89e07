"""After a storm: everything is mended, what works is cancelled, and what happened is set against what was told."""

from __future__ import annotations

import msgspec
from faults.storm_evidence import gathered, messages
from faults.storm_truth import Evidence, complaints
from faults.storm_world import World
from system import Process

from ibstream.contracts.orders import CancelAllOrders, Reason, RequestRefused
from ibstream.contracts.registry import OPEN_ORDERS_KEY, ORDER_EVENTS, ORDER_REQUESTS
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_gateway_emulator.faults import verbs

SETTLED_WITHIN_S = 60.0
"""Orders that IBKR lists nowhere are given up ten seconds after their time is over."""

JUDGED_WITHIN_S = 10.0
"""What is told after the last outcome (commissions, corrections) has come by then."""

POLL_S = 0.2

TRACED_MESSAGES = 100_000

GATE = (Reason.GATEWAY_DISCONNECTED, Reason.LINK_LOST, Reason.RECONCILING)
"""Why a cancel may be refused that is to be repeated; one that was taken is the broker's business alone."""


async def mend(world: World, broker: Process) -> None:
    """Nothing is wrong any more, and the broker is ready."""
    await world.control.command(verbs.Clear())
    await world.ready(broker, within_s=SETTLED_WITHIN_S)


async def settle(world: World, broker: Process) -> None:
    """Cancel whatever works, once; then wait until every order has its outcome and every entry is worked off."""
    asked, refused = 0, 0
    deadline = SYSTEM_CLOCK.monotonic() + SETTLED_WITHIN_S
    while SYSTEM_CLOCK.monotonic() < deadline:  # what is left after that is told by the judge
        assert broker.running, f"the broker ended by itself:\n{broker.said()[-4000:]}"
        entries, orders = await pending(world), len(await world.insist(lambda: world.bus.members(OPEN_ORDERS_KEY)))
        if not entries and not orders and asked:
            return
        now_refused = await _refused(world)
        if not entries and (not asked or now_refused > refused):
            await world.ready(broker, within_s=SETTLED_WITHIN_S)
            refused = await _refused(world)
            await world.write(CancelAllOrders(requested_at=SYSTEM_CLOCK.now()))
            asked += 1
        await SYSTEM_CLOCK.sleep(POLL_S)


async def _refused(world: World) -> int:
    """How many orders a cancel of everything did not end because the gate was closed."""
    told = await world.insist(lambda: messages(world, ORDER_EVENTS))
    kind = "orders.cancel_all.v1"
    return sum(isinstance(one, RequestRefused) and one.request == kind and one.reason in GATE for one in told)


async def judged(world: World, *, within_s: float = JUDGED_WITHIN_S) -> tuple[Evidence, list[str]]:
    """Look until everything agrees, or what does not agree has had its time; then it is left for people to look at."""
    deadline = SYSTEM_CLOCK.monotonic() + within_s
    while True:
        evidence = await gathered(world, pending=await pending(world))
        found = complaints(evidence)
        if not found or SYSTEM_CLOCK.monotonic() > deadline:
            break
        await SYSTEM_CLOCK.sleep(POLL_S)
    if found:
        await _leave_traces(world)
    return evidence, found


async def pending(world: World) -> int:
    """Entries of the requests' stream that are not acknowledged, or were never delivered."""
    groups = await world.insist(lambda: world.bus.call(world.bus.redis.xinfo_groups(ORDER_REQUESTS.name)))
    [group] = [one for one in groups if one["name"].decode() == ORDER_REQUESTS.group]
    return int(group["pending"]) + int(group["lag"] or 0)


async def _leave_traces(world: World) -> None:
    """What the stand-in knows, beside the brokers' logs and Redis' data."""
    known = {
        "orders": await world.control.orders(),
        "executions": await world.control.executions(),
        "faults": await world.control.faults(),
        "messages": await world.control.messages(limit=TRACED_MESSAGES),
    }
    for name, rows in known.items():
        (world.directory / f"gateway-{name}.json").write_bytes(msgspec.json.encode(rows))
