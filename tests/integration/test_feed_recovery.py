"""What is lost and comes back, over a real Redis: the session, the link, a farm, single lines, Redis, the feed itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from feed_host import SYMBOLS, Feed, Gateway, feed
from redis_for_tests import KillableServer
from scripted import in_state
from support import eventually, run

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quality
from ibstream.contracts.registry import FEED_EVENTS
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_feed.adapters.shard_leases import TTL_S
from ibstream_feed.domain.register import FIRST_TICK_S, FRESH_S, RETRY_S

AT_ONCE_S = 0.4
"""Less than any look at the lines takes: what is there by then was published by what caused it."""

PAIR = Instrument(symbol="EUR", currency="USD", security_type="CASH", exchange="IDEALPRO")
FUTURE = Instrument(symbol="ES", security_type="FUT", exchange="CME", expiry="202612")


def hours(*, is_open: bool) -> dict[str, Any]:
    """What a look-up tells of an exchange that is open now and for a day, or was open yesterday."""
    opens = SYSTEM_CLOCK.now() - timedelta(hours=12 if is_open else 36)
    closes = opens + timedelta(hours=30 if is_open else 8)
    text = f"{opens:%Y%m%d:%H%M}-{closes:%Y%m%d:%H%M}"
    return {"time_zone": "UTC", "trading_hours": text, "liquid_hours": text}


def gateway(*, is_open: bool | None = None) -> Gateway:
    """A source whose exchanges are open, or closed; by default nobody knows."""
    return Gateway(details={} if is_open is None else {symbol: hours(is_open=is_open) for symbol in SYMBOLS})


async def all_live(it: Feed, *symbols: str) -> None:
    """Everything ticks."""
    symbols = symbols or SYMBOLS
    await it.subscribed(symbols)
    it.source.tick_all()
    await it.quality(Quality.LIVE, *symbols)
    for symbol in symbols:
        await it.told(symbol, SubscriptionOutcome.ACTIVE)


# The session.


def test_the_session_ends_and_another_begins(redis_url: str) -> None:
    """Every row is stale at once; in the next session all is asked for again in order, in a new epoch; live when ticks come."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await all_live(it)
            it.source.refuses = True
            it.source.lose()
            await it.quality(Quality.STALE, *SYMBOLS, within_s=AT_ONCE_S)
            prices = {symbol: (row.bid, row.ask) for symbol, row in (await it.rows()).items()}
            assert set(prices.values()) == {(10.0, 10.02)}
            epochs = [await it.epochs(shard) for shard in range(it.settings.shards)]
            it.source.refuses = False
            await it.subscribed(SYMBOLS)
            assert it.source.asked("subscribe", session=2) == list(SYMBOLS)
            assert it.source.asked("qualify", session=2) == []
            it.source.tick_all(bid=11.0, bid_size=1.0)
            await it.quality(Quality.LIVE, *SYMBOLS)
            assert {row.ask for row in (await it.rows()).values()} == {None}, "old values beside new ones"
            for shard, before in enumerate(epochs):
                assert (await it.epochs(shard))[-1] > before[-1]
            await it.assert_continuous()

    run(scenario())


def test_leases_outlive_a_session(redis_url: str) -> None:
    """They are asked for first in the next one, too."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=["AAPL", "MSFT"]) as it:
            await it.ask("TSLA")
            await all_live(it, "AAPL", "MSFT", "TSLA")
            it.source.lose()
            await it.subscribed(["AAPL", "MSFT", "TSLA"])
            assert it.source.asked("subscribe", session=2) == ["TSLA", "AAPL", "MSFT"]

    run(scenario())


def test_nobody_says_stale_of_what_never_had_a_value(redis_url: str) -> None:
    """There is no row of it at all."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            it.source.tick("AAPL")
            await it.quality(Quality.LIVE, "AAPL")
            it.source.lose()
            await it.quality(Quality.STALE, "AAPL")
            assert set(await it.rows()) == {"AAPL"} == set(await it.last_values())

    run(scenario())


# The link.


