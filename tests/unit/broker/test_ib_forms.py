"""What goes to ib_async and what comes from it: exact numbers, and nothing left to the Gateway's presets."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from ib_async import Contract, ContractDetails, Execution, Order, OrderState, TagValue
from unit.broker.stories import submit

from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import Algo, AlgoName, OcaType, OrderType, Side, TimeInForce
from ibstream.ibkr.contracts import exchange_of, market_rule_id, wanted_contract
from ibstream_broker.adapters import ibkr_inputs
from ibstream_broker.adapters.ibkr_inputs import decimal
from ibstream_broker.adapters.ibkr_orders import ib_order, what_if_order
from ibstream_broker.domain.inputs import OrderSeen
from ibstream_broker.ports import Placement, Terms

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
UNSET = 1.7976931348623157e308
STOP, LIMIT = Decimal("48.10"), Decimal("48.05")


def placement(*, request: dict[str, Any] | None = None, **details: Any) -> Placement:
    """The order of `submit` under id 41, for DU1."""
    return Placement(**{"order_id": 41, "request": submit(**(request or {})), "account": "DU1", **details})


def said(order: Order) -> dict[str, Any]:
    """The fields that the order fills, but those in which all orders are alike."""
    empty, alike = Order(), {"orderId", "action", "totalQuantity", "orderType", "account", "orderRef", "tif"}
    values = {one.name: getattr(order, one.name) for one in fields(order) if one.name not in alike}
    return {name: value for name, value in values.items() if value != getattr(empty, name)}


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (0.1, "0.1"),
        (0.07, "0.07"),
        (100.0, "100"),
        (-20.0, "-20"),
        (49.99, "49.99"),
        (1e29, "100000000000000000000000000000"),
        (Decimal("12.50"), "12.50"),
        ("1234.5", "1234.5"),
    ],
)
def test_numbers_are_taken_as_they_were_written(value: float | Decimal | str, exact: str) -> None:
    """Through their shortest text: 0.1 is 0.1, and 100.0 is 100."""
    assert str(decimal(value)) == exact


@pytest.mark.parametrize("value", [None, UNSET, "1.7976931348623157E308", "", float("inf"), float("nan")])
def test_what_ibkr_leaves_unset_is_none(value: float | str | None) -> None:
    """And never zero, which would be an amount."""
    assert decimal(value) is None


def test_an_order_says_everything_itself() -> None:
    """Time in force and account too: left out, the Gateway's presets would decide, and 10349 would follow."""
    request = {"side": Side.SELL, "time_in_force": TimeInForce.GTC, "outside_regular_hours": True}
    order = ib_order(placement(request=request))
    expected = {
        "orderId": 41,
        "action": "SELL",
        "totalQuantity": 100,
        "orderType": "LMT",
        "lmtPrice": 50.0,
        "tif": "GTC",
        "account": "DU1",
        "orderRef": "s-1",
        "outsideRth": True,
        "transmit": True,
    }
    assert {name: getattr(order, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("request_", "fields_"),
    [
        ({"order_type": OrderType.MARKET, "limit_price": None}, {}),
        ({"order_type": OrderType.LIMIT, "limit_price": LIMIT}, {"lmtPrice": 48.05}),
        ({"order_type": OrderType.STOP, "limit_price": None, "stop_price": STOP}, {"auxPrice": 48.1}),
        (
            {"order_type": OrderType.STOP_LIMIT, "limit_price": LIMIT, "stop_price": STOP},
            {"auxPrice": 48.1, "lmtPrice": 48.05},
        ),
        ({"order_type": OrderType.TRAIL, "limit_price": None, "trailing_amount": Decimal("0.5")}, {"auxPrice": 0.5}),
        (
            {
                "order_type": OrderType.TRAIL,
                "limit_price": None,
                "trailing_percent": Decimal("1.5"),
                "stop_price": STOP,
            },
            {"trailingPercent": 1.5, "trailStopPrice": 48.1},
        ),
        (
            {
                "order_type": OrderType.TRAIL_LIMIT,
                "limit_price": None,
                "trailing_amount": Decimal("0.5"),
                "stop_price": STOP,
                "limit_offset": Decimal("0.05"),
            },
            {"auxPrice": 0.5, "trailStopPrice": 48.1, "lmtPriceOffset": 0.05},
        ),
        ({"order_type": OrderType.MARKET_IF_TOUCHED, "limit_price": None, "stop_price": STOP}, {"auxPrice": 48.1}),
        (
            {"order_type": OrderType.LIMIT_IF_TOUCHED, "limit_price": LIMIT, "stop_price": STOP},
            {"auxPrice": 48.1, "lmtPrice": 48.05},
        ),
        ({"order_type": OrderType.MARKET_ON_CLOSE, "limit_price": None}, {}),
        ({"order_type": OrderType.LIMIT_ON_CLOSE, "limit_price": LIMIT}, {"lmtPrice": 48.05}),
        ({"order_type": OrderType.RELATIVE, "limit_price": None, "peg_offset": Decimal("0.02")}, {"auxPrice": 0.02}),
        (
            {"order_type": OrderType.RELATIVE, "limit_price": LIMIT, "peg_offset": Decimal(0)},
            {"auxPrice": 0.0, "lmtPrice": 48.05},
        ),
    ],
    ids=lambda value: str(value.get("order_type", "")) if isinstance(value, dict) else "",
)
def test_each_type_fills_its_own_prices_and_no_others(request_: dict[str, Any], fields_: dict[str, float]) -> None:
    """A price in a field that the type reads otherwise would be another order."""
    order = ib_order(placement(request=request_))
    assert order.orderType == request_["order_type"].value
    assert said(order) == fields_


def test_every_type_is_covered() -> None:
    """A type that is added is added above, too."""
    cases = test_each_type_fills_its_own_prices_and_no_others.pytestmark[0].args[1]
    assert {case[0]["order_type"] for case in cases} == set(OrderType)


def test_what_a_type_does_not_use_stays_unset() -> None:
    """A market order with a stop price by mistake is a market order, not one that waits."""
    request = {"order_type": OrderType.MARKET, "limit_price": LIMIT, "stop_price": STOP, "trailing_amount": Decimal(1)}
    assert said(ib_order(placement(request=request))) == {}


@pytest.mark.parametrize("time_in_force", TimeInForce)
def test_each_time_in_force_is_said_in_ibkrs_word(time_in_force: TimeInForce) -> None:
    """Never left empty."""
    assert ib_order(placement(request={"time_in_force": time_in_force})).tif == time_in_force.value


def test_times_are_said_in_utc() -> None:
    """With the dash that says so: without it IBKR would take them for the login's own zone."""
    new_york = timezone(timedelta(hours=-5))
    order = ib_order(
        placement(
            request={
                "time_in_force": TimeInForce.GTD,
                "good_till": datetime(2026, 11, 23, 15, 30, tzinfo=new_york),
                "good_after": datetime(2026, 11, 23, 15, 0, 5, tzinfo=UTC),
            }
        )
    )
    assert (order.goodTillDate, order.goodAfterTime) == ("20261123-20:30:00", "20261123-15:00:05")


@pytest.mark.parametrize(
    ("quantity", "written"),
    [("100", "100"), ("1E+2", "100"), ("25000.00", "25000"), ("0.5", "0.5"), ("123456789012", "123456789012")],
)
def test_a_whole_quantity_has_no_decimal_point(quantity: str, written: str) -> None:
    """IBKR refuses `100.0` shares as an attempt at a fraction."""
    assert str(ib_order(placement(request={"quantity": Decimal(quantity)})).totalQuantity) == written


def test_an_algo_goes_by_name_and_parameters() -> None:
    """In the order in which they were given."""
    algo = Algo(name=AlgoName.TWAP, parameters={"strategyType": "Marketable", "allowPastEndTime": "1"})
    order = ib_order(placement(request={"algo": algo}))
    assert order.algoStrategy == "Twap"
    assert order.algoParams == [TagValue("strategyType", "Marketable"), TagValue("allowPastEndTime", "1")]


@pytest.mark.parametrize(
    ("oca_type", "number"), [(OcaType.CANCEL, 1), (OcaType.REDUCE, 2), (OcaType.REDUCE_WITHOUT_BLOCK, 3)]
)
def test_links_to_other_orders_are_said(oca_type: OcaType, number: int) -> None:
    """Parent, group, how the group ends, and whether the Gateway is to wait for more."""
    order = ib_order(placement(parent_id=40, oca_group="g-1", oca_type=oca_type, transmit=False))
    assert (order.parentId, order.ocaGroup, order.ocaType, order.transmit) == (40, "g-1", number, False)


def test_an_order_alone_has_no_kind_of_group() -> None:
    """A type without a group would be told back, and taken for a change."""
    assert ib_order(placement()).ocaType == 0


def test_a_what_if_is_a_question_about_one_order() -> None:
    """It is transmitted, or IBKR refuses it (413); and it refers to no order that there may not be."""
    order = what_if_order(placement(parent_id=40, oca_group="g-1", transmit=False))
    assert (order.whatIf, order.transmit) == (True, True)
    assert (order.parentId, order.ocaGroup, order.ocaType) == (0, "", 0)
    assert not ib_order(placement()).whatIf


@pytest.mark.parametrize(
    ("instrument", "expected"),
    [
        (Instrument(symbol="BRK.B", primary_exchange="NYSE"), {"symbol": "BRK B", "primaryExchange": "NYSE"}),
        (Instrument(symbol="EUR", security_type="CASH"), {"symbol": "EUR", "exchange": "IDEALPRO", "currency": "USD"}),
        (
            Instrument(symbol="ES", security_type="FUT", exchange="CME", expiry="202612", multiplier="50"),
            {"lastTradeDateOrContractMonth": "202612", "exchange": "CME", "multiplier": "50"},
        ),
        (
            Instrument(
                symbol="SPX",
                security_type="OPT",
                expiry="20261218",
                strike=Decimal("5000.5"),
                right="C",
                trading_class="SPXW",
            ),
            {"lastTradeDateOrContractMonth": "20261218", "strike": 5000.5, "right": "C", "tradingClass": "SPXW"},
        ),
    ],
    ids=["STK", "CASH", "FUT", "OPT"],
)
def test_an_instrument_is_asked_for_by_all_that_it_says(instrument: Instrument, expected: dict[str, Any]) -> None:
    """In IBKR's words: what is left out could fit several."""
    wanted = wanted_contract(instrument)
    assert {"secType": wanted.secType, **{name: getattr(wanted, name) for name in expected}} == {
        "secType": instrument.security_type,
        **expected,
    }


def test_only_a_currency_pair_is_routed_to_idealpro_by_default() -> None:
    """SMART has no pairs; an exchange that is named stays."""
    assert exchange_of(Instrument(symbol="AAPL")) == "SMART"
    assert exchange_of(Instrument(symbol="EUR", security_type="CASH", exchange="FXCONV")) == "FXCONV"


def details(**told: Any) -> ContractDetails:
    """Contract details of a stock at SMART, or of another `contract`."""
    contract = told.pop("contract", Contract(secType="STK", conId=265598, exchange="SMART"))
    return ContractDetails(contract=contract, **told)


def test_the_market_rule_is_that_of_the_exchange_it_is_routed_to() -> None:
    """Ids stand in the order of the exchanges; an exchange that is not among them has none."""
    told = {"validExchanges": "SMART,AMEX,NYSE", "marketRuleIds": "26,557,557"}
    assert market_rule_id(details(**told)) == 26
    assert market_rule_id(details(contract=Contract(exchange="NYSE"), **told)) == 557
    assert market_rule_id(details(contract=Contract(exchange="IEX"), **told)) is None
    assert market_rule_id(details()) is None


INCREMENTS = ((Decimal(0), Decimal("0.01")), (Decimal(3), Decimal("0.05")))


@pytest.mark.parametrize(
    ("told", "multiplier", "step"),
    [
        ({"minSize": 0.0001, "sizeIncrement": 0.0001}, "1", "1"),
        ({"contract": Contract(secType="CASH", exchange="IDEALPRO"), "sizeIncrement": 0.01}, "1", "1"),
        ({"contract": Contract(secType="FUT", multiplier="50"), "minSize": 1.0, "sizeIncrement": 1.0}, "50", "1"),
        ({"contract": Contract(secType="FUT", multiplier="5000"), "priceMagnifier": 100}, "50", "1"),
        ({"contract": Contract(secType="OPT", multiplier="100"), "minSize": 10.0}, "100", "10"),
    ],
    ids=["stock", "pair", "future", "future in cents", "option"],
)
def test_terms_are_what_the_details_say(told: dict[str, Any], multiplier: str, step: str) -> None:
    """Whole units at least, whatever the exchange could do: IBKR's API takes no fractions."""
    terms = ibkr_inputs.terms_of(details(**told), INCREMENTS)
    assert (terms.multiplier, terms.quantity_step) == (Decimal(multiplier), Decimal(step))
    assert terms.increments == INCREMENTS


def test_a_combo_has_the_multiplier_of_its_legs_and_no_tick_of_theirs() -> None:
    """A spread of options trades in cents where its legs trade in nickels: their rule would refuse good prices."""
    legs = [Terms(con_id=1, increments=INCREMENTS), Terms(con_id=2, increments=INCREMENTS, multiplier=Decimal(100))]
    terms = ibkr_inputs.terms_of_combo(legs)
    assert terms == Terms(con_id=0, multiplier=Decimal(100))
    assert terms.price_tick(Decimal(1)) == 0


def seen(order: Order, **state: Any) -> OrderSeen:
    """What an openOrder about AAPL is taken for."""
    return ibkr_inputs.order_seen(
        order.orderId, Contract(symbol="BRK B"), order, OrderState(status="Submitted", **state)
    )


def test_an_open_order_is_told_whole() -> None:
    """Whose it is and what for: an order that is not ours is told to people."""
    order = ib_order(placement(request={"side": Side.SELL, "time_in_force": TimeInForce.GTC}))
    order.clientId, order.permId = 7, 9001
    assert seen(order, warningText="capped") == OrderSeen(
        order_ref="s-1",
        order_id=41,
        perm_id=9001,
        status="Submitted",
        quantity=Decimal(100),
        limit_price=Decimal(50),
        time_in_force="GTC",
        text="capped",
        client_id=7,
        symbol="BRK.B",
        side=Side.SELL,
        account="DU1",
    )


@pytest.mark.parametrize(
    ("kind", "limit", "stop"),
    [
        ("MKT", None, None),
        ("LMT", "48.05", None),
        ("STP", None, "0.5"),
        ("STP LMT", "48.05", "0.5"),
        ("TRAIL", None, "48.1"),
        ("TRAIL LIMIT", "48.05", "48.1"),
        ("MIT", None, "0.5"),
        ("LIT", "48.05", "0.5"),
        ("REL", "48.05", None),
        ("MIDPRICE", "48.05", None),
    ],
)
def test_a_stop_is_told_only_of_types_that_have_one(kind: str, limit: str | None, stop: str | None) -> None:
    """The same field is a distance to some types, and IBKR writes zeros where there is nothing."""
    told = seen(Order(action="BUY", orderType=kind, lmtPrice=48.05, auxPrice=0.5, trailStopPrice=48.1))
    assert (told.limit_price, told.stop_price) == tuple(one and Decimal(one) for one in (limit, stop))


@pytest.mark.parametrize(
    ("rest", "filled", "quantity"), [(60.0, 40.0, 100), (100.0, UNSET, 100), (0.0, 100.0, 100), (0.0, 0.0, None)]
)
def test_a_completed_orders_quantity_is_what_filled_and_what_did_not(
    rest: float, filled: float, quantity: int | None
) -> None:
    """IBKR writes only the rest where an open order has the whole."""
    order = Order(action="SELL", totalQuantity=rest, filledQuantity=filled, orderRef="s-1", permId=5, account="DU1")
    state = OrderState(status="Cancelled", completedStatus=" Cancelled by Trader ")
    told = ibkr_inputs.order_completed(Contract(symbol="BRK B"), order, state)
    assert told.quantity == quantity
    assert (told.text, told.symbol, told.side, told.account) == ("Cancelled by Trader", "BRK.B", Side.SELL, "DU1")


def test_an_execution_names_what_was_traded() -> None:
    """A combo as such changes no position; its legs, which come under the same order, do."""
    execution = Execution(execId="e.1", side="SLD", shares=3.0, price=1.05, acctNumber="DU1", time=NOW)
    leg = ibkr_inputs.executed(41, Contract(symbol="MSFT", secType="STK", conId=272093), execution, NOW)
    assert (leg.con_id, leg.security_type, leg.side, leg.quantity) == (272093, "STK", Side.SELL, Decimal(3))
    whole = ibkr_inputs.executed(41, Contract(symbol="AAPL", secType="BAG", conId=28812380), execution, NOW)
    assert (whole.con_id, whole.security_type) == (28812380, "BAG")


def test_a_preview_says_only_what_ibkr_says() -> None:
    """Commission and margins come as text, some of them unset."""
    state = OrderState(
        initMarginChange="1234.5",
        initMarginAfter="2000.0",
        maintMarginChange=str(UNSET),
        equityWithLoanAfter="",
        commission=UNSET,
        minCommission=1.0,
        maxCommission=2.05,
        commissionCurrency="USD",
        warningText="thin",
    )
    told = ibkr_inputs.preview(state)
    assert (told.initial_margin_change, told.initial_margin_after) == (Decimal("1234.5"), Decimal(2000))
    assert told.maintenance_margin_change is told.equity_with_loan_after is told.commission is None
    assert (told.commission_min, told.commission_max) == (Decimal(1), Decimal("2.05"))
    assert (told.commission_currency, told.warning) == ("USD", "thin")


def test_profits_that_are_unset_are_not_zero() -> None:
    """Of the account, and of a position."""
    account = ibkr_inputs.account_pnl("DU1", 12.5, UNSET, UNSET)
    assert (account.con_id, account.daily, account.unrealized, account.realized) == (0, Decimal("12.5"), None, None)
    one = ibkr_inputs.position_pnl("DU1", Contract(conId=5, symbol="BRK B"), 480.25, 960.5, UNSET, 0.0)
    assert (one.con_id, one.symbol, one.market_price, one.market_value) == (
        5,
        "BRK.B",
        Decimal("480.25"),
        Decimal("960.5"),
    )
    assert (one.unrealized, one.realized) == (None, Decimal(0))


def test_a_combo_is_found_again_by_its_legs() -> None:
    """What was looked up is kept by instrument: the same legs are the same combo, other ratios another."""

    def combo(ratio: int) -> Instrument:
        legs = (ComboLeg(instrument=Instrument(symbol="AAPL"), side=Side.BUY, ratio=ratio),)
        return Instrument(symbol="AAPL", security_type="BAG", legs=legs)

    known = {combo(2): "known"}
    assert known.get(combo(2)) == "known"
    assert known.get(combo(3)) is None
