"""What is written is what real Gateways write, and what ib_async reads to the last field."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest
from unit.gateway_emulator.ib_async_reading import decoded_by_ib_async

from ibstream.simulation.instruments import listing
from ibstream_gateway_emulator.domain.contract_data import contract_data
from ibstream_gateway_emulator.domain.contracts import eleven
from ibstream_gateway_emulator.protocol.fields import DOUBLE_MAX
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.protocol.messages import (
    CommissionReport,
    Contract11,
    Error,
    ExecDetails,
    HistoricalBar,
    HistoricalData,
    Message,
    OrderStatus,
    PositionData,
    encode,
    text_of,
)
from ibstream_gateway_emulator.protocol.open_order import CompletedOrder, OpenOrder, OrderState, OrderTerms

# Messages seen on the wire by others: rust-ibapi's test data (MIT, Copyright (c) 2022 Wil Boayue) and ibkr-go's recordings
# of a live paper Gateway (MIT). Account numbers were masked there. `|` stands for the NUL that ends a field.
ORDER_STATUS = "3|13|PreSubmitted|0|100|0|1376327563|0|0|100||0|"
EXECUTION = (
    "11|-1|13|76792991|TSLA|STK||0.0|||ISLAND|USD|TSLA|NMS|00025b46.63f8f39c.01.01|20230224  12:04:56|DU1234567|ISLAND|BOT|"
    "100|196.52|1376327563|100|0|100|196.52|||||2||"
)
COMMISSION = "59|1|00025b46.63f8f39c.01.01|1.0|USD|1.7976931348623157E308|1.7976931348623157E308|||"
POSITION = "61|3|DU1234567|76792991|TSLA|STK||0.0|||NASDAQ|USD|TSLA|NMS|500|196.77|"
FARM = "4|2|-1|2104|Market data farm connection is OK:usfarm||"
BARS = (
    "17|9000|20230413  16:31:22|20230415  16:31:22|2|20230413|182.9400|186.5000|180.9400|185.9000|948837.22|184.869|324891|"
    "20230414|183.8800|186.2800|182.0100|185.0000|810998.27|183.9865|277547|"
)
OPEN_ORDER = (
    "5|5|265598|AAPL|STK||0|?||SMART|USD|AAPL|NMS|BUY|100|MKT|0.0|0.0|DAY||DU1234567||0||100|600745656|0|0|0||"
    "600745656.0/DU1234567/100||||||||||0||-1|0||||||2147483647|0|0|0||3|0|0||0|0||0|None||0||||?|0|0||0|0||||||0|0|0|"
    "2147483647|2147483647|||0||IB|0|0||0|0|PreSubmitted|1.7976931348623157E308|1.7976931348623157E308|"
    "1.7976931348623157E308|1.7976931348623157E308|1.7976931348623157E308|1.7976931348623157E308|1.7976931348623157E308|"
    "1.7976931348623157E308|1.7976931348623157E308||||||0|0|0|None|1.7976931348623157E308|1.7976931348623157E308|"
    "1.7976931348623157E308|1.7976931348623157E308|1.7976931348623157E308|1.7976931348623157E308|0||||0|1|0|0|0|||0||"
    "100|0.02|||"
)
COMPLETED_ORDER = (
    "AAABvjEwMQAyNjU1OTgAQUFQTABTVEsAADAAPwAAU01BUlQAVVNEAEFBUEwATk1TAFNFTEwAMQBMTVQANTAwLjAAMC4wAEdUQwAxMDAxAERVMTIzNDUA"
    "ADAAADEwMDIAMAAwADAAAAAAAAAAMAAAADAAAC0xAAAAAAAAMjE0NzQ4MzY0NwAwADAAADMAMAAAMABOb25lAAAwADAAMAAAMAAwAAAAADAAMAAwADIx"
    "NDc0ODM2NDcAMjE0NzQ4MzY0NwAAAABJQgAwADAAADAAQ2FuY2VsbGVkADAAMAAwADEuNzk3NjkzMTM0ODYyMzE1N0UzMDgAMS43OTc2OTMxMzQ4NjIz"
    "MTU3RTMwOAAwADEAMAAyMDI2MDkzMCAyMjowMDowMCBDZW50cmFsIEV1cm9wZWFuIFN0YW5kYXJkIFRpbWUAMAAyMTQ3NDgzNjQ3ADAATm90IGFuIGlu"
    "c2lkZXIgb3Igc3Vic3RhbnRpYWwgc2hhcmVob2xkZXIAMAAwADEwMDEAMjAyNjA0MTEgMjI6MTg6NTMgVVMvRWFzdGVybgBDYW5jZWxsZWQgYnkgU3lz"
    "dGVtOgoAAAAAAAAAMAAA"
)

TSLA, AAPL = listing("TSLA"), listing("AAPL")


def wired(message: Message, version: int = 178) -> str:
    return encode(message, version)[4:].decode().replace("\0", "|")


def terms(**changes: Any) -> OrderTerms:
    values: dict[str, Any] = {
        "contract": eleven(AAPL, "SMART", strike="0", right="?"),
        "action": "BUY",
        "quantity": Decimal(100),
        "order_type": "MKT",
        "limit_price": None,
        "tif": "DAY",
        "account": "DU1234567",
        "perm_id": 600745656,
    }
    return OrderTerms(**{**values, **changes})


def test_an_order_status_is_written_as_recorded() -> None:
    status = OrderStatus(
        order_id=13,
        status="PreSubmitted",
        filled=Decimal(0),
        remaining=Decimal(100),
        average_fill_price=0,
        perm_id=1376327563,
        last_fill_price=0,
        client_id=100,
    )
    assert wired(status) == ORDER_STATUS


def test_an_open_order_is_written_as_recorded() -> None:
    order = OpenOrder(order_id=5, client_id=100, terms=terms(), state=OrderState(status="PreSubmitted"))
    # Recorded below version 177, which dropped the empty faProfile.
    assert wired(order, 176) == OPEN_ORDER
    assert wired(order, 178).count("|") == OPEN_ORDER.count("|") - 1


def test_an_open_order_asked_about_tells_its_margin() -> None:
    state = OrderState(status="PreSubmitted", initial_margin=(0, 50, 50), commission=Decimal("1.0"), currency="USD")
    order = OpenOrder(order_id=5, client_id=100, terms=terms(), state=state, what_if=True)
    assert f"|0|1|PreSubmitted|0|{DOUBLE_MAX}|{DOUBLE_MAX}|50|" in wired(order)
    assert "|1.0|||USD||" in wired(order)


def test_an_execution_is_written_as_recorded() -> None:
    execution = ExecDetails(
        req_id=-1,
        order_id=13,
        contract=eleven(TSLA, "ISLAND"),
        exec_id="00025b46.63f8f39c.01.01",
        time="20230224  12:04:56",
        account="DU1234567",
        exchange="ISLAND",
        side="BOT",
        shares=Decimal(100),
        price=Decimal("196.52"),
        perm_id=1376327563,
        client_id=100,
        cumulative_quantity=Decimal(100),
        average_price=196.52,
        order_ref="",
        last_liquidity=2,
    )
    # Recorded at a version between 170 and 178; the price revision, a `0` at 178, is the empty last field there.
    assert wired(execution, 178) == EXECUTION.removesuffix("|") + "0|"
    assert wired(execution, 177) == EXECUTION.removesuffix("|")


def test_a_commission_report_is_written_as_recorded() -> None:
    report = CommissionReport("00025b46.63f8f39c.01.01", 1.0, "USD")
    assert wired(report) == COMMISSION.removesuffix("|")


def test_a_position_is_written_as_recorded() -> None:
    assert wired(PositionData("DU1234567", eleven(TSLA, "NASDAQ"), Decimal(500), 196.77)) == POSITION


def test_a_notice_is_written_as_recorded() -> None:
    assert wired(Error(-1, 2104, "Market data farm connection is OK:usfarm")) == FARM


def test_bars_are_written_as_recorded() -> None:
    first = HistoricalBar("20230413", "182.9400", "186.5000", "180.9400", "185.9000", "948837.22", "184.869", 324891)
    second = HistoricalBar("20230414", "183.8800", "186.2800", "182.0100", "185.0000", "810998.27", "183.9865", 277547)
    assert wired(HistoricalData(9000, "20230413  16:31:22", "20230415  16:31:22", (first, second))) == BARS


def test_a_completed_order_is_written_as_a_live_gateway_did() -> None:
    """Field by field against a recorded frame, but for what its order had and ours never have."""
    recorded = base64.b64decode(COMPLETED_ORDER)[4:].decode().split("\0")[:-1]
    ours = CompletedOrder(
        terms=terms(
            action="SELL",
            quantity=Decimal(1),
            order_type="LMT",
            limit_price=Decimal("500.0"),
            tif="GTC",
            account="DU12345",
            perm_id=1002,
        ),
        status="Cancelled",
        filled=Decimal(0),
        completed_time="20260411 22:18:53 US/Eastern",
        completed_status="Cancelled by System:\n",
    )
    written = encode(ours, 178)[4:].decode().split("\0")[:-1]
    assert recorded[len(written) :] == ["", "0", ""], "three fields that came after 178"
    names = {18: "ocaGroup", 33: "rule80A", 85: "autoCancelDate", 92: "parentPermId"}
    differing = {place for place, field in enumerate(written) if field != recorded[place]}
    assert differing == set(names)


def decoded(message: Message, version: int) -> tuple[str, tuple[Any, ...]]:
    """What ib_async's decoder makes of a message."""
    (call,) = decoded_by_ib_async(tuple(encode(message, version)[4:].decode().split("\0")[:-1]), version)
    return call


