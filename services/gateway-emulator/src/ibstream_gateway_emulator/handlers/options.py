"""Requests to calculate an option's price or volatility."""

from __future__ import annotations

from collections.abc import Iterator

from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import contracts
from ibstream_gateway_emulator.domain.option_calculations import price_at, volatility_at
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.requests import (
    CalculateImpliedVolatility,
    CalculateOptionPrice,
    CancelCalculateImpliedVolatility,
    CancelCalculateOptionPrice,
)

Messages = Iterator[Message]


def implied_volatility(gateway: Gateway, _client: Client, request: CalculateImpliedVolatility) -> Messages:
    """The volatility at which the option is worth the price, once."""
    now_ns = gateway.now_ns()
    option = contracts.find_one(gateway.master, request.contract, now_ns)
    yield volatility_at(request.req_id, option, request.option_price, request.under_price, now_ns)


def option_price(gateway: Gateway, _client: Client, request: CalculateOptionPrice) -> Messages:
    """What the option is worth at the volatility, once."""
    now_ns = gateway.now_ns()
    option = contracts.find_one(gateway.master, request.contract, now_ns)
    yield price_at(request.req_id, option, request.volatility, request.under_price, now_ns)


def cancel(
    _gateway: Gateway, _client: Client, _request: CancelCalculateImpliedVolatility | CancelCalculateOptionPrice
) -> Messages:
    """The answer went out with the question."""
    yield from ()
