"""What a client may send: one Struct per message with its fields in wire order, and the table of ids below them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec

from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.fields import Contract, Cursor
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder, read_place_order


class Leg(msgspec.Struct, frozen=True):
    """One leg of a combination, where only its identity matters."""

    con_id: int
    ratio: int
    action: str
    exchange: str


Legs = tuple[Leg, ...]
"""Present only after a contract that is a combination; preceded by their number."""


class DeltaNeutral(msgspec.Struct, frozen=True):
    """The hedge of a volatility order: a flag, and three fields if it is set."""

    present: bool
    details: tuple[str, ...] = ()


class Request(msgspec.Struct, frozen=True):
    """Base of all requests."""


class StartApi(Request, frozen=True):
    """Ends the handshake: the client names itself."""

    client_id: int
    capabilities: str


class ReqMktData(Request, frozen=True):
    """Subscribe to the top of the book, or ask for it once."""

    req_id: int
    contract: Contract
    legs: Legs
    delta_neutral: DeltaNeutral
    generic_ticks: str
    snapshot: bool
    regulatory_snapshot: bool
    options: str


class CancelMktData(Request, frozen=True):
    """End a subscription."""

    req_id: int


class CancelOrder(Request, frozen=True):
    """End a working order."""

    order_id: int
    manual_time: str


class ReqOpenOrders(Request, frozen=True):
    """The client's own working orders."""


class ReqAutoOpenOrders(Request, frozen=True):
    """Client 0 asks for orders entered by hand, of which there are none here."""

    bind: bool


class ReqAllOpenOrders(Request, frozen=True):
    """The working orders of all clients."""


class ReqGlobalCancel(Request, frozen=True):
    """End all working orders of all clients."""


class ReqCompletedOrders(Request, frozen=True):
    """The orders that ended today."""

    api_only: bool


class ReqExecutions(Request, frozen=True):
    """Today's executions; an empty filter field, or client 0, fits all."""

    req_id: int
    client_id: int
    account: str
    since: str
    symbol: str
    security_type: str
    exchange: str
    side: str


class ReqAccountUpdates(Request, frozen=True):
    """Begin or end the stream of account values and portfolio items."""

    subscribe: bool
    account: str


class ReqPositions(Request, frozen=True):
    """Begin the stream of positions."""


class CancelPositions(Request, frozen=True):
    """End the stream of positions."""


class ReqAccountSummary(Request, frozen=True):
    """Begin the stream of some account values."""

    req_id: int
    group: str
    tags: str


class CancelAccountSummary(Request, frozen=True):
    """End that stream."""

    req_id: int


class ReqAccountUpdatesMulti(Request, frozen=True):
    """Begin the stream of account values under a request id."""

    req_id: int
    account: str
    model_code: str
    ledger_and_nlv: bool


class CancelAccountUpdatesMulti(Request, frozen=True):
    """End that stream."""

    req_id: int


class ReqContractDetails(Request, frozen=True):
    """All instruments that fit a contract."""

    req_id: int
    contract: Contract
    include_expired: bool
    sec_id_type: str
    sec_id: str
    issuer_id: str


class ReqMatchingSymbols(Request, frozen=True):
    """Instruments whose symbol or name begins with a text."""

    req_id: int
    pattern: str


class ReqHistoricalData(Request, frozen=True):
    """Bars of the past."""

    req_id: int
    contract: Contract
    include_expired: bool
    end: str
    bar_size: str
    duration: str
    use_rth: bool
    what_to_show: str
    format_date: int
    legs: Legs
    keep_up_to_date: bool
    options: str


class CancelHistoricalData(Request, frozen=True):
    """Forget about bars asked for."""

    req_id: int


class ReqHeadTimestamp(Request, frozen=True):
    """When the history of an instrument begins."""

    req_id: int
    contract: Contract
    include_expired: bool
    use_rth: bool
    what_to_show: str
    format_date: int


class CancelHeadTimestamp(Request, frozen=True):
    """Forget about it; the answer is long out."""

    req_id: int


class ReqCurrentTime(Request, frozen=True):
    """The gateway's time."""


class ReqMarketDataType(Request, frozen=True):
    """Live, frozen, delayed or delayed frozen data, 1 to 4; live is given where it is to be had."""

    market_data_type: int


class ReqIds(Request, frozen=True):
    """The next order id."""

    count: int


class ReqManagedAccounts(Request, frozen=True):
    """The accounts of the login."""


class SetServerLogLevel(Request, frozen=True):
    """How much the gateway writes into its own log."""

    level: int


class ReqMarketRule(Request, frozen=True):
    """The price increments of a rule."""

    rule_id: int


