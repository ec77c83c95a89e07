"""The longest request of the protocol: placeOrder, some hundred fields, many of them present only under conditions.

All fields are kept under their names in the API, so that an order can be told back with all that the client said, and what is
not supported can be refused by name. What an order desk works with has a typed place or property in `PlaceOrder`.
"""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import Any

import msgspec

from ibstream_gateway_emulator.protocol.base import Request
from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.fields import Contract, Cursor, Pen, TagValue
from ibstream_gateway_emulator.protocol.order_layout import Values, read_layout, write_layout
from ibstream_gateway_emulator.protocol.order_parts import ComboLeg, Condition
from ibstream_gateway_emulator.protocol.place_order_layout import LAYOUT

TYPED = {
    "order_id": "orderId",
    "contract": "contract",
    "action": "action",
    "quantity": "totalQuantity",
    "order_type": "orderType",
    "limit_price": "lmtPrice",
    "aux_price": "auxPrice",
    "tif": "tif",
}
"""The places of `PlaceOrder` and the names of their fields; all others are in `attributes`."""
_TEXTS = ("action", "orderType", "tif")


class PlaceOrder(Request, frozen=True, kw_only=True):
    """A new order, or a change of a working one with the same id. What is None was left empty by the client."""

    HEAD = (3,)
    order_id: int
    contract: Contract
    action: str
    quantity: Decimal | None
    order_type: str
    limit_price: Decimal | None = None
    aux_price: Decimal | None = None
    tif: str = ""
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    """Every other field under its name in the API, as `place_order_layout` types it: bool, int, Decimal, str, a tuple where
    it is a list, None where it is unset. Names whose group was not sent are absent."""

    @classmethod
    def read(cls, cursor: Cursor) -> PlaceOrder:
        """The request from behind its id. Raises `FieldError` where a field is missing or cannot be read."""
        values: Values = {}
        read_layout(LAYOUT, cursor, values)
        return cls._of(values)

    @classmethod
    def read_in_part(cls, cursor: Cursor) -> PlaceOrder:
        """What can be read before the first field that cannot; the rest is empty."""
        values: Values = {**dict.fromkeys(TYPED.values()), "contract": Contract(), **dict.fromkeys(_TEXTS, "")}
        with contextlib.suppress(FieldError):
            read_layout(LAYOUT, cursor, values)
        return cls._of(values)

    @classmethod
    def _of(cls, values: Values) -> PlaceOrder:
        places = {place: values.pop(name) for place, name in TYPED.items()}
        places["order_id"] = places["order_id"] or 0
        return cls(**places, attributes=values)

    def write(self, pen: Pen) -> None:
        """Write the fields in wire order; attributes that are absent are written as a client that never set them would."""
        write_layout(LAYOUT, pen, {**self.attributes, **{name: getattr(self, place) for place, name in TYPED.items()}})

    @property
    def account(self) -> str:
        """The account the order is for; empty for the only one."""
        return self._text("account")

    @property
    def order_ref(self) -> str:
        """The client's own name of the order."""
        return self._text("orderRef")

    @property
    def transmit(self) -> bool:
        """Whether the order is to be worked, and not kept until a child order or a change says so."""
        return bool(self.attributes.get("transmit", True))

    @property
    def what_if(self) -> bool:
        """Whether only margin and commission are asked for, and nothing is to be placed."""
        return self._flag("whatIf")

    @property
    def outside_rth(self) -> bool:
        """Whether the order may fill outside regular trading hours."""
        return self._flag("outsideRth")

    @property
    def parent_id(self) -> int:
        """The client's id of the order this one is attached to; 0 for none."""
        return self.attributes.get("parentId") or 0

    @property
    def oca_group(self) -> str:
        """The name of the group of which one order cancels the others; empty for none."""
        return self._text("ocaGroup")

    @property
    def oca_type(self) -> int:
        """What a fill does to the others: 1 cancel and block, 2 reduce and block, 3 reduce; 0 is not said."""
        return self.attributes.get("ocaType") or 0

    @property
    def good_after_time(self) -> str:
        """When the order begins to work; empty for at once."""
        return self._text("goodAfterTime")

    @property
    def good_till_date(self) -> str:
        """When a GTD order ends."""
        return self._text("goodTillDate")

    @property
    def trail_stop_price(self) -> Decimal | None:
        """Where the stop of a trailing order begins."""
        return self._number("trailStopPrice")

    @property
    def trailing_percent(self) -> Decimal | None:
        """How far behind the price it trails, in percent; the aux price says it in money."""
        return self._number("trailingPercent")

    @property
    def limit_price_offset(self) -> Decimal | None:
        """How far from its stop the limit of a TRAIL LIMIT order is."""
        return self._number("lmtPriceOffset")

    @property
    def percent_offset(self) -> Decimal | None:
        """How far from the price a relative order stays, as a fraction."""
        return self._number("percentOffset")

    @property
    def cash_quantity(self) -> Decimal | None:
        """An amount of money to trade for, instead of a quantity."""
        return self._number("cashQty")

    @property
    def hidden(self) -> bool:
        """Whether the order is not to be displayed."""
        return self._flag("hidden")

    @property
    def all_or_none(self) -> bool:
        """Whether the order may fill only as a whole."""
        return self._flag("allOrNone")

    @property
    def min_quantity(self) -> int | None:
        """The least it may fill at once."""
        return self.attributes.get("minQty")

    @property
    def display_size(self) -> int:
        """How much of it is displayed; 0 for all."""
        return self.attributes.get("displaySize") or 0

    @property
    def algo_strategy(self) -> str:
        """The algo that works the order; empty for none."""
        return self._text("algoStrategy")

    @property
    def algo_params(self) -> dict[str, str]:
        """The algo's parameters by name."""
        pairs: tuple[TagValue, ...] = self.attributes.get("algoParams", ())
        return {pair.tag: pair.value for pair in pairs}

    @property
    def legs(self) -> tuple[ComboLeg, ...]:
        """The legs of a combination."""
        return tuple(self.attributes.get("comboLegs", ()))

    @property
    def leg_prices(self) -> tuple[Decimal | None, ...]:
        """The price of each leg, where they have their own."""
        return tuple(self.attributes.get("orderComboLegs", ()))

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What must come true before the order works."""
        return tuple(self.attributes.get("conditions", ()))

    def _text(self, name: str) -> str:
        return self.attributes.get(name) or ""

    def _flag(self, name: str) -> bool:
        return bool(self.attributes.get(name))

    def _number(self, name: str) -> Decimal | None:
        return self.attributes.get(name)
