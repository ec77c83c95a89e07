"""Contracts as lines of text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

import msgspec

from ibstream.contracts.data import Bar
from ibstream.contracts.orders import (
    CHANGED,
    CommissionCharged,
    ExternalOrder,
    OrderEvent,
    OrderFilled,
    OrderStatusChanged,
    RequestRefused,
    WhatIfAnswered,
)
from ibstream.contracts.quotes import Quote
from ibstream.contracts.system import Heartbeat, ModeChanged

_encode = msgspec.json.Encoder().encode

BAR_HEADER = f"{'start (UTC)':<17}{'open':>10}{'high':>10}{'low':>10}{'close':>10}{'volume':>12}"
UNKNOWN = "-"

SYMBOL_WIDTH_MIN, SYMBOL_WIDTH_USUAL = 7, 24
"""Columns of a table's symbols: at least, and where it is not known which will come. An option takes 20 or so."""


def as_json(value: object) -> str:
    """One line of JSON. Contracts keep their tags, positional rows are to be named first."""
    return _encode(value).decode()


def named(row: Quote | Bar) -> dict[str, object]:
    """A positional row by its column names."""
    return {name: getattr(row, name) for name in row.__struct_fields__}


def price(value: float | None) -> str:
    """Two decimals, more only where they say something."""
    if value is None:
        return UNKNOWN
    text = f"{value:.4f}"
    return text[:-2] if text.endswith("00") else text


def whole(value: float | None) -> str:
    """A number of shares, with separators."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def symbol_width(symbols: Collection[str]) -> int:
    """How many columns these symbols need; none are named where any may come."""
    longest = max(map(len, symbols), default=SYMBOL_WIDTH_USUAL)
    return max(SYMBOL_WIDTH_MIN, longest)


def quote_header(width: int) -> str:
    """The head of a table of quotes, with symbols of `width` columns."""
    return f"{'symbol':<{width}}{'bid':>10}{'ask':>10}{'last':>10}{'volume':>14}  quality"


def quote_line(row: Quote, width: int) -> str:
    """One quote under the `quote_header` of this width. A longer symbol moves the rest, and runs into nothing."""
    prices = "".join(f" {price(value):>9}" for value in (row.bid, row.ask, row.last))
    return f"{row.symbol:<{width}}{prices} {whole(row.volume):>13}  {row.quality}"


def bar_line(bar: Bar) -> str:
    """One bar under `BAR_HEADER`."""
    prices = "".join(f"{price(value):>10}" for value in (bar.open, bar.high, bar.low, bar.close))
    return f"{bar.start:%Y-%m-%d %H:%M} {prices}{whole(bar.volume):>12}"


def event_line(event: OrderEvent) -> str:
    """One step of an order."""
    match event:
        case OrderFilled():
            return f"fill {number(event.quantity)} {event.symbol} at {number(event.price)}"
        case CommissionCharged():
            return f"commission {number(event.commission)} {event.currency}"
        case RequestRefused():
            return f"refused {event.request}: {_why(event.reason, event.text, event.code)}"
        case OrderStatusChanged():
            return status_line(event)
        case WhatIfAnswered():
            return "; ".join(what_if_lines(event))
        case ExternalOrder():
            what = f"{event.side} {number(event.quantity)} {event.symbol}"
            return f"order {event.perm_id} of others: {what}, {event.status}"


def status_line(event: OrderStatusChanged) -> str:
    """Where an order stands; of one that was changed, its terms."""
    price_text = f" at {number(event.average_price)}" if event.average_price is not None else ""
    done = f", {number(event.filled)} of {number(event.quantity)} filled{price_text}" if event.filled else ""
    terms = f" to {_terms(event)}" if event.text == CHANGED else ""
    why = _why(event.reason, event.text + terms, event.code)
    return f"{event.status.replace('_', ' ')}{done}" + (f": {why}" if why else "")


def what_if_lines(answer: WhatIfAnswered) -> list[str]:
    """What an order would do, a line for each thing that IBKR says."""
    changes = {
        "initial margin": (answer.initial_margin_change, answer.initial_margin_after),
        "maintenance margin": (answer.maintenance_margin_change, answer.maintenance_margin_after),
        "equity with loan": (answer.equity_with_loan_change, answer.equity_with_loan_after),
    }
    lines = [
        f"{name:<19}{money(change, sign=True):>15}, then {money(after)}"
        for name, (change, after) in changes.items()
        if change is not None or after is not None
    ]
    if commission := _commission(answer):
        lines.append(f"{'commission':<19}{commission:>15} {answer.commission_currency}".rstrip())
    return [*lines, *([f"warning: {answer.warning}"] if answer.warning else [])]


def money(value: Decimal | None, *, sign: bool = False) -> str:
    """An amount to the hundredth, with separators, and with a plus where `sign` asks for it."""
    return UNKNOWN if value is None else f"{value:{'+' if sign else ''},.2f}"


def number(value: Decimal) -> str:
    """A decimal without an exponent or needless zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def mode_lines(mode: ModeChanged | None) -> list[str]:
    """The mode and its reasons."""
    if mode is None:
        return ["watchdog silent"]
    gateway = {True: "gateway answers", False: "gateway does not answer", None: "no gateway in use"}[mode.gateway_up]
    return [
        f"{mode.mode} since {mode.since:%Y-%m-%d %H:%M:%S} UTC, {gateway}",
        *(f"  {reason.text}" for reason in mode.reasons),
    ]


def heartbeat_line(beat: Heartbeat) -> str:
    """One service instance."""
    figures = ", ".join(f"{name} {value}" for name, value in beat.details.items())
    words = [f"client id {beat.client_id}" if beat.client_id else "", beat.account, beat.reason, figures]
    return f"  {beat.service:<17}{beat.instance:<4}{beat.state:<14}" + ", ".join(word for word in words if word)


def _terms(event: OrderStatusChanged) -> str:
    """`20, limit 1.25, DAY`."""
    prices = {
        "limit": event.limit_price,
        "stop": event.stop_price,
        "trail": event.trailing_amount,
        "trail %": event.trailing_percent,
    }
    told = [f"{name} {number(value)}" for name, value in prices.items() if value is not None]
    return ", ".join([number(event.quantity), *told, *([event.time_in_force.value] if event.time_in_force else [])])


def _why(reason: str, text: str, code: int) -> str:
    words = f"{reason} ({text})" if reason and text else reason or text
    return f"{words} [{code}]" if code else words


def _commission(answer: WhatIfAnswered) -> str:
    if answer.commission is not None:
        return money(answer.commission)
    bounds = [money(bound) for bound in (answer.commission_min, answer.commission_max) if bound is not None]
    return " to ".join(bounds)
