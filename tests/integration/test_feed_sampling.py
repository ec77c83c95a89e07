"""What has no line of its own is sampled in turn: over a real Redis, with a source whose answers are the test's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from feed_host import Feed, Gateway, feed
from support import eventually, run

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.quotes import Quality
from ibstream.ibkr import RequestFailed
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_feed.domain.line import DELAYED
from ibstream_feed.domain.rotation import ROUND_S_MIN
from ibstream_feed.rooms import MESSAGES_LEFT_MAX
from ibstream_feed.sampling import CLOSED_AGE_S, LATER_S
from ibstream_feed.watch import SAMPLE_AGE_S_MIN

STREAMED = ("AAPL", "MSFT")
REST = tuple(f"S{number}" for number in range(6))
SYMBOLS = (*STREAMED, *REST)
SHORT: dict[str, Any] = {"symbols": SYMBOLS, "market_data_lines": 3, "sampling_lines": 1}
"""Two lines that stream, one for the rest."""

ROUND_S = ROUND_S_MIN + 1
"""Long enough for the next round to begin."""


def closed() -> Gateway:
    """A source whose exchanges have been closed since yesterday."""
    opens = SYSTEM_CLOCK.now() - timedelta(hours=36)
    days = [f"{SYSTEM_CLOCK.now() + timedelta(days=one):%Y%m%d}:CLOSED" for one in (0, 1, 2)]
    text = ";".join([f"{opens:%Y%m%d:%H%M}-{opens + timedelta(hours=8):%Y%m%d:%H%M}", *days])
    hours = {"time_zone": "UTC", "trading_hours": text, "liquid_hours": text}
    return Gateway(details=dict.fromkeys(SYMBOLS, hours))


async def taken(it: Feed, count: int) -> list[str]:
    """Wait until so many snapshots have been asked for, and see which."""
    await eventually(lambda: len(it.source.asked("snapshot")) >= count, what=f"{count} snapshots")
    return it.source.asked("snapshot")[:count]


async def rounds(it: Feed, count: int) -> None:
    """Let so many more rounds begin."""
    for _ in range(count):
        before = len(it.source.asked("snapshot"))
        await it.passes(ROUND_S)
        await taken(it, before + 1)


def test_the_rest_of_the_list_takes_turns(redis_url: str) -> None:
    """In order, over and over; every row says that it is a snapshot; how long a round takes is shown."""

    async def scenario() -> None:
        source = Gateway(snapshots={"S3": {"bid": 33.0, "bid_size": 1.0}})
        async with feed(redis_url, source=source, **SHORT) as it:
            await it.subscribed(STREAMED)
            await it.quality(Quality.SNAPSHOT, *REST)
            await it.told("S5", SubscriptionOutcome.SAMPLED)
            assert (await it.rows())["S3"].bid == 33.0
            await it.passes(ROUND_S)
            assert await taken(it, 12) == [*REST, *REST]
            details = it.service.details()
            assert details["sampled"] == len(REST)
            assert 0 <= float(details["sweep_s"]) < ROUND_S
            await it.assert_continuous()

    run(scenario())


def test_how_long_a_round_takes_is_measured(redis_url: str) -> None:
    """From its begin to its last answer."""

    async def scenario() -> None:
        source = closed()  # so that no other round follows at once
        held = source.hold("snapshot")
        async with feed(redis_url, source=source, **SHORT) as it:
            await taken(it, 1)
            await it.passes(20)
            held.set()
            await it.quality(Quality.SNAPSHOT, *REST)
            await eventually(lambda: it.service.details()["sweep_s"], what="the round to be over")
            assert float(it.service.details()["sweep_s"]) == pytest.approx(20, abs=3)

    run(scenario())


@pytest.mark.parametrize("lines", [1, 3])
def test_so_many_at_a_time_as_there_are_lines_for_it(redis_url: str, lines: int) -> None:
    """More would be refused, or take lines from those that stream."""

    async def scenario() -> None:
        source = Gateway()
        held = source.hold("snapshot")
        chosen = {**SHORT, "market_data_lines": 2 + lines, "sampling_lines": lines}
        async with feed(redis_url, source=source, **chosen) as it:
            await it.subscribed(STREAMED)
            await taken(it, lines)
            await it.passes(2)
            assert sorted(source.asked("snapshot")) == list(REST[:lines])
            held.set()
            await it.quality(Quality.SNAPSHOT, *REST)

    run(scenario())


def test_whoever_wants_a_line_does_not_wait_behind_snapshots(redis_url: str) -> None:
    """Some of the message limit is left free; and nothing is sampled before every line has been asked for."""

    async def scenario() -> None:
        source = Gateway(room=MESSAGES_LEFT_MAX)
        held = source.hold("subscribe")
        async with feed(redis_url, source=source, is_ready=False, **SHORT) as it:
            await eventually(lambda: len(source.asked("subscribe")) == 2, what="the lines to be asked for")
            source.room = 1_000
            await it.passes(2)
            assert source.asked("snapshot") == []
            source.room = MESSAGES_LEFT_MAX
            held.set()
            await it.subscribed(STREAMED)
            await it.passes(2)
            assert source.asked("snapshot") == []
            source.room = MESSAGES_LEFT_MAX + 1
            await it.quality(Quality.SNAPSHOT, *REST)

    run(scenario())


def test_one_that_ibkr_refuses_leaves_the_round(redis_url: str) -> None:
    """No permission, or nobody knows it: told, left alone, and the others go on."""

    async def scenario() -> None:
        source = Gateway(unknown={"S1"})
        source.failing["snapshot", "S3"] = RequestFailed(354, "not subscribed")
        async with feed(redis_url, source=source, **SHORT) as it:
            await it.quality(Quality.SNAPSHOT, "S0", "S2", "S4", "S5")
            await it.told("S1", SubscriptionOutcome.UNKNOWN_INSTRUMENT)
            await it.told("S3", SubscriptionOutcome.NO_PERMISSION)
            await rounds(it, 2)
            assert source.asked("snapshot").count("S3") == 1
            assert source.asked("qualify").count("S1") == 1
            assert it.service.details()["left_alone"] == 2
            assert it.service.details()["sampled"] == 4

    run(scenario())


@pytest.mark.parametrize("failure", [TimeoutError("no answer"), RequestFailed(322, "duplicate id")])
def test_one_that_brings_nothing_does_not_hold_up_the_others(redis_url: str, failure: Exception) -> None:
    """It is passed over for a while, and has its turn again then."""

    async def scenario() -> None:
        source = Gateway()
        source.failing["snapshot", "S0"] = failure
        async with feed(redis_url, source=source, **SHORT) as it:
            await it.quality(Quality.SNAPSHOT, *REST[1:])
            await rounds(it, 2)
            assert source.asked("snapshot").count("S0") == 1
            assert source.asked("snapshot").count("S1") >= 3
            assert "S0" not in await it.rows()
            source.failing.clear()
            await it.passes(LATER_S)
            await it.quality(Quality.SNAPSHOT, "S0")

    run(scenario())


def test_a_contract_that_is_no_longer_what_it_was_is_looked_up_anew(redis_url: str) -> None:
    """200 on an id that was remembered from an earlier life: one look-up, and the symbol takes turns as before."""

    class Renamed(Gateway):
        async def snapshot(self, line: Any, contract: Any) -> None:
            if line.symbol == "S2" and "S2" not in self.asked("qualify"):
                self._note("snapshot", "S2")
                raise RequestFailed(200, "No security definition has been found")
            await super().snapshot(line, contract)

    async def scenario() -> None:
        async with feed(redis_url, **SHORT) as it:
            await it.quality(Quality.SNAPSHOT, *REST)
        async with feed(redis_url, source=Renamed(), **SHORT) as it:
            await taken(it, len(REST))
            await it.passes(ROUND_S)
            await it.quality(Quality.SNAPSHOT, *REST)
            assert it.source.asked("qualify") == ["S2"]
            assert it.service.details()["left_alone"] == 0

    run(scenario())


def test_a_contract_that_nobody_knows_after_a_look_up_either_is_left_alone(redis_url: str) -> None:
    """One look-up, and not one in each round."""

    async def scenario() -> None:
        source = Gateway()
        source.failing["snapshot", "S2"] = RequestFailed(200, "No security definition has been found")
        async with feed(redis_url, source=source, **SHORT) as it:
            await it.quality(Quality.SNAPSHOT, "S0", "S1", "S3", "S4", "S5")
            await rounds(it, 1)
            await it.told("S2", SubscriptionOutcome.UNKNOWN_INSTRUMENT)
            await rounds(it, 2)
            assert source.asked("qualify").count("S2") == 2
            assert source.asked("snapshot").count("S2") == 2

    run(scenario())


def test_delayed_samples_say_so(redis_url: str) -> None:
    """That a row is delayed matters more than that it was sampled."""

    async def scenario() -> None:
        async with feed(redis_url, source=Gateway(data_type=DELAYED), **SHORT) as it:
            await it.quality(Quality.DELAYED, *REST)

    run(scenario())


def test_samples_that_cannot_be_renewed_grow_stale(redis_url: str) -> None:
    """The message limit has no room for minutes: what was a snapshot then is none any more; with room it is one again."""

    async def scenario() -> None:
        async with feed(redis_url, **SHORT) as it:
            await it.quality(Quality.SNAPSHOT, *REST)
            it.source.room = 0
            await it.passes(SAMPLE_AGE_S_MIN - 10)
            assert {(await it.rows())[symbol].quality for symbol in REST} == {Quality.SNAPSHOT}
            await it.passes(20)
            await it.quality(Quality.STALE, *REST)
            it.source.room = 1_000
            await it.quality(Quality.SNAPSHOT, *REST)

    run(scenario())


def test_samples_of_a_closed_exchange_stay_good_and_are_taken_rarely(redis_url: str) -> None:
    """Little changes while it is closed."""

    async def scenario() -> None:
        async with feed(redis_url, source=closed(), **SHORT) as it:
            await it.quality(Quality.SNAPSHOT, *REST)
            await it.passes(CLOSED_AGE_S - 30)
            assert it.source.asked("snapshot") == list(REST)
            assert {(await it.rows())[symbol].quality for symbol in REST} == {Quality.SNAPSHOT}
            await it.passes(60)
            assert await taken(it, 12) == [*REST, *REST]

    run(scenario())


def test_nothing_is_sampled_while_the_link_is_down(redis_url: str) -> None:
    """Every sample is stale at once, and is taken again as soon as the link is back, whatever IBKR says it kept."""

    async def scenario() -> None:
        async with feed(redis_url, **SHORT) as it:
            await it.quality(Quality.SNAPSHOT, *REST)
            it.source.lose_link()
            await it.quality(Quality.STALE, *REST, within_s=0.4)
            asked = len(it.source.asked("snapshot"))
            await it.passes(3 * ROUND_S)
            assert len(it.source.asked("snapshot")) == asked
            it.source.restore_link(data_lost=False)
            await it.quality(Quality.SNAPSHOT, *REST)

    run(scenario())


def test_a_session_that_ends_amid_a_snapshot_costs_no_symbol_its_next_turn(redis_url: str) -> None:
    """It was not the symbol's fault."""

    async def scenario() -> None:
        source = Gateway()
        held = source.hold("snapshot")
        async with feed(redis_url, source=source, **SHORT) as it:
            await taken(it, 1)
            source.lose()
            held.set()
            await it.subscribed(STREAMED)
            await it.passes(ROUND_S)
            await it.quality(Quality.SNAPSHOT, *REST)

    run(scenario())


def test_a_symbol_that_is_given_a_line_amid_its_snapshot(redis_url: str) -> None:
    """It is subscribed when the snapshot is over, and its row is live from then on."""

    async def scenario() -> None:
        source = Gateway()
        held = source.hold("snapshot")
        async with feed(redis_url, source=source, **SHORT) as it:
            await taken(it, 1)
            await it.ask("S0")
            await it.subscribed(["AAPL"])
            held.set()
            await it.subscribed(["AAPL", "S0"])
            source.tick("S0")
            await it.quality(Quality.LIVE, "S0")
            assert (await it.qualities("S0"))[-1] is Quality.LIVE

    run(scenario())


def test_without_lines_for_snapshots_the_rest_is_told_that_it_is_left_out(redis_url: str) -> None:
    """`feed.sampling_lines` 0: nothing is asked for, and there are no rows of it."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=SYMBOLS, market_data_lines=2, sampling_lines=0) as it:
            await it.subscribed(STREAMED)
            for symbol in REST:
                await it.told(symbol, SubscriptionOutcome.OVER_CAPACITY)
            await it.passes(ROUND_S)
            assert it.source.asked("snapshot") == []
            assert set(it.source.asked("qualify")) == set(STREAMED)

    run(scenario())
