"""From `feed:requests` to what is wanted: leases are taken by whichever feed process reads the request, and seen by all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial

import structlog

from ibstream.bus import Bus, BusUnavailable, Entry, GroupConsumer
from ibstream.contracts.feed import DataKind, Subscribe, SubscriptionOutcome, Unsubscribe
from ibstream.contracts.instrument import quote_symbol
from ibstream.contracts.registry import FEED_REQUESTS
from ibstream.runtime.clock import Clock
from ibstream.runtime.service import Worker
from ibstream.runtime.supervise import unless
from ibstream_feed.adapters.lease_store import LEASES_MAX, LeaseStore, Taken
from ibstream_feed.domain.leases import Leases, Want
from ibstream_feed.domain.remembered import Remembered

POLL_S = 0.25
"""How often it is looked for leases that other feed processes took, and for those whose time is over."""

LOOK_SHARE_MAX = 0.1
"""Of the time, so much is spent on looking at most, however many requests come: quotes wait meanwhile. Measured: a look at 10,000
leases of which one is new takes about 30 ms, at 100 well below one."""

GRACE_S = 5.0
"""For so long at least no lease ends that Redis has lost, or whose consumer could not renew it while Redis was away; even one
that lasts for a second."""

PAUSE_S_MAX = 1.0
"""The longest pause for that reason: a look that took long has waited for Redis, not worked."""

OnChange = Callable[[Collection[str]], None]
"""Called when what is wanted has changed, or somebody took a lease on what was wanted already; with the symbols on which new
leases were taken, so that their outcome is told again."""

OnRefused = Callable[[str, DataKind, SubscriptionOutcome, str], None]
"""Called with symbol, kind, outcome and a sentence for people when a lease could not be taken."""

_log = structlog.get_logger(__name__)


class LeaseDesk:
    """The leases of all consumers, as every feed process on the bus sees them.

    `worker` handles requests, in a group with the other processes; `watch` keeps up what is wanted. While Redis is away no
    lease ends, and afterwards none but those given back, until its consumer has had the time to ask again. The same goes for
    what Redis has lost without having been away for anybody to notice: emptied, restarted in a moment, or replaced by a replica
    that had not heard of it.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        clock: Clock,
        on_change: OnChange,
        on_refused: OnRefused,
        leases_max: int = LEASES_MAX,
        grace_s: float = GRACE_S,
    ) -> None:
        self._bus = bus
        self._store = LeaseStore(bus, leases_max=leases_max)
        self._leases_max = leases_max
        self._clock = clock
        self._on_change = on_change
        self._on_refused = on_refused
        self._grace_s = grace_s
        self._told = Leases()
        self._remembered = Remembered()
        self._leases = Leases()
        self._wants: dict[DataKind, list[Want]] = {data: [] for data in DataKind}
        self._version: str | None = None
        self._now_ms = 0
        self._is_away = False
        self._hurry = asyncio.Event()
        self._looking = asyncio.Lock()

    def __len__(self) -> int:
        """How many leases there are, as of the last look."""
        return len(self._leases)

    def wants(self, data: DataKind) -> list[Want]:
        """What is wanted of one kind as of the last look, the most wanted first."""
        return self._wants[data]

    def worker(self, consumer: str) -> Worker:
        """Handles requests until it is stopped, as `consumer` of the group: the same name after a restart of the same replica."""
        return partial(self._work, consumer)

    async def watch(self, stop: asyncio.Event) -> None:
        """Keep up what is wanted, until it is stopped; outlasts Redis being away."""
        while not stop.is_set():
            self._hurry.clear()
            begun = self._clock.monotonic()
            try:
                await self.look()
            except BusUnavailable as error:
                self._redis_is_away(error)
            await unless(stop, self._until_next_look(self._clock.monotonic() - begun))

    async def look(self) -> None:
        """See how things stand now, and call `on_change` where they have changed. Raises as `Bus.call` does."""
        async with self._looking:
            before = self._leases
            read = await self._store.read(self._version)
            told = self._told if read.leases is None else Leases(read.leases)
            remembered = await self._still_remembered(told, read.now_ms)
            told = await self._settled(told, read.now_ms)
            if self._is_away:
                self._redis_is_back()
            if told is not self._told or remembered is not self._remembered:
                self._leases = remembered.beside(told) if remembered else told
            self._told, self._remembered = told, remembered
            self._version, self._now_ms = read.version, read.now_ms
            if self._leases is not before:
                self._changed(before)

    async def _still_remembered(self, told: Leases, now_ms: int) -> Remembered:
        """What counts beside what Redis tells now: what it lost, or nobody could renew; until that is over or given back."""
        lost = self._told.unknown_to(told, now_ms) if told is not self._told else []
        remembered = self._remembered
        if lost or self._is_away:
            again = [*self._remembered, *self._told] if self._is_away else lost
            remembered = remembered.also(again, now_ms, least_ms=round(self._grace_s * 1000))
        over = remembered.over(now_ms)
        return remembered.without([*over, *await self._store.given_back(remembered.absent_from(told))])

    def _changed(self, before: Leases) -> None:
        wanted, self._wants = self._wants, {data: self._leases.wants(data, self._now_ms) for data in DataKind}
        taken = self._leases.newly_taken(before)
        if taken or self._wants != wanted:
            self._on_change(taken)

    async def _settled(self, leases: Leases, now_ms: int) -> Leases:
        """Leases without those that are over. Renewals do not come to notice by themselves, so Redis is asked about each."""
        doubtful = leases.expired(now_ms)
        return leases.replaced(doubtful, await self._store.settle(doubtful)) if doubtful else leases

    async def _until_next_look(self, took_s: float) -> None:
        pause_s = took_s * (1 / LOOK_SHARE_MAX - 1)
        await self._clock.sleep(min(pause_s, PAUSE_S_MAX))
        await unless(self._hurry, self._clock.sleep(POLL_S - pause_s))

    def _redis_is_away(self, error: BusUnavailable) -> None:
        if not self._is_away:
            self._is_away = True
            _log.warning("feed.leases_not_read", error=str(error))

    def _redis_is_back(self) -> None:
        self._is_away = False
        _log.info("feed.leases_read_again", leases=len(self._leases))

    async def _work(self, consumer: str, stop: asyncio.Event) -> None:
        group = GroupConsumer(self._bus, FEED_REQUESTS, consumer=consumer, handler=self._handle, clock=self._clock)
        await group.run(stop)

    async def _handle(self, entry: Entry) -> None:
        match entry.message:
            case Subscribe() as asked:
                await self._take(asked, entry.id)
            case Unsubscribe() as asked:
                await self._store.give_back(asked, entry.id)
        self._hurry.set()

    async def _take(self, asked: Subscribe, request_id: str) -> None:
        if asked.instrument.security_type == "BAG":
            text = "a combo has no market data of its own: take leases on its legs"
            self._refuse(asked, SubscriptionOutcome.REFUSED, text)
            return
        match await self._store.take(asked, request_id):
            case Taken.FULL:
                text = f"there are {self._leases_max:,} leases already: wait until some have ended, or give some back"
                self._refuse(asked, SubscriptionOutcome.OVER_CAPACITY, text)
            case Taken.OVER | Taken.OUTDATED as why:
                _log.info("feed.request_passed_over", id=request_id, consumer=asked.consumer, why=why.name.lower())

    def _refuse(self, asked: Subscribe, outcome: SubscriptionOutcome, text: str) -> None:
        symbol = quote_symbol(asked.instrument)
        _log.warning("feed.lease_refused", symbol=symbol, data=asked.data, consumer=asked.consumer, text=text)
        self._on_refused(symbol, asked.data, outcome, text)
