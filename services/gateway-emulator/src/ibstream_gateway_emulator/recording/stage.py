"""A recording served to clients: a port of its own, and one `Player` for each connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import msgspec
import structlog

from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream_gateway_emulator.listener import Listener
from ibstream_gateway_emulator.protocol.errors import ProtocolError
from ibstream_gateway_emulator.protocol.fields import id_of
from ibstream_gateway_emulator.protocol.framing import FrameReader, Hello, Inbound
from ibstream_gateway_emulator.recording import ids
from ibstream_gateway_emulator.recording.format import load
from ibstream_gateway_emulator.recording.payloads import framed
from ibstream_gateway_emulator.recording.player import Player
from ibstream_gateway_emulator.recording.script import Script, scripts_of

LINES_AT_ONCE_MAX = 1_000
"""So many messages are written before it is looked whether the client reads them."""
_STOP_S = 0.5

_log = structlog.get_logger(__name__)


class StageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one replay."""

    path: Path
    """The recording."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes any free port."""
    speed: float = 1.0
    """2 replays in half the time; 0 or infinity as fast as the client reads."""


class Casting:
    """Which connection plays which script: the one of the same client id first, each once before any is played again."""

    def __init__(self, scripts: list[Script]) -> None:
        self._scripts = scripts
        self._unused = list(scripts)

    def version_for(self, hello: Hello) -> Script:
        """The script whose greeting to give. Raises `ProtocolError` if the client speaks none of the recorded versions."""
        for script in (*self._unused, *self._scripts):
            if hello.version_min <= script.server_version <= hello.version_max:
                return script
        recorded = sorted({script.server_version for script in self._scripts})
        raise ProtocolError(f"the client speaks {hello.version_min} to {hello.version_max}, recorded is {recorded}")

    def take(self, version: int, client_id: int) -> Script:
        """The script for a client that has been greeted with `version`."""
        choice = self._choose(version, client_id)
        if choice is None:
            self._unused = list(self._scripts)
            choice = self._choose(version, client_id)
        assert choice is not None  # noqa: S101 - the greeting came from one of them
        self._unused.remove(choice)
        return choice

    def _choose(self, version: int, client_id: int) -> Script | None:
        spoken = [script for script in self._unused if script.server_version == version]
        return next((script for script in spoken if script.client_id == client_id), spoken[0] if spoken else None)