async def lose_link(it: Feed) -> None:
    """The Gateway loses IBKR: every row is stale at once, what ticks come are not believed, and nothing is asked."""
    it.source.lose_link()
    await it.quality(Quality.STALE, *SYMBOLS, within_s=AT_ONCE_S)
    asked = len(it.source.calls)
    it.source.tick_all(bid=99.0, bid_size=1.0)
    await it.passes(5)
    assert {row.quality for row in (await it.rows()).values()} == {Quality.STALE}
    assert {row.bid for row in (await it.rows()).values()} == {10.0}
    assert len(it.source.calls) == asked


def test_the_link_comes_back_without_the_subscriptions(redis_url: str) -> None:
    """1100, 1101: everything is asked for again, in order, in the same session; the epoch is a new one."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await all_live(it)
            await lose_link(it)
            epoch, before = (await it.epochs())[-1], len(it.source.calls)
            it.source.restore_link(data_lost=True)
            await it.subscribed(SYMBOLS)
            calls = it.source.calls[before:]
            assert [call.symbol for call in calls if call.name == "subscribe"] == list(SYMBOLS)
            assert {call.session for call in calls} == {1}
            it.source.tick_all()
            await it.quality(Quality.LIVE, *SYMBOLS)
            assert (await it.epochs())[-1] > epoch
            await it.assert_continuous()

    run(scenario())


def test_the_link_comes_back_with_the_subscriptions(redis_url: str) -> None:
    """1100, 1102: nothing is asked for again but what stays silent; what flows is live with its next tick."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await all_live(it)
            await lose_link(it)
            epoch, before = (await it.epochs())[-1], len(it.source.calls)
            it.source.restore_link(data_lost=False)
            await in_state(it.host, ConnectionState.READY)
            it.source.tick("AAPL", "MSFT", "NVDA", bid=12.0)
            await it.quality(Quality.LIVE, "AAPL", "MSFT", "NVDA")
            assert (await it.rows())["BRK.B"].quality is Quality.STALE
            await it.passes(FRESH_S - 1.5)
            assert it.source.calls[before:] == []
            await it.passes(2)
            await eventually(
                lambda: it.source.asked("subscribe")[4:] == ["BRK.B"], what="the silent one to be asked for"
            )
            it.source.tick("BRK.B")
            await it.quality(Quality.LIVE, "BRK.B")
            await it.passes(2 * FIRST_TICK_S)
            assert it.source.asked("subscribe")[4:] == ["BRK.B"]
            assert (await it.epochs())[-1] > epoch
            await it.assert_continuous()

    run(scenario())


def test_a_lease_that_is_taken_while_the_link_is_down_is_served_when_it_is_back(redis_url: str) -> None:
    """After 1102, too, where nothing else is asked for."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await all_live(it)
            it.source.lose_link()
            await it.quality(Quality.STALE, *SYMBOLS)
            await it.ask("TSLA")
            await it.ask("MSFT", "b")

            async def told() -> bool:
                return len(await it.events("MSFT")) == 2

            await eventually(told, what="the lease to be known")
            assert "TSLA" not in it.source.lines
            it.source.restore_link(data_lost=False)
            await it.subscribed([*SYMBOLS, "TSLA"])
            assert it.source.asked("subscribe")[4:] == ["TSLA"]

    run(scenario())


# A farm.


def test_a_farm_goes_and_comes_back(redis_url: str) -> None:
    """Its lines alone are stale at once; when it is back, those that stay silent are asked for again, and no others."""

    async def scenario() -> None:
        symbols = (*SYMBOLS, "EUR.USD", "ES 202612")
        async with feed(redis_url) as it:
            await it.ask(instrument=PAIR)
            await it.ask(instrument=FUTURE)
            await all_live(it, *symbols)
            it.source.farm("usfarm", up=False)
            await it.quality(Quality.STALE, *SYMBOLS, within_s=AT_ONCE_S)
            assert {(await it.rows())[one].quality for one in ("EUR.USD", "ES 202612")} == {Quality.LIVE}
            assert it.service.details()["farms_down"] == "usfarm"
            await it.passes(10)
            assert len(it.source.asked("subscribe")) == len(symbols)
            it.source.farm("usfarm", up=True)
            it.source.tick("MSFT", "NVDA", "BRK.B")
            await it.quality(Quality.LIVE, "MSFT", "NVDA", "BRK.B")
            await it.passes(FRESH_S + 1)
            await eventually(
                lambda: it.source.asked("subscribe")[6:] == ["AAPL"], what="the silent one to be asked for"
            )
            it.source.tick("AAPL")
            await it.quality(Quality.LIVE, "AAPL")
            assert it.service.details()["farms_down"] == ""

    run(scenario())


def test_a_farm_that_is_there_was_never_gone(redis_url: str) -> None:
    """IBKR says of every farm that it is there when a session begins: that is no reason to doubt a line sooner than others."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            it.source.tick("MSFT", "NVDA", "BRK.B")
            await it.quality(Quality.LIVE, "MSFT", "NVDA", "BRK.B")
            for name in ("usfarm", "cashfarm", "usfarm"):
                it.source.farm(name, up=True)
            await it.passes((FRESH_S + FIRST_TICK_S) / 2)
            assert len(it.source.asked("subscribe")) == len(SYMBOLS)
            assert {row.quality for row in (await it.rows()).values()} == {Quality.LIVE}

    run(scenario())


