"""Every message that ib_async can send is read to its last field, or refused with its request id."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_async import Contract, ExecutionFilter, Order, OrderCondition, ScannerSubscription, TagValue
from ib_async.client import Client
from ib_async.contract import ComboLeg, DeltaNeutralContract
from ib_async.objects import WshEventData
from ib_async.order import OrderComboLeg

from ibstream_gateway_emulator.protocol import requests
from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.fields import Cursor
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import LAYOUTS, AnyRequest, read_request, request_id


class Tape:
    """ib_async's client with a tape in place of the socket."""

    def __init__(self, server_version: int = 178) -> None:
        self.client = Client(None)
        self.client._serverVersion = server_version
        self.client.connState = self.client.CONNECTED
        setattr(self.client, "sendMsg", self._record)  # noqa: B010 - a method, as the type checker sees it
        self.frames: list[tuple[str, ...]] = []

    def _record(self, text: str) -> None:
        self.frames.append(tuple(text[:-1].split("\0")))

    def send(self, method: str, *arguments: Any) -> tuple[str, ...]:
        """The fields of the message that one of the client's methods writes."""
        getattr(self.client, method)(*arguments)
        return self.frames[-1]


def read_whole(fields: tuple[str, ...], server_version: int = 178) -> AnyRequest:
    """The request in `fields`; fails unless exactly all of them belong to it."""
    layout = LAYOUTS[int(fields[0])]
    cursor = Cursor(fields, 2 if layout.versioned else 1, server_version)
    request = layout.read(cursor)
    try:
        left = cursor.text()
    except FieldError:
        return request
    raise AssertionError(f"field left over after {request}: {left!r}")


AAPL = Contract(conId=265598, symbol="AAPL", secType="STK", exchange="SMART", currency="USD", primaryExchange="NASDAQ")
BAG = Contract(
    symbol="SPY",
    secType="BAG",
    exchange="SMART",
    currency="USD",
    comboLegs=[ComboLeg(1, 1, "BUY", "SMART"), ComboLeg(2, 1, "SELL", "SMART")],
)
HEDGED = Contract(
    symbol="SPY",
    secType="OPT",
    exchange="SMART",
    currency="USD",
    deltaNeutralContract=DeltaNeutralContract(9, 0.5, 100.0),
)
CONDITIONS = [OrderCondition.createClass(kind)() for kind in (1, 3, 4, 5, 6, 7)]

UNDERSTOOD: list[tuple[str, tuple[Any, ...]]] = [
    ("startApi", ()),
    ("reqMktData", (7, AAPL, "233", False, False, [])),
    ("reqMktData", (7, BAG, "", True, False, [TagValue("a", "b")])),
    ("reqMktData", (7, HEDGED, "", False, False, [])),
    ("cancelMktData", (7,)),
    ("cancelOrder", (7, "")),
    ("reqOpenOrders", ()),
    ("reqAutoOpenOrders", (True,)),
    ("reqAllOpenOrders", ()),
    ("reqGlobalCancel", ()),
    ("reqCompletedOrders", (False,)),
    ("reqExecutions", (7, ExecutionFilter(clientId=3, symbol="AAPL"))),
    ("reqAccountUpdates", (True, "DU1")),
    ("reqPositions", ()),
    ("cancelPositions", ()),
    ("reqAccountSummary", (7, "All", "NetLiquidation")),
    ("cancelAccountSummary", (7,)),
    ("reqAccountUpdatesMulti", (7, "DU1", "", False)),
    ("cancelAccountUpdatesMulti", (7,)),
    ("reqContractDetails", (7, AAPL)),
    ("reqMatchingSymbols", (7, "AA")),
    ("reqHistoricalData", (7, AAPL, "", "1 D", "5 mins", "TRADES", True, 1, False, [])),
    ("reqHistoricalData", (7, BAG, "", "1 D", "5 mins", "TRADES", True, 1, False, [])),
    ("cancelHistoricalData", (7,)),
    ("reqHeadTimeStamp", (7, AAPL, "TRADES", True, 1)),
    ("cancelHeadTimeStamp", (7,)),
    ("reqCurrentTime", ()),
    ("reqMarketDataType", (3,)),
    ("reqIds", (1,)),
    ("reqManagedAccts", ()),
    ("setServerLogLevel", (2,)),
    ("reqMarketRule", (26,)),
    ("placeOrder", (7, AAPL, Order(action="BUY", totalQuantity=100, orderType="MKT"))),
    ("placeOrder", (7, BAG, Order(action="BUY", totalQuantity=1, orderType="MKT"))),
]

