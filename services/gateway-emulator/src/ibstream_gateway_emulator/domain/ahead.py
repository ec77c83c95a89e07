"""Quotes of one instrument in a row, read ahead with the frames that lead from each to the next.

In a row they are had for less than half of what they cost one by one. The market is a function of time: these quotes will be.
"""

from __future__ import annotations

from ibstream.simulation.extents import Run
from ibstream.simulation.quotes import DayStatistics, Quote
from ibstream_gateway_emulator.domain.tick_frames import Form, quote_forms, shapes
from ibstream_gateway_emulator.domain.ticks import Kind

Row = tuple[int, int, Quote | None, Quote | None, Form]
"""From when and until when a quote stands, the one before it, the quote, and the frames from one to the other. Without frames,
the one before is None; without a quote it is none as well."""

NO_ROW: Row = (0, 0, None, None, "")
"""Stands at no time."""
AHEAD_MAX = 16
"""So many quotes are read ahead at most."""


def how_many(sequence: int, phase: int) -> int:
    """How many quotes to read ahead from this one. Instruments of different `phase` do not come to the end together, so that not
    all of them are at work in the same step."""
    return AHEAD_MAX - (sequence + phase) % AHEAD_MAX


def rows(before: Quote, run: Run, kind: Kind, id_length: int) -> list[Row]:
    """A row for each quote of `run`, and `NO_ROW` behind; `before` is the quote before them."""
    times, quotes = run
    forms = quote_forms([before, *quotes], kind, shapes(id_length))
    return [*zip(times, times[1:], [before, *quotes], quotes, forms, strict=False), NO_ROW]


def are_within(quotes: list[Quote], day: DayStatistics | None, ends_ns: int) -> bool:
    """Whether the quotes change nothing in the figures of the day that ends then."""
    if day is None or quotes[-1].time_ns >= ends_ns:
        return False
    lasts = [quote.last for quote in quotes]
    return day.low <= min(lasts) and max(lasts) <= day.high
