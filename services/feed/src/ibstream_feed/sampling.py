"""Snapshots of what has no line of its own, in turn, over and over: none of the list stays without a price."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from ibstream.ibkr import GatewayUnavailable, RequestFailed
from ibstream.ibkr.contracts import InstrumentError
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.supervise import unless
from ibstream_feed.contracts import Contracts
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.plan import Wanted
from ibstream_feed.domain.register import Refusal
from ibstream_feed.domain.rotation import Rotation
from ibstream_feed.ports import MarketDataPort
from ibstream_feed.verdicts import Then, judge, refusal_of

POLL_S = 0.05
"""How often it is looked whether a snapshot may be asked for."""

CLOSED_AGE_S = 600.0
"""While its exchange is closed, a symbol is sampled this often: little changes then."""

LATER_S = 60.0
"""How long a symbol is passed over whose snapshot failed for a reason that may pass."""

_log = structlog.get_logger(__name__)

OnRefused = Callable[[Wanted, Refusal, bool], None]
"""Called with a symbol that cannot be sampled, why, and whether that stands for a long time."""


class Sampler:
    """Goes through the symbols that it is given, several at a time, as fast as the message limit allows."""

    def __init__(
        self,
        port: MarketDataPort,
        book: QuoteBook,
        contracts: Contracts,
        *,
        at_once: int,
        is_allowed: Callable[[], bool],
        on_taken: Callable[[Wanted], None],
        on_refused: OnRefused,
        clock: Clock,
    ) -> None:
        """`is_allowed` says whether there is a session to ask on, and every line that is wanted has been asked for."""
        self._port = port
        self._book = book
        self._contracts = contracts
        self._is_allowed = is_allowed
        self._most = at_once
        self._at_once = at_once
        self._on_taken = on_taken
        self._on_refused = on_refused
        self._clock = clock
        self._wanted: dict[str, Wanted] = {}
        self._rotation = Rotation()
        self._is_new = asyncio.Event()
        """Set, and another put in its place, when other symbols are to be sampled."""
        self._not_before: dict[str, float] = {}
        self._looked_up: set[str] = set()
        """Whose contract was looked up anew, and has not proved good yet."""
        self.messages_left = 0
        """Of the message limit, so many are left free: whoever wants a line must not wait behind snapshots."""

    @property
    def round_s(self) -> float:
        """How long the last round through all symbols took, in seconds; 0 before there was one."""
        return self._rotation.round_s

    @property
    def in_hand(self) -> int:
        """How many snapshots are under way; each takes a line."""
        return self._rotation.in_hand

    def take(self, sampled: Sequence[Wanted], at_once: int) -> None:
        """Sample these from now on, so many of them at a time."""
        self._wanted = {wanted.symbol: wanted for wanted in sampled}
        self._rotation.take(self._wanted)
        self._at_once = min(at_once, self._most)
        self._not_before = {symbol: at for symbol, at in self._not_before.items() if symbol in self._wanted}
        self._is_new.set()
        self._is_new = asyncio.Event()

    async def work(self, stop: asyncio.Event) -> None:
        """Sample until the stop."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._most):
                group.create_task(self._sample_each(number, stop))

    async def _sample_each(self, number: int, stop: asyncio.Event) -> None:
        while not stop.is_set():
            changed = self._is_new  # before anything is looked at: what changes from here on wakes this task
            is_at_work = number < self._at_once and bool(self._wanted)
            symbol = self._next() if is_at_work else None
            if symbol is None:
                await unless(stop, self._clock.sleep(POLL_S) if is_at_work else changed.wait())
                continue
            try:
                await unless(stop, self._sample(self._wanted[symbol]))
            finally:
                if self._rotation.done(symbol, self._clock.monotonic()):
                    metrics.SWEEP_SECONDS.set(self._rotation.round_s)

    def _next(self) -> str | None:
        if not self._is_allowed() or self._port.free() <= self.messages_left:
            return None
        return self._rotation.next(self._clock.monotonic(), self._is_due)

    def _is_due(self, symbol: str) -> bool:
        if self._not_before.get(symbol, 0.0) > self._clock.monotonic():
            return False
        line = self._book.get(symbol)
        if line is None or line.is_stale or self._contracts.trades(symbol) is not False:
            return line is not None
        return self._clock.time_ns() - line.time_ns > CLOSED_AGE_S * 1e9

    async def _sample(self, wanted: Wanted) -> None:
        try:
            contract = await self._contracts.qualify(wanted.instrument)
            line = self._book.get(wanted.symbol)
            if line is None or not line.is_sampled:  # it has been given a line meanwhile, or nobody wants it any more
                return
            await self._port.snapshot(line, contract)
        except InstrumentError as error:
            self._refuse(wanted, refusal_of(error), is_final=True)
        except RequestFailed as error:
            self._failed(wanted, error)
        except TimeoutError as error:
            self._not_before[wanted.symbol] = self._clock.monotonic() + LATER_S
            self._unanswered(wanted, error)
        except GatewayUnavailable as error:  # which is no fault of the symbol's: it has its turn in the next session
            self._unanswered(wanted, error)
        else:
            metrics.SNAPSHOTS.labels("taken").inc()
            self._on_taken(wanted)
            self._looked_up.discard(wanted.symbol)

    def _unanswered(self, wanted: Wanted, error: Exception) -> None:
        metrics.SNAPSHOTS.labels("unanswered").inc()
        _log.debug("feed.snapshot_unanswered", symbol=wanted.symbol, error=str(error))

    def _failed(self, wanted: Wanted, error: RequestFailed) -> None:
        """IBKR refused. Where it does not know the contract id that was remembered, the symbol is looked up anew, once."""
        then, why = judge(error.code, error.text)
        if then is Then.LOOK_UP and wanted.symbol not in self._looked_up:
            self._looked_up.add(wanted.symbol)
            self._contracts.distrust(wanted.symbol)
            return
        self._looked_up.discard(wanted.symbol)
        self._refuse(wanted, why, is_final=then in (Then.GIVE_UP, Then.LOOK_UP))

    def _refuse(self, wanted: Wanted, why: Refusal, *, is_final: bool) -> None:
        metrics.SNAPSHOTS.labels("refused").inc()
        self._not_before[wanted.symbol] = self._clock.monotonic() + LATER_S
        self._on_refused(wanted, why, is_final)