# Single lines.


def test_silence_in_regular_hours_is_looked_into(redis_url: str) -> None:
    """The line is asked for again; its row is stale where nothing comes then, and it is asked for again and again."""

    async def scenario() -> None:
        async with feed(redis_url, source=gateway(is_open=True), stale_after_s=20) as it:
            await all_live(it)
            for _ in range(5):
                await it.passes(5)
                it.source.tick("MSFT", "NVDA", "BRK.B")
            await eventually(
                lambda: it.source.asked("subscribe")[4:] == ["AAPL"], what="the silent one to be asked for"
            )
            assert (await it.rows())["AAPL"].quality is Quality.LIVE
            assert (await it.rows())["AAPL"].bid == 10.0, "until something comes, the row shows what was known"
            await it.passes(FIRST_TICK_S + 1)
            await it.quality(Quality.STALE, "AAPL")
            it.source.tick("MSFT", "NVDA", "BRK.B")
            await it.passes(RETRY_S[0] / 2)
            it.source.tick("MSFT", "NVDA", "BRK.B")
            await it.passes(RETRY_S[0] / 2)
            await eventually(lambda: it.source.asked("subscribe")[4:] == ["AAPL"] * 2, what="it to be asked for again")
            it.source.tick("AAPL", bid=11.0, bid_size=1.0)
            await it.quality(Quality.LIVE, "AAPL")
            assert (await it.rows())["MSFT"].quality is Quality.LIVE

    run(scenario())


@pytest.mark.parametrize("is_open", [False, None])
def test_silence_that_is_expected_or_that_nobody_can_judge_is_no_alarm(redis_url: str, is_open: bool | None) -> None:
    """Outside of regular hours, and where the hours are not known."""

    async def scenario() -> None:
        async with feed(redis_url, source=gateway(is_open=is_open), stale_after_s=20) as it:
            await all_live(it)
            await it.passes(120)
            assert len(it.source.asked("subscribe")) == len(SYMBOLS)
            assert {row.quality for row in (await it.rows()).values()} == {Quality.LIVE}

    run(scenario())


def test_silence_in_a_halt_is_no_alarm(redis_url: str) -> None:
    """When trading goes on, silence counts again."""

    async def scenario() -> None:
        async with feed(redis_url, source=gateway(is_open=True), symbols=["AAPL"], stale_after_s=20) as it:
            await all_live(it, "AAPL")
            it.source.halt("AAPL")
            await it.passes(60)
            assert it.source.asked("subscribe") == ["AAPL"]
            it.source.halt("AAPL", halted=False)
            await it.passes(25)
            await eventually(lambda: it.source.asked("subscribe") == ["AAPL"] * 2, what="it to be asked for again")

    run(scenario())


def test_a_line_that_never_brings_anything_is_asked_for_again_ever_more_rarely(redis_url: str) -> None:
    """In regular hours; it holds up nobody."""

    async def scenario() -> None:
        async with feed(redis_url, source=gateway(is_open=True), symbols=["AAPL"]) as it:
            await it.subscribed(["AAPL"])
            await it.passes(FIRST_TICK_S + sum(RETRY_S[1:3]) + 60)
            asked = [call.at_s for call in it.source.calls if call.name == "subscribe"]
            waits = [later - before for before, later in itertools.pairwise(asked)]
            assert waits == pytest.approx([FIRST_TICK_S, *RETRY_S[1:3]], abs=3)
            assert await it.rows() == {}

    run(scenario())


