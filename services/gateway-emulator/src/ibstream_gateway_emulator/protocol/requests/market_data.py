"""Requests for ticks, depth, real-time bars and option calculations."""

from __future__ import annotations

from decimal import Decimal

from ibstream_gateway_emulator.protocol.base import Hedge, Legs, Request
from ibstream_gateway_emulator.protocol.fields import Contract


class ReqMktData(Request, frozen=True):
    """Subscribe to the top of the book, or ask for it once."""

    HEAD = (1, 11)
    req_id: int
    contract: Contract
    legs: Legs
    delta_neutral: Hedge
    generic_ticks: str
    snapshot: bool
    regulatory_snapshot: bool
    options: str = ""


class CancelMktData(Request, frozen=True):
    """End a subscription."""

    HEAD = (2, 2)
    req_id: int


class ReqMarketDataType(Request, frozen=True):
    """Live, frozen, delayed or delayed frozen data, 1 to 4; live is given where it is to be had."""

    HEAD = (59, 1)
    market_data_type: int


class ReqMktDepth(Request, frozen=True):
    """Subscribe to a book; `is_smart_depth` for the books of all exchanges in one."""

    HEAD = (10, 5)
    req_id: int
    contract: Contract
    rows: int
    is_smart_depth: bool = False
    options: str = ""


class CancelMktDepth(Request, frozen=True):
    """End that subscription."""

    HEAD = (11, 1)
    req_id: int
    is_smart_depth: bool = False


class ReqMktDepthExchanges(Request, frozen=True):
    """The exchanges of which the book can be had."""

    HEAD = (82,)


class ReqSmartComponents(Request, frozen=True):
    """The exchanges behind a BBO exchange code."""

    HEAD = (83,)
    req_id: int
    bbo_exchange: str


class ReqTickByTick(Request, frozen=True):
    """Subscribe to every tick; `tick_type` is Last, AllLast, BidAsk or MidPoint, `count` how many of the past come first."""

    HEAD = (97,)
    req_id: int
    contract: Contract
    tick_type: str
    count: int = 0
    ignore_size: bool = False


class CancelTickByTick(Request, frozen=True):
    """End that subscription."""

    HEAD = (98,)
    req_id: int


class ReqRealTimeBars(Request, frozen=True):
    """Subscribe to bars of five seconds."""

    HEAD = (50, 3)
    req_id: int
    contract: Contract
    bar_s: int
    what_to_show: str
    use_rth: bool
    options: str = ""


class CancelRealTimeBars(Request, frozen=True):
    """End that subscription."""

    HEAD = (51, 1)
    req_id: int


class CalculateImpliedVolatility(Request, frozen=True):
    """The volatility at which an option is worth a price.

    What follows the prices is looked at by nobody: some clients write the number of options and their text, others, the
    official one since 10.43 among them, the text alone.
    """

    HEAD = (54, 3)
    req_id: int
    contract: Contract
    option_price: Decimal
    under_price: Decimal
    options_count: str = ""
    options: str = ""


class CancelCalculateImpliedVolatility(Request, frozen=True):
    """Forget about it."""

    HEAD = (56, 1)
    req_id: int


class CalculateOptionPrice(Request, frozen=True):
    """What an option is worth at a volatility. What follows the prices is as in `CalculateImpliedVolatility`."""

    HEAD = (55, 3)
    req_id: int
    contract: Contract
    volatility: Decimal
    under_price: Decimal
    options_count: str = ""
    options: str = ""


class CancelCalculateOptionPrice(Request, frozen=True):
    """Forget about it."""

    HEAD = (57, 1)
    req_id: int
