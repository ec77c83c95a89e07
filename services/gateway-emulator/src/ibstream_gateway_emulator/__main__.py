"""`ibstream-gateway-emulator`: a stand-in IB Gateway on a port of its own."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from typing import Annotated, Literal

import typer

from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.errors import ConfigurationError
from ibstream.runtime.logging import configure_logging
from ibstream.runtime.settings import find_config_dir
from ibstream.runtime.signals import run_until_signalled
from ibstream.runtime.symbols import load_symbols
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

app = typer.Typer(add_completion=False)

LogFormat = Literal["auto", "json", "console"]


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 4002,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the market: the same seed shows the same prices.")] = 7,
    account: Annotated[str, typer.Option(help="Name of the account.")] = "DU9000001",
    cash: Annotated[int, typer.Option(min=0, help="USD in the account at the start.")] = 1_000_000,
    symbols: Annotated[
        Path | None, typer.Option(help="Symbols that can be traded, one a line. Default: symbols/sp500.txt in config.")
    ] = None,
    tick_interval_ms: Annotated[int, typer.Option(min=1, max=60_000, help="How often quotes are sent.")] = 250,
    partial_fills: Annotated[bool, typer.Option(help="Fill no more at once than the size shown.")] = False,
    allow_remote: Annotated[
        bool, typer.Option(help="Listen on an address others can reach, as in a container.")
    ] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning, error or critical.")] = "info",
    log_format: Annotated[
        LogFormat, typer.Option(help="Console on a terminal and JSON elsewhere by default.")
    ] = "auto",
) -> None:
    """Run a stand-in IB Gateway over a simulated market until SIGINT or SIGTERM."""
    configure_logging("gateway-emulator", level=log_level, format=log_format)

    async def run(stop: asyncio.Event) -> None:
        if not allow_remote:
            _refuse_remote(host)
        settings = EmulatorSettings(
            symbols=_symbols(symbols),
            host=host,
            port=port,
            seed=seed,
            account=account,
            cash=cash,
            tick_interval_ms=tick_interval_ms,
            partial_fills=partial_fills,
        )
        await _serve_until(stop, settings)

    raise typer.Exit(run_until_signalled(run))


async def _serve_until(stop: asyncio.Event, settings: EmulatorSettings) -> None:
    async with running_gateway(settings, clock=SYSTEM_CLOCK) as gateway:
        stopping = asyncio.create_task(stop.wait())
        failing = asyncio.create_task(gateway.wait_failed())
        done, pending = await asyncio.wait({stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        if failing in done:
            await failing


def _refuse_remote(host: str) -> None:
    """The API knows no passwords; whoever reaches the port may trade."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise ConfigurationError(f"{host} can be reached from other machines; give --allow-remote if that is meant")


def _symbols(path: Path | None) -> tuple[str, ...]:
    return tuple(load_symbols(path if path is not None else find_config_dir() / "symbols" / "sp500.txt"))


def main() -> None:
    """Entry point of the command."""
    app()


if __name__ == "__main__":
    main()
