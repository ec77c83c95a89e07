"""What the Gateway remembers of one connected client, and forgets when it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ibstream_gateway_emulator.domain.portfolio import ValueFeed
from ibstream_gateway_emulator.domain.ticks import Subscription
from ibstream_gateway_emulator.protocol.messages import Message


class Outlet(Protocol):
    """The way to one client."""

    def send(self, messages: Iterable[Message]) -> None:
        """Write the messages, in order, in one piece."""
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


@dataclass(slots=True, eq=False)
class Client:
    """A client that has named itself with startApi."""

    client_id: int
    outlet: Outlet
    quotes: dict[int, Subscription] = field(default_factory=dict)
    """Streaming quotes by request id."""
    follows_positions: bool = False
    account_updates: ValueFeed | None = None
    account_multi: dict[int, tuple[str, ValueFeed]] = field(default_factory=dict)
    """Model code and values followed, by request id."""
    summaries: dict[int, ValueFeed] = field(default_factory=dict)
    """Account values followed, by request id."""
    queries: set[int] = field(default_factory=set)
    """Historical queries that are still being answered, by request id."""


Answer = Iterable[Message] | Iterator[Message]
"""What a request is answered with at once; empty where the answer comes later or never."""
