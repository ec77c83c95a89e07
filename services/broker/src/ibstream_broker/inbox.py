"""What happened and is not yet written: inputs in their order, and commissions that came before their execution."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime

import structlog

from ibstream.runtime import metrics
from ibstream_broker.domain.inputs import CommissionReported, OrderInput, PortfolioInput

INPUTS_MAX = 100_000
"""Inputs that may wait while Redis is away. Beyond it the oldest go, and IBKR's lists, which have all of them, are asked for
soon."""

EARLY_COMMISSIONS_MAX = 1_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SessionEnded:
    """The session with the Gateway is gone."""

    at: datetime


@dataclass(frozen=True)
class LinkLost:
    """The Gateway has lost its link to IBKR; the session with it stands."""

    at: datetime


Happened = OrderInput | PortfolioInput | LinkLost | SessionEnded


class Inbox:
    """A bounded queue that never blocks the socket's callback."""

    def __init__(self) -> None:
        self._inputs: deque[Happened] = deque()
        self._early: OrderedDict[str, CommissionReported] = OrderedDict()
        self._filled = asyncio.Event()
        self._put_in = 0
        self._written = 0
        self._any_written = asyncio.Event()
        self.overflowed = False
        """Whether inputs were dropped. Whoever has seen to it that they are recovered sets it back."""

    def __len__(self) -> int:
        return len(self._inputs)

    def put(self, happened: Happened) -> None:
        """Append; called from callbacks."""
        if len(self._inputs) >= INPUTS_MAX:
            self._drop_one()
        self._inputs.append(happened)
        self._put_in += 1
        self._filled.set()

    def _drop_one(self) -> None:
        """The oldest; the end of a session only where nothing else is left, as no list tells of it again."""
        others = (place for place, one in enumerate(self._inputs) if not isinstance(one, SessionEnded))
        place = next(others, 0)
        _log.error("broker.inbox_full", dropped=type(self._inputs[place]).__name__)
        del self._inputs[place]
        self.overflowed = True
        self.written(1)  # it never will be, and nobody need wait for it

    def written(self, count: int) -> None:
        """So many of those taken are journalled."""
        self._written += count
        self._any_written.set()

    async def settled(self) -> None:
        """Return when everything that was put in before this call is journalled."""
        wanted = self._put_in
        while self._written < wanted:
            self._any_written.clear()
            await self._any_written.wait()

    async def wait(self) -> None:
        """Return when there is something to take."""
        await self._filled.wait()

    def take_some(self, count: int) -> list[Happened]:
        """The oldest inputs, at most `count`."""
        taken: list[Happened] = []
        while len(taken) < count and (happened := self.take()) is not None:
            taken.append(happened)
        return taken

    def take(self) -> Happened | None:
        """The oldest input; None when there is none."""
        if not self._inputs:
            self._filled.clear()
            return None
        return self._inputs.popleft()

    def clear(self) -> None:
        """Forget everything: the journal and a snapshot tell it anew."""
        self._inputs.clear()
        self._early.clear()
        metrics.COMMISSIONS_WAITING.set(0)
        self._filled.clear()
        self.overflowed = False
        self.written(self._put_in - self._written)

    def keep_early_commission(self, happened: OrderInput) -> None:
        """Keep a commission whose execution is still to come; anything else is about an order that is not ours."""
        if isinstance(happened, CommissionReported):
            self._early[happened.exec_id] = happened
            while len(self._early) > EARLY_COMMISSIONS_MAX:
                self._early.popitem(last=False)
            metrics.COMMISSIONS_WAITING.set(len(self._early))

    def early_commission(self, exec_id: str) -> CommissionReported | None:
        """The commission that came before this execution, once."""
        early = self._early.pop(exec_id, None)
        metrics.COMMISSIONS_WAITING.set(len(self._early))
        return early
