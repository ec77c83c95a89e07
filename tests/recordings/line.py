"""A client's connection to the stand-in: what it hears is kept in order."""

from __future__ import annotations

import asyncio
import contextlib

from ibstream_gateway_emulator.protocol.framing import FrameSplitter, split_fields


class Line:
    """One connection; `heard` are the frames so far, split into fields."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._frames = FrameSplitter()
        self.heard: list[tuple[str, ...]] = []
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while data := await self._reader.read(65_536):
            self.heard += [split_fields(payload) for payload in self._frames.feed(data)]

    def send(self, data: bytes) -> None:
        """Say something."""
        self._writer.write(data)

    async def close(self) -> None:
        """Hang up."""
        self._listening.cancel()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
