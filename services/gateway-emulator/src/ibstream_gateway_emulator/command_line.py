"""The options of `ibstream-gateway-emulator`, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def _limit(what: str) -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(metavar="N|none", rich_help_panel="Limits", help=what)
    return info


Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")]
ControlPort = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port of 127.0.0.1 for the control API; 0 takes any. Default: none."),
]
ScenarioFile = Annotated[Path | None, typer.Option(help="A YAML file of timed faults.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the market: the same seed shows the same prices.")]
Account = Annotated[str, typer.Option(help="Name of the account.")]
Cash = Annotated[int, typer.Option(min=0, help="USD in the account at the start.")]
SymbolsFile = Annotated[
    Path | None, typer.Option(help="Symbols that can be traded, one a line. Default: symbols/sp500.txt in config.")
]
FirstOrderId = Annotated[int, typer.Option(min=1, help="The first order id of every client.")]
MarketHours = Annotated[
    Literal["always", "exchange"], typer.Option(help="Whether orders fill at any hour, or in the exchange's.")
]
TickInterval = Annotated[int, typer.Option(min=1, max=60_000, help="How often quotes are sent.")]
TicksPerSecond = Annotated[
    int | None, typer.Option(min=1, help="Tick messages to all clients together. Default: as the market makes them.")
]
SlowClients = Annotated[
    Literal["drop", "disconnect"], typer.Option(help="Leave out the ticks of a client that lags, or cut it off.")
]
PartialFills = Annotated[bool, typer.Option(help="Fill no more at once than the size shown.")]
Extra = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, by its name.")]
AllowRemote = Annotated[bool, typer.Option(help="Listen on an address others can reach, as in a container.")]
LogLevel = Annotated[str, typer.Option(help="debug, info, warning, error or critical.")]
LogFormat = Annotated[
    Literal["auto", "json", "console"], typer.Option(help="Console on a terminal and JSON elsewhere by default.")
]

NoLimits = Annotated[bool, typer.Option("--no-limits", rich_help_panel="Limits", help="Lift all.")]
Clients = Annotated[str | None, _limit("Clients at once: 32.")]
MessagesPerSecond = Annotated[str | None, _limit("Messages of a client in a second: 50.")]
MarketDataLines = Annotated[str | None, _limit("Instruments quoted at once: 100.")]
DepthLines = Annotated[str | None, _limit("Order books followed at once: 3.")]
TickByTickLines = Annotated[str | None, _limit("Tick-by-tick subscriptions at once: 3.")]
HistoricalRequests = Annotated[str | None, _limit("Historical requests of a client at once: 50.")]
AccountUpdates = Annotated[str | None, _limit("Clients that follow the account at once: 1.")]
AccountSummaries = Annotated[str | None, _limit("Account summaries followed at once: 2.")]
RealTimeBars = Annotated[str | None, _limit("New real-time bars in 10 minutes: 60.")]
HistoricalPacing = Annotated[bool, typer.Option(rich_help_panel="Limits", help="Ration bars of 30 seconds and less.")]
