"""What a client may send: one Struct per message with its fields in wire order, by topic, and the table of ids below.

session       the connection itself, small questions
market_data   ticks, depth, real-time bars, option calculations
orders        cancelling, listing, executions
account       values, positions, profit and loss
contracts     what is known of instruments
history       bars and ticks of the past

What the types of the fields mean on the wire is told in `protocol.kinds`.
"""

from __future__ import annotations

from ibstream_gateway_emulator.protocol.base import DeltaNeutral, Leg, Legs, Request, encode
from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.fields import Cursor, id_of
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests.account import (
    CancelAccountSummary,
    CancelAccountUpdatesMulti,
    CancelPnL,
    CancelPnLSingle,
    CancelPositions,
    CancelPositionsMulti,
    ReqAccountSummary,
    ReqAccountUpdates,
    ReqAccountUpdatesMulti,
    ReqPnL,
    ReqPnLSingle,
    ReqPositions,
    ReqPositionsMulti,
)
from ibstream_gateway_emulator.protocol.requests.contracts import (
    ReqContractDetails,
    ReqMarketRule,
    ReqMatchingSymbols,
    ReqSecDefOptParams,
)
from ibstream_gateway_emulator.protocol.requests.history import (
    CancelHeadTimestamp,
    CancelHistoricalData,
    ReqHeadTimestamp,
    ReqHistoricalData,
    ReqHistoricalTicks,
)
from ibstream_gateway_emulator.protocol.requests.market_data import (
    CalculateImpliedVolatility,
    CalculateOptionPrice,
    CancelCalculateImpliedVolatility,
    CancelCalculateOptionPrice,
    CancelMktData,
    CancelMktDepth,
    CancelRealTimeBars,
    CancelTickByTick,
    ReqMarketDataType,
    ReqMktData,
    ReqMktDepth,
    ReqMktDepthExchanges,
    ReqRealTimeBars,
    ReqSmartComponents,
    ReqTickByTick,
)
from ibstream_gateway_emulator.protocol.requests.orders import (
    CancelOrder,
    ExerciseOptions,
    ReqAllOpenOrders,
    ReqAutoOpenOrders,
    ReqCompletedOrders,
    ReqExecutions,
    ReqGlobalCancel,
    ReqOpenOrders,
)
from ibstream_gateway_emulator.protocol.requests.session import (
    CancelNewsBulletins,
    ReqCurrentTime,
    ReqFamilyCodes,
    ReqIds,
    ReqManagedAccounts,
    ReqNewsBulletins,
    ReqNewsProviders,
    ReqScannerParameters,
    ReqUserInfo,
    SetServerLogLevel,
    StartApi,
)

__all__ = [
    "NO_REQ_ID",
    "REQUESTS",
    "AnyRequest",
    "CalculateImpliedVolatility",
    "CalculateOptionPrice",
    "CancelAccountSummary",
    "CancelAccountUpdatesMulti",
    "CancelCalculateImpliedVolatility",
    "CancelCalculateOptionPrice",
    "CancelHeadTimestamp",
    "CancelHistoricalData",
    "CancelMktData",
    "CancelMktDepth",
    "CancelNewsBulletins",
    "CancelOrder",
    "CancelPnL",
    "CancelPnLSingle",
    "CancelPositions",
    "CancelPositionsMulti",
    "CancelRealTimeBars",
    "CancelTickByTick",
    "DeltaNeutral",
    "ExerciseOptions",
    "Leg",
    "Legs",
    "PlaceOrder",
    "ReqAccountSummary",
    "ReqAccountUpdates",
    "ReqAccountUpdatesMulti",
    "ReqAllOpenOrders",
    "ReqAutoOpenOrders",
    "ReqCompletedOrders",
    "ReqContractDetails",
    "ReqCurrentTime",
    "ReqExecutions",
    "ReqFamilyCodes",
    "ReqGlobalCancel",
    "ReqHeadTimestamp",
    "ReqHistoricalData",
    "ReqHistoricalTicks",
    "ReqIds",
    "ReqManagedAccounts",
    "ReqMarketDataType",
    "ReqMarketRule",
    "ReqMatchingSymbols",
    "ReqMktData",
    "ReqMktDepth",
    "ReqMktDepthExchanges",
    "ReqNewsBulletins",
    "ReqNewsProviders",
    "ReqOpenOrders",
    "ReqPnL",
    "ReqPnLSingle",
    "ReqPositions",
    "ReqPositionsMulti",
    "ReqRealTimeBars",
    "ReqScannerParameters",
    "ReqSecDefOptParams",
    "ReqSmartComponents",
    "ReqTickByTick",
    "ReqUserInfo",
    "Request",
    "SetServerLogLevel",
    "StartApi",
    "message_id",
    "read_request",
    "request_id",
    "request_id_at",
    "write_request",
]

