"""The market as the matching sees it: exact prices, and combos as one instrument."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from ibstream.contracts.orders import Side
from ibstream.simulation.fills import Top
from ibstream.simulation.market import Market, Quote
from ibstream.simulation.orders import Leg, Ticket
from ibstream.simulation.terms import terms_of

PLACES_MAX = 8
"""Decimals of the finest tick."""


def exact(price: float, min_tick: Decimal) -> Decimal:
    """A quoted price as the exact decimal it stands for, with as many places as the tick has."""
    return Decimal(f"{price:.{_places(min_tick)}f}")


@lru_cache(maxsize=256)
def _places(min_tick: Decimal) -> int:
    exponent = min_tick.normalize().as_tuple().exponent
    return min(max(-int(exponent), 2), PLACES_MAX)


class MarketView:
    """Tops of books, remembered as long as the tick stands."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self._tops: dict[str, Top] = {}

    def sequence(self, ticket: Ticket, now_ns: int) -> int:
        """The number of the tick that stands; of a combo one that grows with every tick of a leg."""
        if not ticket.legs:
            return self.market.quote(ticket.symbol, now_ns).sequence
        return sum(self.market.quote(leg.symbol, now_ns).sequence for leg in ticket.legs)

    def top(self, ticket: Ticket, now_ns: int) -> Top:
        """The book in which an order with this ticket trades."""
        if not ticket.legs:
            return self.top_of(ticket.symbol, now_ns)
        return _net(ticket.legs, [self.top_of(leg.symbol, now_ns) for leg in ticket.legs])

    def top_of(self, symbol: str, now_ns: int) -> Top:
        """The book of one instrument."""
        quote = self.market.quote(symbol, now_ns)
        known = self._tops.get(symbol)
        if known is None or known.sequence != quote.sequence:
            known = self._tops[symbol] = _top(quote, terms_of(symbol).min_tick)
        return known

    def last(self, symbol: str, now_ns: int) -> Decimal:
        """The last trade, in the instrument's currency."""
        return self.top_of(symbol, now_ns).last


def _top(quote: Quote, min_tick: Decimal) -> Top:
    return Top(
        quote.sequence,
        exact(quote.bid, min_tick),
        exact(quote.ask, min_tick),
        exact(quote.last, min_tick),
        Decimal(quote.bid_size),
        Decimal(quote.ask_size),
    )


def _net(legs: tuple[Leg, ...], tops: list[Top]) -> Top:
    """Buying the combo buys its BUY legs at the ask and sells its SELL legs at the bid."""
    pairs = list(zip(legs, tops, strict=True))
    return Top(
        sum(top.sequence for top in tops),
        sum((_sign(leg) * leg.ratio * top.near(leg.side) for leg, top in pairs), Decimal(0)),
        sum((_sign(leg) * leg.ratio * top.touch(leg.side) for leg, top in pairs), Decimal(0)),
        sum((_sign(leg) * leg.ratio * top.last for leg, top in pairs), Decimal(0)),
        min(combos(top.bid_size if leg.side == Side.BUY else top.ask_size, leg.ratio) for leg, top in pairs),
        min(combos(top.shown(leg.side), leg.ratio) for leg, top in pairs),
    )


def combos(size: Decimal, ratio: int) -> Decimal:
    """How many combos a leg's size makes; at least one where the leg is traded at all."""
    return max(size // ratio, Decimal(1)) if size > 0 else Decimal(0)


def _sign(leg: Leg) -> int:
    return 1 if leg.side == Side.BUY else -1
