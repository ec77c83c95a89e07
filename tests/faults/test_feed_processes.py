"""Feed processes on one Gateway and one Redis share a list: they join, leave, die and fall asleep, and quotes go on.

Whatever happens, of each shard's stream: epochs never go back, and within one no number is missing or there twice. A consumer
that reads all along says the same. What is subscribed is asked of the Gateway itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from support import eventually, run
from system import Process

from ibstream import Client
from ibstream.bus import Bus
from ibstream.client import Gap, QuoteEvent, Repeated
from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch, shard_of
from ibstream.contracts.registry import QUOTES, heartbeat_key
from ibstream.contracts.system import ConnectionState, Heartbeat
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

pytestmark = pytest.mark.xdist_group("storms")  # not beside them: it measures seconds

SHARDS = 8
LISTED = 40
REQUESTS_PER_S = 30
"""What all the processes of a Gateway may send together. Each line that moves takes a message, two where its owner lives; what is
measured here is how soon it is known, and that nothing but those is sent."""
SHARE_PER_S = REQUESTS_PER_S // 3
"""What one who has just left, or comes, may have sent in the same second."""
TICK_INTERVAL_MS = 100

STARTED_WITHIN_S = 60.0
SETTLED_WITHIN_S = 30.0
MOVED_WITHIN_S = 5.0
"""From the death of a process to fresh rows of all that it had."""
HANDED_OVER_WITHIN_S = 5.0
"""The same where one comes or goes by its own word."""

REQ_CONTRACT_DETAILS, SYMBOL_ASKED = "9", 4
"""The wire's number of a look-up, and where the symbol stands in it."""

SLEEP_NS = 6_000_000_000
"""Twice as long as a lease of a shard lasts."""

FEED_ID = 3
"""The client id of the first process; each further one has 10 more."""