AnyRequest = Request

REQUESTS: dict[int, type[Request]] = {
    1: ReqMktData,
    2: CancelMktData,
    3: PlaceOrder,
    4: CancelOrder,
    5: ReqOpenOrders,
    6: ReqAccountUpdates,
    7: ReqExecutions,
    8: ReqIds,
    9: ReqContractDetails,
    10: ReqMktDepth,
    11: CancelMktDepth,
    12: ReqNewsBulletins,
    13: CancelNewsBulletins,
    14: SetServerLogLevel,
    15: ReqAutoOpenOrders,
    16: ReqAllOpenOrders,
    17: ReqManagedAccounts,
    20: ReqHistoricalData,
    21: ExerciseOptions,
    24: ReqScannerParameters,
    25: CancelHistoricalData,
    49: ReqCurrentTime,
    50: ReqRealTimeBars,
    51: CancelRealTimeBars,
    54: CalculateImpliedVolatility,
    55: CalculateOptionPrice,
    56: CancelCalculateImpliedVolatility,
    57: CancelCalculateOptionPrice,
    58: ReqGlobalCancel,
    59: ReqMarketDataType,
    61: ReqPositions,
    62: ReqAccountSummary,
    63: CancelAccountSummary,
    64: CancelPositions,
    71: StartApi,
    74: ReqPositionsMulti,
    75: CancelPositionsMulti,
    76: ReqAccountUpdatesMulti,
    77: CancelAccountUpdatesMulti,
    78: ReqSecDefOptParams,
    80: ReqFamilyCodes,
    81: ReqMatchingSymbols,
    82: ReqMktDepthExchanges,
    83: ReqSmartComponents,
    85: ReqNewsProviders,
    87: ReqHeadTimestamp,
    90: CancelHeadTimestamp,
    91: ReqMarketRule,
    92: ReqPnL,
    93: CancelPnL,
    94: ReqPnLSingle,
    95: CancelPnLSingle,
    96: ReqHistoricalTicks,
    97: ReqTickByTick,
    98: CancelTickByTick,
    99: ReqCompletedOrders,
    104: ReqUserInfo,
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


def read_request(fields: tuple[str, ...], server_version: int) -> Request | None:
    """The request in a frame; None if its id is not one of `REQUESTS`. Raises `FieldError` where a field cannot be read."""
    kind = REQUESTS.get(message_id(fields))
    return None if kind is None else kind.read(Cursor(fields, len(kind.HEAD), server_version))


def write_request(request: Request, server_version: int) -> bytes:
    """The frame of a request, as a client sends it that speaks `server_version`. Raises `FieldError` for a text with a NUL."""
    return encode(request, server_version)


def message_id(fields: tuple[str, ...]) -> int:
    """The id a frame begins with. Raises `FieldError` if it is no number."""
    number = id_of(fields[0])
    if number is None:
        raise FieldError(f"{fields[0][:32]!r} is no message id")
    return number


def request_id_at(kind: int) -> int | None:
    """Where a message of a client has its request or order id, understood or not, up to version 191; None if it has none."""
    if kind == _REPLACE_FA:
        return _REPLACE_FA_REQ_ID
    if kind in _REQ_ID_AFTER_ID:
        return 1
    return 2 if kind in _REQ_ID_AFTER_VERSION else None


def request_id(fields: tuple[str, ...]) -> int:
    """The request or order id of any message of the protocol, understood or not; -1 if it has none that can be read."""
    kind = id_of(fields[0])
    at = request_id_at(kind) if kind is not None else None
    number = id_of(fields[at]) if at is not None and at < len(fields) else None
    return NO_REQ_ID if number is None else number
