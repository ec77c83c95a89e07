"""The feed through the faults of Gateway, IBKR and Redis: rows tell the truth, nothing is missed, nothing is asked for twice."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random  # noqa: TID251 - seeded, so that a storm can be had again
from typing import Any, Literal

import pytest
from contract.wire_client import Peer, logged_in
from faults.feed_world import LOOK_UP, SYMBOLS, World, in_regular_hours, world
from redis_for_tests import KillableServer
from support import eventually, run

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.quotes import Quality
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.settings import FeedSettings
from ibstream.runtime.symbols import load_symbols
from ibstream_feed.domain.register import FRESH_S
from ibstream_gateway_emulator.control.handle import CommandError
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.protocol.framing import frame

ALL_LIVE = dict.fromkeys(SYMBOLS, Quality.LIVE)
LOST_AND_BACK = [Quality.LIVE, Quality.STALE, Quality.LIVE]

ROW_BYTES = 150
"""What one row that waits takes at the least."""

STORM_FAULTS = 16
GAPS_S = (0.0, 0.01, 0.1, 0.3, 0.8)
"""Between two faults of a storm: none, and as long as reconnecting and asking for everything takes."""

AT_ONCE_S = 1.0
"""Loss, row and reader, on a busy machine."""

SYMBOLS_FILE = Path(__file__).resolve().parents[2] / "config" / "symbols" / "sp500.txt"

measures_seconds = pytest.mark.xdist_group("storms")

Servers = Callable[[], KillableServer]
Tell = Callable[[str], None]


async def all_live(it: World, *symbols: str, within_s: float = 20.0) -> None:
    """Everything flows."""
    await it.quality(Quality.LIVE, *(symbols or SYMBOLS), within_s=within_s)


async def all_told(it: World) -> None:
    """Everything flows, and the feed has seen that it does: it expects nothing of any line any more."""
    await all_live(it)
    for symbol in SYMBOLS:
        await it.outcome(symbol, SubscriptionOutcome.ACTIVE)


def epochs_now(it: World) -> dict[int, int]:
    """The epoch of each shard, as the consumer knows it."""
    return {shard: epochs[-1] for shard, epochs in it.tape.epochs.items()}


def newest_ns(it: World) -> int:
    """When the newest value came of the symbol that waits longest for one."""
    return min(it.tape.rows[symbol].time_ns for symbol in SYMBOLS)


async def assert_lost_and_back(it: World) -> None:
    """Every symbol was live, stale, live, and no other than in a new epoch; all is well again."""
    assert {symbol: it.tape.qualities(symbol) for symbol in SYMBOLS} == dict.fromkeys(SYMBOLS, LOST_AND_BACK)
    for symbol in SYMBOLS:
        first, _, last = it.tape.said[symbol]
        assert last.epoch > first.epoch
    await it.assert_honest(ALL_LIVE)


# The link, the farm.


def test_the_link_comes_back_without_the_subscriptions(redis_url: str) -> None:
    """1100, 1101: stale at once; everything is asked for once more in the same session, in a new epoch."""

    async def scenario() -> None:
        async with world(redis_url) as it:
            await all_live(it)
            await it.control.lose_link()
            await it.quality(Quality.STALE, *SYMBOLS, within_s=AT_ONCE_S)
            await it.control.restore_link(data_lost=True)
            await all_live(it, within_s=FRESH_S - 1.0)  # sooner than anybody finds that a line is silent
            assert await it.asked() == 2 * len(SYMBOLS)
            assert await it.sessions() == 1
            await assert_lost_and_back(it)

    run(scenario())


@pytest.mark.parametrize("code", [1100, 2110])
def test_the_link_comes_back_with_the_subscriptions(redis_url: str, code: Literal[1100, 2110]) -> None:
    """1100 or 2110, 1102, and all of it flows: nothing is asked for again."""

    async def scenario() -> None:
        async with world(redis_url) as it:
            await all_live(it)
            await it.control.lose_link(code=code)
            await it.quality(Quality.STALE, *SYMBOLS, within_s=AT_ONCE_S)
            await it.control.restore_link()
            await all_live(it)
            assert await it.asked() == len(SYMBOLS)
            await assert_lost_and_back(it)

    run(scenario())


def test_the_link_comes_back_with_some_of_the_subscriptions(redis_url: str) -> None:
    """1100, 1102, and two symbols stay silent: those two are asked for again, and no others."""

    async def scenario() -> None:
        async with world(redis_url) as it:
            await all_told(it)
            await it.control.lose_link()
            await it.quality(Quality.STALE, *SYMBOLS, within_s=AT_ONCE_S)
            for symbol in ("MSFT", "BRK.B"):
                await it.control.forget_subscriptions(symbol=symbol)
            await it.control.restore_link()
            await all_live(it, "AAPL", "NVDA", "TSLA", "AMZN")
            assert {it.tape.rows[one].quality for one in ("MSFT", "BRK.B")} == {Quality.STALE}
            await all_live(it)
            asked = {symbol: await it.asked(symbol=symbol) for symbol in SYMBOLS}
            assert asked == {**dict.fromkeys(SYMBOLS, 1), "MSFT": 2, "BRK.B": 2}
            await assert_lost_and_back(it)

    run(scenario())


def test_a_farm_flaps(redis_url: str) -> None:
    """2103 and 2104, again and again: stale at once, live with the next tick, and nothing is asked for again; then a symbol
    does not come back with the farm, and is."""

    async def scenario() -> None:
        async with world(redis_url) as it:
            await all_told(it)
            for _ in range(3):
                await it.control.farm_down()
                await it.quality(Quality.STALE, *SYMBOLS, within_s=AT_ONCE_S)
                await it.control.farm_up()
                await all_live(it)
            assert await it.asked() == len(SYMBOLS)
            await it.control.farm_down()
            await it.control.forget_subscriptions(symbol="NVDA")
            await it.control.farm_up()
            await all_live(it)
            await eventually(lambda: "NVDA" in it.streamed(), what="NVDA to be asked for again")
            await it.quality(Quality.LIVE, "NVDA")
            assert await it.asked() == len(SYMBOLS) + 1
            await it.assert_honest(ALL_LIVE)

    run(scenario())


# The Gateway.


@measures_seconds
def test_a_half_open_socket_is_found_within_15_s(redis_url: str, tell: Tell) -> None:
    """By the settings as they are: every row is stale then, and a new session is made."""

    async def scenario() -> None:
        async with world(redis_url, connection={}) as it:
            await all_live(it)
            began_ns = it.clock.time_ns()
            await it.control.half_open()
            await it.quality(Quality.STALE, *SYMBOLS, within_s=16.0)
            found = [it.tape.first(symbol, Quality.STALE, since_ns=began_ns) for symbol in SYMBOLS]
            after_s = [(one.at_ns - began_ns) / 1e9 for one in found if one is not None]
            tell(
                f"half-open socket found after {max(after_s):.1f} s; rows said so within {max(after_s) - min(after_s):.3f} s"
            )
            assert len(after_s) == len(SYMBOLS)
            assert max(after_s) <= 15.0
            assert max(after_s) - min(after_s) < 0.1
            await all_live(it)
            assert await it.sessions() == 2
            await assert_lost_and_back(it)

    run(scenario())


def test_a_gateway_that_stands_still_is_left_and_found_again(redis_url: str) -> None:
    """It takes connections, and says nothing: stale until it speaks again."""

    async def scenario() -> None:
        async with world(redis_url) as it:
            await all_live(it)
            await it.control.freeze()
            await it.quality(Quality.STALE, *SYMBOLS, within_s=5.0)
            await eventually(
                lambda: it.host.state in (ConnectionState.BACKING_OFF, ConnectionState.CONNECTING),
                what="the session to be given up",
            )
            await it.control.clear(fault="freeze")
            await all_live(it)
            await assert_lost_and_back(it)

    run(scenario())


@measures_seconds
def test_100_lines_flow_within_15_s_of_the_gateways_return(redis_url: str, tell: Tell) -> None:
    """By the settings as they are, with the return just after a try to connect: all are live, no contract is looked up."""
    symbols = load_symbols(SYMBOLS_FILE)[:100]
    usual: dict[str, Any] = {
        name: getattr(FeedSettings(), name) for name in ("requests_per_s", "reconnect_interval_s", "shards")
    }

    async def scenario() -> None:
        quick = Limits(messages_per_s=None)
        async with world(redis_url, symbols=symbols, limits=quick, tick_interval_ms=250, requests_per_s=1000) as it:
            await all_live(it, *symbols)
            assert await it.asked(LOOK_UP) == len(symbols)
        async with world(redis_url, symbols=symbols, tick_interval_ms=250, connection={}, **usual) as it:
            await all_live(it, *symbols, within_s=30.0)
            await it.control.restart(down_s=usual["reconnect_interval_s"] + 0.5)
            await it.quality(Quality.STALE, *symbols, within_s=AT_ONCE_S)
            await eventually(lambda: it.gateway.is_listening, what="the Gateway's return")
            back_ns = it.clock.time_ns()
            await all_live(it, *symbols, within_s=30.0)
            fresh = [it.tape.first(symbol, Quality.LIVE, since_ns=back_ns) for symbol in symbols]
            after_s = sorted((one.at_ns - back_ns) / 1e9 for one in fresh if one is not None)
            tell(
                f"{len(after_s)} lines after the Gateway's return, first fresh quote: "
                f"of the first {after_s[0]:.1f} s, of half {after_s[len(after_s) // 2]:.1f} s, of the last {after_s[-1]:.1f} s; "
                f"at most {await it.most_in_a_second()} messages within a second"
            )
            assert len(after_s) == len(symbols)
            assert after_s[-1] <= 15.0
            assert await it.asked(LOOK_UP) == 0
            await it.assert_honest(dict.fromkeys(symbols, Quality.LIVE))

    run(scenario(), timeout_s=90.0)


# What IBKR does not give.


def test_101_shrinks_the_budget(redis_url: str) -> None:
    """There are fewer lines than was thought: what they do not suffice for takes turns, and the matter is settled."""
    symbols = load_symbols(SYMBOLS_FILE)[:12]

    async def scenario() -> None:
        limits = Limits(market_data_lines=8)
        chosen: dict[str, Any] = {"market_data_lines": 20, "sampling_lines": 2}
        async with world(redis_url, symbols=symbols, limits=limits, clock=in_regular_hours(), **chosen) as it:
            await it.quality(Quality.LIVE, *symbols[:6])
            await it.quality(Quality.SNAPSHOT, *symbols[6:])
            asked, refused = await it.asked(), await it.errors("101")
            assert 0 < refused <= 2 * 4
            assert asked <= len(symbols) + refused  # who was refused and is wanted more may be asked for once more

            async def is_again() -> bool:
                taken = [await it.snapshots(symbol) for symbol in symbols[6:]]
                return min(taken) > 0 and max(taken) > 1

            await eventually(is_again, what="snapshots of all, and a second round")
            assert (await it.asked(), await it.errors("101")) == (asked, refused)
            assert it.service.details()["lines"] == 8
            expected = {**dict.fromkeys(symbols[:6], Quality.LIVE), **dict.fromkeys(symbols[6:], Quality.SNAPSHOT)}
            await it.assert_honest(expected)

    run(scenario())


def test_others_take_the_lines(redis_url: str) -> None:
    """A program of the same user has some: a new lease gets its line all the same, from the least wanted of the list."""

    async def scenario() -> None:
        limits = Limits(market_data_lines=8)
        symbols = (*SYMBOLS, "META", "GOOGL", "IBM")
        async with (
            world(
                redis_url, symbols=symbols, listed=SYMBOLS, limits=limits, market_data_lines=20, sampling_lines=1
            ) as it,
            logged_in(it.gateway, 77) as other,
        ):
            await all_live(it)
            for request_id, symbol in enumerate(("META", "GOOGL"), 1):
                await takes_line(other, request_id, symbol)
            await it.lease("IBM")
            await it.quality(Quality.LIVE, "IBM", *SYMBOLS[:4])
            await it.quality(Quality.SNAPSHOT, *SYMBOLS[4:])
            assert await it.errors("101") == 1
            assert await it.asked(symbol="IBM") == 2
            assert await it.asked() == len(SYMBOLS) + 2
            live = dict.fromkeys(("IBM", *SYMBOLS[:4]), Quality.LIVE)
            await it.assert_honest({**live, **dict.fromkeys(SYMBOLS[4:], Quality.SNAPSHOT)})

    run(scenario())


async def takes_line(other: Peer, request_id: int, symbol: str) -> None:
    """Another program is quoted something."""
    contract = ("0", symbol, "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
    other.writer.write(frame(("1", "11", str(request_id), *contract, "0", "", "0", "0", "")))
    while (await other.receive_until("1"))[2] != str(request_id):
        pass


@pytest.mark.parametrize("data_type", ["live", "delayed"])
def test_no_permission_for_some_symbols(redis_url: str, data_type: str) -> None:
    """Each says what it is: delayed where IBKR gives that, nothing where it does not; the others never notice."""
    codes = {"AAPL": 354, "MSFT": 10089, "NVDA": 10167, "TSLA": 10168}
    faults = [verbs.MarketDataPermission(code=code, symbol=symbol) for symbol, code in codes.items()]  # type: ignore[arg-type]
    is_refused = ["TSLA"] if data_type == "delayed" else ["AAPL", "TSLA"]
    is_late = ["MSFT", "NVDA", *(["AAPL"] if data_type == "delayed" else [])]
    live = ["BRK.B", "AMZN"]

    async def scenario() -> None:
        async with world(redis_url, faults=faults, market_data_type=data_type) as it:
            await all_live(it, *live)
            await it.quality(Quality.DELAYED, *is_late)
            for symbol in is_refused:
                assert (await it.outcome(symbol, SubscriptionOutcome.NO_PERMISSION)).code == codes[symbol]
            for symbol in is_late:
                await it.outcome(symbol, SubscriptionOutcome.DELAYED)
            assert await it.asked() == len(SYMBOLS)
            assert it.service.details()["left_alone"] == len(is_refused)
            await it.assert_honest({**dict.fromkeys(live, Quality.LIVE), **dict.fromkeys(is_late, Quality.DELAYED)})
            await it.control.clear(fault="market_data_permission")
            await all_live(it, *live, *is_late)
            await it.control.drop_connection()
            await all_live(it)
            await it.assert_honest(ALL_LIVE)

    run(scenario())


@pytest.mark.parametrize(("data_type", "meanwhile"), [("live", Quality.STALE), ("delayed", Quality.DELAYED)])
def test_the_user_is_logged_in_elsewhere(redis_url: str, data_type: str, meanwhile: Quality) -> None:
    """10197: the rows say so; when the other session has ended they are live again, without being asked for."""

    async def scenario() -> None:
        async with world(redis_url, market_data_type=data_type) as it:
            await all_live(it)
            await it.control.competing_session()
            await it.quality(meanwhile, *SYMBOLS)
            if meanwhile is Quality.STALE:
                assert (await it.outcome("AAPL", SubscriptionOutcome.COMPETING_SESSION)).code == 10197
            await it.control.clear(fault="competing_session")
            await all_live(it)
            await it.outcome("AAPL", SubscriptionOutcome.ACTIVE)
            assert await it.asked() == len(SYMBOLS)
            assert {tuple(it.tape.qualities(one)) for one in SYMBOLS} == {(Quality.LIVE, meanwhile, Quality.LIVE)}
            await it.assert_honest(ALL_LIVE)

    run(scenario())


def test_unknown_symbols_in_the_list(redis_url: str) -> None:
    """They are told of and left alone, in later sessions, too; the rest flows."""
    unknown = ("ZZZZ", "QQQQQ")

    async def scenario() -> None:
        async with world(redis_url, listed=(unknown[0], *SYMBOLS, unknown[1])) as it:
            await all_live(it)
            for symbol in unknown:
                await it.outcome(symbol, SubscriptionOutcome.UNKNOWN_INSTRUMENT)
            looked_up = await it.asked(LOOK_UP)
            await it.control.drop_connection()
            await it.quality(Quality.STALE, *SYMBOLS)
            await all_live(it)
            assert await it.sessions() == 2
            assert await it.asked(LOOK_UP) == looked_up
            assert it.service.details()["left_alone"] == len(unknown)
            await assert_lost_and_back(it)

    run(scenario())


# Silence.


def test_a_halt_is_shown_and_no_alarm_and_silence_is_one(redis_url: str) -> None:
    """In regular hours: a symbol that IBKR has forgotten is asked for again; one whose trading is halted is not."""

    async def scenario() -> None:
        async with world(redis_url, clock=in_regular_hours(), stale_after_s=3) as it:
            await all_live(it)
            await it.control.halt(symbol="AAPL")
            await eventually(lambda: it.tape.rows["AAPL"].halted, what="the halt to be shown")
            before = await it.asked(symbol="AAPL")
            await it.control.forget_subscriptions(symbol="MSFT")
            await eventually(lambda: "MSFT" in it.streamed(), what="the silent symbol to be asked for again")
            await eventually(
                lambda: it.clock.time_ns() - it.tape.rows["AAPL"].time_ns > 5e9,
                what="the halted one to be silent longer",
            )
            assert await it.asked(symbol="AAPL") == before
            row = it.tape.rows["AAPL"]
            assert (row.halted, row.quality) == (True, Quality.LIVE)
            assert Quality.STALE not in it.tape.qualities("AAPL")
            await it.control.clear(fault="halt")
            await eventually(lambda: not it.tape.rows["AAPL"].halted, what="the end of the halt to be shown")
            await it.assert_honest(ALL_LIVE)

    run(scenario())


# The sweep.


@measures_seconds
def test_503_symbols_on_100_lines(redis_url: str, tell: Tell) -> None:
    """Each has a row: those with a line are live, the others sampled in turn, within the message limit."""
    symbols = load_symbols(SYMBOLS_FILE)
    limits = Limits(messages_per_s=450)

    async def scenario() -> None:
        async with world(redis_url, symbols=symbols, limits=limits, tick_interval_ms=250, requests_per_s=400) as it:
            began_s = it.clock.monotonic()
            await it.quality(Quality.LIVE, *symbols[:90], within_s=40.0)
            await it.quality(Quality.SNAPSHOT, *symbols[90:], within_s=40.0)
            took_s = it.clock.monotonic() - began_s
            await eventually(lambda: float(it.service.details()["sweep_s"]) > 0, what="the sweep to be told")
            details = it.service.details()
            tell(
                f"{len(symbols)} symbols had a row after {took_s:.1f} s; sweep_s {details['sweep_s']} at 400 messages a second"
            )
            assert (details["wanted"], details["sampled"]) == (len(symbols), len(symbols) - 90)
            expected = {**dict.fromkeys(symbols, Quality.SNAPSHOT), **dict.fromkeys(symbols[:90], Quality.LIVE)}
            await it.assert_honest(expected)

    run(scenario(), timeout_s=100.0)


# Redis.


def test_redis_restarts(private_server: Servers, tell: Tell) -> None:
    """Quotes resume, no subscription is made twice, and the consumer can tell what it missed."""

    async def scenario() -> None:
        async with private_server() as server, world(server.url) as it:
            await all_live(it)
            await server.kill()
            died_ns = it.clock.time_ns()
            await server.start()
            back_ns = it.clock.time_ns()
            await eventually(lambda: newest_ns(it) > back_ns, what="quotes to resume")
            away_s, later_s = (back_ns - died_ns) / 1e9, (newest_ns(it) - back_ns) / 1e9
            tell(f"Redis was away for {away_s:.1f} s; quotes of all came {later_s:.1f} s later")
            await all_live(it)
            await it.assert_honest(ALL_LIVE)

    run(scenario())


@measures_seconds
def test_redis_stands_still(private_server: Servers) -> None:
    """For 2 s: everything waits for its answer, and nothing else happens. For 10 s, longer than the lease of the slot: the
    session is given up, as another process may make one; then all begins anew."""

    async def scenario() -> None:
        async with private_server() as server, world(server.url) as it:
            await all_live(it)
            async with server.frozen():
                await SYSTEM_CLOCK.sleep(2.0)
                thawed_ns = it.clock.time_ns()
            await eventually(lambda: newest_ns(it) > thawed_ns, what="quotes to resume")
            assert {tuple(it.tape.qualities(symbol)) for symbol in SYMBOLS} == {(Quality.LIVE,)}
            assert await it.sessions() == 1
            before, began_s = epochs_now(it), it.clock.monotonic()
            async with server.frozen():
                await eventually(lambda: not it.streamed(), what="the session to be given up")
                await SYSTEM_CLOCK.sleep(began_s + 10.0 - it.clock.monotonic())
                thawed_ns = it.clock.time_ns()
            await eventually(lambda: newest_ns(it) > thawed_ns, what="quotes to resume")
            assert all(epoch > before[shard] for shard, epoch in epochs_now(it).items())
            assert await it.sessions() == 2
            await all_live(it)
            await it.assert_honest(ALL_LIVE)

    run(scenario())


@measures_seconds
def test_the_redis_of_quotes_stands_still_for_10_s(redis_url: str, private_server: Servers, tell: Tell) -> None:
    """The feed goes on, conflates, and grows no larger; then the newest rows come, in a new epoch."""

    async def scenario() -> None:
        async with (
            private_server() as server,
            world(redis_url, quotes_url=server.url, tick_interval_ms=10, ticks_per_second=2_000) as it,
        ):
            await all_live(it)
            before = epochs_now(it)
            async with server.frozen():
                await SYSTEM_CLOCK.sleep(1.0)
                grown, ticks = await growth_over(it, 8.0)
                thawed_ns = it.clock.time_ns()
            tell(f"{grown / 1024:.0f} KiB more after 8 s in which {ticks} ticks came and none went out")
            assert ticks > 10_000
            assert grown < ROW_BYTES * ticks / 4
            await eventually(
                lambda: all(epoch > before[shard] for shard, epoch in epochs_now(it).items()), what="new epochs"
            )
            await eventually(lambda: newest_ns(it) > thawed_ns, what="quotes to resume")
            assert {tuple(it.tape.qualities(symbol)) for symbol in SYMBOLS} == {(Quality.LIVE,)}
            assert await it.sessions() == 1
            assert await it.asked() == len(SYMBOLS)
            await it.assert_honest(ALL_LIVE)

    run(scenario())


async def growth_over(it: World, seconds: float) -> tuple[int, int]:
    """How many bytes more are in use after a while, and how many ticks came meanwhile."""
    ticks = it.gateway.state.quotes.told
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await SYSTEM_CLOCK.sleep(seconds)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before, it.gateway.state.quotes.told - ticks


# Everything, in no order.


@pytest.mark.parametrize("seed", [1, 2])
def test_storm(redis_url: str, seed: int) -> None:
    """Whatever comes after whatever, and while it is being mended: in the end every line flows, all else takes its turn, and
    nothing was ever asked for twice. There are just as many lines as the feed takes there to be: it may lose none."""
    random = Random(seed)
    limits = Limits(market_data_lines=8)
    chosen: dict[str, Any] = {"market_data_lines": 8, "sampling_lines": 2, "stale_after_s": 3}
    symbols = load_symbols(SYMBOLS_FILE)[:12]
    live, sampled = symbols[:6], symbols[6:]

    async def scenario() -> None:
        async with world(redis_url, symbols=symbols, limits=limits, clock=in_regular_hours(), **chosen) as it:
            await all_live(it, *live)
            for _ in range(STORM_FAULTS):
                with contextlib.suppress(CommandError):  # it cannot be, as things stand
                    await strike(it, random, symbols)
                await SYSTEM_CLOCK.sleep(random.choice(GAPS_S))
            await it.control.clear()
            cleared_ns = it.clock.time_ns()
            await eventually(
                lambda: flows(it, live, since_ns=cleared_ns), within_s=20.0, what=f"{live} to flow; {it.streamed()}"
            )
            await it.quality(Quality.SNAPSHOT, *sampled)
            assert it.service.details()["lines"] == 8
            await it.assert_honest({**dict.fromkeys(live, Quality.LIVE), **dict.fromkeys(sampled, Quality.SNAPSHOT)})

    run(scenario(), timeout_s=90.0)


def flows(it: World, symbols: Sequence[str], *, since_ns: int) -> bool:
    """Whether these have lines and no others, and each has brought something since then."""
    rows = [it.tape.rows[symbol] for symbol in symbols]
    is_fresh = all(row.quality is Quality.LIVE and row.time_ns > since_ns for row in rows)
    return is_fresh and it.streamed() == sorted(symbols)


async def strike(it: World, random: Random, symbols: Sequence[str]) -> None:
    """One more thing goes wrong, or comes back."""
    control = it.control
    match random.randrange(10):
        case 0 | 1:
            await control.lose_link()
        case 2 | 3:
            await control.restore_link(data_lost=random.random() < 0.5)
        case 4:
            await control.farm_down(for_s=random.choice(GAPS_S) + 0.1)
        case 5:
            await control.forget_subscriptions(symbol=random.choice(symbols))
        case 6:
            await control.drop_connection(abortive=random.random() < 0.5)
        case 7:
            await control.freeze(for_s=random.choice(GAPS_S) + 0.1)
        case 8:
            await control.restart(down_s=random.choice(GAPS_S) + 0.1)
        case 9:
            await control.half_open()
