"""Snapshots that are under way, and what ends them."""

from __future__ import annotations

import asyncio

from ibstream.ibkr.codes import CodeClass, classify
from ibstream_feed.domain.line import LIVE, Line

_NO_REFUSAL = {CodeClass.DELAYED_DATA, CodeClass.BENIGN, CodeClass.INFO, CodeClass.FARM_IDLE, CodeClass.ORDER_WARNING}
_WARNINGS = range(2100, 2200)


class Gathering:
    """A snapshot under way."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.request_id = -1
        """Before `begin`: none."""
        self.whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once IBKR says that it is, or will not be."""
        self._stood = line.data_type, line.halted
        self._values = line.values

    def begin(self) -> None:
        """It is asked for now."""
        self._stood = self.line.data_type, self.line.halted
        self.line.begin()
        self._values = self.line.values
        self.line.is_gathering = True

    def fail(self, error: Exception) -> None:
        """End the wait for it."""
        if not self.whole.done():
            self.whole.set_exception(error)

    def drop(self, *, keep_values: bool) -> None:
        """It is not to be had. The values that came are dropped, unless they are a subscription's by now."""
        self.line.is_gathering = False
        if not keep_values:
            self.line.forgo()
        elif self.line.values is self._values:
            self._give_back()

    def _give_back(self) -> None:
        """The subscription was there before: what IBKR told it of its data and of a halt, it does not tell it again."""
        data_type, halted = self._stood
        if self.line.data_type == LIVE:
            self.line.data_type = data_type
        self.line.halted = self.line.halted or halted


def is_refusal(code: int, text: str) -> bool:
    """Whether a code says that a snapshot will not come; others tell what kind of data comes, or nothing of weight."""
    return code not in _WARNINGS and classify(code, text) not in _NO_REFUSAL
