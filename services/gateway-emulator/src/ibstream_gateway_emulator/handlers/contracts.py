"""Requests about instruments."""

from __future__ import annotations

from collections.abc import Iterator

from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes, contract_data, contracts
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.messages import (
    ContractDataEnd,
    DepthExchanges,
    MarketRule,
    Message,
    OptionParametersEnd,
    SmartComponents,
    SymbolSamples,
)
from ibstream_gateway_emulator.protocol.requests import (
    ReqContractDetails,
    ReqMarketRule,
    ReqMatchingSymbols,
    ReqMktDepthExchanges,
    ReqSecDefOptParams,
    ReqSmartComponents,
)

Messages = Iterator[Message]


def contract_details(gateway: Gateway, _client: Client, request: ReqContractDetails) -> Messages:
    """Every instrument that fits; a stock without an exchange once for each of its exchanges, as a Gateway lists it."""
    now_ns, contract = gateway.now_ns(), _with_security_id(gateway, request)
    found = contracts.find_all(
        gateway.master, contract, now_ns, include_expired=request.include_expired, spot=lambda key: _spot(gateway, key)
    )
    if not found:
        raise RequestError(codes.UNKNOWN_CONTRACT)
    kind = contract.security_type if contract.security_type == contracts.CONTINUOUS else ""
    for one in found:
        is_open = one.security_type == "STK" and not contract.exchange and not contract.con_id
        for exchange in one.valid_exchanges if is_open else (contract.exchange,):
            yield contract_data.contract_data(request.req_id, one, exchange, now_ns, security_type=kind)
    yield ContractDataEnd(request.req_id)


def matching_symbols(gateway: Gateway, _client: Client, request: ReqMatchingSymbols) -> Messages:
    """Up to sixteen instruments whose symbol or name begins with the pattern."""
    found = gateway.master.matching(request.pattern)
    yield SymbolSamples(request.req_id, tuple(contract_data.sample(one, gateway.master) for one in found))


def option_parameters(gateway: Gateway, _client: Client, request: ReqSecDefOptParams) -> Messages:
    """The option chain of an underlying, exchange by exchange; of futures' options there are none."""
    if request.under_con_id <= 0:
        raise RequestError(codes.invalid("Invalid contract id"))
    under = gateway.master.by_con_id(request.under_con_id)
    if under is None or under.security_type != request.under_security_type or under.ib_symbol != request.under_symbol:
        raise RequestError(codes.UNKNOWN_CONTRACT)
    if not request.exchange and gateway.master.has_options(under.symbol):
        today = contract_data.trading_date(under, gateway.now_ns())
        chain = gateway.master.option_chain(under.symbol, today, spot=_spot(gateway, under.symbol))
        if chain is not None:
            yield from contract_data.option_parameters(request.req_id, chain)
    yield OptionParametersEnd(request.req_id)


def market_rule(_gateway: Gateway, _client: Client, request: ReqMarketRule) -> Messages:
    """The price increments of a rule."""
    found = contract_data.increments(request.rule_id)
    if not found:
        raise RequestError(codes.invalid(f"Unknown market rule id {request.rule_id}"))
    yield MarketRule(request.rule_id, found)


def smart_components(_gateway: Gateway, _client: Client, request: ReqSmartComponents) -> Messages:
    """The exchanges behind the code that quotes of stocks carry."""
    found = contract_data.smart_components(request.bbo_exchange)
    if not found:
        raise RequestError(codes.invalid(f"Unknown BBO exchange {request.bbo_exchange!r}"))
    yield SmartComponents(request.req_id, found)


def depth_exchanges(_gateway: Gateway, _client: Client, _request: ReqMktDepthExchanges) -> Messages:
    """The exchanges of which the book can be had."""
    yield DepthExchanges(contract_data.depth_exchanges())


def _with_security_id(gateway: Gateway, request: ReqContractDetails) -> Contract:
    """The contract with the stock that a security id names. Raises `RequestError` with 200 for an id that is not known."""
    if not request.sec_id_type:
        return request.contract
    keys = [key for key, isin in contracts.ISINS.items() if request.sec_id_type == "ISIN" and isin == request.sec_id]
    found = gateway.master.stock(keys[0]) if keys else None
    if found is None:
        raise RequestError(codes.UNKNOWN_CONTRACT)
    given = request.contract
    return Contract(con_id=found.con_id, symbol=given.symbol, security_type="STK", exchange=given.exchange)


def _spot(gateway: Gateway, key: str) -> float:
    """The last close: the strikes that are listed stay the same all day."""
    return gateway.market.day(key, gateway.now_ns()).previous_close
