"""What is read event by event: opened once, then iterated; it outlives a restart of Redis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from ibstream.bus import Bus, BusUnavailable, Entry, StreamReader
from ibstream.bus.reader import BLOCK_S_MAX
from ibstream.contracts.registry import Stream
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import Clock

T = TypeVar("T")

_RETRY = exponential(0.1, 2.0)


class PatientReader:
    """A `StreamReader` that keeps its position while Redis is away, and gives up after `patience_s` without an answer.

    `on_return` is called when Redis answers again after it did not.
    """

    def __init__(
        self,
        bus: Bus,
        streams: dict[Stream, str],
        *,
        patience_s: float,
        clock: Clock,
        on_return: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_return = on_return
        self._is_away = False
        self._reader = StreamReader(bus, streams)
        self._patience_s = patience_s
        self._clock = clock

    async def start(self) -> None:
        """Fix the positions. Not patient: whoever begins wants to know at once that Redis is away."""
        await self._reader.start()

    async def read(self, *, block_s: float = BLOCK_S_MAX, count: int = 1000) -> list[Entry]:
        """The next entries, empty after `block_s` seconds; raise `BusUnavailable` once patience is at its end."""
        give_up_at = self._clock.monotonic() + self._patience_s
        waits = _RETRY()
        while True:
            try:
                entries = await self._reader.read(block_s=block_s, count=count)
            except BusUnavailable:
                self._is_away = True
                if self._clock.monotonic() >= give_up_at:
                    raise
            else:
                self._answered()
                return entries
            await self._clock.sleep(next(waits))

    def _answered(self) -> None:
        if self._is_away:
            self._is_away = False
            self._on_return()

    async def close(self) -> None:
        """Close the connection."""
        await self._reader.close()


class Subscription(ABC, Generic[T]):
    """An asynchronous iterator that holds a connection.

    `async with` fixes the position on entering: what is written after that is seen. `async for` alone does so with its
    first step. Leaving the `async with`, `close`, or closing the client frees the connection.
    """

    def __init__(self) -> None:
        self._opened = False
        self.closed = False
        """Whether its connection has been freed."""
        self._pending: deque[T] = deque()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        await self.open()
        while not self._pending:
            self._pending.extend(await self._more())
        return self._pending.popleft()

    async def open(self) -> None:
        """Fix the position; nothing on a second call. Raises `BusUnavailable` when Redis does not answer."""
        if not self._opened:
            await self._open()
            self._opened = True

    async def close(self) -> None:
        """Free the connection."""
        self.closed = True
        await self._close()

    @abstractmethod
    async def _close(self) -> None: ...

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def _more(self) -> list[T]:
        """The next events, in order; empty where none came for a while; `StopAsyncIteration` at the end."""
