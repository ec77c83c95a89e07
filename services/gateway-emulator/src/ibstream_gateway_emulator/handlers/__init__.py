"""One function per request, and the table that finds it. Whatever a client sends, it gets an answer or a documented silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.handlers import market_data, orders, portfolio, system
from ibstream_gateway_emulator.protocol import requests
from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import message_id, read_request, request_id

Handler = Callable[[Gateway, Client, Any], Iterator[Message]]

HANDLERS: dict[type, Handler] = {
    PlaceOrder: orders.place_order,
    requests.CancelOrder: orders.cancel_order,
    requests.ReqGlobalCancel: orders.global_cancel,
    requests.ReqOpenOrders: orders.open_orders,
    requests.ReqAllOpenOrders: orders.all_open_orders,
    requests.ReqAutoOpenOrders: orders.auto_open_orders,
    requests.ReqCompletedOrders: orders.completed_orders,
    requests.ReqExecutions: orders.executions,
    requests.ReqIds: orders.ids,
    requests.ReqPositions: portfolio.positions,
    requests.CancelPositions: portfolio.cancel_positions,
    requests.ReqAccountUpdates: portfolio.account_updates,
    requests.ReqAccountUpdatesMulti: portfolio.account_updates_multi,
    requests.CancelAccountUpdatesMulti: portfolio.cancel_account_updates_multi,
    requests.ReqAccountSummary: portfolio.account_summary,
    requests.CancelAccountSummary: portfolio.cancel_account_summary,
    requests.ReqManagedAccounts: portfolio.managed_accounts,
    requests.ReqContractDetails: market_data.contract_details,
    requests.ReqMatchingSymbols: market_data.matching_symbols,
    requests.ReqMktData: market_data.market_data,
    requests.CancelMktData: market_data.cancel_market_data,
    requests.ReqMarketDataType: market_data.market_data_type,
    requests.ReqMarketRule: market_data.market_rule,
    requests.ReqHistoricalData: market_data.historical_data,
    requests.CancelHistoricalData: market_data.cancel_historical_data,
    requests.ReqHeadTimestamp: market_data.head_timestamp,
    requests.CancelHeadTimestamp: market_data.cancel_head_timestamp,
    requests.ReqCurrentTime: system.current_time,
    requests.SetServerLogLevel: system.log_level,
}


def answer(gateway: Gateway, client: Client, fields: tuple[str, ...], server_version: int) -> Iterator[Message]:
    """The messages that answer one frame of a client at once; an error where the request cannot be met."""
    req_id = request_id(fields)
    try:
        request = read_request(fields, server_version)
        if request is None:
            yield codes.unsupported(f"request {message_id(fields)}").about(req_id)
            return
        handler = HANDLERS.get(type(request))
        if handler is None:
            yield codes.unsupported(f"{type(request).__name__} at this point").about(req_id)
            return
        yield from handler(gateway, client, request)
    except FieldError as error:
        yield codes.unreadable(str(error)).about(req_id)
    except RequestError as error:
        yield error.code.about(req_id)
