"""Requests for quotes, depth, single ticks and real-time bars."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ibstream.simulation.instruments import Listing
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.desks.lines import COMBINATION, Subject, kind_of
from ibstream_gateway_emulator.domain import codes, contracts, generic_ticks
from ibstream_gateway_emulator.domain.codes import Code, RequestError
from ibstream_gateway_emulator.domain.combinations import Part, combination
from ibstream_gateway_emulator.domain.data_types import MARKET_DATA_TYPES
from ibstream_gateway_emulator.domain.real_time_bars import bar_feed
from ibstream_gateway_emulator.domain.tick_by_tick import feed
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.requests import (
    CancelMktData,
    CancelMktDepth,
    CancelRealTimeBars,
    CancelTickByTick,
    Leg,
    ReqMarketDataType,
    ReqMktData,
    ReqMktDepth,
    ReqRealTimeBars,
    ReqTickByTick,
)

Messages = Iterator[Message]

_ACTIONS = ("BUY", "SELL", "SSHORT")


def market_data(gateway: Gateway, client: Client, request: ReqMktData) -> Messages:
    """Quotes from now on, or one and no more; for a regulatory snapshot nothing is charged."""
    if gateway.quotes.is_used(client, request.req_id):
        raise RequestError(codes.duplicate_ticker(request.req_id))
    subject = _subject(gateway, request)
    asked = generic_ticks.read(request.generic_ticks, subject.security_type)
    if not (request.snapshot or request.regulatory_snapshot):
        yield from gateway.quotes.subscribe(client, request.req_id, subject, asked, gateway.now_ns())
    elif request.generic_ticks:
        raise RequestError(codes.NO_GENERICS_IN_SNAPSHOT)
    else:
        yield from gateway.quotes.snapshot(client, request.req_id, subject, gateway.now_ns())


def cancel_market_data(gateway: Gateway, client: Client, request: CancelMktData) -> Messages:
    """No more quotes under that id."""
    gateway.quotes.cancel(client, request.req_id)
    yield from ()


def market_data_type(gateway: Gateway, client: Client, request: ReqMarketDataType) -> Messages:
    """What later requests of the client ask for. Live data is given all the same where it is permitted."""
    if request.market_data_type not in MARKET_DATA_TYPES:
        raise RequestError(codes.invalid(f"Invalid market data type {request.market_data_type}"))
    gateway.quotes.want(client, request.market_data_type)
    yield from ()


def depth(gateway: Gateway, client: Client, request: ReqMktDepth) -> Messages:
    """The rows of a book as they stand, and their changes from now on."""
    found = _listing(gateway, request.contract, codes.NO_DEPTH_HERE)
    yield from gateway.depth.subscribe(
        client,
        request.req_id,
        found,
        request.contract.exchange,
        request.rows,
        is_smart=request.is_smart_depth,
        now_ns=gateway.now_ns(),
    )


def cancel_depth(gateway: Gateway, client: Client, request: CancelMktDepth) -> Messages:
    """No more of that book."""
    gateway.depth.cancel(client, request.req_id)
    yield from ()


def tick_by_tick(gateway: Gateway, client: Client, request: ReqTickByTick) -> Messages:
    """Every tick from now on, after some of the past."""
    found = _listing(gateway, request.contract, codes.no_tick_by_tick("Not available for combinations"))
    asked = feed(found, request.tick_type, ignores_size=request.ignore_size)
    yield from gateway.ticks.subscribe(client, request.req_id, asked, request.count, gateway.now_ns())


def cancel_tick_by_tick(gateway: Gateway, client: Client, request: CancelTickByTick) -> Messages:
    """No more ticks under that id."""
    gateway.ticks.cancel(client, request.req_id)
    yield from ()


def real_time_bars(gateway: Gateway, client: Client, request: ReqRealTimeBars) -> Messages:
    """Bars of five seconds, each once it is over."""
    found = _listing(gateway, request.contract, codes.bad_real_time_query("Not available for combinations"))
    asked = bar_feed(found, request.bar_s, request.what_to_show, regular_hours=request.use_rth)
    gateway.real_time_bars.subscribe(client, request.req_id, asked, gateway.now_ns())
    yield from ()


def cancel_real_time_bars(gateway: Gateway, client: Client, request: CancelRealTimeBars) -> Messages:
    """No more bars under that id."""
    gateway.real_time_bars.cancel(client, request.req_id)
    yield from ()


def _listing(gateway: Gateway, contract: Contract, for_combinations: Code) -> Listing:
    if contract.is_combination:
        raise RequestError(for_combinations)
    return contracts.find_one(gateway.master, contract, gateway.now_ns())


def _subject(gateway: Gateway, request: ReqMktData) -> Subject:
    if request.contract.is_combination:
        return _combination(gateway, request.legs)
    found = contracts.find_one(gateway.master, request.contract, gateway.now_ns())
    return Subject(found.symbol, kind_of(found), partial(gateway.market.quote, found.symbol), found)


def _combination(gateway: Gateway, legs: tuple[Leg, ...]) -> Subject:
    if not legs:
        raise RequestError(codes.invalid("A combination needs legs"))
    parts = []
    names = []
    for leg in legs:
        if leg.ratio < 1 or leg.action not in _ACTIONS:
            raise RequestError(codes.invalid("Invalid leg of a combination: ratio or action"))
        found = contracts.find_leg(gateway.master, leg)
        parts.append(Part(partial(gateway.market.quote, found.symbol), leg.ratio, leg.action == "BUY"))
        names.append(f"{leg.action} {leg.ratio} {found.symbol}")
    key = "|".join(names)
    return Subject(key, COMBINATION, combination(key, tuple(parts)))
