"""Ticks, five-second bars and books on request: who has a slot is asked for, and what comes is written.

Two loops that never wait for each other: one asks IBKR for what is wanted and gives back what is not, the other writes to Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

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
from ibstream_feed.domain.streams import Fate, Grants, Key, Pace, Setbacks, Want, Wish, grant, share, wished
from ibstream_feed.ports import Item, MarketDataPort, Qualified
from ibstream_feed.stream_channels import Channel, Channels, Qualify
from ibstream_feed.stream_verdicts import judge
from ibstream_feed.stream_writing import StreamWriter

LOOK_S = 1.0
"""So often it is looked at what is due."""

_log = structlog.get_logger(__name__)

OutcomeTold = Callable[[str, DataKind, SubscriptionOutcome, str, int], None]
"""Called with symbol, kind, what became of the stream, IBKR's text or ours, and IBKR's code or 0."""


class StreamDesk:
    """Keeps open what is wanted, as far as there are slots, and writes what comes to `ticks:`, `bars:` and `depth:<symbol>`.

    `session_ready` is called once a session is made, and whenever its link to IBKR is back; `session_lost` as soon as the session
    or the link is lost. `desire` may be called at any time. `work` runs both loops until it is told to stop.

    A stream has one writer, as its symbol's shard has: `let_go` and `lost` end what another process writes from now on.
    """

    def __init__(
        self,
        bus: Bus,
        port: MarketDataPort,
        *,
        settings: FeedSettings,
        holds: Callable[[str], bool],
        epoch_after: Callable[[str], int],
        clock: Clock,
        outcome: OutcomeTold,
    ) -> None:
        """`holds` says whether this process may write what is of a symbol now, `epoch_after` which epoch of it may have been
        an earlier writer's."""
        self._writer = StreamWriter(bus, holds=holds, clock=clock)
        self._epoch_after = epoch_after
        self._clock = clock
        self._outcome = outcome
        self._qualify: Qualify = port.qualify
        self._wishes: dict[Key, Wish] = {}
        self._channels = Channels(port)
        self._told: dict[Key, tuple[SubscriptionOutcome, str, int]] = {}
        self._slots = {
            DataKind.TICKS: settings.tick_by_tick_lines,
            DataKind.BARS: settings.market_data_lines,
            DataKind.DEPTH: settings.depth_lines,
        }
        self._budgets = {kind: LineBudget(slots) for kind, slots in self._slots.items()}
        self._pace = Pace()
        self._setbacks = Setbacks()
        self._is_ready = False
        self._changed = asyncio.Event()

    def desire(self, wants: Collection[Want], qualify: Qualify) -> None:
        """From now on these are wanted, and no others; `qualify` finds their contracts. Quotes among them are left out."""
        self._qualify = qualify
        before, self._wishes = self._wishes, wished(wants)
        self._setbacks.keep_only(self._wishes)
        self._writer.keep(self._wishes)
        for key in before.keys() - self._wishes.keys():
            self._tell(before[key], SubscriptionOutcome.ENDED)
            self._told.pop(key, None)
        self._cut([channel for channel in self._channels if channel.wish.key not in self._wishes])
        self._changed.set()

    def share(self, peers: int) -> None:
        """So many processes share what IBKR gives the user from now on."""
        self._pace.share(peers)
        for kind, budget in self._budgets.items():
            budget.set(share(kind, self._slots[kind], peers))
            budget.begin()
        self._changed.set()

    async def let_go(self, is_going: Callable[[str], bool]) -> None:
        """Another process writes these symbols from now on: return when their streams are closed and the last word stands.

        Nothing of them is to be desired any more. Where it is cancelled, `lost` is to follow.
        """
        going = self._give_up(is_going)
        await asyncio.gather(self._writer.finish(is_going), *(self._channels.close(channel) for channel in going))

    def lost(self, is_lost: Callable[[str], bool]) -> None:
        """Another may write these symbols already: nothing is written of them any more; their streams are closed soon after."""
        self._give_up(is_lost)
        self._writer.drop(is_lost)
        self._changed.set()

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
        self._cut(self._channels)

    async def work(self, stop: asyncio.Event) -> None:
        """Keep open what is wanted and write what comes; with the stop, write what is left."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._manage(stop))
            loops.create_task(self._writer.work(stop))
        self._give_up(lambda _: True)
        await self._writer.finish(lambda _: True)

    def _give_up(self, is_going: Callable[[str], bool]) -> list[Channel]:
        """Want nothing of these symbols any more, and believe nothing that still comes. Returns what is to be closed."""
        self._wishes = {key: wish for key, wish in self._wishes.items() if not is_going(wish.symbol)}
        self._told = {key: told for key, told in self._told.items() if not is_going(key[1])}
        going = [channel for channel in self._channels if is_going(channel.wish.symbol)]
        self._cut(going)
        return going

    def _cut(self, channels: Iterable[Channel]) -> None:
        """What still comes of these does not count, and readers are told at once what is not kept up any more."""
        for channel in channels:
            if not channel.is_over:
                channel.over.set()
                self._writer.interrupt([channel.outlet])

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
        for channel in [one for one in self._channels if one.refusal is not None or one.is_over]:
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
            self._budgets[wish.kind].refused(self._channels.slots(wish.kind), now_s)

    async def _close_all_but(self, granted: Sequence[Wish]) -> None:
        kept = {wish.key for wish in granted}
        for channel in [one for one in self._channels if one.wish.key not in kept]:
            await self._close(channel)

    async def _close(self, channel: Channel) -> None:
        self._cut([channel])
        await self._channels.close(channel)

    async def _ask(self, wish: Wish) -> None:
        if self._pace.wait_s(wish, self._clock.monotonic()) > 0:
            return
        channel = Channel(wish, self._writer.outlet(wish.key, epoch_after=self._epoch_after(wish.symbol)))
        self._channels.add(channel)
        try:
            await self._open(channel)
        except GatewayUnavailable as error:
            _log.info("feed.stream_not_asked_for", symbol=wish.symbol, data=wish.kind, reason=str(error))
            self._channels.forget(channel)
            self._set_back(wish, Fate.AGAIN)
        except InstrumentError as error:
            self._fail(channel, SubscriptionOutcome.UNKNOWN_INSTRUMENT, str(error))
        except (RequestFailed, TimeoutError) as error:
            self._fail(channel, SubscriptionOutcome.REFUSED, str(error))
        except BaseException:
            self._channels.forget(channel)
            raise

    async def _open(self, channel: Channel) -> None:
        async def qualify(instrument: Instrument) -> Qualified:
            contract = await self._qualify(instrument)
            self._pace.asked(channel.wish, self._clock.monotonic())
            return contract

        await self._channels.open(channel, qualify, partial(self._on_item, channel), partial(self._on_code, channel))
        channel.asked_s = self._clock.monotonic()

    def _fail(self, channel: Channel, outcome: SubscriptionOutcome, text: str) -> None:
        self._channels.forget(channel)
        self._set_back(channel.wish, Fate.REFUSED)
        self._tell(channel.wish, outcome, text)

    def _tell_settled(self) -> None:
        now_s = self._clock.monotonic()
        for channel in self._channels:
            if channel.is_settled(now_s) and not channel.is_active:
                self._activate(channel)

    def _activate(self, channel: Channel) -> None:
        channel.is_active = True
        self._tell(channel.wish, SubscriptionOutcome.ACTIVE)

    def _tell(self, wish: Wish, outcome: SubscriptionOutcome, text: str = "", code: int = 0) -> None:
        """Tell what became of it, unless that is what was told last."""
        is_wanted = wish.key in self._wishes or outcome is SubscriptionOutcome.ENDED
        if is_wanted and self._told.get(wish.key) != (outcome, text, code):
            self._told[wish.key] = (outcome, text, code)
            self._outcome(wish.symbol, wish.kind, outcome, text, code)

    # What comes.

    def _on_item(self, channel: Channel, item: Item) -> None:
        if channel.is_over:
            return
        if not channel.has_come:
            channel.has_come = True
            self._setbacks.overcome(channel.wish.key)
            self._activate(channel)
        self._writer.put(channel.outlet, item)

    def _on_code(self, channel: Channel, code: int, text: str) -> None:
        fate, why = judge(code, text)
        if fate is Fate.KEEP or channel.is_over:
            return
        channel.refusal = channel.refusal or (fate, why)
        self._changed.set()
