"""Several feed processes share the shards: never two writers of one, and every move within its bound.

Each `Writer` does what a feed does with a shard: it writes, again and again, while `Sharing.holds` lets it. What was written
when, under which token, is the evidence; the monotonic clock is the same for all processes of a machine. Run as a program,
this file is one such process: `python test_feed_sharing.py <redis> <slot> <file>`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from bus_helpers import SilencingProxy
from redis_for_tests import KillableServer
from support import eventually, log_of, run

from ibstream.bus import Bus, BusRefused, BusUnavailable
from ibstream.contracts.registry import shard_lease
from ibstream.runtime.clock import SYSTEM_CLOCK, Clock, SystemClock
from ibstream.runtime.errors import RecoverableError
from ibstream.runtime.processes import end_with_parent
from ibstream.runtime.service import Slot
from ibstream_feed import sharing as sharing_module
from ibstream_feed.adapters.shard_leases import TTL_S
from ibstream_feed.sharing import LETTING_GO_S, REFUSED_RETRY_S, RENEW_INTERVAL_S, Sharing

SHARDS = 8
ALL = frozenset(range(SHARDS))
GATEWAY = "127.0.0.1:4002"
WRITE_INTERVAL_S = 0.005

AFTER_KILL_S = 4.0
AFTER_WORD_S = 1.5
"""How long a shard may be without a writer when a process was killed, and when one came or went by itself."""

GAINED, GOING, LOST, WROTE = "gained", "going", "lost", "wrote"

Servers = Callable[[], KillableServer]


class Event(NamedTuple):
    """One thing that a writer did."""

    at: float
    what: str
    shard: int
    token: int


class Writer:
    """A `ShardKeeper` that writes what it may, and notes it. Subclasses are slow, or fail."""

    def __init__(self, note: Callable[[Event], None] | None = None) -> None:
        self.events: list[Event] = []
        self.peers: list[int] = []
        self.sharing: Sharing
        self._note = note or self.events.append
        self._tokens: dict[int, int] = {}

    def note(self, what: str, shard: int, at: float | None = None) -> None:
        self._note(Event(SYSTEM_CLOCK.monotonic() if at is None else at, what, shard, self._tokens.get(shard, 0)))

    async def gained(self, shard: int, token: int) -> None:
        self._tokens[shard] = token
        self.note(GAINED, shard)

    async def letting_go(self, shard: int) -> None:
        self.note(GOING, shard)

    def lost(self, shards: Collection[int]) -> None:
        for shard in shards:
            self.note(LOST, shard)

    def peers_changed(self, peers: int) -> None:
        self.peers.append(peers)

    async def write_for_ever(self) -> None:
        """The time is taken before asking: a process that is frozen between the two has still asked in time."""
        while True:
            for shard in self._tokens:
                at = SYSTEM_CLOCK.monotonic()
                if self.sharing.holds(shard):
                    self.note(WROTE, shard, at)
            await SYSTEM_CLOCK.sleep(WRITE_INTERVAL_S)

    def of(self, what: str) -> list[int]:
        """The shards of which this was noted, in order."""
        return [event.shard for event in self.events if event.what == what]


def audit(*writers: Iterable[Event]) -> None:
    """Of each shard: what was written under one token ends before what is written under the next begins."""
    written: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for event in (event for events in writers for event in events if event.what == WROTE):
        written[event.shard][event.token].append(event.at)
    assert written, "nothing was written at all"
    for shard, by_token in written.items():
        for earlier, later in pairwise(sorted(by_token)):
            overlap_s = max(by_token[earlier]) - min(by_token[later])
            assert overlap_s < 0, f"shard {shard}: {earlier} and {later} both wrote for {overlap_s:.3f} s"


class Member:
    """One `Sharing` with its writer, both running."""

    def __init__(
        self,
        bus: Bus,
        slot: int,
        writer: Writer,
        *,
        gateway: str = GATEWAY,
        lines: int = 100,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.bus = bus
        self.writer = writer
        self.sharing = writer.sharing = Sharing(
            bus,
            Slot(slot, 1),
            gateway=gateway,
            lines=lines,
            shards=SHARDS,
            clock=clock,
            keeper=writer,
        )
        self._stop = asyncio.Event()
        self._writing = asyncio.create_task(writer.write_for_ever())
        self.task = asyncio.create_task(self.sharing.run(self._stop))

    async def stop(self) -> None:
        self._stop.set()
        await self.task

    async def end(self) -> None:
        """Whatever state the test left it in: gone."""
        for task in (self.task, self._writing):
            task.cancel()
        await asyncio.gather(self.task, self._writing, return_exceptions=True)


class Party:
    """Members on one Redis, ended together, and audited then."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.members: list[Member] = []
        self._buses = contextlib.AsyncExitStack()

    async def join(self, slot: int, writer: Writer | None = None, **options: Any) -> Member:
        """Each has a connection of its own, as a process has."""
        bus = await self._buses.enter_async_context(Bus(self._url, client_name=f"feed-{slot}"))
        self.members.append(Member(bus, slot, writer or Writer(), **options))
        return self.members[-1]

    async def settled(self, *members: Member, within_s: float = 10.0) -> None:
        """Every shard is held by one of these, and each has what it must have."""

        def done() -> bool:
            held = [shard for member in members for shard in member.sharing.held]
            least = SHARDS // len(members)
            return sorted(held) == sorted(ALL) and all(len(member.sharing.held) >= least for member in members)

        await eventually(done, within_s=within_s, what=f"{len(members)} members that share all shards")

    async def end(self) -> None:
        for member in self.members:
            await member.end()
        await self._buses.aclose()
        audit(*(member.writer.events for member in self.members))


