"""Requests about orders and executions."""

from __future__ import annotations

from collections.abc import Iterator

from ibstream.simulation.sessions import new_york_date
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.desks.orders import MANUAL_CLIENT_ID
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.order_record import OrderRecord, commission_report
from ibstream_gateway_emulator.domain.times import parse_time
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.messages import (
    CompletedOrdersEnd,
    ExecDetailsEnd,
    Message,
    NextValidId,
    OpenOrderEnd,
)
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import (
    CancelOrder,
    ReqAllOpenOrders,
    ReqAutoOpenOrders,
    ReqCompletedOrders,
    ReqExecutions,
    ReqGlobalCancel,
    ReqIds,
    ReqOpenOrders,
)

Messages = Iterator[Message]


def place_order(gateway: Gateway, client: Client, order: PlaceOrder) -> Messages:
    """Place or change an order; its owner hears of it, which is this client."""
    objection = gateway.faults.objection_to_order(client.client_id, order)
    if objection is not None:
        raise RequestError(objection)
    if gateway.faults.loses_order(client.client_id, order):
        return
    gateway.deliver(gateway.orders.place(client.client_id, order, gateway.now_ns()))
    yield from ()


def cancel_order(gateway: Gateway, client: Client, request: CancelOrder) -> Messages:
    """Cancel an order; its owner hears of it, too."""
    gateway.deliver(gateway.orders.cancel(client.client_id, request.order_id, gateway.now_ns()))
    yield from ()


def global_cancel(gateway: Gateway, _client: Client, _request: ReqGlobalCancel) -> Messages:
    """Cancel every order of every client."""
    gateway.deliver(gateway.orders.cancel_all(gateway.now_ns()))
    yield from ()


def open_orders(gateway: Gateway, client: Client, _request: ReqOpenOrders) -> Messages:
    """The client's own working orders; client 0 sees all."""
    own = None if client.client_id == MANUAL_CLIENT_ID else client.client_id
    yield from gateway.orders.open_orders(own)
    yield OpenOrderEnd()


def all_open_orders(gateway: Gateway, _client: Client, _request: ReqAllOpenOrders) -> Messages:
    """Everybody's working orders."""
    yield from gateway.orders.open_orders()
    yield OpenOrderEnd()


def auto_open_orders(_gateway: Gateway, _client: Client, _request: ReqAutoOpenOrders) -> Messages:
    """Nothing to bind: nobody enters orders by hand here."""
    yield from ()


def completed_orders(gateway: Gateway, _client: Client, _request: ReqCompletedOrders) -> Messages:
    """Today's finished orders; all of them came over the API."""
    yield from gateway.orders.completed_orders(new_york_date(gateway.now_ns()))
    yield CompletedOrdersEnd()


def executions(gateway: Gateway, _client: Client, request: ReqExecutions) -> Messages:
    """Today's executions that pass the filter, each with its commission."""
    since_ns = parse_time(request.since) if request.since else 0
    for record, fill in gateway.orders.executions(new_york_date(gateway.now_ns())):
        if fill.time_ns >= since_ns and _passes(request, record, side=fill.side):
            yield record.exec_details(fill, request.req_id)
            yield commission_report(fill)
    yield ExecDetailsEnd(request.req_id)


def ids(gateway: Gateway, client: Client, request: ReqIds) -> Messages:
    """The next order id, after as many as were asked for."""
    yield NextValidId(gateway.orders.reserve_ids(client.client_id, request.count))


def _passes(request: ReqExecutions, record: OrderRecord, *, side: str) -> bool:
    wanted_sides = {"": (side,), "BUY": ("BUY",), "BOT": ("BUY",), "SELL": ("SELL",), "SLD": ("SELL",)}
    return (
        request.client_id in (0, record.client_id)
        and request.account in ("", record.account)
        and request.symbol in ("", record.listing.ib_symbol)
        and request.security_type in ("", "STK")
        and side in wanted_sides.get(request.side.upper(), ())
    )
