"""The feed's desk when several things happen at once, over a real Redis, with a source whose words and delays are the test's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from contract.gateways import settings_for
from contract.market_data_sources import Watch, connected
from feed_host import SYMBOLS, Feed, Gateway, feed
from feed_rig import qualified
from scripted import in_state
from support import eventually, log_of, run

from ibstream.bus import Bus
from ibstream.contracts.feed import DataKind, SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quality
from ibstream.contracts.system import ConnectionState
from ibstream.ibkr import GatewayUnavailable
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_feed import contracts as contracts_module
from ibstream_feed.adapters.contract_store import ContractStore
from ibstream_feed.adapters.ibkr import IBKRMarketFeed
from ibstream_feed.asking import Asker
from ibstream_feed.contracts import FORGOTTEN_AFTER, HOURS_AGE, UPKEEP_S, Contracts
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.line import Line
from ibstream_feed.domain.plan import Plan, Wanted
from ibstream_feed.domain.register import FIRST_TICK_S, FRESH_S, Register
from ibstream_feed.rooms import Rooms
from ibstream_feed.sampling import Sampler
from ibstream_feed.subscriptions import FARM_DOWN_S_MAX
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

AAPL = Wanted("AAPL", Instrument(symbol="AAPL"), is_leased=False)
REST = tuple(f"S{number}" for number in range(6))
TURNS = range(9)
"""Of the loop: a task that has just begun has looked at what there is after some of them, and has gone to sleep after others."""


@dataclass
class Limited(Gateway):
    """A source that never has more room than its limit."""

    def limit(self, requests_per_s: int) -> None:
        super().limit(requests_per_s)
        self.room = requests_per_s


@dataclass
class Slow(Gateway):
    """A source that does not answer look-ups of `SLOW` before the test says so."""

    answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def _asked(self, name: str, symbol: str) -> None:
        await super()._asked(name, symbol)
        if (name, symbol) == ("qualify", "SLOW"):
            await self.answer.wait()


def old(age: timedelta) -> dict[str, Any]:
    """What a look-up tells that was made so long ago."""
    return {"qualified_at": SYSTEM_CLOCK.now() - age}


def late_tick(it: Feed, line: Line) -> None:
    """Values of a line come that nobody has a subscription for any more."""
    line.values[:] = [10.0, 10.02, 10.01, 3.0, 4.0, 1.0, 500.0]
    it.source._on_ticks([line], it.clock.time_ns())


def rooms_of(it: Feed) -> Rooms:
    """What the feed consists of while it holds its slot."""
    assert it.service._rooms is not None
    return it.service._rooms


async def asked_for(it: Feed, *symbols: str) -> None:
    """Wait until just these have been asked for; the same one as often as it stands here."""
    wanted = sorted(symbols)
    await eventually(
        lambda: sorted(it.source.asked("subscribe")) == wanted, within_s=3.0, what=f"{symbols} to be asked for"
    )


async def unanswered(it: Feed) -> None:
    """All is live; of one more that is wanted the look-up is not answered."""
    await it.subscribed(SYMBOLS)
    it.source.tick_all()
    await it.quality(Quality.LIVE, *SYMBOLS)
    await it.ask("SLOW")
    await eventually(lambda: "SLOW" in it.source.asked("qualify"), what="the look-up")


@contextlib.asynccontextmanager
async def rig(redis_url: str, source: Gateway) -> AsyncIterator[tuple[QuoteBook, Contracts]]:
    """What the parts of the desk stand on, in a session."""
    async with Bus(redis_url, client_name="desk") as bus:
        await source.connect(10)
        book = QuoteBook(2)
        book.flows = True

        def on_ticks(lines: Iterable[Line], time_ns: int) -> None:
            book.ticked(lines, time_ns)

        source.listen(on_ticks, lambda *_: None, lambda *_: None)
        contracts = Contracts(ContractStore(bus), source, clock=SYSTEM_CLOCK)
        await contracts.load(source.account)
        yield book, contracts


# Messages that several processes share.


@pytest.mark.parametrize("peers", [1, 3, 8])
def test_snapshots_and_hours_are_asked_for_however_many_share_the_messages(redis_url: str, peers: int) -> None:
    """Also where one message a second is left to each: what is kept free for others is less than all there is."""

    async def scenario() -> None:
        source = Limited(details={"AAPL": old(HOURS_AGE + timedelta(hours=1))})
        chosen: dict[str, Any] = {"market_data_lines": 3 * peers, "sampling_lines": peers, "requests_per_s": 8}
        async with feed(redis_url, symbols=("AAPL", "MSFT", *REST), source=source, **chosen) as it:
            rooms_of(it).peers_changed(peers)
            assert source.limits[-1] == 8 // peers
            await it.subscribed(["AAPL", "MSFT"])
            await it.quality(Quality.SNAPSHOT, *REST)
            await it.passes(2 * UPKEEP_S)
            await eventually(lambda: source.asked("qualify").count("AAPL") == 2, what="the hours to be asked for")

    run(scenario())


# What takes turns.


@pytest.mark.parametrize("turns", TURNS)
def test_whoever_takes_snapshots_wakes_when_there_is_something_to_take(redis_url: str, turns: int) -> None:
    """However far each of its tasks has come when symbols arrive."""

    async def scenario() -> None:
        source, stop = Gateway(), asyncio.Event()
        async with rig(redis_url, source) as (book, contracts):
            sampler = Sampler(
                source,
                book,
                contracts,
                at_once=3,
                is_allowed=lambda: True,
                on_taken=lambda _: None,
                on_refused=lambda *_: None,
                clock=SYSTEM_CLOCK,
            )
            task = asyncio.create_task(sampler.work(stop))
            for _ in range(turns):
                await SYSTEM_CLOCK.sleep(0)
            book.open("AAPL").is_sampled = True
            sampler.take([AAPL], 1)
            await eventually(lambda: source.asked("snapshot") == ["AAPL"], within_s=2.0, what="a snapshot")
            stop.set()
            await task

    run(scenario())


# What IBKR refuses.


@pytest.mark.parametrize("code", [354, 101])
def test_what_was_refused_is_given_back_and_a_late_tick_leaves_nothing_live(redis_url: str, code: int) -> None:
    """The request is cancelled at the source, too; a row that nobody looks after any more does not stay live."""

    async def scenario() -> None:
        async with feed(redis_url, market_data_lines=4, sampling_lines=0) as it:
            await it.subscribed(SYMBOLS)
            it.source.tick_all()
            await it.quality(Quality.LIVE, *SYMBOLS)
            line = it.source.lines["BRK.B"]
            it.source.refuse("BRK.B", code)
            await it.quality(Quality.STALE, "BRK.B")
            await eventually(lambda: it.source.asked("unsubscribe") == ["BRK.B"], what="it to be given back")
            late_tick(it, line)
            await it.quality(Quality.LIVE, "BRK.B")
            await it.passes(1)
            await it.quality(Quality.STALE, "BRK.B", within_s=2.0)

    run(scenario())


def test_one_refusal_that_passes_costs_seconds(redis_url: str) -> None:
    """101 while nothing is in use, as when another program had all: snapshots go on, and in a minute all the lines are found."""
    symbols = [f"S{number}" for number in range(40)]

    async def scenario() -> None:
        source = Gateway(lines_max=0)
        async with feed(redis_url, symbols=symbols, source=source, market_data_lines=50, sampling_lines=5) as it:
            await eventually(lambda: it.service.details()["lines"] == 0, what="no line to be left")
            await it.quality(Quality.SNAPSHOT, *symbols)
            assert source.lines == {}
            source.lines_max = 100
            await it.passes(62)
            await it.subscribed(symbols, within_s=3.0)

    run(scenario())


def test_what_was_found_of_lines_does_not_hold_when_others_share_them(redis_url: str) -> None:
    """Whoever had the lines may be one of those that came or went."""

    async def scenario() -> None:
        async with feed(redis_url, source=Gateway(lines_max=1), sampling_lines=0) as it:
            await it.subscribed(["AAPL"])
            it.source.lines_max = 100
            rooms_of(it).peers_changed(2)
            await it.subscribed(SYMBOLS, within_s=3.0)
            assert it.service.details()["lines"] == 50

    run(scenario())


# What is marked stale.


def test_a_lease_that_is_taken_again_before_its_line_was_given_back(redis_url: str) -> None:
    """The row is stale already, and the line stands: it is asked for again where nothing comes, and told of when it lives."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=["MSFT"]) as it:
            await it.ask("AAPL")
            await it.subscribed(["MSFT", "AAPL"])
            it.source.tick_all()
            await it.told("AAPL", SubscriptionOutcome.ACTIVE)
            rooms = rooms_of(it)
            wants = rooms._leases.wants(DataKind.QUOTES)
            rooms.desk.planner.desire([])
            rooms.desk.planner.desire(wants)
            await it.quality(Quality.STALE, "AAPL")
            await it.passes(FRESH_S + 1)
            await asked_for(it, "MSFT", "AAPL", "AAPL")
            it.source.tick("AAPL")
            await it.quality(Quality.LIVE, "AAPL")
            await it.told("AAPL", SubscriptionOutcome.ACTIVE)
            assert await it.events("AAPL") == ["active", "ended", "active"]

    run(scenario())


