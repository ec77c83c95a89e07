"""One order book, as IBKR's row changes make it."""

from __future__ import annotations

from ibstream.contracts.ticks import DEPTH_LEVELS, Depth, Level

INSERT, UPDATE, DELETE = 0, 1, 2
"""IBKR's operations on a row. An insert moves the rows below down, a delete moves them up."""

BID_SIDE = 1
"""IBKR's number of the bids' side; the asks' is 0."""

ROWS_KEPT_MAX = 2 * DEPTH_LEVELS
"""Rows are shown up to `DEPTH_LEVELS`. More can stand for a moment, between an insert and the delete that goes with it."""


class DepthBook:
    """The rows of both sides. A change that does not fit what is known does as much as it can, and never fails."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._bids: list[Level] = []
        self._asks: list[Level] = []

    def change(self, position: int, operation: int, side: int, level: Level) -> None:
        """Apply one change: `position` counts from 0, the best row; `operation` and `side` are IBKR's numbers."""
        rows = self._bids if side == BID_SIDE else self._asks
        is_known = 0 <= position < len(rows)
        if operation == DELETE:
            if is_known:
                del rows[position]
        elif operation == UPDATE and is_known:
            rows[position] = level
        else:
            rows.insert(max(position, 0), level)
            del rows[ROWS_KEPT_MAX:]

    def clear(self) -> None:
        """Nothing is known of it any more (317)."""
        self._bids.clear()
        self._asks.clear()

    def told(self, received_ns: int) -> Depth:
        """The book as it stands."""
        bids, asks = self._bids[:DEPTH_LEVELS], self._asks[:DEPTH_LEVELS]
        return Depth(symbol=self._symbol, bids=bids, asks=asks, received_ns=received_ns)
