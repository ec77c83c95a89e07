"""What piles up while the Gateway has lost IBKR: requests that wait for the link, and what happens to orders unseen."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ibstream.simulation.orders import Event
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.protocol.requests import Request

KEPT_MAX = 10_000
"""Requests that are kept for the time when the link is back; more of them are lost."""


class Waiting(NamedTuple):
    """A request, whose it is, and the id under which errors about it are told."""

    client: Client
    request: Request
    req_id: int
    kept_ns: int
    """When it came."""


class LinkGap:
    """The backlog of one loss of the link."""

    def __init__(self) -> None:
        self.kept: deque[Waiting] = deque()
        """Orders, changes and cancels, as they came, and by whom."""
        self.unseen: list[Event] = []
        """What became of orders at IBKR; orders bound its length."""

    def keep(self, waiting: Waiting) -> bool:
        """Keep a request for later; False if there is no room."""
        if len(self.kept) >= KEPT_MAX:
            return False
        self.kept.append(waiting)
        return True

    def take_unseen(self) -> list[Event]:
        """What happened unseen, oldest first; it is seen now."""
        unseen, self.unseen = self.unseen, []
        return unseen
