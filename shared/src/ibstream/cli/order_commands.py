"""The commands that ask for something: orders, their change and end, and the words of the people who run the system."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from ibstream.cli.options import (
    Account,
    ForceName,
    InstrumentWords,
    Json,
    Limit,
    OrderId,
    OutcomeName,
    QuantityText,
    SideName,
    Stop,
    Trail,
    TrailPercent,
    TypeName,
    Who,
    Why,
    moment_option,
    wait_option,
)

app = typer.Typer()


@app.command()
def order(
    side: SideName,
    quantity: QuantityText,
    instrument: InstrumentWords,
    order_type: Annotated[
        TypeName | None,
        typer.Option("--type", case_sensitive=False, help="Default: LMT with --limit alone, MKT without any price."),
    ] = None,
    limit: Limit = None,
    stop: Stop = None,
    trail: Trail = None,
    trail_percent: TrailPercent = None,
    limit_offset: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="TRAIL-LIMIT: how far beyond the stop its limit lies.")
    ] = None,
    peg_offset: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="REL: how much more aggressive than the near touch.")
    ] = None,
    tif: Annotated[
        ForceName | None,
        typer.Option(case_sensitive=False, help="Time in force; default DAY, or GTD with --good-till."),
    ] = None,
    good_till: Annotated[datetime | None, moment_option("When it ends.")] = None,
    good_after: Annotated[datetime | None, moment_option("When it begins.")] = None,
    outside_hours: Annotated[bool, typer.Option("--outside-hours", help="Also outside the regular session.")] = False,
    algo: Annotated[
        str | None, typer.Option(metavar="NAME[:KEY=VALUE,...]", help="Adaptive, Twap or Vwap, with IBKR's parameters.")
    ] = None,
    leg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'SIDE [RATIO] INSTRUMENT'", help="Of a combo on INSTRUMENT's symbol, once for each of its legs."
        ),
    ] = None,
    account: Account = "",
    order_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Its client_order_id, sent once whatever happens.")
    ] = None,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Only tell margin and commission; nothing is sent to work.")
    ] = False,
    wait: Annotated[float, wait_option("For the outcome; 0: only send.")] = 10,
    as_json: Json = False,
) -> None:
    """Send one order to the account that the broker is connected to, and tell what becomes of it."""
    from ibstream.cli.queries import asked
    from ibstream.cli.trading import OrderArguments, send_order, tell_what_if, traded

    request = OrderArguments(
        instrument=traded(instrument, leg or []),
        side=side,
        quantity=quantity,
        limit_price=limit,
        stop_price=stop,
        trailing_amount=trail,
        trailing_percent=trail_percent,
        limit_offset=limit_offset,
        peg_offset=peg_offset,
        good_till=good_till,
        good_after=good_after,
        outside_regular_hours=outside_hours,
        algo=algo,
        account=account,
    )
    if order_type is not None:
        request["order_type"] = order_type.replace("-", " ")
    if tif is not None:
        request["time_in_force"] = tif
    if order_id is not None:
        request["client_order_id"] = order_id
    told = tell_what_if(request, wait_s=wait, as_json=as_json) if what_if else None
    raise typer.Exit(asked(told or send_order(request, wait_s=wait, as_json=as_json)))


@app.command()
def bracket(
    side: SideName,
    quantity: QuantityText,
    instrument: InstrumentWords,
    take_profit: Annotated[str | None, typer.Option(metavar="PRICE", help="Limit of the exit with a profit.")] = None,
    stop_loss: Annotated[str | None, typer.Option(metavar="PRICE", help="Stop of the exit with a loss.")] = None,
    stop_loss_limit: Annotated[
        str | None, typer.Option(metavar="PRICE", help="A limit for it, with which it may not fill.")
    ] = None,
    limit: Annotated[str | None, typer.Option(metavar="PRICE", help="Limit of the entry; else a market order.")] = None,
    tif: Annotated[ForceName, typer.Option(case_sensitive=False, help="Time in force of the entry.")] = "DAY",
    exit_tif: Annotated[ForceName, typer.Option(case_sensitive=False, help="Time in force of the exits.")] = "GTC",
    outside_hours: Annotated[bool, typer.Option("--outside-hours", help="Also outside the regular session.")] = False,
    account: Account = "",
    group_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Its orders are ID:entry, ID:profit and ID:stop.")
    ] = None,
    wait: Annotated[float, wait_option("For the outcomes; 0: only send.")] = 10,
    as_json: Json = False,
) -> None:
    """Send an entry with its exits: they work once it has filled, and one of them filling ends the other."""
    from ibstream.cli.queries import asked
    from ibstream.cli.trading import BracketArguments, send_bracket, traded

    request = BracketArguments(
        instrument=traded(instrument, []),
        side=side,
        quantity=quantity,
        limit_price=limit,
        take_profit=take_profit,
        stop_loss=stop_loss,
        stop_loss_limit=stop_loss_limit,
        time_in_force=tif,
        exit_time_in_force=exit_tif,
        outside_regular_hours=outside_hours,
        account=account,
    )
    if group_id is not None:
        request["group_id"] = group_id
    raise typer.Exit(asked(send_bracket(request, wait_s=wait, as_json=as_json)))


@app.command()
def modify(
    order_id: OrderId,
    quantity: Annotated[str | None, typer.Option(help="The whole quantity, what is filled included.")] = None,
    limit: Limit = None,
    stop: Stop = None,
    trail: Trail = None,
    trail_percent: TrailPercent = None,
    tif: Annotated[
        ForceName | None, typer.Option(case_sensitive=False, help="Time in force; IBKR changes DAY to IOC only.")
    ] = None,
    wait: Annotated[float, wait_option("For the answer; 0: only send.")] = 5,
) -> None:
    """Change a working order; what is not named stays as it is."""
    from ibstream.cli.queries import asked
    from ibstream.cli.trading import change_order
    from ibstream.client.requests import OrderChanges

    changes = OrderChanges(
        quantity=quantity,
        limit_price=limit,
        stop_price=stop,
        trailing_amount=trail,
        trailing_percent=trail_percent,
        time_in_force=tif,
    )
    raise typer.Exit(asked(change_order(order_id, changes, wait_s=wait)))


@app.command()
def cancel(order_id: OrderId, wait: Annotated[float, wait_option("For the outcome; 0: only ask.")] = 10) -> None:
    """Cancel an order, and tell how it ended. Exit status 0 if it is cancelled."""
    from ibstream.cli.queries import asked
    from ibstream.cli.trading import cancel_order

    raise typer.Exit(asked(cancel_order(order_id, wait_s=wait)))


@app.command()
def cancel_all(
    strategy: Annotated[str, typer.Option(metavar="NAME", help="Only this strategy's.")] = "",
    symbol: Annotated[
        str, typer.Option(metavar="SYMBOL", help="Only this symbol's, options and futures included.")
    ] = "",
    instrument: Annotated[
        str | None, typer.Option(metavar="'INSTRUMENT'", help="Only of this one, in words: 'AAPL 20261218 250 C'.")
    ] = None,
    account: Annotated[str, typer.Option(metavar="ACCOUNT", help="Only of this account.")] = "",
) -> None:
    """Cancel every working order that fits; without options, all of them."""
    from ibstream.cli.queries import asked
    from ibstream.cli.trading import cancel_all_orders

    words = instrument.upper() if instrument is not None else None
    told = cancel_all_orders(strategy=strategy, symbol=symbol.upper(), instrument=words, account=account)
    raise typer.Exit(asked(told))


@app.command()
def halt(
    why: Why,
    cancel_orders: Annotated[bool, typer.Option("--cancel-orders", help="Cancel all working orders, too.")] = False,
    who: Who = "",
) -> None:
    """Accept no new orders until `ibstream resume`, also after a restart. Cancels still pass."""
    from ibstream.cli.queries import asked
    from ibstream.cli.trading import halt_trading

    raise typer.Exit(asked(halt_trading(why, who=who, cancel_orders=cancel_orders)))


@app.command()
def resume(why: Why = "", who: Who = "") -> None:
    """End a halt."""
    from ibstream.cli.queries import asked
    from ibstream.cli.trading import resume_trading

    raise typer.Exit(asked(resume_trading(why, who=who)))


@app.command()
def accept_positions(
    why: Why,
    account: Account = "",
    con_id: Annotated[int, typer.Option(min=0, metavar="NUMBER", help="IBKR's contract id; default: every one.")] = 0,
    who: Who = "",
) -> None:
    """Take what IBKR says is held for right, where it differs from the fills, so that orders are accepted again."""
    from ibstream.cli.queries import asked
    from ibstream.cli.trading import accept_held

    raise typer.Exit(asked(accept_held(why, who=who, account=account, con_id=con_id)))


@app.command()
def settle_order(
    order_id: OrderId,
    status: OutcomeName,
    why: Why,
    who: Who = "",
    wait: Annotated[float, wait_option("For the outcome; 0: only ask.")] = 5,
) -> None:
    """Give an order that stays unknown the outcome that was found at IBKR. Exit status 0 if it has one now."""
    from ibstream.cli.queries import asked
    from ibstream.cli.trading import settle

    raise typer.Exit(asked(settle(order_id, status, why, who=who, wait_s=wait)))
