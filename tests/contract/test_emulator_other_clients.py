"""Clients that are not ib_async: other version ranges, other habits of writing, all by hand from the wire facts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from contract.wire_client import AAPL, Peer, hello, logged_in, peer
from support import run

from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SETTINGS = EmulatorSettings(symbols=("AAPL",), port=0, tick_interval_ms=10, limits=Limits.lifted())
UNSET = "1.7976931348623157E308"


@dataclass(frozen=True)
class Habits:
    """How one client library writes what others write otherwise."""

    versions: bytes
    speaks: int
    """The version that must come out."""
    unset: str = ""
    """A price that is not given."""
    yes: str = "1"
    no: str = "0"
    cancel_version: str = "2"
    """The version field of cancelMktData, which some clients fill with 1."""


CLIENTS = {
    "official, newest": Habits(b"v100..226", 178),
    "official, with options": Habits(b"v100..226 +PACEAPI", 178, unset=UNSET),
    "up to 193": Habits(b"v100..193", 178, cancel_version="1", unset="1.7976931348623157e+308"),
    "only 176": Habits(b"v176..176", 176, yes="true", no="false"),
    "a single version": Habits(b"v177", 177),
}


def place_order(habits: Habits, order_id: int, action: str, quantity: str, kind: str, limit: str, tif: str) -> bytes:
    """All fields of a plain stock order, in the order of the wire."""
    off, unset = habits.no, habits.unset
    head = ["3", str(order_id), *AAPL, "", "", action, quantity, kind, limit or unset, unset, tif]
    terms = ["", "DU9000001", "O", "0", f"ref-{order_id}", habits.yes, "0", off, off, "0", "0", off, off]
    allocation = ["", "0", "", "", "", "", ""]
    if habits.speaks < 177:
        allocation.append("")  # faProfile, which 177 dropped
    execution = [
        "",
        "0",
        "",
        "-1",
        "0",
        "",
        "",
        off,
        "",
        unset,
        off,
        off,
        unset,
        "0",
        unset,
        unset,
        unset,
        unset,
        unset,
    ]
    volatility = [off, unset, "", "", unset, "0", "", unset, unset, "", "", unset, "", "", "", ""]
    clearing = [off, "", "", off, "0", "", "", off, "", off, off, off, "0"]
    adjusted = ["", unset, unset, unset, unset, unset, "0", "", "", "", unset, "", "", "", "", off, off, off]
    newest = ["", "", "", off, "", ""]
    return frame((*head, *terms, *allocation, *execution, *volatility, *clearing, *adjusted, *newest))


async def starts(client: Peer, habits: Habits) -> None:
    """Handshake and startApi; the client learns its accounts and its first order id."""
    version, _ = await client.receive()
    assert version == str(habits.speaks)
    client.writer.write(frame(("71", "2", "5", "")))
    assert await client.receive_until("15") == ["15", "1", "DU9000001"]
    assert await client.receive_until("9") == ["9", "1", "1"]


async def watches_quotes(client: Peer, habits: Habits) -> None:
    client.writer.write(frame(("1", "11", "40", *AAPL, habits.no, "", habits.no, habits.no, "")))
    price = await client.receive_until("1")
    assert price[2] == "40"
    assert float(price[4]) > 0
    size = await client.receive_until("2")
    assert (len(price), len(size), size[2]) == (7, 5, "40")
    client.writer.write(frame(("2", habits.cancel_version, "40")) + frame(("49", "1")))
    await client.receive_until("49")


async def reads_bars(client: Peer, habits: Habits) -> None:
    """Ten fields per answer before the bars, eight per bar."""
    query = ("", "1 hour", "1 D", habits.yes, "TRADES", "1", habits.no, "")
    client.writer.write(frame(("20", "41", *AAPL, habits.no, *query)))
    bars = await client.receive_until("17")
    assert bars[1] == "41"
    assert len(bars) == 5 + 8 * int(bars[4])


async def buys_at_the_market(client: Peer, habits: Habits) -> None:
    client.writer.write(place_order(habits, 1, "BUY", "5", "MKT", "", "DAY"))
    opened = await client.receive_until("5")
    assert (opened[1], opened[3], opened[13], opened[14], opened[15]) == ("1", "AAPL", "BUY", "5", "MKT"), opened
    execution = await client.receive_until("11")
    assert len(execution) == (33 if habits.speaks >= 178 else 32)
    status = await client.receive_until("3")
    assert status[1:5] == ["1", "Filled", "5", "0"]
    commission = await client.receive_until("59")
    assert commission[2] == execution[14]


async def cancels_what_rests(client: Peer, habits: Habits) -> None:
    client.writer.write(place_order(habits, 2, "BUY", "1", "LMT", "1.5", "GTC"))
    while (await client.receive_until("3"))[2] != "Submitted":
        pass
    client.writer.write(frame(("5", "1")))
    assert (await client.receive_until("5"))[1] == "2"
    await client.receive_until("53")
    client.writer.write(frame(("4", "1", "2", "")))
    while (await client.receive_until("3"))[2] != "Cancelled":
        pass
    assert (await client.receive_until("4"))[2:4] == ["2", "202"]


async def reads_back(client: Peer) -> None:
    client.writer.write(frame(("7", "3", "42", "0", "", "", "", "", "", "")))
    assert (await client.receive_until("11"))[1] == "42"
    assert await client.receive_until("55") == ["55", "1", "42"]
    client.writer.write(frame(("99", "0")))
    await client.receive_until("101")
    assert await client.receive_until("102") == ["102"]
    client.writer.write(frame(("61", "1")))
    assert (await client.receive_until("61"))[3:6] == ["265598", "AAPL", "STK"]
    assert await client.receive_until("62") == ["62", "1"]


@pytest.mark.parametrize("habits", CLIENTS.values(), ids=CLIENTS)
def test_a_client_of_another_make_goes_through_a_whole_day(habits: Habits) -> None:
    """Start, quotes, bars, an order that fills, one that is cancelled, and all read back."""

    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, peer(gateway, hello(habits.versions)) as client:
            await starts(client, habits)
            await watches_quotes(client, habits)
            await reads_bars(client, habits)
            await buys_at_the_market(client, habits)
            await cancels_what_rests(client, habits)
            await reads_back(client)

    run(scenario())


@pytest.mark.parametrize("versions", [b"v38..175", b"v100..151", b"v175", b"v179..226"])
def test_a_client_without_a_common_version_is_refused_and_others_are_not_disturbed(versions: bytes) -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway, 9) as decent:
            async with peer(gateway, hello(versions)) as client:
                assert await client.is_hung_up_on()
            decent.writer.write(frame(("49", "1")))
            await decent.receive_until("49")

    run(scenario())
