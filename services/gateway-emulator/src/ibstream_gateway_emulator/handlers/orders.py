"""Requests about orders and executions."""

from __future__ import annotations

from collections.abc import Iterator

from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.desks.orders import MANUAL_CLIENT_ID
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.execution_filter import passes
from ibstream_gateway_emulator.domain.order_record import commission_report
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
    ExerciseOptions,
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
    client_id, now_ns = client.client_id, gateway.now_ns()

    def key() -> str:
        return gateway.orders.key_of(order, now_ns)

    objection = gateway.faults.objection_to_order(client_id, order, key)
    if objection is not None:
        gateway.deliver(gateway.orders.refuse(client_id, order, objection, now_ns))
    elif gateway.faults.loses_order(client_id, order, key):
        gateway.lose(client_id, order, "lose_order")
    else:
        gateway.deliver(gateway.orders.place(client_id, order, now_ns))
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
    """The client's own working orders. Client 0 would be given those entered by hand as well, of which there are none."""
    yield from gateway.orders.open_orders(client.client_id)
    yield OpenOrderEnd()


def all_open_orders(gateway: Gateway, client: Client, _request: ReqAllOpenOrders) -> Messages:
    """Everybody's working orders; whoever has seen an order id must use higher ones."""
    yield from gateway.orders.open_orders(seen_by=client.client_id)
    yield OpenOrderEnd()


def auto_open_orders(_gateway: Gateway, client: Client, _request: ReqAutoOpenOrders) -> Messages:
    """Nothing to bind, as nobody enters orders by hand here; only client 0 may ask for it."""
    if client.client_id != MANUAL_CLIENT_ID:
        raise RequestError(codes.invalid("Only the default client (i.e 0) can auto bind orders"))
    yield from ()


def completed_orders(gateway: Gateway, _client: Client, _request: ReqCompletedOrders) -> Messages:
    """Today's finished orders of all clients; all of them came over the API."""
    yield from gateway.orders.completed_orders(gateway.now_ns())
    yield CompletedOrdersEnd()


def executions(gateway: Gateway, _client: Client, request: ReqExecutions) -> Messages:
    """Today's executions that pass the filter, each with its commission."""
    since_ns = parse_time(request.since) if request.since else 0
    for record, execution in gateway.orders.executions_today(gateway.now_ns()):
        if passes(request, since_ns, record, execution):
            yield record.exec_details(execution, request.req_id)
            if gateway.settings.tell_commission and not execution.is_combination:
                yield commission_report(execution)
    yield ExecDetailsEnd(request.req_id)


def exercise_options(_gateway: Gateway, _client: Client, _request: ExerciseOptions) -> Messages:
    """Options expire here; they are not exercised."""
    raise RequestError(codes.unsupported("Exercising options"))


def ids(gateway: Gateway, client: Client, request: ReqIds) -> Messages:
    """The next order id, after as many as were asked for."""
    yield NextValidId(gateway.orders.reserve_ids(client.client_id, request.count))
