"""Ten thousand pieces of nonsense, and a decent client that must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from random import Random  # noqa: TID251 - seeded, so that every run throws the same

from contract.wire_client import AAPL, Peer, hello, logged_in, peer, start_api, subscribe
from structlog.testing import capture_logs
from support import run

from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SETTINGS = EmulatorSettings(symbols=("AAPL", "MSFT"), port=0, tick_interval_ms=10, limits=Limits.lifted())
SEED = 20261123
STREAMS, FRAMES = 2_000, 8_000
"""Cases of raw bytes, each on a connection of its own, and cases of well-formed frames; ten thousand together."""
FRAMES_PER_CONNECTION = 200
LAST_QUESTION = "987654"
"""Request id of what ends each connection's frames."""
NASTY = (
    "", "0", "-1", "1", "2147483647", "2147483648", "-2147483649", "9" * 40, "1e308", "1.7976931348623157E308", "nan", "inf",
    "-inf", "Infinite", "0x10", "1_000", "٣", "é", "\U0001f4b8", "\n", "|", "BUY", "SELL", "LMT", "MKT", "BAG", "OPT", "FUT",
    "SMART", "AAPL", "DU9000001", "20261123 10:00:00 US/Eastern", "20261332-99:99:99", "1 D", "1 min", "TRADES", "100000 Y",
    "A" * 10_000,
)  # fmt: skip
VALID = (
    ("1", "11", "40", *AAPL, "0", "", "0", "0", ""),
    ("9", "8", "41", *AAPL, "0", "", "", ""),
    ("20", "42", *AAPL, "0", "", "1 hour", "1 D", "1", "TRADES", "1", "0", ""),
    ("7", "3", "43", "0", "", "", "", "", "", ""),
    ("10", "5", "44", *AAPL, "5", "0", ""),
    ("50", "3", "45", *AAPL, "5", "TRADES", "0", ""),
    ("96", "46", *AAPL, "0", "", "20261120 10:00:00 US/Eastern", "10", "TRADES", "0", "0", ""),
    ("97", "47", *AAPL, "Last", "0", "0"),
    ("62", "1", "48", "All", "NetLiquidation,$LEDGER:ALL"),
    ("76", "1", "49", "", "", "0"),
    ("92", "50", "DU9000001", ""),
    ("94", "51", "DU9000001", "", "265598"),
    ("78", "52", "AAPL", "", "STK", "265598"),
    ("81", "53", "AA"),
    ("4", "1", "1", ""),
    ("3", "60", *AAPL, "", "", "BUY", "1", "MKT"),
)
"""Messages from which mutants are made."""


def random_bytes(rng: Random) -> bytes:
    """A stream of any kind: noise, noise behind a good beginning, lengths that lie."""
    noise = rng.randbytes(rng.randrange(1, 400))
    openings = (
        b"",
        b"API\0",
        hello(),
        hello() + start_api(77),
        hello() + start_api(77) + struct.pack(">I", rng.randrange(2**32)),
        hello()[: rng.randrange(1, 17)],
    )
    return rng.choice(openings) + noise


def random_fields(rng: Random) -> tuple[str, ...]:
    """A message that can be framed: a mutant of a good one, or any id with any fields."""
    if rng.random() < 0.3:
        return (str(rng.randrange(-5, 130)), *(rng.choice(NASTY) for _ in range(rng.randrange(0, 130))))
    fields = list(rng.choice(VALID))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(1, len(fields))
        action = rng.random()
        if action < 0.7:
            fields[at] = rng.choice(NASTY)
        elif action < 0.85:
            del fields[at:]
            fields.append(rng.choice(NASTY))
        else:
            fields.insert(at, rng.choice(NASTY))
    return tuple(fields)


async def throw(gateway: GatewayServer, burst: bytes) -> None:
    """Send it, and let the server have it; whatever it answers is read and dropped."""
    async with peer(gateway, burst) as client:
        with contextlib.suppress(ConnectionError):
            client.writer.write_eof()
            while await client.reader.read(1 << 16):
                pass


async def throw_frames(gateway: GatewayServer, rng: Random, client_id: int) -> None:
    """Many frames on one connection. Those that cannot be understood are answered, and the connection lives on."""
    async with logged_in(gateway, client_id) as client:
        reading = asyncio.create_task(_drain(client))
        for _ in range(FRAMES_PER_CONNECTION):
            client.writer.write(frame(random_fields(rng)))
            await client.writer.drain()
        client.writer.write(frame(("81", LAST_QUESTION, "AAPL")))
        await reading


async def _drain(client: Peer) -> None:
    """Read until the last question is answered."""
    while (await client.receive_until("79"))[1] != LAST_QUESTION:
        pass


async def follows_quotes(client: Peer, done: asyncio.Event) -> int:
    """How many messages the decent client got while the others threw."""
    seen = 0
    while not done.is_set():
        fields = await client.receive()
        assert fields[0] in {"1", "2", "46", "58", "81", "4", "45"}, fields
        seen += 1
    return seen


def test_ten_thousand_pieces_of_nonsense_disturb_nobody() -> None:
    """No connection ends by a defect of the emulator, the decent client's quotes never stop, and all is forgotten after."""

    async def scenario() -> None:
        rng = Random(SEED)
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway, 9) as decent:
            decent.writer.write(subscribe(3))
            done = asyncio.Event()
            following = asyncio.create_task(follows_quotes(decent, done))
            for _ in range(STREAMS):
                await throw(gateway, random_bytes(rng))
            for number in range(FRAMES // FRAMES_PER_CONNECTION):
                await throw_frames(gateway, rng, 100 + number)
            done.set()
            assert await following > 20
            decent.writer.write(frame(("49", "1")))
            await decent.receive_until("49")
            assert gateway.state.clients.keys() == {9}

    with capture_logs() as logs:
        run(scenario(), timeout_s=240)
    assert [entry for entry in logs if entry["log_level"] in ("error", "critical")] == []
