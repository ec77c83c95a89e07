"""What an order may ask for: its type, its time in force, its links to other orders, and the ticket that holds them all.

The words are IBKR's, so a ticket can be written from an order as a client sent it. Prices are in the instrument's currency per
unit (a share, a barrel, an index point), never multiplied by the contract's multiplier; quantities are shares, contracts, or
units of a currency pair's first currency; times are nanoseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum, StrEnum

import msgspec

from ibstream.contracts.orders import Side

OrderId = int | str
"""The caller's own id of an order; unique among the orders that ever went to one engine."""


class OrderType(StrEnum):
    """How the price is found. The values are IBKR's."""

    MARKET = "MKT"
    """Trades at the opposite touch."""
    LIMIT = "LMT"
    """Trades at the opposite touch once that is at `limit_price` or better."""
    STOP = "STP"
    """A market order once the price has come to `aux_price` from the better side."""
    STOP_LIMIT = "STP LMT"
    """A limit order at `limit_price` once the price has come to `aux_price`."""
    TRAIL = "TRAIL"
    """A stop that follows the price at `aux_price` or at `trailing_percent`, and never goes back."""
    TRAIL_LIMIT = "TRAIL LIMIT"
    """A trailing stop that becomes a limit order, `limit_offset` beyond the stop."""
    MARKET_ON_CLOSE = "MOC"
    """Trades at the last price when the regular session closes."""
    LIMIT_ON_CLOSE = "LOC"
    """The same if the closing price is at `limit_price` or better; else it ends."""
    MARKET_IF_TOUCHED = "MIT"
    """A market order once the price has come to `aux_price` from the worse side."""
    LIMIT_IF_TOUCHED = "LIT"
    """A limit order at `limit_price` once the price has come to `aux_price`."""
    RELATIVE = "REL"
    """Pegged to the near touch, `aux_price` more aggressive, never beyond `limit_price` (if there is one)."""
    MARKET_TO_LIMIT = "MTL"
    """Trades at the opposite touch; what is left rests as a limit order at the price of the first fill."""


class TimeInForce(StrEnum):
    """How long the order works. The values are IBKR's."""

    DAY = "DAY"
    """Until New York's midnight, or with `Hours.EXCHANGE` until the session ends."""
    GTC = "GTC"
    IOC = "IOC"
    """What does not fill at once is cancelled."""
    FOK = "FOK"
    """All at once, or nothing."""
    GTD = "GTD"
    """Until `good_till_ns`."""
    OPG = "OPG"
    """At the next opening of the regular session, MKT or LMT only."""


class OcaType(IntEnum):
    """What a fill does to the other orders of its one-cancels-all group. The values are IBKR's."""

    CANCEL_WITH_BLOCK = 1
    """Any fill, even a partial one, cancels the others."""
    REDUCE_WITH_BLOCK = 2
    """The others shrink in proportion at once; together the group never fills more than one order's worth."""
    REDUCE_WITHOUT_BLOCK = 3
    """The others shrink in proportion after every order has met the tick, so the group can overfill."""


class Hours(StrEnum):
    """When orders work."""

    ALWAYS = "always"
    """At any time: the simulated market never closes. A DAY order ends at New York's midnight."""
    EXCHANGE = "exchange"
    """In the instrument's regular session, and with `outside_rth` in its extended hours. A DAY order ends with them."""


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One leg of a combo."""

    symbol: str
    """Instrument key."""
    side: Side
    """What a BUY of the combo does to this leg; a SELL does the opposite."""
    ratio: int = 1
    """Shares or contracts of the leg for one of the combo, at least 1."""
    exchange: str = ""

    @property
    def turned(self) -> Leg:
        """The same on the other side."""
        return msgspec.structs.replace(self, side=Side.SELL if self.side == Side.BUY else Side.BUY)


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """One order as it is asked for."""

    order_id: OrderId
    symbol: str
    """Instrument key: `BRK.B`, `EUR.USD`, `ESZ2026`, `AAPL  261218C00250000`. For a combo any name; the `legs` count."""
    side: Side
    quantity: Decimal
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    """Required for LMT, STP LMT, LOC, LIT; for TRAIL LIMIT instead of `limit_offset`; the cap of REL; ignored by the others."""
    aux_price: Decimal | None = None
    """The stop of STP and STP LMT, the trigger of MIT and LIT, the distance of TRAIL and TRAIL LIMIT, the offset of REL."""
    trailing_percent: Decimal | None = None
    """Distance of TRAIL and TRAIL LIMIT in per cent of the price: 1.5 for 1.5 %. Instead of `aux_price`."""
    trail_stop_price: Decimal | None = None
    """Where a trailing stop begins; None for the price less the distance."""
    limit_offset: Decimal | None = None
    """How far beyond the stop the limit of TRAIL LIMIT lies; positive."""
    time_in_force: TimeInForce = TimeInForce.DAY
    good_till_ns: int | None = None
    """When a GTD order ends."""
    good_after_ns: int | None = None
    """Not worked before."""
    outside_rth: bool = False
    """Works in extended hours too. Matters with `Hours.EXCHANGE` alone."""
    all_or_none: bool = False
    """Never filled in part."""
    min_quantity: Decimal | None = None
    """The first fill is at least this large."""
    display_size: Decimal | None = None
    """Carried; it changes nothing, as nobody in the simulated market looks at our orders."""
    hidden: bool = False
    """Carried, like `display_size`."""
    parent_id: OrderId | None = None
    """The order that must fill before this one works. The parent must have been submitted before."""
    transmit: bool = True
    """False keeps the order back until one of its family (parent and children) comes with True, or it is replaced so."""
    oca_group: str = ""
    """Name of a one-cancels-all group. Children of one parent without a name form a group of type 2."""
    oca_type: OcaType = OcaType.CANCEL_WITH_BLOCK
    algo: str = ""
    """`Adaptive`, `Twap` or `Vwap`; empty for none. Allowed for MKT and LMT."""
    algo_params: dict[str, str] = {}
    """Parameters of the algo by IBKR's names: `adaptivePriority`; `startTime`, `endTime`."""
    legs: tuple[Leg, ...] = ()
    """Set for a combo: prices are then net of the legs, and may be 0 or negative."""

    @property
    def pieces(self) -> tuple[Leg, ...]:
        """What it trades, each on the side on which it does: its legs, turned round by a sale, or the instrument itself."""
        if not self.legs:
            return (Leg(symbol=self.symbol, side=self.side),)
        return self.legs if self.side == Side.BUY else tuple(leg.turned for leg in self.legs)

    @property
    def sign(self) -> int:
        """1 for a purchase, -1 for a sale."""
        return 1 if self.side == Side.BUY else -1
