"""placeOrder as a recorded client said it: every attribute that the layout of the message has, under its name in snake_case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from ibstream_gateway_emulator.protocol import order_parts as parts
from ibstream_gateway_emulator.protocol.fields import Cursor, TagValue
from ibstream_gateway_emulator.protocol.order_layout import Field, Group, Layout
from ibstream_gateway_emulator.protocol.order_parts import ComboLeg, Condition
from ibstream_gateway_emulator.protocol.place_order import TYPED, PlaceOrder
from ibstream_gateway_emulator.protocol.place_order_layout import LAYOUT
from recordings.saying import (
    NEWER_THAN_178,
    SAYS_NOTHING,
    VERSION,
    Fields,
    StandInWords,
    UnknownStepError,
    contract_of,
    flag,
    legs_of,
)
from recordings.words import ORDER_FIELDS

_COMPARED: dict[str, Callable[[Any], Any]] = {
    "price": Decimal,
    "time": str,
    "percent": int,
    "volume": int,
    "change_percent": Decimal,
}
"""What a condition compares with, by its name in each kind; recordings call it `value` in all."""


_UNSAID = {"order_id": 0, "action": "", "quantity": None, "order_type": ""}
"""The terms that every order has, where a recording does not say them."""


def place_order(fields: Fields, words: StandInWords) -> PlaceOrder:
    """The order. Raises `UnknownStepError` for an attribute that the message has not got."""
    values: dict[str, Any] = {"contract": contract_of(fields.get("contract"), words)}
    for name, said in _attributes(fields):
        api_name = ORDER_FIELDS.get(name) or _API_NAMES.get(_plain(name))
        if api_name is not None:
            values[api_name] = _value(api_name, said, words)
        elif said not in SAYS_NOTHING or name not in NEWER_THAN_178 | {"delta_neutral_contract_present"}:
            raise UnknownStepError(f"an order's {name}")
    places = {place: values.pop(name) for place, name in TYPED.items() if name in values}
    return PlaceOrder(**{**_UNSAID, **places}, attributes=values)


def _attributes(fields: Fields) -> Iterator[tuple[str, Any]]:
    for name, said in fields.items():
        if name != "contract":
            yield name, said
    legs = (fields.get("contract") or {}).get("combo_legs")
    if legs:
        yield "combo_legs", legs


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _fields_of(layout: Layout) -> Iterator[Field]:
    for item in layout:
        if isinstance(item, Group):
            yield from _fields_of(item.items)
        else:
            yield item


_FIELDS = {field.name: field for field in _fields_of(LAYOUT)}
_API_NAMES = {_plain(name): name for name in _FIELDS}
"""The API's name by itself without capitals: `rule80A` is `rule80_a` to some and `rule_80a` to others."""


def _value(name: str, said: Any, words: StandInWords) -> Any:
    match name:
        case "comboLegs":
            return tuple(_leg(one, words) for one in said)
        case "orderComboLegs":
            return tuple(None if price in ("", None) else Decimal(str(price)) for price in said)
        case "algoParams" | "smartComboRoutingParams":
            return tuple(_pairs(said))
        case "conditions":
            return tuple(_condition(one, words) for one in said)
        case "deltaNeutralContract":
            return None
    text = ("1" if said else "0") if isinstance(said, bool) else str("" if said is None else said)
    return _FIELDS[name].kind.read(Cursor((text,), 0, VERSION))


def _leg(said: Fields, words: StandInWords) -> ComboLeg:
    [plain] = legs_of({"combo_legs": [said]}, words)
    return ComboLeg(
        plain.con_id,
        plain.ratio,
        plain.action,
        plain.exchange,
        int(said.get("open_close") or 0),
        int(said.get("short_sale_slot") or 0),
        str(said.get("designated_location") or ""),
        int(said.get("exempt_code") or -1),
    )


def _pairs(said: Any) -> Iterator[TagValue]:
    if isinstance(said, dict):
        yield from (TagValue(str(tag), str(value)) for tag, value in said.items())
    else:
        yield from (TagValue(str(one["tag"]), str(one["value"])) for one in said)


def _condition(said: Fields, words: StandInWords) -> Condition:
    """A condition; all kinds are recorded with the same fields, of which each uses some."""
    kind = parts.CONDITIONS.get(int(said["type"]))
    if kind is None:
        raise UnknownStepError(f"an order's condition of type {said['type']}")
    return kind(**{name: _of_condition(name, said, words) for name in kind.__struct_fields__})


def _of_condition(name: str, said: Fields, words: StandInWords) -> Any:
    if name in _COMPARED:
        return _COMPARED[name](str(said["value"]))
    match name:
        case "is_more":
            return flag(said.get("operator"))
        case "con_id":
            return words.con_id(str(said.get("con_id") or 0))
        case "trigger_method":
            return int(said.get("trigger_method") or 0)
        case "conjunction":
            return str(said.get("conjunction") or "a")
        case "security_type":
            return str(said.get("sec_type", ""))
    return str(said.get(name, ""))
