"""Ticks, five-second bars and books on request: who has a slot is asked for, and what comes is written.

Two loops that never wait for each other: one asks IBKR for what is wanted and gives back what is not, the other writes to Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from ibstream.bus import Bus
from ibstream.contracts.feed import DataKind, SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.ibkr import GatewayUnavailable, RequestFailed
from ibstream.ibkr.contracts import InstrumentError
from ibstream.runtime.clock import Clock
from ibstream.runtime.settings import FeedSettings
from ibstream.runtime.supervise import unless
from ibstream_feed.domain.budget import LineBudget
from ibstream_feed.domain.register import Refusal
from ibstream_feed.domain.streams import STREAM_KINDS, Fate, Grants, Key, Pace, Setbacks, Wish, grant
from ibstream_feed.outlets import Outlet
from ibstream_feed.ports import Item, MarketDataPort, Qualified
from ibstream_feed.stream_verdicts import judge
from ibstream_feed.stream_writing import StreamWriter

SETTLED_S = 3.0
"""A stream that IBKR has not objected to for so long is active: where nothing is traded, nothing comes."""

LOOK_S = 1.0
"""So often it is looked at what is due."""

_log = structlog.get_logger(__name__)

OutcomeTold = Callable[[str, DataKind, SubscriptionOutcome, str, int], None]
"""Called with symbol, kind, what became of the stream, IBKR's text or ours, and IBKR's code or 0."""

Qualify = Callable[[Instrument], Awaitable[Qualified]]


class Want(Protocol):
    """What somebody holds a lease on."""

    @property
    def symbol(self) -> str:
        """As quotes call it."""
        ...

    @property
    def instrument(self) -> Instrument:
        """What it is the symbol of."""
        ...

    @property
    def data(self) -> DataKind:
        """Which of its data."""
        ...

    @property
    def priority(self) -> int:
        """1 is served first."""
        ...

    @property
    def since_ms(self) -> int:
        """When it was first asked for."""
        ...


@dataclass(eq=False, slots=True)
class _Channel:
    """A stream that is open, or being opened."""

    wish: Wish
    outlet: Outlet
    number: int | None = None
    """The port's; None until the request is sent."""
    asked_s: float = 0.0
    is_active: bool = False
    has_come: bool = False
    """Whether it has brought anything."""
    is_over: bool = False
    """Nothing that still arrives counts; it is closed as soon as that can be done."""
    refusal: tuple[Fate, Refusal] | None = None


