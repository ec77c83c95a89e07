"""Which shards are ours: several feed processes share one list, each shard written by one of them.

    twice a second   say "I live", renew every lease held, hear who else lives and which shards nobody holds
    then             of what is ours by `owners`: take what is free; of what is a better owner's: let it go, it takes it
    nobody answers   what is held counts as lost shortly before Redis may give it to another, by this process's own clocks

Taking up and letting go go on beside that, each shard for itself; those of one shard one after the other.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Collection, Coroutine, Iterable, Mapping
from fractions import Fraction
from typing import Any

import structlog

from ibstream.bus import Bus, BusRefused, BusUnavailable
from ibstream.bus.lease import Trust
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import RecoverableError
from ibstream.runtime.service import Slot
from ibstream.runtime.supervise import CANCEL_GRACE_S, unless
from ibstream_feed.adapters.shard_leases import Member, Report, ShardLeases
from ibstream_feed.domain.rendezvous import owners
from ibstream_feed.shards import TRUST_S, HeldShard, ShardKeeper

RENEW_INTERVAL_S = 0.5

TAKE_INTERVAL_S = 0.1
"""How often a shard is asked for that is ours, and that another has not let go yet."""

ANSWER_S = 1.0
"""How long Redis may take to answer; there is time for a second try before a lease runs out."""

REFUSED_RETRY_S = 3.0
"""Between two tries to take up a shard whose keys Redis refuses to read: somebody has to mend them."""

LETTING_GO_S = 1.5
"""How long it may take to let go of a shard before it is torn away."""

_log = structlog.get_logger(__name__)


class Sharing:
    """Holds this process's share of the shards while it runs, and tells the keeper of each that comes and goes."""

    def __init__(
        self, bus: Bus, slot: Slot, *, gateway: str, lines: int, shards: int, clock: Clock, keeper: ShardKeeper
    ) -> None:
        """`lines` are those of the Gateway's user, which the processes on one Gateway share."""
        self._me = Member(gateway=gateway, lines=lines, pid=os.getpid())
        self.name = f"{gateway}/{slot.number}" if gateway else str(slot.number)  # slots are counted by Gateway
        """This process's own among all feed processes, and the same after a restart in the same slot."""
        self._bus = bus.reader()  # behind another's command on a dead connection, a renewal would wait too long
        self._leases = ShardLeases(self._bus, self.name, self._me, shards=shards)
        self._shards = shards
        self._clock = clock
        self._keeper = keeper
        self._held: dict[int, HeldShard] = {}
        self._work: dict[int, asyncio.Task[None]] = {}
        self._members: Mapping[str, Member] = {}
        self._ours: frozenset[int] = frozenset()
        self._is_away = False
        self.peers = 1
        """How many feed processes are on this Gateway, this one included, as far as is known."""

    def holds(self, shard: int) -> bool:
        """Whether this process may write the shard now, by its own clocks: to be asked right before each write."""
        held = self._held.get(shard)
        return held is not None and held.is_told and held.trust.left_s(self._clock) > 0

    @property
    def held(self) -> frozenset[int]:
        """The shards that this process may write now."""
        return frozenset(shard for shard in self._held if self.holds(shard))

    @property
    def ours(self) -> frozenset[int]:
        """The shards that are to be this process's, as far as it knows who lives; it holds them as soon as they are free."""
        return self._ours

    async def run(self, stop: asyncio.Event) -> None:
        """Share until `stop` is set; then let everything go. Raises what the keeper raises, unless it is recoverable."""
        async with self._bus:
            try:
                async with asyncio.TaskGroup() as group:
                    while not stop.is_set():
                        await self._turn(group)
                        await unless(stop, self._clock.sleep(self._pause_s()))
                    await self._leave(group)
            finally:
                self._lose(tuple(self._held), "ended")

    async def _turn(self, group: asyncio.TaskGroup) -> None:
        self._lose_what_ran_out()
        try:
            report = await self._renew()
            self._hear(report)
            self._let_go_of_others(group)
            await self._take(group, report.free)
        except (BusUnavailable, BusRefused) as error:
            if not self._is_away:
                _log.warning("feed.sharing_interrupted", error=str(error), held=sorted(self._held))
            self._is_away = True
        else:
            if self._is_away:
                _log.info("feed.sharing_resumed")
            self._is_away = False
        self._lose_what_ran_out()

    def _pause_s(self) -> float:
        """Until the next renewal is due, or sooner: until the first lease runs out, or what is ours may be free."""
        wait_s = TAKE_INTERVAL_S if self._ours - self._held.keys() else RENEW_INTERVAL_S
        return min(wait_s, self._left_s())

    def _left_s(self) -> float:
        """How long everything that is held can still be trusted."""
        return max(0.0, min((held.trust.left_s(self._clock) for held in self._held.values()), default=TRUST_S))

    async def _renew(self) -> Report:
        trust = Trust.lasting(TRUST_S, self._clock)
        tokens = {shard: held.token for shard, held in self._held.items()}
        report = await self._leases.keep(tokens, deadline_s=min(ANSWER_S, self._left_s()))
        for shard in report.kept:
            held = self._held.get(shard)
            if held is not None and held.token == tokens[shard]:
                held.trust = trust
        gone = [shard for shard in tokens if shard in self._held and shard not in report.kept]
        self._lose(gone, "the lease is another's, or nobody's")
        return report

    def _hear(self, report: Report) -> None:
        """Who lives decides who owns what."""
        if report.members == self._members:
            return
        self._members = report.members
        on_gateway = Counter(member.gateway for member in self._members.values())
        weights = {
            name: float(Fraction(member.lines, on_gateway[member.gateway])) for name, member in self._members.items()
        }
        owned = owners(self._shards, weights)
        self._ours = frozenset(shard for shard, owner in enumerate(owned) if owner == self.name)
        _log.info("feed.members", members=sorted(self._members), me=self.name, ours=sorted(self._ours))
        self.peers = on_gateway[self._me.gateway]
        self._keeper.peers_changed(self.peers)

    def _let_go_of_others(self, group: asyncio.TaskGroup) -> None:
        for shard, held in self._held.items():
            if shard not in self._ours and not held.is_going:
                self._begin_letting_go(group, shard, held)

    async def _take(self, group: asyncio.TaskGroup, free: Collection[int]) -> None:
        wanted = [shard for shard in sorted(self._ours) if shard in free and shard not in self._held]
        if not wanted:
            return
        trust = Trust.lasting(TRUST_S, self._clock)
        tokens = await self._leases.acquire(wanted, deadline_s=min(ANSWER_S, self._left_s()))
        for shard, token in tokens.items():
            held = self._held[shard] = HeldShard(token, trust)
            self._work[shard] = group.create_task(self._gain(shard, held, self._work.get(shard)))
        if tokens:
            self._count("feed.shards_taken", tokens)

    async def _gain(self, shard: int, held: HeldShard, before: asyncio.Task[None] | None) -> None:
        await _ended(before)
        held.is_told = True
        while True:
            try:
                await self._keeper.gained(shard, held.token)
            except RecoverableError as error:
                _log.warning("feed.shard_not_taken_up", shard=shard, error=str(error))
                await self._clock.sleep(RENEW_INTERVAL_S)
            except BusRefused as error:  # of this shard; the others go on
                _log.error("feed.shard_refused", shard=shard, error=str(error), retry_s=REFUSED_RETRY_S)
                await self._clock.sleep(REFUSED_RETRY_S)
            else:
                return

    def _begin_letting_go(self, group: asyncio.TaskGroup, shard: int, held: HeldShard) -> asyncio.Task[None]:
        held.is_going = True
        work = self._work[shard] = group.create_task(self._let_go(shard, held, self._work.get(shard)))
        return work

    async def _let_go(self, shard: int, held: HeldShard, before: asyncio.Task[None] | None) -> None:
        try:
            async with asyncio.timeout(min(LETTING_GO_S, held.trust.left_s(self._clock))):
                await _ended(before)
                if held.is_told:
                    await self._keeper.letting_go(shard)
        except (TimeoutError, RecoverableError, BusRefused) as error:
            _log.warning("feed.shard_torn_away", shard=shard, error=str(error) or f"not let go in {LETTING_GO_S} s")
            self._keeper.lost((shard,))
        del self._held[shard]  # before it is given back: another may have it the moment after
        self._count("feed.shard_let_go", (shard,))
        await self._told(self._leases.release(shard, held.token, deadline_s=ANSWER_S))

    async def _leave(self, group: asyncio.TaskGroup) -> None:
        """First be no member, so that the others take each shard as soon as it is let go."""
        await self._told(self._leases.leave(deadline_s=min(ANSWER_S, self._left_s())))
        self._members, self._ours = {}, frozenset()
        self._lose_what_ran_out()
        going = [self._work[shard] for shard, held in self._held.items() if held.is_going]
        going += [self._begin_letting_go(group, shard, held) for shard, held in self._held.items() if not held.is_going]
        await asyncio.gather(*going)

    async def _told(self, call: Coroutine[Any, Any, None]) -> None:
        """Where Redis is not to be told, the leases and the member key run out by themselves."""
        try:
            await call
        except (BusUnavailable, BusRefused) as error:
            _log.warning("feed.sharing_not_told", error=str(error))

    def _lose_what_ran_out(self) -> None:
        ran_out = [shard for shard, held in self._held.items() if held.trust.left_s(self._clock) <= 0]
        self._lose(ran_out, "not renewed in time")

    def _lose(self, shards: Collection[int], reason: str) -> None:
        if not shards:
            return
        told = [shard for shard in shards if self._held.pop(shard).is_told]
        for shard in shards:
            self._work[shard].cancel()
        if told:
            self._keeper.lost(told)
        self._count("feed.shards_lost", shards, reason=reason)

    def _count(self, event: str, shards: Iterable[int], **more: str) -> None:
        metrics.SHARDS_HELD.set(len(self._held))
        _log.info(event, shards=sorted(shards), held=sorted(self._held), **more)


async def _ended(work: asyncio.Task[None] | None) -> None:
    """Cancel what was begun of a shard and return when it has ended, or after `CANCEL_GRACE_S`.

    It is cancelled once: a second time would cut off what it does in order to end.
    """
    if work is None or work.done():
        return
    if not work.cancelling():
        work.cancel()
    await asyncio.wait({work}, timeout=CANCEL_GRACE_S)
    if not work.done():
        _log.error("feed.shard_work_ignores_cancellation", task=repr(work))
