"""The feed's subscriptions over a real Redis: who gets a line, what becomes of the rest, and what is done about what fails."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from feed_host import SHARDS, SYMBOLS, Gateway, feed
from support import eventually, run

from ibstream.bus import Bus
from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.contracts.quotes import Quality, shard_of
from ibstream.ibkr import RequestFailed
from ibstream.ibkr.contracts import AmbiguousInstrument
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.service import Slot
from ibstream_feed.contracts import HOURS_AGE, KEPT_FOR, UPKEEP_RETRY_S, UPKEEP_S
from ibstream_feed.domain.budget import GROW_S_MIN
from ibstream_feed.domain.line import DELAYED, DELAYED_FROZEN, FROZEN, LIVE
from ibstream_feed.domain.register import FIRST_TICK_S, RETRY_S
from ibstream_feed.rooms import MESSAGES_LEFT_MAX
from ibstream_feed.sharing import Sharing

SHORT: dict[str, Any] = {"market_data_lines": 3, "sampling_lines": 1}
"""Two lines that stream, one for snapshots: too few for the list."""


# The list.


def test_the_list_is_subscribed_and_flows(redis_url: str) -> None:
    """Every symbol of the list has a line; its ticks are live rows in the streams and in the hashes, numbered without a gap."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            for symbol in SYMBOLS:
                it.source.tick(symbol, bid=10.0, ask=10.1, bid_size=1.0, ask_size=1.0)
            await it.quality(Quality.LIVE, *SYMBOLS)
            await it.told("BRK.B", SubscriptionOutcome.ACTIVE)
            assert await it.events("BRK.B") == [SubscriptionOutcome.ACTIVE]
            await it.assert_continuous()

    run(scenario())


def test_what_is_wanted_most_is_asked_for_first_and_a_contract_is_looked_up_once_for_all(redis_url: str) -> None:
    """In the order of the list. The next feed on this Redis takes the contracts from there and looks none up."""
    symbols = [f"S{number:02}" for number in range(30)]

    async def scenario() -> None:
        async with feed(redis_url, symbols=symbols) as it:
            await it.subscribed(symbols)
            assert it.source.asked("qualify") == symbols
        async with feed(redis_url, symbols=symbols) as it:
            await it.subscribed(symbols)
            assert it.source.asked("qualify") == []
            assert it.source.asked("subscribe") == symbols

    run(scenario())


def test_a_contract_that_was_remembered_for_too_long_is_looked_up_before_it_is_used(redis_url: str) -> None:
    """Symbols change hands."""

    async def scenario() -> None:
        old = SYSTEM_CLOCK.now() - KEPT_FOR - timedelta(hours=1)
        async with feed(redis_url, source=Gateway(details={"AAPL": {"qualified_at": old}})) as it:
            await it.subscribed(SYMBOLS)
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            assert it.source.asked("qualify") == ["AAPL"]

    run(scenario())


def test_hours_that_have_grown_old_are_asked_for_again_when_there_is_room(redis_url: str) -> None:
    """One symbol at a time, each once; one that gets no answer does not hold up the others, and the lines stream on. What is
    gone by then is not remembered any longer."""

    async def scenario() -> None:
        old = {"qualified_at": SYSTEM_CLOCK.now() - HOURS_AGE - timedelta(hours=1)}
        source = Gateway(details={"AAPL": old, "MSFT": old, "NVDA": old}, room=MESSAGES_LEFT_MAX)
        async with feed(redis_url, source=source) as it:
            await it.subscribed(SYMBOLS)
            source.tick_all()
            source.details.clear()
            source.unknown.add("MSFT")
            source.failing["qualify", "AAPL"] = TimeoutError("no answer")
            await it.passes(3 * UPKEEP_S)
            assert sorted(source.asked("qualify")) == sorted(SYMBOLS)
            source.room = 1_000
            await it.passes(5 * UPKEEP_S)
            assert sorted(source.asked("qualify")[4:]) == ["AAPL", "MSFT", "NVDA"]
            assert sorted(source.asked("subscribe")) == sorted(SYMBOLS)
            await it.quality(Quality.LIVE, *SYMBOLS)
            source.failing.clear()
            await it.passes(UPKEEP_RETRY_S)
            assert source.asked("qualify")[7:] == ["AAPL"]
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            assert it.source.asked("qualify") == ["MSFT"]

    run(scenario())