class StreamDesk:
    """Keeps open what is wanted, as far as there are slots, and writes what comes to `ticks:`, `bars:` and `depth:<symbol>`.

    `session_ready` is called once a session is made, and whenever its link to IBKR is back; `session_lost` as soon as the session
    or the link is lost. `desire` may be called at any time. `work` runs both loops until it is told to stop.
    """

    def __init__(
        self, bus: Bus, port: MarketDataPort, *, settings: FeedSettings, clock: Clock, outcome: OutcomeTold
    ) -> None:
        self._writer = StreamWriter(bus, clock=clock)
        self._port = port
        self._clock = clock
        self._outcome = outcome
        self._qualify: Qualify = port.qualify
        self._wishes: dict[Key, Wish] = {}
        self._channels: dict[Key, _Channel] = {}
        self._told: dict[Key, tuple[SubscriptionOutcome, str, int]] = {}
        self._budgets = {
            DataKind.TICKS: LineBudget(settings.tick_by_tick_lines),
            DataKind.BARS: LineBudget(settings.market_data_lines),
            DataKind.DEPTH: LineBudget(settings.depth_lines),
        }
        self._pace = Pace()
        self._setbacks = Setbacks()
        self._is_ready = False
        self._changed = asyncio.Event()

    def desire(self, wants: Collection[Want], qualify: Qualify) -> None:
        """From now on these are wanted, and no others; `qualify` finds their contracts. Quotes among them are left out."""
        self._qualify = qualify
        wishes = [
            Wish(want.data, want.symbol, want.instrument, want.priority, want.since_ms)
            for want in wants
            if want.data in STREAM_KINDS
        ]
        before, self._wishes = self._wishes, {wish.key: wish for wish in wishes}
        self._setbacks.keep_only(self._wishes)
        self._writer.keep(self._wishes)
        for wish in (before[key] for key in before.keys() - self._wishes.keys()):
            self._tell(wish, SubscriptionOutcome.ENDED)
            self._told.pop(wish.key, None)
        self._changed.set()

    def limit(self, kind: DataKind, slots: int) -> None:
        """This process may have so many of a kind; of bars, each of which takes a market data line, as many as lines are left."""
        self._budgets[kind].set(slots)
        self._changed.set()

    def wanted(self, kind: DataKind) -> int:
        """How many slots those of a kind would take that are wanted; of bars: market data lines."""
        return sum(wish.slots for wish in self._wishes.values() if wish.kind is kind)

    def open(self, kind: DataKind) -> int:
        """How many streams of a kind are open."""
        channels = [channel for key, channel in self._channels.items() if key[0] is kind]
        return sum(channel.number is not None and not channel.is_over for channel in channels)

    def session_ready(self) -> None:
        """Ask for everything that is wanted, also for what was open before: a loss need not have been heard of (1101 alone)."""
        self.session_lost()
        self._is_ready = True
        self._setbacks.forgive()
        for budget in self._budgets.values():
            budget.begin()
        self._changed.set()

    def session_lost(self) -> None:
        """The session is over, or its link to IBKR is down: what IBKR keeps of the streams nobody knows, so none is kept."""
        self._is_ready = False
        for channel in self._channels.values():
            channel.is_over = True
        self._writer.interrupt([channel.outlet for channel in self._channels.values()])

    async def work(self, stop: asyncio.Event) -> None:
        """Keep open what is wanted and write what comes; with the stop, write what is left."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._manage(stop))
            loops.create_task(self._writer.work(stop))

    # What is open.

    async def _manage(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._changed.clear()
            await unless(stop, self._match())
            await unless(stop, unless(self._changed, self._clock.sleep(LOOK_S)))

    async def _match(self) -> None:
        """Bring what is open in line with what is wanted. Without a session, or its link, nothing can be done."""
        if not self._is_ready:
            return
        now_s = self._clock.monotonic()
        await self._close_broken()
        for budget in self._budgets.values():
            budget.review(now_s)
        grants = self._grants(now_s)
        await self._close_all_but(grants.granted)
        for wish in grants.granted:
            if self._is_ready and wish.key not in self._channels and wish.key in self._wishes:
                await self._ask(wish)
        self._tell_settled()
        for wish in grants.over:
            if self._told.get(wish.key, ("",))[0] is not SubscriptionOutcome.OVER_CAPACITY:
                self._tell(wish, SubscriptionOutcome.OVER_CAPACITY, "no slot is free for it")

    def _grants(self, now_s: float) -> Grants:
        """A stream that was refused leaves its slot to others until it is tried again; so does one that IBKR does not have."""
        possible = [wish for wish in self._wishes.values() if not self._setbacks.hold(wish.key, now_s)]
        for wish in possible:
            if not wish.slots:
                text = f"IBKR has no {wish.kind} of {wish.instrument.security_type}"
                self._tell(wish, SubscriptionOutcome.REFUSED, text)
        slots = {kind: budget.lines for kind, budget in self._budgets.items()}
        return grant([wish for wish in possible if wish.slots], slots)

    async def _close_broken(self) -> None:
        """What IBKR has refused or ended, and what has to be asked for again."""
        for channel in [one for one in self._channels.values() if one.refusal is not None or one.is_over]:
            await self._close(channel)
            if channel.refusal is None:
                continue
            fate, why = channel.refusal
            self._set_back(channel.wish, fate)
            if fate is not Fate.AGAIN or not channel.has_come:  # else the break shows in the stream, and it goes on
                self._tell(channel.wish, why.outcome, why.text, why.code)

    def _set_back(self, wish: Wish, fate: Fate) -> None:
        now_s = self._clock.monotonic()
        self._setbacks.note(wish.key, fate, now_s)
        if fate is Fate.FULL:
            in_use = sum(one.wish.slots for key, one in self._channels.items() if key[0] is wish.kind)
            self._budgets[wish.kind].refused(in_use, now_s)

    async def _close_all_but(self, granted: Sequence[Wish]) -> None:
        kept = {wish.key for wish in granted}
        for channel in [one for key, one in self._channels.items() if key not in kept]:
            await self._close(channel)

    async def _close(self, channel: _Channel) -> None:
        channel.is_over = True
        del self._channels[channel.wish.key]
        self._writer.interrupt([channel.outlet])
        if channel.number is not None:
            await self._port.close_stream(channel.number)

    async def _ask(self, wish: Wish) -> None:
        now_s = self._clock.monotonic()
        if self._pace.wait_s(wish, now_s) > 0:
            return
        channel = _Channel(wish, self._writer.outlet(wish.key))
        self._channels[wish.key] = channel
        try:
            await self._open(channel)
        except GatewayUnavailable as error:
            _log.info("feed.stream_not_asked_for", symbol=wish.symbol, data=wish.kind, reason=str(error))
            self._forget(channel)
            self._set_back(wish, Fate.AGAIN)
        except InstrumentError as error:
            self._fail(channel, SubscriptionOutcome.UNKNOWN_INSTRUMENT, str(error))
        except (RequestFailed, TimeoutError) as error:
            self._fail(channel, SubscriptionOutcome.REFUSED, str(error))
        except BaseException:
            self._forget(channel)
            raise

    async def _open(self, channel: _Channel) -> None:
        wish = channel.wish
        contract = await self._qualify(wish.instrument)
        if channel.is_over:
            return
        self._pace.asked(wish, self._clock.monotonic())
        number = await self._port.open_stream(
            wish.kind, contract, partial(self._on_item, channel), partial(self._on_code, channel)
        )
        channel.number, channel.asked_s = number, self._clock.monotonic()

    def _fail(self, channel: _Channel, outcome: SubscriptionOutcome, text: str) -> None:
        self._forget(channel)
        self._set_back(channel.wish, Fate.REFUSED)
        self._tell(channel.wish, outcome, text)

    def _forget(self, channel: _Channel) -> None:
        channel.is_over = True
        del self._channels[channel.wish.key]

    def _tell_settled(self) -> None:
        now_s = self._clock.monotonic()
        for channel in self._channels.values():
            is_settled = channel.number is not None and now_s >= channel.asked_s + SETTLED_S
            is_sound = not channel.is_over and channel.refusal is None
            if is_settled and is_sound and not channel.is_active:
                self._activate(channel)

    def _activate(self, channel: _Channel) -> None:
        channel.is_active = True
        self._tell(channel.wish, SubscriptionOutcome.ACTIVE)

    def _tell(self, wish: Wish, outcome: SubscriptionOutcome, text: str = "", code: int = 0) -> None:
        """Tell what became of it, unless that is what was told last."""
        is_wanted = wish.key in self._wishes or outcome is SubscriptionOutcome.ENDED
        if is_wanted and self._told.get(wish.key) != (outcome, text, code):
            self._told[wish.key] = (outcome, text, code)
            self._outcome(wish.symbol, wish.kind, outcome, text, code)

    # What comes.

    def _on_item(self, channel: _Channel, item: Item) -> None:
        if channel.is_over:
            return
        if not channel.has_come:
            channel.has_come = True
            self._setbacks.overcome(channel.wish.key)
            self._activate(channel)
        self._writer.put(channel.outlet, item)

    def _on_code(self, channel: _Channel, code: int, text: str) -> None:
        fate, why = judge(code, text)
        if fate is Fate.KEEP or channel.is_over:
            return
        channel.refusal = channel.refusal or (fate, why)
        self._changed.set()
