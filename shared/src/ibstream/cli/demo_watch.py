"""What the demo does while it runs: follows the quotes and the mode, sends one order and one bar job, shows it all."""

from __future__ import annotations

import asyncio
import http.client
import sys
from dataclasses import dataclass

from ibstream.cli.environment import LOOPBACK
from ibstream.cli.observed import Observed
from ibstream.cli.processes import Processes
from ibstream.cli.terminal import say
from ibstream.client import Client, JobFailedError, NoAnswerError, OrderUnresolvedError
from ibstream.contracts.orders import Side
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import IbstreamError
from ibstream.runtime.settings import Settings
from ibstream.runtime.supervise import unless

START_TIMEOUT_S = 60.0
"""From the services' start to everything ready."""

ORDER_QUANTITY = 10
BAR_SIZE, BARS_DURATION = "5 mins", "1 D"
ANSWER_TIMEOUT_S = 60.0
"""For the order and for the bars; both take well under a second."""

PICTURES_PER_S = 4
LOOK_INTERVAL_S = 0.2
HTTP_TIMEOUT_S = 3.0
HEALTH_PATH = "/api/system/health"


class DemoError(IbstreamError):
    """The demo cannot begin or go on; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the command line says."""

    duration_s: float | None = None
    """How long to watch once all is up; None until a signal."""
    as_json: bool = False
    symbol: str = "AAPL"
    seed: int = 7
    gateway_port: int = 14002
    http_port: int = 8000
    redis_port: int = 6390


class DemoWatch:
    """Watches one run and keeps what it sees in `observed`."""

    def __init__(self, options: DemoOptions, settings: Settings, *, clock: Clock) -> None:
        self._options = options
        self._settings = settings
        self._clock = clock
        self._started_at = clock.monotonic()
        self._on_screen = sys.stdout.isatty() and not options.as_json
        self.observed = Observed()
        self.interrupted = False
        """Whether a signal came before the demo was over."""

    async def run(self, processes: Processes, stop: asyncio.Event) -> None:
        """Watch until the duration is over or `stop` is set.

        Raises `DemoError` when a process dies or not all is up within `START_TIMEOUT_S`, and `BusUnavailable`.
        """
        async with Client(self._settings.redis.bus_url, strategy="demo") as client, asyncio.TaskGroup() as group:
            background = [
                group.create_task(work)
                for work in (
                    self._follow_quotes(client),
                    self._follow_system(client),
                    self._watch_children(processes),
                    self._show(),
                )
            ]
            if await unless(stop, self._until_up()):
                await self._look_at_health()
                background += [group.create_task(work) for work in (self._trade(client), self._ask_for_bars(client))]
                await self._last(stop)
            self.interrupted = stop.is_set()
            if not self.interrupted:
                self.observed.mode = await client.status()
                await self._look_at_health()
            for task in background:
                task.cancel()

    async def _until_up(self) -> bool:
        give_up_at = self._clock.monotonic() + START_TIMEOUT_S
        while waiting := self.observed.not_up():
            if self._clock.monotonic() >= give_up_at:
                raise DemoError(f"not all is up after {START_TIMEOUT_S:g} s: {waiting}")
            await self._clock.sleep(LOOK_INTERVAL_S / 2)
        self._say(f"all is up after {self._elapsed_s():.1f} s")
        return True

    async def _last(self, stop: asyncio.Event) -> None:
        if self._options.duration_s is None:
            await stop.wait()
        else:
            await unless(stop, self._clock.sleep(self._options.duration_s))

    async def _follow_quotes(self, client: Client) -> None:
        async with client.quotes() as events:
            async for event in events:
                was_first = self.observed.first_quote_s is None
                self.observed.take_quotes(event, elapsed_s=self._elapsed_s())
                if was_first and self.observed.first_quote_s is not None:
                    self._say(f"first quote after {self.observed.first_quote_s:.1f} s")

    async def _follow_system(self, client: Client) -> None:
        while True:
            self.observed.heartbeats = await client.heartbeats()
            self.observed.mode = await client.status()
            await self._clock.sleep(LOOK_INTERVAL_S)

    async def _watch_children(self, processes: Processes) -> None:
        while True:
            for child in processes.children:
                if child.status is not None:
                    raise DemoError(
                        f"{child.name} ended with status {child.status}: {child.last_words()} (see {child.program.log})"
                    )
            await self._clock.sleep(LOOK_INTERVAL_S)

    async def _look_at_health(self) -> None:
        self.observed.http_health = await asyncio.to_thread(_http_status, self._options.http_port)

    async def _trade(self, client: Client) -> None:
        self._refuse_other_brokers()
        order = client.order(self._options.symbol, Side.BUY, ORDER_QUANTITY)
        try:
            outcome = await client.send_and_wait(
                order, deadline_s=ANSWER_TIMEOUT_S, on_event=self.observed.take_order_event
            )
        except OrderUnresolvedError as error:
            self.observed.order_outcome = "unresolved"
            self._say(str(error))
        else:
            self.observed.take_outcome(outcome)
            self._say(f"order: {' → '.join(self.observed.order_lines)}")

    def _refuse_other_brokers(self) -> None:
        ours = f"{LOOPBACK}:{self._options.gateway_port}"
        others = [beat for beat in self.observed.heartbeats if beat.gateway != ours]
        if others:
            raise DemoError(f"a {others[0].service} of another ibstream joined this bus; the demo sends no order to it")

    async def _ask_for_bars(self, client: Client) -> None:
        observed, symbol = self.observed, self._options.symbol
        job = client.bar_job(symbol, bar_size=BAR_SIZE, duration=BARS_DURATION, deadline_s=ANSWER_TIMEOUT_S)
        try:
            async with job as chunks:
                async for chunk in chunks:
                    observed.bars += len(chunk.bars)
        except (JobFailedError, NoAnswerError) as error:
            observed.bars_note = str(error)
        else:
            observed.bars_note = f"{observed.bars} bars of {symbol}, {BAR_SIZE} each, {BARS_DURATION}"
        self._say(observed.bars_note)

    async def _show(self) -> None:
        if not self._on_screen:
            return
        from rich.live import Live

        from ibstream.cli.view import render
        from ibstream.runtime.symbols import load_symbols

        symbols = list(load_symbols(self._settings.symbols_path))
        with Live(auto_refresh=False) as live:
            while True:
                live.update(render(self.observed, symbols=symbols, elapsed_s=self._elapsed_s()), refresh=True)
                await self._clock.sleep(1 / PICTURES_PER_S)

    def _elapsed_s(self) -> float:
        return self._clock.monotonic() - self._started_at

    def _say(self, text: str) -> None:
        """Progress, where no picture shows it."""
        if not self._on_screen:
            say(text)


def _http_status(port: int) -> int:
    """The status of the health page; 0 where nobody answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=HTTP_TIMEOUT_S)
    try:
        connection.request("GET", HEALTH_PATH)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()