def test_contracts_of_another_account_are_not_taken(redis_url: str) -> None:
    """What one user may see need not be what another does."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=["AAPL"]) as it:
            await it.subscribed(["AAPL"])
        async with feed(redis_url, symbols=["AAPL"], source=Gateway(account="OTHER")) as it:
            await it.subscribed(["AAPL"])
            assert it.source.asked("qualify") == ["AAPL"]

    run(scenario())


# Leases.


def test_leases_come_before_the_list_by_priority(redis_url: str) -> None:
    """Who loses the line is sampled, and gets it back when the lease has ended; of the lease's symbol nothing is left."""

    async def scenario() -> None:
        async with feed(redis_url, **SHORT) as it:
            await it.subscribed(["AAPL", "MSFT"])
            it.source.tick("AAPL", "MSFT")
            await it.quality(Quality.LIVE, "AAPL", "MSFT")
            await it.told("MSFT", SubscriptionOutcome.ACTIVE)
            await it.ask("TSLA", priority=5)
            await it.subscribed(["AAPL", "TSLA"])
            await it.quality(Quality.SNAPSHOT, "MSFT", "NVDA", "BRK.B")
            await it.told("MSFT", SubscriptionOutcome.SAMPLED)
            await it.ask("AMZN", "b", priority=1)
            await it.subscribed(["TSLA", "AMZN"])
            await it.ask("META", "c", priority=9)
            await it.told("META", SubscriptionOutcome.OVER_CAPACITY)
            await it.quality(Quality.SNAPSHOT, "META")
            it.source.tick("TSLA")
            await it.told("TSLA", SubscriptionOutcome.ACTIVE)
            await it.give_back("TSLA")
            await it.subscribed(["AMZN", "META"])
            await it.told("TSLA", SubscriptionOutcome.ENDED)
            await it.forgotten("TSLA")
            assert (await it.qualities("TSLA"))[-1] is Quality.STALE
            await it.assert_continuous()

    run(scenario())


def test_a_lease_on_a_symbol_of_the_list_lends_it_a_line(redis_url: str) -> None:
    """When it ends, the symbol takes turns again: it has not ended, and its row stays."""

    async def scenario() -> None:
        async with feed(redis_url, **SHORT) as it:
            await it.quality(Quality.SNAPSHOT, "NVDA", "BRK.B")
            await it.ask("BRK.B")
            await it.subscribed(["AAPL", "BRK.B"])
            it.source.tick("BRK.B")
            await it.quality(Quality.LIVE, "BRK.B")
            await it.told("BRK.B", SubscriptionOutcome.ACTIVE)
            await it.give_back("BRK.B")
            await it.subscribed(["AAPL", "MSFT"])
            await it.told("BRK.B", SubscriptionOutcome.SAMPLED)
            await it.quality(Quality.SNAPSHOT, "BRK.B")
            assert SubscriptionOutcome.ENDED not in await it.events("BRK.B")

    run(scenario())


