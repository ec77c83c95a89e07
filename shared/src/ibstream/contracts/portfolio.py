"""Stream `portfolio:events` and the hashes `portfolio:positions:<account>` and `portfolio:account:<account>`."""

from __future__ import annotations

from decimal import Decimal

from ibstream.contracts.base import Message, UtcDatetime


class PositionChanged(Message, frozen=True, kw_only=True, tag="portfolio.position.v1"):
    """What an account holds of one instrument, as IBKR says. Field of the hash: `<con_id>`."""

    account: str
    con_id: int
    symbol: str
    security_type: str
    currency: str
    quantity: Decimal
    """Negative for a short position."""
    average_cost: Decimal
    """Per share, commissions included, in `currency`."""
    at: UtcDatetime


class AccountValueChanged(Message, frozen=True, kw_only=True, tag="portfolio.account_value.v1"):
    """One of IBKR's account values (`NetLiquidation`, `TotalCashValue`, …). Field of the hash: `<tag>:<currency>`."""

    account: str
    tag: str
    value: str
    """As IBKR writes it: most are decimal numbers, some are words."""
    currency: str
    at: UtcDatetime
