"""Ticks read by the feed itself, on a connection that is otherwise ib_async's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from ibstream.runtime.clock import Clock
from ibstream_feed.adapters.ibkr_ticks import TickDecoder
from ibstream_feed.domain.line import Line
from ibstream_feed.ports import OnTicks

if TYPE_CHECKING:
    from ib_async import IB
    from ib_async.client import Client

MALFORMED_LOG_INTERVAL_S = 60.0

_log = structlog.get_logger(__name__)


class FastTicks:
    """Stands between the socket and ib_async's client, once that has made the session: what is not of ticks goes on to it."""

    def __init__(self, *, clock: Clock, on_ticks: OnTicks, on_snapshot_end: Callable[[int], None]) -> None:
        self._clock = clock
        self._on_ticks = on_ticks
        self._decoder = TickDecoder(on_ticks=self._ticked, on_snapshot_end=on_snapshot_end, on_other=self._hand_on)
        self._client: Client | None = None
        self._read_at_ns = 0
        self._malformed_told = 0
        self._malformed_told_at = -math.inf

    def attach(self, ib: IB) -> None:
        """Take the place of ib_async's own reading, for all sessions to come."""
        client = self._client = ib.client
        client.conn.hasData -= client._onSocketHasData  # noqa: SLF001 - the only way to its bytes
        client.conn.hasData += self._on_data

    def watch(self, request_id: int, line: Line) -> None:
        """Write what comes for a request into a line."""
        self._decoder.watch(request_id, line)

    def forget(self, request_id: int) -> None:
        """Write nothing of a request any more."""
        self._decoder.forget(request_id)

    def clear(self) -> None:
        """Write nothing of any request any more."""
        self._decoder.clear()

    def flush(self) -> None:
        """Nothing waits: the decoder tells its ticks before it hands anything on."""

    def _on_data(self, data: bytes) -> None:
        client = self._client
        assert client is not None  # noqa: S101 - `attach` is what makes it call
        if client._apiReady:  # noqa: SLF001
            self._read(client, data)
            return
        client._onSocketHasData(data)  # noqa: SLF001
        if client.isReady():
            self._decoder.begin(client._data)  # noqa: SLF001
            client._data = b""  # noqa: SLF001

    def _read(self, client: Client, data: bytes) -> None:
        self._read_at_ns = self._clock.time_ns()
        frames = self._decoder.frames
        client._numBytesRecv += len(data)  # noqa: SLF001
        try:
            self._decoder.feed(data)
        except BaseException:
            if client.conn.transport is not None:  # what is left of the read is lost, so the session cannot go on
                client.conn.transport.abort()
            raise
        client._numMsgRecv += self._decoder.frames - frames  # noqa: SLF001
        if self._decoder.malformed != self._malformed_told:
            self._tell_malformed()

    def _ticked(self, lines: list[Line]) -> None:
        self._on_ticks(lines, self._read_at_ns)

    def _hand_on(self, frame: bytes) -> None:
        client = self._client
        assert client is not None  # noqa: S101 - it is what reads
        client._numBytesRecv -= len(frame)  # noqa: SLF001 - it counts them itself
        client._onSocketHasData(frame)  # noqa: SLF001

    def _tell_malformed(self) -> None:
        now = self._clock.monotonic()
        if now - self._malformed_told_at < MALFORMED_LOG_INTERVAL_S:
            return
        self._malformed_told_at = now
        self._malformed_told = self._decoder.malformed
        _log.warning("feed.malformed_ticks", count=self._decoder.malformed)
