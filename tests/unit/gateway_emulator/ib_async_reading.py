"""What ib_async's own decoder makes of a frame, and whether a decoded message of ours says the same, field by field."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
from ib_async.contract import Contract
from ib_async.decoder import Decoder
from ib_async.order import OrderComboLeg
from ib_async.util import UNSET_DOUBLE, UNSET_INTEGER

from ibstream_gateway_emulator.protocol import messages as m
from ibstream_gateway_emulator.protocol.open_order import CompletedOrder, OpenOrder, OrderState, OrderTerms
from ibstream_gateway_emulator.protocol.order_parts import Condition

Call = tuple[str, tuple[Any, ...]]
Pair = tuple[str, Any, Any]
"""A name, our value, and ib_async's."""


class Listener:
    """Stands where ib_async's wrapper stands and keeps what the decoder hands over."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.ib = SimpleNamespace(TimezoneTWS="UTC")
        self.defaultTimezone = UTC

    def __getattr__(self, name: str) -> Any:
        def keep(*arguments: Any) -> None:
            self.calls.append((name, arguments))

        return keep


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def decoded_by_ib_async(fields: tuple[str, ...], server_version: int) -> list[Call]:
    """The calls ib_async's decoder makes for a message; fails on anything it logs."""
    listener, complaints = Listener(), _Complaints()
    decoder = Decoder(listener, server_version)  # type: ignore[arg-type]
    decoder.logger.addHandler(complaints)
    try:
        decoder.interpret(list(fields))
    finally:
        decoder.logger.removeHandler(complaints)
    assert not complaints.texts, complaints.texts
    return listener.calls


def disagreements(message: m.Message, calls: list[Call]) -> list[Pair]:
    """Where our message and ib_async's calls differ; fails if there was nothing to compare."""
    pairs = list(_PAIRS.get(type(message), _positional)(message, calls))
    assert pairs or not message.__struct_fields__
    return [(name, ours, theirs) for name, ours, theirs in pairs if not _same(ours, theirs)]


_CONTRACT = {
    "con_id": "conId",
    "symbol": "symbol",
    "security_type": "secType",
    "last_trade_date": "lastTradeDateOrContractMonth",
    "strike": "strike",
    "right": "right",
    "multiplier": "multiplier",
    "exchange": "exchange",
    "primary_exchange": "primaryExchange",
    "currency": "currency",
    "local_symbol": "localSymbol",
    "trading_class": "tradingClass",
}


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, OrderComboLeg):
        return _same(ours, theirs.price)
    if isinstance(ours, tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, m.Contract11):
        return all(
            _same(getattr(ours, name), getattr(theirs, _CONTRACT[name])) for name in m.Contract11.__struct_fields__
        )
    if isinstance(ours, Condition):
        return _same((ours.CODE, *msgspec.structs.astuple(ours)), dataclasses.astuple(theirs))
    if isinstance(ours, msgspec.Struct):
        return _same(
            msgspec.structs.astuple(ours), theirs if isinstance(theirs, tuple) else dataclasses.astuple(theirs)
        )
    if ours is None:
        return theirs in (UNSET_DOUBLE, UNSET_INTEGER, 0, "", "1.7976931348623157E308", None)
    if isinstance(theirs, float | int) and not isinstance(ours, bool):
        # ib_async has no integers that are unset by another name, and reads an empty field as its default.
        return float(ours or 0) == float(theirs) or (ours in ("", 0) and theirs in (UNSET_DOUBLE, UNSET_INTEGER))
    if isinstance(theirs, str) and isinstance(ours, int | Decimal):
        return bool(theirs) and Decimal(theirs) == ours
    return bool(ours == theirs)


def _positional(message: m.Message, calls: list[Call]) -> Iterator[Pair]:
    """Most messages come to the wrapper as the arguments of one call, in wire order."""
    [(_, arguments)] = calls
    names = message.__struct_fields__
    yield "number of arguments", len(names), len(arguments)
    for name, theirs in zip(names, arguments, strict=False):
        yield name, getattr(message, name), theirs


