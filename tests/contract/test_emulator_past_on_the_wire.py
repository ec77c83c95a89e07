"""Answers about the past, instruments and the account, field by field as they come over a bare socket."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from contract.wire_client import AAPL, Peer, logged_in
from support import eventually, run

from ibstream.runtime.clock import ManualClock
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings, Holding

MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
SETTINGS = EmulatorSettings(
    symbols=("AAPL", "MSFT"),
    port=0,
    tick_interval_ms=10,
    limits=Limits.lifted(),
    holdings=(Holding(symbol="AAPL", quantity=Decimal(10), average_cost=Decimal("256.10")),),
)


async def ask(client: Peer, *fields: str) -> None:
    client.writer.write(frame(fields))
    await client.writer.drain()


def bars(req_id: int, size: str, duration: str, what: str, *, keep: str = "0", end: str = "") -> tuple[str, ...]:
    return ("20", str(req_id), *AAPL, "0", end, size, duration, "0", what, "1", keep, "")


def test_bars_come_in_one_frame_of_their_own_layout() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS, clock=ManualClock(MONDAY)) as gateway, logged_in(gateway) as client:
            await ask(client, *bars(5, "1 min", "120 S", "TRADES"))
            fields = await client.receive_until("17")
            assert fields[:5] == ["17", "5", "20261123 09:58:00 US/Eastern", "20261123 10:00:00 US/Eastern", "2"]
            assert len(fields) == 5 + 2 * 8
            assert fields[5] == "20261123 09:58:00 US/Eastern"
            assert fields[13] == "20261123 09:59:00 US/Eastern"
            await ask(client, *bars(6, "1 min", "120 S", "MIDPOINT"))
            fields = await client.receive_until("17")
            assert fields[10:13] == ["-1", "-1", "-1"]

    run(scenario())


def test_a_warning_precedes_the_bars_it_is_about() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS, clock=ManualClock(MONDAY)) as gateway, logged_in(gateway) as client:
            await ask(client, *bars(5, "1 min", "120 S", "TRADES", end="20261123 09:00:00"))
            warning = await client.receive_until("4")
            while warning[2] != "5":
                warning = await client.receive_until("4")
            assert warning[:4] == ["4", "2", "5", "2174"]
            assert (await client.receive())[:2] == ["17", "5"]

    run(scenario())


def test_an_update_has_its_close_before_its_high() -> None:
    """Message 90: reqId, count, date, open, close, high, low, average, volume."""

    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with running_gateway(SETTINGS, clock=clock) as gateway, logged_in(gateway) as client:
            await ask(client, *bars(5, "1 hour", "1 D", "TRADES", keep="1"))
            initial = await client.receive_until("17")
            for _ in range(30):
                clock.advance(1)
                fields = await client.receive_until("90")
                _, req_id, count, date, opening, close, high, low, average, volume = fields
                assert req_id == "5"
                assert date == "20261123 10:00:00 US/Eastern"
                assert float(low) <= min(float(opening), float(close))
                assert max(float(opening), float(close)) <= float(high)
                assert float(low) <= float(average) <= float(high)
                assert int(count) > 0
                assert int(volume) > 0
            assert initial[-8].startswith("20261123 09:00:00")

    run(scenario())


def test_the_schedule_is_message_106() -> None:
    async def scenario() -> None:
        clock = ManualClock(datetime(2026, 4, 11, 17, 52, tzinfo=UTC))
        async with running_gateway(SETTINGS, clock=clock) as gateway, logged_in(gateway) as client:
            await ask(client, "20", "5", *AAPL, "0", "", "1 day", "1 M", "1", "SCHEDULE", "1", "0", "")
            fields = await client.receive_until("106")
            assert fields[1:6] == ["5", "20260312-09:30:00", "20260410-16:00:00", "US/Eastern", "21"]
            assert fields[6:9] == ["20260312-09:30:00", "20260312-16:00:00", "20260312"]
            assert len(fields) == 6 + 3 * 21

    run(scenario())


@pytest.mark.parametrize(("what", "kind", "width"), [("TRADES", "98", 6), ("BID_ASK", "97", 6), ("MIDPOINT", "96", 4)])
def test_ticks_of_the_past_are_a_list_that_ends_with_done(what: str, kind: str, width: int) -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS, clock=ManualClock(MONDAY)) as gateway, logged_in(gateway) as client:
            await ask(client, "96", "5", *AAPL, "0", "", "20261123-14:00:00", "10", what, "0", "0", "")
            fields = await client.receive_until(kind)
            count = int(fields[2])
            assert count >= 10
            assert len(fields) == 3 + count * width + 1
            assert fields[-1] == "1"
            assert all(stamp.isdecimal() for stamp in fields[3:-1:width])

    run(scenario())


def test_the_head_of_history_is_told_in_both_formats() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
            await ask(client, "87", "5", *AAPL, "0", "1", "TRADES", "1")
            assert await client.receive_until("88") == ["88", "5", "20000103-14:30:00"]
            await ask(client, "87", "6", *AAPL, "0", "1", "TRADES", "2")
            assert await client.receive_until("88") == ["88", "6", "946909800"]
            await ask(client, "90", "6")
            await eventually(functools.partial(_is_closed, gateway, 6), what="the end of the query")
            assert gateway.state.history.is_used(gateway.state.clients[1], 5), "it stays open until it is cancelled"

    run(scenario())


def _is_closed(gateway: GatewayServer, req_id: int) -> bool:
    return not gateway.state.history.is_used(gateway.state.clients[1], req_id)


def test_a_query_that_is_cancelled_before_its_answer_gets_none() -> None:
    """Two messages in one segment: the bars are still being computed when the second is read."""

    async def scenario() -> None:
        async with running_gateway(SETTINGS, clock=ManualClock(MONDAY)) as gateway, logged_in(gateway) as client:
            client.writer.write(frame(bars(5, "5 secs", "1 D", "TRADES")) + frame(("25", "1", "5")))
            cancelled = await client.receive_until("4")
            while cancelled[2] != "5":
                cancelled = await client.receive_until("4")
            assert cancelled[3] == "162"
            assert "API historical data query cancelled: 5" in cancelled[4]
            await ask(client, *bars(6, "1 min", "120 S", "TRADES"))
            assert (await client.receive())[:2] == ["17", "6"]

    run(scenario())


def test_a_position_is_message_61_as_recorded() -> None:
    """The TSLA line of wire-samples.txt: strike 0.0, no right, no multiplier, the primary exchange."""

    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
            await ask(client, "61", "1")
            fields = await client.receive_until("61")
            assert "|".join(fields) == "61|3|DU9000001|265598|AAPL|STK||0.0|||NASDAQ|USD|AAPL|NMS|10|256.1"
            assert await client.receive() == ["62", "1"]

    run(scenario())


def test_the_account_is_told_in_order_values_portfolio_time_end() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
            await ask(client, "6", "2", "1", "")
            kinds: list[str] = []
            while not kinds or kinds[-1] != "54":
                fields = await client.receive()
                if fields[0] in ("6", "7", "8", "54"):
                    kinds.append(fields[0])
            assert kinds == ["6"] * kinds.count("6") + ["7", "8", "54"]
            assert kinds.count("6") > 40

    run(scenario())


def test_profit_and_loss_are_messages_94_and_95() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS, clock=ManualClock(MONDAY)) as gateway, logged_in(gateway) as client:
            await ask(client, "92", "8", "DU9000001", "")
            whole = await client.receive_until("94")
            assert whole[:2] == ["94", "8"]
            assert len(whole) == 5
            await ask(client, "94", "9", "DU9000001", "", "265598")
            single = await client.receive_until("95")
            assert single[:3] == ["95", "9", "10"]
            assert single[3:6] == whole[2:]
            await ask(client, "94", "10", "DU9000001", "", str(_con_id(gateway, "MSFT")))
            unknown = await client.receive_until("95")
            assert unknown == ["95", "10", "0", *["1.7976931348623157E308"] * 4]

    run(scenario())


def _con_id(gateway: GatewayServer, symbol: str) -> int:
    found = gateway.state.master.by_symbol(symbol)
    assert found is not None
    return found.con_id


def test_the_time_is_told_once_a_second_and_to_each_client() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with running_gateway(SETTINGS, clock=clock) as gateway, logged_in(gateway, 1) as client:
            await ask(client, "49", "1")
            told = ["49", "1", str(int(MONDAY.timestamp()))]
            assert await client.receive_until("49") == told
            clock.advance(0.999)
            await ask(client, "49", "1")
            await ask(client, "61", "1")
            assert (await client.receive())[0] == "61", "the question about the time is ignored"
            async with logged_in(gateway, 2) as other:
                await ask(other, "49", "1")
                assert await other.receive_until("49") == told
            clock.advance(0.001)
            await ask(client, "49", "1")
            assert await client.receive_until("49") == ["49", "1", str(int(MONDAY.timestamp()) + 1)]

    run(scenario())


def test_the_option_chain_ends_with_message_76() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS, clock=ManualClock(MONDAY)) as gateway, logged_in(gateway) as client:
            await ask(client, "78", "5", "AAPL", "", "STK", "265598")
            chain = await client.receive_until("75")
            assert chain[:6] == ["75", "5", "SMART", "265598", "AAPL", "100"]
            expirations = int(chain[6])
            strikes = int(chain[7 + expirations])
            assert len(chain) == 8 + expirations + strikes
            assert await client.receive_until("76") == ["76", "5"]

    run(scenario())


def test_small_questions_have_small_answers() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
            await ask(client, "80")
            assert await client.receive_until("78") == ["78", "1", "DU9000001", ""]
            await ask(client, "85")
            assert await client.receive_until("85") == ["85", "0"]
            await ask(client, "104", "5")
            assert await client.receive_until("107") == ["107", "5", ""]
            await ask(client, "24", "1")
            assert (await client.receive_until("19"))[2].startswith("<?xml")

    run(scenario())