class Stage:
    """Serves one recording."""

    def __init__(self, settings: StageSettings, clock: Clock = SYSTEM_CLOCK) -> None:
        self.settings = settings
        self.clock = clock
        self.port = settings.port
        """Once started the port listened on."""
        self.strangers = 0
        """Messages of all clients so far that were not recorded."""
        self.casting: Casting
        self._actors: set[Actor] = set()
        self._listener: Listener | None = None

    async def start(self) -> None:
        """Read the recording and listen. Raises `RecordingError` or `CannotListenError`."""
        recording = await asyncio.to_thread(load, self.settings.path)
        scripts = scripts_of(recording, str(self.settings.path))
        self.casting = Casting(scripts)
        listener = Listener(lambda: Actor(self, self._actors), self.settings.host, self.settings.port)
        await listener.open()
        self._listener, self.port = listener, listener.port
        _log.info(
            "gateway_replay.listening",
            host=self.settings.host,
            port=self.port,
            file=str(self.settings.path),
            connections=len(scripts),
            lines_skipped=recording.skipped,
            speed=self.settings.speed,
        )

    async def stop(self) -> None:
        """End every connection and free the port."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.close(keeps_port=False)
        leaving = list(self._actors)
        for actor in leaving:
            actor.close()
        if leaving:
            await asyncio.wait({actor.gone for actor in leaving}, timeout=_STOP_S)
        for actor in leaving:
            actor.abort()
        _log.info("gateway_replay.stopped", port=self.port, not_recorded=self.strangers)


class Actor(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, stage: Stage, actors: set[Actor]) -> None:
        self._stage = stage
        self._actors = actors
        self._reader = FrameReader()
        self._version = 0
        self._player: Player | None = None
        self._transport: asyncio.Transport | None = None
        self._playing: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection has ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen to the client."""
        self._transport = cast("asyncio.Transport", transport)
        self._actors.add(self)

    def data_received(self, data: bytes) -> None:
        """Take in what the client said."""
        try:
            for inbound in self._reader.feed(data):
                self._take(inbound)
        except ProtocolError as error:
            _log.info("gateway_replay.client_closed", reason=str(error))
            self.close()

    def pause_writing(self) -> None:
        """The client reads too slowly: wait for it."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._actors.discard(self)
        self.gone.set_result(None)
        if self._playing is not None:
            self._playing.cancel()
        player = self._player
        if player is not None:
            _log.info(
                "gateway_replay.client_left",
                not_recorded=player.strangers,
                recorded_but_not_said=player.unused,
                error=str(exc) if exc else None,
            )

    def close(self) -> None:
        """End the connection after what has been written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, inbound: Inbound) -> None:
        if isinstance(inbound, Hello):
            script = self._stage.casting.version_for(inbound)
            self._version = script.server_version
            self._write(framed(script.greeting))
        elif self._player is None:
            self._begin(inbound.fields)
        else:
            self._write(self._hear(self._player, inbound.fields))

    def _begin(self, fields: tuple[str, ...]) -> None:
        client_id = id_of(fields[_CLIENT_ID]) if len(fields) > _CLIENT_ID else None
        if ids.kind_of(fields) != ids.START_API or client_id is None or client_id < 0:
            raise ProtocolError("the client must send startApi (71) with its client id first")
        script = self._stage.casting.take(self._version, client_id)
        _log.info("gateway_replay.client_joined", client_id=client_id, recorded_connection=script.connection)
        now_s = self._stage.clock.monotonic()
        self._player = Player(script, client_id, speed=self._stage.settings.speed, now_s=now_s)
        self._playing = asyncio.get_running_loop().create_task(self._play(self._player))
        self._playing.add_done_callback(self._played)

    def _hear(self, player: Player, fields: tuple[str, ...]) -> bytes:
        strangers = player.strangers
        answer = player.heard(fields, self._stage.clock.monotonic())
        if player.strangers > strangers:
            self._stage.strangers += 1
            _log.warning("gateway_replay.not_recorded", message=fields[0][:16])
        self._news.set()
        return answer

    async def _play(self, player: Player) -> None:
        """Send what is due, until the client goes or the recorded server did."""
        clock = self._stage.clock
        while not player.is_over(clock.monotonic()):
            self._news.clear()
            self._write(b"".join(player.take_due(clock.monotonic(), LINES_AT_ONCE_MAX)))
            await self._writable.wait()
            next_s = player.next_due_s
            if next_s is None:
                await self._news.wait()
            elif next_s > clock.monotonic():
                await self._until(next_s - clock.monotonic())
        self.close()

    def _played(self, task: asyncio.Task[None]) -> None:
        """A defect of ours ends this client's connection, and is told."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("gateway_replay.client_failed", exc_info=error)
            self.abort()

    async def _until(self, delay_s: float) -> None:
        """Return after `delay_s` seconds, or when the client has said something."""
        tasks = {asyncio.ensure_future(self._stage.clock.sleep(delay_s)), asyncio.ensure_future(self._news.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


_CLIENT_ID = 2


@contextlib.asynccontextmanager
async def running_stage(settings: StageSettings, *, clock: Clock = SYSTEM_CLOCK) -> AsyncIterator[Stage]:
    """A recording that is served while the context lasts."""
    stage = Stage(settings, clock)
    await stage.start()
    try:
        yield stage
    finally:
        await stage.stop()


async def replay(stop: asyncio.Event, settings: StageSettings, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """Serve a recording until `stop` is set. Raises `RecordingError` or `CannotListenError`."""
    async with running_stage(settings, clock=clock):
        await stop.wait()
