"""What the data service needs from whoever has the bars."""

from __future__ import annotations

from typing import Protocol

from ibstream.contracts.data import Bar, BarsRequest, FailureReason
from ibstream.runtime.connection import Connection
from ibstream.runtime.errors import IbstreamError


class BarsRefused(IbstreamError):  # noqa: N818 - named like the event
    """The bars will not come, and why. `code` is IBKR's where it gave one, else 0."""

    def __init__(self, reason: FailureReason, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.code = code


class BarsPort(Connection, Protocol):
    """A source of historical bars.

    Bars come oldest first, without duplicates, times in UTC. An empty answer means that there are none for the period,
    never that something failed. Several requests may be under way at once.
    """

    async def bars(self, request: BarsRequest) -> list[Bar]:
        """The bars asked for.

        Raises `BarsRefused` for an answer that is no, and a `RecoverableError` when the session ended meanwhile.
        """
        ...