@pytest.mark.parametrize("version", [176, 177, 178])
def test_ib_async_reads_an_open_order(version: int) -> None:
    limited = terms(order_type="LMT", limit_price=Decimal("9.50"), attributes={"orderRef": "s-1", "outsideRth": True})
    order = OpenOrder(order_id=5, client_id=100, terms=limited, state=OrderState(status="Submitted"))
    name, (order_id, contract, read, state) = decoded(order, version)
    assert (name, order_id, contract.conId, state.status) == ("openOrder", 5, 265598, "Submitted")
    assert (read.action, read.totalQuantity, read.orderType, read.lmtPrice) == ("BUY", 100.0, "LMT", 9.5)
    assert (read.tif, read.account, read.orderRef, read.clientId) == ("DAY", "DU1234567", "s-1", 100)
    assert (read.permId, read.outsideRth, read.clearingIntent, read.whatIf) == (600745656, True, "IB", False)


@pytest.mark.parametrize("version", [176, 177, 178])
def test_ib_async_reads_a_completed_order(version: int) -> None:
    order = CompletedOrder(
        terms=terms(attributes={"orderRef": "s-1"}),
        status="Filled",
        filled=Decimal(100),
        completed_time="20260411 22:18:53 US/Eastern",
        completed_status="Filled Size: 100",
    )
    name, (contract, read, state) = decoded(order, version)
    assert (name, contract.symbol, read.permId, read.orderRef) == ("completedOrder", "AAPL", 600745656, "s-1")
    assert (read.filledQuantity, state.status, state.completedStatus) == (100.0, "Filled", "Filled Size: 100")
    assert state.completedTime == "20260411 22:18:53 US/Eastern"


