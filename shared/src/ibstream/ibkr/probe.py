"""Asking a Gateway whether it is there: the API handshake, and nothing after it.

The Gateway answers the handshake with its version and the time before `startApi`, so no client id is taken and nobody's
session is disturbed. A TCP connection alone proves nothing: in the common container a forwarder accepts it whether or not a
Gateway is behind it, and a Gateway that waits for its login or its second factor accepts it and stays silent.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from enum import StrEnum

from ibstream.runtime.clock import SYSTEM_CLOCK, Clock

VERSION_MIN = 157
VERSION_MAX = 178
"""The versions that ib_async 2.1.0 speaks, which is what the services will ask for."""

REPLY_BYTES_MAX = 1024
"""A real reply has about thirty bytes; a longer one is no Gateway's."""

_OFFER = f"v{VERSION_MIN}..{VERSION_MAX}".encode()
HANDSHAKE = b"API\0" + struct.pack(">I", len(_OFFER)) + _OFFER
"""What a client says first: the API's prefix, then a frame with the versions it speaks."""


class ProbeFailure(StrEnum):
    """Why there was no handshake."""

    REFUSED = "refused"
    """Nothing listens on the port: no Gateway runs there, or its API port is another."""
    UNREACHABLE = "unreachable"
    """There is no way to the host, or its name is unknown."""
    TIMED_OUT = "timed_out"
    """No connection, or a silent one: a Gateway that waits for its login looks so."""
    CLOSED = "closed"
    """The connection was accepted and closed: a forwarder without a Gateway, or an address that is not trusted."""
    BAD_REPLY = "bad_reply"
    """Something answered that is no Gateway, or one too old."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one probe found."""

    server_version: int = 0
    """The version that the Gateway agreed to; 0 without a handshake."""
    connection_time: str = ""
    """The Gateway's own time and zone, as it wrote them: `20261122 05:31:00 EST`."""
    latency_s: float = 0.0
    """From the first packet to the whole reply, or to the failure."""
    failure: ProbeFailure | None = None
    text: str = ""
    """The failure as a sentence for people."""

    @property
    def ok(self) -> bool:
        """Whether the Gateway answered the handshake."""
        return self.failure is None


class _ProbeError(Exception):
    def __init__(self, failure: ProbeFailure, text: str) -> None:
        super().__init__(text)
        self.failure = failure


async def probe(host: str, port: int, *, timeout_s: float, clock: Clock = SYSTEM_CLOCK) -> ProbeResult:
    """Shake hands with the Gateway at `host:port` within `timeout_s` seconds, name lookup and all, and hang up.

    Never raises for what the world can do; the result says what failed.
    """
    started = clock.monotonic()
    try:
        version, connection_time = await _shake_hands(host, port, timeout_s)
    except _ProbeError as error:
        return ProbeResult(latency_s=clock.monotonic() - started, failure=error.failure, text=str(error))
    return ProbeResult(version, connection_time, clock.monotonic() - started)


async def _shake_hands(host: str, port: int, timeout_s: float) -> tuple[int, str]:
    silent = f"no connection within {timeout_s:g} s"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            silent = f"connected, but no answer within {timeout_s:g} s; does the Gateway wait for its login?"
            writer.write(HANDSHAKE)
            return parse_reply(await _read_frame(reader))
    except TimeoutError as error:
        raise _ProbeError(ProbeFailure.TIMED_OUT, silent) from error
    except ConnectionRefusedError as error:
        raise _ProbeError(ProbeFailure.REFUSED, "connection refused") from error
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise _ProbeError(ProbeFailure.CLOSED, "connected, but closed without an answer") from error
    except OSError as error:
        raise _ProbeError(ProbeFailure.UNREACHABLE, error.strerror or str(error)) from error
    finally:
        if writer is not None:
            writer.close()


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    if not 0 < length <= REPLY_BYTES_MAX:
        raise _ProbeError(ProbeFailure.BAD_REPLY, f"the answer is no Gateway's: a frame of {length} bytes")
    return await reader.readexactly(length)


def parse_reply(frame: bytes) -> tuple[int, str]:
    """The version and the time in a handshake's reply; raises `_ProbeError` for anything else."""
    fields = frame.split(b"\0")
    time_text = fields[1].decode("ascii", errors="replace") if len(fields) > 1 else ""
    if len(fields) != 3 or fields[2] or not fields[0].isdigit() or not time_text.isprintable():
        raise _ProbeError(ProbeFailure.BAD_REPLY, "the answer is no Gateway's: not a version and a time")
    version = int(fields[0])
    if version < VERSION_MIN:
        raise _ProbeError(
            ProbeFailure.BAD_REPLY, f"the Gateway speaks version {version}; update it to {VERSION_MIN} or later"
        )
    return version, time_text