class Feeds:
    """Everything around the processes, the processes, and what a consumer hears."""

    def __init__(self, directory: Path, url: str, gateway: GatewayServer, listed: list[str]) -> None:
        self.gateway = gateway
        self.listed = listed
        self.url = url
        self.bus = Bus(url, client_name="test")
        self.events: list[QuoteEvent] = []
        self.rows: defaultdict[str, list[Quote]] = defaultdict(list)
        """What came of each symbol in batches, in order."""
        self._directory = directory
        self._processes: list[Process] = []
        self._symbols = directory / "symbols.txt"
        self._symbols.write_text("\n".join(listed))

    async def spawn(self) -> Process:
        """Start a feed process."""
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "SA_REDIS__URL": self.url,
            "SA_BROKER__IBKR__PORT": str(self.gateway.port),
            "SA_FEED__SYMBOLS_FILE": str(self._symbols),
            "SA_FEED__SHARDS": str(SHARDS),
            "SA_FEED__REQUESTS_PER_S": str(REQUESTS_PER_S),
            "SA_BROKER__IBKR__REQUESTS_PER_S": str(2 * REQUESTS_PER_S),
            "SA_METRICS__PORT_FEED": "0",
            "SA_LOGGING__FORMAT": "json",
        }
        log = self._directory / f"feed-{len(self._processes)}.log"
        process = await Process(log, "ibstream_feed", environment=environment).start()
        self._processes.append(process)
        return process

    async def client_id(self, process: Process) -> int:
        """What it is connected under."""
        return next(beat.client_id for beat in await self.beats() if beat.pid == process.pid)

    async def beats(self) -> list[Heartbeat]:
        """What every process that has a slot says of itself."""
        found = await self.bus.values_matching(heartbeat_key("feed", "*"))
        beats = [msgspec.json.decode(value, type=Heartbeat) for value in found.values()]
        return [beat for beat in beats if beat.instance.isdigit()]

    def subscribed(self) -> dict[str, list[int]]:
        """The client ids that have each symbol, by the Gateway."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for stream in self.gateway.state.quotes.subscriptions():
            found[stream.subject.key].append(stream.client.client_id)
        return dict(found)

    def symbols_of(self, client_id: int) -> set[str]:
        """What a client has subscribed."""
        return {symbol for symbol, clients in self.subscribed().items() if client_id in clients}

    async def settled(self, *processes: Process, leased: tuple[str, ...] = ()) -> None:
        """All symbols are subscribed once, each process has a share of whole shards, is ready, and knows of the others."""
        wanted = {*self.listed, *leased}

        async def is_so() -> bool:
            subscribed = self.subscribed()
            once = subscribed.keys() == wanted and all(len(clients) == 1 for clients in subscribed.values())
            beats = {beat.pid: beat for beat in await self.beats()}
            ready = beats.keys() == {process.pid for process in processes} and all(
                beat.state is ConnectionState.READY and beat.details.get("peers") == len(processes)
                for beat in beats.values()
            )
            owners = {shard_of(symbol, SHARDS): clients[0] for symbol, clients in subscribed.items() if clients}
            whole = all(owners[shard_of(symbol, SHARDS)] == clients[0] for symbol, clients in subscribed.items())
            shares = Counter(owners.values())
            return once and ready and whole and len(shares) == len(processes)

        try:
            await eventually(is_so, within_s=SETTLED_WITHIN_S, what=f"{len(processes)} processes that share all")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.subscribed()}\n{await self.beats()}") from None

    async def fresh(self, symbols: set[str], since_ns: int, *, within_s: float = SETTLED_WITHIN_S) -> float:
        """Wait until each of these has a live row from after that moment; return how long after it the last one came, in s."""

        def first(symbol: str) -> int:
            rows = self.rows[symbol]
            later = rows[bisect_right(rows, since_ns, key=lambda row: row.time_ns) :]
            return next((row.time_ns for row in later if row.quality is Quality.LIVE), 0)

        await eventually(lambda: all(map(first, symbols)), within_s=within_s, what=f"fresh rows of {symbols}")
        return (max(map(first, symbols)) - since_ns) / 1e9

    async def follow(self) -> None:
        """Read quotes as any consumer does."""
        async with Client(self.url) as client, client.quotes() as events:
            async for event in events:
                self.events.append(event)
                if isinstance(event, QuoteBatch):
                    for row in event.rows:
                        self.rows[row.symbol].append(row)

    async def audit(self) -> None:
        """One writer of each stream at any time, and a consumer that missed nothing and saw nothing go back."""
        for shard in range(SHARDS):
            stream = QUOTES.named(shard)
            entries = await self.bus.call(self.bus.redis.xrange(stream.name))
            decode = stream.codec().decode
            batches = [decode(fields[b"type"], fields[b"data"]) for _, fields in entries]
            seen = [(batch.epoch, batch.seq) for batch in batches if isinstance(batch, QuoteBatch)]
            assert seen, f"nothing was written to shard {shard}"
            for (epoch, seq), after in itertools.pairwise(seen):
                following = (epoch, seq + 1)
                assert after == following or (after[0] > epoch and after[1] == 1), f"{shard}: {(epoch, seq)}, {after}"
        assert not [event for event in self.events if isinstance(event, Gap | Repeated)]
        for symbol, rows in self.rows.items():
            times = [row.time_ns for row in rows]
            assert times == sorted(times), f"rows of {symbol} went back in time"

    def looked_up(self) -> Counter[str]:
        """How often each symbol's contract was asked for, over all clients."""
        asked = (one for one in self.gateway.state.journal.messages if one.direction == "in")
        fields = [one.content for one in asked if isinstance(one.content, tuple)]
        return Counter(said[SYMBOL_ASKED] for said in fields if said[0] == REQ_CONTRACT_DETAILS)

    def messages_per_s(self, since_ns: int) -> int:
        """The most that the feed's clients together have sent in any second since that moment."""
        sent = [
            one.time_ns
            for one in self.gateway.state.journal.messages
            if one.direction == "in" and one.client_id % 10 == FEED_ID and one.time_ns > since_ns
        ]
        return max(bisect_right(sent, at + 999_999_999) - number for number, at in enumerate(sent))

    async def end(self) -> None:
        for process in self._processes:
            if process.running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)
                await process.stop(signal.SIGKILL)
        await self.bus.close()


