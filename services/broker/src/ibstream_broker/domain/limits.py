"""The risk limits, as they are set. Everything is off that is None or empty. Pure.

Money is in the instrument's currency; nothing is converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the orders of one strategy. The names are the settings', without `risk.`."""

    order_quantity_max: Decimal | None = None
    """Of one order: shares, contracts, combos, or units of a pair's first currency."""
    order_notional_max: Decimal | None = None
    """Of one order: price times quantity times multiplier."""
    price_collar_percent: Decimal | None = None
    """How far on the harmful side of the last quote a price may lie."""
    quote_age_s_max: float | None = 60.0
    """An older quote is none. It limits nothing by itself."""
    require_live_quote: bool = True
    """Whether an order is refused that a quote is needed to judge, where there is no live one."""
    symbols_allowed: frozenset[str] = frozenset()
    """Empty for all."""
    symbols_denied: frozenset[str] = frozenset()
    short_allowed: bool = True
    strategy_orders_per_s_max: int | None = None
    strategy_open_orders_max: int | None = None
    strategy_position_quantity_max: Decimal | None = None
    """Long or short, in one instrument, once all of its orders on one side have filled."""
    strategy_position_notional_max: Decimal | None = None
    """The same times price and multiplier."""
    account_orders_per_s_max: int | None = None
    account_open_orders_max: int | None = None
    account_daily_loss_max: Decimal | None = None
    """In the account's base currency: no order that opens or enlarges a position, once the day has lost so much."""

    @property
    def quote_age_max(self) -> timedelta | None:
        """`quote_age_s_max` as a span of time."""
        return None if self.quote_age_s_max is None else timedelta(seconds=self.quote_age_s_max)

    @property
    def looks_at_quotes(self) -> bool:
        """Whether any limit can need the last quote."""
        by_price = (self.order_notional_max, self.price_collar_percent, self.strategy_position_notional_max)
        return any(limit is not None for limit in by_price)


class RiskLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of every strategy. Those of the account are the same for all."""

    general: Limits = Limits()
    strategies: Mapping[str, Limits] = {}
    """By name, whole: what a strategy does not set itself is the general limit here, too."""

    def of(self, strategy: str) -> Limits:
        """What holds for an order of this strategy."""
        return self.strategies.get(strategy, self.general)
