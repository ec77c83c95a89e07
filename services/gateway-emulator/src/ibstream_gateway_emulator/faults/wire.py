"""The wire of one connection, both ways, with what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ibstream.runtime.clock import Clock
from ibstream_gateway_emulator.faults.line import Line
from ibstream_gateway_emulator.faults.state import Faults

CONGESTED_BYTES = 64 * 1024
"""With more than this held back, the wire is congested, as a socket is by default."""


@dataclass(slots=True)
class _Way:
    faults: Faults
    client_id: Callable[[], int | None]
    incoming: bool

    def is_frozen(self) -> bool:
        return self.faults.is_frozen(self.client_id())

    def delay_s(self) -> float:
        return self.faults.delay_s(self.client_id(), incoming=self.incoming)

    def piece(self) -> tuple[int, float] | None:
        return None if self.incoming else self.faults.piece(self.client_id())


class Wire:
    """What lies between a connection and its socket. `write` and `take` are the two ends that bytes come out of."""

    def __init__(
        self,
        faults: Faults,
        clock: Clock,
        client_id: Callable[[], int | None],
        *,
        write: Callable[[bytes], None],
        take: Callable[[bytes], None],
    ) -> None:
        self._faults = faults
        self._client_id = client_id
        self._write, self._take = write, take
        self._out = Line(write, _Way(faults, client_id, incoming=False), clock)
        self._in = Line(take, _Way(faults, client_id, incoming=True), clock)

    def send(self, data: bytes) -> None:
        """Towards the client."""
        if self._faults.is_wired or not self._out.is_clear:
            self._out.put(data)
        else:
            self._write(data)

    def receive(self, data: bytes) -> None:
        """From the client."""
        if self._faults.is_wired or not self._in.is_clear:
            self._in.put(data)
        else:
            self._take(data)

    @property
    def held(self) -> int:
        """Bytes that wait, both ways."""
        return self._out.held + self._in.held

    @property
    def is_frozen(self) -> bool:
        """Whether nothing passes."""
        return self._faults.is_wired and self._faults.is_frozen(self._client_id())

    @property
    def is_congested(self) -> bool:
        """Whether so much waits, or for so long, that ticks are to be left out."""
        return self._out.held > CONGESTED_BYTES or self.is_frozen

    def changed(self) -> None:
        """The faults in force have changed."""
        self._out.changed()
        self._in.changed()

    def finish(self, then: Callable[[], None]) -> None:
        """Call `then` once all that was sent has passed."""
        self._out.finish(then)

    def hear_out(self, then: Callable[[], None]) -> bool:
        """Call `then` once all that has come has passed. False if nothing waits; then it is not called."""
        if self._in.is_clear:
            return False
        self._in.finish(then)
        return True

    def cut(self) -> bytes:
        """Drop what waits; what had come from the client is returned."""
        self._out.cut()
        return self._in.cut()
