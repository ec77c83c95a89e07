"""Every message that ib_async can send is read to its last field, or refused with its request id."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_async import Contract, ExecutionFilter, Order, OrderCondition, PriceCondition, ScannerSubscription, TagValue
from ib_async.client import Client
from ib_async.contract import ComboLeg, DeltaNeutralContract
from ib_async.objects import WshEventData
from ib_async.order import OrderComboLeg

from ibstream_gateway_emulator.protocol import fields as ours
from ibstream_gateway_emulator.protocol import order_parts as conditions
from ibstream_gateway_emulator.protocol import requests
from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.fields import Cursor
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import REQUESTS, AnyRequest, read_request, request_id, write_request


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
    kind = REQUESTS[int(fields[0])]
    cursor = Cursor(fields, len(kind.HEAD), server_version)
    request = kind.read(cursor)
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
    ("reqMktDepth", (7, AAPL, 5, False, [])),
    ("cancelMktDepth", (7, False)),
    ("reqMktDepthExchanges", ()),
    ("reqSmartComponents", (7, "9c0001")),
    ("reqTickByTickData", (7, AAPL, "Last", 0, False)),
    ("cancelTickByTickData", (7,)),
    ("reqRealTimeBars", (7, AAPL, 5, "TRADES", True, [])),
    ("cancelRealTimeBars", (7,)),
    ("calculateImpliedVolatility", (7, AAPL, 1.0, 100.0, [TagValue("a", "b")])),
    ("calculateOptionPrice", (7, AAPL, 0.2, 100.0, [])),
    ("cancelCalculateImpliedVolatility", (7,)),
    ("cancelCalculateOptionPrice", (7,)),
    ("exerciseOptions", (7, AAPL, 1, 1, "DU1", 0)),
    ("reqHistoricalTicks", (7, AAPL, "", "", 10, "TRADES", True, False, [])),
    ("reqPositionsMulti", (7, "DU1", "")),
    ("cancelPositionsMulti", (7,)),
    ("reqPnL", (7, "DU1", "")),
    ("cancelPnL", (7,)),
    ("reqPnLSingle", (7, "DU1", "", 265598)),
    ("cancelPnLSingle", (7,)),
    ("reqSecDefOptParams", (7, "AAPL", "", "STK", 265598)),
    ("reqNewsBulletins", (True,)),
    ("cancelNewsBulletins", ()),
    ("reqNewsProviders", ()),
    ("reqScannerParameters", ()),
    ("reqFamilyCodes", ()),
    ("reqUserInfo", (7,)),
    ("placeOrder", (7, AAPL, Order(action="BUY", totalQuantity=100, orderType="MKT"))),
    ("placeOrder", (7, BAG, Order(action="BUY", totalQuantity=1, orderType="MKT"))),
]

REFUSED: list[tuple[str, tuple[Any, ...]]] = [
    ("replaceFA", (7, 1, "<xml/>")),
    ("reqScannerSubscription", (7, ScannerSubscription(), [], [])),
    ("cancelScannerSubscription", (7,)),
    ("reqFundamentalData", (7, AAPL, "ReportSnapshot", [])),
    ("cancelFundamentalData", (7,)),
    ("queryDisplayGroups", (7,)),
    ("updateDisplayGroup", (7, "x")),
    ("reqSoftDollarTiers", (7,)),
    ("reqNewsArticle", (7, "BRFG", "id", [])),
    ("reqHistoricalNews", (7, 265598, "BRFG", "", "", 10, [])),
    ("reqHistogramData", (7, AAPL, True, "1 week")),
    ("cancelHistogramData", (7,)),
    ("reqWshMetaData", (7,)),
    ("cancelWshMetaData", (7,)),
    ("reqWshEventData", (7, WshEventData())),
    ("cancelWshEventData", (7,)),
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
    assert int(fields[0]) not in REQUESTS
    assert request_id(fields) == 7


def test_every_message_of_the_table_is_tested_here() -> None:
    sent = {int(Tape().send(method, *arguments)[0]) for method, arguments in UNDERSTOOD}
    assert sent == set(REQUESTS)


@pytest.mark.parametrize("fields", [("80",), ("82",), ("85",), ("24", "1"), ("999", "1", "2"), ("x",), ("",)])
def test_a_message_without_a_request_id_is_answered_to_nobody_in_particular(fields: tuple[str, ...]) -> None:
    assert request_id(fields) == -1


@pytest.mark.parametrize("text", ["", "x", "1_1", "٣", " 49 ", "+49", "4.9", "9" * 5_000])
def test_only_a_plain_number_is_the_id_of_a_message_or_a_request(text: str) -> None:
    """Python takes some of these for numbers, and refuses the last with an error of another kind."""
    with pytest.raises(FieldError, match="is no message id"):
        read_request((text, "1", "7"), 178)
    assert request_id((text, "1", "7")) == -1
    assert request_id(("1", "11", text)) == -1


def test_an_order_entered_by_hand_has_a_negative_id() -> None:
    assert request_id(("4", "1", "-5", "")) == -5


@pytest.mark.parametrize("version", [176, 177, 178])
@pytest.mark.parametrize(("method", "arguments"), UNDERSTOOD)
def test_what_was_read_is_written_as_ib_async_wrote_it(version: int, method: str, arguments: tuple[Any, ...]) -> None:
    """Byte for byte, but for how many digits a number has and the versions after an id, which nobody looks at."""
    fields = Tape(version).send(method, *arguments)
    written = write_request(read_whole(fields, version), version)[4:].decode().split("\0")[:-1]
    assert plain(tuple(written)) == plain(fields)


def plain(fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(field.removesuffix(".0") for field in fields)


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
    written = tuple(write_request(placed, version)[4:].decode().split("\0")[:-1])
    assert plain(written) == plain(tuple(field.replace("Infinite", "Infinity") for field in fields))


def test_what_an_order_desk_works_with_has_a_typed_place() -> None:
    order = Order(
        action="BUY",
        totalQuantity=3,
        orderType="TRAIL LIMIT",
        auxPrice=0.5,
        trailStopPrice=99.5,
        trailingPercent=1.5,
        lmtPriceOffset=0.1,
        percentOffset=0.02,
        transmit=False,
        parentId=11,
        ocaGroup="g",
        ocaType=2,
        goodAfterTime="20261123 10:00:00 US/Eastern",
        goodTillDate="20261124 10:00:00 US/Eastern",
        hidden=True,
        allOrNone=True,
        minQty=2,
        displaySize=1,
        cashQty=500.0,
        whatIf=True,
        algoStrategy="Adaptive",
        algoParams=[TagValue("adaptivePriority", "Urgent")],
        conditions=[PriceCondition(conId=265598, exch="SMART", price=180.5)],
        orderComboLegs=[OrderComboLeg(1.0), OrderComboLeg()],
    )
    placed = read_whole(Tape().send("placeOrder", 12, BAG, order))
    assert isinstance(placed, PlaceOrder)
    assert (placed.quantity, placed.aux_price, placed.trail_stop_price) == (3, Decimal("0.5"), Decimal("99.5"))
    assert (placed.trailing_percent, placed.limit_price_offset) == (Decimal("1.5"), Decimal("0.1"))
    assert (placed.percent_offset, placed.cash_quantity) == (Decimal("0.02"), Decimal(500))
    assert (placed.transmit, placed.what_if, placed.hidden, placed.all_or_none) == (False, True, True, True)
    assert (placed.parent_id, placed.oca_group, placed.oca_type) == (11, "g", 2)
    assert (placed.min_quantity, placed.display_size) == (2, 1)
    assert placed.good_after_time == "20261123 10:00:00 US/Eastern"
    assert placed.good_till_date == "20261124 10:00:00 US/Eastern"
    assert (placed.algo_strategy, placed.algo_params) == ("Adaptive", {"adaptivePriority": "Urgent"})
    assert [(leg.con_id, leg.action, leg.exempt_code) for leg in placed.legs] == [(1, "BUY", -1), (2, "SELL", -1)]
    assert placed.leg_prices == (Decimal(1), None)
    assert placed.conditions == (
        conditions.PriceCondition(
            "a", is_more=True, price=Decimal("180.5"), con_id=265598, exchange="SMART", trigger_method=0
        ),
    )


def test_an_order_without_attributes_is_written_as_a_client_writes_a_plain_one() -> None:
    """Only `openClose` differs, which ib_async sets to O and the official clients leave empty."""
    placed = PlaceOrder(
        order_id=12,
        contract=ours.Contract(265598, "AAPL"),
        action="BUY",
        quantity=Decimal(1),
        order_type="MKT",
        tif="DAY",
    )
    written = tuple(write_request(placed, 178)[4:].decode().split("\0")[:-1])
    plain_order = Order(action="BUY", totalQuantity=1, orderType="MKT", tif="DAY", openClose="")
    fields = Tape().send("placeOrder", 12, Contract(conId=265598, symbol="AAPL"), plain_order)
    assert [a for a, b in zip(plain(written), plain(fields), strict=True) if a != b and {a, b} != {"", "0"}] == []


LARGEST = {
    "Java": "1.7976931348623157E308",
    "Python, JavaScript": "1.7976931348623157e+308",
    "ten digits": "1.797693135e+308",
    "fifteen digits": "1.79769313486232E+308",
    "two digits": "1.8e308",
    "in full": f"{Decimal('1.7976931348623157e308'):f}",
    "in full, with decimals": f"{Decimal('1.7976931348623157e308'):f}.000000",
}
"""How languages and formats write the largest double, which stands for a number that was never set."""
UNSET_QUANTITY = str(2**127 - 1)
"""How the official Python client writes a quantity that was never set."""


@pytest.mark.parametrize("text", [*LARGEST.values(), UNSET_QUANTITY], ids=[*LARGEST, "quantity"])
def test_a_number_that_was_never_set_is_none_however_it_was_written(text: str) -> None:
    fields = list(Tape().send("placeOrder", 12, AAPL, Order(action="BUY", totalQuantity=1, orderType="MKT", minQty=77)))
    fields[fields.index("BUY") + 1] = text
    fields[fields.index("MKT") + 1 : fields.index("MKT") + 3] = [text, text]
    fields[fields.index("77")] = text
    order = read_request(tuple(fields), 178)
    assert isinstance(order, PlaceOrder)
    assert (order.quantity, order.limit_price, order.aux_price, order.min_quantity) == (None, None, None, None)


@pytest.mark.parametrize("strike", ["", *LARGEST.values()])
def test_a_strike_that_is_not_set_is_empty_however_it_was_written(strike: str) -> None:
    request = read_request(("87", "7", "265598", "AAPL", "STK", "", strike, *[""] * 7, "0", "1", "TRADES", "1"), 178)
    assert isinstance(request, requests.ReqHeadTimestamp)
    assert (request.contract.strike, request.contract.con_id) == ("", 265598)


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


TWELVE = ("265598", *[""] * 11)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (("54", "3", "7", *TWELVE, "20", "418", "0", ""), "0"),
        (("54", "2", "7", *TWELVE, "20", "418", ""), ""),
        (("54", "3", "7", *TWELVE, "20", "418"), ""),
    ],
)
def test_the_options_of_a_calculation_may_come_with_their_number_or_without(
    fields: tuple[str, ...], expected: str
) -> None:
    request = read_request(fields, 178)
    assert isinstance(request, requests.CalculateImpliedVolatility)
    assert (request.option_price, request.under_price, request.options_count) == (20, 418, expected)


@pytest.mark.parametrize(
    ("fields", "whole"),
    [
        (("1", "11", "7", *TWELVE, "0", "233", "0", "0"), requests.ReqMktData),
        (("4", "1", "7"), requests.CancelOrder),
        (("9", "8", "7", *TWELVE, "0"), requests.ReqContractDetails),
        (("10", "5", "7", *TWELVE, "5"), requests.ReqMktDepth),
        (("11", "1", "7"), requests.CancelMktDepth),
        (("50", "3", "7", *TWELVE, "5", "TRADES", "0"), requests.ReqRealTimeBars),
        (("71", "2", "7"), requests.StartApi),
        (("96", "7", *TWELVE, "0", "", "", "5", "TRADES", "1", "0"), requests.ReqHistoricalTicks),
        (("97", "7", *TWELVE, "BidAsk"), requests.ReqTickByTick),
        (("99",), requests.ReqCompletedOrders),
    ],
)
def test_optional_fields_at_the_end_may_be_missing_and_unknown_ones_may_follow(
    fields: tuple[str, ...], whole: type[AnyRequest]
) -> None:
    request = read_request(fields, 178)
    assert type(request) is whole
    written = tuple(write_request(request, 178)[4:].decode().split("\0")[:-1])
    assert len(written) > len(fields)
    assert read_request((*written, "", "of a later version"), 178) == request


def test_an_unknown_id_is_no_request() -> None:
    assert read_request(("999", "1"), 178) is None
    assert isinstance(read_request(("49", "1"), 178), requests.ReqCurrentTime)
