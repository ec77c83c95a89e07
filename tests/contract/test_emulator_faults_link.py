"""Faults of what lies behind the Gateway: the link to IBKR, its farms, its data; each seen on the wire."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest
from contract.ib_async_terminal import AAPL, Terminal, connected, limit, status, statuses
from contract.ib_async_terminal import SETTINGS as TERMINAL_SETTINGS
from contract.wire_client import AAPL as AAPL_FIELDS
from contract.wire_client import Peer, hello, logged_in, peer, start_api, subscribe
from ib_async import BarDataList
from support import eventually, run

from ibstream_gateway_emulator.control.handle import CommandError, GatewayControl
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SETTINGS = EmulatorSettings(symbols=("AAPL", "MSFT"), port=0, tick_interval_ms=10, limits=Limits.lifted())
TICKS = ("1", "2")
DETAILS = frame(("9", "8", "5", *AAPL_FIELDS, "0", "", "", ""))


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[GatewayServer, GatewayControl, Peer]]:
    async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
        await _drained(client)
        yield gateway, GatewayControl(gateway.state), client


@contextlib.asynccontextmanager
async def trading() -> AsyncIterator[tuple[GatewayServer, GatewayControl, Terminal]]:
    async with running_gateway(TERMINAL_SETTINGS) as gateway, connected(gateway) as terminal:
        yield gateway, GatewayControl(gateway.state), terminal


async def _drained(client: Peer) -> list[list[str]]:
    """All messages up to the answer to a question asked now."""
    client.writer.write(frame(("17", "1")))
    heard = []
    while (fields := await client.receive())[0] != "15":
        heard.append(fields)
    return heard


async def _error(client: Peer, code: str) -> list[str]:
    while (fields := await client.receive_until("4"))[3] != code:
        pass
    return fields


async def _no_ticks(gateway: GatewayServer, client: Peer) -> bool:
    """Whether ten ticks of the clock send no quote."""
    await _drained(client)
    began = gateway.state.stepped_ns
    await eventually(lambda: gateway.state.stepped_ns > began + 100_000_000, what="ten ticks of the clock")
    return not [fields for fields in await _drained(client) if fields[0] in TICKS]


@pytest.mark.parametrize("code", [1100, 2110])
def test_lose_link_is_told_and_stops_the_ticks_until_the_link_is_back(code: int) -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, client):
            client.writer.write(subscribe(3))
            await client.receive_until("1")
            await (control.lose_link(code=1100) if code == 1100 else control.lose_link(code=2110))
            assert (await _error(client, str(code)))[2] == "-1"
            assert await _no_ticks(gateway, client)
            async with peer(gateway, hello() + start_api(2)) as late:
                assert (await late.receive_until("4"))[3] == str(code)
            await control.restore_link()
            assert (await _error(client, "1102"))[2] == "-1"
            assert (await client.receive_until("1"))[2] == "3"

    run(scenario())


def test_lose_link_comes_back_by_itself_with_1102() -> None:
    async def scenario() -> None:
        async with listening() as (_, control, client):
            await control.lose_link(for_s=0.1)
            await _error(client, "1100")
            await _error(client, "1102")

    run(scenario())


def test_restore_link_with_data_lost_forgets_the_subscriptions() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, client):
            client.writer.write(subscribe(3))
            await client.receive_until("1")
            await control.lose_link()
            await control.restore_link(data_lost=True)
            await _error(client, "1101")
            assert await _no_ticks(gateway, client)
            client.writer.write(subscribe(3))
            assert (await client.receive_until("1"))[2] == "3"

    run(scenario())


def test_lose_link_keeps_orders_and_sends_them_when_it_is_back() -> None:
    """Maintain and resubmit orders when connection is restored, on by default since 10.28."""

    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.lose_link()
            trade = terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
            await terminal.ib.reqAllOpenOrdersAsync()
            assert statuses(trade) == ["PendingSubmit"]
            assert [(one.order_ref, one.outcome) for one in await control.orders()] == [("a", "kept")]
            await control.restore_link()
            await status(trade, "Submitted")

    run(scenario())


def test_lose_link_may_lose_orders() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.lose_link(keeps_orders=False)
            trade = terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
            await control.wait_for_order(order_ref="a")
            await control.restore_link()
            await terminal.ib.reqAllOpenOrdersAsync()
            assert statuses(trade) == ["PendingSubmit"]
            assert [(one.outcome, one.text) for one in await control.orders()] == [("lost", "lose_link")]

    run(scenario())


@pytest.mark.parametrize("is_told", [True, False])
def test_lose_link_hides_fills_which_are_told_afterwards_or_not(*, is_told: bool) -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            trade = terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
            await status(trade, "Submitted")
            await control.lose_link()
            await control.fill(order_ref="a", price=Decimal(1))
            assert await terminal.ib.reqExecutionsAsync() == []
            assert [one.order.orderRef for one in await terminal.ib.reqAllOpenOrdersAsync()] == ["a"]
            await control.restore_link(tells_missed=is_told)
            await terminal.told(1102)
            await terminal.ib.reqAllOpenOrdersAsync()
            assert trade.orderStatus.status == ("Filled" if is_told else "Submitted")
            assert len(await terminal.ib.reqExecutionsAsync()) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("farm", "broken", "fine"),
    [("market_data", "2103", "2104"), ("history", "2105", "2106"), ("security_definitions", "2157", "2158")],
)
def test_farm_down_and_farm_up_are_told_now_and_to_who_comes_later(farm: str, broken: str, fine: str) -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, client):
            await control.command(_verb(verb="farm_down", farm=farm))
            said = await _error(client, broken)
            assert " is broken:" in said[4]
            async with peer(gateway, hello() + start_api(2)) as late:
                codes = [(await late.receive_until("4"))[3] for _ in range(3)]
                assert broken in codes
                assert fine not in codes
            await control.command(_verb(verb="farm_up", farm=farm))
            assert (await _error(client, fine))[4].rpartition(":")[2] == said[4].rpartition(":")[2]

    run(scenario())


def test_farm_down_of_market_data_stops_the_ticks_until_it_is_cleared() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, client):
            client.writer.write(subscribe(3))
            await client.receive_until("1")
            await control.farm_down()
            assert await _no_ticks(gateway, client)
            await control.clear(fault="farm_down")
            await _error(client, "2104")
            assert (await client.receive_until("1"))[2] == "3"

    run(scenario())


def test_farm_up_brings_the_ticks_back() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, client):
            client.writer.write(subscribe(3))
            await client.receive_until("1")
            await control.farm_down(farm_name="eufarm")
            assert (await _error(client, "2103"))[4].endswith(":eufarm")
            assert await _no_ticks(gateway, client)
            await control.farm_up(farm_name="eufarm")
            assert (await _error(client, "2104"))[4].endswith(":eufarm")
            assert (await client.receive_until("1"))[2] == "3"

    run(scenario())


def test_farm_down_of_history_refuses_bars() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.farm_down(farm="history")
            with pytest.raises(Exception, match=r"162.*HMDS server"):
                await _bars(terminal)
            await control.clear(fault="farm_down")
            assert await _bars(terminal)

    run(scenario())


def test_farm_down_of_security_definitions_leaves_contracts_unanswered() -> None:
    async def scenario() -> None:
        async with listening() as (_, control, client):
            await control.farm_down(farm="security_definitions", for_s=0.2)
            client.writer.write(DETAILS)
            await _error(client, "2157")
            assert "10" not in [fields[0] for fields in await _drained(client)]
            await _error(client, "2158")
            client.writer.write(DETAILS)
            await client.receive_until("10")

    run(scenario())


def test_competing_session_takes_the_data_away_while_it_lasts() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, client):
            client.writer.write(subscribe(3))
            await client.receive_until("1")
            await control.competing_session()
            assert (await _error(client, "10197"))[2] == "3"
            assert await _no_ticks(gateway, client)
            client.writer.write(subscribe(4))
            assert (await _error(client, "10197"))[2] == "4"
            await control.clear(fault="competing_session")
            assert (await client.receive_until("1"))[2] == "3"

    run(scenario())


def test_competing_session_refuses_history_for_another_address() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.competing_session()
            with pytest.raises(Exception, match="different IP address"):
                await _bars(terminal)

    run(scenario())


@pytest.mark.parametrize(("code", "is_delayed"), [(354, False), (10168, False), (10089, True), (10167, True)])
def test_market_data_permission_is_refused_or_delayed(code: int, *, is_delayed: bool) -> None:
    async def scenario() -> None:
        async with listening() as (_, control, client):
            await control.command(_verb(verb="market_data_permission", code=code, symbol="AAPL"))
            if is_delayed:
                client.writer.write(frame(("59", "1", "3")))
            client.writer.write(subscribe(3))
            assert (await _error(client, str(code)))[2] == "3"
            if is_delayed:
                assert (await client.receive_until("58"))[1:] == ["1", "3", "3"]
                assert (await client.receive_until("1"))[3] in ("66", "67", "68")
            else:
                assert not [fields for fields in await _drained(client) if fields[0] in TICKS]

    run(scenario())


def test_halt_is_told_by_tick_49_and_stops_the_quotes_of_its_symbol_while_it_lasts() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, client):
            client.writer.write(subscribe(3) + _ask(4, "MSFT"))
            assert [await _halted(client) for _ in range(2)] == [("3", "0"), ("4", "0")]
            await control.halt(symbol="AAPL")
            assert await _halted(client) == ("3", "1")
            began = gateway.state.stepped_ns
            await eventually(lambda: gateway.state.stepped_ns > began + 1_000_000_000, what="a second of the clock")
            assert {fields[2] for fields in await _drained(client) if fields[0] in TICKS} == {"4"}
            await control.clear(fault="halt")
            assert await _halted(client) == ("3", "0")
            assert (await _tick_of(client, "3"))[0] in TICKS

    run(scenario())


def test_halt_is_told_with_a_quote_to_who_subscribes_meanwhile() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, client):
            await control.halt()
            client.writer.write(subscribe(3))
            assert await _halted(client) == ("3", "1")
            assert (await client.receive_until("1"))[2] == "3"
            assert await _no_ticks(gateway, client)
            client.writer.write(_ask(4, "AAPL", snapshot="1"))
            assert await _halted(client) == ("4", "1")
            assert (await client.receive_until("57"))[2] == "4"

    run(scenario())


def test_halt_of_delayed_data_is_told_under_the_delayed_type() -> None:
    async def scenario() -> None:
        async with listening() as (_, control, client):
            await control.market_data_permission(code=10167)
            client.writer.write(frame(("59", "1", "3")) + subscribe(3))
            assert await _halted(client, "90") == ("3", "0")
            await client.receive_until("1")
            await control.halt()
            assert await _halted(client, "90") == ("3", "1")

    run(scenario())


def test_forget_subscriptions_stops_their_ticks_without_a_word_until_they_are_asked_for_again() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, client):
            client.writer.write(subscribe(3) + _ask(4, "MSFT"))
            await _tick_of(client, "4")
            await control.forget_subscriptions(symbol="AAPL")
            await _drained(client)
            began = gateway.state.stepped_ns
            await eventually(lambda: gateway.state.stepped_ns > began + 1_000_000_000, what="a second of the clock")
            heard = await _drained(client)
            assert {(fields[0] in TICKS, fields[2]) for fields in heard if fields[0] != "46"} == {(True, "4")}
            client.writer.write(subscribe(3))
            assert await _tick_of(client, "3")

    run(scenario())


def test_forget_subscriptions_frees_lines_and_is_bounded_by_client_and_count() -> None:
    settings = msgspec.structs.replace(SETTINGS, limits=msgspec.structs.replace(Limits.lifted(), market_data_lines=2))

    async def scenario() -> None:
        async with running_gateway(settings) as gateway, logged_in(gateway) as client, logged_in(gateway, 2) as other:
            control = GatewayControl(gateway.state)
            client.writer.write(subscribe(3) + _ask(4, "MSFT"))
            other.writer.write(subscribe(5))
            await _tick_of(client, "4")
            await _tick_of(other, "5")
            with pytest.raises(CommandError, match="no such subscription"):
                await control.forget_subscriptions(client_id=3)
            await control.forget_subscriptions(client_id=1, count=1)
            client.writer.write(frame(("2", "1", "3")))
            assert (await _error(client, "300"))[2] == "3"
            assert await _tick_of(client, "4")
            assert await _tick_of(other, "5")
            await control.forget_subscriptions(client_id=1)
            client.writer.write(frame(("2", "1", "4")))
            assert (await _error(client, "300"))[2] == "4"

    run(scenario())


def test_fail_live_updates_ends_bars_that_were_kept_up_to_date() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            bars = await _bars(terminal, keepUpToDate=True)
            assert bars
            await control.fail_live_updates(client_id=2)
            assert 10182 not in terminal.codes
            await control.fail_live_updates(client_id=1)
            assert (await terminal.told(10182))[0] == bars.reqId

    run(scenario())


@pytest.mark.parametrize("code", [162, 200, 321, 322, 366])
def test_fail_history_fails_the_next_request_alone(code: int) -> None:
    """ib_async takes 321 for a warning, and goes on waiting."""

    async def scenario() -> None:
        async with listening() as (_, control, client):
            await control.command(_verb(verb="fail_history", code=code))
            request = ("20", "1", *AAPL_FIELDS, "0", "", "1 day", "2 D", "1", "TRADES", "1", "0", "")
            client.writer.write(frame(request))
            assert (await _error(client, str(code)))[2] == "1"
            client.writer.write(frame(request))
            assert (await client.receive_until("17"))[1] == "1"

    run(scenario())


def test_fail_history_is_a_pacing_violation_by_default() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.fail_history(symbol="AAPL")
            with pytest.raises(Exception, match="pacing violation"):
                await _bars(terminal)
            assert await _bars(terminal)

    run(scenario())


def _ask(req_id: int, symbol: str, *, snapshot: str = "0") -> bytes:
    contract = ("0", symbol, "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
    return frame(("1", "11", str(req_id), *contract, "0", "", snapshot, "0", ""))


async def _halted(client: Peer, tick_type: str = "49") -> tuple[str, str]:
    """What the next tick about a halt says: of which request, and what."""
    while (fields := await client.receive_until("45"))[3] != tick_type:
        pass
    return fields[2], fields[4]


async def _tick_of(client: Peer, req_id: str) -> list[str]:
    """The next price or size of a subscription."""
    while (fields := await client.receive())[0] not in TICKS or fields[2] != req_id:
        pass
    return fields


def _verb(**fields: object) -> verbs.Verb:
    return verbs.from_builtins(fields)


async def _bars(terminal: Terminal, *, keepUpToDate: bool = False) -> BarDataList:  # noqa: N803 - ib_async's name
    return await terminal.ib.reqHistoricalDataAsync(
        AAPL, "", "2 D", "1 day", "TRADES", useRTH=True, keepUpToDate=keepUpToDate
    )