def test_a_lease_that_is_not_renewed_ends(redis_url: str) -> None:
    """With its time; the row's last word is that it is stale."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=["AAPL"]) as it:
            await it.ask("TSLA", ttl_s=1.0)
            await it.subscribed(["AAPL", "TSLA"])
            it.source.tick("TSLA")
            await it.quality(Quality.LIVE, "TSLA")
            await it.subscribed(["AAPL"])
            await it.told("TSLA", SubscriptionOutcome.ENDED)
            await it.forgotten("TSLA")
            assert await it.qualities("TSLA") == [Quality.LIVE, Quality.STALE]

    run(scenario())


class Taker:
    """A `ShardKeeper` that takes what it is given and does nothing with it."""

    async def gained(self, shard: int, token: int) -> None: ...

    async def letting_go(self, shard: int) -> None: ...

    def lost(self, shards: Collection[int]) -> None: ...

    def peers_changed(self, peers: int) -> None: ...


def test_a_line_that_is_asked_for_while_its_shard_goes_is_given_back(redis_url: str) -> None:
    """The message waited for its turn; by then another process has the shard, and nobody would ever have ended it."""

    async def scenario() -> None:
        source = Gateway()
        turn = source.hold("subscribe")
        async with feed(redis_url, source=source, is_ready=False) as it, Bus(redis_url, client_name="other") as bus:
            await eventually(lambda: set(source.asked("subscribe")) == set(SYMBOLS), what="all to be asked for")
            other = Sharing(bus, Slot(1, 1), gateway="", lines=100, shards=SHARDS, clock=SYSTEM_CLOCK, keeper=Taker())
            stop = asyncio.Event()
            sharing = asyncio.create_task(other.run(stop))
            await eventually(lambda: other.held, what="the other to have a share")
            turn.set()
            await it.subscribed([symbol for symbol in SYMBOLS if shard_of(symbol, SHARDS) not in other.held])
            stop.set()
            await sharing

    run(scenario())


def test_a_symbol_is_subscribed_once_however_many_hold_a_lease_on_it(redis_url: str) -> None:
    """The second hears the outcome, too; the subscription lasts until the last one gives it back."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=["AAPL"]) as it:
            await it.ask("TSLA", "a")
            await it.subscribed(["AAPL", "TSLA"])
            it.source.tick("TSLA")
            await it.told("TSLA", SubscriptionOutcome.ACTIVE)
            await it.ask("TSLA", "b", priority=1)
            told = [SubscriptionOutcome.ACTIVE] * 2

            async def both_told() -> bool:
                return await it.events("TSLA") == told

            await eventually(both_told, what="the outcome for both")
            await it.give_back("TSLA", "a")
            await it.ask("META", "a")
            await it.subscribed(["AAPL", "TSLA", "META"])
            assert await it.events("TSLA") == told
            await it.give_back("TSLA", "b")
            await it.told("TSLA", SubscriptionOutcome.ENDED)
            await it.subscribed(["AAPL", "META"])
            assert it.source.asked("subscribe").count("TSLA") == 1

    run(scenario())


def test_a_lease_that_says_more_of_a_symbol_of_the_list_is_no_second_subscription(redis_url: str) -> None:
    """The primary exchange helps to find a contract, and is not another one."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=["AAPL", "MSFT"]) as it:
            await it.subscribed(["AAPL", "MSFT"])
            it.source.tick("AAPL")
            await it.told("AAPL", SubscriptionOutcome.ACTIVE)
            await it.ask(instrument=Instrument(symbol="AAPL", primary_exchange="NASDAQ"))

            async def told_again() -> bool:
                return len(await it.events("AAPL")) == 2

            await eventually(told_again, what="the outcome to be told again")
            assert await it.events("AAPL") == [SubscriptionOutcome.ACTIVE] * 2
            assert sorted(it.source.asked("subscribe")) == ["AAPL", "MSFT"]
            assert it.source.asked("unsubscribe") == []

    run(scenario())


def test_other_instruments_are_quoted_by_lease(redis_url: str) -> None:
    """Currency pairs, futures, options and indices, each under the name that quotes give it."""
    instruments = [
        Instrument(symbol="EUR", currency="USD", security_type="CASH", exchange="IDEALPRO"),
        Instrument(symbol="ES", security_type="FUT", exchange="CME", expiry="202612"),
        Instrument(symbol="AAPL", security_type="OPT", expiry="20261218", strike=Decimal(250), right="C"),
        Instrument(symbol="SPX", security_type="IND", exchange="CBOE"),
        Instrument(symbol="SPY", primary_exchange="ARCA"),
    ]
    names = [quote_symbol(one) for one in instruments]

    async def scenario() -> None:
        async with feed(redis_url, symbols=["AAPL"]) as it:
            for instrument in instruments:
                await it.ask(instrument=instrument)
            await it.subscribed(["AAPL", *names])
            it.source.tick_all()
            await it.quality(Quality.LIVE, *names)
            for name in names:
                await it.told(name, SubscriptionOutcome.ACTIVE)

    run(scenario())


def test_nothing_is_told_of_the_end_of_what_nothing_was_told_of(redis_url: str) -> None:
    """A lease that was given back before its symbol was even looked up."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=["AAPL"]) as it:
            await it.subscribed(["AAPL"])
            held = it.source.hold("qualify")
            await it.ask("TSLA")
            await eventually(lambda: "TSLA" in it.source.asked("qualify"), what="the look-up")
            await it.give_back("TSLA")
            await eventually(lambda: it.service.details()["leases"] == 0, what="the lease to be gone")
            held.set()
            await it.ask("META")
            await it.subscribed(["AAPL", "META"])
            it.source.tick("META")
            await it.told("META", SubscriptionOutcome.ACTIVE)
            assert await it.events("TSLA") == []

    run(scenario())


