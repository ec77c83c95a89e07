"""How many ticks the stand-in Gateway writes per CPU-second, beside what stock ib_async decodes.

    python benchmarks/emulator.py [--quick] [--json]

Every run is a stand-in Gateway in a process of its own and its clients in others, all on 127.0.0.1. CPU time is each process's
own. Clients subscribe to 1,000 stocks. Two mixes of messages:

flood   `ticks_per_second` is set beyond reach: between the market's ticks the sizes of the books change, as fast as the client
        reads. Nearly all messages are tickSize. The figures of the JSON line are of this mix.
quotes  the market's clock leaps a quarter of a second with every step, so that each step has new quotes: prices with their sizes,
        volumes and times, all of it computed and formatted anew. The harder work, told beside.

The draining client only reads. ib_async is unmodified and has one empty callback; it is fed both as much as it takes and at a
pace it keeps up with, and its better figure counts, since large reads cost it dear. The last run has ten clients with 1,000
stocks each and the market at its own speed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import re
import socket
import string
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ibstream.runtime.clock import SYSTEM_CLOCK, SystemClock
from ibstream.simulation.instruments import listing
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SYMBOLS, CLIENTS = 1_000, 10
STEP_MS = 20
FLOOD = 3_000_000
"""Ticks per second that no client takes."""
LEAP_S, LEAP_PACED_S = 0.25, 0.04
"""How far the market's clock moves with each step: the default interval, and so little that ib_async keeps up."""
FLOOD_PACED = 40_000
READ_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 20
POLL_S = 0.1
_LONG_S = 5.0
"""From how long a run on nothing is left out."""
READY_S = 60.0
"""A process that takes longer for an answer is given up."""
NAMES = {1: "price", 2: "size", 21: "greeks", 45: "generic", 46: "string"}

Figures = dict[str, Any]
Options = dict[str, float]


def symbols() -> tuple[str, ...]:
    """A thousand made-up stocks."""
    letters = itertools.product(string.ascii_uppercase, repeat=4)
    return tuple("".join(word) for word in itertools.islice(letters, SYMBOLS))


class LeapingClock(SystemClock):
    """A time of day that moves by `leap_s` with every sleep, and not otherwise; with 0 it is the real one."""

    def __init__(self, leap_s: float) -> None:
        self._now_ns, self._leap_ns = super().time_ns(), int(leap_s * 1e9)

    def time_ns(self) -> int:
        """The time of day here, nanoseconds since the epoch."""
        return self._now_ns if self._leap_ns else super().time_ns()

    async def sleep(self, delay_s: float) -> None:
        """Wait for the real delay, and leap."""
        await super().sleep(delay_s)
        self._now_ns += self._leap_ns


# The processes that are measured. Each says a line of JSON when it is ready, and its figures for every line it reads.


