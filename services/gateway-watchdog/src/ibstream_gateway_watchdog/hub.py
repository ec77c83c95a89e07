"""Telling every WebSocket client each change, in order, without waiting for any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

QUEUE_MAX = 64
"""Messages that wait for one client. One that lets more pile up does not read, and is dropped."""

CLIENTS_MAX = 100

CODE_GOING_AWAY = 1001
CODE_TRY_AGAIN_LATER = 1013
"""WebSocket close codes (RFC 6455 section 7.4, IANA registry)."""


class TooManyClientsError(Exception):
    """`CLIENTS_MAX` clients listen already."""


class Subscription:
    """One client's messages, and whether it is over."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[str] = asyncio.Queue(QUEUE_MAX)
        self._over = asyncio.Event()
        self._close_code = 0

    async def next(self) -> str:
        """The next message, waiting for it."""
        return await self._messages.get()

    async def over(self) -> int:
        """Wait until the client is to be sent away, and return the close code for it."""
        await self._over.wait()
        return self._close_code

    def put(self, message: str) -> bool:
        """Queue a message; False if the client does not read."""
        try:
            self._messages.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True

    def end(self, close_code: int) -> None:
        """Send the client away."""
        self._close_code = close_code
        self._over.set()


class Hub:
    """The clients that listen now."""

    def __init__(self) -> None:
        self._clients: set[Subscription] = set()
        self._closed = False

    @property
    def clients(self) -> int:
        """How many listen."""
        return len(self._clients)

    @contextmanager
    def subscribed(self, greeting: str) -> Iterator[Subscription]:
        """A subscription whose first message is `greeting`; raises `TooManyClientsError`."""
        if len(self._clients) >= CLIENTS_MAX:
            raise TooManyClientsError
        subscription = Subscription()
        subscription.put(greeting)
        if self._closed:
            subscription.end(CODE_GOING_AWAY)
        self._clients.add(subscription)
        try:
            yield subscription
        finally:
            self._clients.discard(subscription)

    def publish(self, message: str) -> None:
        """Queue a message for every client, and drop those that do not read."""
        for client in list(self._clients):
            if not client.put(message):
                self._clients.discard(client)
                client.end(CODE_TRY_AGAIN_LATER)

    def close(self) -> None:
        """Send every client away, and whoever comes from now on."""
        self._closed = True
        for client in self._clients:
            client.end(CODE_GOING_AWAY)
