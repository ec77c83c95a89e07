"""What the benchmark runs on: a server, and feeds, each over a stand-in Gateway of its own and in a database of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from _feed.child import FAR, NEAR, READY_S, Asked, Figures, pin, start
from _feed.names import symbols
from ibstream.bus.embedded import EmbeddedServer
from ibstream.cli.processes import Child, Processes, Program
from ibstream.runtime.clock import SYSTEM_CLOCK

POLL_S = 0.02
LIVELY = 40_000
"""Ticks a second."""
SHARDS = 8
_ROWS = "ibstream_quotes_published_total"


@dataclass(frozen=True)
class Feed:
    """A feed as a process, and the stand-in Gateway that it has all its quotes from."""

    symbols: int
    gateway: Asked
    port: int
    """Of the Gateway."""
    process: Child
    url: str
    metrics_port: int

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.process.pid

    async def rows(self) -> float:
        """How many rows it has published so far."""
        text = await asyncio.to_thread(_get, f"http://127.0.0.1:{self.metrics_port}/metrics")
        return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(_ROWS))


class Rig:
    """Everything that is started; it is gone when the context of `rig_in` ends."""

    def __init__(self, folder: Path, server: EmbeddedServer, processes: Processes) -> None:
        self._folder = folder
        self._server = server
        self._processes = processes
        self._databases = itertools.count()
        self._asked: list[Asked] = []
        self._cores: dict[int, int] = {0: NEAR, server_pid(server): NEAR}
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SA_")},
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        }

    def database(self) -> str:
        """The URL of a database that nobody uses yet."""
        return f"{self._server.url.rpartition('/')[0]}/{next(self._databases)}"

    async def start(self, module: str, *arguments: object, core: int) -> tuple[Asked, Figures]:
        """Start a module of the benchmark; returns it with the first that it says, which is that it is ready."""
        asked = await start(module, *arguments, environment=self._environment)
        self._asked.append(asked)
        self._cores[asked.pid] = core
        return asked, await asked.hear()

    async def gateway(self, count: int) -> tuple[Asked, int]:
        """A stand-in Gateway with so many symbols; returns it with its port."""
        gateway, ready = await self.start("standin", count, core=NEAR)
        return gateway, ready["port"]

    async def feed(self, count: int) -> Feed:
        """A feed that has all its symbols, with the limits of messages lifted and a line for each."""
        gateway, port = await self.gateway(count)
        listed = self._folder / f"symbols-{count}-{port}.txt"
        listed.write_text("\n".join(symbols(count)) + "\n", encoding="utf-8")
        url, metrics_port = self.database(), free_port()
        given = {
            "SA_REDIS__URL": url,
            "SA_BROKER__IBKR__PORT": str(port),
            "SA_BROKER__IBKR__REQUESTS_PER_S": "1000",
            "SA_FEED__REQUESTS_PER_S": "900",
            "SA_FEED__SYMBOLS_FILE": str(listed),
            "SA_FEED__MARKET_DATA_LINES": str(count),
            "SA_FEED__SAMPLING_LINES": "0",
            "SA_METRICS__PORT_FEED": str(metrics_port),
            "SA_LOGGING__FORMAT": "json",
        }
        environment = {**self._environment, **given}
        log = self._folder / f"feed-{count}-{port}.log"
        child = await self._processes.start(Program(f"feed-{port}", "ibstream_feed", environment, (), log))
        self._cores[child.process.pid] = FAR
        found = Feed(count, gateway, port, child, url, metrics_port)
        await self.settled(gateway, count, child)
        return found

    async def settled(self, gateway: Asked, count: int, child: Child | None = None) -> None:
        """Wait until so many quotes are asked for and the first of each has been told; then the market falls quiet.

        The first ones went out faster than at any pace. The Gateway makes up for it with silence, which must be over.
        """

        async def is_so() -> bool:
            if child is not None and child.status is not None:
                raise SystemExit(f"the feed has ended: {child.last_words()}")
            figures = await gateway.ask("figures")
            return bool(figures["streams"] == count and figures["is_settled"])

        await until(is_so, f"{count} subscriptions")
        told = (await gateway.ask("figures"))["ticks"]
        await gateway.ask("flood", LIVELY)

        async def is_even() -> bool:
            return bool((await gateway.ask("figures"))["ticks"] > told)

        await until(is_even, "the first tick at a pace")
        await gateway.ask("flood", 0)

    def pin_all(self) -> None:
        """Give every process its core. Before that, while they start, they take whatever is free."""
        for pid, core in self._cores.items():
            pin(pid, core)

    async def close(self) -> None:
        """End the modules of the benchmark, clients before the Gateways that they are clients of."""
        for asked in reversed(self._asked):
            await asked.end()


async def until(state: Callable[[], Awaitable[bool]], what: str, within_s: float = READY_S) -> None:
    """Wait until `state` holds."""
    deadline = SYSTEM_CLOCK.monotonic() + within_s
    while not await state():
        if SYSTEM_CLOCK.monotonic() > deadline:
            raise SystemExit(f"waited {within_s:g} s in vain for {what}")
        await SYSTEM_CLOCK.sleep(POLL_S)


def server_pid(server: EmbeddedServer) -> int:
    """The process id of a server that runs."""
    if server.pid is None:
        raise RuntimeError("the server does not run")
    return server.pid


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _get(url: str) -> str:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own process on 127.0.0.1
        text: str = answer.read().decode()
        return text


@contextlib.asynccontextmanager
async def rig_in(folder: Path) -> AsyncIterator[Rig]:
    """A server with its data in `folder`, and whatever is started on it."""
    server = EmbeddedServer(folder / "redis", port=free_port(), clock=SYSTEM_CLOCK)
    async with server, Processes() as processes:
        rig = Rig(folder, server, processes)
        try:
            yield rig
        finally:
            await rig.close()