@contextlib.asynccontextmanager
async def feeds(directory: Path, url: str, *, leased: tuple[str, ...] = ()) -> AsyncIterator[Feeds]:
    """A Gateway and a consumer, and no process yet; audited in the end."""
    listed = [f"S{number:02d}" for number in range(LISTED)]
    settings = EmulatorSettings(symbols=(*listed, *leased), port=0, tick_interval_ms=TICK_INTERVAL_MS)
    async with running_gateway(settings, clock=SYSTEM_CLOCK) as gateway:
        one = Feeds(directory, url, gateway, listed)
        following = asyncio.create_task(one.follow())
        try:
            yield one
            assert not following.done(), f"the consumer ended: {following}"
            await one.audit()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await one.end()


async def three(its_feeds: Feeds) -> list[Process]:
    """Three processes that share all, each with fresh rows; in the order of their slots."""
    processes = [await its_feeds.spawn() for _ in range(3)]
    await eventually(its_feeds.subscribed, within_s=STARTED_WITHIN_S, what="the first subscription")
    await its_feeds.settled(*processes)
    await its_feeds.fresh(set(its_feeds.listed), SYSTEM_CLOCK.time_ns())
    slots = {beat.pid: beat.client_id for beat in await its_feeds.beats()}
    return sorted(processes, key=lambda process: slots[process.pid])


def test_a_fourth_joins_and_one_leaves(redis_url: str, tmp_path: Path, tell: Callable[[str], None]) -> None:
    """Client ids are counted by slot; lines and messages are shared; nobody reads a gap. What does not move is not touched."""

    async def scenario() -> None:
        async with feeds(tmp_path, redis_url) as its:
            a, b, c = await three(its)
            assert [await its.client_id(one) for one in (a, b, c)] == [FEED_ID, FEED_ID + 10, FEED_ID + 20]
            three_ns, before = SYSTEM_CLOCK.time_ns(), its.subscribed()

            joined_ns = SYSTEM_CLOCK.time_ns()
            d = await its.spawn()
            await eventually(lambda: its.symbols_of(FEED_ID + 30), within_s=STARTED_WITHIN_S, what="the fourth")
            await its.settled(a, b, c, d)
            moved = {symbol for symbol, clients in its.subscribed().items() if clients != before[symbol]}
            assert its.symbols_of(FEED_ID + 30) <= moved < set(its.listed)
            at_rest_s = max(longest_silence_s(its.rows[symbol], joined_ns) for symbol in moved)
            tell(
                f"a fourth joined: {len(moved)} of {LISTED} symbols moved, without a live row for {at_rest_s:.2f} s at most"
            )
            assert at_rest_s <= HANDED_OVER_WITHIN_S

            before, its_own = its.subscribed(), its.symbols_of(FEED_ID)
            stopped_ns = SYSTEM_CLOCK.time_ns()
            assert await a.stop() == 0
            took_s = await its.fresh(its_own, stopped_ns)
            await its.settled(b, c, d)
            moved = {symbol for symbol, clients in its.subscribed().items() if clients != before[symbol]}
            assert its_own <= moved < set(its.listed)
            at_rest_s = max(longest_silence_s(its.rows[symbol], stopped_ns) for symbol in moved)
            tell(f"one left (SIGTERM): {len(moved)} symbols moved, without a live row for {at_rest_s:.2f} s at most")
            assert max(took_s, at_rest_s) <= HANDED_OVER_WITHIN_S
            assert its.messages_per_s(three_ns) <= REQUESTS_PER_S + SHARE_PER_S

    run(scenario(), timeout_s=240)


