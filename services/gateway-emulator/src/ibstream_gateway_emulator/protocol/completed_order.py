"""completedOrder: an order that ended, told like an open one but for what only concerns orders at work."""

from __future__ import annotations

from decimal import Decimal

from ibstream_gateway_emulator.protocol.base import Message
from ibstream_gateway_emulator.protocol.fields import DOUBLE_MAX, INTEGER_MAX, Cursor, Pen
from ibstream_gateway_emulator.protocol.order_layout import (
    Group,
    Layout,
    Values,
    flag,
    has,
    integer,
    long,
    number,
    offset,
    read_layout,
    text,
    write_layout,
)
from ibstream_gateway_emulator.protocol.order_parts import (
    ALGO,
    COMBINATION,
    CONDITIONED,
    CONTRACT_HEDGE,
    HEDGE,
    PEG_BENCH,
)
from ibstream_gateway_emulator.protocol.order_terms import (
    ALLOCATION,
    HEAD,
    SCALED,
    STOCK_RANGE,
    TRAILING,
    VOLATILITY,
    OrderTerms,
)

_LONG_MAX = 2**63 - 1
"""How a parent that there is none of is told."""

COMPLETED_ORDER: Layout = (
    *HEAD,
    integer("permId", 0),
    flag("outsideRth"),
    flag("hidden"),
    number("discretionaryAmt", "0"),
    text("goodAfterTime"),
    *ALLOCATION,
    *STOCK_RANGE,
    flag("sweepToFill"),
    flag("allOrNone"),
    integer("minQty"),
    integer("ocaType", 3),
    integer("triggerMethod", 0),
    *VOLATILITY,
    Group(
        has("deltaNeutralOrderType"),
        (
            integer("deltaNeutralConId", 0),
            flag("deltaNeutralShortSale"),
            integer("deltaNeutralShortSaleSlot", 0),
            text("deltaNeutralDesignatedLocation"),
        ),
    ),
    *TRAILING,
    text("comboLegsDescrip"),
    *COMBINATION,
    *SCALED,
    *HEDGE,
    text("clearingAccount"),
    text("clearingIntent", "IB"),
    flag("notHeld"),
    CONTRACT_HEDGE,
    *ALGO,
    flag("solicited"),
    text("status"),
    flag("randomizeSize"),
    flag("randomizePrice"),
    PEG_BENCH,
    *CONDITIONED,
    number("trailStopPrice", unset=DOUBLE_MAX),
    number("lmtPriceOffset", unset=DOUBLE_MAX),
    number("cashQty", "0"),
    flag("dontUseAutoPriceForHedge", default=True),
    flag("isOmsContainer"),
    text("autoCancelDate"),
    number("filledQuantity", "0"),
    integer("refFuturesConId", unset=INTEGER_MAX),
    flag("autoCancelParent"),
    text("shareholder", "Not an insider or substantial shareholder"),
    flag("imbalanceOnly"),
    flag("routeMarketableToBbo"),
    long("parentPermId", _LONG_MAX),
    text("completedTime"),
    text("completedStatus"),
    integer("minTradeQty", since=170),
    integer("minCompeteSize", since=170),
    offset("competeAgainstBestOffset", since=170),
    number("midOffsetAtWhole", since=170),
    number("midOffsetAtHalf", since=170),
)
"""completedOrder field by field, behind its id."""


class CompletedOrder(Message, frozen=True, kw_only=True):
    """An order that ended today. It carries neither the client's id nor the order id; the permId names it."""

    HEAD = (101,)
    terms: OrderTerms
    status: str
    filled: Decimal
    completed_time: str
    completed_status: str

    @classmethod
    def read(cls, cursor: Cursor) -> CompletedOrder:
        """The message from behind its id. Raises `FieldError` where a field is missing or cannot be read."""
        values: Values = {}
        read_layout(COMPLETED_ORDER, cursor, values)
        own = {place: values.pop(name) for place, name in _COMPLETED.items()}
        return cls(**own, terms=OrderTerms.take(values))

    def write(self, pen: Pen) -> None:
        """Write the fields in wire order."""
        values = self.terms.values() | {name: getattr(self, place) for place, name in _COMPLETED.items()}
        write_layout(COMPLETED_ORDER, pen, values)


_COMPLETED = {
    "status": "status",
    "filled": "filledQuantity",
    "completed_time": "completedTime",
    "completed_status": "completedStatus",
}