@pytest.mark.parametrize("name", ["usfarm", "usfarm.nj"])
def test_a_farm_that_comes_back_under_its_name_or_another(redis_url: str, name: str) -> None:
    """IBKR may never say that the one that went is back: then its lines are asked for again all the same, only later."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=["AAPL"]) as it:
            await it.subscribed(["AAPL"])
            it.source.tick_all()
            await it.told("AAPL", SubscriptionOutcome.ACTIVE)
            it.source.farm("usfarm", up=False)
            await it.quality(Quality.STALE, "AAPL")
            it.source.farm(name, up=True)
            if name != "usfarm":
                await it.passes(FARM_DOWN_S_MAX - 5)
                assert it.source.asked("subscribe") == ["AAPL"]
                await it.passes(5)
            await it.passes(FRESH_S + 1)
            await asked_for(it, "AAPL", "AAPL")
            it.source.tick("AAPL")
            await it.quality(Quality.LIVE, "AAPL")

    run(scenario())


def test_a_farm_that_is_idle_is_there() -> None:
    """2108 says that a farm is inactive and can be had: after 2103 that is its return."""

    async def scenario() -> None:
        farms = ((2103, "usfarm"), (2108, "usfarm"), (2107, "ushmds"))
        emulator = EmulatorSettings(symbols=SYMBOLS, port=0, farms=farms)
        async with running_gateway(emulator, clock=SYSTEM_CLOCK) as server:
            port = IBKRMarketFeed(settings_for(server.port), clock=SYSTEM_CLOCK)
            async with connected(Watch(port)) as watch:
                await eventually(lambda: watch.farms == [("usfarm", False), ("usfarm", True)], what="the farm's return")

    run(scenario())


@pytest.mark.parametrize("data_lost", [True, False])
def test_a_link_that_was_never_said_to_be_lost_comes_back(redis_url: str, data_lost: bool) -> None:
    """1101 or 1102 out of the blue: every row is stale until ticks prove otherwise."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            it.source.tick_all()
            await it.quality(Quality.LIVE, *SYMBOLS)
            it.source.restore_link(data_lost=data_lost)
            await it.quality(Quality.STALE, *SYMBOLS)
            await in_state(it.host, ConnectionState.READY)
            await it.subscribed(SYMBOLS)
            it.source.tick("MSFT", "NVDA", "BRK.B")
            await it.quality(Quality.LIVE, "MSFT", "NVDA", "BRK.B")
            assert (await it.rows())["AAPL"].quality is Quality.STALE
            await it.passes(FIRST_TICK_S + 1 if data_lost else FRESH_S + 1)
            await asked_for(it, *SYMBOLS, *(SYMBOLS if data_lost else ()), "AAPL")

    run(scenario())


