"""One function per request, and the table that finds it. Whatever a client sends, it gets an answer or a documented silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import Code, RequestError
from ibstream_gateway_emulator.faults.gap import Waiting
from ibstream_gateway_emulator.faults.state import Reception
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.handlers import contracts, history, options, orders, portfolio, quotes, system
from ibstream_gateway_emulator.protocol import requests
from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.fields import Cursor
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import Request, message_id, read_request, request_id

Handler = Callable[[Gateway, Client, Any], Iterator[Message]]
_PLACE_ORDER = "3"

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
    requests.ExerciseOptions: orders.exercise_options,
    requests.ReqPositions: portfolio.positions,
    requests.CancelPositions: portfolio.cancel_positions,
    requests.ReqAccountUpdates: portfolio.account_updates,
    requests.ReqAccountUpdatesMulti: portfolio.account_updates_multi,
    requests.CancelAccountUpdatesMulti: portfolio.cancel_account_updates_multi,
    requests.ReqAccountSummary: portfolio.account_summary,
    requests.CancelAccountSummary: portfolio.cancel_account_summary,
    requests.ReqPositionsMulti: portfolio.positions_multi,
    requests.CancelPositionsMulti: portfolio.cancel_positions_multi,
    requests.ReqPnL: portfolio.pnl,
    requests.CancelPnL: portfolio.cancel_pnl,
    requests.ReqPnLSingle: portfolio.pnl_single,
    requests.CancelPnLSingle: portfolio.cancel_pnl_single,
    requests.ReqManagedAccounts: portfolio.managed_accounts,
    requests.ReqFamilyCodes: portfolio.family_codes,
    requests.ReqContractDetails: contracts.contract_details,
    requests.ReqMatchingSymbols: contracts.matching_symbols,
    requests.ReqSecDefOptParams: contracts.option_parameters,
    requests.ReqSmartComponents: contracts.smart_components,
    requests.ReqMktDepthExchanges: contracts.depth_exchanges,
    requests.ReqMktData: quotes.market_data,
    requests.CancelMktData: quotes.cancel_market_data,
    requests.ReqMarketDataType: quotes.market_data_type,
    requests.ReqMktDepth: quotes.depth,
    requests.CancelMktDepth: quotes.cancel_depth,
    requests.ReqTickByTick: quotes.tick_by_tick,
    requests.CancelTickByTick: quotes.cancel_tick_by_tick,
    requests.ReqRealTimeBars: quotes.real_time_bars,
    requests.CancelRealTimeBars: quotes.cancel_real_time_bars,
    requests.CalculateImpliedVolatility: options.implied_volatility,
    requests.CancelCalculateImpliedVolatility: options.cancel,
    requests.CalculateOptionPrice: options.option_price,
    requests.CancelCalculateOptionPrice: options.cancel,
    requests.ReqMarketRule: contracts.market_rule,
    requests.ReqHistoricalData: history.historical_data,
    requests.CancelHistoricalData: history.cancel_historical_data,
    requests.ReqHeadTimestamp: history.head_timestamp,
    requests.CancelHeadTimestamp: history.cancel_head_timestamp,
    requests.ReqHistoricalTicks: history.historical_ticks,
    requests.ReqCurrentTime: system.current_time,
    requests.SetServerLogLevel: system.log_level,
    requests.ReqNewsBulletins: system.news_bulletins,
    requests.CancelNewsBulletins: system.news_bulletins,
    requests.ReqNewsProviders: system.news_providers,
    requests.ReqScannerParameters: system.scanner_parameters,
    requests.ReqUserInfo: system.user_info,
}


def answer(gateway: Gateway, client: Client, fields: tuple[str, ...], server_version: int) -> Iterator[Message]:
    """The messages that answer one frame of a client at once; an error where the request cannot be met."""
    req_id = request_id(fields)
    try:
        request = read_request(fields, server_version)
    except FieldError as error:
        unreadable = codes.unreadable(str(error))
        turn_away(gateway, client, fields, server_version, unreadable)
        yield unreadable.about(req_id)
        return
    if request is None:
        yield codes.unsupported(f"request {message_id(fields)}").about(req_id)
    elif _receive(gateway, client, Waiting(client, request, req_id, gateway.now_ns())):
        yield from respond(gateway, client, request, req_id)


def turn_away(gateway: Gateway, client: Client, fields: tuple[str, ...], server_version: int, code: Code) -> None:
    """Remember, where it was an order, that a message was refused before anybody looked at what it asks."""
    order = _order_in(fields, server_version)
    if order is not None:
        gateway.orders.log.refused(client.client_id, order, code, gateway.now_ns())


def lose(gateway: Gateway, client_id: int, fields: tuple[str, ...], server_version: int, why: str) -> None:
    """Remember, where it was an order, that nobody ever looked at a message."""
    order = _order_in(fields, server_version)
    if order is not None:
        gateway.lose(client_id, order, why)


def _order_in(fields: tuple[str, ...], server_version: int) -> PlaceOrder | None:
    """The order in a message, as far as it can be read; None for any other message."""
    return PlaceOrder.read_in_part(Cursor(fields, 1, server_version)) if fields[0] == _PLACE_ORDER else None


def respond(gateway: Gateway, client: Client, request: Request, req_id: int) -> Iterator[Message]:
    """The messages that answer a request at once; an error under `req_id` where it cannot be met."""
    handler = HANDLERS.get(type(request))
    if handler is None:
        yield codes.unsupported(f"{type(request).__name__} at this point").about(req_id)
        return
    objection = gateway.faults.objection_to_request(client.client_id, request)
    if objection is not None:
        if isinstance(request, PlaceOrder):
            gateway.orders.refuse(client.client_id, request, objection, gateway.now_ns())
        yield objection.about(req_id)
        return
    try:
        yield from handler(gateway, client, request)
    except FieldError as error:
        yield codes.unreadable(str(error)).about(req_id)
    except RequestError as error:
        yield error.code.about(req_id)


def _receive(gateway: Gateway, client: Client, waiting: Waiting) -> bool:
    """Whether a request is answered now; by command some wait for the link to IBKR, or disappear."""
    reception = gateway.faults.reception(waiting.request)
    if reception is Reception.KEPT and not gateway.gap.keep(waiting):
        reception = Reception.LOST
    if reception is Reception.LOST and isinstance(waiting.request, PlaceOrder):
        why = "restart" if gateway.faults.is_deaf else "lose_link"
        gateway.lose(client.client_id, waiting.request, why)
    return reception is Reception.ANSWERED
