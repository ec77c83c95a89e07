"""Clients that are not ib_async: other version ranges, other habits of writing, all by hand from the wire facts.

The habits are those of the official Python clients 10.19 to 10.51, of ib_insync and of @stoqey/ib at these versions.
"""

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
    version: str | None = None
    """What stands in the version fields, whatever the message; None for what most clients write."""
    zero: str = "0"
    """A whole number that was not given."""
    strike: str = "0.0"
    """The strike of what has none."""
    calculation_options: tuple[str, ...] = ("0", "")
    """What follows the prices of an option calculation."""
    unset_quantity: str = ""
    """A quantity that is not given, as in an order by an amount of money."""
    hello_in_pieces: bool = False
    """Whether `API`, the length and the versions are written by themselves."""

    def stock(self) -> tuple[str, ...]:
        """AAPL by its id and symbol."""
        return (*AAPL[:4], self.strike, *AAPL[5:])


CLIENTS = {
    "official, newest": Habits(
        b"v100..226", 178, strike="", calculation_options=("",), unset_quantity=str(2**127 - 1), hello_in_pieces=True
    ),
    "official, with options": Habits(b"v100..226 +PACEAPI", 178, unset=UNSET, strike=UNSET, unset_quantity=UNSET),
    "up to 193": Habits(
        b"v100..193",
        178,
        version="1",
        unset="1.7976931348623157e+308",
        zero="",
        no="",
        strike="",
        calculation_options=("",),
    ),
    "only 176": Habits(b"v176..176", 176, yes="true", no="false", version="2", zero="2147483647"),
    "words": Habits(b"v157..176", 176, yes="True", no="False", unset="1.79769313486232E+308", hello_in_pieces=True),
    "a single version": Habits(b"v177", 177, calculation_options=()),
}


def versioned(habits: Habits, kind: str, version: str, *fields: str) -> bytes:
    """A message with a version field."""
    return frame((kind, habits.version or version, *fields))


def place_order(
    habits: Habits, order_id: int, action: str, quantity: str, kind: str, limit: str, tif: str, cash: str = ""
) -> bytes:
    """All fields of a plain stock order, in the order of the wire."""
    off, unset, zero = habits.no, habits.unset, habits.zero
    head = ["3", str(order_id), *habits.stock(), "", "", action, quantity, kind, limit or unset, unset, tif]
    terms = ["", "DU9000001", "O", "0", f"ref-{order_id}", habits.yes, "0", off, off, zero, "", off, off]
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
    volatility = [off, unset, "", "", unset, off, "", unset, unset, "", "", unset, "", "", "", ""]
    clearing = [off, "", "", off, off, "", "", off, "", off, off, off, "0"]
    adjusted = ["", unset, unset, unset, unset, unset, "0", "", "", "", cash or unset, "", "", "", "", off, off, off]
    newest = [zero, zero, zero, off, "", ""]
    return frame((*head, *terms, *allocation, *execution, *volatility, *clearing, *adjusted, *newest))


async def starts(client: Peer, habits: Habits) -> None:
    """Handshake and startApi; the client learns its accounts and its first order id."""
    version, _ = await client.receive()
    assert version == str(habits.speaks)
    client.writer.write(versioned(habits, "71", "2", "5", ""))
    assert await client.receive_until("15") == ["15", "1", "DU9000001"]
    assert await client.receive_until("9") == ["9", "1", "1"]


async def watches_quotes(client: Peer, habits: Habits) -> None:
    client.writer.write(versioned(habits, "1", "11", "40", *habits.stock(), habits.no, "233", habits.no, habits.no, ""))
    price = await client.receive_until("1")
    assert price[2] == "40"
    assert float(price[4]) > 0
    size = await client.receive_until("2")
    assert (len(price), len(size), size[2]) == (7, 5, "40")
    volume = await client.receive_until("46")
    while volume[3] != "48":
        volume = await client.receive_until("46")
    assert len(volume[4].split(";")) == 6
    client.writer.write(versioned(habits, "2", "2", "40") + versioned(habits, "49", "1"))
    await client.receive_until("49")


async def watches_every_tick_and_the_book(client: Peer, habits: Habits) -> None:
    for number, (kind, length) in enumerate({"Last": 9, "AllLast": 9, "BidAsk": 9, "MidPoint": 5}.items(), start=1):
        client.writer.write(frame(("97", "43", *habits.stock(), kind, habits.zero, habits.no)))
        tick = await client.receive_until("99")
        assert (tick[1:3], len(tick)) == (["43", str(number)], length), tick
        assert float(tick[4]) > 0
        client.writer.write(frame(("98", "43")))
    for smart, answer, length in ((habits.no, "12", 8), (habits.yes, "13", 10)):
        exchange = "SMART" if smart == habits.yes else "ISLAND"
        place = (*habits.stock()[:7], exchange, *habits.stock()[8:])
        client.writer.write(versioned(habits, "10", "5", "44", *place, "3", smart, ""))
        row = await client.receive_until(answer)
        assert (row[2], len(row)) == ("44", length), row
        client.writer.write(versioned(habits, "11", "1", "44", smart))


