"""Carrying the plan out: lines are given back, then others asked for, the most wanted first, within the message limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from ibstream.ibkr import GatewayUnavailable, RequestFailed
from ibstream.ibkr.contracts import InstrumentError
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import RecoverableError
from ibstream.runtime.supervise import root_cause, unless
from ibstream_feed.contracts import Contracts
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.line import Line
from ibstream_feed.domain.plan import Plan, Wanted
from ibstream_feed.domain.register import Refusal, Register
from ibstream_feed.ports import MarketDataPort, Qualified
from ibstream_feed.verdicts import Then, judge, no_answer, refusal_of

LOOKUPS_AT_ONCE = 8
"""Contract look-ups under way together: each waits for an answer, and the next need not."""

RETRY_S = 0.5
"""After something went wrong, or while a snapshot is on its way of a symbol that is to have a line."""

LATER_S = 60.0
"""How long a symbol is left alone whose look-up got no answer, or failed for a reason that may pass."""

_log = structlog.get_logger(__name__)

OnRefused = Callable[[str, Refusal, float | None], None]
"""Called with a symbol that cannot be had, why, and for how many seconds it is to be left alone; None: as long as is usual."""


class Asker:
    """Brings the lines that are asked for in line with the plan, and keeps it so while there is a session."""

    def __init__(
        self,
        port: MarketDataPort,
        book: QuoteBook,
        contracts: Contracts,
        register: Register,
        *,
        plan: Callable[[], Plan],
        on_refused: OnRefused,
        on_demoted: Callable[[Line], None],
        clock: Clock,
    ) -> None:
        """`plan` is the one in force; `on_demoted` hears of each line that was given back."""
        self._port = port
        self._book = book
        self._contracts = contracts
        self._register = register
        self._plan = plan
        self._on_refused = on_refused
        self._on_demoted = on_demoted
        self._clock = clock
        self._asking: set[str] = set()
        self._again: set[str] = set()
        self._to_end: list[Line] = []
        self._is_unsettled = asyncio.Event()
        self._is_new = asyncio.Event()
        """Set, and another put in its place, when there may be something to do for those who wait for the last look-ups."""
        self._settling = asyncio.Lock()
        self.is_up = False
        """Whether there is anybody to ask."""

    @property
    def is_settled(self) -> bool:
        """Whether everything that is planned has been asked for."""
        return not self._is_unsettled.is_set() and not self._settling.locked()

    def begin(self) -> None:
        """A new session: nothing of the one before is left."""
        self._again.clear()
        self._to_end.clear()
        self.is_up = True

    def unsettle(self) -> None:
        """There is something to ask for, or to give back."""
        self._is_unsettled.set()
        self._wake()

    def again(self, symbol: str) -> None:
        """Ask for a line once more: what it had is given back first."""
        self._again.add(symbol)
        self.unsettle()

    def end(self, line: Line) -> None:
        """Give a line back, as soon as that can be done."""
        self._register.ended(line.symbol)
        self._again.discard(line.symbol)
        self._to_end.append(line)
        self.unsettle()

    async def work(self, stop: asyncio.Event) -> None:
        """Settle what is unsettled, until the stop."""
        while not stop.is_set():
            await unless(stop, self._is_unsettled.wait())
            if stop.is_set():
                return
            if self.is_up:
                try:
                    await unless(stop, self.settle())
                except RecoverableError as error:
                    _log.debug("feed.not_settled", error=str(error))  # the session is over, or about to be
            if self._is_unsettled.is_set():
                await unless(stop, self._clock.sleep(RETRY_S))

    async def settle(self) -> None:
        """Give back what the plan has no line for, and ask for what it has one for. Raises `GatewayUnavailable`."""
        async with self._settling:
            self._is_unsettled.clear()
            try:
                await self._end_surplus()
                await self._ask_all()
            except BaseException:
                self.unsettle()
                raise
            metrics.SUBSCRIPTIONS.set(len(self._register))

    async def give_back(self, line: Line) -> None:
        """Give a line back now."""
        self._register.ended(line.symbol)
        try:
            await self._port.unsubscribe(line)
        except GatewayUnavailable:  # and with the session, the subscription
            return

    async def _end_surplus(self) -> None:
        while self._to_end and self.is_up:
            await self._port.unsubscribe(self._to_end.pop())
        for subscription in self._register if self.is_up else ():
            line = self._book.get(subscription.symbol)
            if subscription.symbol not in self._plan().lined and line is not None:
                await self.give_back(line)
                self._on_demoted(line)

    async def _ask_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(LOOKUPS_AT_ONCE):
                    group.create_task(self._ask_each())
        except BaseExceptionGroup as errors:
            raise root_cause(errors) from errors

    async def _ask_each(self) -> None:
        """Until there is nothing to ask for, and nobody waits for an answer: one that does not come holds up nothing else."""
        while True:
            wanted = self._next()
            if wanted is not None:
                await self._ask_alone(wanted)
            elif self._asking:
                await unless(self._is_new, self._clock.sleep(RETRY_S))
                await self._end_surplus()
            else:
                return

    async def _ask_alone(self, wanted: Wanted) -> None:
        self._asking.add(wanted.symbol)
        try:
            await self._ask(wanted)
        finally:
            self._asking.discard(wanted.symbol)
            self._wake()

    def _wake(self) -> None:
        self._is_new.set()
        self._is_new = asyncio.Event()

    def _next(self) -> Wanted | None:
        """The most wanted symbol that has not been asked for, or has to be again; None where there is none, or no link."""
        return next(filter(self._is_due, self._plan().streamed), None) if self.is_up else None

    def _is_due(self, wanted: Wanted) -> bool:
        symbol = wanted.symbol
        if symbol in self._asking or (symbol in self._register and symbol not in self._again):
            return False
        line = self._book.get(symbol)
        if line is None or not line.is_gathering:
            return True
        self._is_unsettled.set()  # its last snapshot is still on its way: a moment later
        return False

    async def _ask(self, wanted: Wanted) -> None:
        symbol = wanted.symbol
        try:
            contract = await self._contracts.qualify(wanted.instrument)
            if len(self._register) + len(self._asking) > len(self._plan().lined):
                await self._end_surplus()  # the plan has changed since: first give back, then ask
            if symbol in self._plan().lined:  # else another is wanted more by now, or somebody else has its shard
                await self._subscribe(self._book.open(symbol), contract)
        except InstrumentError as error:
            await self._contracts.forget(symbol)
            self._on_refused(symbol, refusal_of(error), None)
        except RequestFailed as error:
            then, why = judge(error.code, error.text)
            self._on_refused(symbol, why, None if then is Then.GIVE_UP else LATER_S)
        except TimeoutError as error:
            if not len(self._register):  # not one of them: it is the Gateway that does not answer yet, not the symbol
                raise GatewayUnavailable(f"no look-up is answered: {error}") from error
            self._on_refused(symbol, no_answer(error), LATER_S)

    async def _subscribe(self, line: Line, contract: Qualified) -> None:
        if line.symbol in self._again:
            await self._give_back_to_ask_again(line)
        asked_ns = self._clock.time_ns()
        await self._port.subscribe(line, contract)
        if line.symbol not in self._plan().lined or self._book.get(line.symbol) is not line:
            await self._port.unsubscribe(line)  # let go while that waited its turn
            return
        line.is_sampled = False
        self._register.asked(line.symbol, self._clock.monotonic(), asked_ns)

    async def _give_back_to_ask_again(self, line: Line) -> None:
        """Where this is cut short, nobody knows whether the line stands: it counts as one that was never asked for."""
        self._again.discard(line.symbol)
        metrics.RESUBSCRIBED.inc()
        self._register.reasked(line.symbol)
        await self._port.unsubscribe(line)
