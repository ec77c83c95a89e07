"""Cards M-50 to M-69: what only a Gateway does to market data, whoever reads its ticks."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest
from contract.gateways import settings_for
from contract.market_data_sources import (
    AAPL,
    CLIENT_ID,
    GATEWAYS,
    KINDS,
    MSFT,
    NVDA,
    Watch,
    connected,
    gateway_ports,
    market_row,
    watching_gateway,
    with_feed,
)
from support import eventually, free_port, run

from ibstream.contracts.quotes import Quality
from ibstream.ibkr import GatewayUnavailable, RequestFailed
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.connection import Trigger
from ibstream_feed.adapters.ibkr import IBKRMarketFeed
from ibstream_feed.domain.line import DELAYED, LIVE
from ibstream_gateway_emulator.domain.limits import Limits

SUBSCRIBE, CANCEL, LOOK_UP, DATA_TYPE = 1, 2, 9, 59
"""Message ids of requests."""

Permission = Literal[354, 10089, 10167, 10168]
REFUSED = pytest.mark.parametrize(("code", "wanted"), [(354, "live"), (10168, "delayed")])
"""Codes with which nothing comes, by the type of data that was asked for."""


@GATEWAYS
@pytest.mark.parametrize(("code", "told"), [(354, 10167), (10089, 10089), (10167, 10167)])
def test_delayed_data_is_said_to_be(decoder: str, code: Permission, told: int) -> None:
    """M-50: where it may take the place of live data: the code is told of its line, which says so and ticks; others are live."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            await watch.gateway.market_data_permission(code=code, symbol="AAPL")
            aapl, msft = await watch.subscribe(AAPL, MSFT)
            await watch.code(aapl, told)
            row = await watch.whole(AAPL)
            assert (aapl.data_type, row.quality) == (DELAYED, Quality.DELAYED)
            await watch.whole(MSFT)
            assert (msft.data_type, msft.quality) == (LIVE, Quality.LIVE)
            assert {one.symbol for one in watch.codes} == {"AAPL"}

    run(scenario())


@GATEWAYS
@REFUSED
def test_a_refused_line_is_told_and_can_be_asked_for_again(decoder: str, code: Permission, wanted: str) -> None:
    """M-51: nothing comes of it, and its end needs no word; once it is allowed it comes."""

    async def scenario() -> None:
        async with watching_gateway(decoder, market_data_type=wanted) as watch:
            await watch.gateway.market_data_permission(code=code, symbol="AAPL")
            aapl, msft = await watch.subscribe(AAPL, MSFT)
            await watch.code(aapl, code)
            await watch.port.unsubscribe(aapl)
            await watch.ticks(msft, times=3)
            assert watch.reads_of(aapl) == 0
            assert [one.code for one in watch.codes] == [code]
            await watch.gateway.clear()
            await watch.subscribe(AAPL)
            assert (await watch.whole(AAPL)).quality is Quality.LIVE

    run(scenario())


@GATEWAYS
def test_a_line_too_many_is_told_and_leaves_the_others(decoder: str) -> None:
    """M-52: 101; when another ends there is room for it."""

    async def scenario() -> None:
        async with watching_gateway(decoder, Limits(market_data_lines=2)) as watch:
            aapl, msft, nvda = await watch.subscribe(AAPL, MSFT, NVDA)
            await watch.code(nvda, 101)
            await watch.ticks(aapl, msft, times=2)
            assert watch.reads_of(nvda) == 0
            await watch.port.unsubscribe(aapl)
            await watch.port.unsubscribe(nvda)
            await watch.subscribe(NVDA)
            await watch.ticks(nvda, msft)
            assert [one.code for one in watch.codes] == [101]

    run(scenario())


@GATEWAYS
def test_a_competing_session_is_told_of_every_line(decoder: str) -> None:
    """M-53: 10197; the lines are silent, and go on by themselves when it is over."""

    async def scenario() -> None:
        async with watching_gateway(decoder, market_data_type="live") as watch:
            aapl, msft = await watch.subscribe(AAPL, MSFT)
            await watch.ticks(aapl, msft)
            await watch.gateway.competing_session()
            await watch.code(aapl, 10197)
            await watch.code(msft, 10197)
            await watch.gateway.clear()
            await watch.ticks(aapl, msft)

    run(scenario())


