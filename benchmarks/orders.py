"""How soon an order request is at the Gateway, how many a second are handled, and how soon trading goes on after a crash.

    python benchmarks/orders.py [--quick] [--json]

Everything runs on 127.0.0.1, each part as a process of its own: an embedded server that is on disk before it answers, a stand-in
Gateway behind a wire-tap, the broker as `python -m ibstream_broker` with its journal on disk (WAITAOF) before anything is sent.

the way of a request   from right before XADD to the arrival of the placeOrder message at the Gateway's door, 25 a second, as a
                       ratio to a bare XADD -> XREADGROUP hop with the same payload on the same server, in turn.
                       All stamps are CLOCK_MONOTONIC of this machine; arrivals are stamped when the bytes are in the witness's
                       process.
requests a second      with the simulated executor, all written at once, until each is acknowledged and what became of it is on
                       `orders:events`: a limit order works, a market order is filled. The figure named in JSON is of
                       limit orders, one order and nothing else; a market order's fill, commission and position come on top.
                       Beside it a script that reads one request, writes two events, waits for the disk and acknowledges.
recovery               a broker with 1,000 working orders is killed and started again: from asking IBKR for its lists until ready.
takeover               the active one of two brokers is killed, right after it has renewed its lease: until the other one has a
                       new order at work.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _orders import measuring
from _orders.rig import Rig, rig_in

Tell = Callable[[str, str, str], None]

SAMPLES, SAMPLES_QUICK = 900, 200
REQUESTS, REQUESTS_QUICK = 6000, 3000
SCRIPT_REQUESTS = 500
ROUNDS, ROUNDS_QUICK = 3, 1


def say(line: str) -> None:
    """One line of standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def row(what: str, figure: str, beside: str = "") -> None:
    """One row of the table."""
    say(f"{what:<44}{figure:>34}  {beside}")


async def over_a_gateway(rig: Rig, *, samples: int, rounds: int, tell: Tell) -> dict[str, float]:
    """The way of a request, recovery and takeover."""
    await rig.witness("hop", rig.url)
    settings = {"SA_BROKER__IBKR__PORT": str(await rig.gateway())}
    broker = await rig.broker("broker-1", **settings)
    await rig.ready(broker)
    found = await measuring.delays(rig, samples)
    p50, p99 = found.ratio(0.5), measuring.percentile(found.requests, 0.99)
    tell("bare hop, XADD -> XREADGROUP", measuring.spread(found.hops), "least / p50 / p99")
    tell(
        "request, XADD -> placeOrder",
        measuring.spread(found.requests),
        f"p50 {p50:.2f} x, p99 {found.ratio(0.99):.2f} x",
    )
    recovered, takeovers = [], []
    for number in range(rounds):
        broker, one = await measuring.recovery(rig, broker, **settings)
        recovered.append(one)
        tell("recovery with 1,000 orders", f"{one.sync_s:.2f} s", f"with start and lease {one.whole_s:.2f} s")
        standby = await rig.broker(f"standby-{number}", **settings)
        await rig.beating(standby)
        takeovers.append(await measuring.takeover(rig, broker, f"over{number}"))
        tell("takeover, 1,000 orders at work", f"{takeovers[-1]:.2f} s", "")
        broker = standby
    return {
        "request_to_gateway_p50_ratio": round(p50, 2),
        "request_to_gateway_p99_ms": round(p99, 2),
        "request_to_gateway_p50_ms": round(statistics.median(found.requests), 3),
        "bare_hop_p50_ms": round(statistics.median(found.hops), 3),
        "bare_hop_p99_ms": round(measuring.percentile(found.hops, 0.99), 2),
        "recovery_1000_s": round(statistics.median(one.sync_s for one in recovered), 2),
        "takeover_s": round(max(takeovers), 2),
    }


async def simulated(rig: Rig, *, requests: int, rounds: int, tell: Tell) -> dict[str, float]:
    """Requests a second without a Gateway."""
    broker = await rig.broker("broker-simulated", SA_BROKER__PROVIDER="simulated")
    await rig.ready(broker)
    await rig.witness("script", rig.url)
    limits, markets, scripts = [], [], []
    for number in range(rounds):
        scripts.append(await measuring.script_per_s(rig, SCRIPT_REQUESTS))
        limits.append(await measuring.handled_per_s(rig, f"limit{number}", requests, is_market=False))
        markets.append(await measuring.handled_per_s(rig, f"market{number}", requests // 3, is_market=True))
        against = limits[-1] / scripts[-1]
        tell("one request after the other, a script", f"{scripts[-1]:,.0f}/s", "")
        tell("limit orders, simulated executor", f"{limits[-1]:,.0f}/s", f"{against:.2f} x the script")
        tell("market orders, filled", f"{markets[-1]:,.0f}/s", "with execution, commission, position")
    return {
        "simulated_orders_per_s": round(statistics.median(limits)),
        "simulated_market_orders_per_s": round(statistics.median(markets)),
        "script_orders_per_s": round(statistics.median(scripts)),
    }


async def measure(*, quick: bool, tell: Tell) -> dict[str, float]:
    """Everything, and the figures of the JSON line by their names."""
    rounds = ROUNDS_QUICK if quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="ibstream-bench-") as name:
        async with rig_in(Path(name) / "gateway") as rig:
            found = await over_a_gateway(rig, samples=SAMPLES_QUICK if quick else SAMPLES, rounds=rounds, tell=tell)
        async with rig_in(Path(name) / "simulated") as rig:
            requests = REQUESTS_QUICK if quick else REQUESTS
            return {**found, **await simulated(rig, requests=requests, rounds=rounds, tell=tell)}


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="shorter runs, under 50 s in all")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    found: dict[str, Any] = asyncio.run(measure(quick=arguments.quick, tell=row))
    if arguments.json:
        say(json.dumps(found))


if __name__ == "__main__":
    main()
