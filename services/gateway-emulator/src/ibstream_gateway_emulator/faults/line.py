"""A stretch of wire that holds bytes back: for a while, for as long as it is frozen, or to pass them on in small pieces."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ibstream.runtime.clock import Clock


class Wiring(Protocol):
    """What is wrong with the wire at the moment."""

    def is_frozen(self) -> bool:
        """Whether nothing passes."""
        ...

    def delay_s(self) -> float:
        """How long the bytes that come now are held back."""
        ...

    def piece(self) -> tuple[int, float] | None:
        """How many bytes pass at once, and the seconds between; None: all of them."""
        ...


class Line:
    """Passes bytes on in the order they came, each not before its time. `held` bytes wait in it; the owner bounds them."""

    def __init__(self, deliver: Callable[[bytes], None], wiring: Wiring, clock: Clock) -> None:
        self._deliver = deliver
        self._wiring = wiring
        self._clock = clock
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._thawed = asyncio.Event()
        self._last: Callable[[], None] | None = None
        self.held = 0
        """Bytes that wait."""

    @property
    def is_clear(self) -> bool:
        """Whether nothing waits, so that bytes may go past the line in order."""
        return not self.held

    def put(self, data: bytes) -> None:
        """Take bytes in."""
        due_s = self._clock.monotonic() + self._wiring.delay_s()
        if self._waiting:
            due_s = max(due_s, self._waiting[-1][0])
        self._waiting.append((due_s, data))
        self.held += len(data)
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._run())

    def changed(self) -> None:
        """Ask anew what is wrong with the wire."""
        self._thawed.set()

    def finish(self, then: Callable[[], None]) -> None:
        """Call `then` once all that waits has passed."""
        if self.is_clear:
            then()
        else:
            self._last = then

    def cut(self) -> bytes:
        """Stop; what waits is taken out and returned."""
        left = b"".join(data for _, data in self._waiting)
        self._waiting.clear()
        self.held = 0
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None
        return left

    async def _run(self) -> None:
        while self._waiting:
            due_s, data = self._waiting[0]
            if self._wiring.is_frozen():
                self._thawed.clear()
                await self._thawed.wait()
            elif (early_s := due_s - self._clock.monotonic()) > 0:
                await self._clock.sleep(early_s)
            else:
                self._waiting.popleft()
                await self._pass(data)
        self._pump = None
        if self._last is not None:
            self._last()

    async def _pass(self, data: bytes) -> None:
        size, gap_s = self._wiring.piece() or (len(data), 0.0)
        for start in range(0, len(data), size):
            if start:
                await self._clock.sleep(gap_s)
            chunk = data[start : start + size]
            self.held -= len(chunk)
            self._deliver(chunk)