@GATEWAYS
def test_farms_of_market_data_are_told(decoder: str) -> None:
    """M-54: by name, away and back; of the others nothing."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            [line] = await watch.subscribe(AAPL)
            watch.farms.clear()
            await watch.gateway.farm_down(farm="history")
            await watch.gateway.farm_up(farm="history")
            await watch.gateway.farm_down()
            await eventually(lambda: watch.farms == [("usfarm", False)], what="the farm's loss")
            await watch.gateway.farm_up()
            await eventually(lambda: watch.farms == [("usfarm", False), ("usfarm", True)], what="the farm's return")
            await watch.ticks(line)

    run(scenario())


@GATEWAYS
def test_halts_are_kept_up(decoder: str) -> None:
    """M-55: said of the line alone that is halted, and unsaid when it goes on."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            aapl, msft = await watch.subscribe(AAPL, MSFT)
            await watch.ticks(aapl, msft)
            await watch.gateway.halt(symbol="AAPL")
            await eventually(lambda: aapl.halted, what="the halt")
            await eventually(lambda: any(row.halted for row in watch.rows), what="a row that says so")
            await watch.ticks(msft)
            assert not msft.halted
            await watch.gateway.clear()
            await eventually(lambda: not aapl.halted, what="the end of the halt")

    run(scenario())


@GATEWAYS
@REFUSED
def test_a_snapshot_that_is_not_permitted_fails_with_its_code(decoder: str, code: Permission, wanted: str) -> None:
    """M-56: and the row is what it was."""

    async def scenario() -> None:
        async with watching_gateway(decoder, market_data_type=wanted) as watch:
            line = await watch.snapshot(AAPL)
            row = line.row()
            await watch.gateway.market_data_permission(code=code)
            with pytest.raises(RequestFailed) as failed:
                await watch.port.snapshot(line, await watch.qualify(AAPL))
            assert failed.value.code == code
            assert (line.row(), line.is_gathering) == (row, False)

    run(scenario())


@GATEWAYS
def test_a_delayed_snapshot_says_that_it_is(decoder: str) -> None:
    """M-57: whole, and no failure."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            await watch.gateway.market_data_permission(code=10167)
            line = await watch.snapshot(AAPL)
            row = line.row()
            assert (line.data_type, row.quality) == (DELAYED, Quality.DELAYED)
            assert None not in (row.bid, row.ask, row.last, row.volume)

    run(scenario())


@GATEWAYS
def test_no_more_messages_go_out_than_allowed(decoder: str) -> None:
    """M-58: in any second, as many as `limit` says last; `free` says how many may go now."""

    async def scenario() -> None:
        per_s = 5
        async with watching_gateway(decoder) as watch:
            contract, line = await watch.qualify(AAPL), watch.line(AAPL)
            watch.port.limit(per_s)
            assert 0 <= watch.port.free() <= per_s
            began = SYSTEM_CLOCK.now()
            for _ in range(per_s):
                await watch.port.subscribe(line, contract)
                await watch.port.unsubscribe(line)
            said = await watch.gateway.messages(direction="in", limit=1_000)
            times = [message.time for message in said.messages if message.time >= began]
            assert len(times) >= 2 * per_s
            for first, beyond in zip(times, times[per_s:], strict=False):
                assert beyond - first > timedelta(seconds=0.9), "messages wait a little on their way"

    run(scenario())


@GATEWAYS
@pytest.mark.parametrize(
    ("setting", "number"), [("live", None), ("frozen", "2"), ("delayed", "3"), ("delayed_frozen", "4")]
)
def test_the_type_of_data_is_asked_for_before_any(decoder: str, setting: str, number: str | None) -> None:
    """M-59: once in a session, as the setting says; where live data is permitted it is given all the same."""

    async def scenario() -> None:
        async with watching_gateway(decoder, market_data_type=setting) as watch:
            await watch.subscribe(AAPL, MSFT)
            assert (await watch.whole(AAPL)).quality in (Quality.LIVE, Quality.FROZEN)
            asked = await watch.gateway.messages(direction="in", limit=1_000)
            names = [message.name for message in asked.messages]
            assert [one[-1] for one in await watch.requests(DATA_TYPE)] == ([] if number is None else [number])
            if number is not None:
                assert names.index(str(DATA_TYPE)) < names.index(str(SUBSCRIBE))

    run(scenario())


@GATEWAYS
def test_each_thing_that_is_asked_for_is_one_message(decoder: str) -> None:
    """M-60: in the order in which it was asked for; nothing is looked up by the way."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            contracts = {kind: await watch.qualify(instrument) for kind, instrument in KINDS.items()}
            looked_up = len(await watch.requests(LOOK_UP))
            for kind, contract in contracts.items():
                await watch.port.subscribe(watch.line(KINDS[kind]), contract)
            for kind in contracts:
                await watch.whole(KINDS[kind])
                await watch.port.unsubscribe(watch.line(KINDS[kind]))
            cancels = await eventually(lambda: cancelled(watch, len(contracts)), what="every cancel")
            subscribed = await watch.requests(SUBSCRIBE)
            assert [int(one[3]) for one in subscribed] == [contract.con_id for contract in contracts.values()]
            assert [one[2] for one in cancels] == [one[2] for one in subscribed]
            assert len(await watch.requests(LOOK_UP)) == looked_up

    run(scenario())