# Who asks and who looks are two.


def test_a_look_up_that_is_not_answered_holds_up_nobody(redis_url: str) -> None:
    """Meanwhile a line that stays silent after 1102 is asked for again in time, other leases are served, and lines given back."""

    async def scenario() -> None:
        source = Slow()
        async with feed(redis_url, source=source) as it:
            await unanswered(it)
            source.lose_link()
            await it.quality(Quality.STALE, *SYMBOLS)
            source.restore_link(data_lost=False)
            await in_state(it.host, ConnectionState.READY)
            source.tick("MSFT", "NVDA", "BRK.B")
            await it.passes(FRESH_S + 1)
            await asked_for(it, *SYMBOLS, "AAPL")
            await it.ask("TSLA")
            await it.subscribed([*SYMBOLS, "TSLA"], within_s=3.0)
            await it.give_back("TSLA")
            await it.subscribed(SYMBOLS, within_s=3.0)
            source.answer.set()
            await it.subscribed([*SYMBOLS, "SLOW"], within_s=3.0)
            assert source.asked("qualify").count("SLOW") == 1

    run(scenario())


def test_a_look_up_that_is_not_answered_does_not_put_off_asking_for_everything(redis_url: str) -> None:
    """1101 while IBKR owes an answer: what was lost flows again without it."""

    async def scenario() -> None:
        source = Slow()
        async with feed(redis_url, source=source) as it:
            await unanswered(it)
            source.restore_link(data_lost=True)
            await it.quality(Quality.STALE, *SYMBOLS)
            await it.subscribed(SYMBOLS, within_s=3.0)
            source.tick_all()
            await it.quality(Quality.LIVE, *SYMBOLS)
            source.answer.set()
            await in_state(it.host, ConnectionState.READY)
            await it.subscribed([*SYMBOLS, "SLOW"], within_s=3.0)

    run(scenario())


