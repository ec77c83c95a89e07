"""A hand-rolled client of the wire protocol: bytes it writes by itself, frames it reads, nothing of ib_async."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import GatewayServer

AAPL = ("265598", "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
DEADLINE_S = 5


def hello(versions: bytes = b"v157..178") -> bytes:
    return b"API\0" + struct.pack(">I", len(versions)) + versions


def start_api(client_id: int) -> bytes:
    return frame(("71", "2", str(client_id), ""))


def subscribe(req_id: int) -> bytes:
    return frame(("1", "11", str(req_id), *AAPL, "0", "", "0", "0", ""))


class Peer:
    """A bare TCP client that reads frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def receive(self) -> list[str]:
        """The next message as its fields."""
        async with asyncio.timeout(DEADLINE_S):
            (length,) = struct.unpack(">I", await self.reader.readexactly(4))
            return (await self.reader.readexactly(length)).decode().split("\0")[:-1]

    async def receive_until(self, kind: str) -> list[str]:
        """The next message of one kind; those before it are dropped."""
        while (fields := await self.receive())[0] != kind:
            pass
        return fields

    async def is_hung_up_on(self) -> bool:
        """Whether the server ends the connection."""
        async with asyncio.timeout(DEADLINE_S):
            while await self.reader.read(65536):
                pass
            return True


@contextlib.asynccontextmanager
async def peer(gateway: GatewayServer, opening: bytes = b"") -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(opening)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def logged_in(gateway: GatewayServer, client_id: int = 1) -> AsyncIterator[Peer]:
    async with peer(gateway, hello() + start_api(client_id)) as client:
        await client.receive_until("9")
        yield client
