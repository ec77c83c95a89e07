"""What openOrder and completedOrder have in common: an order told back with all its attributes, and where it stands.

What the order does not say is written as Gateways write it for a plain order; these defaults are taken from recorded sessions.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from ibstream_gateway_emulator.protocol.fields import DOUBLE_MAX, INTEGER_MAX, Contract11, Cursor, Number, Pen
from ibstream_gateway_emulator.protocol.kinds import Kind, kind_of
from ibstream_gateway_emulator.protocol.order_layout import Field, Layout, Values, double, flag, integer, number, text
from ibstream_gateway_emulator.protocol.order_parts import SCALE

Change = tuple[Number | None, Number | None, Number | None]
"""An amount before, its change by the order, and after; in USD."""
_SAYS_NOTHING = frozenset({None, "", 0, ()})
_ORDINARY_OPEN_CLOSE = "O"
"""What clients send by default; Gateways tell it of institutional accounts alone."""


class OrderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What was ordered."""

    contract: Contract11
    action: str
    quantity: Decimal
    order_type: str
    limit_price: Decimal | None = None
    aux_price: Decimal | None = None
    tif: str
    account: str
    perm_id: int
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    """All the rest as in `PlaceOrder.attributes`, under the same names; the account is told from its place above."""

    def values(self) -> Values:
        """All of it by name, without attributes that say nothing."""
        said = {name: value for name, value in self.attributes.items() if value not in _SAYS_NOTHING}
        if said.get("openClose") == _ORDINARY_OPEN_CLOSE:
            del said["openClose"]
        for place, name in _TERMS.items():
            value = getattr(self, place)
            if value is not None:
                said[name] = value
        return said

    @classmethod
    def take(cls, values: Values) -> OrderTerms:
        """The terms among the values that were read; what is left in `values` becomes the attributes."""
        places = {place: values.pop(name) for place, name in _TERMS.items()}
        places["quantity"] = places["quantity"] or Decimal(0)
        return cls(**places, attributes=values)


_TERMS = {
    "contract": "contract",
    "action": "action",
    "quantity": "totalQuantity",
    "order_type": "orderType",
    "limit_price": "lmtPrice",
    "aux_price": "auxPrice",
    "tif": "tif",
    "account": "account",
    "perm_id": "permId",
}


class OrderState(msgspec.Struct, frozen=True, kw_only=True):
    """Where an order stands; margin and commission only for an order that was asked about and not placed."""

    status: str
    initial_margin: Change | None = None
    maintenance_margin: Change | None = None
    equity_with_loan: Change | None = None
    commission: Number | None = None
    min_commission: Number | None = None
    max_commission: Number | None = None
    currency: str = ""
    """The currency of the commission."""
    warning: str = ""


def _read_state(cursor: Cursor) -> OrderState:
    """The status, nine margin figures ordered before, change, after, and what the order costs."""
    status = cursor.text()
    figures = [cursor.decimal() for _ in range(9)]
    changes = [(figures[n], figures[n + 3], figures[n + 6]) for n in range(3)]
    margins = [None if change == (None, None, None) else change for change in changes]
    costs = (cursor.decimal(), cursor.decimal(), cursor.decimal(), cursor.text(), cursor.text())
    return OrderState(
        status=status,
        initial_margin=margins[0],
        maintenance_margin=margins[1],
        equity_with_loan=margins[2],
        commission=costs[0],
        min_commission=costs[1],
        max_commission=costs[2],
        currency=costs[3],
        warning=costs[4],
    )


def _write_state(pen: Pen, state: OrderState) -> None:
    pen.put(state.status)
    for moment in range(3):
        for change in (state.initial_margin, state.maintenance_margin, state.equity_with_loan):
            figure = None if change is None else change[moment]
            pen.put(DOUBLE_MAX if figure is None else figure)
    for cost in (state.commission, state.min_commission, state.max_commission, state.currency, state.warning):
        pen.put(cost)


STATE = Field("state", Kind(_read_state, _write_state))
"""The fifteen fields of an order's state."""

HEAD: Layout = (
    Field("contract", kind_of(Contract11)),
    text("action"),
    number("totalQuantity"),
    text("orderType"),
    double("lmtPrice", "0"),
    double("auxPrice", "0"),
    text("tif"),
    text("ocaGroup"),
    text("account"),
    text("openClose"),
    integer("origin", 0),
    text("orderRef"),
)
"""The fields from the contract to orderRef, which both messages begin with."""

ALLOCATION: Layout = (
    text("faGroup"),
    text("faMethod"),
    text("faPercentage"),
    text("faProfile", until=177),
    text("modelCode"),
    text("goodTillDate"),
    text("rule80A"),
    number("percentOffset"),
    text("settlingFirm"),
    integer("shortSaleSlot", 0),
    text("designatedLocation"),
    integer("exemptCode", -1),
)

STOCK_RANGE: Layout = (
    number("startingPrice"),
    number("stockRefPrice"),
    number("delta"),
    number("stockRangeLower"),
    number("stockRangeUpper"),
    integer("displaySize", unset=INTEGER_MAX),
)

VOLATILITY: Layout = (
    number("volatility"),
    integer("volatilityType", 0),
    text("deltaNeutralOrderType", "None"),
    number("deltaNeutralAuxPrice"),
)

TRAILING: Layout = (
    flag("continuousUpdate"),
    integer("referencePriceType", 0),
    number("trailStopPrice"),
    number("trailingPercent"),
)

SCALED: Layout = (
    integer("scaleInitLevelSize", unset=INTEGER_MAX),
    integer("scaleSubsLevelSize", unset=INTEGER_MAX),
    number("scalePriceIncrement"),
    SCALE,
)
