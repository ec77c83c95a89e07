"""The stand-in Gateway under clients that ib_async would never be: broken, slow, hostile, foreign."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from contract.wire_client import AAPL, hello, logged_in, peer, start_api, subscribe
from support import eventually, run

from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.framing import FRAME_BYTES_MAX, frame
from ibstream_gateway_emulator.server import CannotListenError, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SETTINGS = EmulatorSettings(symbols=("AAPL", "MSFT"), port=0, tick_interval_ms=10, limits=Limits.lifted())


def test_the_conversation_begins_as_recorded() -> None:
    """As in grounded_bootstrap, a recording of a live paper Gateway: version, accounts, next id, the three farms."""

    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, peer(gateway, hello()) as client:
            version, time = await client.receive()
            assert version == "178"
            assert time[8] == " "
            client.writer.write(start_api(1))
            heard = [await client.receive() for _ in range(5)]
            assert heard[:2] == [["15", "1", "DU9000001"], ["9", "1", "1"]]
            assert [fields[:4] for fields in heard[2:]] == [["4", "2", "-1", code] for code in ("2104", "2106", "2158")]

    run(scenario())


def test_bytes_may_come_one_by_one() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, peer(gateway) as client:
            for byte in hello() + start_api(1) + frame(("49", "1")):
                client.writer.write(bytes([byte]))
                await client.writer.drain()
            assert (await client.receive_until("49"))[:2] == ["49", "1"]

    run(scenario())


def test_everything_may_come_in_one_segment() -> None:
    async def scenario() -> None:
        burst = hello() + start_api(1) + frame(("17", "1")) * 3 + frame(("61", "1"))
        async with running_gateway(SETTINGS) as gateway, peer(gateway, burst) as client:
            for _ in range(4):
                await client.receive_until("15")
            await client.receive_until("62")

    run(scenario())


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n",
        hello(b"v38..100"),
        hello(b"v201..225"),
        hello(b"nonsense"),
        hello() + frame(("49", "1")),
        hello() + frame(("71", "2", "one", "")),
        hello() + start_api(1) + struct.pack(">I", FRAME_BYTES_MAX + 1),
        hello() + start_api(1) + struct.pack(">I", 2) + b"\xff\xff",
    ],
    ids=["http", "too old", "too new", "no version", "not startApi", "bad startApi", "too long", "not text"],
)
def test_nonsense_ends_that_connection_and_no_other(opening: bytes) -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway, 9) as decent:
            async with peer(gateway, opening) as client:
                assert await client.is_hung_up_on()
            await eventually(lambda: gateway.state.clients.keys() == {9}, what="the end of the other client")
            decent.writer.write(frame(("49", "1")))
            await decent.receive_until("49")

    run(scenario())


def test_a_used_client_id_is_told_so_before_the_end() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway, 1):
            async with peer(gateway, hello() + start_api(1)) as second:
                await second.receive()
                assert (await second.receive())[:4] == ["4", "2", "-1", "326"]
                assert await second.is_hung_up_on()
            assert gateway.state.clients.keys() == {1}

    run(scenario())


def test_a_probe_that_hangs_up_after_the_handshake_takes_no_client_id() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            for _ in range(20):
                async with peer(gateway, hello()) as probe:
                    assert (await probe.receive())[0] == "178"
            assert gateway.state.clients == {}

    run(scenario())


def test_a_malformed_order_is_refused_with_its_id() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, logged_in(gateway) as client:
            client.writer.write(frame(("3", "17", *AAPL, "", "", "BUY", "many", "MKT")))
            fields = await client.receive_until("4")
            while fields[3] != "320":
                fields = await client.receive_until("4")
            assert fields[2] == "17"
            client.writer.write(frame(("49", "1")))
            await client.receive_until("49")

    run(scenario())


def test_a_client_that_does_not_read_is_left_without_ticks_and_disturbs_nobody() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            loop = asyncio.get_running_loop()
            slow = socket.socket()
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)  # noqa: FBT003 - it takes no keyword
            with slow:
                await loop.sock_connect(slow, ("127.0.0.1", gateway.port))
                await loop.sock_sendall(slow, hello() + start_api(1))
                details = frame(("9", "8", "5", *AAPL, "0", "", "", ""))
                await loop.sock_sendall(slow, details * 6_000)
                await eventually(
                    lambda: 1 in gateway.state.clients and gateway.state.clients[1].outlet.is_congested,
                    what="the slow client to be congested",
                    within_s=20,
                )
                async with logged_in(gateway, 2) as quick:
                    quick.writer.write(subscribe(3))
                    for _ in range(10):
                        assert (await quick.receive_until("2"))[2] == "3"
            await eventually(lambda: not gateway.state.clients, what="all to have left")

    run(scenario())


def test_two_servers_cannot_share_a_port() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            taken = EmulatorSettings(symbols=("AAPL",), port=gateway.port)
            with pytest.raises(CannotListenError, match=f"127.0.0.1:{gateway.port}: the port is in use"):
                async with running_gateway(taken):
                    pytest.fail("two servers listen on one port")

    run(scenario())


def test_stopping_ends_every_connection_at_once() -> None:
    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway:
            async with logged_in(gateway, 1) as first, logged_in(gateway, 2) as second:
                async with asyncio.timeout(1.0):
                    await gateway.stop()
                assert await first.is_hung_up_on()
                assert await second.is_hung_up_on()
            assert gateway.state.clients == {}
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", gateway.port)

    run(scenario())
