"""How far the prices of an order lie on the harmful side of the last quote. Pure.

Harmful is the side on which a slip of the keyboard trades: a BUY limit above the market, a BUY stop below it, which triggers at
once. A price on the other side waits, as take-profits and protective stops do far from the market, and the collar lets it. What
works only after a trigger is held against its trigger.

| price | BUY, SELL the other way round | held against |
|---|---|---|
| limit_price of LMT, LOC | above | the quote |
| limit_price of STP LMT, LIT | above | stop_price |
| limit_offset of TRAIL LIMIT | | stop_price |
| stop_price of STP, STP LMT, TRAIL, TRAIL LIMIT | below | the quote |
| stop_price of MIT, LIT | above | the quote |
| peg_offset of REL | | the quote; its limit_price is a cap, and not looked at |
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from ibstream.contracts.orders import OrderType, Side, SubmitOrder

_HUNDRED = Decimal(100)
_LIMITS = frozenset({OrderType.LIMIT, OrderType.LIMIT_ON_CLOSE})
_LIMITS_AT_STOP = frozenset({OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED})
_TOUCHED = frozenset({OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED})


def percent_beyond(request: SubmitOrder, price: Decimal) -> Decimal:
    """How far, in per cent, its worst price lies on the harmful side; 0 or less for an order without such a price.

    `price` is what one unit is worth by the last quote, more than 0.
    """
    return max(_beyond(request, price), default=Decimal(0)) * _HUNDRED


def _beyond(request: SubmitOrder, price: Decimal) -> Iterator[Decimal]:
    kind, limit, stop = request.order_type, request.limit_price, request.stop_price
    sign = 1 if request.side is Side.BUY else -1
    if limit is not None and kind in _LIMITS:
        yield sign * (limit - price) / price
    if limit is not None and stop and kind in _LIMITS_AT_STOP:
        yield sign * (limit - stop) / abs(stop)
    if stop is not None:
        yield sign * (stop - price) / price * (1 if kind in _TOUCHED else -1)
    if request.limit_offset is not None and stop:
        yield request.limit_offset / abs(stop)
    if request.peg_offset is not None:
        yield request.peg_offset / price
