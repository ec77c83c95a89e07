"""One client and its Gateway with us in between: every byte goes on at once, unaltered, and is heard by a `Tap`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import structlog

from ibstream.runtime.clock import Clock
from ibstream_gateway_emulator.recording.file_writer import RecordingWriter
from ibstream_gateway_emulator.recording.format import Party
from ibstream_gateway_emulator.recording.payloads import HelloClamp
from ibstream_gateway_emulator.recording.tap import Tap

SERVER_LINGERS_S_MAX = 5.0
"""How long the Gateway may go on after the client has ended; no known one does so at all."""
CLIENT_LINGERS_S_MAX = 60.0
"""How long the client may take to read what the Gateway said before it ended."""

_log = structlog.get_logger(__name__)


class Side(asyncio.Protocol):
    """One of the two connections of a link."""

    def __init__(self, link: Link, party: Party) -> None:
        self._link = link
        self._party: Party = party
        self.peer: Side | None = None
        self.transport: asyncio.Transport | None = None
        self._holds: set[str] = set()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection has ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait until the other side is there, too."""
        self.transport = cast("asyncio.Transport", transport)
        self.hold("peer")
        self._link.made(self._party)

    def data_received(self, data: bytes) -> None:
        """Pass it on first, then write it down."""
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(self._link.on_its_way(self._party, data))
        self._link.heard(self._party, data)

    def eof_received(self) -> bool:
        """Pass on that no more comes; the other direction stays open."""
        self._link.ended(self._party)
        transport = self.peer.transport if self.peer is not None else None
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other side, after what is still to be written."""
        self.gone.set_result(None)
        self._link.ended(self._party, str(exc) if exc is not None else "")
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.close()

    def pause_writing(self) -> None:
        """This side reads too slowly: the other is read no further."""
        if self.peer is not None:
            self.peer.hold("peer")

    def resume_writing(self) -> None:
        """This side has caught up."""
        if self.peer is not None:
            self.peer.release("peer")

    def hold(self, reason: str) -> None:
        """Do not read, as long as there is one reason not to."""
        self._holds.add(reason)
        if self.transport is not None and self.transport.is_reading():
            self.transport.pause_reading()

    def release(self, reason: str) -> None:
        """One reason less."""
        self._holds.discard(reason)
        transport = self.transport
        if not self._holds and transport is not None and not transport.is_closing() and not transport.is_reading():
            transport.resume_reading()


class Link:
    """A client's side and a Gateway's side, joined by `join` once both are connected."""

    def __init__(
        self, tap: Tap, writer: RecordingWriter, clock: Clock, began_s: float, clamp: HelloClamp | None
    ) -> None:
        self._tap = tap
        self._writer = writer
        self._clock = clock
        self._began_s = began_s
        self._clamp = clamp
        self.client = Side(self, "client")
        self.server = Side(self, "server")
        self.on_client: Callable[[], None] = lambda: None
        """Called when the client is connected."""
        self.on_over: Callable[[], None] = lambda: None
        """Called when nothing of the link is left."""
        self._deadline: asyncio.TimerHandle | None = None

    def made(self, party: Party) -> None:
        """One side is connected."""
        if party == "client":
            self.on_client()

    def join(self) -> None:
        """Begin to pass bytes on."""
        self.client.peer, self.server.peer = self.server, self.client
        self.client.release("peer")
        self.server.release("peer")
        if self.client.gone.done():
            self.abort()

    def refuse(self, reason: str) -> None:
        """There is no Gateway to join to."""
        self._tap.closed("server", self._now_s(), reason)
        if self.client.transport is not None:
            self.client.transport.abort()

    def on_its_way(self, party: Party, data: bytes) -> bytes:
        """What goes on in the place of `data`."""
        if party == "client" and self._clamp is not None:
            return self._clamp.feed(data)
        return data

    def heard(self, party: Party, data: bytes) -> None:
        """Write down what one side said, and wait for the disk if it is far behind."""
        self._tap.heard(party, data, self._now_s())
        if self._writer.is_full:
            for side in (self.client, self.server):
                side.hold("disk")
                self._writer.when_room(lambda side=side: side.release("disk"))  # type: ignore[misc]

    def ended(self, party: Party, note: str = "") -> None:
        """One side says no more."""
        self._tap.closed(party, self._now_s(), note)
        if self._deadline is None:
            lingers_s = SERVER_LINGERS_S_MAX if party == "client" else CLIENT_LINGERS_S_MAX
            self._deadline = asyncio.get_running_loop().call_later(lingers_s, self.abort)
        if self.client.gone.done() and (self.server.transport is None or self.server.gone.done()):
            self._deadline.cancel()
            self.on_over()

    def close(self) -> None:
        """End both sides, after what is still to be written."""
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.close()

    def abort(self) -> None:
        """End both sides at once."""
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.abort()

    def _now_s(self) -> float:
        return round(self._clock.monotonic() - self._began_s, 6)
