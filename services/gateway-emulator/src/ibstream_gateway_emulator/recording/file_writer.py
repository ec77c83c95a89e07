"""Events into a file, off the event loop: the conversation never waits for the disk, within a bound."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import structlog

from ibstream.runtime.clock import Clock
from ibstream_gateway_emulator.protocol.fields import id_of
from ibstream_gateway_emulator.recording.format import (
    CLOSED,
    FORMAT,
    GREETING,
    VERSION,
    Event,
    Header,
    RecordingError,
    to_line,
)

PENDING_BYTES_MAX = 64 * 1024 * 1024
"""So much may wait for the disk before the conversation does, too."""
_OWNER_ONLY = 0o600

_log = structlog.get_logger(__name__)


class RecordingWriter:
    """Writes one recording. `run` must run for as long as events are put; `stop` ends it when all is written.

    A disk that fails ends the recording, not the conversation: `error` says what happened.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.error: RecordingError | None = None
        self._file = _create(path)
        self._recorded_at = clock.now().isoformat().replace("+00:00", "Z")
        self._early: list[bytes] | None = []
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._work = asyncio.Event()
        self._stopping = False
        self._waiting: list[Callable[[], None]] = []
        self.events = 0
        """Events taken so far."""
        self.withheld = 0
        """Frames among them that could not be masked, and were left out."""

    @property
    def is_full(self) -> bool:
        """Whether more waits for the disk than should."""
        return self._pending_bytes > PENDING_BYTES_MAX

    def when_room(self, call: Callable[[], None]) -> None:
        """Call back once, when `is_full` no longer holds."""
        self._waiting.append(call)

    def put(self, event: Event) -> None:
        """Take one event; after an error, forget it."""
        if self.error is not None:
            return
        self.events += 1
        if event.withheld is not None:
            self._count_withheld()
        line = to_line(event)
        if self._early is None:
            self._append(line)
            return
        self._early.append(line)
        if event.kind in (GREETING, CLOSED):
            self._begin(event)

    def stop(self) -> None:
        """Let `run` end once all is written."""
        if self._early is not None:
            self._begin(None)
        self._stopping = True
        self._work.set()

    async def run(self) -> None:
        """Write what is put, until `stop`."""
        try:
            while not (self._stopping and not self._pending):
                await self._work.wait()
                self._work.clear()
                await self._flush()
        finally:
            try:
                self._file.close()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        if self.error is None:
            self.error = RecordingError(f"cannot write {self.path}: {error.strerror or error}")
            _log.error("gateway_recorder.file_failed", error=str(self.error), events=self.events)

    def _count_withheld(self) -> None:
        self.withheld += 1
        if self.withheld == 1:
            advice = "binary frames cannot be masked and are left out; --max-version 178, the default, avoids them"
            _log.warning("gateway_recorder.withholding", advice=advice)

    def _begin(self, event: Event | None) -> None:
        """Write the header, for which the first greeting was waited for, and what came before it."""
        version = None
        if event is not None and event.kind == GREETING and event.fields is not None:
            version = id_of(event.fields[0])
        early, self._early = self._early or [], None
        header = Header(format=FORMAT, version=VERSION, recorded_at=self._recorded_at, server_version=version)
        for line in (to_line(header), *early):
            self._append(line)

    def _append(self, line: bytes) -> None:
        self._pending.append(line)
        self._pending_bytes += len(line)
        self._work.set()

    async def _flush(self) -> None:
        lines, self._pending = self._pending, []
        data = b"".join(lines)
        if data and self.error is None:
            try:
                await asyncio.to_thread(_write, self._file, data)
            except OSError as error:
                self._fail(error)
        self._pending_bytes -= len(data)
        if not self.is_full:
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call()


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()


def _create(path: Path) -> BinaryIO:
    """A new file for the owner's eyes: it holds positions and orders. Raises `RecordingError`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError as error:
        raise RecordingError(f"{path} exists; give another name, a recording is never overwritten") from error
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror or error}") from error
    return os.fdopen(descriptor, "wb")