async def cancelled(watch: Watch, count: int) -> list[tuple[str, ...]]:
    """The cancels, once there are so many; until then nothing."""
    found = await watch.requests(CANCEL)
    return found if len(found) == count else []


@GATEWAYS
def test_a_link_that_comes_back_with_its_data_goes_on(decoder: str) -> None:
    """M-61: 1100 and 1102 are told, nothing has to be asked for again."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            [line] = await watch.subscribe(AAPL)
            await watch.ticks(line)
            await watch.gateway.lose_link()
            lost = await watch.port.next_event()
            await watch.gateway.restore_link()
            restored = await watch.port.next_event()
            assert lost.trigger is Trigger.LINK_LOST
            assert "1100" in lost.reason
            assert (restored.trigger, restored.code) == (Trigger.LINK_RESTORED, 1102)
            await watch.ticks(line, times=2)

    run(scenario())


@GATEWAYS
def test_a_link_that_comes_back_without_its_data_is_asked_again(decoder: str) -> None:
    """M-62: after 1101 nothing ticks by itself; every line can be subscribed as if it never had been."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            aapl, _ = await watch.subscribe(AAPL, MSFT)
            await watch.ticks(aapl)
            await watch.gateway.lose_link()
            assert (await watch.port.next_event()).trigger is Trigger.LINK_LOST
            await watch.gateway.restore_link(data_lost=True)
            assert (await watch.port.next_event()).code == 1101
            watch.reads.clear()
            [msft] = await watch.subscribe(MSFT)
            await watch.ticks(msft, times=3)
            assert watch.reads_of(aapl) == 0
            await watch.subscribe(AAPL)
            await watch.ticks(aapl)
            assert watch.codes == []

    run(scenario())


@GATEWAYS
def test_the_end_of_a_line_that_ibkr_has_forgotten_is_no_news(decoder: str) -> None:
    """M-63: 300 answers the cancel, and nobody hears of it."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            aapl, msft = await watch.subscribe(AAPL, MSFT)
            await watch.ticks(aapl, msft)
            await watch.gateway.forget_subscriptions(symbol="AAPL")
            await watch.port.unsubscribe(aapl)
            await eventually(lambda: cancelled(watch, 1), what="the cancel")
            await watch.ticks(msft, times=3)
            assert watch.codes == []
            await watch.subscribe(AAPL)
            await watch.ticks(aapl)

    run(scenario())


@GATEWAYS
def test_a_gateway_that_restarts_ends_the_session(decoder: str) -> None:
    """M-64: told as lost; the next session has everything again."""

    async def scenario() -> None:
        async with gateway_ports(decoder) as ports:
            watch = ports()
            async with connected(watch):
                await watch.subscribe(AAPL)
                await watch.whole(AAPL)
                await watch.gateway.restart(down_s=0.1)
                assert (await watch.port.next_event()).trigger is Trigger.LOST
            await eventually(lambda: reconnects(watch), what="a new session")
            [line] = await watch.subscribe(AAPL)
            await watch.ticks(line, times=2)
            await watch.port.close()

    run(scenario())


async def reconnects(watch: Watch) -> bool:
    """Whether a session can be made."""
    try:
        await watch.port.connect(CLIENT_ID)
    except GatewayUnavailable:
        return False
    return True


@GATEWAYS
def test_pieces_of_messages_are_put_together(decoder: str) -> None:
    """M-65: however the bytes arrive, rows are those of the market."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            await watch.gateway.split_writes()
            for instrument in (AAPL, KINDS["pair"], KINDS["index"]):
                [line] = await watch.subscribe(instrument)
                await watch.whole(instrument)
                await eventually(
                    lambda line=line, instrument=instrument: market_row(line.row(), instrument),  # type: ignore[misc]
                    what=f"a row of the market: {line.row()}",
                )
            await watch.snapshot(KINDS["future"])

    run(scenario())


@GATEWAYS
def test_an_absent_gateway_is_told_at_once(decoder: str) -> None:
    """M-66: connection refused, in words, and nothing left behind."""

    async def scenario() -> None:
        port = IBKRMarketFeed(with_feed(settings_for(free_port()), decoder=decoder), clock=SYSTEM_CLOCK)
        with pytest.raises(GatewayUnavailable, match="refused"):
            await port.connect(CLIENT_ID)
        await port.close()

    run(scenario(), timeout_s=4)
