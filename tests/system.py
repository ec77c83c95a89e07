"""The whole system as processes, for integration and fault tests: a stand-in Gateway, and `ibstream up` over it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
from support import eventually, free_port
from websockets.asyncio.client import connect

from ibstream import Client
from ibstream.bus import Bus, Publisher, StreamReader
from ibstream.bus.reader import LATEST
from ibstream.contracts.quotes import Quality, QuoteBatch
from ibstream.contracts.registry import QUOTES, SYSTEM_CONTROL
from ibstream.contracts.system import Halt, Resume
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.processes import end_with_parent

LINES = 30
"""Enough to see that all of them flow, few enough to be subscribed in no time."""
SHARDS = 8
STOP_TIMEOUT_S = 12.0


class Process:
    """A Python module run as a process of its own; its output goes to a file."""

    def __init__(self, log: Path, *arguments: str, environment: Mapping[str, str]) -> None:
        self.log = log
        self._arguments = arguments
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Self:
        """Start it, or start it again."""
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                preexec_fn=end_with_parent(),
            )
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and return its exit status; killed if it will not end."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            raise AssertionError(f"{self._arguments[0]} did not end:\n{self.said()[-4000:]}") from None

    async def ended(self) -> int:
        """Its exit status, once it has ended by itself."""
        assert self._process is not None
        return await self._process.wait()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def said(self) -> str:
        """Everything it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def records(self) -> list[dict[str, Any]]:
        """Its log records so far."""
        lines = (line for line in self.said().splitlines() if line.startswith("{"))
        return [json.loads(line) for line in lines]


class System:
    """A Redis from outside, `ibstream up` on it, and a stand-in Gateway that may come and go."""

    def __init__(self, tmp_path: Path, redis_url: str, *, lines: int = LINES, **settings: str) -> None:
        self.lines = lines
        self.gateway_port = free_port()
        self.http_port = free_port()
        self.redis_url = redis_url
        self.environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "SA_REDIS__URL": redis_url,
            "SA_BROKER__IBKR__PORT": str(self.gateway_port),
            "SA_FEED__MARKET_DATA_LINES": str(lines),
            "SA_FEED__SAMPLING_LINES": "0",  # every line streams
            "SA_FEED__REQUESTS_PER_S": "45",
            "SA_BROKER__IBKR__REQUESTS_PER_S": "75",  # the stand-in takes as many
            "SA_WATCHDOG__HTTP_PORT": str(self.http_port),
            "SA_METRICS__PORT_BROKER": "0",
            "SA_METRICS__PORT_DATA": "0",
            "SA_METRICS__PORT_FEED": "0",
            "SA_LOGGING__FORMAT": "json",
            **settings,
        }
        port = str(self.gateway_port)
        emulator = ("ibstream_gateway_emulator", "--host", "127.0.0.1", "--port", port, "--seed", "7")
        no_limit = ("--market-data-lines", "none")
        self.gateway = Process(tmp_path / "gateway.log", *emulator, *no_limit, environment=self.environment)
        self.services = Process(tmp_path / "up.log", "ibstream.cli", "up", environment=self.environment)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in (self.services, self.gateway):
            if process.running:
                await process.stop()

    async def health(self) -> dict[str, Any]:
        """What `/api/system/health` says; empty while nobody answers."""
        async with httpx.AsyncClient(timeout=2.0) as client:
            try:
                response = await client.get(f"http://127.0.0.1:{self.http_port}/api/system/health")
            except httpx.TransportError:
                return {}
        assert response.status_code == 200
        body: dict[str, Any] = response.json()
        return body

    async def mode(self, wanted: str, *, within_s: float) -> float:
        """Wait until the health API says so; return how long it took."""
        started = SYSTEM_CLOCK.monotonic()

        async def is_so() -> bool:
            return (await self.health()).get("mode") == wanted

        try:
            await eventually(is_so, within_s=within_s, what=f"mode {wanted}")
        except AssertionError as error:
            health = await self.health()
            raise AssertionError(f"{error}\n{health}\n{self.services.said()[-6000:]}") from None
        return SYSTEM_CLOCK.monotonic() - started

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[list[str]]:
        """Everything `/ws/system` says, as it comes."""
        heard: list[str] = []

        async def listen() -> None:
            async for message in socket:
                heard.append(str(message))  # noqa: PERF401 - they are read while they come

        async with connect(f"ws://127.0.0.1:{self.http_port}/ws/system") as socket:
            task = asyncio.create_task(listen())
            await eventually(lambda: heard, what="the first word of /ws/system")
            yield heard
            task.cancel()

    async def fresh_symbols(self, *, within_s: float) -> set[str]:
        """The symbols of which live rows are published from now on, once it is all of them."""
        seen: set[str] = set()
        deadline = SYSTEM_CLOCK.monotonic() + within_s
        async with (
            Bus(self.redis_url, client_name="test") as bus,
            StreamReader(bus, {QUOTES.named(shard): LATEST for shard in range(SHARDS)}) as reader,
        ):
            while len(seen) < self.lines and SYSTEM_CLOCK.monotonic() < deadline:
                for entry in await reader.read(block_s=0.5):
                    assert isinstance(entry.message, QuoteBatch)
                    seen |= {row.symbol for row in entry.message.rows if row.quality is Quality.LIVE}
        return seen

    async def halt(self, who: str, why: str) -> None:
        """Halt trading, as an operator would."""
        await self._control(Halt(who=who, why=why, at=SYSTEM_CLOCK.now()))

    async def resume(self, who: str) -> None:
        """End the halt."""
        await self._control(Resume(who=who, at=SYSTEM_CLOCK.now()))

    async def _control(self, order: Halt | Resume) -> None:
        async with Bus(self.redis_url, client_name="test") as bus:
            await Publisher(bus).publish(SYSTEM_CONTROL, order)

    def client(self) -> Client:
        """The SDK on this system's bus."""
        return Client(self.redis_url, strategy="test")


async def until(said: list[str], wanted: str, *, within_s: float) -> None:
    """Wait until one of the messages holds `wanted`."""
    found: Callable[[], bool] = lambda: any(wanted in message for message in list(said))  # noqa: E731
    await eventually(found, within_s=within_s, what=f"{wanted!r} among {said}")
