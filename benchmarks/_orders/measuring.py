"""What is measured: the way of one request, how many of them, and how soon trading goes on after a crash."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from _orders import witness
from _orders.rig import Events, Rig, is_filled, is_submitted, milliseconds, order, until
from ibstream.cli.processes import Child
from ibstream.contracts.base import encode
from ibstream.contracts.registry import ORDER_REQUESTS
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import SYSTEM_CLOCK

PERIOD_S = 0.04
"""One request and one bare hop in each: 25 of both a second."""
WARM_UP = 40
"""Requests before any is counted: instruments are looked up once, scripts are sent once."""
WORKING = 1000
POLLED_MS = 200
"""What the last acknowledgement may be seen later than the last event without having happened later."""
TAKEOVER_S_MAX = 60
TRY_INTERVAL_S = 0.05
"""How often a strategy asks again while nobody trades."""


@dataclass(frozen=True)
class Delays:
    """How long the bare hop and the request took, in milliseconds, pair by pair."""

    hops: list[float]
    requests: list[float]

    def ratio(self, share: float) -> float:
        """How many bare hops a request takes, at this share of the sorted delays."""
        return percentile(self.requests, share) / percentile(self.hops, share)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def delays(rig: Rig, count: int) -> Delays:
    """XADD to arrival, one after the other: a hop, half a period later a request, half a period later the next hop."""
    hops, requests = [], []
    begun = SYSTEM_CLOCK.monotonic()
    for number in range(WARM_UP + count):
        hop = await _hop(rig, number)
        await _sleep_until(begun + (number + 0.5) * PERIOD_S)
        request = order("way", number)
        asked_at = await rig.ask(request)
        arrived_at = await rig.arrival(request.client_order_id)
        await _sleep_until(begun + (number + 1) * PERIOD_S)
        if number >= WARM_UP:
            hops.append(hop * 1000)
            requests.append((arrived_at - asked_at) * 1000)
    return Delays(hops, requests)


async def _hop(rig: Rig, number: int) -> float:
    """A bare hop with a request's payload, in seconds."""
    name = f"hop-{number}"
    fields: dict[Any, Any] = {"name": name, "data": encode(order("hop", number))}
    asked_at = SYSTEM_CLOCK.monotonic()
    await rig.redis.xadd(witness.HOP_STREAM, fields)
    return await rig.arrival(name) - asked_at


async def _sleep_until(at: float) -> None:
    await SYSTEM_CLOCK.sleep(max(0.0, at - SYSTEM_CLOCK.monotonic()))


async def handled_per_s(rig: Rig, name: str, count: int, *, is_market: bool) -> float:
    """Requests a second, from the first one's entry until all are acknowledged and what became of each is on the stream.

    A resting limit order's last event is that it works; a market order's, that it is filled.
    """
    requests = [order(name, number, is_market=is_market) for number in range(count)]
    names = {one.client_order_id for one in requests}
    events = await Events(rig).begin()
    ids = await rig.ask_all(ORDER_REQUESTS.name, requests)
    await events.until_all(names, is_filled if is_market else is_submitted)
    handled_ms = await _handled_ms(rig, ORDER_REQUESTS.name, ids[-1])
    is_late = handled_ms - events.last_ms > POLLED_MS
    return count / ((handled_ms if is_late else events.last_ms) - milliseconds(ids[0])) * 1000


async def script_per_s(rig: Rig, count: int) -> float:
    """The same for a script that takes one request after the other, and does nothing but write and acknowledge."""
    ids = await rig.ask_all(witness.SCRIPT_STREAM, [order("script", number) for number in range(count)])
    handled_ms = await _handled_ms(rig, witness.SCRIPT_STREAM, ids[-1])
    return count / (handled_ms - milliseconds(ids[0])) * 1000


async def _handled_ms(rig: Rig, stream: str, last: bytes) -> float:
    await until(lambda: rig.all_handled(stream, last), f"the requests of {stream}")
    seconds, microseconds = await rig.redis.time()
    return float(seconds * 1000 + microseconds / 1000)


@dataclass(frozen=True)
class Recovered:
    """How long a broker took with so many orders, in seconds."""

    sync_s: float
    """From asking for IBKR's lists until orders pass."""
    whole_s: float
    """From the start of its process, the wait for the dead one's lease included."""


async def recovery(rig: Rig, broker: Child, **settings: str) -> tuple[Child, Recovered]:
    """Fill the book up to a thousand working orders at least, kill the broker, start it again."""
    have = await rig.settled(broker)
    events = await Events(rig).begin()
    requests = [order(f"rest{broker.name}", number) for number in range(max(0, WORKING - have))]
    await rig.ask_all(ORDER_REQUESTS.name, requests)
    await events.until_all({one.client_order_id for one in requests}, is_submitted)
    working = await rig.settled(broker)
    await rig.kill(broker)
    rig.arrived.pop(witness.LISTS_ASKED, None)
    started_at = SYSTEM_CLOCK.monotonic()
    again = await rig.broker(broker.name, **settings)
    begun_at = await rig.in_state(again, ConnectionState.SYNCHRONISING, ConnectionState.READY)
    ready_at = await rig.ready(again)
    asked_at = await rig.arrival(witness.LISTS_ASKED)
    if await rig.settled(again) != working:
        raise SystemExit(f"of {working} orders some were lost, or others came")
    return again, Recovered(ready_at - min(begun_at, asked_at), ready_at - started_at)


async def takeover(rig: Rig, active: Child, name: str) -> float:
    """Seconds from the kill of the active broker until a strategy that goes on asking has an order at work.

    It is killed right after it has renewed its lease, which is the worst moment: all of the lease has to run out.
    """
    events = await Events(rig).begin()
    await rig.renewed()
    killed_at = await rig.kill(active)
    asked: set[str] = set()
    while True:
        request = order(name, len(asked))
        await rig.ask(request)
        asked.add(request.client_order_id)
        if any(is_submitted(one) and one.client_order_id in asked for one in await events.read()):
            return SYSTEM_CLOCK.monotonic() - killed_at
        if SYSTEM_CLOCK.monotonic() - killed_at > TAKEOVER_S_MAX:
            raise SystemExit(f"no broker took over within {TAKEOVER_S_MAX} s")
        await SYSTEM_CLOCK.sleep(TRY_INTERVAL_S)


def spread(values: Sequence[float]) -> str:
    """Least, median and 99th of a hundred, in milliseconds."""
    return f"{min(values):.2f} / {statistics.median(values):.2f} / {percentile(values, 0.99):.2f} ms"
