"""The size at the touch, shared by all orders of the account until the next tick. A combo takes from what its legs show."""

from __future__ import annotations

from decimal import Decimal

from ibstream.contracts.orders import Side
from ibstream.simulation.orders import Ticket
from ibstream.simulation.view import MarketView, combos

ZERO = Decimal(0)


class Supply:
    """What of the sizes shown the account has taken. `limited=False` for a market in which size does not matter."""

    def __init__(self, view: MarketView, *, limited: bool) -> None:
        self._view = view
        self._limited = limited
        self._taken: dict[tuple[str, Side], tuple[int, Decimal]] = {}

    def available(self, ticket: Ticket, now_ns: int) -> Decimal | None:
        """What is left for an order, of a combo in combos; None where size does not matter."""
        if not self._limited:
            return None
        if not ticket.legs:
            return self._left(ticket.symbol, ticket.side, now_ns)
        return min(combos(self._left(piece.symbol, piece.side, now_ns), piece.ratio) for piece in ticket.pieces)

    def take(self, ticket: Ticket, quantity: Decimal, now_ns: int) -> None:
        """Note that an order has taken `quantity`."""
        if not self._limited:
            return
        for piece in ticket.pieces:
            place = (piece.symbol, piece.side)
            sequence, taken = self._taken_of(*place, now_ns)
            self._taken[place] = sequence, taken + quantity * piece.ratio

    def _left(self, symbol: str, side: Side, now_ns: int) -> Decimal:
        return self._view.top_of(symbol, now_ns).shown(side) - self._taken_of(symbol, side, now_ns)[1]

    def _taken_of(self, symbol: str, side: Side, now_ns: int) -> tuple[int, Decimal]:
        """The tick that stands, and how much of its size is taken."""
        sequence = self._view.top_of(symbol, now_ns).sequence
        known, taken = self._taken.get((symbol, side), (sequence, ZERO))
        return sequence, taken if known == sequence else ZERO
