"""Requests for the past."""

from __future__ import annotations

from collections.abc import Iterator

from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes, contracts, history, history_ticks
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.history_rules import SCHEDULE
from ibstream_gateway_emulator.domain.pacing import Asked
from ibstream_gateway_emulator.domain.schedule import schedule
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.messages import HeadTimestamp, Message
from ibstream_gateway_emulator.protocol.requests import (
    CancelHeadTimestamp,
    CancelHistoricalData,
    ReqHeadTimestamp,
    ReqHistoricalData,
    ReqHistoricalTicks,
)

Messages = Iterator[Message]


def historical_data(gateway: Gateway, client: Client, request: ReqHistoricalData) -> Messages:
    """Bars, or the sessions of a period."""
    now_ns = gateway.now_ns()
    if request.contract.is_combination:
        raise RequestError(codes.unsupported("the history of a combination"))
    found = contracts.find_one(
        gateway.master, request.contract, now_ns, include_expired=request.include_expired, continuous=True
    )
    query = history.query_of(request, found, now_ns)
    if not query.zone_is_named:
        yield codes.NO_TIME_ZONE.about(request.req_id)
    gateway.history.admit(client, request.req_id, found.symbol, query.asked, now_ns)
    if query.what == SCHEDULE:
        gateway.history.close(client, request.req_id)
        yield schedule(query)
    else:
        yield from gateway.history.answer_bars(client, query)


def cancel_historical_data(gateway: Gateway, client: Client, request: CancelHistoricalData) -> Messages:
    """Forget a query whose answer is not out yet, or keep its bars up to date no more."""
    gateway.history.cancel(client, request.req_id)
    yield from ()


def head_timestamp(gateway: Gateway, client: Client, request: ReqHeadTimestamp) -> Messages:
    """When the history begins. The query stays open, and counts, until it is cancelled."""
    now_ns = gateway.now_ns()
    found = contracts.find_one(
        gateway.master, request.contract, now_ns, include_expired=request.include_expired, continuous=True
    )
    detail = ("head", str(request.use_rth), str(request.format_date))
    asked = Asked(found.symbol, request.contract.exchange, request.what_to_show, detail)
    gateway.history.admit(client, request.req_id, found.symbol, asked, now_ns)
    yield HeadTimestamp(request.req_id, history.head_timestamp(found, request.format_date))


def cancel_head_timestamp(gateway: Gateway, client: Client, request: CancelHeadTimestamp) -> Messages:
    """The query is over; nothing is said to that."""
    gateway.history.close(client, request.req_id)
    yield from ()


def historical_ticks(gateway: Gateway, client: Client, request: ReqHistoricalTicks) -> Messages:
    """Up to a thousand ticks and the rest of their last second."""
    now_ns = gateway.now_ns()
    if request.contract.is_combination:
        raise RequestError(codes.invalid("Combo types are not supported"))
    found = contracts.find_one(gateway.master, request.contract, now_ns, include_expired=request.include_expired)
    query = history_ticks.tick_query_of(request, found, now_ns)
    for _ in range(query.zones_unnamed):
        yield codes.NO_TIME_ZONE.about(request.req_id)
    gateway.history.admit(client, request.req_id, found.symbol, None, now_ns)
    gateway.history.answer_ticks(client, query)