REFUSED: list[tuple[str, tuple[Any, ...]]] = [
    ("reqMktDepth", (7, AAPL, 5, False, [])),
    ("cancelMktDepth", (7, False)),
    ("replaceFA", (7, 1, "<xml/>")),
    ("exerciseOptions", (7, AAPL, 1, 1, "DU1", 0)),
    ("reqScannerSubscription", (7, ScannerSubscription(), [], [])),
    ("cancelScannerSubscription", (7,)),
    ("reqRealTimeBars", (7, AAPL, 5, "TRADES", True, [])),
    ("cancelRealTimeBars", (7,)),
    ("reqFundamentalData", (7, AAPL, "ReportSnapshot", [])),
    ("cancelFundamentalData", (7,)),
    ("calculateImpliedVolatility", (7, AAPL, 1.0, 100.0, [])),
    ("calculateOptionPrice", (7, AAPL, 0.2, 100.0, [])),
    ("queryDisplayGroups", (7,)),
    ("updateDisplayGroup", (7, "x")),
    ("reqPositionsMulti", (7, "DU1", "")),
    ("cancelPositionsMulti", (7,)),
    ("reqSecDefOptParams", (7, "AAPL", "", "STK", 265598)),
    ("reqSoftDollarTiers", (7,)),
    ("reqSmartComponents", (7, "9c0001")),
    ("reqNewsArticle", (7, "BRFG", "id", [])),
    ("reqHistoricalNews", (7, 265598, "BRFG", "", "", 10, [])),
    ("reqHistogramData", (7, AAPL, True, "1 week")),
    ("cancelHistogramData", (7,)),
    ("reqPnL", (7, "DU1", "")),
    ("cancelPnL", (7,)),
    ("reqPnLSingle", (7, "DU1", "", 265598)),
    ("cancelPnLSingle", (7,)),
    ("reqHistoricalTicks", (7, AAPL, "", "", 10, "TRADES", True, False, [])),
    ("reqTickByTickData", (7, AAPL, "Last", 0, False)),
    ("cancelTickByTickData", (7,)),
    ("reqWshMetaData", (7,)),
    ("cancelWshMetaData", (7,)),
    ("reqWshEventData", (7, WshEventData())),
    ("cancelWshEventData", (7,)),
    ("reqUserInfo", (7,)),
]


@pytest.mark.parametrize("version", [176, 177, 178])
@pytest.mark.parametrize(("method", "arguments"), UNDERSTOOD)
def test_what_ib_async_sends_is_read_to_the_last_field(version: int, method: str, arguments: tuple[Any, ...]) -> None:
    fields = Tape(version).send(method, *arguments)
    request = read_whole(fields, version)
    if getattr(request, "req_id", None) is not None:
        assert request_id(fields) == 7


@pytest.mark.parametrize(("method", "arguments"), REFUSED)
def test_the_request_id_is_found_in_what_is_not_understood(method: str, arguments: tuple[Any, ...]) -> None:
    fields = Tape().send(method, *arguments)
    assert int(fields[0]) not in LAYOUTS
    assert request_id(fields) == 7


def test_every_message_of_the_table_is_tested_here() -> None:
    sent = {int(Tape().send(method, *arguments)[0]) for method, arguments in UNDERSTOOD}
    assert sent == set(LAYOUTS)


