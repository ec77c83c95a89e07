"""openOrder, the longest message to a client: an order with all its attributes, under the names they had when it was placed."""

from __future__ import annotations

from ibstream_gateway_emulator.protocol.base import Message
from ibstream_gateway_emulator.protocol.completed_order import CompletedOrder
from ibstream_gateway_emulator.protocol.fields import DOUBLE_MAX, Cursor, Pen
from ibstream_gateway_emulator.protocol.order_layout import (
    Group,
    Layout,
    Values,
    flag,
    has,
    integer,
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
    STATE,
    STOCK_RANGE,
    TRAILING,
    VOLATILITY,
    OrderState,
    OrderTerms,
)

__all__ = ["OPEN_ORDER", "CompletedOrder", "OpenOrder", "OrderState", "OrderTerms"]

OPEN_ORDER: Layout = (
    integer("orderId", 0),
    *HEAD,
    integer("clientId", 0),
    integer("permId", 0),
    flag("outsideRth"),
    flag("hidden"),
    number("discretionaryAmt", "0"),
    text("goodAfterTime"),
    text("sharesAllocation"),
    *ALLOCATION,
    integer("auctionStrategy", 0),
    *STOCK_RANGE,
    flag("blockOrder"),
    flag("sweepToFill"),
    flag("allOrNone"),
    integer("minQty"),
    integer("ocaType", 3),
    flag("eTradeOnly"),
    flag("firmQuoteOnly"),
    number("nbboPriceCap"),
    integer("parentId", 0),
    integer("triggerMethod", 0),
    *VOLATILITY,
    Group(
        has("deltaNeutralOrderType"),
        (
            integer("deltaNeutralConId", 0),
            text("deltaNeutralSettlingFirm"),
            text("deltaNeutralClearingAccount"),
            text("deltaNeutralClearingIntent"),
            text("deltaNeutralOpenClose", "?"),
            flag("deltaNeutralShortSale"),
            integer("deltaNeutralShortSaleSlot", 0),
            text("deltaNeutralDesignatedLocation"),
        ),
    ),
    *TRAILING,
    number("basisPoints"),
    integer("basisPointsType"),
    text("comboLegsDescrip"),
    *COMBINATION,
    *SCALED,
    *HEDGE,
    flag("optOutSmartRouting"),
    text("clearingAccount"),
    text("clearingIntent", "IB"),
    flag("notHeld"),
    CONTRACT_HEDGE,
    *ALGO,
    flag("solicited"),
    flag("whatIf"),
    STATE,
    flag("randomizeSize"),
    flag("randomizePrice"),
    PEG_BENCH,
    *CONDITIONED,
    text("adjustedOrderType", "None"),
    number("triggerPrice", unset=DOUBLE_MAX),
    number("trailStopPrice", unset=DOUBLE_MAX),
    number("lmtPriceOffset", unset=DOUBLE_MAX),
    number("adjustedStopPrice", unset=DOUBLE_MAX),
    number("adjustedStopLimitPrice", unset=DOUBLE_MAX),
    number("adjustedTrailingAmount", unset=DOUBLE_MAX),
    integer("adjustableTrailingUnit", 0),
    text("softDollarTierName"),
    text("softDollarTierValue"),
    text("softDollarTierDisplayName"),
    number("cashQty", "0"),
    flag("dontUseAutoPriceForHedge", default=True),
    flag("isOmsContainer"),
    flag("discretionaryUpToLimitPrice"),
    integer("usePriceMgmtAlgo", 0),
    integer("duration"),
    integer("postToAts"),
    flag("autoCancelParent"),
    integer("minTradeQty", since=170),
    integer("minCompeteSize", 100, since=170),
    offset("competeAgainstBestOffset", "0.02", since=170),
    number("midOffsetAtWhole", since=170),
    number("midOffsetAtHalf", since=170),
)
"""openOrder field by field, behind its id."""


class OpenOrder(Message, frozen=True, kw_only=True):
    """A working order, or one that has just ended."""

    HEAD = (5,)
    order_id: int
    client_id: int
    terms: OrderTerms
    state: OrderState
    what_if: bool = False

    @classmethod
    def read(cls, cursor: Cursor) -> OpenOrder:
        """The message from behind its id. Raises `FieldError` where a field is missing or cannot be read."""
        values: Values = {}
        read_layout(OPEN_ORDER, cursor, values)
        own = {place: values.pop(name) for place, name in _OPEN.items()}
        return cls(**own, terms=OrderTerms.take(values))

    def write(self, pen: Pen) -> None:
        """Write the fields in wire order."""
        terms = self.terms
        values = terms.values()
        # The deprecated share allocation: permId, account and quantity, as a Gateway writes it.
        values.setdefault("sharesAllocation", f"{terms.perm_id}.0/{terms.account}/{terms.quantity:f}")
        values |= {name: getattr(self, place) for place, name in _OPEN.items()}
        write_layout(OPEN_ORDER, pen, values)


_OPEN = {"order_id": "orderId", "client_id": "clientId", "state": "state", "what_if": "whatIf"}
