"""Random messages and requests, made from the same annotations and layouts from which the codec is derived."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from ibstream_gateway_emulator.protocol.base import DeltaNeutral, Legs
from ibstream_gateway_emulator.protocol.fields import Contract, Cursor, Number, TagValue
from ibstream_gateway_emulator.protocol.kinds import Since
from ibstream_gateway_emulator.protocol.messages import (
    Message,
    TickByTickBidAsk,
    TickByTickMidpoint,
    TickByTickTrade,
)
from ibstream_gateway_emulator.protocol.order_layout import Field, Group, Layout, Values
from ibstream_gateway_emulator.protocol.order_parts import CONDITIONS, ComboLeg
from ibstream_gateway_emulator.protocol.place_order import TYPED, PlaceOrder
from ibstream_gateway_emulator.protocol.place_order_layout import LAYOUT

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
integers = st.integers(-(2**31) + 1, 2**31 - 2)
numbers = st.decimals(-(10**12), 10**12, places=4) | st.integers(-1000, 10**9).map(Decimal)
_TICK_TYPES: dict[type, tuple[int, ...]] = {TickByTickTrade: (1, 2), TickByTickBidAsk: (3,), TickByTickMidpoint: (4,)}


def instances(struct: type[msgspec.Struct], server_version: int) -> st.SearchStrategy[Any]:
    """Any instance of a Struct that a peer speaking `server_version` can tell; fields it has not got keep their defaults."""
    hints = get_type_hints(struct, include_extras=True)
    told = {name: hint for name, hint in hints.items() if name in struct.__struct_fields__}
    fields = {name: values(hint, server_version) for name, hint in told.items() if _since(hint) <= server_version}
    if struct in _TICK_TYPES:
        fields["tick_type"] = st.sampled_from(_TICK_TYPES[struct])
    made = st.builds(struct, **fields)
    return made.map(_without_legs) if any(hint == Legs for hint in told.values()) else made


def _since(hint: Any) -> int:
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return max((mark.version for mark in marks if isinstance(mark, Since)), default=0)


def _without_legs(request: Any) -> Any:
    """Legs are told of combinations alone."""
    return request if request.contract.is_combination else msgspec.structs.replace(request, legs=())


def values(hint: Any, server_version: int) -> st.SearchStrategy[Any]:
    """Any value of an annotated type."""
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: integers,
        str: texts,
        bool: st.booleans(),
        Decimal: numbers,
        Number: numbers,
        Contract: contracts,
    }
    if hint in simple:
        return simple[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return values(arguments[0], server_version)
    if origin in (Union, UnionType):
        inner: Any = Union[tuple(one for one in arguments if one is not NoneType)]  # noqa: UP007 - computed
        return st.none() | values(inner, server_version)
    if origin is tuple:
        return st.lists(values(arguments[0], server_version), max_size=3).map(tuple)
    return instances(hint, server_version)


contracts = st.builds(
    Contract,
    con_id=integers,
    symbol=texts,
    security_type=st.sampled_from(["", "STK", "OPT", "BAG"]),
    strike=texts,
    exchange=st.sampled_from(["", "SMART", "IBKRATS"]),
    primary_exchange=texts,
    local_symbol=texts,
)

pairs = st.lists(st.builds(TagValue, texts, texts), max_size=3).map(tuple)
ATTRIBUTES: dict[str, st.SearchStrategy[Any]] = {
    "contract": contracts,
    "orderType": st.sampled_from(["MKT", "LMT", "PEG BENCH", "PEG BEST", "PEG MID", "PEGMID", "VOL"]),
    "orderId": integers,
    "comboLegs": st.lists(instances(ComboLeg, 178), max_size=3).map(tuple),
    "orderComboLegs": st.lists(st.none() | numbers, max_size=3).map(tuple),
    "smartComboRoutingParams": pairs,
    "algoParams": pairs,
    "deltaNeutralContract": st.none() | instances(DeltaNeutral, 178),
    "conditions": st.lists(st.one_of(*[instances(kind, 178) for kind in CONDITIONS.values()]), max_size=3).map(tuple),
    "competeAgainstBestOffset": st.none() | numbers | st.just(Decimal("Infinity")),
}
"""What is more than one field, or decides about the layout."""
_BY_READER: dict[Callable[[Cursor], Any], st.SearchStrategy[Any]] = {
    Cursor.text: texts,
    Cursor.flag: st.booleans(),
    Cursor.optional_integer: st.none() | integers,
    Cursor.decimal: st.none() | numbers,
}


def attribute(field: Field) -> st.SearchStrategy[Any]:
    """Any value of one attribute of an order."""
    return ATTRIBUTES[field.name] if field.name in ATTRIBUTES else _BY_READER[field.kind.read]


def fields_of(layout: Layout) -> dict[str, Field]:
    """All fields of a layout by name."""
    found: dict[str, Field] = {}
    for item in layout:
        found |= fields_of(item.items) if isinstance(item, Group) else {item.name: item}
    return found


@st.composite
def placed_orders(draw: st.DrawFn, server_version: int) -> PlaceOrder:
    """Any order a client can place, with exactly the attributes that its layout has at this version."""
    drawn = {name: draw(attribute(field)) for name, field in fields_of(LAYOUT).items()}
    told: Values = {}
    _tell(LAYOUT, drawn, told, server_version)
    places = {place: told.pop(name) for place, name in TYPED.items()}
    return PlaceOrder(**places, attributes=told)


def _tell(layout: Layout, drawn: Values, told: Values, server_version: int) -> None:
    for item in layout:
        if isinstance(item, Group):
            if item.when(told):
                _tell(item.items, drawn, told, server_version)
        elif item.is_in(server_version):
            told[item.name] = drawn[item.name]


def messages(kind: type[Message], server_version: int) -> st.SearchStrategy[Message]:
    """Any message of a kind."""
    return instances(kind, server_version)