def _read_legs(cursor: Cursor) -> Legs:
    if not cursor.contract.is_combination:
        return ()
    return tuple(Leg(cursor.integer(), cursor.integer(), cursor.text(), cursor.text()) for _ in range(cursor.integer()))


def _read_delta_neutral(cursor: Cursor) -> DeltaNeutral:
    present = cursor.flag()
    return DeltaNeutral(present, tuple(cursor.text() for _ in range(3)) if present else ())


_READERS: dict[Any, Callable[[Cursor], Any]] = {
    int: Cursor.integer,
    str: Cursor.text,
    bool: Cursor.flag,
    Contract: Cursor.twelve,
    Legs: _read_legs,
    DeltaNeutral: _read_delta_neutral,
}

AnyRequest = Request | PlaceOrder


class Layout(msgspec.Struct, frozen=True):
    """How a message lies on the wire: whether a version follows the id, and how to read what follows that."""

    versioned: bool
    read: Callable[[Cursor], AnyRequest]


def _layout(kind: type[Request], *, versioned: bool = True) -> Layout:
    hints = get_type_hints(kind)
    readers = [_READERS[hints[name]] for name in kind.__struct_fields__]
    return Layout(versioned, lambda cursor: kind(*(read(cursor) for read in readers)))


LAYOUTS: dict[int, Layout] = {
    1: _layout(ReqMktData),
    2: _layout(CancelMktData),
    3: Layout(versioned=False, read=read_place_order),
    4: _layout(CancelOrder),
    5: _layout(ReqOpenOrders),
    6: _layout(ReqAccountUpdates),
    7: _layout(ReqExecutions),
    8: _layout(ReqIds),
    9: _layout(ReqContractDetails),
    14: _layout(SetServerLogLevel),
    15: _layout(ReqAutoOpenOrders),
    16: _layout(ReqAllOpenOrders),
    17: _layout(ReqManagedAccounts),
    20: _layout(ReqHistoricalData, versioned=False),
    25: _layout(CancelHistoricalData),
    49: _layout(ReqCurrentTime),
    58: _layout(ReqGlobalCancel),
    59: _layout(ReqMarketDataType),
    61: _layout(ReqPositions),
    62: _layout(ReqAccountSummary),
    63: _layout(CancelAccountSummary),
    64: _layout(CancelPositions),
    71: _layout(StartApi),
    76: _layout(ReqAccountUpdatesMulti),
    77: _layout(CancelAccountUpdatesMulti),
    81: _layout(ReqMatchingSymbols, versioned=False),
    87: _layout(ReqHeadTimestamp, versioned=False),
    90: _layout(CancelHeadTimestamp, versioned=False),
    91: _layout(ReqMarketRule, versioned=False),
    99: _layout(ReqCompletedOrders, versioned=False),
}
"""Every request that is understood, by message id."""

_REQ_ID_AFTER_ID = frozenset(
    {3, 20, 22, 78, 79, 81, 83, 84, 86, 87, 88, 89, 90, 92, 93, 94, 95, 96, 97, 98, 100, 101, 102, 103, 104}
)
_REQ_ID_AFTER_VERSION = frozenset(
    {1, 2, 4, 7, 9, 10, 11, 21, 23, 25, 50, 51, 52, 53, 54, 55, 56, 57, 62, 63, 67, 68, 69, 70, 74, 75, 76, 77}
)
_REPLACE_FA, _REPLACE_FA_REQ_ID = 19, 4
NO_REQ_ID = -1


def read_request(fields: tuple[str, ...], server_version: int) -> AnyRequest | None:
    """The request in a frame; None if its id is not one of `LAYOUTS`. Raises `FieldError` where a field cannot be read."""
    layout = LAYOUTS.get(message_id(fields))
    if layout is None:
        return None
    return layout.read(Cursor(fields, 2 if layout.versioned else 1, server_version))


def message_id(fields: tuple[str, ...]) -> int:
    """The id a frame begins with. Raises `FieldError` if it is no number."""
    try:
        return int(fields[0])
    except ValueError:
        raise FieldError(f"{fields[0][:32]!r} is no message id") from None


def request_id(fields: tuple[str, ...]) -> int:
    """The request or order id of any message of the protocol, understood or not; -1 if it has none that can be read."""
    try:
        kind = message_id(fields)
        if kind == _REPLACE_FA:
            return int(fields[_REPLACE_FA_REQ_ID])
        if kind in _REQ_ID_AFTER_ID:
            return int(fields[1])
        return int(fields[2]) if kind in _REQ_ID_AFTER_VERSION else NO_REQ_ID
    except (FieldError, ValueError, IndexError):
        return NO_REQ_ID
