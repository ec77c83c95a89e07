"""Sizes of a book between two ticks of the market, for who is to be told more than the market makes."""

from __future__ import annotations

import msgspec

from ibstream.simulation.hashing import splitmix64
from ibstream.simulation.quotes import Quote
from ibstream_gateway_emulator.domain.tick_frames import SIZE_STEPS

_OTHER_SIZES = SIZE_STEPS - 1
_CHANGES = _OTHER_SIZES * _OTHER_SIZES
_CHANGES_PER_HASH = 10
"""A hash of 64 bits is enough for so many changes of both sizes."""


class BookSizes:
    """The sizes of one instrument's bid and ask, each one to ten `unit`.

    They follow from `salt`, the number of the market's last tick and how many changes there were since.
    """

    def __init__(self, unit: int, salt: int) -> None:
        self.unit = unit
        self._salt = salt
        self._quote: Quote | None = None
        self._revision = self._bid_step = self._ask_step = 0
        self._resized: tuple[int, int, Quote] | None = None

    def next(self, quote: Quote, count: int) -> tuple[list[int], list[int]]:
        """Both sizes, in steps from 0 to 9, of the next `count` changes since `quote`. Each differs from the one before."""
        if quote is not self._quote:
            self._quote, self._revision, self._resized = quote, 0, None
            self._bid_step, self._ask_step = quote.bid_size // self.unit - 1, quote.ask_size // self.unit - 1
        bids, asks = [self._bid_step], [self._ask_step]
        tick = self._salt ^ splitmix64(quote.sequence)
        while len(bids) <= count:
            bits = splitmix64(tick ^ self._revision)
            self._revision += 1
            for _ in range(_CHANGES_PER_HASH):
                bits, change = divmod(bits, _CHANGES)
                bids.append((bids[-1] + 1 + change // _OTHER_SIZES) % SIZE_STEPS)
                asks.append((asks[-1] + 1 + change % _OTHER_SIZES) % SIZE_STEPS)
        self._bid_step, self._ask_step = bids[count], asks[count]
        return bids[1 : count + 1], asks[1 : count + 1]

    def resized(self, quote: Quote, bid_step: int, ask_step: int) -> Quote:
        """The same quote with sizes of `next`; the very same object for all who are told the same."""
        known = self._resized
        if known is None or known[:2] != (bid_step, ask_step) or quote is not self._quote:
            changed = {"bid_size": (bid_step + 1) * self.unit, "ask_size": (ask_step + 1) * self.unit}
            known = self._resized = (bid_step, ask_step, msgspec.structs.replace(quote, **changed))
        return known[2]
