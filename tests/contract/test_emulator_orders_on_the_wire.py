"""The order of messages about orders, frame by frame, on a bare socket: as recorded from a live paper Gateway."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from contract.wire_client import Peer, logged_in
from support import run

from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.protocol.open_order import OpenOrder
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import write_request
from ibstream_gateway_emulator.protocol.table import decode_message
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SETTINGS = EmulatorSettings(symbols=("AAPL",), port=0, tick_interval_ms=10_000)
AAPL = Contract(con_id=265598, symbol="AAPL", security_type="STK", exchange="SMART", currency="USD")
FARMS = ("2104", "2106", "2158")
VERSION = 178


def place(order_id: int, order_type: str, limit_price: str | None = None, **fields: Any) -> bytes:
    """A placeOrder for one share as the recorded client wrote it."""
    values = {"action": "BUY", "tif": "DAY", "quantity": "1", **fields}
    raw = {"order_id": order_id, "contract": AAPL, "order_type": order_type, "limit_price": limit_price, **values}
    return write_request(msgspec.convert(raw, PlaceOrder, strict=False), VERSION)


def cancel(order_id: int) -> bytes:
    return frame(("4", "1", str(order_id), ""))


async def heard(client: Peer, wanted: int) -> list[str]:
    """The next messages but for the notices at the start, in short: `5 PreSubmitted`, `3 Filled`, `11`, `59`, `4 202`."""
    found: list[str] = []
    while len(found) < wanted:
        fields = await client.receive()
        message = decode_message(tuple(fields), VERSION)
        if fields[0] == "4" and fields[3] in FARMS:
            continue
        detail = {"3": 2, "4": 3}.get(fields[0])
        if isinstance(message, OpenOrder):
            found.append(f"5 {message.state.status}")
        else:
            found.append(fields[0] if detail is None else f"{fields[0]} {fields[detail]}")
    return found


async def is_silent(client: Peer) -> bool:
    """Whether nothing more was said: the answer to a request for the next order id comes next."""
    client.writer.write(frame(("8", "1", "0")))
    return (await client.receive())[0] == "9"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["5 PreSubmitted", "3 PreSubmitted", "11", "5 Filled", "3 Filled", "59"]),
        (
            {"open_order_with_fill": False, "tell_commission": False},
            ["5 PreSubmitted", "3 PreSubmitted", "11", "3 Filled"],
        ),
        (
            {"open_order_with_fill": False},
            ["5 PreSubmitted", "3 PreSubmitted", "11", "3 Filled", "59"],
        ),
    ],
    ids=["place_order_fill_native_execution_time", "api_dollar_cost_averaging_aapl", "api_future_campaign_mes"],
)
def test_a_market_order(changes: dict[str, Any], expected: list[str]) -> None:
    async def scenario() -> None:
        async with (
            running_gateway(msgspec.structs.replace(SETTINGS, **changes)) as gateway,
            logged_in(gateway) as client,
        ):
            client.writer.write(place(1, "MKT"))
            assert await heard(client, len(expected)) == expected
            assert await is_silent(client)

    run(scenario())


@pytest.mark.parametrize(
    ("changes", "placed", "ended"),
    [
        (
            {"tell_pending_cancel": True},
            ["5 PreSubmitted", "3 PreSubmitted", "5 Submitted", "3 Submitted"],
            ["3 PendingCancel", "3 Cancelled", "4 202"],
        ),
        (
            {},
            ["5 PreSubmitted", "3 PreSubmitted", "5 Submitted", "3 Submitted"],
            ["3 Cancelled", "4 202"],
        ),
        ({"acknowledge_as": ("Submitted",)}, ["5 Submitted", "3 Submitted"], ["3 Cancelled", "4 202"]),
        (
            {"acknowledge_as": ("PreSubmitted",), "tell_cancel_202": False},
            ["5 PreSubmitted", "3 PreSubmitted"],
            ["3 Cancelled"],
        ),
    ],
    ids=[
        "api_order_rest_cancel_aapl",
        "api_tif_attribute_matrix_aapl",
        "api_reconnect_active_order_aapl",
        "direct_cancel_order",
    ],
)
def test_a_resting_order_and_its_cancel(changes: dict[str, Any], placed: list[str], ended: list[str]) -> None:
    async def scenario() -> None:
        async with (
            running_gateway(msgspec.structs.replace(SETTINGS, **changes)) as gateway,
            logged_in(gateway) as client,
        ):
            client.writer.write(place(1, "LMT", "10"))
            assert await heard(client, len(placed)) == placed
            assert await is_silent(client)
            client.writer.write(cancel(1))
            assert await heard(client, len(ended)) == ended
            assert await is_silent(client)

    run(scenario())


def test_what_is_told_can_be_changed_while_the_gateway_runs() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
            client.writer.write(place(1, "LMT", "10"))
            await heard(client, 4)
            state = gateway.state
            state.settings = msgspec.structs.replace(state.settings, acknowledge_as=("Submitted",))
            client.writer.write(place(2, "LMT", "10"))
            assert await heard(client, 2) == ["5 Submitted", "3 Submitted"]

    run(scenario())


@pytest.mark.parametrize(
    ("with_status", "expected"), [(False, ["5 Submitted", "53"]), (True, ["5 Submitted", "3 Submitted", "53"])]
)
def test_open_orders_come_without_their_status(with_status: bool, expected: list[str]) -> None:
    """As in api_reconnect_active_order_aapl: openOrder and openOrderEnd; nothing comes unasked."""

    async def scenario() -> None:
        settings = msgspec.structs.replace(SETTINGS, status_with_open_orders=with_status)
        async with running_gateway(settings) as gateway:
            async with logged_in(gateway) as client:
                client.writer.write(place(1, "LMT", "10", tif="GTC"))
                assert await heard(client, 2) == ["5 Submitted", "3 Submitted"]
            async with logged_in(gateway) as client:
                client.writer.write(frame(("5", "1")))
                assert await heard(client, len(expected)) == expected
                assert await is_silent(client)

    run(scenario())


def test_client_0_cancels_the_order_of_a_client_that_has_gone() -> None:
    """As in api_client_id0_order_observation_aapl: told under client id 0, and by 202."""

    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            gateway.state.orders.start_ids_at(1, 295)
            async with logged_in(gateway, 1) as owner:
                owner.writer.write(place(295, "LMT", "13.27", tif="GTC"))
                assert await heard(owner, 2) == ["5 Submitted", "3 Submitted"]
            async with logged_in(gateway, 0) as observer:
                observer.writer.write(frame(("16", "1")))
                assert await heard(observer, 2) == ["5 Submitted", "53"]
                observer.writer.write(cancel(295))
                told = await observer.receive_until("3")
                assert (told[1], told[2], told[9]) == ("295", "Cancelled", "0")
                assert (await observer.receive())[1:5] == ["2", "295", "202", "Order Canceled - reason:"]
                assert await is_silent(observer)

    run(scenario())


@pytest.mark.parametrize(("order_id", "code"), [(2147483648, "320"), (0, "103"), (-5, "103")])
def test_an_id_that_is_none_is_refused(order_id: int, code: str) -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
            client.writer.write(place(order_id, "LMT", "10"))
            error = await client.receive_until("4")
            while error[3] in FARMS:
                error = await client.receive_until("4")
            assert error[3] == code

    run(scenario())


def test_exercising_an_option_is_refused_under_its_id() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
            option = ("0", "AAPL", "OPT", "20261218", "250", "C", "100", "SMART", "USD", "", "")
            client.writer.write(frame(("21", "2", "9", *option, "1", "1", "DU9000001", "0")))
            error = await client.receive_until("4")
            while error[3] in FARMS:
                error = await client.receive_until("4")
            assert error[2:4] == ["9", "322"]

    run(scenario())


@pytest.mark.parametrize(("client_id", "expected"), [(0, ["9"]), (1, ["4 321", "9"])])
def test_only_client_0_may_ask_for_orders_entered_by_hand(client_id: int, expected: list[str]) -> None:
    """There are none, so client 0 hears nothing."""

    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway, client_id) as client:
            client.writer.write(frame(("15", "1", "1")) + frame(("8", "1", "0")))
            assert await heard(client, len(expected)) == expected

    run(scenario())
