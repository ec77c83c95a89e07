"""The desk of subscriptions: what is planned is asked for, what IBKR says of it is heeded, and every line is looked after."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

import structlog

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.settings import FeedSettings
from ibstream.runtime.supervise import unless
from ibstream_feed.asking import Asker
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
from ibstream_feed.verdicts import Then, judge
from ibstream_feed.watch import Watch

REVIEW_S = 0.5
"""How often every line is looked at."""

COUNT_S = 1.0
"""How often, at most, the rows that are stale or delayed are counted for the metrics."""

FARM_DOWN_S_MAX = 180.0
"""A farm that IBKR has not called connected for so long is looked at no more: its lines are asked for again like any others."""

_SAMPLED_TEXT = "no line is free: quotes of it are sampled, in turn with others"
_LEFT_OUT_TEXT = "no line is free, and none is kept for snapshots (feed.sampling_lines)"

_log = structlog.get_logger(__name__)


class SubscriptionDesk:
    """Knows how every line of the shards that this process writes stands, and has done about it what can be done.

    Everything that changes what is wanted, or what can be had, makes a new plan at once; the asker then carries it out.
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
        self._count_at_s = 0.0
        self._looked_up: set[str] = set()
        self._leaving: set[str] = set()
        self._farms_down: dict[str, float] = {}
        """Farms that are not connected, and since when."""
        self.planner = Planner(listed, settings=settings, can_be_had=self._register.can_be_had, on_plan=self._on_plan)
        """What is wanted, and of that what may be had."""
        self.asker = Asker(
            port,
            book,
            contracts,
            self._register,
            plan=lambda: self.planner.plan,
            on_refused=self._on_asking_refused,
            on_demoted=self._demote,
            clock=clock,
        )
        """Who carries that out."""
        self.sampler = Sampler(
            port,
            book,
            contracts,
            at_once=settings.sampling_lines,
            is_allowed=lambda: self.asker.is_up and self.asker.is_settled,
            on_taken=self._on_sample_taken,
            on_refused=self._on_sample_refused,
            clock=clock,
        )
        """Who goes through what has no line."""

    # The plan.

    def _on_plan(self, before: Plan, plan: Plan) -> None:
        self._welcome_back(plan.symbols)
        self._show_sampled(plan)
        self.sampler.take(plan.sampled, self.planner.sampling_lines)
        self._see_off(before.symbols - plan.symbols)
        self.asker.unsettle()

    def _welcome_back(self, symbols: Collection[str]) -> None:
        """Symbols that were about to be forgotten, and are wanted again."""
        for symbol in self._leaving.intersection(symbols):
            self._leaving.discard(symbol)
            self._register.unheard(symbol)

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

    def _demote(self, line: Line) -> None:
        """It has lost its line: from now on it is sampled, or not kept up at all."""
        if line.symbol in self.planner.plan.in_turn:
            line.is_sampled = True
            self._book.show(line)
            self._publish({line.shard})
        else:
            self._mark_stale([line])

    # The session.

    async def resubscribe(self) -> None:
        """Ask for everything: a new session, or one whose subscriptions IBKR has lost (1101). Returns when all is asked for."""
        self._register.clear()
        self._register.forgive()
        self.planner.budget.begin()
        self._looked_up.clear()
        self._farms_down.clear()
        await self._contracts.load(self._port.account)
        self.asker.begin()
        self.planner.renew()
        await self.asker.settle()
        _log.info("feed.subscribed", lines=len(self._register), sampled=len(self.planner.plan.sampled))

    def recheck(self) -> None:
        """The link is back, and IBKR says that subscriptions were kept (1102): those that stay silent were not."""
        self.asker.is_up = True
        self._register.recheck([one.symbol for one in self._register], self._clock.monotonic())
        self.asker.unsettle()

    def session_lost(self) -> None:
        """There is nobody to ask any more."""
        self.link_lost()
        self._register.clear()

    def link_lost(self) -> None:
        """Nothing can be asked for until the link is back."""
        self.asker.is_up = False

    # Shards that go.

    async def let_go(self, shard: int) -> None:
        """Give back every line of a shard, which another process takes."""
        self.planner.disown([shard])
        for line in [line for line in self._book if line.shard == shard]:
            if line.symbol in self._register:
                await self.asker.give_back(line)

    def drop(self, shards: Collection[int]) -> None:
        """These shards are another's already: their lines are given back as soon as that can be done."""
        for line in [line for line in self._book if line.shard in shards]:
            if line.symbol in self._register:
                self.asker.end(line)
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
                self.asker.end(line)
                self._mark_stale([line])
                self._shrink(len(self._register) + self.sampler.in_hand, why)

    def on_farm(self, farm: str, is_up: bool) -> None:
        """A data farm came or went: quotes that come through it stand still, or have to prove that they flow again."""
        if is_up and farm not in self._farms_down:
            return
        lines = [line for line in self._book if self._depends(line.symbol, farm)]
        if is_up:
            del self._farms_down[farm]
            self._register.recheck([line.symbol for line in lines], self._clock.monotonic())
        else:
            self._farms_down[farm] = self._clock.monotonic()
            self._mark_stale(lines)
        _log.warning("feed.farm", farm=farm, connected=is_up, lines=len(lines))

    def _depends(self, symbol: str, farm: str) -> bool:
        contract = self._contracts.get(symbol)
        return contract is None or depends(farm, contract.instrument)

    def _is_cut_off(self, symbol: str) -> bool:
        """Whether its quotes may come through a farm that is down: then there is no point in asking for them."""
        long_ago = self._clock.monotonic() - FARM_DOWN_S_MAX
        return any(since > long_ago and self._depends(symbol, farm) for farm, since in self._farms_down.items())

    def _doubt(self, line: Line, why: Refusal, *, is_final: bool) -> None:
        self._register.objected(line.symbol, why, self._clock.monotonic(), is_final=is_final)
        if not is_final:
            self._outcomes.tell(line.symbol, why.outcome, why.text, why.code)
        if why.outcome is SubscriptionOutcome.COMPETING_SESSION:
            self._mark_stale([line])

    def _give_up(self, symbol: str, why: Refusal, *, for_s: float | None = None) -> None:
        """It is left alone. A request that was refused is cancelled all the same: ticks that still come count for nothing."""
        line = self._book.get(symbol)
        if line is not None:
            if symbol in self._register:
                self.asker.end(line)
            self._mark_stale([line])
        self._register.leave_alone(symbol, why, self._clock.monotonic(), for_s=for_s)
        self._outcomes.tell(symbol, why.outcome, why.text, why.code)
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
        self.asker.end(line)
        self._mark_stale([line])

    def _on_asking_refused(self, symbol: str, why: Refusal, for_s: float | None) -> None:
        self._give_up(symbol, why, for_s=for_s)

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

    # Looking after every line.

    async def review(self, stop: asyncio.Event) -> None:
        """Look at every line, again and again."""
        while not stop.is_set():
            await unless(stop, self._clock.sleep(REVIEW_S))
            self._look_at_lines()
            await self._see_out()

    def _look_at_lines(self) -> None:
        now_s = self._clock.monotonic()
        if self.asker.is_up:
            for line, subscription, do in self._watch.look(self.planner.plan.lined, self._is_cut_off):
                self._act(line, subscription, do)
        self._mark_stale(self._watch.old_samples(self.sampler.round_s))
        self._mark_stale(self._watch.orphans())
        has_grown = self.planner.budget.review(now_s)
        if self._register.released(now_s) or has_grown:
            self.planner.renew()
        metrics.SUBSCRIPTIONS.set(len(self._register))
        metrics.QUARANTINED.set(self._register.left_alone)
        self._count_rows(now_s)

    def _count_rows(self, now_s: float) -> None:
        if now_s >= self._count_at_s:
            self._count_at_s = now_s + COUNT_S
            figures = self._watch.figures()
            metrics.QUOTES_STALE.set(figures["stale"])
            metrics.QUOTES_DELAYED.set(figures["delayed"])

    def _act(self, line: Line, subscription: Subscription, do: Do) -> None:
        match do:
            case Do.TELL:
                assert subscription.told is not None  # noqa: S101 - `review` has just set it
                self._outcomes.tell(line.symbol, subscription.told)
            case Do.ASK_AGAIN:
                self.asker.again(line.symbol)
                _log.info("feed.asked_again", symbol=line.symbol, tries=subscription.tries)
            case Do.MARK_STALE:
                self._mark_stale([line])
                _log.warning("feed.symbol_silent", symbol=line.symbol)
            case Do.GIVE_UP:
                assert subscription.doubt is not None  # noqa: S101 - so says `review`
                self._give_up(line.symbol, subscription.doubt)

    async def _see_out(self) -> None:
        """Symbols that have given their lines back, and that nobody wants again meanwhile, are forgotten."""
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
