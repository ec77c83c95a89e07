"""Who gets a market data line, and who takes turns: leases by priority, then the feed's own list in its order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from ibstream.contracts.instrument import Instrument


@dataclass(frozen=True, slots=True)
class Wanted:
    """One symbol that is wanted, by a lease or because it is of the list."""

    symbol: str
    instrument: Instrument
    is_leased: bool


@dataclass(frozen=True)
class Plan:
    """What is to be done for every symbol of this process, the most wanted first."""

    streamed: tuple[Wanted, ...]
    sampled: tuple[Wanted, ...]
    """Asked for in turn, by snapshots."""
    left_out: tuple[Wanted, ...]
    """Nothing can be done for these: no line is free, and none is kept for snapshots."""

    @cached_property
    def lined(self) -> frozenset[str]:
        """The symbols that have a line."""
        return frozenset(wanted.symbol for wanted in self.streamed)

    @cached_property
    def in_turn(self) -> frozenset[str]:
        """The symbols that are sampled."""
        return frozenset(wanted.symbol for wanted in self.sampled)

    @cached_property
    def symbols(self) -> set[str]:
        """All that there are rows of."""
        return {wanted.symbol for group in (self.streamed, self.sampled, self.left_out) for wanted in group}


NOTHING = Plan((), (), ())


def plan(
    wanted: Iterable[Wanted], *, lines: int, sampling_lines: int, can_be_had: Callable[[str], bool] = lambda _: True
) -> Plan:
    """Share `lines` out among `wanted`, which comes in order; of a symbol named twice the first counts.

    All are streamed where the lines suffice. Where they do not, `sampling_lines` of them are kept for snapshots of the rest.
    A symbol that cannot be had now takes no line; its row, if there is one, stays as it is.
    """
    once: dict[str, Wanted] = {}
    for one in wanted:
        once.setdefault(one.symbol, one)  # at the place of the first, too
    to_have = [one for one in once.values() if can_be_had(one.symbol)]
    not_to_have = tuple(one for one in once.values() if not can_be_had(one.symbol))
    if len(to_have) <= lines:
        return Plan(tuple(to_have), (), not_to_have)
    kept = min(sampling_lines, max(1, lines))  # without any line, snapshots are what is left to try
    most = max(0, lines - kept)
    streamed, rest = tuple(to_have[:most]), tuple(to_have[most:])
    return Plan(streamed, rest, not_to_have) if kept else Plan(streamed, (), (*rest, *not_to_have))