def say(line: str) -> None:
    """One line to whoever started this process."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def answer(figures: Figures) -> None:
    """One line of JSON."""
    say(json.dumps(figures))


async def emulator(arguments: argparse.Namespace) -> None:
    """A stand-in Gateway. Its figures: CPU seconds and ticks so far."""
    settings = EmulatorSettings(
        symbols=symbols(),
        port=0,
        limits=Limits.lifted(),
        tick_interval_ms=arguments.step_ms,
        ticks_per_second=arguments.ticks_per_second or None,
    )
    async with running_gateway(settings, clock=LeapingClock(arguments.leap_s)) as gateway:
        answer({"port": gateway.port})
        while await asyncio.to_thread(sys.stdin.readline):
            quotes = gateway.state.quotes
            answer({"cpu_s": time.process_time(), "ticks": quotes.told, "is_settled": quotes.is_settled})


def drain(arguments: argparse.Namespace) -> None:
    """A client that subscribes and reads, no more. Its figures: bytes so far, and the mix of messages in the last it read."""
    read, last = 0, b""

    def listen() -> None:
        for _ in sys.stdin:
            answer({"bytes": read, "mix": mix(last)})

    with socket.create_connection(("127.0.0.1", int(sys.stdin.readline()))) as wire:
        versions = b"v157..178"
        hello = b"API\0" + struct.pack(">I", len(versions)) + versions + frame(("71", "2", str(arguments.client), ""))
        wire.sendall(hello + b"".join(frame(_subscribe(n, symbol)) for n, symbol in enumerate(symbols(), 1)))
        answer({})
        threading.Thread(target=listen, daemon=True).start()
        with contextlib.suppress(ConnectionError):
            while data := wire.recv(READ_BYTES):
                read += len(data)
                last = (last + data)[-SAMPLE_BYTES:]


def mix(data: bytes) -> dict[str, float]:
    """Shares of the kinds of ticks in a stretch of the stream."""
    # A frame begins behind the NUL that ends the one before, with three zero bytes and a length.
    kinds = re.findall(rb"\0\0\0\0.(\d+)\0", data, re.DOTALL)
    counted = Counter(NAMES.get(int(kind), "other") for kind in kinds)
    return {name: round(count / len(kinds), 3) for name, count in counted.most_common()}


def _subscribe(req_id: int, symbol: str) -> tuple[str, ...]:
    contract = ("0", symbol, "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
    return ("1", "11", str(req_id), *contract, "0", "", "0", "0", "")


async def ib_async(arguments: argparse.Namespace) -> None:
    """Stock ib_async with an empty callback. Its figures: CPU seconds and messages so far."""
    from ib_async import IB, Stock
    from ib_async.ib import StartupFetchNONE

    ib = IB()
    ib.client.MaxRequests = 0
    ib.pendingTickersEvent += lambda _: None
    port = int(sys.stdin.readline())
    await ib.connectAsync("127.0.0.1", port, clientId=arguments.client, fetchFields=StartupFetchNONE)
    for symbol in symbols():
        ib.reqMktData(Stock(symbol, "SMART", "USD", conId=listing(symbol).con_id))
    answer({})
    while await asyncio.to_thread(sys.stdin.readline):
        answer({"cpu_s": time.process_time(), "ticks": ib.client.connectionStats().numMsgRecv})


# The process that measures.


class Process:
    """One of the processes above."""

    def __init__(self, role: str, options: Options) -> None:
        given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._popen = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, str(Path(__file__).resolve()), "--role", role, *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.kill()
        self._popen.communicate()

    def hear(self, within_s: float) -> Figures:
        """The next line. A process that says nothing is ended, and the benchmark with it."""
        timer = threading.Timer(within_s, self._popen.kill)
        timer.start()
        assert self._popen.stdout is not None  # noqa: S101 - it was asked for
        for line in self._popen.stdout:
            if line.startswith("{"):
                timer.cancel()
                heard: Figures = json.loads(line)
                return heard
        raise SystemExit("a process of the benchmark ended before its time")

    def ask(self, question: object = "") -> Figures:
        """The answer to a line; to an empty one the figures so far, to a client's first, which is the port, that it is ready."""
        assert self._popen.stdin is not None  # noqa: S101 - it was asked for
        self._popen.stdin.write(f"{question}\n")
        self._popen.stdin.flush()
        return self.hear(READY_S)


@contextlib.contextmanager
def running(role: str, options: Options, clients: int = 1) -> Iterator[tuple[Process, list[Process]]]:
    """A Gateway with `options` and clients of one kind, all subscribed."""
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(Process("emulator", options))
        found = [stack.enter_context(Process(role, {"client": n})) for n in range(1, clients + 1)]
        port = gateway.hear(READY_S)["port"]
        for client in found:
            client.ask(port)
        settle(gateway)
        yield gateway, found


def settle(gateway: Process) -> None:
    """Wait until all subscriptions have had what takes long: the first quotes, the day's figures."""
    deadline = SYSTEM_CLOCK.monotonic() + READY_S
    while not gateway.ask()["is_settled"]:
        wait(POLL_S)
        if SYSTEM_CLOCK.monotonic() > deadline:
            raise SystemExit(f"the subscriptions are not settled after {READY_S} s")


def rate(process: Process, seconds: float, warm_up_s: float) -> Figures:
    """What a process did per CPU-second."""
    wait(warm_up_s)
    before, started = process.ask(), SYSTEM_CLOCK.monotonic()
    wait(seconds)
    after, took = process.ask(), SYSTEM_CLOCK.monotonic() - started
    ticks, cpu_s = after["ticks"] - before["ticks"], after["cpu_s"] - before["cpu_s"]
    return {"per_cpu_s": round(ticks / cpu_s), "per_s": round(ticks / took), "cpu": round(cpu_s / took, 2)}


