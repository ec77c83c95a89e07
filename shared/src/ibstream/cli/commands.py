"""The command line: names, options and help. Bodies are imported when they are run, so that the command starts at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from ibstream.cli.options import Json
from ibstream.cli.order_commands import app as order_commands

app = typer.Typer(
    name="ibstream",
    help="An Interactive Brokers Gateway behind Redis Streams. Settings: config/settings.yaml and SA_ variables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _no_real_gateway(port: int) -> int:
    from ibstream.cli.environment import REAL_GATEWAY_PORTS

    if port in REAL_GATEWAY_PORTS:
        raise typer.BadParameter(f"a real Gateway or TWS may use port {port}, which the demo must never touch")
    return port


def _port(help_text: str) -> Any:
    return typer.Option(min=1, max=65535, callback=_no_real_gateway, help=help_text)


@app.command()
def demo(
    duration: Annotated[float | None, typer.Option(min=0.0, help="Seconds to watch once all is up.")] = None,
    as_json: Json = False,
    symbol: Annotated[str, typer.Option(help="What the one order buys.")] = "AAPL",
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another market.")] = 7,
    gateway_port: Annotated[int, _port("Of the stand-in Gateway.")] = 14002,
    http_port: Annotated[int, _port("Of the health page.")] = 8000,
    redis_port: Annotated[int, _port("Of the embedded server.")] = 6390,
) -> None:
    """The whole system on this machine with a stand-in Gateway: quotes, one order, bars and health. Ctrl-C ends it."""
    from ibstream.cli.demo import GRACE_S
    from ibstream.cli.demo import demo as run_demo
    from ibstream.cli.demo_watch import DemoOptions
    from ibstream.cli.terminal import run_command
    from ibstream.runtime.clock import SYSTEM_CLOCK

    if as_json and duration is None:
        raise typer.BadParameter("--json wants --duration, or it would never print its result")
    options = DemoOptions(
        duration_s=duration,
        as_json=as_json,
        symbol=symbol.upper(),
        seed=seed,
        gateway_port=gateway_port,
        http_port=http_port,
        redis_port=redis_port,
    )
    raise typer.Exit(run_command(lambda stop: run_demo(options, stop, clock=SYSTEM_CLOCK), grace_s=GRACE_S))


@app.command()
def up() -> None:
    """The services against the configured Gateway and Redis, kept running until Ctrl-C."""
    from ibstream.cli.terminal import run_command
    from ibstream.cli.up import GRACE_S
    from ibstream.cli.up import up as run_up

    raise typer.Exit(run_command(run_up, grace_s=GRACE_S))


@app.command()
def quotes(
    symbols: Annotated[
        list[str] | None, typer.Argument(help="AAPL EUR.USD 'ES 202612' ...; all where none is named.")
    ] = None,
    as_json: Json = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many rows.")] = None,
) -> None:
    """Quotes as they come: the latest of each symbol, then every change. What is not of the feed's list: `subscribe`."""
    from ibstream.cli.queries import as_quoted, asked, show_quotes

    wanted = [as_quoted(symbol) for symbol in symbols or []]
    raise typer.Exit(asked(show_quotes(wanted, as_json=as_json, count=count)))


@app.command()
def subscribe(
    instruments: Annotated[
        list[str],
        typer.Argument(
            metavar="INSTRUMENT",
            help="AAPL | EUR.USD | 'ES 202612 @CME' | 'AAPL 20261218 250 C' | 'SPX IND @CBOE'; each in quotation marks.",
        ),
    ],
    data: Annotated[
        Literal["quotes", "ticks", "bars", "depth"],
        typer.Option(help="Quotes; or every tick, bars of five seconds, or the order book, as JSON."),
    ] = "quotes",
    priority: Annotated[int, typer.Option(min=1, max=9, help="1 is served first where lines are short.")] = 5,
    ttl: Annotated[float, typer.Option(min=1, max=86400, metavar="SECONDS", help="How long it outlives a kill.")] = 60,
    as_json: Json = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many rows or entries.")] = None,
) -> None:
    """Have the feed bring market data of anything that IBKR quotes, and show it, until Ctrl-C gives it back."""
    from ibstream.cli.queries import asked, show_leased

    wanted = [words.upper() for words in instruments]
    showing = show_leased(wanted, data=data, priority=priority, ttl_s=ttl, as_json=as_json, count=count)
    raise typer.Exit(asked(showing))


@app.command()
def bars(
    symbol: Annotated[str, typer.Argument()],
    size: Annotated[str, typer.Option(help="In IBKR's words: 30 secs, 5 mins, 1 hour, 1 day.")] = "5 mins",
    duration: Annotated[str, typer.Option(help="Back from now: 1800 S, 2 D, 1 W, 6 M, 1 Y.")] = "1 D",
    as_json: Json = False,
) -> None:
    """Historical bars, oldest first."""
    from ibstream.cli.queries import asked, show_bars

    raise typer.Exit(asked(show_bars(symbol.upper(), size=size, duration=duration, as_json=as_json)))


@app.command()
def status(as_json: Json = False) -> None:
    """The mode with its reasons, and every service that is alive. Exit status 0 if the mode is normal."""
    from ibstream.cli.queries import asked, show_status

    raise typer.Exit(asked(show_status(as_json=as_json)))


app.add_typer(order_commands)