@contextlib.asynccontextmanager
async def party(url: str) -> AsyncIterator[Party]:
    one = Party(url)
    try:
        yield one
    finally:
        await one.end()


def test_one_takes_all_and_shares_with_those_who_join(redis_url: str) -> None:
    """Three of one Gateway, one after the other: evenly, each join in time, and everyone knows how many they are."""

    async def scenario() -> None:
        async with party(redis_url) as feeds:
            a = await feeds.join(0)
            await feeds.settled(a)
            b = await feeds.join(1)
            await feeds.settled(a, b, within_s=AFTER_WORD_S)
            c = await feeds.join(2)
            await feeds.settled(a, b, c, within_s=AFTER_WORD_S)
            assert [len(one.sharing.held) for one in (a, b, c)] in ([3, 3, 2], [3, 2, 3], [2, 3, 3])
            assert [one.sharing.peers for one in (a, b, c)] == [3, 3, 3]
            assert a.writer.peers == [1, 2, 3]
            assert not any(one.writer.of(LOST) for one in (a, b, c))

    run(scenario())


def test_a_clean_stop_hands_over_at_once(redis_url: str) -> None:
    """What it held was let go of, not lost; and when the last one stops nothing is left in Redis but the counters."""

    async def scenario() -> None:
        async with party(redis_url) as feeds, Bus(redis_url, client_name="test") as bus:
            a, b = await feeds.join(0), await feeds.join(1)
            await feeds.settled(a, b)
            held = a.sharing.held
            await a.stop()
            await feeds.settled(b, within_s=AFTER_WORD_S)
            assert set(a.writer.of(GOING)) >= held
            assert not a.writer.of(LOST)
            await b.stop()
            assert await bus.values_matching("lease:quotes:*") == {}
            assert await bus.values_matching("feed:member:*") == {}
            assert b.writer.peers[-1] == 1

    run(scenario())


def test_lines_decide_between_gateways_and_slots_are_counted_by_gateway(redis_url: str) -> None:
    """Two on a Gateway with 100 lines share a third of the shards; one with 300 lines has the rest, from the same slot."""

    async def scenario() -> None:
        async with party(redis_url) as feeds:
            a, b = await feeds.join(0), await feeds.join(1)
            rich = await feeds.join(0, gateway="10.0.0.7:4002", lines=300)

            def shared() -> bool:
                return [len(one.sharing.held) for one in (a, b, rich)] == [1, 1, 6]

            await eventually(shared, what="shares as the lines say")
            assert (a.sharing.peers, b.sharing.peers, rich.sharing.peers) == (2, 2, 1)

    run(scenario())


