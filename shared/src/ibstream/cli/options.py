"""Arguments and options that several commands share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Results as JSON.")]

SideName = Annotated[Literal["BUY", "SELL"], typer.Argument(metavar="BUY|SELL", case_sensitive=False)]
QuantityText = Annotated[
    str, typer.Argument(metavar="QUANTITY", help="Whole shares, contracts, or units of a pair's first currency.")
]
InstrumentWords = Annotated[
    list[str],
    typer.Argument(
        metavar="INSTRUMENT",
        help="AAPL | EUR.USD | ES 202612 @CME | AAPL 20261218 250 C; a last @EXCHANGE says where it is routed.",
    ),
]
Why = Annotated[str, typer.Argument(metavar="WHY", help="For people, and for the record.")]
OrderId = Annotated[str, typer.Argument(metavar="ID", help="The order's client_order_id.")]

TypeName = Literal["MKT", "LMT", "STP", "STP-LMT", "TRAIL", "TRAIL-LIMIT", "MIT", "LIT", "MOC", "LOC", "REL"]
ForceName = Literal["DAY", "GTC", "GTD", "IOC", "FOK", "OPG"]

OutcomeName = Annotated[
    Literal["filled", "cancelled", "rejected"],
    typer.Argument(case_sensitive=False, help="What became of it at IBKR."),
]

Limit = Annotated[str | None, typer.Option(metavar="PRICE", help="Limit price.")]
Stop = Annotated[str | None, typer.Option(metavar="PRICE", help="Where a stop or a touched order triggers.")]
Trail = Annotated[str | None, typer.Option(metavar="AMOUNT", help="How far behind the price a trailing stop stays.")]
TrailPercent = Annotated[str | None, typer.Option(metavar="PERCENT", help="The same in per cent.")]
Account = Annotated[str, typer.Option(metavar="ACCOUNT", help="Default: the broker's own.")]
Who = Annotated[str, typer.Option(metavar="NAME", help="Who asks for it; default: the user's name.")]


def _moment(text: str) -> datetime:
    """An ISO 8601 time with its offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is no time; one is 2026-12-18T21:00:00Z") from None
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text} wants its offset: {text}Z, or {text}-05:00")
    return moment


def moment_option(help_text: str) -> object:
    """An option that takes a time."""
    return typer.Option(parser=_moment, metavar="TIME", help=help_text)


def wait_option(help_text: str) -> object:
    """An option that takes seconds."""
    return typer.Option(min=0, max=86400, metavar="SECONDS", help=help_text)
