"""What became of subscriptions, to `feed:events`: each change once, and again for whoever takes a new lease."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import structlog

from ibstream.bus import Bus, BusRefused, BusUnavailable, Publisher
from ibstream.contracts.feed import DataKind, SubscriptionChanged, SubscriptionOutcome
from ibstream.contracts.registry import FEED_EVENTS
from ibstream.runtime.clock import Clock
from ibstream.runtime.supervise import unless

RETRY_S = 0.5
"""Between two tries to write while Redis is away."""

EVENTS_KEPT_MAX = 10_000
"""Outcomes that wait for Redis; of more, the oldest are dropped."""

_GOOD = {
    SubscriptionOutcome.ACTIVE,
    SubscriptionOutcome.DELAYED,
    SubscriptionOutcome.SAMPLED,
    SubscriptionOutcome.ENDED,
}

_log = structlog.get_logger(__name__)


class Outcomes:
    """The latest outcome of each subscription, and those that are still to be told."""

    def __init__(self, bus: Bus, *, clock: Clock) -> None:
        self._publisher = Publisher(bus)
        self._clock = clock
        self._latest: dict[tuple[str, DataKind], SubscriptionChanged] = {}
        self._untold: deque[SubscriptionChanged] = deque(maxlen=EVENTS_KEPT_MAX)
        self._something = asyncio.Event()

    def tell(
        self,
        symbol: str,
        outcome: SubscriptionOutcome,
        text: str = "",
        code: int = 0,
        *,
        data: DataKind = DataKind.QUOTES,
    ) -> None:
        """Tell what became of a subscription, unless that is what was told last."""
        before = self._latest.get((symbol, data))
        if before is not None and (before.outcome, before.text, before.code) == (outcome, text, code):
            return
        event = SubscriptionChanged(
            symbol=symbol, data=data, outcome=outcome, text=text, code=code, at=self._clock.now()
        )
        if outcome is SubscriptionOutcome.ENDED:
            if self._latest.pop((symbol, data), None) is None:
                return
        else:
            self._latest[symbol, data] = event
        if outcome not in _GOOD:
            _log.warning("feed.not_subscribed", symbol=symbol, data=data, outcome=outcome, text=text, code=code)
        self._add(event)

    def refuse(self, symbol: str, data: DataKind, outcome: SubscriptionOutcome, text: str) -> None:
        """Tell that a lease could not be taken; what is told of others' leases on the symbol stands."""
        self._add(
            SubscriptionChanged(symbol=symbol, data=data, outcome=outcome, text=text, code=0, at=self._clock.now())
        )

    def repeat(self, symbols: Iterable[str]) -> None:
        """Tell again what was told last of these symbols: somebody new wants to know."""
        for symbol in symbols:
            for data in DataKind:
                event = self._latest.get((symbol, data))
                if event is not None:
                    self._add(event)

    def forget(self, is_gone: Callable[[str], bool]) -> None:
        """Another process tells of these symbols from now on."""
        self._latest = {key: event for key, event in self._latest.items() if not is_gone(key[0])}

    async def work(self, stop: asyncio.Event) -> None:
        """Write what is to be told, in order, whenever Redis is there."""
        while not stop.is_set():
            await unless(stop, self._something.wait())
            self._something.clear()
            try:
                while self._untold:
                    await self._write(self._untold[0])
            except BusUnavailable:
                self._something.set()
                await unless(stop, self._clock.sleep(RETRY_S))

    async def _write(self, event: SubscriptionChanged) -> None:
        """Write one, or give it up where Redis will not have it: quotes do not stop flowing for that."""
        try:
            await self._publisher.publish(FEED_EVENTS, event)
        except BusRefused as error:
            _log.error("feed.event_refused", symbol=event.symbol, outcome=event.outcome, error=str(error))
        if self._untold and self._untold[0] is event:  # else it was dropped for a newer one meanwhile
            self._untold.popleft()

    def _add(self, event: SubscriptionChanged) -> None:
        self._untold.append(event)
        self._something.set()