@pytest.mark.parametrize("version", [176, 177, 178])
def test_ib_async_reads_contract_details(version: int) -> None:
    name, (req_id, details) = decoded(contract_data(9, listing("BRK.B"), "SMART", 1_795_446_000_000_000_000), version)
    assert (name, req_id) == ("contractDetails", 9)
    assert (details.contract.symbol, details.contract.localSymbol, details.contract.exchange) == (
        "BRK B",
        "BRK B",
        "SMART",
    )
    assert (details.minTick, details.longName, details.stockType) == (0.01, "BRK B CORP", "COMMON")
    assert len(details.marketRuleIds.split(",")) == len(details.validExchanges.split(","))
    assert details.liquidHours.startswith("20261123:0930-20261123:1600;")
    assert details.liquidHours.endswith(";20261128:CLOSED")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        (True, "1"),
        (False, "0"),
        (7, "7"),
        (0.5, "0.5"),
        (Decimal("1E+2"), "100"),
        (Decimal("1.50"), "1.50"),
        ("x", "x"),
    ],
)
def test_values_are_written_plainly(value: Any, field: str) -> None:
    assert text_of(value) == field


def test_a_contract_within_a_message_is_written_as_its_fields() -> None:
    contract = Contract11(con_id=1, symbol="A", exchange="NYSE", local_symbol="A", trading_class="A")
    assert wired(PositionData("DU1", contract, Decimal(1), 2)) == "61|3|DU1|1|A|STK||0.0|||NYSE|USD|A|A|1|2|"
    assert frame(("1", "2")) == b"\0\0\0\x041\x002\x00"
