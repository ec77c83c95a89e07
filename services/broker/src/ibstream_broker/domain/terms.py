"""What trading an instrument is bound to, as its executor says."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What trading an instrument is bound to."""

    con_id: int
    """0 for a combo, which has none."""
    increments: tuple[tuple[Decimal, Decimal], ...] = ()
    """The market rule: from which price on which step is in force, ascending from 0. Empty where it is not known."""
    multiplier: Decimal = Decimal(1)
    """Units in one contract: what a price is multiplied by to be money."""
    quantity_step: Decimal = Decimal(1)
    """The smallest step of a quantity."""

    def price_tick(self, price: Decimal) -> Decimal:
        """The smallest step of a price there; 0 where it is not known. Negative prices mirror positive ones."""
        tick = Decimal(0)
        for low_edge, increment in self.increments:
            if abs(price) >= low_edge:
                tick = increment
        return tick