def test_ticks_that_still_come_for_what_nobody_wants_do_not_bring_it_back_to_life(redis_url: str) -> None:
    """Between the end of a lease and the end of the subscription: the last word stays that the row is stale."""

    class SlowToEnd(Gateway):
        async def unsubscribe(self, line: object) -> None:
            self.tick("TSLA", bid=11.0, bid_size=1.0)
            await super().unsubscribe(line)  # type: ignore[arg-type]

    async def scenario() -> None:
        async with feed(redis_url, symbols=["AAPL"], source=SlowToEnd()) as it:
            await it.ask("TSLA")
            await it.subscribed(["AAPL", "TSLA"])
            it.source.tick("TSLA")
            await it.quality(Quality.LIVE, "TSLA")
            await it.give_back("TSLA")
            await it.subscribed(["AAPL"])
            await it.forgotten("TSLA")
            assert (await it.qualities("TSLA"))[-1] is Quality.STALE

    run(scenario())


# Lines.


def test_ibkr_has_fewer_lines_than_are_configured(redis_url: str) -> None:
    """101: the budget shrinks to what there is, the most wanted keep their lines, and it is not tried again and again."""
    symbols = [f"S{number}" for number in range(10)]

    async def scenario() -> None:
        source = Gateway(lines_max=5)
        async with feed(redis_url, symbols=symbols, source=source, sampling_lines=1) as it:
            await it.ask("TSLA")
            await it.subscribed(["TSLA", *symbols[:3]])
            await it.quality(Quality.SNAPSHOT, *symbols[3:])
            assert it.service.details()["lines"] == 5
            source.tick_all()
            asked = len(source.asked("subscribe"))
            assert asked <= 2 * (len(symbols) + 1)
            await it.passes(GROW_S_MIN - 5)
            assert len(source.asked("subscribe")) == asked

    run(scenario())


def test_ibkr_has_no_line_at_all(redis_url: str) -> None:
    """Told of every symbol; nothing is asked for until it is time to see whether there are lines again."""

    async def scenario() -> None:
        async with feed(redis_url, source=Gateway(lines_max=0)) as it:
            for symbol in SYMBOLS:
                await it.told(symbol, SubscriptionOutcome.SAMPLED)
            asked = len(it.source.asked("subscribe"))
            assert asked <= 2 * len(SYMBOLS)
            await it.passes(GROW_S_MIN - 5)
            assert len(it.source.asked("subscribe")) == asked
            it.source.lines_max = 100
            await it.passes(GROW_S_MIN)
            await it.subscribed(SYMBOLS)

    run(scenario())


