"""What is traded, in the field's own terms."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ibstream.contracts.base import Symbol

SecurityType = Literal["STK"]
"""IBKR's security type. Stocks and ETFs for now."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable thing. The symbol alone names a US stock; IBKR's contract id is looked up by the services."""

    symbol: Symbol
    security_type: SecurityType = "STK"
    exchange: Annotated[str, Meta(max_length=32)] = "SMART"
    """Where orders are routed; `SMART` lets IBKR choose."""
    primary_exchange: Annotated[str, Meta(max_length=32)] = ""
    """The listing exchange; needed only where a symbol is listed on several (`NASDAQ`, `NYSE`, `ARCA`)."""
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")] = "USD"