async def _asker(source: Gateway, book: QuoteBook, contracts: Contracts, register: Register) -> Asker:
    """One that is to keep a line of AAPL, and has asked for it."""
    asker = Asker(
        source,
        book,
        contracts,
        register,
        plan=lambda: Plan((AAPL,), (), ()),
        on_refused=lambda *_: None,
        on_demoted=lambda _: None,
        clock=SYSTEM_CLOCK,
    )
    asker.begin()
    await asker.settle()
    assert list(source.lines) == ["AAPL"]
    return asker


def test_a_line_that_was_given_back_to_be_asked_for_again_is_not_forgotten_when_the_link_goes(redis_url: str) -> None:
    """Cancelled between the two: the line counts as never asked for, and is asked for when the link is back."""

    async def scenario() -> None:
        source, register = Gateway(), Register(60.0)
        async with rig(redis_url, source) as (book, contracts):
            asker = await _asker(source, book, contracts, register)
            held = source.hold("subscribe")
            asker.again("AAPL")
            task = asyncio.create_task(asker.settle())
            await eventually(lambda: source.asked("subscribe") == ["AAPL", "AAPL"], what="it to be asked for again")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert source.lines == {}
            assert not asker.is_settled
            held.set()
            await asker.settle()
            assert list(source.lines) == ["AAPL"]
            assert "AAPL" in register

    run(scenario())


def test_a_line_that_could_not_be_asked_for_again_is_when_there_is_a_link(redis_url: str) -> None:
    """What was told of it, and how often it was tried, is known still."""

    async def scenario() -> None:
        source, register = Gateway(), Register(60.0)
        async with rig(redis_url, source) as (book, contracts):
            asker = await _asker(source, book, contracts, register)
            before = register.get("AAPL")
            assert before is not None
            before.told, before.tries = SubscriptionOutcome.ACTIVE, 2
            source.failing["subscribe", "AAPL"] = GatewayUnavailable("the link is gone")
            asker.again("AAPL")
            with pytest.raises(GatewayUnavailable):
                await asker.settle()
            assert source.lines == {}
            source.failing.clear()
            await asker.settle()
            assert list(source.lines) == ["AAPL"]
            after = register.get("AAPL")
            assert after is not None
            assert (after.told, after.tries) == (SubscriptionOutcome.ACTIVE, 2)

    run(scenario())


