"""From placeOrder to the engine's ticket: nothing is lost on the way, and nothing is ignored that would change the order."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from unit.gateway_emulator.desk_rig import AAPL, MONDAY_NS, Desk

from ibstream.simulation.orders import OcaType, OrderType, Ticket, TimeInForce
from ibstream.simulation.sessions import NEW_YORK, to_ns
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.order_attributes import REFUSED
from ibstream_gateway_emulator.domain.order_contract import contract_of
from ibstream_gateway_emulator.domain.order_entry import ticket_of
from ibstream_gateway_emulator.protocol.fields import Contract, TagValue
from ibstream_gateway_emulator.protocol.order_layout import names
from ibstream_gateway_emulator.protocol.place_order_layout import LAYOUT


def ticket(**fields: Any) -> Ticket:
    """The ticket of an order for 10 AAPL at client 1."""
    desk = Desk()
    order = desk.order(**fields)
    return ticket_of(order, 77, contract_of(desk.master, order, MONDAY_NS), MONDAY_NS)


def objection(**fields: Any) -> tuple[int, str]:
    """Code and text with which an order is refused."""
    with pytest.raises(RequestError) as refused:
        ticket(**fields)
    return refused.value.code


@pytest.mark.parametrize(
    ("order_type", "prices", "expected"),
    [
        ("MKT", {"limit_price": 5, "aux_price": 6}, {}),
        ("LMT", {"limit_price": 5, "aux_price": 6}, {"limit_price": Decimal(5)}),
        ("STP", {"limit_price": 5, "aux_price": 6}, {"aux_price": Decimal(6)}),
        ("STP LMT", {"limit_price": 5, "aux_price": 6}, {"limit_price": Decimal(5), "aux_price": Decimal(6)}),
        ("MOC", {"limit_price": 5}, {}),
        ("LOC", {"limit_price": 5}, {"limit_price": Decimal(5)}),
        ("MIT", {"aux_price": 6}, {"aux_price": Decimal(6)}),
        ("LIT", {"limit_price": 5, "aux_price": 6}, {"limit_price": Decimal(5), "aux_price": Decimal(6)}),
        ("REL", {"limit_price": 0, "aux_price": "0.02"}, {"aux_price": Decimal("0.02")}),
        ("MTL", {"limit_price": 5}, {}),
        ("TRAIL", {"aux_price": 2}, {"aux_price": Decimal(2)}),
        ("TRAIL", {"aux_price": 0, "trailingPercent": Decimal(1)}, {"trailing_percent": Decimal(1)}),
        (
            "TRAIL LIMIT",
            {"aux_price": 2, "trailStopPrice": Decimal(90), "lmtPriceOffset": Decimal("0.1")},
            {"aux_price": Decimal(2), "trail_stop_price": Decimal(90), "limit_offset": Decimal("0.1")},
        ),
    ],
)
def test_each_type_takes_the_prices_that_are_its_own(
    order_type: str, prices: dict[str, Any], expected: dict[str, Decimal]
) -> None:
    """What a type does not use is ignored, as by a Gateway: clients leave old prices in their orders."""
    found = ticket(order_type=order_type, **prices)
    fields = ("limit_price", "aux_price", "trailing_percent", "trail_stop_price", "limit_offset")
    assert {name: value for name in fields if (value := getattr(found, name)) is not None} == expected
    assert found.order_type is OrderType(order_type)


@pytest.mark.parametrize("tif", ["DAY", "GTC", "IOC", "FOK", "OPG", ""])
def test_each_time_in_force_is_known(tif: str) -> None:
    assert ticket(tif=tif).time_in_force is TimeInForce(tif or "DAY")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20261124 15:59:00 US/Eastern", datetime(2026, 11, 24, 15, 59, tzinfo=NEW_YORK)),
        ("20261124-20:59:00", datetime(2026, 11, 24, 20, 59, tzinfo=UTC)),
        ("20261124 15:59:00", datetime(2026, 11, 24, 15, 59, tzinfo=NEW_YORK)),
        ("20261124", datetime(2026, 11, 24, 23, 59, 59, tzinfo=NEW_YORK)),
    ],
    ids=["zone", "UTC", "the Gateway's zone", "end of the day"],
)
def test_a_good_till_date_is_read_in_each_of_ibkrs_forms(text: str, moment: datetime) -> None:
    assert ticket(tif="GTD", goodTillDate=text).good_till_ns == to_ns(moment.astimezone(UTC))


def test_a_good_till_date_says_nothing_of_other_orders() -> None:
    assert ticket(tif="DAY", goodTillDate="20261124").good_till_ns is None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"tif": "GTD"}, 334),
        ({"tif": "GTD", "goodTillDate": "20261341"}, 343),
        ({"tif": "GTD", "goodTillDate": "in a week"}, 343),
        ({"goodAfterTime": "noon"}, 337),
        ({"order_type": "PEG MID"}, 387),
        ({"ocaType": 4, "ocaGroup": "g"}, 201),
        ({"cashQty": Decimal(500)}, 10244),
        ({"tif": "AUC"}, 201),
        ({"contract": Contract(symbol="NOSUCH", security_type="STK", exchange="SMART", currency="USD")}, 200),
    ],
)
def test_what_cannot_be_understood_has_ibkrs_code(fields: dict[str, Any], code: int) -> None:
    assert objection(**fields)[0] == code


def test_all_other_attributes_reach_the_engine() -> None:
    found = ticket(
        goodAfterTime="20261123 12:00:00 US/Eastern", outsideRth=True, allOrNone=True, minQty=5, displaySize=3, hidden=True,
        ocaGroup="g", ocaType=2, transmit=False, algoStrategy="Adaptive",
        algoParams=(TagValue("adaptivePriority", "Patient"),),
    )  # fmt: skip
    assert found.good_after_ns == to_ns(datetime(2026, 11, 23, 12, 0, tzinfo=NEW_YORK).astimezone(UTC))
    assert (found.outside_rth, found.all_or_none, found.hidden, found.transmit) == (True, True, True, False)
    assert (found.min_quantity, found.display_size) == (5, 3)
    assert (found.oca_group, found.oca_type) == ("g", OcaType.REDUCE_WITH_BLOCK)
    assert (found.algo, found.algo_params) == ("Adaptive", {"adaptivePriority": "Patient"})


def test_an_attribute_that_is_not_supported_is_refused_by_name() -> None:
    assert set(REFUSED) <= names(LAYOUT)
    for name in REFUSED:
        code, text = objection(**{name: 1})
        assert code == 201
        assert name in text


def test_no_attribute_is_left_undecided() -> None:
    """Every field of placeOrder is worked with, refused, or known to change nothing about what the order does."""
    worked = {
        "orderId", "contract", "action", "totalQuantity", "orderType", "lmtPrice", "auxPrice", "tif", "ocaGroup", "ocaType",
        "account", "transmit", "parentId", "displaySize", "outsideRth", "hidden", "comboLegs", "orderComboLegs",
        "goodAfterTime", "goodTillDate", "allOrNone", "minQty", "trailStopPrice", "trailingPercent", "algoStrategy",
        "algoParams", "whatIf", "lmtPriceOffset", "cashQty", "orderRef",
    }  # fmt: skip
    parts_of_refused = {
        "secId", "hedgeParam", "referenceContractId", "isPeggedChangeAmountDecrease", "peggedChangeAmount",
        "referenceChangeAmount", "referenceExchangeId", "conditionsIgnoreRth", "conditionsCancelOrder",
        "adjustableTrailingUnit", "scalePriceAdjustValue", "scalePriceAdjustInterval", "scaleProfitOffset", "scaleAutoReset",
        "scaleInitPosition", "scaleInitFillQty", "scaleRandomPercent", "deltaNeutralConId", "deltaNeutralSettlingFirm",
        "deltaNeutralClearingAccount", "deltaNeutralClearingIntent", "deltaNeutralOpenClose", "deltaNeutralShortSale",
        "deltaNeutralShortSaleSlot", "deltaNeutralDesignatedLocation",
    }  # fmt: skip
    changes_nothing = {
        "openClose", "origin", "sharesAllocation", "designatedLocation", "exemptCode", "rule80A", "settlingFirm",
        "eTradeOnly", "firmQuoteOnly", "overridePercentageConstraints", "optOutSmartRouting", "clearingAccount",
        "clearingIntent", "algoId", "orderMiscOptions", "solicited", "extOperator", "softDollarTierName",
        "softDollarTierValue", "mifid2DecisionMaker", "mifid2DecisionAlgo", "mifid2ExecutionTrader", "mifid2ExecutionAlgo",
        "dontUseAutoPriceForHedge", "usePriceMgmtAlgo", "advancedErrorOverride", "manualOrderTime",
        "smartComboRoutingParams",
    }  # fmt: skip
    assert names(LAYOUT) == worked | set(REFUSED) | parts_of_refused | changes_nothing


def test_an_option_a_future_and_a_currency_pair_are_found() -> None:
    cases = {
        Contract(symbol="EUR", security_type="CASH", exchange="IDEALPRO", currency="USD"): "EUR.USD",
        Contract(symbol="ES", security_type="FUT", last_trade_date="202612", exchange="CME", currency="USD"): "ESZ2026",
        Contract(
            symbol="AAPL", security_type="OPT", last_trade_date="20261218", strike="250", right="C", exchange="SMART",
            currency="USD", multiplier="100",
        ): "AAPL  261218C00250000",
        AAPL: "AAPL",
    }  # fmt: skip
    for contract, key in cases.items():
        assert ticket(contract=contract).symbol == key