class Slow(Writer):
    """Takes up nothing, and lets go of nothing, before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.take_up = asyncio.Event()
        self.let_go = asyncio.Event()
        self.interrupted: list[int] = []

    async def gained(self, shard: int, token: int) -> None:
        await super().gained(shard, token)
        try:
            await self.take_up.wait()
        except asyncio.CancelledError:
            self.interrupted.append(shard)
            raise

    async def letting_go(self, shard: int) -> None:
        await super().letting_go(shard)
        await self.let_go.wait()


def test_shards_are_taken_up_at_once_and_kept_meanwhile(redis_url: str) -> None:
    """All eight together, although each takes longer than a lease lasts."""

    async def scenario() -> None:
        async with party(redis_url) as feeds:
            slow = Slow()
            a = await feeds.join(0, slow)
            await eventually(lambda: len(slow.of(GAINED)) == SHARDS, what="all to be taken up")
            began_at = SYSTEM_CLOCK.monotonic()
            while SYSTEM_CLOCK.monotonic() < began_at + TTL_S + 1:
                assert a.sharing.held == ALL
                await SYSTEM_CLOCK.sleep(0.05)
            slow.take_up.set()
            slow.let_go.set()
            await a.stop()
            assert (slow.interrupted, slow.of(LOST)) == ([], [])

    run(scenario())


def test_a_shard_is_let_go_although_it_is_still_being_taken_up(redis_url: str) -> None:
    """Taking it up is ended first; the one who has it then finds nobody else at it."""

    async def scenario() -> None:
        async with party(redis_url) as feeds:
            slow = Slow()
            slow.let_go.set()
            a = await feeds.join(0, slow)
            await feeds.settled(a)
            b = await feeds.join(1)
            await feeds.settled(a, b, within_s=AFTER_WORD_S)
            assert set(slow.interrupted) == set(slow.of(GOING)) == ALL - a.sharing.held
            assert not slow.of(LOST)

    run(scenario())


class Reluctant(Slow):
    """Does not end taking up a shard when told to, before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = asyncio.Event()

    async def gained(self, shard: int, token: int) -> None:
        try:
            await super().gained(shard, token)
        finally:
            await self.may_end.wait()


def test_a_shard_that_comes_back_is_not_written_before_it_is_told(redis_url: str) -> None:
    """Its lease is ours again, but what was begun under the last one has not ended yet."""

    async def scenario() -> None:
        async with party(redis_url) as feeds, Bus(redis_url, client_name="test") as bus:
            reluctant = Reluctant()
            a = await feeds.join(0, reluctant)
            try:
                await feeds.settled(a)
                await bus.delete(shard_lease(3))
                await eventually(lambda: reluctant.of(LOST) == [3], what="the loss")
                await eventually(lambda: bus.get(shard_lease(3)), what="the lease to be ours again")
                assert reluctant.of(GAINED).count(3) == 1
                assert not a.sharing.holds(3)
            finally:
                reluctant.may_end.set()
            await eventually(lambda: a.sharing.holds(3), what="the shard to be told")
            assert reluctant.of(GAINED).count(3) == 2

    run(scenario())


def test_what_is_not_let_go_in_time_is_torn_away(redis_url: str) -> None:
    """The keeper is told that it lost it, and the better owner has it; other shards stay as they are."""

    async def scenario() -> None:
        async with party(redis_url) as feeds:
            slow = Slow()
            slow.take_up.set()
            a = await feeds.join(0, slow)
            await feeds.settled(a)
            b = await feeds.join(1)
            await feeds.settled(a, b, within_s=AFTER_WORD_S + LETTING_GO_S)
            assert set(slow.of(LOST)) == b.sharing.held
            going = min(event.at for event in slow.events if event.what == GOING)
            lost = min(event.at for event in slow.events if event.what == LOST)
            assert lost - going == pytest.approx(LETTING_GO_S, abs=0.5)

    run(scenario())


