"""A market and a Gateway told line by line under one seed, at times of their own: `python whole_run.py SEED` prints the lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from unit.gateway_emulator.quote_rig import MONDAY, Floor, stock

from ibstream.contracts.data import BarSize
from ibstream.simulation.bars import Kind
from ibstream.simulation.market import Market
from ibstream.simulation.sessions import to_ns
from ibstream_gateway_emulator.handlers import respond
from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import CancelOrder, ReqExecutions

KEYS = ("AAPL", "SPY", "EUR.USD", "ESZ2026", "CLF2027", "SPX", "AAPL  261218C00420000", "SPXW  261218P07400000")
BARS: tuple[tuple[BarSize, timedelta, Kind], ...] = (
    ("5 secs", timedelta(minutes=1), "TRADES"),
    ("1 min", timedelta(minutes=10), "BID_ASK"),
    ("1 hour", timedelta(days=1), "MIDPOINT"),
    ("1 day", timedelta(days=30), "TRADES"),
    ("1 week", timedelta(days=60), "BID_ASK"),
    ("1 day", timedelta(days=10), "HISTORICAL_VOLATILITY"),
)
RESTING_ID = 4
_TICKS_S = 10
_STEPS, _STEP_S = 240, 0.25


def prices(seed: int) -> Iterator[str]:
    """Quotes, the book, greeks and the day of every kind of instrument."""
    market, now_ns = Market(seed), to_ns(MONDAY)
    for key in KEYS:
        yield from map(str, market.quotes(key, now_ns, now_ns + _TICKS_S * 1_000_000_000))
        yield f"{key} {market.depth(key, now_ns, 5)} {market.day(key, now_ns)} {market.greeks(key, now_ns)}"


def bars(seed: int) -> Iterator[str]:
    """Bars of several sizes and kinds."""
    market = Market(seed)
    for key in KEYS:
        for size, length, what in BARS:
            for bar in market.bars(key, MONDAY - length, MONDAY, size, what):
                yield f"{key} {size} {what} {bar}"


def fills(seed: int) -> Iterator[str]:
    """All that a client of the Gateway is told: ticks, and its orders resting, filling in parts and being cancelled."""
    floor = Floor(seed=seed, partial_fills=True)
    recorder, client = floor.recorder(), floor.clients[1][0]
    last = Decimal(str(floor.gateway.market.quote("AAPL", floor.now_ns).last))
    recorder.messages += floor.subscribe(7, stock("MSFT"))
    for order in orders(last):
        recorder.messages += respond(floor.gateway, client, order, order.order_id)
    for _ in range(_STEPS):
        floor.step(_STEP_S)
    for request in (CancelOrder(RESTING_ID), ReqExecutions(9, 0, "", "", "", "", "", "")):
        recorder.messages += respond(floor.gateway, client, request, 9)
    yield from map(str, recorder.messages)


def orders(last: Decimal) -> Iterator[PlaceOrder]:
    """Orders around the last price that fill at once, later, or never."""
    yield _order(1, "BUY", 2_000, "MKT")
    yield _order(2, "SELL", 300, "LMT", limit_price=last + Decimal("0.20"))
    yield _order(3, "SELL", 500, "STP", aux_price=last - Decimal("0.05"))
    yield _order(RESTING_ID, "BUY", 10, "LMT", limit_price=last / 2 // 1)
    yield _order(5, "BUY", 400, "LMT", limit_price=last + 1, algoStrategy="Twap")


def _order(order_id: int, action: str, quantity: int, order_type: str, **fields: Any) -> PlaceOrder:
    prices = {name: fields.pop(name) for name in ("limit_price", "aux_price") if name in fields}
    return PlaceOrder(
        order_id=order_id,
        contract=Contract(symbol="AAPL", security_type="STK", exchange="SMART", currency="USD"),
        action=action,
        quantity=Decimal(quantity),
        order_type=order_type,
        tif="DAY",
        attributes=fields,
        **prices,
    )


def lines(seed: int) -> Iterator[str]:
    """All of it."""
    yield from prices(seed)
    yield from bars(seed)
    yield from fills(seed)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines(int(sys.argv[1])))
