"""An order that ib_async places is told back to ib_async with every attribute it had."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_async import Contract, Order
from ib_async.contract import ComboLeg, DeltaNeutralContract
from ib_async.order import OrderComboLeg
from unit.gateway_emulator.ib_async_reading import decoded_by_ib_async
from unit.gateway_emulator.test_requests import Tape, orders

from ibstream_gateway_emulator.protocol.base import encode
from ibstream_gateway_emulator.protocol.fields import Contract11
from ibstream_gateway_emulator.protocol.open_order import CompletedOrder, OpenOrder, OrderState, OrderTerms
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import read_request

SPREAD = Contract(
    symbol="SPY",
    secType="BAG",
    exchange="SMART",
    currency="USD",
    comboLegs=[ComboLeg(1, 1, "BUY", "SMART"), ComboLeg(2, 2, "SELL", "CBOE", openClose=1)],
    deltaNeutralContract=DeltaNeutralContract(9, 0.5, 100.0),
)
RICH: dict[str, Any] = {
    "ocaGroup": "g",
    "ocaType": 1,
    "parentId": 3,
    "triggerMethod": 2,
    "hidden": True,
    "goodAfterTime": "20261123 10:00:00 US/Eastern",
    "goodTillDate": "20261124 10:00:00 US/Eastern",
    "rule80A": "I",
    "allOrNone": True,
    "minQty": 2,
    "percentOffset": 0.02,
    "trailStopPrice": 99.5,
    "trailingPercent": 1.5,
    "discretionaryAmt": 0.25,
    "scaleInitLevelSize": 5,
    "scaleSubsLevelSize": 6,
    "algoParams": [],
    "notHeld": True,
    "randomizeSize": True,
    "adjustedOrderType": "STP",
    "triggerPrice": 101.0,
    "adjustedStopPrice": 100.5,
    "lmtPriceOffset": 0.1,
    "cashQty": 500.0,
    "duration": 30,
    "postToAts": 4,
    "autoCancelParent": True,
    "modelCode": "m",
    "faGroup": "f",
    "displaySize": 10,
    "orderRef": "ref",
    "outsideRth": True,
    "account": "DU1",
}
ONLY_TO_THE_GATEWAY = {
    "transmit", "whatIf", "algoId", "orderMiscOptions", "overridePercentageConstraints", "activeStartTime", "activeStopTime",
    "scaleTable", "extOperator", "mifid2DecisionMaker", "mifid2DecisionAlgo", "mifid2ExecutionTrader", "mifid2ExecutionAlgo",
    "advancedErrorOverride", "manualOrderTime",
}  # fmt: skip
"""Attributes for which openOrder has no field."""
NOT_IN_A_COMPLETED_ORDER = {
    "parentId",
    "autoCancelParent",
    "adjustedOrderType",
    "triggerPrice",
    "adjustedStopPrice",
    "duration",
}
NOT_IN_A_COMPLETED_ORDER |= {"postToAts"}


def placed(contract: Contract, order: Order, version: int) -> PlaceOrder:
    request = read_request(Tape(version).send("placeOrder", 12, contract, order), version)
    assert isinstance(request, PlaceOrder)
    return request


def terms_of(request: PlaceOrder) -> OrderTerms:
    assert request.quantity is not None
    contract = Contract11(
        con_id=7,
        symbol=request.contract.symbol,
        security_type=request.contract.security_type,
        exchange=request.contract.exchange,
        local_symbol="SPY",
        trading_class="COMB",
    )
    return OrderTerms(
        contract=contract,
        action=request.action,
        quantity=request.quantity,
        order_type=request.order_type,
        limit_price=request.limit_price,
        aux_price=request.aux_price,
        tif=request.tif,
        account=request.account,
        perm_id=77,
        attributes=request.attributes,
    )


def fields_of(message: OpenOrder | CompletedOrder, version: int) -> tuple[str, ...]:
    return tuple(encode(message, version)[4:].decode().split("\0")[:-1])


@pytest.mark.parametrize("version", [176, 177, 178])
def test_an_open_order_has_every_attribute_that_was_placed(version: int) -> None:
    order = Order(action="BUY", totalQuantity=3, orderType="LMT", lmtPrice=1.25, auxPrice=0.5, tif="GTD", **RICH)
    order.orderComboLegs = [OrderComboLeg(1.0), OrderComboLeg()]
    request = placed(SPREAD, order, version)
    message = OpenOrder(order_id=12, client_id=5, terms=terms_of(request), state=OrderState(status="Submitted"))
    [(_, (_, contract, told, _))] = decoded_by_ib_async(fields_of(message, version), version)
    assert {name: getattr(told, name) for name in RICH} == RICH
    assert (told.lmtPrice, told.auxPrice, told.tif, told.totalQuantity) == (1.25, 0.5, "GTD", 3.0)
    assert contract.comboLegs == SPREAD.comboLegs
    assert contract.deltaNeutralContract == SPREAD.deltaNeutralContract
    assert [leg.price for leg in told.orderComboLegs] == [leg.price for leg in order.orderComboLegs]


@pytest.mark.parametrize("version", [176, 178])
def test_a_completed_order_has_all_of_them_that_it_has_fields_for(version: int) -> None:
    order = Order(action="BUY", totalQuantity=3, orderType="LMT", lmtPrice=1.25, tif="GTD", **RICH)
    message = CompletedOrder(
        terms=terms_of(placed(SPREAD, order, version)),
        status="Cancelled",
        filled=order.totalQuantity,  # type: ignore[arg-type]  # a float does as well
        completed_time="20261123 10:25:37 US/Eastern",
        completed_status="Cancelled by Trader",
    )
    [(_, (contract, told, _))] = decoded_by_ib_async(fields_of(message, version), version)
    expected = {name: value for name, value in RICH.items() if name not in NOT_IN_A_COMPLETED_ORDER}
    assert {name: getattr(told, name) for name in expected} == expected
    assert contract.comboLegs == SPREAD.comboLegs


@settings(deadline=None, max_examples=60)
@given(orders, st.integers(176, 178))
def test_whatever_ib_async_sets_it_reads_back(order: Order, version: int) -> None:
    """All attributes that differ from an order's defaults, of orders of any type."""
    request = placed(SPREAD, order, version)
    message = OpenOrder(order_id=12, client_id=5, terms=terms_of(request), state=OrderState(status="Submitted"))
    [(_, (_, _, told, _))] = decoded_by_ib_async(fields_of(message, version), version)
    for field in dataclasses.fields(Order):
        value = getattr(order, field.name)
        if (
            value != getattr(Order(), field.name)
            and field.name in sent(request)
            and field.name not in ONLY_TO_THE_GATEWAY
        ):
            assert repr(getattr(told, field.name)) == repr(value), field.name


def sent(request: PlaceOrder) -> set[str]:
    """Names of what came over the wire with a value; the rest depends on the type of the order."""
    typed = {"action", "orderType", "lmtPrice", "tif"}
    return typed | {name for name, value in request.attributes.items() if value not in (None, "", 0, ())}
