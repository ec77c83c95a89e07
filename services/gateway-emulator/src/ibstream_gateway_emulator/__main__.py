"""`ibstream-gateway-emulator`: a stand-in IB Gateway on a port of its own; and `record` and `replay` of real ones."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import typer

from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.logging import configure_logging
from ibstream.runtime.settings import find_config_dir
from ibstream.runtime.signals import run_until_signalled
from ibstream.runtime.symbols import load_symbols
from ibstream_gateway_emulator import command_line as cli
from ibstream_gateway_emulator.control.run import run_scenario
from ibstream_gateway_emulator.control.scenario import Scenario, load
from ibstream_gateway_emulator.loopback import refuse_remote
from ibstream_gateway_emulator.options import settings_of
from ibstream_gateway_emulator.recording.commands import record, replay
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

app = typer.Typer(add_completion=False)
app.command()(record)
app.command()(replay)


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: cli.Host = "127.0.0.1",
    port: cli.Port = 4002,
    control_port: cli.ControlPort = None,
    scenario: cli.ScenarioFile = None,
    seed: cli.Seed = 7,
    account: cli.Account = "DU9000001",
    cash: cli.Cash = 1_000_000,
    symbols: cli.SymbolsFile = None,
    first_order_id: cli.FirstOrderId = 1,
    market_hours: cli.MarketHours = "always",
    tick_interval_ms: cli.TickInterval = 250,
    ticks_per_second: cli.TicksPerSecond = None,
    slow_clients: cli.SlowClients = "drop",
    partial_fills: cli.PartialFills = False,
    extra: cli.Extra = None,
    no_limits: cli.NoLimits = False,
    clients: cli.Clients = None,
    messages_per_s: cli.MessagesPerSecond = None,
    market_data_lines: cli.MarketDataLines = None,
    depth_lines: cli.DepthLines = None,
    tick_by_tick_lines: cli.TickByTickLines = None,
    historical_requests: cli.HistoricalRequests = None,
    account_updates: cli.AccountUpdates = None,
    account_summaries: cli.AccountSummaries = None,
    real_time_bars_per_10_min: cli.RealTimeBars = None,
    historical_pacing: cli.HistoricalPacing = True,
    allow_remote: cli.AllowRemote = False,
    log_level: cli.LogLevel = "info",
    log_format: cli.LogFormat = "auto",
) -> None:
    """Run a stand-in IB Gateway over a simulated market until SIGINT or SIGTERM."""
    options = dict(locals())
    if context.invoked_subcommand is None:
        configure_logging("gateway-emulator", level=log_level, format=log_format)
        raise typer.Exit(run_until_signalled(lambda stop: _serve(stop, options)))


async def _serve(stop: asyncio.Event, options: dict[str, Any]) -> None:
    if not options["allow_remote"]:
        refuse_remote(options["host"])
    settings = settings_of({**options, "symbols": _symbols(options["symbols"])})
    planned = None if options["scenario"] is None else load(options["scenario"])
    await _serve_until(stop, settings, options["control_port"], planned)


async def _serve_until(
    stop: asyncio.Event, settings: EmulatorSettings, control_port: int | None, scenario: Scenario | None
) -> None:
    async with running_gateway(settings, clock=SYSTEM_CLOCK) as gateway, contextlib.AsyncExitStack() as stack:
        if control_port is not None:
            # FastAPI takes as long to import as all the rest together.
            from ibstream_gateway_emulator.control.http import serving_control

            await stack.enter_async_context(serving_control(gateway.state, "127.0.0.1", control_port))
        await _until_stopped_or_failed(stop, gateway, scenario)


async def _until_stopped_or_failed(stop: asyncio.Event, gateway: GatewayServer, scenario: Scenario | None) -> None:
    waits = {asyncio.create_task(stop.wait()), asyncio.create_task(gateway.wait_failed())}
    running = asyncio.create_task(_run(scenario, gateway, stop))
    done, pending = await asyncio.wait({*waits, running}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        await task


async def _run(scenario: Scenario | None, gateway: GatewayServer, stop: asyncio.Event) -> None:
    """Do what the scenario says; after its end the Gateway goes on."""
    if scenario is not None:
        await run_scenario(scenario, gateway.state)
    await stop.wait()


def _symbols(path: Path | None) -> tuple[str, ...]:
    return tuple(load_symbols(path if path is not None else find_config_dir() / "symbols" / "sp500.txt"))


def main() -> None:
    """Entry point of the command."""
    app()


if __name__ == "__main__":
    main()