def test_lines_that_become_free_are_found(redis_url: str) -> None:
    """After a while a few more are tried: those that are there stay in use."""
    symbols = [f"S{number}" for number in range(10)]

    async def scenario() -> None:
        source = Gateway(lines_max=5)
        async with feed(redis_url, symbols=symbols, source=source, sampling_lines=1) as it:
            await it.subscribed(symbols[:4])
            source.lines_max = 100
            source.tick_all()
            await it.passes(GROW_S_MIN)
            await it.subscribed(symbols, within_s=3.0)
            assert it.service.details()["lines"] == 10

    run(scenario())


def test_no_more_lines_are_used_than_there_are_while_leases_come(redis_url: str) -> None:
    """What lost its line gives it back before another is asked for, whatever is under way: IBKR never has to refuse."""
    symbols = [f"S{number}" for number in range(6)]

    async def scenario() -> None:
        source = Gateway(lines_max=4)
        held = source.hold("qualify")
        async with feed(
            redis_url, symbols=symbols, source=source, market_data_lines=4, sampling_lines=0, is_ready=False
        ) as it:
            await eventually(lambda: len(source.asked("qualify")) == 4, what="the list to be looked up")
            for number in range(3):
                await it.ask(f"L{number}", priority=1 + number)
            await it.told("S1", SubscriptionOutcome.OVER_CAPACITY)
            held.set()
            await it.subscribed(["L0", "L1", "L2", "S0"])
            await it.ask("L3", priority=1)
            await it.subscribed(["L0", "L1", "L2", "L3"])
            assert source.refused == 0

    run(scenario())


# What IBKR refuses.


def test_a_symbol_that_nobody_knows_is_left_alone_and_the_rest_flows(redis_url: str) -> None:
    """One that is unknown, one that fits several: told as such, and not asked for again; the next ones get the lines."""

    async def scenario() -> None:
        source = Gateway(unknown={"MSFT"})
        source.failing["qualify", "NVDA"] = AmbiguousInstrument("NVDA fits two: say which")
        async with feed(redis_url, source=source, market_data_lines=3, sampling_lines=1) as it:
            await it.subscribed(["AAPL", "BRK.B"])
            it.source.tick_all()
            await it.quality(Quality.LIVE, "AAPL", "BRK.B")
            for symbol in ("MSFT", "NVDA"):
                await it.told(symbol, SubscriptionOutcome.UNKNOWN_INSTRUMENT)
                (change,) = [one for one in await it.changes(symbol) if one.outcome == "unknown_instrument"]
                assert change.code == 200
                assert symbol in change.text
            await it.passes(120)
            assert it.source.asked("qualify").count("MSFT") == it.source.asked("qualify").count("NVDA") == 1
            assert it.service.details()["left_alone"] == 2

    run(scenario())


@pytest.mark.parametrize("failure", [TimeoutError("no answer"), RequestFailed(321, "not so")])
def test_a_look_up_that_fails_is_tried_again_later(redis_url: str, failure: Exception) -> None:
    """Without an answer, or with an error that may pass: the others flow, and this one later."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            it.source.tick_all()
            it.source.failing["qualify", "TSLA"] = failure
            await it.ask("TSLA")
            await it.told("TSLA", SubscriptionOutcome.REFUSED)
            it.source.failing.clear()
            await it.passes(50)
            assert it.source.asked("qualify").count("TSLA") == 1
            await it.passes(15)
            await it.subscribed([*SYMBOLS, "TSLA"], within_s=3.0)
            assert it.source.asked("qualify").count("TSLA") == 2
            it.source.tick("TSLA")
            await it.told("TSLA", SubscriptionOutcome.ACTIVE)

    run(scenario())


def test_a_contract_that_is_no_longer_what_it_was_is_looked_up_anew_once(redis_url: str) -> None:
    """200 on an id that was remembered: the symbol is looked up; if IBKR says so again, nobody knows it."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            it.source.refuse("AAPL", 200)
            await it.subscribed(SYMBOLS)
            assert it.source.asked("qualify") == ["AAPL"]
            it.source.refuse("AAPL", 200)
            await it.told("AAPL", SubscriptionOutcome.UNKNOWN_INSTRUMENT)
            await it.passes(60)
            assert it.source.asked("qualify") == ["AAPL"]

    run(scenario())