def _tick_price(message: m.TickPrice, calls: list[Call]) -> Iterator[Pair]:
    [(_, arguments)] = calls
    yield from zip(("req_id", "tick_type", "price", "size"), msgspec.structs.astuple(message), arguments, strict=False)


def _order_attributes(terms: OrderTerms, contract: Contract, order: Any) -> Iterator[Pair]:
    yield "contract", terms.contract, contract
    yield "action", terms.action, order.action
    yield "totalQuantity", terms.quantity, order.totalQuantity
    yield "orderType", terms.order_type, order.orderType
    yield "lmtPrice", terms.limit_price, order.lmtPrice
    yield "auxPrice", terms.aux_price, order.auxPrice
    yield "tif", terms.tif, order.tif
    yield "account", terms.account, order.account
    yield "permId", terms.perm_id, order.permId
    for name, ours in terms.attributes.items():
        yield name, ours, _attribute(name, contract, order)


def _attribute(name: str, contract: Contract, order: Any) -> Any:
    tiers = {"softDollarTierName": "name", "softDollarTierValue": "val", "softDollarTierDisplayName": "displayName"}
    if name in tiers:
        return getattr(order.softDollarTier, tiers[name])
    if name in ("comboLegs", "comboLegsDescrip", "deltaNeutralContract"):
        return getattr(contract, name)
    return getattr(order, name, None)


_NOT_KEPT = frozenset({"sharesAllocation"})
"""What ib_async skips."""


def _open_order(message: OpenOrder, calls: list[Call]) -> Iterator[Pair]:
    [(_, (order_id, contract, order, state))] = calls
    yield "orderId", message.order_id, order_id
    yield "clientId", message.client_id, order.clientId
    yield "whatIf", message.what_if, order.whatIf
    yield from (pair for pair in _order_attributes(message.terms, contract, order) if pair[0] not in _NOT_KEPT)
    yield from _state(message.state, state)


def _state(ours: OrderState, theirs: Any) -> Iterator[Pair]:
    yield "status", ours.status, theirs.status
    for name, change in {
        "initMargin": ours.initial_margin,
        "maintMargin": ours.maintenance_margin,
        "equityWithLoan": ours.equity_with_loan,
    }.items():
        for place, moment in enumerate(("Before", "Change", "After")):
            yield name + moment, change and change[place], getattr(theirs, name + moment)
    yield "commission", ours.commission, theirs.commission
    yield "minCommission", ours.min_commission, theirs.minCommission
    yield "maxCommission", ours.max_commission, theirs.maxCommission
    yield "commissionCurrency", ours.currency, theirs.commissionCurrency
    yield "warningText", ours.warning, theirs.warningText


def _completed_order(message: CompletedOrder, calls: list[Call]) -> Iterator[Pair]:
    [(_, (contract, order, state))] = calls
    yield from _order_attributes(message.terms, contract, order)
    yield "filledQuantity", message.filled, order.filledQuantity
    yield "status", message.status, state.status
    yield "completedTime", message.completed_time, state.completedTime
    yield "completedStatus", message.completed_status, state.completedStatus


def _portfolio(message: m.PortfolioValue, calls: list[Call]) -> Iterator[Pair]:
    [(_, (contract, *values))] = calls
    names = message.__struct_fields__
    for name in names[:11]:
        yield name, getattr(message, name), getattr(contract, _CONTRACT[name])
    for name, theirs in zip(names[11:], values, strict=True):
        yield name, getattr(message, name), theirs


_EXECUTION = {
    "order_id": "orderId",
    "exec_id": "execId",
    "account": "acctNumber",
    "exchange": "exchange",
    "side": "side",
    "shares": "shares",
    "price": "price",
    "perm_id": "permId",
    "client_id": "clientId",
    "liquidation": "liquidation",
    "cumulative_quantity": "cumQty",
    "average_price": "avgPrice",
    "order_ref": "orderRef",
    "ev_rule": "evRule",
    "ev_multiplier": "evMultiplier",
    "model_code": "modelCode",
    "last_liquidity": "lastLiquidity",
    "pending_price_revision": "pendingPriceRevision",
}


