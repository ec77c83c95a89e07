"""The quote of a combination, from the quotes of its legs."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from ibstream.simulation.quotes import Quote

QuoteAt = Callable[[int], Quote]
"""The quote that stands at a time in nanoseconds since the epoch."""

PLACES = 8
"""Decimals that a combination's price is rounded to, to undo what adding floats does; no leg has more."""


class Part(msgspec.Struct, frozen=True):
    """One leg."""

    quote_at: QuoteAt
    ratio: int
    is_bought: bool


def combination(key: str, parts: tuple[Part, ...]) -> QuoteAt:
    """Quotes of the combination named `key`.

    Buying it buys the bought legs at their ask and sells the others at their bid; what is shown is what all legs have. Its
    number grows with every tick of a leg. There is no last price and no volume: IBKR tells none either, as a rule.
    """

    def quote_at(time_ns: int) -> Quote:
        quotes = [part.quote_at(time_ns) for part in parts]
        legs = list(zip(parts, quotes, strict=True))
        bid, ask = _book(legs)
        return Quote(
            key,
            max(quote.time_ns for quote in quotes),
            sum(quote.sequence for quote in quotes),
            bid,
            ask,
            0.0,
            min(_size(part, quote, buying=False) for part, quote in legs),
            min(_size(part, quote, buying=True) for part, quote in legs),
            0,
            0,
        )

    return quote_at


def _book(legs: list[tuple[Part, Quote]]) -> tuple[float, float]:
    """Bid and ask of one combination."""
    bid = ask = Decimal(0)
    for part, quote in legs:
        near, far = Decimal(str(quote.bid)), Decimal(str(quote.ask))
        bid += part.ratio * (near if part.is_bought else -far)
        ask += part.ratio * (far if part.is_bought else -near)
    return round(float(bid), PLACES), round(float(ask), PLACES)


def _size(part: Part, quote: Quote, *, buying: bool) -> int:
    """How many combinations the leg has enough for."""
    shown = quote.ask_size if part.is_bought == buying else quote.bid_size
    return shown // part.ratio