@pytest.mark.parametrize("code", [354, 10168])
def test_what_may_not_be_seen_gives_its_line_to_the_next(redis_url: str, code: int) -> None:
    """No permission, and nothing delayed either: told, stale, and left alone."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=[*SYMBOLS, "TSLA"], **SHORT) as it:
            await it.subscribed(["AAPL", "MSFT"])
            it.source.tick("AAPL")
            await it.quality(Quality.LIVE, "AAPL")
            it.source.refuse("AAPL", code)
            await it.told("AAPL", SubscriptionOutcome.NO_PERMISSION)
            await it.subscribed(["MSFT", "NVDA"])
            await it.quality(Quality.STALE, "AAPL")
            await it.passes(60)
            assert it.source.asked("subscribe").count("AAPL") == 1
            assert (await it.changes("AAPL"))[-1].code == code

    run(scenario())


def test_a_new_session_may_see_what_the_one_before_might_not(redis_url: str) -> None:
    """Whoever logged in may be allowed more; what nobody knows stays unknown."""

    async def scenario() -> None:
        async with feed(redis_url, source=Gateway(unknown={"MSFT"})) as it:
            await it.subscribed(["AAPL", "NVDA", "BRK.B"])
            it.source.refuse("AAPL", 354)
            await it.told("AAPL", SubscriptionOutcome.NO_PERMISSION)
            it.source.lose()
            await it.subscribed(["AAPL", "NVDA", "BRK.B"])
            assert it.source.asked("qualify").count("MSFT") == 1

    run(scenario())


def test_delayed_data_that_was_announced_as_a_refusal_comes(redis_url: str) -> None:
    """10089, and then delayed ticks: a delayed row, told as such, that stays."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            it.source.code("AAPL", 10089, "Requires additional subscription; delayed data is available")
            it.source.lines["AAPL"].data_type = DELAYED
            it.source.tick("AAPL")
            await it.quality(Quality.DELAYED, "AAPL")
            await it.told("AAPL", SubscriptionOutcome.DELAYED)
            await it.passes(2 * FIRST_TICK_S)
            assert "AAPL" in it.source.lines
            assert await it.events("AAPL") == [SubscriptionOutcome.DELAYED]

    run(scenario())


def test_delayed_data_that_was_announced_does_not_come(redis_url: str) -> None:
    """10089, and then nothing: the line goes to another, and the symbol is left alone for an hour."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=[*SYMBOLS, "TSLA"], **SHORT) as it:
            await it.subscribed(["AAPL", "MSFT"])
            it.source.code("AAPL", 10089)
            it.source.tick("MSFT")
            await it.passes(FIRST_TICK_S + 1)
            await it.told("AAPL", SubscriptionOutcome.NO_PERMISSION)
            await it.subscribed(["MSFT", "NVDA"])
            assert it.source.asked("unsubscribe")[:1] == ["AAPL"]

    run(scenario())


def test_delayed_data_with_a_remark(redis_url: str) -> None:
    """10167: what comes is delayed, as the data itself says."""

    async def scenario() -> None:
        async with feed(redis_url, source=Gateway(data_type=DELAYED)) as it:
            await it.subscribed(SYMBOLS)
            it.source.code("MSFT", 10167, "Displaying delayed market data")
            it.source.tick("MSFT")
            await it.quality(Quality.DELAYED, "MSFT")
            await it.told("MSFT", SubscriptionOutcome.DELAYED)
            assert await it.events("MSFT") == [SubscriptionOutcome.DELAYED]

    run(scenario())


def test_another_login_has_the_data(redis_url: str) -> None:
    """10197: stale at once and told; asked for again from time to time, and live again when it is given back."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            it.source.tick_all()
            await it.quality(Quality.LIVE, *SYMBOLS)
            await it.told("AAPL", SubscriptionOutcome.ACTIVE)
            it.source.code("AAPL", 10197, "No market data during competing live session")
            await it.quality(Quality.STALE, "AAPL", within_s=0.4)
            await it.told("AAPL", SubscriptionOutcome.COMPETING_SESSION)
            await it.passes(RETRY_S[0] - 5)
            assert it.source.asked("subscribe").count("AAPL") == 1
            await it.passes(10)
            await eventually(lambda: it.source.asked("subscribe").count("AAPL") == 2, what="it to be asked for again")
            it.source.code("AAPL", 10197, "No market data during competing live session")
            await it.passes(20)
            assert await it.events("AAPL") == [SubscriptionOutcome.ACTIVE, SubscriptionOutcome.COMPETING_SESSION]
            it.source.tick("AAPL")
            await it.quality(Quality.LIVE, "AAPL")
            await it.told("AAPL", SubscriptionOutcome.ACTIVE)
            assert (await it.rows())["MSFT"].quality is Quality.LIVE

    run(scenario())