def _execution(message: m.ExecDetails, calls: list[Call]) -> Iterator[Pair]:
    [(_, (req_id, contract, execution))] = calls
    yield "req_id", message.req_id, req_id
    yield "contract", message.contract, contract
    yield "time", message.time.split()[:2], datetime.strftime(execution.time, "%Y%m%d %H:%M:%S").split()
    for name, attribute in _EXECUTION.items():
        yield name, getattr(message, name), getattr(execution, attribute)


def _execution_with_zone(message: m.ExecDetails, calls: list[Call]) -> Iterator[Pair]:
    """ib_async turns the time into UTC, by the zone that newer Gateways write."""
    for name, ours, theirs in _execution(message, calls):
        if name != "time" or not message.time.endswith("US/Eastern"):
            yield name, ours, theirs


_DETAILS = {
    "market_name": "marketName",
    "min_tick": "minTick",
    "order_types": "orderTypes",
    "valid_exchanges": "validExchanges",
    "price_magnifier": "priceMagnifier",
    "under_con_id": "underConId",
    "long_name": "longName",
    "contract_month": "contractMonth",
    "industry": "industry",
    "category": "category",
    "subcategory": "subcategory",
    "trading_hours": "tradingHours",
    "liquid_hours": "liquidHours",
    "ev_rule": "evRule",
    "ev_multiplier": "evMultiplier",
    "security_ids": "secIdList",
    "aggregate_group": "aggGroup",
    "under_symbol": "underSymbol",
    "under_security_type": "underSecType",
    "market_rule_ids": "marketRuleIds",
    "real_expiration_date": "realExpirationDate",
    "stock_type": "stockType",
    "min_size": "minSize",
    "size_increment": "sizeIncrement",
    "suggested_size_increment": "suggestedSizeIncrement",
    "time_zone_id": "timeZoneId",
}


def _details(message: m.ContractData, calls: list[Call]) -> Iterator[Pair]:
    [(_, (req_id, details))] = calls
    yield "req_id", message.req_id, req_id
    for name, attribute in _DETAILS.items():
        yield name, getattr(message, name), getattr(details, attribute)
    for name in set(_CONTRACT) - {"last_trade_date"}:
        yield name, getattr(message, name), getattr(details.contract, _CONTRACT[name])
    date, time = details.contract.lastTradeDateOrContractMonth, details.lastTradeTime
    yield "last_trade_date", message.last_trade_date.split()[:2], [part for part in (date, time) if part]


def _bars(message: m.HistoricalData, calls: list[Call]) -> Iterator[Pair]:
    *bars, (_, end) = calls
    yield "end", (message.req_id, message.start, message.end), end
    yield "bars", len(message.bars), len(bars)
    for ours, (_, (req_id, theirs)) in zip(message.bars, bars, strict=True):
        yield "req_id", message.req_id, req_id
        yield from _bar(ours, theirs)


def _bar(ours: Any, theirs: Any) -> Iterator[Pair]:
    yield "date", ours.date, theirs.date
    for name in ("open", "high", "low", "close", "volume", "average"):
        yield name, Decimal(getattr(ours, name)), getattr(theirs, name)
    yield "count", ours.count, theirs.barCount


def _bar_update(message: m.HistoricalDataUpdate, calls: list[Call]) -> Iterator[Pair]:
    [(_, (req_id, theirs))] = calls
    yield "req_id", message.req_id, req_id
    yield from _bar(message, theirs)


def _position_multi(message: m.PositionMulti, calls: list[Call]) -> Iterator[Pair]:
    [(_, theirs)] = calls
    ours = (
        message.req_id,
        message.account,
        message.model_code,
        message.contract,
        message.quantity,
        message.average_cost,
    )
    yield "all", ours, theirs


def _commission(message: m.CommissionReport, calls: list[Call]) -> Iterator[Pair]:
    [(_, (theirs,))] = calls
    yield "all", message, theirs


