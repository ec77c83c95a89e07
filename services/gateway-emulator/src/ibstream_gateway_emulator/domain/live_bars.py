"""Bars that are kept up to date: what has changed in them since they were told.

A bar is told again and again while it grows, with its own start as time, and once more when it is complete; what was told last
is what a later query for the same period gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ibstream.simulation.bars import Bar
from ibstream.simulation.market import Market
from ibstream.simulation.sessions import to_ns
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.domain import history
from ibstream_gateway_emulator.domain.history import Query
from ibstream_gateway_emulator.protocol.messages import Message

UPDATE_NS = NS_PER_S
"""How often changes are told; IBKR says every one or two seconds."""


@dataclass(slots=True)
class LiveBars:
    """One subscription. Silent for good once live updates have failed."""

    query: Query
    told_ns: int
    """Up to when the bars have been told."""
    last: Bar | None = None
    """The newest bar told."""
    failed: bool = False

    def update(self, market: Market, now_ns: int) -> Iterator[Message]:
        """The bars that are new or other than told, oldest first; nothing before `UPDATE_NS` have passed."""
        if self.failed or now_ns - self.told_ns < UPDATE_NS:
            return
        start_ns = to_ns(self.last.start) if self.last is not None else self.query.start_ns
        self.told_ns = now_ns
        for bar in history.bars_of(self.query, market, start_ns, now_ns):
            if bar != self.last:
                self.last = bar
                yield history.update(bar, self.query)
