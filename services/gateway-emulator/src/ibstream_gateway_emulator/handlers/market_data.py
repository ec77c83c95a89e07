"""Requests about instruments, quotes and bars."""

from __future__ import annotations

from collections.abc import Iterator

from ibstream.simulation.instruments import MIN_TICK, Listing
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes, contracts, history
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.history import HISTORY_BEGINS
from ibstream_gateway_emulator.domain.ticks import Subscription
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.messages import (
    ContractDataEnd,
    HeadTimestamp,
    MarketDataType,
    MarketRule,
    Message,
    PriceIncrement,
    SymbolSamples,
    TickReqParams,
    TickSnapshotEnd,
)
from ibstream_gateway_emulator.protocol.requests import (
    CancelHeadTimestamp,
    CancelHistoricalData,
    CancelMktData,
    ReqContractDetails,
    ReqHeadTimestamp,
    ReqHistoricalData,
    ReqMarketDataType,
    ReqMarketRule,
    ReqMatchingSymbols,
    ReqMktData,
)

Messages = Iterator[Message]

_LIVE = 1
_MARKET_DATA_TYPES = range(1, 5)
_BBO_EXCHANGE, _SNAPSHOT_PERMISSIONS = "9c0001", 3
_BARS_INLINE = 100
"""Answers with more bars are computed in a thread, so that quotes and orders do not wait for them."""
_EPOCH_SECONDS = 2


def contract_details(gateway: Gateway, _client: Client, request: ReqContractDetails) -> Messages:
    """The one listing that fits."""
    if request.sec_id_type:
        raise RequestError(codes.UNKNOWN_CONTRACT)
    found = _listing(gateway, request.contract)
    yield contracts.contract_data(request.req_id, found, request.contract.exchange, gateway.now_ns())
    yield ContractDataEnd(request.req_id)


def matching_symbols(gateway: Gateway, _client: Client, request: ReqMatchingSymbols) -> Messages:
    """Listings whose symbol or name begins with the pattern."""
    found = gateway.master.matching(request.pattern)
    yield SymbolSamples(request.req_id, tuple(contracts.sample(one) for one in found))


def market_data(gateway: Gateway, client: Client, request: ReqMktData) -> Messages:
    """Quotes from now on, or one and no more."""
    found = _listing(gateway, request.contract)
    if gateway.quotes.is_used(client, request.req_id):
        raise RequestError(codes.duplicate_ticker(request.req_id))
    if request.generic_ticks:
        # What a Gateway says of a part of the data that is not to be had; the other ticks flow.
        yield codes.PART_NOT_SUBSCRIBED.about(request.req_id)
    yield MarketDataType(request.req_id, _LIVE)
    yield TickReqParams(request.req_id, MIN_TICK, _BBO_EXCHANGE, _SNAPSHOT_PERMISSIONS)
    subscription = Subscription(request.req_id, found.symbol)
    if request.snapshot or request.regulatory_snapshot:
        yield from subscription.update(gateway.market, gateway.now_ns())
        yield TickSnapshotEnd(request.req_id)
    else:
        yield from gateway.quotes.subscribe(client, subscription, gateway.now_ns())


def cancel_market_data(gateway: Gateway, client: Client, request: CancelMktData) -> Messages:
    """No more quotes under that id."""
    gateway.quotes.cancel(client, request.req_id)
    yield from ()


def market_data_type(_gateway: Gateway, _client: Client, request: ReqMarketDataType) -> Messages:
    """All data here is live, which is what a Gateway gives whatever was asked for if it can."""
    if request.market_data_type not in _MARKET_DATA_TYPES:
        raise RequestError(codes.invalid(f"Invalid market data type {request.market_data_type}"))
    yield from ()


def market_rule(_gateway: Gateway, _client: Client, request: ReqMarketRule) -> Messages:
    """The price increments of US stocks."""
    if request.rule_id != contracts.MARKET_RULE_ID:
        raise RequestError(codes.unsupported(f"market rule {request.rule_id}"))
    yield MarketRule(request.rule_id, (PriceIncrement(0, MIN_TICK),))


def historical_data(gateway: Gateway, client: Client, request: ReqHistoricalData) -> Messages:
    """Bars: few at once, many from a thread."""
    found = _listing(gateway, request.contract)
    if gateway.history.is_used(client, request.req_id):
        raise RequestError(codes.duplicate_ticker(request.req_id))
    query = history.query_of(request, found, gateway.now_ns())
    if query.bars_estimate <= _BARS_INLINE:
        yield history.answer(query, gateway.market)
    else:
        gateway.history.answer_apart(client, query)


def cancel_historical_data(gateway: Gateway, client: Client, request: CancelHistoricalData) -> Messages:
    """Forget a query whose answer is not out yet."""
    gateway.history.cancel(client, request.req_id)
    yield from ()


def head_timestamp(gateway: Gateway, _client: Client, request: ReqHeadTimestamp) -> Messages:
    """When the history begins, the same for all."""
    _listing(gateway, request.contract)
    if request.format_date == _EPOCH_SECONDS:
        yield HeadTimestamp(request.req_id, str(int(HISTORY_BEGINS.timestamp())))
    else:
        yield HeadTimestamp(request.req_id, f"{HISTORY_BEGINS:%Y%m%d-%H:%M:%S}")


def cancel_head_timestamp(_gateway: Gateway, _client: Client, _request: CancelHeadTimestamp) -> Messages:
    """The answer went out with the question."""
    yield from ()


def _listing(gateway: Gateway, contract: Contract) -> Listing:
    found = contracts.find(gateway.master, contract)
    if found is None:
        raise RequestError(codes.UNKNOWN_CONTRACT)
    return found