def _samples(message: m.SymbolSamples, calls: list[Call]) -> Iterator[Pair]:
    [(_, (req_id, theirs))] = calls
    yield "req_id", message.req_id, req_id
    yield "samples", len(message.samples), len(theirs)
    for ours, description in zip(message.samples, theirs, strict=True):
        for name in ("con_id", "symbol", "security_type", "primary_exchange", "currency"):
            yield name, getattr(ours, name), getattr(description.contract, _CONTRACT[name])
        yield "derivatives", ours.derivatives, description.derivativeSecTypes
        yield "description", ours.description, description.contract.description
        yield "issuer_id", ours.issuer_id, description.contract.issuerId


def _past_ticks(shape: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any, list[Call]], Iterator[Pair]]:
    def pairs(message: Any, calls: list[Call]) -> Iterator[Pair]:
        [(_, (req_id, ticks, is_done))] = calls
        yield "req_id", message.req_id, req_id
        yield "is_done", message.is_done, is_done
        yield "ticks", message.ticks, tuple(shape(tick) for tick in ticks)

    return pairs


def _plain_ticks(message: m.HistoricalMidpoints, calls: list[Call]) -> Iterator[Pair]:
    [(_, (req_id, ticks, is_done))] = calls
    yield "head", (message.req_id, message.is_done), (req_id, is_done)
    yield "ticks", message.ticks, tuple((_epoch(tick), 0, tick.price, tick.size) for tick in ticks)


def _epoch(tick: Any) -> int:
    return int(tick.time.timestamp())


def _bid_ask(tick: Any) -> tuple[Any, ...]:
    bits = tick.tickAttribBidAsk.askPastHigh | tick.tickAttribBidAsk.bidPastLow << 1
    return (_epoch(tick), bits, tick.priceBid, tick.priceAsk, tick.sizeBid, tick.sizeAsk)


def _trade(tick: Any) -> tuple[Any, ...]:
    bits = tick.tickAttribLast.pastLimit | tick.tickAttribLast.unreported << 1
    return (_epoch(tick), bits, tick.price, tick.size, tick.exchange, tick.specialConditions)


def _live_trade(message: m.TickByTickTrade, calls: list[Call]) -> Iterator[Pair]:
    [(_, (req_id, kind, epoch_s, price, size, attributes, exchange, conditions))] = calls
    bits = attributes.pastLimit | attributes.unreported << 1
    yield "all", msgspec.structs.astuple(message), (req_id, kind, epoch_s, price, size, bits, exchange, conditions)


def _live_bid_ask(message: m.TickByTickBidAsk, calls: list[Call]) -> Iterator[Pair]:
    [(_, (req_id, epoch_s, *quote, attributes))] = calls
    bits = attributes.bidPastLow | attributes.askPastHigh << 1
    yield "all", msgspec.structs.astuple(message), (req_id, 3, epoch_s, *quote, bits)


def _live_midpoint(message: m.TickByTickMidpoint, calls: list[Call]) -> Iterator[Pair]:
    [(_, (req_id, epoch_s, midpoint))] = calls
    yield "all", msgspec.structs.astuple(message), (req_id, 4, epoch_s, midpoint)


def _validation(message: m.DeltaNeutralValidation, calls: list[Call]) -> Iterator[Pair]:
    [(_, (req_id, theirs))] = calls
    yield "all", msgspec.structs.astuple(message), (req_id, theirs.conId, theirs.delta, theirs.price)


_PAIRS: dict[type, Callable[[Any, list[Call]], Iterator[Pair]]] = {
    m.TickPrice: _tick_price,
    OpenOrder: _open_order,
    CompletedOrder: _completed_order,
    m.PortfolioValue: _portfolio,
    m.ExecDetails: _execution_with_zone,
    m.ContractData: _details,
    m.HistoricalData: _bars,
    m.HistoricalDataUpdate: _bar_update,
    m.PositionMulti: _position_multi,
    m.CommissionReport: _commission,
    m.SymbolSamples: _samples,
    m.HistoricalMidpoints: _plain_ticks,
    m.HistoricalBidAsks: _past_ticks(_bid_ask),
    m.HistoricalTrades: _past_ticks(_trade),
    m.TickByTickTrade: _live_trade,
    m.TickByTickBidAsk: _live_bid_ask,
    m.TickByTickMidpoint: _live_midpoint,
    m.DeltaNeutralValidation: _validation,
}
