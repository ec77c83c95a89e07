"""Parts of an order that are more than one field: legs, conditions, and the groups that several layouts share."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

import msgspec

from ibstream_gateway_emulator.protocol.base import Hedge
from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.fields import Cursor, Pen, TagValue
from ibstream_gateway_emulator.protocol.kinds import Kind, kind_of, list_of, read_struct, write_struct
from ibstream_gateway_emulator.protocol.order_layout import (
    Field,
    Group,
    Layout,
    Values,
    flag,
    has,
    integer,
    is_type,
    number,
    text,
)

ITEMS_MAX = 1_000
"""The most legs, conditions or parameters one order may have. IBKR allows far fewer; the limit is against nonsense."""


class ComboLeg(msgspec.Struct, frozen=True):
    """One leg of a combination order. `open_close` 0 same as the order, 1 open, 2 close, 3 unknown."""

    con_id: int
    ratio: int
    action: str
    exchange: str
    open_close: int = 0
    short_sale_slot: int = 0
    designated_location: str = ""
    exempt_code: int = -1


class Condition(msgspec.Struct, frozen=True):
    """Base of the conditions of an order; `conjunction` is `a` or `o`: whether this and the next must hold, or either."""

    CODE: ClassVar[int] = 0
    conjunction: str


class PriceCondition(Condition, frozen=True):
    """A price is reached; `trigger_method` is which price: 0 default, 1 double bid/ask, 2 last, 3 double last, 4 bid/ask."""

    CODE = 1
    is_more: bool
    price: Decimal
    con_id: int
    exchange: str
    trigger_method: int


class TimeCondition(Condition, frozen=True):
    """A time has come: `20261123 15:00:00 US/Eastern`."""

    CODE = 3
    is_more: bool
    time: str


class MarginCondition(Condition, frozen=True):
    """The account's cushion passes a percentage."""

    CODE = 4
    is_more: bool
    percent: int


class ExecutionCondition(Condition, frozen=True):
    """Something traded in the account."""

    CODE = 5
    security_type: str
    exchange: str
    symbol: str


class VolumeCondition(Condition, frozen=True):
    """The day's volume of an instrument passes a number."""

    CODE = 6
    is_more: bool
    volume: int
    con_id: int
    exchange: str


class PercentChangeCondition(Condition, frozen=True):
    """The day's change of an instrument passes a percentage."""

    CODE = 7
    is_more: bool
    change_percent: Decimal
    con_id: int
    exchange: str


CONDITIONS: dict[int, type[Condition]] = {
    kind.CODE: kind
    for kind in (
        PriceCondition,
        TimeCondition,
        MarginCondition,
        ExecutionCondition,
        VolumeCondition,
        PercentChangeCondition,
    )
}
"""The kinds of conditions by their code."""


def _read_condition(cursor: Cursor) -> Condition:
    code = cursor.integer()
    kind = CONDITIONS.get(code)
    if kind is None:
        raise FieldError(f"{code} is no kind of order condition")
    return read_struct(kind, cursor)


def _write_condition(pen: Pen, condition: Condition) -> None:
    pen.put(condition.CODE)
    write_struct(pen, condition)


def listed(name: str, item: Kind) -> Field:
    """A list of at most `ITEMS_MAX` items."""
    return Field(name, list_of(item, ITEMS_MAX), ())


_PAIR = kind_of(TagValue)

COMBINATION: Layout = (
    listed("comboLegs", kind_of(ComboLeg)),
    listed("orderComboLegs", kind_of(Decimal | None)),
    listed("smartComboRoutingParams", _PAIR),
)
"""The legs, the price of each where they have their own, and how they are routed."""

SCALE = Group(
    lambda values: (values.get("scalePriceIncrement") or 0) > 0,
    (
        number("scalePriceAdjustValue"),
        integer("scalePriceAdjustInterval"),
        number("scaleProfitOffset"),
        flag("scaleAutoReset"),
        integer("scaleInitPosition"),
        integer("scaleInitFillQty"),
        flag("scaleRandomPercent"),
    ),
)

HEDGE: Layout = (text("hedgeType"), Group(has("hedgeType"), (text("hedgeParam"),)))

CONTRACT_HEDGE = Field("deltaNeutralContract", kind_of(Hedge))

ALGO: Layout = (text("algoStrategy"), Group(has("algoStrategy"), (listed("algoParams", _PAIR),)))

PEG_BENCH = Group(
    is_type("PEG BENCH", "PEGBENCH"),
    (
        integer("referenceContractId"),
        flag("isPeggedChangeAmountDecrease"),
        number("peggedChangeAmount"),
        number("referenceChangeAmount"),
        text("referenceExchangeId"),
    ),
)

CONDITIONED: Layout = (
    listed("conditions", Kind(_read_condition, _write_condition)),
    Group(has("conditions"), (flag("conditionsIgnoreRth"), flag("conditionsCancelOrder"))),
)


def is_combination(values: Values) -> bool:
    """Whether the order's contract is a combination."""
    return bool(values["contract"].is_combination)
