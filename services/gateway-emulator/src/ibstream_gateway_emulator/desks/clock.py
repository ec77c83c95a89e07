"""Who was told the time, and when: a Gateway ignores those who ask again too soon."""

from __future__ import annotations

from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.client import Client

REST_NS = NS_PER_S
"""So soon after an answer the same client gets no other."""


class ClockDesk:
    """When each client was last told the time."""

    def __init__(self) -> None:
        self._told_ns: dict[Client, int] = {}

    def answers(self, client: Client, now_ns: int) -> bool:
        """Whether a client that asks now is told; if so, it counts as told."""
        told_ns = self._told_ns.get(client)
        if told_ns is not None and now_ns - told_ns < REST_NS:
            return False
        self._told_ns[client] = now_ns
        return True

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        self._told_ns.pop(client, None)