# Contracts and hours.


def test_beyond_the_last_day_that_is_told_nobody_knows(redis_url: str) -> None:
    """Neither open nor closed: rows are not taken for good because hours have grown old."""

    async def scenario() -> None:
        now = SYSTEM_CLOCK.now()
        past, today = now - timedelta(days=2), f"{now:%Y%m%d}:CLOSED"
        days = {"PAST": f"{past:%Y%m%d}:0930-{past:%Y%m%d}:1600", "TODAY": today}
        source = Gateway(details={name: {"time_zone": "UTC", "trading_hours": text} for name, text in days.items()})
        async with rig(redis_url, source) as (_, contracts):
            for name in days:
                await contracts.qualify(Instrument(symbol=name))
            assert contracts.trades("PAST") is None
            assert contracts.trades("TODAY") is False
            assert contracts.trades("NEVER_ASKED_FOR") is None

    run(scenario())


def test_hours_that_make_no_sense_are_logged_once_for_each_look_up(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the symbol is quoted all the same; that no hours are told at all is nothing to wonder at."""

    async def scenario() -> list[MutableMapping[str, Any]]:
        told = log_of(contracts_module, monkeypatch)
        text = f"{SYSTEM_CLOCK.now():%Y%m%d}:0930-{SYSTEM_CLOCK.now():%Y%m%d}:1600"
        hours = {"time_zone": "Middle-earth", "trading_hours": text, "liquid_hours": text}
        async with feed(redis_url, symbols=["AAPL", "MSFT"], source=Gateway(details={"AAPL": hours})) as it:
            await it.subscribed(["AAPL", "MSFT"])
            it.source.tick_all()
            await it.quality(Quality.LIVE, "AAPL", "MSFT")
            await it.passes(30)
        return told

    odd = [one["symbol"] for one in run(scenario()) if one["event"] == "feed.hours_not_understood"]
    assert odd == ["AAPL"]


def test_contracts_that_nobody_has_used_for_long_are_dropped(redis_url: str) -> None:
    """When they are loaded; what is younger stays."""

    async def scenario() -> None:
        ages = {"OLD": FORGOTTEN_AFTER, "YOUNG": FORGOTTEN_AFTER - timedelta(hours=1)}
        async with Bus(redis_url, client_name="store") as bus:
            store, account = ContractStore(bus), Gateway().account
            for name, age in ages.items():
                await store.keep(account, name, qualified(Instrument(symbol=name), **old(age)))
            async with rig(redis_url, Gateway()) as (_, contracts):
                assert set(await store.load(account)) == {"YOUNG"}
                assert contracts.get("OLD") is None
                assert contracts.get("YOUNG") is not None

    run(scenario())


def test_hours_of_what_nobody_wants_are_not_asked_for(redis_url: str) -> None:
    """However old they are; those of what is wanted are."""

    async def scenario() -> None:
        aged = old(HOURS_AGE + timedelta(hours=1))
        async with feed(redis_url, symbols=["AAPL"], source=Gateway(details={"AAPL": aged, "TSLA": aged})) as it:
            await it.ask("TSLA")
            await it.subscribed(["AAPL", "TSLA"])
            await it.give_back("TSLA")
            await it.subscribed(["AAPL"])
            it.source.calls.clear()
            it.source.details.clear()
            await it.passes(5 * UPKEEP_S)
            await eventually(lambda: it.source.asked("qualify") == ["AAPL"], what="the hours to be asked for")
            await it.passes(5 * UPKEEP_S)
            assert it.source.asked("qualify") == ["AAPL"]

    run(scenario())
