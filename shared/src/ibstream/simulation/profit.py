"""What positions have earned: since New York's midnight, and since they were opened. All USD."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import NamedTuple

from ibstream.simulation.account import ZERO, SimulatedAccount, market_value, unrealized_pnl, usd_rate
from ibstream.simulation.executions import Execution, ExecutionLog
from ibstream.simulation.sessions import day_window, new_york_date
from ibstream.simulation.terms import terms_of
from ibstream.simulation.view import MarketView


class Profit(NamedTuple):
    """Profits and losses, USD."""

    daily: Decimal
    """Since New York's midnight, commissions deducted: realized and not."""
    unrealized: Decimal
    """Of what is held, since it was opened."""
    realized: Decimal
    """Of what was closed since New York's midnight."""
    value: Decimal
    """What is held is worth."""


def profits(account: SimulatedAccount, log: ExecutionLog, view: MarketView, now_ns: int) -> dict[str, Profit]:
    """The profit of every instrument that is held or was traded since New York's midnight."""
    midnight_ns = day_window(new_york_date(now_ns))[0]
    today: defaultdict[str, list[Execution]] = defaultdict(list)
    for execution in log.since(midnight_ns):
        today[execution.symbol].append(execution)
    held = {symbol for symbol, position in account.positions.items() if position.quantity}
    return {
        symbol: _profit(account, symbol, today.get(symbol, []), view, (midnight_ns - 1, now_ns))
        for symbol in sorted(held | today.keys())
    }


def total(found: dict[str, Profit]) -> Profit:
    """All instruments together."""
    columns = zip(*found.values(), strict=True) if found else ((ZERO,),) * 4
    return Profit(*(sum(column, ZERO) for column in columns))


def _profit(
    account: SimulatedAccount, symbol: str, today: list[Execution], view: MarketView, times: tuple[int, int]
) -> Profit:
    terms, position = terms_of(symbol), account.position(symbol)
    price_then, price_now = (view.last(symbol, one) for one in times)
    rate = usd_rate(terms.currency, lambda key: view.last(key, times[1]))
    traded = sum((one.quantity for one in today), ZERO)
    paid = sum((one.quantity * one.price for one in today), ZERO)
    gained = position.quantity * price_now - (position.quantity - traded) * price_then - paid
    commissions = sum((one.commission for one in today), ZERO)
    return Profit(
        daily=gained * terms.multiplier * rate - commissions,
        unrealized=unrealized_pnl(position, price_now) * rate,
        realized=sum((one.realized_pnl or ZERO for one in today), ZERO) * rate,
        value=market_value(position, price_now) * rate,
    )
