"""What no client hears of leaves its trace in the journal; what cannot be done is said; what is over is marked as over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import httpx
import msgspec
import pytest
from contract.ib_async_terminal import AAPL, SETTINGS, Terminal, connected, limit, status
from contract.wire_client import Peer, hello, logged_in, peer, start_api
from ib_async import Contract, Forex
from support import eventually, run

from ibstream_gateway_emulator import lobby
from ibstream_gateway_emulator.control.handle import CommandError, GatewayControl
from ibstream_gateway_emulator.control.http import serving_control
from ibstream_gateway_emulator.control.views import OrderRow
from ibstream_gateway_emulator.domain import order_ids
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.protocol.fields import Contract as WireContract
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import write_request
from ibstream_gateway_emulator.server import GatewayServer, running_gateway

ACCOUNTS = frame(("17", "1"))


@contextlib.asynccontextmanager
async def trading() -> AsyncIterator[tuple[GatewayServer, GatewayControl, Terminal]]:
    async with running_gateway(SETTINGS) as gateway, connected(gateway) as terminal:
        yield gateway, GatewayControl(gateway.state), terminal


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[GatewayServer, GatewayControl, Peer]]:
    async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
        yield gateway, GatewayControl(gateway.state), client


def order_bytes(order_id: int, ref: str, **fields: object) -> bytes:
    """placeOrder as a client writes it: one share of AAPL at a dollar."""
    order = PlaceOrder(
        order_id=order_id,
        contract=WireContract(symbol="AAPL", security_type="STK", exchange="SMART", currency="USD"),
        action="BUY",
        quantity=Decimal(1),
        order_type="LMT",
        limit_price=Decimal(1),
        tif="GTC",
        attributes={"orderRef": ref, **fields},
    )
    return write_request(order, 178)


async def outcomes(control: GatewayControl) -> list[tuple[str, str, str]]:
    return [(one.order_ref, one.outcome, one.text) for one in await control.orders()]


# Orders that nobody looked at.


def test_half_open_loses_orders_and_the_journal_knows_them() -> None:
    async def scenario() -> None:
        async with listening() as (_, control, client):
            await control.half_open(client_id=1)
            client.writer.write(ACCOUNTS + order_bytes(1, "a") + order_bytes(2, "asks", whatIf=True))
            row = await control.wait_for_order(order_ref="a")
            assert (row.outcome, row.text, row.client_id, row.symbol) == ("lost", "half_open", 1, "AAPL")
            client.writer.write(order_bytes(3, "b"))
            await control.wait_for_order(order_ref="b")
            assert len(await control.orders()) == 2, "to ask what an order would do is no order"

    run(scenario())


def test_half_open_loses_what_was_still_on_its_way() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, client):
            await control.delay(ms=60_000, direction="in")
            client.writer.write(order_bytes(1, "a"))
            [connection] = gateway._connections
            await eventually(lambda: connection._wire.held, what="the order to be on its way")
            await control.half_open(client_id=1)
            assert await outcomes(control) == [("a", "lost", "half_open")]

    run(scenario())


def test_silent_after_handshake_loses_orders_and_the_journal_knows_them() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            control = GatewayControl(gateway.state)
            await control.silent_after_handshake()
            async with peer(gateway, hello() + start_api(4) + order_bytes(1, "a")):
                row = await control.wait_for_order(order_ref="a")
                assert (row.outcome, row.text, row.client_id) == ("lost", "silent_after_handshake", 4)

    run(scenario())


def test_delay_lets_an_order_arrive_after_its_client_has_closed() -> None:
    """The order overtakes a client that reconnects at once and asks: it is not there yet, and comes later."""

    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            control = GatewayControl(gateway.state)
            async with logged_in(gateway, 1) as client:
                await control.delay(ms=300, direction="in", client_id=1)
                client.writer.write(order_bytes(1, "late"))
                await client.writer.drain()
            async with logged_in(gateway, 2) as other:
                other.writer.write(frame(("16", "1")))
                assert await other.receive_until("53"), "no order is open yet"
                assert await control.orders() == []
            row = await control.wait_for_order(order_ref="late")
            assert (row.outcome, row.status) == ("taken", "Submitted")
            await eventually(lambda: 1 not in gateway.state.clients, what="the client to have left")

    run(scenario())


def test_drop_connection_loses_orders_that_were_on_their_way() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, client):
            await control.delay(ms=60_000, direction="in")
            client.writer.write(order_bytes(1, "a"))
            [connection] = gateway._connections
            await eventually(lambda: connection._wire.held, what="the order to be on its way")
            await control.drop_connection(client_id=1)
            await control.wait_for_order(order_ref="a")
            assert await outcomes(control) == [("a", "lost", "closed")]

    run(scenario())


def test_an_answer_is_worked_out_though_nobody_can_be_told() -> None:
    """What `send` is given may do something while it is read; a connection that closes must not keep it from that."""

    async def scenario() -> None:
        async with listening() as (gateway, _, _client):
            [connection] = gateway._connections
            connection.close("to see")
            done: list[int] = []

            def noting() -> Iterator[Message]:
                done.append(1)
                yield from ()

            connection.send(noting())
            assert done == [1]

    run(scenario())


# What the rows say.


def test_read_only_api_leaves_the_refused_order_with_all_it_said() -> None:
    """Refused before it was looked at, by the rate of messages or as unreadable, an order is known as far as it can be read."""

    async def scenario() -> None:
        settings = msgspec.structs.replace(SETTINGS, limits=Limits(messages_per_s=1))
        async with running_gateway(settings) as gateway, logged_in(gateway) as client:
            control = GatewayControl(gateway.state)
            unreadable = (
                order_bytes(1, "x").replace(b"\0LMT\0001.0\0", b"\0LMT\0many\0").replace(b"\0LMT\0001\0", b"\0LMT\0n\0")
            )
            client.writer.write(unreadable + order_bytes(2, "soon"))
            first, second = await rows(control, 2)
            assert (first.code, first.order_id, first.symbol, first.action, first.quantity) == (
                320,
                1,
                "AAPL",
                "BUY",
                1,
            )
            assert (second.code, second.order_id, second.order_ref, second.limit_price) == (100, 2, "soon", 1)

    run(scenario())


async def rows(control: GatewayControl, number: int) -> list[OrderRow]:
    async def enough() -> list[OrderRow] | None:
        found = await control.orders()
        return found if len(found) == number else None

    return await control.wait_for(enough, what=f"{number} orders")


def test_lose_order_of_a_change_is_no_second_order() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            trade = terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
            await status(trade, "Submitted")
            await control.lose_order(count=1)
            trade.order.lmtPrice = 2.0
            terminal.place(trade.order)
            both = await rows(control, 2)
            assert sorted((one.outcome, one.is_change) for one in both) == [("lost", True), ("taken", False)]
            order = await control.wait_for_order(order_ref="a")
            assert (order.outcome, order.limit_price) == ("taken", 1)

    run(scenario())


def test_lose_link_keeps_orders_and_changes_of_them() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.lose_link()
            order = limit("BUY", 10, 1.0, orderRef="a")
            terminal.place(order)
            order.lmtPrice = 2.0
            terminal.place(order)
            both = await rows(control, 2)
            assert [(one.outcome, one.is_change, one.limit_price) for one in both] == [
                ("kept", False, 1), ("kept", True, 2)
            ]  # fmt: skip
            await control.restore_link()
            [row] = await control.orders()
            assert (row.outcome, row.limit_price) == ("taken", 2)

    run(scenario())


def test_lose_acknowledgement_is_remembered_after_the_client_has_heard() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            control = GatewayControl(gateway.state)
            async with connected(gateway) as terminal:
                await control.lose_acknowledgement(order_ref="a")
                terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
                await control.wait_for_order(order_ref="a", status="Submitted")
            async with connected(gateway) as again:
                assert [one.order.orderRef for one in again.ib.openTrades()] == ["a"]
                assert not (await control.wait_for_order(order_ref="a")).acknowledged
            await control.clear()
            assert not (await control.wait_for_order(order_ref="a")).acknowledged

    run(scenario())


def test_lose_acknowledgement_counts_for_orders_that_were_kept_for_the_link() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.lose_acknowledgement(order_ref="a")
            await control.lose_link()
            trade = terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
            assert (await control.wait_for_order(order_ref="a")).outcome == "kept"
            await control.restore_link()
            await control.wait_for_order(order_ref="a", status="Submitted")
            await terminal.told(1102)
            other = terminal.place(limit("BUY", 10, 1.0, orderRef="b"))
            await status(other, "Submitted")
            assert trade.orderStatus.status == "PendingSubmit"

    run(scenario())


def test_reject_orders_finds_the_instrument_however_it_is_named() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.reject_orders(symbol="AAPL")
            by_id = terminal.place(limit("BUY", 1, 1.0), Contract(conId=AAPL.conId, exchange="SMART"))
            await status(by_id, "Cancelled")
            await control.clear()
            await control.reject_orders(symbol="EUR.USD")
            pair = terminal.place(limit("BUY", 30_000, 0.5), Forex("EURUSD"))
            await status(pair, "Cancelled")
            await status(terminal.place(limit("BUY", 30_000, 0.5), Forex("EURGBP")), "Submitted")

    run(scenario())


# What happens in the gap.


def test_fill_during_a_lost_link_finds_the_order_that_still_works() -> None:
    """Of two orders of one name the first has filled unseen; the Gateway takes it for working, IBKR does not."""

    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            first = terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
            second = terminal.place(limit("BUY", 20, 1.0, orderRef="a"))
            await status(first, "Submitted")
            await status(second, "Submitted")
            await control.lose_link()
            await control.fill(client_id=1, order_id=first.order.orderId)
            await control.fill(order_ref="a")
            assert [one.status for one in await control.orders()] == ["Filled", "Filled"]
            assert [one.quantity for one in await control.executions()] == [10, 20]
            with pytest.raises(CommandError):
                await control.fill(order_id=first.order.orderId)

    run(scenario())


@pytest.mark.parametrize(
    ("farms", "down", "said"),
    [
        (((2104, "usfarm"), (2106, "ushmds"), (2158, "secdefnj")), (), "All data farms are connected: usfarm; ushmds; secdefnj."),
        (((2104, "eufarm"),), (), "All data farms are connected: eufarm."),
        ((), (), "data maintained."),
        (
            ((2104, "usfarm"), (2106, "ushmds")),
            (verbs.FarmDown(farm="history"),),
            "The following farms are connected: usfarm. The following farms are not connected: ushmds.",
        ),
    ],
)  # fmt: skip
def test_restore_link_names_the_farms_that_are_connected(
    farms: tuple[tuple[int, str], ...], down: tuple[verbs.Verb, ...], said: str
) -> None:
    async def scenario() -> None:
        settings = msgspec.structs.replace(SETTINGS, farms=farms)
        async with running_gateway(settings) as gateway, logged_in(gateway) as client:
            control = GatewayControl(gateway.state)
            await control.command(*down, verbs.LoseLink(), verbs.RestoreLink())
            while (fields := await client.receive_until("4"))[3] != "1102":
                pass
            assert fields[4].endswith(said)

    run(scenario())


# Commands that can do nothing, and states that are over.


def test_drop_connection_of_a_client_that_is_not_there_is_409() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, _):
            async with (
                serving_control(gateway.state, "127.0.0.1", 0) as port,
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
            ):
                answer = await http.post("/faults", json={"verb": "drop_connection", "client_id": 77})
                assert (answer.status_code, "client 77 is not connected" in answer.text) == (409, True)
                answer = await http.post("/faults", json={"verb": "omit_ends", "ends": ["openOrderEnd"]})
                assert (answer.status_code, "OpenOrderEnd" in answer.json()["detail"]) == (422, True)
            with pytest.raises(CommandError, match="client 77"):
                await control.half_open(client_id=77)
            assert (await control.faults()).history == ()

    run(scenario())


def test_restart_during_another_restart_is_refused() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, _):
            await control.restart(down_s=0.2)
            with pytest.raises(CommandError, match="another restart"):
                await control.restart()
            assert len((await control.faults()).history) == 1
            await eventually(lambda: not gateway.is_listening, what="the port to close")
            await eventually(lambda: gateway.is_listening, what="the port to open again")
            await control.restart(down_s=0)

    run(scenario())


def test_restart_forgets_the_sessions_that_half_open_kept() -> None:
    async def scenario() -> None:
        async with listening() as (gateway, control, _):
            await control.half_open(client_id=1, keeps_client_id=True)
            await control.restart(down_s=0)
            await eventually(lambda: 1 not in gateway.state.clients, what="the session to be forgotten")
            await eventually(lambda: gateway.is_listening, what="the port to open again")
            async with logged_in(gateway, 1):
                assert 1 in gateway.state.clients

    run(scenario())


def test_reject_orders_that_is_used_up_or_replaced_is_marked_as_over() -> None:
    async def scenario() -> None:
        async with trading() as (_, control, terminal):
            await control.reject_orders(count=5, text="first")
            await control.reject_orders(count=1, text="second")
            terminal.place(limit("BUY", 1, 1.0))
            assert (await terminal.told(201))[2] == "second"
            told = await control.faults()
            assert told.in_force == ()
            assert [(one.verb["text"], one.ended) for one in told.history] == [
                ("first", False), ("first", True), ("second", False), ("second", True)
            ]  # fmt: skip

    run(scenario())


# What is bounded.


def test_connections_that_never_name_themselves_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lobby, "STRAYS_MAX", 3)

    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, contextlib.AsyncExitStack() as stack:
            named = await stack.enter_async_context(logged_in(gateway))
            first, *others = [await stack.enter_async_context(peer(gateway, hello())) for _ in range(4)]
            with contextlib.suppress(ConnectionError):
                assert await first.is_hung_up_on()
            assert len(gateway._connections) == 4
            named.writer.write(ACCOUNTS)
            assert await named.receive_until("15")
            others[0].writer.write(start_api(2))
            assert await others[0].receive_until("9")

    run(scenario())


def test_connections_that_never_name_themselves_are_bounded_in_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are mute by command may stay: that they hear nothing is what was commanded."""
    monkeypatch.setattr(lobby, "NAMELESS_S", 0.1)

    async def scenario() -> None:
        async with (
            running_gateway(SETTINGS) as gateway,
            logged_in(gateway) as named,
            peer(gateway, hello()) as nameless,
        ):
            with contextlib.suppress(ConnectionError):
                assert await nameless.is_hung_up_on()
            named.writer.write(ACCOUNTS)
            assert await named.receive_until("15")
            await GatewayControl(gateway.state).accept_silently()
            async with peer(gateway, hello()) as mute:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(mute.reader.read(1), 0.3)

    run(scenario())


def test_ids_of_clients_are_remembered_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_ids, "ROWS_MAX", 2)
    ids = order_ids.OrderIds(lambda: 1)
    for client_id in range(3):
        ids.use(client_id, 10)
    assert [ids.next(client_id) for client_id in range(3)] == [1, 11, 11]
