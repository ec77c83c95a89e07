"""Where the ids stand in a frame: enough to follow a conversation and to rename ids, without knowing the rest of a message.

Order ids and request ids are told apart: clients may use the same number for both. Positions are those of server versions 176
to 200.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from ibstream_gateway_emulator.protocol.fields import id_of
from ibstream_gateway_emulator.protocol.requests import request_id_at

Space = Literal["order", "request", "client", "rule"]


class Slot(NamedTuple):
    """An id in a frame: the index of its field, and what kind of id it is."""

    at: int
    space: Space


Fields = tuple[str, ...]

PLACE_ORDER, CANCEL_ORDER, START_API = 3, 4, 71
OPEN_ORDERS, AUTO_OPEN_ORDERS, ALL_OPEN_ORDERS = 5, 15, 16
_ERROR, _ORDER_STATUS, _OPEN_ORDER, _EXECUTION, _ORDER_BOUND = 4, 3, 5, 11, 100
_MARKET_RULE, _MARKET_RULE_TOLD = 91, 93
_NO_VERSION_IN_CANCEL_SINCE, _NO_VERSION_IN_ERROR_SINCE, _NO_FA_PROFILE_SINCE = 192, 194, 177

_TOLD_AFTER_VERSION = frozenset(
    {1, 2, 12, 13, 20, 45, 46, 47, 50, 51, 52, 55, 56, 57, 58, 63, 64, 67, 68, 71, 72, 73, 74}
)
_TOLD_AFTER_ID = frozenset(
    {10, 17, 18, 21, 75, 76, 77, 79, 81, 82, 83, 84, 86, 87, 88, 89, 90, 91, 92, 94, 95, 96, 97, 98, 99, 103, 104, 105}
    | {106, 107, 108}
)

ANSWERS: Mapping[int, tuple[int, ...]] = {
    6: (6,), 7: (6,), 8: (6,), 54: (6,),  # account updates
    61: (61,), 62: (61,),
    53: (5, 16),  # the end of open orders; what comes before it may have other reasons
    101: (99,), 102: (99,),
    9: (8,), 14: (12,), 15: (17,), 16: (18,), 19: (24,), 49: (49,),
    78: (80,), 80: (82,), 85: (85,),
}  # fmt: skip
"""Which requests a message answers that carries no request id."""
ENDS: Mapping[int, tuple[int, ...]] = {53: (5, 16), 62: (61,), 102: (99,), 54: (6,)}
"""The messages that end such an answer, and whose."""
STREAM_CANCELS = frozenset({2, 11, 13, 23, 25, 51, 53, 57, 63, 64, 75, 77, 79, 86, 88, 90, 93, 95, 98, 101, 103})
"""Messages of a client after which the Gateway says no more under their id."""


def kind_of(fields: Fields) -> int:
    """The message id; -1 if it is no number."""
    kind = id_of(fields[0])
    return -1 if kind is None else kind


def asked(fields: Fields, server_version: int) -> Slot | None:
    """The id in a frame of a client."""
    kind = kind_of(fields)
    if kind == _MARKET_RULE:
        return _present(fields, Slot(1, "rule"))
    if kind == CANCEL_ORDER and server_version >= _NO_VERSION_IN_CANCEL_SINCE:
        return _present(fields, Slot(1, "order"))
    at = request_id_at(kind)
    space: Space = "order" if kind in (PLACE_ORDER, CANCEL_ORDER) else "request"
    return None if at is None else _present(fields, Slot(at, space))


def told(fields: Fields, server_version: int) -> tuple[Slot, ...]:
    """The ids in a frame of the server, the one that says whom it answers first. An error's may be of either space."""
    kind = kind_of(fields)
    slots: tuple[Slot, ...]
    if kind == _ERROR:
        index = 1 if server_version >= _NO_VERSION_IN_ERROR_SINCE else 2
        slots = (Slot(index, "order"), Slot(index, "request"))
    elif kind == _ORDER_STATUS:
        slots = (Slot(1, "order"), *_parent(fields, 7), Slot(9, "client"))
    elif kind == _OPEN_ORDER:
        parent = 57 if server_version >= _NO_FA_PROFILE_SINCE else 58
        slots = (Slot(1, "order"), *_parent(fields, parent), Slot(24, "client"))
    elif kind == _EXECUTION:
        slots = (Slot(1, "request"), Slot(2, "order"), Slot(22, "client"))
    elif kind == _ORDER_BOUND:
        slots = (Slot(3, "order"), Slot(2, "client"))
    elif kind == _MARKET_RULE_TOLD:
        slots = (Slot(1, "rule"),)
    elif kind in _TOLD_AFTER_VERSION:
        slots = (Slot(2, "request"),)
    else:
        slots = (Slot(1, "request"),) if kind in _TOLD_AFTER_ID else ()
    return tuple(slot for slot in slots if _present(fields, slot) is not None)


def is_of_client(fields: Fields, server_version: int, client_id: int) -> bool:
    """Whether a frame of the server is about an order of this client, or names no client."""
    slots = [slot for slot in told(fields, server_version) if slot.space == "client"]
    return all(value(fields, slot) == client_id for slot in slots)


def value(fields: Fields, slot: Slot) -> int:
    """The id itself."""
    return int(fields[slot.at])


def _present(fields: Fields, slot: Slot) -> Slot | None:
    """The slot if there is an id in it; -1 stands for none."""
    number = id_of(fields[slot.at]) if slot.at < len(fields) else None
    return None if number is None or number < 0 else slot


def _parent(fields: Fields, index: int) -> tuple[Slot, ...]:
    """The id of the parent of an order; 0 stands for none."""
    return (Slot(index, "order"),) if index < len(fields) and fields[index] != "0" else ()
