"""What desks have in common that stream something under a request id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import Code, RequestError

T = TypeVar("T")


class Subscriptions(Generic[T]):
    """Subscriptions by client and request id. `ended` is called with each that ends, however it does."""

    def __init__(self, ended: Callable[[Client, int, T], None]) -> None:
        self._ended = ended
        self._entries: dict[Client, dict[int, T]] = {}

    def __iter__(self) -> Iterator[tuple[Client, int, T]]:
        for client, entries in list(self._entries.items()):
            for req_id, entry in list(entries.items()):
                yield client, req_id, entry

    def is_used(self, client: Client, req_id: int) -> bool:
        """Whether the client has a subscription under this request id."""
        return req_id in self._entries.get(client, {})

    def count(self, client: Client) -> int:
        """How many subscriptions the client has."""
        return len(self._entries.get(client, {}))

    def add(self, client: Client, req_id: int, entry: T) -> None:
        """Begin one. Raises `RequestError` with 322 if the id is in use."""
        self.check(client, req_id)
        self._entries.setdefault(client, {})[req_id] = entry

    def check(self, client: Client, req_id: int) -> None:
        """Raises `RequestError` with 322 if the id is in use."""
        if self.is_used(client, req_id):
            raise RequestError(codes.duplicate_ticker(req_id))

    def cancel(self, client: Client, req_id: int, unknown: Callable[[int], Code] = codes.no_such_ticker) -> None:
        """End one. Raises `RequestError` with what `unknown` says if there is none."""
        entry = self._entries.get(client, {}).pop(req_id, None)
        if entry is None:
            raise RequestError(unknown(req_id))
        self._ended(client, req_id, entry)

    def leave(self, client: Client) -> None:
        """End all of a client that has gone."""
        for req_id, entry in self._entries.pop(client, {}).items():
            self._ended(client, req_id, entry)
