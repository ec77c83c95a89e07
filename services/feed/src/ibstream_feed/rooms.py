"""All rooms of the feed for one hold on a slot, and the ways between them.

ticks ─ port ─ book ─ publisher ─ quotes:<shard>, quotes:last:<shard>
feed:requests ─ leases ─┐                       ┌─ outcomes ─ feed:events
the list ───────────────┴─ subscriptions, streams ─ port
other feed processes ─ sharing ─ which shards are ours
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from functools import partial

from ibstream.bus import Bus
from ibstream.contracts.feed import DataKind, SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import shard_of
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.service import Slot, Worker
from ibstream.runtime.settings import FeedSettings
from ibstream.runtime.supervise import unless
from ibstream_feed.adapters.contract_store import ContractStore
from ibstream_feed.contracts import Contracts
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.leases import Want
from ibstream_feed.domain.line import Line
from ibstream_feed.leases import LeaseDesk
from ibstream_feed.outcomes import Outcomes
from ibstream_feed.ports import MarketDataPort
from ibstream_feed.publishing import QuotePublisher
from ibstream_feed.sharing import Sharing
from ibstream_feed.streams import StreamDesk
from ibstream_feed.subscriptions import SubscriptionDesk

TOKENS_PER_MS = 1000
"""Fencing tokens are no less than the server's time in microseconds, epochs are milliseconds: no epoch of a new owner is below
one of the owner before."""

SHARE_S_MAX = 3.0
"""How long a new session waits for its shards before it is ready with those that it has: others may have to let go first."""

MESSAGES_LEFT_MAX = 3
"""Of the messages of a second a quarter, but no more than these, are left to whoever wants a line: snapshots can wait."""

_STREAMED = (DataKind.TICKS, DataKind.BARS, DataKind.DEPTH)


class Rooms:
    """What a feed process consists of while it holds a slot. Keeps the shards that `Sharing` gives and takes."""

    def __init__(
        self,
        bus: Bus,
        quotes_bus: Bus,
        port: MarketDataPort,
        listed: Sequence[Instrument],
        slot: Slot,
        *,
        settings: FeedSettings,
        clock: Clock,
    ) -> None:
        self._port = port
        self._settings = settings
        self._clock = clock
        self._is_stopping = False
        self._taken_up: dict[int, int] = {}
        """The shards of which anything is asked for, and the epoch that no earlier writer's is above."""
        self._has_share = asyncio.Event()
        """Set once this process has taken up all the shards that were to be its own."""
        self._book = QuoteBook(settings.shards)
        self._sharing = Sharing(
            bus,
            slot,
            gateway=port.gateway,
            lines=settings.market_data_lines,
            shards=settings.shards,
            clock=clock,
            keeper=self,
        )
        self._publisher = QuotePublisher(
            quotes_bus, self._book, settings=settings, holds=self._sharing.holds, clock=clock
        )
        self._outcomes = Outcomes(bus, clock=clock)
        self._contracts = Contracts(ContractStore(bus), port, clock=clock)
        self._leases = LeaseDesk(bus, clock=clock, on_change=self._on_leases, on_refused=self._outcomes.refuse)
        self._streams = StreamDesk(
            quotes_bus,
            port,
            settings=settings,
            holds=lambda symbol: self._sharing.holds(self._shard(symbol)),
            epoch_after=lambda symbol: self._taken_up.get(self._shard(symbol), 0),
            clock=clock,
            outcome=self._tell_of_stream,
        )
        self.desk = SubscriptionDesk(
            port,
            self._book,
            self._contracts,
            self._outcomes,
            settings=settings,
            listed=listed,
            publish=self._publisher.flush,
            on_gone=self._forget,
            clock=clock,
        )
        """Who asks for quotes, and hears what IBKR says of them."""

    def workers(self) -> tuple[Worker, ...]:
        """What runs while the slot is held."""
        return (
            self._share_and_publish,
            self._leases.worker(f"feed-{self._sharing.name}"),
            self._leases.watch,
            self.desk.review,
            self.desk.asker.work,
            self.desk.sampler.work,
            partial(self._contracts.keep_up, self._is_wanted),
            self._streams.work,
            self._outcomes.work,
        )

    async def _share_and_publish(self, stop: asyncio.Event) -> None:
        """The publisher goes on until every shard has been let go: the last word on each is that it is stale."""
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publisher.run(done))
            group.create_task(self._note_stop(stop))
            await self._sharing.run(stop)
            done.set()

    async def _note_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._is_stopping = True
        self._book.flows = False
        self._stale_all()

    # What the source tells.

    def on_ticks(self, lines: Iterable[Line], time_ns: int) -> None:
        """New values stand in these lines: out with them, before anything else is read."""
        self._publisher.flush(self._book.ticked(lines, time_ns))

    # What the host tells.

    def flow(self) -> None:
        """Ticks are believed from now on."""
        self._book.flows = not self._is_stopping

    def stop_flowing(self, *, is_session_over: bool) -> None:
        """No row is kept up any more, and each says so; what still arrives is not believed."""
        self._book.flows = False
        self._stale_all()
        if is_session_over:
            self.desk.session_lost()
        else:
            self.desk.link_lost()
        self._streams.session_lost()

    async def session_ready(self) -> None:
        """A new session, or one whose subscriptions are gone: ask for everything. Raises a `RecoverableError` where it ends."""
        self._publisher.new_epoch()
        self._stale_all()  # also where IBKR lost them without a word before
        await unless(self._has_share, self._clock.sleep(SHARE_S_MAX))
        await self.desk.resubscribe()
        self._streams.session_ready()

    def link_restored(self) -> None:
        """The link is back, and IBKR says that the subscriptions were kept."""
        self._publisher.new_epoch()
        self._stale_all()
        self.desk.recheck()
        self._streams.session_ready()

    def details(self) -> dict[str, int | float | str]:
        """For the heartbeat."""
        return {
            **self.desk.details(),
            "symbols_seen": sum(line.time_ns > 0 for line in self._book),
            "shards": ", ".join(map(str, sorted(self._sharing.held))),
            "peers": self._sharing.peers,
            "leases": len(self._leases),
        }

    async def _forget(self, symbols: Collection[str]) -> None:
        """Their last rows first: what is unsent of a closed line is not sent any more."""
        await self._publisher.settled({shard_of(symbol, self._settings.shards) for symbol in symbols})
        gone = [symbol for symbol in symbols if symbol not in self.desk.planner.plan.symbols]
        for symbol in gone:
            self._book.close(symbol)
        await self._publisher.forget(gone)

    def _stale_all(self) -> None:
        self._publisher.flush(self._book.mark_stale(self._book, self._clock.time_ns()))

    # What the leases say.

    def _on_leases(self, newly: Collection[str]) -> None:
        self.desk.planner.desire(self._leases.wants(DataKind.QUOTES))
        self._want_streams()
        self._outcomes.repeat(newly)

    def _want_streams(self) -> None:
        wants = [want for kind in _STREAMED for want in self._leases.wants(kind) if self._is_ours(want)]
        self.desk.planner.reserve(sum(want.data is DataKind.BARS for want in wants))
        self._streams.desire(wants, self._contracts.qualify)

    def _is_wanted(self, symbol: str) -> bool:
        return symbol in self.desk.planner.plan.symbols

    def _is_ours(self, want: Want) -> bool:
        return self._shard(want.symbol) in self._taken_up

    def _shard(self, symbol: str) -> int:
        return shard_of(symbol, self._settings.shards)

    def _tell_of_stream(self, symbol: str, data: DataKind, outcome: SubscriptionOutcome, text: str, code: int) -> None:
        self._outcomes.tell(symbol, outcome, text, code, data=data)

    # What sharing says.

    async def gained(self, shard: int, token: int) -> None:
        """This process writes the shard from now on."""
        wanted = self.desk.planner.wanted(shard)
        await self._publisher.take_over(shard, wanted, token // TOKENS_PER_MS)
        await self._contracts.learn(wanted)
        self.desk.planner.own([shard])
        self._taken_up[shard] = token // TOKENS_PER_MS
        if self._taken_up.keys() >= self._sharing.ours:
            self._has_share.set()
        self._shards_changed()

    async def letting_go(self, shard: int) -> None:
        """Another process takes the shard, or this one stops; the session's end would end the subscriptions in any case.

        First nothing is written any more, so that what the hash says is the last word of the stream, too; giving the lines back
        may take longer than there is time.
        """
        self._taken_up.pop(shard, None)
        self._publisher.flush(self._book.mark_stale(self._lines(shard), self._clock.time_ns()))
        await self._publisher.settled([shard])
        await self._publisher.let_go(shard)
        await self._streams.let_go(lambda symbol: self._shard(symbol) == shard)
        if not self._is_stopping:
            await self.desk.let_go(shard)
        self._close([shard])

    def lost(self, shards: Collection[int]) -> None:
        """Another process may write these already."""
        self._publisher.lost(shards)
        self._streams.lost(lambda symbol: self._shard(symbol) in shards)
        self.desk.drop(shards)
        self._close(shards)

    def peers_changed(self, peers: int) -> None:
        """The Gateway's lines and messages are shared by so many processes."""
        self.desk.planner.share(peers)
        self._streams.share(peers)
        requests_per_s = self.desk.planner.requests_per_s
        self._port.limit(requests_per_s)
        messages_left = min(MESSAGES_LEFT_MAX, requests_per_s // 4)
        self.desk.sampler.messages_left = self._contracts.messages_left = messages_left

    def _close(self, shards: Collection[int]) -> None:
        for shard in shards:
            self._taken_up.pop(shard, None)
        symbols = [line.symbol for shard in shards for line in self._lines(shard)]
        for symbol in symbols:
            self._book.close(symbol)
        self._outcomes.forget(lambda symbol: shard_of(symbol, self._settings.shards) in shards)
        self._shards_changed()

    def _shards_changed(self) -> None:
        metrics.SHARDS_HELD.set(len(self._sharing.held))
        self._want_streams()

    def _lines(self, shard: int) -> list[Line]:
        return [line for line in self._book if line.shard == shard]