def longest_silence_s(rows: list[Quote], since_ns: int) -> float:
    """The longest time between two live rows, of those from a little before that moment on."""
    live = [row.time_ns for row in rows if row.quality is Quality.LIVE and row.time_ns > since_ns - 1_000_000_000]
    return max((later - earlier) / 1e9 for earlier, later in itertools.pairwise(live))


def test_what_a_killed_process_had_is_fresh_again_in_time(
    redis_url: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    """SIGKILL amid its ticks: others ask for all of its symbols, and the quotes of those are live again within 5 s."""

    async def scenario() -> None:
        async with feeds(tmp_path, redis_url) as its:
            processes, three_ns = await three(its), SYSTEM_CLOCK.time_ns()
            for victim in processes[:2]:
                its_own = its.symbols_of(await its.client_id(victim))
                others = [process for process in processes if process is not victim]
                killed_ns = SYSTEM_CLOCK.time_ns()
                await victim.stop(signal.SIGKILL)
                took_s = await its.fresh(its_own, killed_ns)
                await its.settled(*others)
                tell(f"killed: its {len(its_own)} symbols are live again after {took_s:.2f} s, by {len(others)} others")
                assert took_s <= MOVED_WITHIN_S
                processes = others
            assert its.looked_up() == Counter(its.listed), "what another has looked up is not looked up again"
            assert its.messages_per_s(three_ns) <= REQUESTS_PER_S + SHARE_PER_S

    run(scenario(), timeout_s=240)


def test_a_process_that_slept_finds_its_symbols_gone_and_gets_a_share_again(redis_url: str, tmp_path: Path) -> None:
    """SIGSTOP for longer than any lease lasts: others have its symbols; continued, it writes nothing that it saw before."""

    async def scenario() -> None:
        async with feeds(tmp_path, redis_url) as its:
            processes = await three(its)
            sleeper = processes[1]
            its_own = its.symbols_of(await its.client_id(sleeper))
            slept_ns = SYSTEM_CLOCK.time_ns()
            os.kill(sleeper.pid, signal.SIGSTOP)
            await its.fresh(its_own, slept_ns + 1_000_000_000)  # what it had sent before that is not meant
            await eventually(lambda: SYSTEM_CLOCK.time_ns() > slept_ns + SLEEP_NS, what="six seconds to pass")
            os.kill(sleeper.pid, signal.SIGCONT)
            await its.settled(*processes)
            await its.fresh(set(its.listed), SYSTEM_CLOCK.time_ns())
            assert sleeper.running

    run(scenario(), timeout_s=240)


def test_leases_go_where_their_shards_go(redis_url: str, tmp_path: Path) -> None:
    """Whichever process reads the requests, who holds the shard asks the Gateway; after a kill that is another one."""
    leased = tuple(f"X{number}" for number in range(12))

    async def scenario() -> None:
        async with feeds(tmp_path, redis_url, leased=leased) as its, Client(redis_url) as client:
            processes = await three(its)
            async with client.lease(leased, ttl_s=30) as lease:
                for symbol in leased:
                    told = await lease.outcome(symbol)
                    assert told.outcome is SubscriptionOutcome.ACTIVE
                await its.settled(*processes, leased=leased)
                assert {clients[0] for symbol, clients in its.subscribed().items() if symbol in leased} == {
                    FEED_ID,
                    FEED_ID + 10,
                    FEED_ID + 20,
                }
                victim = processes[0]
                its_own = its.symbols_of(FEED_ID)
                killed_ns = SYSTEM_CLOCK.time_ns()
                await victim.stop(signal.SIGKILL)
                await its.fresh(its_own & set(leased), killed_ns)
                await its.settled(*processes[1:], leased=leased)
            await its.settled(*processes[1:])

    run(scenario(), timeout_s=240)
