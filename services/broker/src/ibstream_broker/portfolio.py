"""Positions, account values, profit and loss as IBKR says them, and mismatches: on `portfolio:events`, the latest in hashes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from ibstream.bus import Bus
from ibstream.contracts.portfolio import PositionMismatch
from ibstream_broker.adapters.portfolio_store import PortfolioStore
from ibstream_broker.domain.inputs import PortfolioInput
from ibstream_broker.domain.telling import Told


class Portfolio:
    """Publishes what is new, once. IBKR repeats account values every three minutes, and profits every second."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._store = PortfolioStore(bus)
        self._told = Told()
        self._telling = asyncio.Lock()

    def reopen(self, fencing_token: int) -> None:
        """Begin anew under this token: somebody else may have told other things since."""
        self._store = PortfolioStore(self._bus, fencing_token)
        self._told = Told()

    def due_at(self) -> datetime | None:
        """When `tell_all` is to be called though nothing was reported, because something waits; None while nothing does."""
        return self._told.due_at()

    async def tell_all(self, reports: Sequence[PortfolioInput | PositionMismatch], now: datetime) -> None:
        """Publish what these say that was not said last, in one round trip. May be repeated until it succeeds.

        Of several reports about one thing the last counts. Raises `BusUnavailable` when it is not known to be published,
        `Fenced` when another broker holds the lease.
        """
        async with self._telling:
            told, store = self._told, self._store
            plan = told.plan(reports, now)
            if plan:
                await store.write(plan)
            told.done(plan, now)
