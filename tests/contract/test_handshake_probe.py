"""The handshake probe against servers on real sockets that behave, misbehave, and are not there."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from support import eventually, free_port, run

from ibstream.ibkr.probe import HANDSHAKE, REPLY_BYTES_MAX, ProbeFailure, ProbeResult, probe
from ibstream.runtime.clock import SYSTEM_CLOCK

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

REPLY = b"178\x0020261122 05:31:00 EST\x00"
TIMEOUT_S = 0.3


def framed(payload: bytes) -> bytes:
    """A frame of the API: the length, then the payload."""
    return struct.pack(">I", len(payload)) + payload


class Listener:
    """A server on a free port, and what its clients said until they hung up."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._open = 0
        self.port = 0
        self.conversations: list[bytes] = []

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        heard = await reader.readexactly(len(HANDSHAKE))
        with contextlib.suppress(ConnectionError):
            await self._behaviour(reader, writer)
            heard += await reader.read(4096)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self._open -= 1
        self.conversations.append(heard)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Listener]:
        """Listen until left and every client has hung up."""
        server = await asyncio.start_server(self._on_client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
            await eventually(lambda: not self._open, what="the end of all conversations")


async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a Gateway does."""
    writer.write(framed(REPLY))


async def stay_silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """What a Gateway does that waits for its login."""


async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a forwarder does that has no Gateway behind it."""
    writer.close()


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A connection that is torn down."""
    writer.transport.abort()


async def hang_up_half_way(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A Gateway that dies in the middle of its answer."""
    writer.write(framed(REPLY)[:9])
    writer.close()


async def dribble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The right answer, a byte a packet."""
    for byte in framed(REPLY):
        writer.write(bytes([byte]))
        await writer.drain()
        await SYSTEM_CLOCK.sleep(0.001)


def say(payload: bytes) -> Behaviour:
    """Answer with these bytes."""

    async def behaviour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(payload)

    return behaviour


async def probed(behaviour: Behaviour) -> ProbeResult:
    """What the probe finds at a server that behaves so."""
    async with Listener(behaviour).running() as listener:
        return await probe("127.0.0.1", listener.port, timeout_s=TIMEOUT_S)


def test_a_gateway_that_answers_is_there() -> None:
    """Version, the Gateway's own time, and how long it took."""
    result = run(probed(answer))
    assert result.ok
    assert (result.server_version, result.connection_time) == (178, "20261122 05:31:00 EST")
    assert 0 < result.latency_s < TIMEOUT_S


def test_the_probe_hangs_up_before_it_takes_a_client_id() -> None:
    """It says the prefix and the versions of the public client, nothing else, and closes the connection."""

    async def scenario() -> list[bytes]:
        listener = Listener(answer)
        async with listener.running():
            await probe("127.0.0.1", listener.port, timeout_s=TIMEOUT_S)
            await eventually(lambda: listener.conversations, what="the end of the conversation")
        return listener.conversations

    assert run(scenario()) == [b"API\x00" + framed(b"v157..178")]


def test_an_answer_in_many_pieces_is_an_answer() -> None:
    """TCP knows no messages."""
    assert run(probed(dribble)).server_version == 178


def test_nothing_listening_is_refused() -> None:
    """No Gateway on the port, found at once."""
    result = run(probe("127.0.0.1", free_port(), timeout_s=TIMEOUT_S))
    assert (result.ok, result.failure, result.text) == (False, ProbeFailure.REFUSED, "connection refused")


def test_an_unknown_host_is_unreachable() -> None:
    """A name that no resolver knows (RFC 6761 reserves `.invalid`) is told from a Gateway that is away."""
    result = run(probe("gateway.invalid", 4002, timeout_s=10))
    assert result.failure in (ProbeFailure.UNREACHABLE, ProbeFailure.TIMED_OUT)


def test_an_accepted_connection_proves_nothing() -> None:
    """A silent server is given up at the deadline, and the text points to the usual cause."""
    result = run(probed(stay_silent))
    assert result.failure is ProbeFailure.TIMED_OUT
    assert "login" in result.text
    assert TIMEOUT_S * 0.9 <= result.latency_s < TIMEOUT_S + 1


def test_one_deadline_covers_everything() -> None:
    """An answer that keeps coming, too slowly, is cut off at the same deadline."""

    async def slowly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in framed(REPLY):
            writer.write(bytes([byte]))
            await writer.drain()
            await SYSTEM_CLOCK.sleep(TIMEOUT_S / 5)

    result = run(probed(slowly))
    assert result.failure is ProbeFailure.TIMED_OUT
    assert result.latency_s < TIMEOUT_S + 1


@pytest.mark.parametrize("behaviour", [hang_up, reset, hang_up_half_way])
def test_a_connection_that_is_closed_unanswered(behaviour: Behaviour) -> None:
    """Politely, rudely or half-way: it is closed, and no Gateway."""
    assert run(probed(behaviour)).failure is ProbeFailure.CLOSED


@pytest.mark.parametrize(
    "payload",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        struct.pack(">I", 0) + b"rest",
        struct.pack(">I", REPLY_BYTES_MAX + 1),
        framed(b"178"),
        framed(b"178\x00"),
        framed(b"\x00\x00"),
        framed(b"-178\x0020261122\x00"),
        framed(b"178\x0020261122\x00more\x00"),
        framed(b"178\x00\x1b[2J\x00"),
        framed(b"156\x0020261122 05:31:00 EST\x00"),
    ],
)
def test_what_no_gateway_says_is_a_bad_reply(payload: bytes) -> None:
    """Another server, a frame of an impossible length, a reply without a version and a time, a Gateway too old."""
    result = run(probed(say(payload)))
    assert result.failure is ProbeFailure.BAD_REPLY
    assert result.server_version == 0
