"""The way of tick frames to the clients: collected per client, written in pieces, and what becomes of a client that is slow."""

from __future__ import annotations

from collections.abc import Callable

from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain.tick_frames import ENCODING
from ibstream_gateway_emulator.settings import EmulatorSettings

CHUNK_BYTES = 64 * 1024
"""So many bytes are written to a client at once; then it is looked whether it still keeps up."""
CONGESTED_NS_MAX = 3 * NS_PER_S
"""A client that has not read enough for so long is cut off, where the settings say so. Before that its connection bounds what
stays unread, too."""


class Outbox:
    """Writes text of tick frames to clients.

    With `slow_clients` "drop" a congested client is told nothing until it has caught up, and then the latest. With
    "disconnect" it goes on to be told everything until it has been congested for `CONGESTED_NS_MAX`, and is cut off then; how
    far a real TWS lets a client fall behind is not documented.
    """

    def __init__(self, settings: Callable[[], EmulatorSettings]) -> None:
        self._settings = settings
        self._waiting: dict[Client, list[str]] = {}
        self._sizes: dict[Client, int] = {}
        self._congested_since: dict[Client, int] = {}
        self._closed: set[Client] = set()
        self._now_ns = 0

    def open(self, now_ns: int) -> None:
        """A step begins."""
        self._now_ns = now_ns
        self._closed.clear()

    def takes(self, client: Client) -> bool:
        """Whether the client may be told more in this step."""
        if client in self._closed:
            return False
        if not client.outlet.is_congested:
            self._congested_since.pop(client, None)
            return True
        if self._settings().slow_clients == "disconnect" and self._is_patient_with(client):
            return True
        self._closed.add(client)
        return False

    def put(self, client: Client, text: str) -> bool:
        """Frames for a client; whether it may be told more in this step."""
        waiting = self._waiting.get(client)
        if waiting is None:
            waiting = self._waiting[client] = []
            self._sizes[client] = 0
        waiting.append(text)
        size = self._sizes[client] = self._sizes[client] + len(text)
        if size < CHUNK_BYTES:
            return True
        self._write(client)
        return self.takes(client)

    def flush(self) -> None:
        """Write what is left. A step ends."""
        for client in list(self._waiting):
            self._write(client)

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        self._waiting.pop(client, None)
        self._sizes.pop(client, None)
        self._congested_since.pop(client, None)

    def _write(self, client: Client) -> None:
        self._sizes.pop(client, None)
        client.outlet.send_frames("".join(self._waiting.pop(client)).encode(ENCODING))

    def _is_patient_with(self, client: Client) -> bool:
        since_ns = self._congested_since.setdefault(client, self._now_ns)
        if self._now_ns - since_ns <= CONGESTED_NS_MAX:
            return True
        client.outlet.abort()
        return False