@pytest.mark.parametrize("fields", [("80",), ("82",), ("85",), ("24", "1"), ("999", "1", "2"), ("x",), ("",)])
def test_a_message_without_a_request_id_is_answered_to_nobody_in_particular(fields: tuple[str, ...]) -> None:
    assert request_id(fields) == -1


def test_the_fields_of_an_order_come_to_their_places() -> None:
    order = Order(
        action="SELL",
        totalQuantity=100,
        orderType="LMT",
        lmtPrice=12.5,
        tif="GTC",
        account="DU1",
        orderRef="strategy-1",
        outsideRth=True,
    )
    placed = read_whole(Tape().send("placeOrder", 12, AAPL, order))
    assert isinstance(placed, PlaceOrder)
    assert (placed.order_id, placed.contract.con_id, placed.contract.symbol) == (12, 265598, "AAPL")
    assert (placed.action, placed.quantity, placed.order_type) == ("SELL", Decimal(100), "LMT")
    assert (placed.limit_price, placed.aux_price, placed.tif) == (Decimal("12.5"), None, "GTC")
    assert (placed.account, placed.order_ref, placed.outside_rth, placed.what_if) == ("DU1", "strategy-1", True, False)


orders = st.builds(
    Order,
    action=st.sampled_from(["BUY", "SELL"]),
    totalQuantity=st.integers(1, 1000),
    orderType=st.sampled_from(["MKT", "LMT", "PEG BENCH", "PEG BEST", "PEG MID", "VOL", "TRAIL"]),
    lmtPrice=st.floats(0.01, 1000),
    orderRef=st.text("abc-1", max_size=8),
    deltaNeutralOrderType=st.sampled_from(["", "None", "MKT"]),
    scalePriceIncrement=st.sampled_from([0.0, 0.5, 1.7976931348623157e308]),
    hedgeType=st.sampled_from(["", "D"]),
    algoStrategy=st.sampled_from(["", "Adaptive"]),
    algoParams=st.just([TagValue("adaptivePriority", "Normal")]),
    conditions=st.lists(st.sampled_from(CONDITIONS), max_size=3),
    competeAgainstBestOffset=st.sampled_from([0.02, float("inf")]),
    orderComboLegs=st.just([OrderComboLeg(1.0)]),
    smartComboRoutingParams=st.just([TagValue("NonGuaranteed", "1")]),
)


@settings(deadline=None)
@given(orders, st.sampled_from(["AAPL", "BAG", "HEDGED"]), st.sampled_from(["SMART", "IBKRATS"]), st.integers(176, 178))
def test_orders_of_every_kind_are_read_to_the_last_field(order: Order, name: str, exchange: str, version: int) -> None:
    contract = {"AAPL": AAPL, "BAG": BAG, "HEDGED": HEDGED}[name]
    fields = Tape(version).send("placeOrder", 12, replace(contract, exchange=exchange), order)
    placed = read_whole(fields, version)
    assert isinstance(placed, PlaceOrder)
    assert placed.order_type == order.orderType
    assert placed.order_ref == order.orderRef


@pytest.mark.parametrize(
    "fields",
    [
        ("1", "11"),
        ("1", "11", "x"),
        ("2", "2", "99999999999"),
        ("6", "2", "maybe", ""),
        ("3", "1", "265598"),
        ("20", "7", "not a number"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(fields: tuple[str, ...]) -> None:
    with pytest.raises(FieldError, match="field"):
        read_request(fields, 178)


def test_a_number_no_order_can_mean_is_refused() -> None:
    fields = list(Tape().send("placeOrder", 12, AAPL, Order(action="BUY", totalQuantity=1, orderType="MKT")))
    for nonsense in ("nan", "Infinity", "1E999999", "abc"):
        fields[fields.index("BUY") + 1] = nonsense
        with pytest.raises(FieldError):
            read_request(tuple(fields), 178)


def test_an_unknown_id_is_no_request() -> None:
    assert read_request(("999", "1"), 178) is None
    assert isinstance(read_request(("49", "1"), 178), requests.ReqCurrentTime)
