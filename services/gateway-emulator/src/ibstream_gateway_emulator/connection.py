"""One client's connection: bytes in and out, what is wrong with the wire, and the end of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable
from typing import cast

import structlog

from ibstream_gateway_emulator.apart import Apart
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.conversation import Conversation
from ibstream_gateway_emulator.faults.wire import Wire
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.messages import Message, encode

UNREAD_BYTES_MAX = 64 * 1024 * 1024
"""A client that leaves more than this unread is cut off; it has long missed what is going on."""
WRITE_BUFFER_BYTES = 1024 * 1024
"""A client that has left more than this unread counts as congested, until it has read three quarters of it."""
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends a reset."""

_log = structlog.get_logger(__name__)


class Connection(asyncio.Protocol):
    """The socket of one client, and its `Outlet`. What the client says is understood by its `Conversation`."""

    def __init__(self, gateway: Gateway, connections: set[Connection]) -> None:
        self._gateway = gateway
        self._connections = connections
        self._talk = Conversation(gateway, self)
        self._congested = False
        self._closing = False
        self._is_at_end = False
        self._apart = Apart(self.send, self._talk.fail)
        self._transport: asyncio.Transport | None = None
        self._wire = Wire(
            gateway.faults, gateway.clock, lambda: self.client_id, write=self._write, take=self._talk.hear
        )
        self.since_s = gateway.clock.monotonic()
        """When it began, in seconds of the monotonic clock."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection has ended."""

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen to the client."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._connections.add(self)
        if self._gateway.faults.accepts_silently():
            self._talk.end("accept_silently")
        self.faults_changed()

    def data_received(self, data: bytes) -> None:
        """Take in what the client sent."""
        if self._talk.unheard:
            self._talk.hear(data)
            return
        self._wire.receive(data)
        self._bound_memory()

    def eof_received(self) -> bool:
        """The client has closed; what it sent before and is still on its way comes first."""
        self._is_at_end = True
        return self._transport is not None and self._wire.hear_out(self._transport.close)

    def pause_writing(self) -> None:
        """The client reads too slowly; its ticks are left out until it has caught up."""
        self._congested = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._congested = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take what had come before the client closed, and forget it. After a reset that is lost."""
        self._connections.discard(self)
        self.gone.set_result(None)
        unread = self._wire.cut()
        if exc is not None and not self._is_at_end:
            self._talk.end("reset")
        self._talk.hear(unread)
        self._closing = True
        self._apart.end()
        if self._talk.client is not None:
            self._gateway.leave(self._talk.client)
            _log.info("gateway_emulator.client_left", client_id=self.client_id, error=str(exc) if exc else None)

    # What others tell it: `Outlet`.

    @property
    def client_id(self) -> int | None:
        """Whose connection it is; None until the client has named itself."""
        return self._talk.client.client_id if self._talk.client is not None else None

    @property
    def is_mute(self) -> bool:
        """Whether what comes is not looked at and nothing is written, by command."""
        return self._talk.is_mute

    @property
    def is_half_open(self) -> bool:
        """Whether it fell silent while it stood."""
        return self._talk.unheard == "half_open"

    @property
    def is_stray(self) -> bool:
        """Whether it stands and has no client."""
        return self._talk.client is None and not self._closing

    @property
    def age_s(self) -> float:
        """Seconds since it began."""
        return self._gateway.clock.monotonic() - self.since_s

    @property
    def is_congested(self) -> bool:
        """Whether ticks are to be left out."""
        return self._congested or self._wire.is_congested

    def send(self, messages: Iterable[Message]) -> None:
        """Write the messages, in order, in one piece."""
        # First of all: what is done while they are made must be done, whether or not anybody listens.
        messages = list(messages)
        if self._is_closing:
            return
        gateway, client = self._gateway, self._talk.client
        if client is not None:
            messages = list(gateway.faults.shape(client.client_id, messages))
            if not self.is_mute:
                gateway.journal.told(gateway.now_ns(), client.client_id, messages, self._talk.version)
        self.send_bytes(b"".join([encode(message, self._talk.version) for message in messages]))

    def send_frames(self, frames: bytes) -> None:
        """Write frames that are encoded already, as ticks are."""
        if self._is_closing:
            return
        if self._talk.client is not None:
            self._gateway.journal.ticked(self._talk.client.client_id, len(frames))
        self.send_bytes(frames)

    def send_bytes(self, data: bytes) -> None:
        """Write bytes as they are, unless the connection is mute."""
        if not self.is_mute:
            self._wire.send(data)
            self._bound_memory()

    def send_apart(self, work: Callable[[], Message], wanted: Callable[[], bool]) -> None:
        """Run `work` in a thread and write what it returns, if it is still `wanted` then."""
        self._apart.begin(work, wanted)

    def close(self, reason: str) -> None:
        """End the connection after what has been written."""
        _log.info("gateway_emulator.client_closed", client_id=self.client_id, reason=reason)
        self._end()
        if self._transport is not None:
            self._wire.finish(self._transport.close)

    def abort(self) -> None:
        """End the connection at once, whatever is still to be written: the client sees a reset."""
        self._end()
        if self._transport is not None:
            with contextlib.suppress(OSError, AttributeError):
                self._transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE
                )
            self._transport.abort()

    # What is commanded.

    def fall_silent(self, *, keeps_client_id: bool) -> Client | None:
        """Let the socket stay, and neither look at what comes nor write any more.

        The client that is to be taken for connected whatever happens to the socket is returned; who forgets it is the caller.
        """
        self._talk.unheard = "half_open"
        self._talk.hear(self._wire.cut())
        client, self._talk.client = self._talk.client, None
        if client is not None and not keeps_client_id:
            self._gateway.leave(client)
        return client if keeps_client_id else None

    def faults_changed(self) -> None:
        """Look anew at what is wrong with the wire."""
        self._wire.changed()
        if self._transport is None or self._is_closing:
            return
        if self._wire.is_frozen:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # Inside.

    @property
    def _is_closing(self) -> bool:
        return self._closing or self._transport is None or self._transport.is_closing()

    def _end(self) -> None:
        self._closing = True
        self._talk.end("closed")

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _bound_memory(self) -> None:
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() + self._wire.held > UNREAD_BYTES_MAX:
            _log.warning("gateway_emulator.client_too_slow", client_id=self.client_id)
            self._end()
            self._transport.abort()
