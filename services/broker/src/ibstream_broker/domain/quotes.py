"""The last quote of an instrument, as risk limits look at it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quality


class LastQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Prices per unit in the instrument's currency; what is not known is None."""

    bid: Decimal | None = None
    ask: Decimal | None = None
    last: Decimal | None = None
    at: datetime
    """When the feed received the newest of them."""
    quality: Quality = Quality.LIVE

    @property
    def price(self) -> Decimal | None:
        """What one unit is worth: between bid and ask, else the last trade, else the one side there is."""
        bid, ask, last = (one if one is not None and one > 0 else None for one in (self.bid, self.ask, self.last))
        if bid is not None and ask is not None:
            return (bid + ask) / 2
        return last or bid or ask


def is_quoted(instrument: Instrument) -> bool:
    """Whether `quotes:last:*` can be about this instrument: the feed's symbols name US stocks and ETFs.

    An option, a future or another country's stock can have the symbol of one, and another price.
    """
    return instrument.security_type == "STK" and instrument.currency == "USD"


def wrong_with(quote: LastQuote | None, now: datetime, age_max: timedelta | None) -> str:
    """Why a quote cannot be judged by, or an empty text when it can."""
    if quote is None or quote.price is None:
        return "there is no quote"
    if quote.quality is not Quality.LIVE:
        return f"the last quote is {quote.quality}"
    if age_max is not None and now - quote.at > age_max:
        return f"the last quote is {(now - quote.at).total_seconds():.1f} s old"
    return ""