def test_a_line_that_dies_for_a_reason_that_may_pass(redis_url: str) -> None:
    """Told as refused, and not as active for what came before; stale when nothing comes, asked for again, active with a tick."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            it.source.tick_all()
            await it.told("AAPL", SubscriptionOutcome.ACTIVE)
            it.source.refuse("AAPL", 322)
            await it.told("AAPL", SubscriptionOutcome.REFUSED)
            await it.passes(RETRY_S[0] + 1)
            await it.quality(Quality.STALE, "AAPL")
            await it.passes(RETRY_S[1] + 1)
            await it.subscribed(SYMBOLS)
            it.source.tick("AAPL")
            await it.quality(Quality.LIVE, "AAPL")
            await it.told("AAPL", SubscriptionOutcome.ACTIVE)
            told = [SubscriptionOutcome.ACTIVE, SubscriptionOutcome.REFUSED, SubscriptionOutcome.ACTIVE]
            assert await it.events("AAPL") == told

    run(scenario())


# The quality of a row.


@pytest.mark.parametrize(
    ("data_type", "quality", "outcome"),
    [
        (LIVE, Quality.LIVE, SubscriptionOutcome.ACTIVE),
        (FROZEN, Quality.FROZEN, SubscriptionOutcome.ACTIVE),
        (DELAYED, Quality.DELAYED, SubscriptionOutcome.DELAYED),
        (DELAYED_FROZEN, Quality.DELAYED_FROZEN, SubscriptionOutcome.DELAYED),
    ],
)
def test_a_row_says_what_ibkr_says_of_its_data(
    redis_url: str, data_type: int, quality: Quality, outcome: SubscriptionOutcome
) -> None:
    """As the source tells it of each subscription; and with the next tick otherwise, where that changes."""

    async def scenario() -> None:
        async with feed(redis_url, source=Gateway(data_type=data_type)) as it:
            await it.subscribed(SYMBOLS)
            it.source.tick("AAPL")
            await it.quality(quality, "AAPL")
            await it.told("AAPL", outcome)
            it.source.lines["AAPL"].data_type = LIVE
            it.source.tick("AAPL")
            await it.quality(Quality.LIVE, "AAPL")

    run(scenario())


def test_a_halt_is_in_the_row(redis_url: str) -> None:
    """A halted row is live and says that trading is halted, until it goes on."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            it.source.tick("AAPL")
            await it.quality(Quality.LIVE, "AAPL")
            for halted in (True, False):
                it.source.halt("AAPL", halted=halted)

                async def says_so(halted: bool = halted) -> bool:
                    saved = (await it.last_values())["AAPL"]
                    return (await it.rows())["AAPL"].halted is halted is saved[10]

                await eventually(says_so, what=f"halted: {halted}")
            assert await it.qualities("AAPL") == [Quality.LIVE]

    run(scenario())