def wait(seconds: float) -> None:
    """Let time pass."""
    threading.Event().wait(seconds)


def written(seconds: float, warm_up_s: float, options: Options, *, clients: int = 1) -> Figures:
    """What the Gateway writes to draining clients."""
    with running("drain", options, clients) as (gateway, drains):
        figures = rate(gateway, seconds, warm_up_s)
        return {**figures, "mix": drains[0].ask()["mix"]}


def decoded(seconds: float, warm_up_s: float, options: Options) -> Figures:
    """What ib_async decodes."""
    with running("ib-async", options) as (_, [client]):
        return rate(client, seconds, warm_up_s)


def measure(seconds: float, warm_up_s: float, tell: Callable[[str, Figures], None]) -> Figures:
    """All runs, and the figures of the JSON line by their names."""
    found: dict[str, Figures] = {}

    def note(name: str, figures: Figures) -> None:
        found[name] = figures
        tell(name, figures)

    quotes: Options = {"leap_s": LEAP_S}
    flood: Options = {"ticks_per_second": FLOOD}
    note("flood, written", written(seconds, warm_up_s, flood))
    if seconds >= _LONG_S:  # the paced run is always the better one, and it is the better one that counts
        note("flood, ib_async, all it takes", decoded(seconds, warm_up_s, flood))
    note("flood, ib_async, paced", decoded(seconds, warm_up_s, {"ticks_per_second": FLOOD_PACED}))
    note("quotes, written", written(seconds, warm_up_s, quotes))
    note("quotes, ib_async, all it takes", decoded(seconds, warm_up_s, quotes))
    note("quotes, ib_async, paced", decoded(seconds, warm_up_s, {"leap_s": LEAP_PACED_S}))
    ten = f"{CLIENTS} clients, written"
    note(ten, written(seconds, warm_up_s, {"step_ms": 250}, clients=CLIENTS))
    per = {name: figures["per_cpu_s"] for name, figures in found.items()}
    best = {
        kind: max(rate for name, rate in per.items() if name.startswith(f"{kind}, ib")) for kind in ("flood", "quotes")
    }
    return {
        "ticks_per_cpu_s": per["flood, written"],
        "vs_ib_async_decode": round(per["flood, written"] / best["flood"], 2),
        "ib_async_decodes_per_cpu_s": best["flood"],
        "quotes_ticks_per_cpu_s": per["quotes, written"],
        "quotes_vs_ib_async_decode": round(per["quotes, written"] / best["quotes"], 2),
        "ten_clients_ticks_per_cpu_s": per[ten],
        "ten_clients_ticks_per_s": found[ten]["per_s"],
        "ten_clients_cpu": found[ten]["cpu"],
    }


def show(name: str, figures: Figures) -> None:
    """One row of the table."""
    kinds = ", ".join(f"{share:.0%} {kind}" for kind, share in figures.get("mix", {}).items())
    say(f"{name:<32}{figures['per_cpu_s']:>12,}{figures['per_s']:>12,}{figures['cpu']:>8}  {kinds}")


def main() -> None:
    """Take the part that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="shorter runs, under 50 s in all")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    for name, kind, default in (("role", str, ""), ("client", int, 1), ("leap_s", float, 0.0)):
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, help=argparse.SUPPRESS)
    parser.add_argument("--step-ms", type=int, default=STEP_MS, help=argparse.SUPPRESS)
    parser.add_argument("--ticks-per-second", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role == "drain":
        drain(arguments)
    elif arguments.role:
        asyncio.run({"emulator": emulator, "ib-async": ib_async}[arguments.role](arguments))
    else:
        say(f"{f'{SYMBOLS:,} stocks':<32}{'ticks/CPU-s':>12}{'ticks/s':>12}{'CPU':>8}  of which")
        found = measure(*((1.0, 0.3) if arguments.quick else (15.0, 2.0)), show)
        flood, quotes = found["vs_ib_async_decode"], found["quotes_vs_ib_async_decode"]
        say(f"written against decoded by ib_async: flood {flood} x, quotes {quotes} x")
        if arguments.json:
            answer(found)


if __name__ == "__main__":
    main()