async def asks_about_options(client: Peer, habits: Habits) -> None:
    """One that exists, and what it is worth; the months and the right are written as each client likes."""
    client.writer.write(frame(("78", "45", "AAPL", "", "STK", "265598")))
    found = await client.receive_until("75")
    expiry, strikes = found[7], found[8 + int(found[6]) :]
    strike = strikes[len(strikes) // 2]
    await client.receive_until("76")
    option = ("", "AAPL", "OPT", expiry, strike, "CALL", "", "SMART", "", "USD", "", "")
    client.writer.write(versioned(habits, "9", "8", "46", *option, habits.no, "", "", ""))
    details = await client.receive_until("10")
    assert (details[3], details[6]) == ("OPT", "C")
    await client.receive_until("52")
    client.writer.write(versioned(habits, "55", "3", "47", *option, "0.3", "400", *habits.calculation_options))
    worth = await client.receive_until("21")
    assert (worth[1:5], len(worth)) == (["47", "53", "1", "0.3"], 12), worth
    client.writer.write(versioned(habits, "54", "3", "48", *option, worth[6], "400", *habits.calculation_options))
    implied = await client.receive_until("21")
    assert float(implied[4]) == pytest.approx(0.3, abs=1e-6)
    client.writer.write(versioned(habits, "56", "1", "48") + versioned(habits, "57", "1", "47"))


async def reads_bars(client: Peer, habits: Habits) -> None:
    """Ten fields per answer before the bars, eight per bar."""
    query = ("", "1 hour", "1 D", habits.yes, "TRADES", "1", habits.no, "")
    client.writer.write(frame(("20", "41", *habits.stock(), habits.no, *query)))
    bars = await client.receive_until("17")
    assert bars[1] == "41"
    assert len(bars) == 5 + 8 * int(bars[4])


async def buys_at_the_market(client: Peer, habits: Habits) -> None:
    client.writer.write(place_order(habits, 1, "BUY", "5", "MKT", "", "DAY"))
    opened = await client.receive_until("5")
    assert (opened[1], opened[3], opened[13], opened[14], opened[15]) == ("1", "AAPL", "BUY", "5", "MKT"), opened
    execution = await client.receive_until("11")
    assert len(execution) == (32 if habits.speaks >= 178 else 31)
    status = await client.receive_until("3")
    assert status[1:5] == ["1", "Filled", "5", "0"]
    commission = await client.receive_until("59")
    assert commission[2] == execution[14]


async def tries_to_buy_for_an_amount_of_money(client: Peer, habits: Habits) -> None:
    """IBKR does not take that for stocks; that the quantity was never set does not make the order unreadable."""
    client.writer.write(place_order(habits, 2, "BUY", habits.unset_quantity, "MKT", "", "DAY", cash="1000"))
    assert (await client.receive_until("4"))[2:4] == ["2", "10244"]


async def cancels_what_rests(client: Peer, habits: Habits) -> None:
    client.writer.write(place_order(habits, 3, "BUY", "1", "LMT", "1.5", "GTC"))
    while (await client.receive_until("3"))[2] != "Submitted":
        pass
    client.writer.write(versioned(habits, "5", "1"))
    assert (await client.receive_until("5"))[1] == "3"
    await client.receive_until("53")
    client.writer.write(versioned(habits, "4", "1", "3", ""))
    while (await client.receive_until("3"))[2] != "Cancelled":
        pass
    assert (await client.receive_until("4"))[2:4] == ["3", "202"]


async def reads_back(client: Peer, habits: Habits) -> None:
    client.writer.write(versioned(habits, "7", "3", "42", "", "", "", "", "", "", ""))
    assert (await client.receive_until("11"))[1] == "42"
    assert await client.receive_until("55") == ["55", "1", "42"]
    client.writer.write(frame(("99", habits.no)))
    await client.receive_until("101")
    assert await client.receive_until("102") == ["102"]
    client.writer.write(versioned(habits, "61", "1"))
    assert (await client.receive_until("61"))[3:6] == ["265598", "AAPL", "STK"]
    assert await client.receive_until("62") == ["62", "1"]
    client.writer.write(versioned(habits, "76", "1", "49", "DU9000001", "", habits.yes))
    assert len(await client.receive_until("73")) == 8
    assert await client.receive_until("74") == ["74", "1", "49"]
    client.writer.write(versioned(habits, "77", "1", "49") + frame(("92", "50", "DU9000001", "")))
    profit = await client.receive_until("94")
    assert (profit[1], len([float(figure) for figure in profit[2:]])) == ("50", 3)


async def introduces_itself(client: Peer, habits: Habits) -> None:
    opening = hello(habits.versions)
    if not habits.hello_in_pieces:
        client.writer.write(opening)
        return
    for piece in (opening[:4], opening[4:8], opening[8:]):
        client.writer.write(piece)
        await client.writer.drain()


@pytest.mark.parametrize("habits", CLIENTS.values(), ids=CLIENTS)
def test_a_client_of_another_make_goes_through_a_whole_day(habits: Habits) -> None:
    """Start, quotes, ticks, book, bars, options, an order that fills, one that is cancelled, and all read back."""

    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, peer(gateway) as client:
            await introduces_itself(client, habits)
            await starts(client, habits)
            await watches_quotes(client, habits)
            await watches_every_tick_and_the_book(client, habits)
            await reads_bars(client, habits)
            await asks_about_options(client, habits)
            await buys_at_the_market(client, habits)
            await tries_to_buy_for_an_amount_of_money(client, habits)
            await cancels_what_rests(client, habits)
            await reads_back(client, habits)

    run(scenario())


@pytest.mark.parametrize("versions", [b"v38..175", b"v100..151", b"v175", b"v179..226"])
def test_a_client_without_a_common_version_is_refused_and_others_are_not_disturbed(versions: bytes) -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway, 9) as decent:
            async with peer(gateway, hello(versions)) as client:
                # A word before the version makes the older official clients fail in their decoder.
                assert await client.reader.read() == b""
            decent.writer.write(frame(("49", "1")))
            await decent.receive_until("49")

    run(scenario())
