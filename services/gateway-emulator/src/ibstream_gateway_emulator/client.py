"""One connected client, as all who write to it know it. What it has asked for is remembered by the desks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ibstream_gateway_emulator.protocol.messages import Message


class Outlet(Protocol):
    """The way to one client."""

    def send(self, messages: Iterable[Message]) -> None:
        """Write the messages, in order, in one piece."""
        ...

    def send_frames(self, frames: bytes) -> None:
        """Write frames that are encoded already, as ticks are."""
        ...

    def send_apart(self, work: Callable[[], Message], wanted: Callable[[], bool]) -> None:
        """Run `work` in a thread and write what it returns, if it is still `wanted` then."""
        ...

    @property
    def is_congested(self) -> bool:
        """Whether the client reads more slowly than it is written to; ticks are left out then."""
        ...

    def close(self, reason: str) -> None:
        """End the connection after what has been written."""
        ...

    def abort(self) -> None:
        """End the connection at once, whatever is still to be written."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Client:
    """A client that has named itself with startApi. Two connections are never equal, whatever their ids."""

    client_id: int
    outlet: Outlet


Answer = Iterable[Message] | Iterator[Message]
"""What a request is answered with at once; empty where the answer comes later or never."""
