"""The book below the touch, row by row."""

from __future__ import annotations

from ibstream.simulation.hashing import splitmix64
from ibstream.simulation.keys import SecurityType
from ibstream.simulation.options import floor_to_tick, step_of
from ibstream.simulation.quotes import Depth, Level, Quote
from ibstream.simulation.shapes import Shape
from ibstream.simulation.tree import LEAF_NS

DEPTH_ROWS_MAX = 60
"""More rows than any book has."""

_STOCK_MAKERS = ("ARCA", "BATS", "ISLAND", "IEX", "EDGX", "NYSE", "MEMX", "BYX")
_OPTION_MAKERS = ("CBOE", "PHLX", "ISE", "BOX", "AMEX", "NASDAQOM")
_DEEPER_LOTS = 30


def depth_of(quote: Quote, shape: Shape, kind: SecurityType, exchange: str, rows: int) -> Depth:
    """The best `rows` prices of both sides; fewer bids where they would reach zero, and none for an index.

    The first row is the touch. The size of a row below it belongs to its price and stays for five seconds, so a book that
    moves by a tick shifts, as real ones do.
    """
    if kind == "IND":
        return Depth(quote.sequence, (), ())
    makers = {"STK": _STOCK_MAKERS, "OPT": _OPTION_MAKERS}.get(kind, (exchange,))
    rows, is_option = min(rows, DEPTH_ROWS_MAX), kind == "OPT"
    bid, ask = round(quote.bid * shape.scale), round(quote.ask * shape.scale)
    bids = [(price, quote.bid_size if price == bid else 0) for price in _bids(bid, rows, is_option)]
    asks = [(price, quote.ask_size if price == ask else 0) for price in _asks(ask, rows, is_option)]
    key = shape.key ^ shape.salt ^ splitmix64(quote.time_ns // LEAF_NS)
    return Depth(quote.sequence, _levels(bids, key, shape, makers), _levels(asks, ~key, shape, makers))


def _bids(best: int, rows: int, is_option: bool) -> list[int]:
    prices: list[int] = []
    while best > 0 and len(prices) < rows:
        prices.append(best)
        best = floor_to_tick(best - 1) if is_option else best - 1
    return prices


def _asks(best: int, rows: int, is_option: bool) -> list[int]:
    prices: list[int] = []
    while len(prices) < rows:
        prices.append(best)
        best += step_of(best) if is_option else 1
    return prices


def _levels(rows: list[tuple[int, int]], key: int, shape: Shape, makers: tuple[str, ...]) -> tuple[Level, ...]:
    levels: list[Level] = []
    for price, touch_size in rows:
        bits = splitmix64((key ^ splitmix64(price)) & ((1 << 64) - 1))
        size = touch_size or shape.lot * (1 + bits % _DEEPER_LOTS)
        levels.append(Level(price / shape.scale, size, makers[(bits >> 32) % len(makers)]))
    return tuple(levels)
