"""From one state of a book to the next, row by row, as a Gateway tells it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ibstream.simulation.quotes import Depth, Level

INSERT, UPDATE, DELETE = 0, 1, 2
ASK_SIDE, BID_SIDE = 0, 1
_GONE = Level(0.0, 0, "")


class RowChange(msgspec.Struct, frozen=True):
    """What happens to one row. A row that is deleted has no price."""

    position: int
    operation: int
    side: int
    level: Level


def changes(depth: Depth, told: Depth | None) -> Iterator[RowChange]:
    """The changes, in order, that make `depth` of what was told; the last rows are deleted first."""
    yield from _side(BID_SIDE, depth.bids, told.bids if told is not None else ())
    yield from _side(ASK_SIDE, depth.asks, told.asks if told is not None else ())


def _side(side: int, rows: tuple[Level, ...], told: tuple[Level, ...]) -> Iterator[RowChange]:
    for position in reversed(range(len(rows), len(told))):
        yield RowChange(position, DELETE, side, _GONE)
    for position, row in enumerate(rows):
        if position >= len(told):
            yield RowChange(position, INSERT, side, row)
        elif row != told[position]:
            yield RowChange(position, UPDATE, side, row)