class NotYet(Writer):
    """Cannot take up a shard the first time."""

    async def gained(self, shard: int, token: int) -> None:
        await super().gained(shard, token)
        if self.of(GAINED).count(shard) == 1:
            raise RecoverableError("not yet")


def test_taking_up_is_tried_again_under_the_same_token(redis_url: str) -> None:
    """Redis or the Gateway was away for a moment: the shard stays ours meanwhile."""

    async def scenario() -> None:
        async with party(redis_url) as feeds:
            writer = NotYet()
            await feeds.join(0, writer)
            await eventually(lambda: len(writer.of(GAINED)) == 2 * SHARDS, what="the second try")
            for shard in ALL:
                tokens = {event.token for event in writer.events if (event.what, event.shard) == (GAINED, shard)}
                assert len(tokens) == 1
            assert not writer.of(LOST)

    run(scenario())


class Refused(Writer):
    """Cannot take up one shard as long as its key is of the wrong type."""

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self._bus = bus

    async def gained(self, shard: int, token: int) -> None:
        await super().gained(shard, token)
        if shard == 3:
            await self._bus.hash("spoilt")


def test_a_shard_that_redis_refuses_is_tried_again_and_the_others_go_on(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said as an error with each try; once the key is mended the shard is taken up under the same token."""
    log = log_of(sharing_module, monkeypatch)

    async def scenario() -> None:
        async with party(redis_url) as feeds, Bus(redis_url, client_name="test") as bus:
            await bus.put("spoilt", b"no hash")
            writer = Refused(bus)
            a = await feeds.join(0, writer)
            await eventually(lambda: writer.of(GAINED).count(3) == 2, what="the second try")
            refusals = [entry for entry in log if entry["event"] == "feed.shard_refused"]
            assert {(entry["log_level"], entry["shard"]) for entry in refusals} == {("error", 3)}
            assert "WRONGTYPE" in refusals[0]["error"]
            assert sorted(writer.of(GAINED)) == sorted([*ALL, 3])
            await bus.delete("spoilt")
            await eventually(lambda: writer.of(GAINED).count(3) == 3, what="the third try")
            tries = [event for event in writer.events if (event.what, event.shard) == (GAINED, 3)]
            assert len({event.token for event in tries}) == 1
            assert all(later.at - earlier.at >= REFUSED_RETRY_S for earlier, later in pairwise(tries))
            assert not writer.of(LOST)
            await a.stop()

    run(scenario())


class RefusedAtTheEnd(Writer):
    """What Redis is asked when a shard is let go of, it refuses."""

    async def letting_go(self, shard: int) -> None:
        await super().letting_go(shard)
        raise BusRefused("by the script")


def test_a_refusal_while_letting_go_tears_the_shard_away(redis_url: str) -> None:
    """The better owner has it in time, and the sharing goes on."""

    async def scenario() -> None:
        async with party(redis_url) as feeds:
            writer = RefusedAtTheEnd()
            a = await feeds.join(0, writer)
            await feeds.settled(a)
            b = await feeds.join(1)
            await feeds.settled(a, b, within_s=AFTER_WORD_S)
            assert set(writer.of(LOST)) == b.sharing.held
            await a.stop()

    run(scenario())


class Broken(Writer):
    """Has a fault, of one shard, that no second try mends."""

    async def gained(self, shard: int, token: int) -> None:
        await super().gained(shard, token)
        if shard == 3:
            await eventually(lambda: set(self.of(WROTE)) == ALL, what="all to be written")
            raise ZeroDivisionError


def test_a_fault_ends_the_sharing_and_everything_is_lost_before_it_is_told(redis_url: str) -> None:
    """The supervisor above decides what comes next; nothing is written meanwhile."""

    async def scenario() -> None:
        async with party(redis_url) as feeds:
            broken = Broken()
            a = await feeds.join(0, broken)
            with pytest.raises(ExceptionGroup) as raised:
                await a.task
            assert raised.group_contains(ZeroDivisionError)
            assert set(broken.of(LOST)) == ALL
            assert a.sharing.held == frozenset()

    run(scenario())


def test_who_is_cancelled_has_lost_everything_when_it_ends(redis_url: str) -> None:
    """As when the slot is lost; Redis gives the shards to the other when the leases run out."""

    async def scenario() -> None:
        async with party(redis_url) as feeds:
            a, b = await feeds.join(0), await feeds.join(1)
            await feeds.settled(a, b)
            held = a.sharing.held
            await a.end()
            assert set(a.writer.of(LOST)) == held
            assert a.sharing.held == frozenset()
            await feeds.settled(b, within_s=AFTER_KILL_S)

    run(scenario())


def test_a_lease_that_was_taken_away_is_lost_with_the_next_renewal(redis_url: str) -> None:
    """And asked for again, under a greater token."""

    async def scenario() -> None:
        async with party(redis_url) as feeds, Bus(redis_url, client_name="test") as bus:
            a = await feeds.join(0)
            await feeds.settled(a)
            await bus.delete(shard_lease(3))
            await eventually(lambda: a.writer.of(LOST) == [3], within_s=AFTER_WORD_S, what="the loss")
            await feeds.settled(a, within_s=AFTER_WORD_S)
            first, second = (event.token for event in a.writer.events if (event.what, event.shard) == (GAINED, 3))
            assert first < second

    run(scenario())


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_without_redis_everything_is_lost_in_time_and_taken_again(private_server: Servers, how: str) -> None:
    """By one's own clock, before Redis could give it to another; and shared as before once it answers."""

    async def scenario() -> None:
        async with private_server() as server, party(server.url) as feeds:
            a, b = await feeds.join(0), await feeds.join(1)
            await feeds.settled(a, b)
            before = a.sharing.held
            async with contextlib.AsyncExitStack() as absence:
                if how == "killed":
                    await server.kill()
                else:
                    await absence.enter_async_context(server.frozen())
                gone_at = SYSTEM_CLOCK.monotonic()
                await eventually(lambda: not a.sharing.held | b.sharing.held, within_s=TTL_S, what="all to be lost")
                nothing_after = max(event.at for one in (a, b) for event in one.writer.events if event.what == WROTE)
                assert nothing_after < gone_at + TTL_S
                await eventually(lambda: set(a.writer.of(LOST)) == before, what="the keeper to be told")
            if how == "killed":
                await server.start()
            await feeds.settled(a, b)
            assert a.sharing.held == before

    run(scenario())


def test_a_half_open_connection_that_others_meet_first_costs_no_shard(redis_url: str) -> None:
    """Whoever shares the bus waits on it for all of a command's deadline, longer than a lease lasts; renewals do not wait."""

    async def scenario() -> None:
        async with SilencingProxy(redis_url) as proxy, party(proxy.url) as feeds:
            a = await feeds.join(0)
            await feeds.settled(a)
            await a.bus.run_script("return 1", [], [])
            assert proxy.silence() >= 2
            silent_at = SYSTEM_CLOCK.monotonic()
            other = asyncio.create_task(a.bus.run_script("return 1", [], []))
            while SYSTEM_CLOCK.monotonic() < silent_at + TTL_S + 1:
                assert a.sharing.held == ALL
                await SYSTEM_CLOCK.sleep(0.02)
            assert not other.done(), "the connection that others use was not silent"
            assert not a.writer.of(LOST)
            await asyncio.wait({other})
            assert isinstance(other.exception(), BusUnavailable)
            await a.stop()

    run(scenario())


class Sleeper(SystemClock):
    """The clock of a machine that slept: the time of day has gone on by that, the monotonic clock has not."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def time_ns(self) -> int:
        """The time of day, in nanoseconds since 1970-01-01 UTC."""
        return super().time_ns() + round(self.slept_s * 1e9)


def test_a_machine_that_slept_longer_than_a_lease_lasts_writes_nothing_when_it_wakes(redis_url: str) -> None:
    """It holds nothing from the first moment on, is told that it lost all, and has it again under greater tokens."""

    async def scenario() -> None:
        async with party(redis_url) as feeds:
            clock = Sleeper()
            a = await feeds.join(0, clock=clock)
            await feeds.settled(a)
            clock.slept_s = TTL_S
            assert not any(map(a.sharing.holds, ALL))
            await eventually(lambda: set(a.writer.of(LOST)) == ALL, within_s=1.0, what="the keeper to be told")
            await feeds.settled(a)
            for shard in ALL:
                first, second = (e.token for e in a.writer.events if (e.what, e.shard) == (GAINED, shard))
                assert first < second

    run(scenario())


def test_a_clock_that_is_set_a_little_costs_no_shard(redis_url: str) -> None:
    """By less than a lease has left, and by any time back."""

    async def scenario() -> None:
        async with party(redis_url) as feeds:
            clock = Sleeper()
            a = await feeds.join(0, clock=clock)
            await feeds.settled(a)
            for slept_s in (1.0, -3600.0):
                clock.slept_s = slept_s
                set_at = SYSTEM_CLOCK.monotonic()
                while SYSTEM_CLOCK.monotonic() < set_at + 2 * RENEW_INTERVAL_S:
                    assert a.sharing.held == ALL
                    await SYSTEM_CLOCK.sleep(0.02)
            assert not a.writer.of(LOST)

    run(scenario())


def test_a_short_restart_of_redis_moves_nothing(private_server: Servers) -> None:
    """Leases that it kept are renewed; no epoch begins, no shard changes hands."""

    async def scenario() -> None:
        async with private_server() as server, party(server.url) as feeds:
            a, b = await feeds.join(0), await feeds.join(1)
            await feeds.settled(a, b)
            gained = len(a.writer.of(GAINED)), len(b.writer.of(GAINED))
            await server.kill()
            await server.start()
            back_at = SYSTEM_CLOCK.monotonic()
            while SYSTEM_CLOCK.monotonic() < back_at + TTL_S + 1:
                assert a.sharing.held | b.sharing.held == ALL
                await SYSTEM_CLOCK.sleep(0.05)
            assert (len(a.writer.of(GAINED)), len(b.writer.of(GAINED))) == gained

    run(scenario())


def forget_everything(directory: Path) -> None:
    for file in directory.rglob("*.aof"):
        file.write_bytes(b"")


def test_a_server_that_lost_everything_gives_nothing_to_two(private_server: Servers, tmp_path: Path) -> None:
    """Its file was gone: whoever asks first would own all, while the others still trust what they held."""

    async def scenario() -> None:
        async with private_server() as server, party(server.url) as feeds:
            a, b, c = [await feeds.join(slot) for slot in range(3)]
            await feeds.settled(a, b, c)
            await server.kill()
            forget_everything(tmp_path)
            await server.start()
            await eventually(lambda: a.writer.of(LOST) and b.writer.of(LOST), what="both to hear of it")
            await feeds.settled(a, b, c)

    run(scenario())


class Process:
    """This file as a program."""

    def __init__(self, url: str, slot: int, file: Path) -> None:
        self._arguments = (url, str(slot), str(file))
        self._file = file
        self._process: asyncio.subprocess.Process

    async def start(self) -> Process:
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            *self._arguments,
            env={**os.environ, "PYTHONPATH": paths},
            preexec_fn=end_with_parent(),
        )
        return self

    def signal(self, number: signal.Signals) -> float:
        """Send it a signal; the time before that."""
        at = SYSTEM_CLOCK.monotonic()
        self._process.send_signal(number)
        return at

    async def ended(self) -> int:
        return await self._process.wait()

    @property
    def events(self) -> list[Event]:
        """What it noted so far; a line that is still being written is left out."""
        if not self._file.exists():
            return []
        lines = self._file.read_text().split("\n")[:-1]
        return [Event(*json.loads(line)) for line in lines]

    def holds(self, since: float) -> dict[int, float]:
        """The shards written since then, each with the time of the first write."""
        first: dict[int, float] = {}
        for event in self.events:
            if event.what == WROTE and event.at >= since:
                first.setdefault(event.shard, event.at)
        return first

    async def destroy(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def processes(url: str, count: int, directory: Path) -> AsyncIterator[list[Process]]:
    """So many processes that share all shards evenly; audited in the end."""
    started = [await Process(url, slot, directory / f"{slot}.jsonl").start() for slot in range(count)]
    try:
        await shared(started, within_s=20.0)
        yield started
    finally:
        for process in started:
            await process.destroy()
    audit(*(process.events for process in started))


async def shared(
    by: list[Process], *, since: float | None = None, within_s: float = AFTER_KILL_S + 5
) -> dict[int, float]:
    """When each shard was first written by one of these since then, once all are and are spread as they must be.

    Without `since`: they are so within the last half second. The bounds are asserted by the caller, from the writers' own
    times: a test that is late itself must not count.
    """
    found: dict[int, float] = {}

    def done() -> bool:
        start = SYSTEM_CLOCK.monotonic() - 0.3 if since is None else since
        held = [process.holds(start) for process in by]
        found.clear()
        for one in held:
            for shard, at in one.items():
                found[shard] = min(at, found.get(shard, at))
        least = SHARDS // len(by) if since is None else 0
        single = since is not None or sum(map(len, held)) == SHARDS
        return found.keys() == ALL and single and all(len(one) >= least for one in held)

    await eventually(done, within_s=within_s, what="every shard to be written")
    return found


def test_a_process_that_is_killed_is_replaced_in_time(
    redis_url: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    """kill -9 of one of three: each of its shards is written by another within 4 s, and those of the others go on."""

    async def scenario() -> None:
        async with processes(redis_url, 3, tmp_path) as (victim, *others):
            its = victim.holds(SYSTEM_CLOCK.monotonic() - 0.3).keys()
            killed_at = victim.signal(signal.SIGKILL)
            await victim.ended()
            first = await shared(others, since=killed_at)
            assert its
            took_s = max(first[shard] for shard in its) - killed_at
            tell(f"killed: {len(its)} shards have a new writer after {took_s:.2f} s")
            assert took_s <= AFTER_KILL_S

    run(scenario(), timeout_s=90)


def test_a_process_that_stops_hands_over_at_once(redis_url: str, tmp_path: Path, tell: Callable[[str], None]) -> None:
    """SIGTERM: a second and a half at most, and it exits cleanly."""

    async def scenario() -> None:
        async with processes(redis_url, 3, tmp_path) as (leaver, *others):
            its = leaver.holds(SYSTEM_CLOCK.monotonic() - 0.3).keys()
            stopped_at = leaver.signal(signal.SIGTERM)
            assert await leaver.ended() == 0
            first = await shared(others, since=stopped_at)
            assert its
            took_s = max(first[shard] for shard in its) - stopped_at
            tell(f"stopped: {len(its)} shards have a new writer after {took_s:.2f} s")
            assert took_s <= AFTER_WORD_S

    run(scenario(), timeout_s=90)


def test_a_process_that_was_frozen_writes_nothing_when_it_wakes(redis_url: str, tmp_path: Path) -> None:
    """The others have its shards by then. It is told that it lost them, and has its share again under greater tokens."""

    async def scenario() -> None:
        async with processes(redis_url, 3, tmp_path) as everyone:
            frozen, *others = everyone
            its = frozen.holds(SYSTEM_CLOCK.monotonic() - 0.3).keys()
            frozen_at = frozen.signal(signal.SIGSTOP)
            first = await shared(others, since=frozen_at)
            assert max(first[shard] for shard in its) - frozen_at <= AFTER_KILL_S
            old = {event.token for event in frozen.events}
            woken_at = frozen.signal(signal.SIGCONT)
            await shared(everyone)
            after = [event for event in frozen.events if event.at >= woken_at]
            assert {event.shard for event in after if event.what == LOST} == its
            assert not [event for event in after if event.what == WROTE and event.token in old]
            assert all(event.token > max(old) for event in after if event.what == GAINED)

    run(scenario(), timeout_s=90)


async def _program(url: str, slot: int, file: Path) -> None:
    with file.open("a", buffering=1) as notes:
        writer = Writer(lambda event: print(json.dumps(event), file=notes))
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with Bus(url, client_name=f"feed-{slot}") as bus:
            member = Member(bus, slot, writer)
            await stop.wait()
            await member.stop()
            await member.end()


if __name__ == "__main__":
    asyncio.run(_program(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