# The feed, and Redis.


def test_a_feed_that_starts_again_shows_what_was_known_as_stale(redis_url: str) -> None:
    """The last word of a feed that stops is stale; the next one goes on from there, in a greater epoch, and then is live."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await all_live(it)
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            await it.quality(Quality.STALE, *SYMBOLS)
            assert {row.bid for row in (await it.rows()).values()} == {10.0}
            it.source.tick_all(bid=11.0, bid_size=2.0)
            await it.quality(Quality.LIVE, *SYMBOLS)
            assert {(row.bid, row.ask) for row in (await it.rows()).values()} == {(11.0, None)}
            for symbol in SYMBOLS:
                assert await it.qualities(symbol) == [Quality.LIVE, Quality.STALE, Quality.LIVE]
            await it.assert_continuous()
            assert len(await it.epochs()) > 1

    run(scenario())


def test_symbols_that_nobody_wants_any_more_after_a_restart_are_gone(redis_url: str) -> None:
    """The list was another one: their last values do not stay for ever."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await all_live(it)
        async with feed(redis_url, symbols=["AAPL", "TSLA"]) as it:
            await it.quality(Quality.STALE, "AAPL")
            await it.forgotten("MSFT", "NVDA", "BRK.B")

    run(scenario())


@pytest.mark.parametrize("away_s", [0.0, TTL_S])
def test_redis_dies_and_comes_back(private_server: Callable[[], KillableServer], away_s: float) -> None:
    """Quotes resume with their newest values; away for longer than shards are held, it begins a new epoch of each."""

    async def scenario() -> None:
        async with private_server() as server, feed(server.url) as it:
            await all_live(it)
            before = [(await it.epochs(shard))[-1] for shard in range(it.settings.shards)]
            await server.kill()
            it.source.tick_all(bid=11.0)
            it.clock.set_ahead(away_s)
            await eventually(
                lambda: bool(it.service.details()["shards"]) is not bool(away_s), what="what is held to be known"
            )
            await server.start()
            await it.subscribed(SYMBOLS, within_s=20.0)

            async def is_back() -> bool:
                it.source.tick_all(bid=12.0, bid_size=1.0)
                rows = await it.rows()
                return all((rows[one].bid, rows[one].quality) == (12.0, Quality.LIVE) for one in SYMBOLS)

            await eventually(is_back, within_s=20.0, what="quotes to flow again")
            for shard, epoch in enumerate(before):
                assert (await it.epochs(shard))[-1] > epoch or not away_s
            await it.quality(Quality.LIVE, *SYMBOLS)
            await it.assert_continuous()

    run(scenario())


def test_what_became_of_subscriptions_while_redis_was_away_is_told_when_it_is_back(
    private_server: Callable[[], KillableServer],
) -> None:
    """In order, each once."""

    async def scenario() -> None:
        async with private_server() as server, feed(server.url) as it:
            await all_live(it)
            await server.kill()
            it.source.code("AAPL", 10197)
            it.source.refuse("AAPL", 354)
            await server.start()
            await it.told("AAPL", SubscriptionOutcome.NO_PERMISSION, within_s=20.0)
            assert await it.events("AAPL") == [
                SubscriptionOutcome.ACTIVE,
                SubscriptionOutcome.COMPETING_SESSION,
                SubscriptionOutcome.NO_PERMISSION,
            ]
            await it.quality(Quality.STALE, "AAPL")

    run(scenario())


def test_a_stream_of_events_that_redis_will_not_write_does_not_stop_the_quotes(redis_url: str) -> None:
    """Somebody has put something else under its name; when that is gone, outcomes are told again."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await all_live(it)
            await it.bus.ask("SET", FEED_EVENTS.name, "something else")
            it.source.code("AAPL", 10197)
            await it.quality(Quality.STALE, "AAPL")
            await it.passes(5)
            await it.bus.ask("DEL", FEED_EVENTS.name)
            it.source.tick("AAPL")
            await it.told("AAPL", SubscriptionOutcome.ACTIVE)
            await it.quality(Quality.LIVE, "AAPL")
            assert len(it.source.sessions) == 1
            assert len(it.source.asked("subscribe")) == len(SYMBOLS)

    run(scenario())
