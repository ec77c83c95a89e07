"""The recorder: a port of its own, on which clients reach a real Gateway and are written down.

The conversation is neither altered nor delayed: bytes go on as they come, before they are looked at. The one exception is a
client's hello, in which `version_max` limits the versions, so that what follows is text and can be masked.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import structlog

from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream.runtime.errors import FatalError
from ibstream_gateway_emulator.listener import Listener
from ibstream_gateway_emulator.protocol.handshake import SERVER_VERSION_MAX
from ibstream_gateway_emulator.recording.file_writer import RecordingWriter
from ibstream_gateway_emulator.recording.format import RecordingError
from ibstream_gateway_emulator.recording.link import Link
from ibstream_gateway_emulator.recording.masking import AccountMask
from ibstream_gateway_emulator.recording.payloads import HelloClamp
from ibstream_gateway_emulator.recording.tap import Tap

CONNECT_S_MAX = 10.0
"""How long the Gateway may take to accept a connection."""
CONNECTIONS_MAX = 64
"""Clients at one time; a Gateway itself takes 32."""
_STOP_S = 2.0
"""How long what is on its way may take to arrive when the recorder stops."""

_log = structlog.get_logger(__name__)


class UpstreamError(FatalError):
    """The Gateway to be recorded cannot be reached. The message says where and why."""

    exit_status = 1


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one recorder."""

    upstream_host: str
    upstream_port: int
    path: Path
    """The file to write; it must not exist."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes any free port."""
    version_max: int | None = SERVER_VERSION_MAX
    """The highest protocol version a client may ask for: its hello is rewritten so. None leaves the hello alone, and what a newer
    client says is then left out of the recording; so it is with a client that speaks no version as low as this.
    """


class Recorder:
    """Listens, and joins each client to a connection of its own to the Gateway."""

    def __init__(self, settings: RecorderSettings, clock: Clock = SYSTEM_CLOCK) -> None:
        self.settings = settings
        self.port = settings.port
        """Once started the port listened on."""
        self.connections = 0
        """Clients that have come so far."""
        self._clock = clock
        self._mask = AccountMask()
        self._links: set[Link] = set()
        self._joining: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._writer: RecordingWriter | None = None
        self._writing: asyncio.Task[None] | None = None
        self._began_s = 0.0

    async def start(self) -> None:
        """Listen. Raises `UpstreamError`, `CannotListenError` or `RecordingError`."""
        await self._check_upstream()
        settings = self.settings
        listener = Listener(self._client_side, settings.host, settings.port)
        await listener.open()
        try:
            self._writer = RecordingWriter(settings.path, self._clock)
        except RecordingError:
            listener.close(keeps_port=False)
            raise
        self._listener, self.port = listener, listener.port
        self._began_s = self._clock.monotonic()
        self._writing = asyncio.create_task(self._writer.run(), name="gateway-recorder-file")
        _log.info("gateway_recorder.listening", host=settings.host, port=self.port, file=str(settings.path))

    async def stop(self) -> None:
        """End every connection and the file. Raises `RecordingError` if not all could be written."""
        listener, self._listener = self._listener, None
        if listener is None or self._writer is None or self._writing is None:
            return
        listener.close(keeps_port=False)
        await self._end_links()
        self._writer.stop()
        await self._writing
        _log.info(
            "gateway_recorder.stopped",
            connections=self.connections,
            events=self._writer.events,
            accounts_masked=self._mask.accounts,
            frames_withheld=self._writer.withheld,
        )
        if self._writer.error is not None:
            raise self._writer.error

    async def _end_links(self) -> None:
        for task in list(self._joining):
            task.cancel()
        links = list(self._links)
        for link in links:
            link.close()
        sides = [side for link in links for side in (link.client, link.server) if side.transport is not None]
        if sides:
            await asyncio.wait({side.gone for side in sides}, timeout=_STOP_S)
        for link in links:
            link.abort()

    def _client_side(self) -> asyncio.Protocol:
        assert self._writer is not None  # noqa: S101 - opened before the loop runs again
        self.connections += 1
        tap = Tap(self.connections, self._mask, self._writer.put)
        clamp = HelloClamp(self.settings.version_max) if self.settings.version_max is not None else None
        link = Link(tap, self._writer, self._clock, self._began_s, clamp)
        link.on_client = lambda: self._begin(link)
        link.on_over = lambda: self._links.discard(link)
        return link.client

    def _begin(self, link: Link) -> None:
        if len(self._links) >= CONNECTIONS_MAX:
            link.refuse("too many clients at one time")
            return
        self._links.add(link)
        task = asyncio.get_running_loop().create_task(self._join(link))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _join(self, link: Link) -> None:
        settings = self.settings
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await asyncio.get_running_loop().create_connection(
                    lambda: link.server, settings.upstream_host, settings.upstream_port
                )
        except (OSError, TimeoutError) as error:
            _log.error("gateway_recorder.upstream_refused", error=_reason(error))
            link.refuse(f"the Gateway cannot be reached: {_reason(error)}")
        else:
            link.join()

    async def _check_upstream(self) -> None:
        """Whether anybody listens there at all; said at the start rather than to the first client."""
        host, port = self.settings.upstream_host, self.settings.upstream_port
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            raise UpstreamError(f"no Gateway to record at {host}:{port}: {_reason(error)}") from error
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def running_recorder(settings: RecorderSettings, *, clock: Clock = SYSTEM_CLOCK) -> AsyncIterator[Recorder]:
    """A recorder that listens while the context lasts; its file is whole after it.

    settings = RecorderSettings(upstream_host="127.0.0.1", upstream_port=4002, path=Path("today.jsonl"))
    async with running_recorder(settings) as recorder:
        await ib.connectAsync("127.0.0.1", recorder.port, clientId=1)
    """
    recorder = Recorder(settings, clock)
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.stop()


async def record(stop: asyncio.Event, settings: RecorderSettings, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """Record until `stop` is set. Raises `UpstreamError`, `CannotListenError` or `RecordingError`."""
    async with running_recorder(settings, clock=clock):
        await stop.wait()


def _reason(error: BaseException) -> str:
    """Why there is no connection, without the address: the reason is written into the recording, too."""
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_S_MAX:g} s"
    if isinstance(error, socket.gaierror):
        return error.strerror or "the name is not known"
    errno = getattr(error, "errno", None)
    return os.strerror(errno) if errno else "no address of it accepts connections"
