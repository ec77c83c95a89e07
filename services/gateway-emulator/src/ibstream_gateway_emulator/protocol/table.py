"""All messages a server sends, by id, and how a frame of theirs is decoded. The requests have their table beside them."""

from __future__ import annotations

from ibstream_gateway_emulator.protocol import messages as m
from ibstream_gateway_emulator.protocol.base import Message
from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.fields import Cursor
from ibstream_gateway_emulator.protocol.open_order import CompletedOrder, OpenOrder
from ibstream_gateway_emulator.protocol.requests import message_id

DECODED_SINCE = 164
"""The oldest server version whose messages are decoded; older ones have versions within messages that are not read here."""

MESSAGES: dict[int, type[Message]] = {
    1: m.TickPrice,
    2: m.TickSize,
    3: m.OrderStatus,
    4: m.Error,
    5: OpenOrder,
    6: m.AccountValue,
    7: m.PortfolioValue,
    8: m.AccountUpdateTime,
    9: m.NextValidId,
    10: m.ContractData,
    11: m.ExecDetails,
    12: m.MarketDepth,
    13: m.MarketDepthL2,
    14: m.NewsBulletin,
    15: m.ManagedAccounts,
    17: m.HistoricalData,
    19: m.ScannerParameters,
    21: m.TickOptionComputation,
    45: m.TickGeneric,
    46: m.TickString,
    49: m.CurrentTime,
    50: m.RealTimeBar,
    52: m.ContractDataEnd,
    53: m.OpenOrderEnd,
    54: m.AccountDownloadEnd,
    55: m.ExecDetailsEnd,
    56: m.DeltaNeutralValidation,
    57: m.TickSnapshotEnd,
    58: m.MarketDataType,
    59: m.CommissionReport,
    61: m.PositionData,
    62: m.PositionEnd,
    63: m.AccountSummary,
    64: m.AccountSummaryEnd,
    71: m.PositionMulti,
    72: m.PositionMultiEnd,
    73: m.AccountUpdateMulti,
    74: m.AccountUpdateMultiEnd,
    75: m.OptionParameters,
    76: m.OptionParametersEnd,
    78: m.FamilyCodes,
    79: m.SymbolSamples,
    80: m.DepthExchanges,
    81: m.TickReqParams,
    82: m.SmartComponents,
    85: m.NewsProviders,
    88: m.HeadTimestamp,
    90: m.HistoricalDataUpdate,
    93: m.MarketRule,
    94: m.PnL,
    95: m.PnLSingle,
    96: m.HistoricalMidpoints,
    97: m.HistoricalBidAsks,
    98: m.HistoricalTrades,
    99: m.TickByTick,
    100: m.OrderBound,
    101: CompletedOrder,
    102: m.CompletedOrdersEnd,
    106: m.HistoricalSchedule,
    107: m.UserInfo,
}
"""Every message that is known, by id."""


def decode_message(fields: tuple[str, ...], server_version: int) -> Message | None:
    """The message in a frame of a server; None if its id is not one of `MESSAGES`.

    Fields that came after `server_version`, and those missing at the end, take their defaults; more fields than are known
    are ignored. Raises `FieldError` where a field cannot be read, and for versions before `DECODED_SINCE`.
    """
    if server_version < DECODED_SINCE:
        raise FieldError(
            f"messages of server version {server_version} are not decoded, those since {DECODED_SINCE} are"
        )
    kind = MESSAGES.get(message_id(fields))
    return None if kind is None else kind.read(Cursor(fields, len(kind.HEAD), server_version))
