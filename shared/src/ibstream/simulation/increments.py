"""The market rules: which prices are allowed at which level."""

from __future__ import annotations

from decimal import Decimal

MarketRule = tuple[tuple[Decimal, Decimal], ...]
"""Price increments: each from a lower edge upwards."""


def _flat(increment: str) -> MarketRule:
    return ((Decimal(0), Decimal(increment)),)


STOCK_RULE, OPTION_RULE, FX_RULE, YEN_RULE, INDEX_RULE = 26, 32, 59, 62, 904
MARKET_RULES: dict[int, MarketRule] = {
    STOCK_RULE: _flat("0.01"),
    OPTION_RULE: ((Decimal(0), Decimal("0.01")), (Decimal(3), Decimal("0.05"))),
    FX_RULE: _flat("0.00005"),
    YEN_RULE: _flat("0.005"),
    67: _flat("0.25"),
    239: _flat("0.005"),
    901: _flat("0.1"),
    902: _flat("1"),
    903: _flat("0.125"),
    INDEX_RULE: _flat("0.01"),
    32_001: _flat("0.01"),
}
"""By IBKR's number; those above 900 are the simulation's own, and only 26 and 67 are recorded."""
