"""From what was written when, and which rows arrived when, to how long each tick took and how many arrived at all."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Delays:
    """How long the updates of one run took, microseconds, sorted; and how many of those written have arrived."""

    sorted_us: list[int]
    written: int

    @property
    def delivered(self) -> float:
        """The share of updates that a row of their symbol brought, their own or a newer one into which they were conflated."""
        return len(self.sorted_us) / self.written

    def at(self, share: float) -> float:
        """The delay that this share of the updates does not exceed, in milliseconds."""
        return self.sorted_us[min(len(self.sorted_us) - 1, int(len(self.sorted_us) * share))] / 1000


def delays(stamps: Sequence[int], seen: array[int], symbols: int) -> Delays:
    """`stamps`: of the updates in order, the symbols in turn. `seen`: triples of symbol, stamp and arrival, in order of arrival.

    An update has arrived with the first row of its symbol whose stamp is not older: a tick that was conflated waits for that row,
    and counts as long as it waited.
    """
    arrivals: list[list[tuple[int, int]]] = [[] for _ in range(symbols)]
    for symbol, stamp, at in zip(seen[0::3], seen[1::3], seen[2::3], strict=True):
        arrivals[symbol].append((stamp, at))
    found = [delay for symbol in range(symbols) for delay in _delays(stamps[symbol::symbols], arrivals[symbol])]
    return Delays(sorted(found), len(stamps))


def _delays(stamps: Sequence[int], arrivals: list[tuple[int, int]]) -> Iterator[int]:
    place = 0
    for stamp in stamps:
        while place < len(arrivals) and arrivals[place][0] < stamp:
            place += 1
        if place == len(arrivals):
            return
        yield arrivals[place][1] - stamp
