"""Stream `portfolio:events` and the hashes `portfolio:positions:<account>`, `portfolio:account:<account>` and
`portfolio:pnl:<account>`."""

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


class PnlChanged(Message, frozen=True, kw_only=True, tag="portfolio.pnl.v1"):
    """Profit and loss as IBKR says, of the account or of one position. Field of the hash: `<con_id>`, 0 for the account.

    In the account's base currency for the account, in the instrument's for a position. What IBKR does not say is None.
    """

    account: str
    con_id: int = 0
    """0 for the whole account."""
    symbol: str = ""
    daily: Decimal | None = None
    """Since the last close; of the account only."""
    unrealized: Decimal | None = None
    realized: Decimal | None = None
    """Today's."""
    market_price: Decimal | None = None
    market_value: Decimal | None = None
    at: UtcDatetime


class PositionMismatch(Message, frozen=True, kw_only=True, tag="portfolio.mismatch.v1"):
    """What the fills add up to and what IBKR says is held differ, or agree again (`agrees`)."""

    account: str
    con_id: int
    symbol: str
    by_fills: Decimal
    """Where the last agreement and every execution since, ours and others', lead to."""
    by_ibkr: Decimal
    agrees: bool = False
    at: UtcDatetime
