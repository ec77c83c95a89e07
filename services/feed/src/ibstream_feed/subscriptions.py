"""The desk of subscriptions: what the plan says is asked for, and what IBKR says of it is heeded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

import structlog

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.ibkr import GatewayUnavailable, RequestFailed
from ibstream.ibkr.contracts import InstrumentError
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import RecoverableError
from ibstream.runtime.settings import FeedSettings
from ibstream.runtime.supervise import root_cause, unless
from ibstream_feed.contracts import Contracts
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.farms import depends
from ibstream_feed.domain.line import Line
from ibstream_feed.domain.plan import Plan, Wanted
from ibstream_feed.domain.register import Do, Refusal, Register, Subscription
from ibstream_feed.outcomes import Outcomes
from ibstream_feed.planning import Planner
from ibstream_feed.ports import MarketDataPort
from ibstream_feed.sampling import Sampler
from ibstream_feed.verdicts import Then, judge, refusal_of
from ibstream_feed.watch import Watch

LOOKUPS_AT_ONCE = 8
"""Contract look-ups under way together: each waits for an answer, and the next need not."""

REVIEW_S = 0.5
"""How often every line is looked at."""

LATER_S = 60.0
"""How long a symbol is left alone whose look-up got no answer, or failed for a reason that may pass."""

_SAMPLED_TEXT = "no line is free: quotes of it are sampled, in turn with others"
_LEFT_OUT_TEXT = "no line is free, and none is kept for snapshots (feed.sampling_lines)"

_log = structlog.get_logger(__name__)


class SubscriptionDesk:
    """Brings what is asked of IBKR in line with what is wanted, the most wanted first, and keeps it so.

    It has the lines of the shards that this process writes. Everything that changes what is wanted, or what can be had, makes a
    new plan at once; `settle` then gives lines back and asks for others until the plan is carried out.
    """

    def __init__(
        self,
        port: MarketDataPort,
        book: QuoteBook,
        contracts: Contracts,
        outcomes: Outcomes,
        *,
        settings: FeedSettings,
        listed: Sequence[Instrument],
        publish: Callable[[Collection[int]], None],
        on_gone: Callable[[Collection[str]], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """`publish` sends what is unsent of these shards; `on_gone` forgets symbols that nobody wants any more, and whose last
        rows say that they are stale."""
        self._port = port
        self._book = book
        self._contracts = contracts
        self._outcomes = outcomes
        self._publish = publish
        self._on_gone = on_gone
        self._clock = clock
        self._register = Register(settings.stale_after_s)
        self._watch = Watch(book, self._register, contracts, stale_after_s=settings.stale_after_s, clock=clock)
        self._is_up = False
        self._is_settled = False
        self._asking: set[str] = set()
        self._again: set[str] = set()
        self._looked_up: set[str] = set()
        self._to_end: list[Line] = []
        self._leaving: set[str] = set()
        self._farms_down: set[str] = set()
        self._wake = asyncio.Event()
        self._settling = asyncio.Lock()
        self.planner = Planner(listed, settings=settings, can_be_had=self._register.can_be_had, on_plan=self._on_plan)
        """What is wanted, and of that what may be had."""
        self.sampler = Sampler(
            port,
            book,
            contracts,
            at_once=settings.sampling_lines,
            on_taken=self._on_sample_taken,
            on_refused=self._on_sample_refused,
            clock=clock,
        )
        """Who goes through what has no line."""

    # The plan.

    def _on_plan(self, before: Plan, plan: Plan) -> None:
        self._show_sampled(plan)
        self.sampler.take(plan.sampled, self.planner.sampling_lines)
        self._see_off(before.symbols - plan.symbols)
        self._unsettle()

    def _unsettle(self) -> None:
        """There is something to ask for, or to give back."""
        self._is_settled = False
        self._wake.set()

    def _show_sampled(self, plan: Plan) -> None:
        """Lines of what takes turns, and what is told of it."""
        for one in plan.sampled:
            if one.symbol not in self._register:
                self._book.open(one.symbol).is_sampled = True
            self._tell_sampled(one)
        for one in plan.left_out:
            why = self._register.why_left_alone(one.symbol)
            if why is None:
                why = Refusal(SubscriptionOutcome.OVER_CAPACITY, _LEFT_OUT_TEXT, 0)
            self._outcomes.tell(one.symbol, why.outcome, why.text, why.code)

    def _tell_sampled(self, one: Wanted) -> None:
        outcome = SubscriptionOutcome.OVER_CAPACITY if one.is_leased else SubscriptionOutcome.SAMPLED
        self._outcomes.tell(one.symbol, outcome, _SAMPLED_TEXT)

    def _see_off(self, symbols: Iterable[str]) -> None:
        """Nobody wants these any more: the last row says so, and then they are forgotten."""
        owned = [symbol for symbol in symbols if self.planner.owns(symbol)]
        self._leaving.update(owned)
        self._mark_stale(line for symbol in owned if (line := self._book.get(symbol)) is not None)
        for symbol in owned:
            self._outcomes.tell(symbol, SubscriptionOutcome.ENDED)

    # The session.

    async def resubscribe(self) -> None:
        """Ask for everything: a new session, or one whose subscriptions IBKR has lost (1101). Returns when all is asked for."""
        self._register.clear()
        self._register.forgive()
        self.planner.budget.begin()
        self._again.clear()
        self._to_end.clear()
        self._looked_up.clear()
        self._farms_down.clear()
        await self._contracts.load(self._port.account)
        self._is_up = True
        self.planner.renew()
        await self.settle()
        _log.info("feed.subscribed", lines=len(self._register), sampled=len(self.planner.plan.sampled))

    def recheck(self) -> None:
        """The link is back, and IBKR says that subscriptions were kept (1102): those that stay silent were not."""
        self._is_up = True
        self._register.recheck([one.symbol for one in self._register], self._clock.monotonic())
        self._unsettle()

    def session_lost(self) -> None:
        """There is nobody to ask any more."""
        self.link_lost()
        self._register.clear()

    def link_lost(self) -> None:
        """Nothing can be asked for until the link is back."""
        self._is_up = False
        self.sampler.is_allowed = False

    # Shards that go.

    async def let_go(self, shard: int) -> None:
        """Give back every line of a shard, which another process takes."""
        self.planner.disown([shard])
        for line in [line for line in self._book if line.shard == shard]:
            if line.symbol in self._register:
                await self._end(line)

    def drop(self, shards: Collection[int]) -> None:
        """These shards are another's already: their lines are given back as soon as that can be done."""
        for line in [line for line in self._book if line.shard in shards]:
            if line.symbol in self._register:
                self._register.ended(line.symbol)
                self._to_end.append(line)
        self.planner.disown(shards)

    # What IBKR says.

    def on_code(self, line: Line, code: int, text: str) -> None:
        """IBKR said something about a line."""
        if line.symbol not in self._register:
            return
        then, why = judge(code, text)
        match then:
            case Then.IGNORE:
                return
            case Then.DOUBT | Then.DOUBT_FOR_LONG:
                self._doubt(line, why, is_final=then is Then.DOUBT_FOR_LONG)
            case Then.GIVE_UP:
                self._give_up(line.symbol, why)
            case Then.LOOK_UP:
                self._look_up_again(line, why)
            case Then.SHRINK:
                self._register.ended(line.symbol)
                self._mark_stale([line])
                self._shrink(len(self._register) + self.sampler.in_hand, why)

    def on_farm(self, farm: str, is_up: bool) -> None:
        """A data farm came or went: quotes that come through it stand still, or have to prove that they flow again."""
        if is_up and farm not in self._farms_down:
            return
        lines = [line for line in self._book if self._depends(line, farm)]
        if is_up:
            self._farms_down.discard(farm)
            self._register.recheck([line.symbol for line in lines], self._clock.monotonic())
        else:
            self._farms_down.add(farm)
            self._mark_stale(lines)
        _log.warning("feed.farm", farm=farm, connected=is_up, lines=len(lines))

    def _depends(self, line: Line, farm: str) -> bool:
        contract = self._contracts.get(line.symbol)
        return contract is None or depends(farm, contract.instrument)

    def _doubt(self, line: Line, why: Refusal, *, is_final: bool) -> None:
        self._register.objected(line.symbol, why, self._clock.monotonic(), is_final=is_final)
        if not is_final:
            self._outcomes.tell(line.symbol, why.outcome, why.text, why.code)
        if why.outcome is SubscriptionOutcome.COMPETING_SESSION:
            self._mark_stale([line])

    def _give_up(self, symbol: str, why: Refusal, *, for_s: float | None = None) -> None:
        self._register.leave_alone(symbol, why, self._clock.monotonic(), for_s=for_s)
        self._outcomes.tell(symbol, why.outcome, why.text, why.code)
        line = self._book.get(symbol)
        if line is not None:
            self._mark_stale([line])
        self.planner.renew()

    def _shrink(self, in_use: int, why: Refusal) -> None:
        """IBKR gives no more lines than are in use: what is wanted least does without, and nothing is asked for in vain."""
        self.planner.budget.refused(in_use, self._clock.monotonic())
        _log.warning("feed.lines_refused", lines=self.planner.budget.lines, code=why.code, text=why.text)
        self.planner.renew()

    def _look_up_again(self, line: Line, why: Refusal) -> None:
        """IBKR does not know the contract id that was remembered: once in a session it is looked up anew."""
        if line.symbol in self._looked_up:
            self._give_up(line.symbol, why)
            return
        self._looked_up.add(line.symbol)
        self._contracts.distrust(line.symbol)
        self._register.ended(line.symbol)
        self._mark_stale([line])
        self._unsettle()

    def _on_sample_taken(self, wanted: Wanted) -> None:
        if wanted.symbol in self.planner.plan.in_turn:
            self._tell_sampled(wanted)

    def _on_sample_refused(self, wanted: Wanted, why: Refusal, is_final: bool) -> None:
        if is_final:
            self._give_up(wanted.symbol, why)
        elif why.outcome is SubscriptionOutcome.OVER_CAPACITY:
            self._shrink(len(self._register) + self.sampler.in_hand - 1, why)
        else:
            self._outcomes.tell(wanted.symbol, why.outcome, why.text, why.code)

    # Carrying the plan out.

    async def work(self, stop: asyncio.Event) -> None:
        """Look at every line, again and again, and settle what has changed."""
        while not stop.is_set():
            await unless(stop, unless(self._wake, self._clock.sleep(REVIEW_S)))
            self._wake.clear()
            self._review()
            await self._see_out()
            if not self._is_up or self._is_settled:
                continue
            try:
                await unless(stop, self.settle())
            except RecoverableError as error:
                _log.debug("feed.not_settled", error=str(error))  # the session is over, or about to be

    async def settle(self) -> None:
        """Give back what the plan has no line for, and ask for what it has one for. Raises `GatewayUnavailable`."""
        async with self._settling:
            self._is_settled = True
            self.sampler.is_allowed = False
            try:
                await self._carry_out()
            except BaseException:
                self._is_settled = False
                raise
            self.sampler.is_allowed = self._is_up
            metrics.SUBSCRIPTIONS.set(len(self._register))

    async def _carry_out(self) -> None:
        await self._end_surplus()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(LOOKUPS_AT_ONCE):
                    group.create_task(self._ask_each())
        except BaseExceptionGroup as errors:
            raise root_cause(errors) from errors

    async def _end_surplus(self) -> None:
        while self._to_end:
            await self._port.unsubscribe(self._to_end.pop())
        for subscription in self._register:
            line = self._book.get(subscription.symbol)
            if subscription.symbol not in self.planner.plan.lined and line is not None:
                await self._end(line)
                self._demote(line)

    def _demote(self, line: Line) -> None:
        """It has lost its line: from now on it is sampled, or not kept up at all."""
        if line.symbol in self.planner.plan.in_turn:
            line.is_sampled = True
            self._book.show(line)
            self._publish({line.shard})
        else:
            self._mark_stale([line])

    async def _end(self, line: Line) -> None:
        self._register.ended(line.symbol)
        try:
            await self._port.unsubscribe(line)
        except GatewayUnavailable:  # and with the session, the subscription
            return

    async def _ask_each(self) -> None:
        while (wanted := self._next()) is not None:
            self._asking.add(wanted.symbol)
            try:
                await self._ask(wanted)
            finally:
                self._asking.discard(wanted.symbol)

    def _next(self) -> Wanted | None:
        """The most wanted symbol that has not been asked for, or has to be again; None where there is none, or no link."""
        return next(filter(self._is_due, self.planner.plan.streamed), None) if self._is_up else None

    def _is_due(self, wanted: Wanted) -> bool:
        symbol = wanted.symbol
        if symbol in self._asking or (symbol in self._register and symbol not in self._again):
            return False
        line = self._book.get(symbol)
        if line is None or not line.is_gathering:
            return True
        self._is_settled = False  # its last snapshot is still on its way: a moment later
        return False

    async def _ask(self, wanted: Wanted) -> None:
        symbol = wanted.symbol
        try:
            contract = await self._contracts.qualify(wanted.instrument)
            if len(self._register) + len(self._asking) > len(self.planner.plan.lined):
                await self._end_surplus()  # the plan has changed since: first give back, then ask
            if symbol not in self.planner.plan.lined:  # another is wanted more by now, or somebody else has its shard
                return
            line = self._book.open(symbol)
            if symbol in self._again:
                self._again.discard(symbol)
                metrics.RESUBSCRIBED.inc()
                await self._port.unsubscribe(line)
            line.is_sampled = False
            now_ns = self._clock.time_ns()
            await self._port.subscribe(line, contract)
            if not self.planner.owns(symbol) or self._book.get(symbol) is not line:  # let go while that waited its turn
                await self._port.unsubscribe(line)
                return
            self._register.asked(symbol, self._clock.monotonic(), now_ns)
        except InstrumentError as error:
            await self._contracts.forget(symbol)
            self._give_up(symbol, refusal_of(error))
        except RequestFailed as error:
            then, why = judge(error.code, error.text)
            self._give_up(symbol, why, for_s=None if then is Then.GIVE_UP else LATER_S)
        except TimeoutError as error:
            if not len(self._register):  # not one of them: it is the Gateway that does not answer yet, not the symbol
                raise GatewayUnavailable(f"no look-up is answered: {error}") from error
            why = Refusal(SubscriptionOutcome.REFUSED, str(error), 0)
            self._give_up(symbol, why, for_s=LATER_S)

    # Looking at every line.

    def _review(self) -> None:
        now_s = self._clock.monotonic()
        if self._is_up:
            for line, subscription, do in self._watch.look(self.planner.plan.lined):
                self._act(line, subscription, do)
        self._mark_stale(self._watch.old_samples(self.sampler.round_s))
        has_grown = self.planner.budget.review(now_s)
        if self._register.released(now_s) or has_grown:
            self.planner.renew()
        metrics.SUBSCRIPTIONS.set(len(self._register))
        metrics.QUARANTINED.set(self._register.left_alone)

    def _act(self, line: Line, subscription: Subscription, do: Do) -> None:
        match do:
            case Do.TELL:
                assert subscription.told is not None  # noqa: S101 - `review` has just set it
                self._outcomes.tell(line.symbol, subscription.told)
            case Do.ASK_AGAIN:
                self._again.add(line.symbol)
                self._unsettle()
                _log.info("feed.asked_again", symbol=line.symbol, tries=subscription.tries)
            case Do.MARK_STALE:
                self._mark_stale([line])
                _log.warning("feed.symbol_silent", symbol=line.symbol)
            case Do.GIVE_UP:
                assert subscription.doubt is not None  # noqa: S101 - so says `review`
                self._to_end.append(line)
                self._give_up(line.symbol, subscription.doubt)

    async def _see_out(self) -> None:
        """Symbols that have given their lines back, and that nobody wants again meanwhile, are forgotten."""
        self._leaving -= self.planner.plan.symbols
        gone = {symbol for symbol in self._leaving if symbol not in self._register}
        if gone:
            self._leaving -= gone
            await self._on_gone(gone)

    def _mark_stale(self, lines: Iterable[Line]) -> None:
        self._publish(self._book.mark_stale(lines, self._clock.time_ns()))

    def details(self) -> dict[str, int | float | str]:
        """For the heartbeat."""
        plan = self.planner.plan
        return {
            "subscriptions": len(self._register),
            "lines": self.planner.budget.lines,
            "wanted": len(plan.symbols),
            "sampled": len(plan.sampled),
            "sweep_s": round(self.sampler.round_s, 1),
            **self._watch.figures(),
            "left_alone": self._register.left_alone,
            "farms_down": ", ".join(sorted(self._farms_down)),
        }
