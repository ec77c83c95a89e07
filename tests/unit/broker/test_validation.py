"""What is refused before anybody is asked and anything is journalled, and why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.broker.stories import NOW, Story, executed, sent, submit, working

from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import (
    Algo,
    AlgoName,
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    SubmitOrder,
    TimeInForce,
    WhatIf,
)
from ibstream_broker.domain.checks.instruments import wrong_with_combo
from ibstream_broker.domain.checks.numbers import DIGITS_MAX, PRICES
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.terms import Terms
from ibstream_broker.domain.validation import (
    check_account,
    check_modify,
    check_order,
    check_terms,
    expiry_of,
    modified,
    validate_cancel,
    validate_change,
    validate_submit,
    validate_what_if,
)

VALID_FOR = timedelta(seconds=30)
SECOND = timedelta(seconds=1)
TINY = timedelta(microseconds=1)
MAX, MIN = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
TEXT_CHARACTERS_MAX = 300

FUTURE = Instrument(symbol="ES", security_type="FUT", exchange="CME", expiry="202612")
OPTION = Instrument(symbol="AAPL", security_type="OPT", expiry="20261218", strike=Decimal(250), right="C")
PAIR = Instrument(symbol="EUR", security_type="CASH", exchange="IDEALPRO")
COMBO = Instrument(
    symbol="AAPL",
    security_type="BAG",
    legs=(
        ComboLeg(instrument=OPTION, side=Side.BUY),
        ComboLeg(instrument=msgspec.structs.replace(OPTION, strike=Decimal(260)), side=Side.SELL),
    ),
)

ONE = Decimal(1)
TWO = Decimal(2)
PRICED: dict[OrderType, dict[str, Decimal]] = {
    OrderType.MARKET: {},
    OrderType.LIMIT: {"limit_price": ONE},
    OrderType.STOP: {"stop_price": ONE},
    OrderType.STOP_LIMIT: {"stop_price": ONE, "limit_price": ONE},
    OrderType.TRAIL: {"trailing_amount": ONE},
    OrderType.TRAIL_LIMIT: {"trailing_percent": ONE, "stop_price": TWO, "limit_offset": ONE},
    OrderType.MARKET_IF_TOUCHED: {"stop_price": ONE},
    OrderType.LIMIT_IF_TOUCHED: {"stop_price": ONE, "limit_price": ONE},
    OrderType.MARKET_ON_CLOSE: {},
    OrderType.LIMIT_ON_CLOSE: {"limit_price": ONE},
    OrderType.RELATIVE: {"peg_offset": ONE},
}
"""Each order type with the prices it needs."""
OPTIONAL = {
    (OrderType.TRAIL, "stop_price"),
    (OrderType.RELATIVE, "limit_price"),
}
"""Prices that a type may have besides; of the two distances of a trailing order there is exactly one."""
WAITING = set(OrderType) - {OrderType.MARKET, OrderType.LIMIT}


def order(kind: OrderType = OrderType.LIMIT, **details: Any) -> SubmitOrder:
    """A sound order of a type, but for these details."""
    return submit(**{"order_type": kind, "limit_price": None, **PRICED[kind], **details})


def refused(**details: Any) -> Refusal | None:
    """What is said to an order with these details."""
    return checked(validate_submit(order(**details), now=NOW, valid_for=VALID_FOR))


def checked(refusal: Refusal | None) -> Refusal | None:
    """A refusal has a reason of the contract, and a sentence that fits its text whatever was asked for."""
    if refusal is not None:
        assert refusal.reason is not Reason.NONE
        assert 0 < len(refusal.text) < TEXT_CHARACTERS_MAX
    return refusal


def reason(refusal: Refusal | None) -> Reason | None:
    """Why, or None."""
    return None if refusal is None else refusal.reason


# Quantities


@pytest.mark.parametrize(
    "quantity", ["0", "-0", "-1", "-1e999999", "NaN", "sNaN", "Infinity", "-Infinity", "0.5", "100.000001", "1e-999999",
                 "1000001", "1e999999", "9" * 5000, "-" + "9" * 5000],
)  # fmt: skip
def test_a_quantity_that_is_no_number_of_shares_is_refused(quantity: str) -> None:
    """Whatever it is, in a sentence that fits the contract's text."""
    assert reason(refused(quantity=Decimal(quantity))) is Reason.INVALID_QUANTITY


@pytest.mark.parametrize("quantity", ["1", "1e2", "100.0", "1000000", "1E+6"])
def test_whole_quantities_pass_however_they_are_written(quantity: str) -> None:
    """`1e2` is a hundred."""
    assert refused(quantity=Decimal(quantity)) is None


def test_a_currency_pair_counts_in_money() -> None:
    """Two million euros are an ordinary order, two million shares are a slip; both have an end."""
    assert refused(instrument=PAIR, quantity=Decimal(2_000_000)) is None
    assert reason(refused(instrument=PAIR, quantity=Decimal(100_000_001))) is Reason.INVALID_QUANTITY


# Prices


@pytest.mark.parametrize("kind", list(OrderType))
def test_each_order_type_passes_with_the_prices_it_needs(kind: OrderType) -> None:
    """And with nothing else."""
    assert refused(kind=kind) is None


@pytest.mark.parametrize("kind", list(OrderType))
@pytest.mark.parametrize("name", PRICES)
def test_each_order_type_has_its_own_prices(kind: OrderType, name: str) -> None:
    """One that it needs and has not is refused, and one that it has and cannot have: somebody meant something else."""
    needed = name in PRICED[kind]
    refusal = refused(kind=kind, **{name: None if needed else ONE})
    if not needed and (kind, name) in OPTIONAL:
        assert refusal is None
        return
    assert refusal is not None
    assert refusal.reason is Reason.INVALID_PRICE
    assert name in refusal.text or "trailing_amount" in refusal.text


@pytest.mark.parametrize("kind", [OrderType.TRAIL, OrderType.TRAIL_LIMIT])
def test_a_trailing_order_trails_by_one_distance(kind: OrderType) -> None:
    """An amount or a per cent, either of them, never both."""
    neither: dict[str, Any] = {"trailing_amount": None, "trailing_percent": None}
    assert refused(kind=kind, **{**neither, "trailing_amount": ONE}) is None
    assert refused(kind=kind, **{**neither, "trailing_percent": ONE}) is None
    assert reason(refused(kind=kind, **neither)) is Reason.INVALID_PRICE
    assert reason(refused(kind=kind, trailing_amount=ONE, trailing_percent=ONE)) is Reason.INVALID_PRICE


NO_NUMBERS = ["NaN", "sNaN", "-NaN", "Infinity", "-Infinity", "1e999999", "-1e999999", "-" + "9" * 5000, "9" * 5000]


@pytest.mark.parametrize("value", ["0", "-0.01", "1e-999999", "0.000000001", "10000000.01", *NO_NUMBERS])
@pytest.mark.parametrize(
    ("kind", "name"),
    [(OrderType.LIMIT, "limit_price"), (OrderType.STOP, "stop_price"), (OrderType.TRAIL, "trailing_amount"),
     (OrderType.TRAIL_LIMIT, "limit_offset"), (OrderType.TRAIL_LIMIT, "trailing_percent")],
)  # fmt: skip
def test_a_price_that_is_no_price_is_refused(kind: OrderType, name: str, value: str) -> None:
    """Not positive, not finite, or beyond all measure."""
    assert reason(refused(kind=kind, **{name: Decimal(value)})) is Reason.INVALID_PRICE


@pytest.mark.parametrize(("percent", "passes"), [("99.9", True), ("100", False), ("0.0001", True)])
def test_a_stop_trails_by_less_than_the_price(percent: str, passes: bool) -> None:
    """A hundred per cent below is nowhere."""
    refusal = refused(kind=OrderType.TRAIL, trailing_amount=None, trailing_percent=Decimal(percent))
    assert (refusal is None) is passes


@pytest.mark.parametrize("value", ["-0.01", *NO_NUMBERS])
def test_a_peg_is_not_less_aggressive_than_the_touch(value: str) -> None:
    """Its offset may be zero, and no less."""
    assert refused(kind=OrderType.RELATIVE, peg_offset=Decimal(0)) is None
    assert reason(refused(kind=OrderType.RELATIVE, peg_offset=Decimal(value))) is Reason.INVALID_PRICE


@pytest.mark.parametrize("price", ["0", "-1.25", "1.25"])
def test_a_combo_may_cost_nothing_or_less(price: str) -> None:
    """A credit has a negative price; nothing else has."""
    assert refused(instrument=COMBO, limit_price=Decimal(price)) is None
    assert refused(kind=OrderType.STOP, instrument=COMBO, stop_price=Decimal(price)) is None


@pytest.mark.parametrize("price", ["-10000001", "10000001", *NO_NUMBERS])
def test_a_combos_price_has_an_end_on_both_sides(price: str) -> None:
    """And is a number all the same; its distances are positive like any other's."""
    assert reason(refused(instrument=COMBO, limit_price=Decimal(price))) is Reason.INVALID_PRICE
    trailing = refused(kind=OrderType.TRAIL, instrument=COMBO, trailing_amount=Decimal(-1))
    assert reason(trailing) is Reason.INVALID_PRICE


@given(st.decimals(allow_nan=True, allow_infinity=True), st.decimals(allow_nan=True, allow_infinity=True))
def test_no_number_passes_that_cannot_be_sent_exactly(quantity: Decimal, price: Decimal) -> None:
    """What passes is whole, and the same after the way through IBKR's binary numbers, even if no tick is known."""
    if refused(quantity=quantity, limit_price=price) is None:
        assert int(quantity) == quantity
        assert Decimal(str(float(price))) == price


def test_a_price_has_no_more_digits_than_come_through() -> None:
    """Fifteen pass, zeros around them do not count."""
    assert refused(limit_price=Decimal("1." + "1" * (DIGITS_MAX - 1))) is None
    assert refused(limit_price=Decimal("0050.2500" + "0" * 30)) is None
    assert reason(refused(limit_price=Decimal("1." + "1" * DIGITS_MAX))) is Reason.INVALID_PRICE
    assert reason(refused(limit_price=Decimal("50." + "0" * 40 + "1"))) is Reason.INVALID_PRICE


# Type, time in force, hours, algorithms


def expected_tif(kind: OrderType, tif: TimeInForce) -> Reason | None:
    """The rules, told once more: closing auctions are DAY, opening ones MKT and LMT, what waits cannot end at once."""
    if kind in (OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE):
        return None if tif is TimeInForce.DAY else Reason.INVALID_ORDER
    if tif in (TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG):
        return Reason.INVALID_ORDER if kind in WAITING else None
    return None


@pytest.mark.parametrize("tif", list(TimeInForce))
@pytest.mark.parametrize("kind", list(OrderType))
def test_type_and_time_in_force_go_together(kind: OrderType, tif: TimeInForce) -> None:
    """Every pair of them."""
    till = NOW + timedelta(days=1) if tif is TimeInForce.GTD else None
    assert reason(refused(kind=kind, time_in_force=tif, good_till=till)) == expected_tif(kind, tif)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"kind": OrderType.LIMIT}, None),
        ({"kind": OrderType.STOP, "time_in_force": TimeInForce.GTC}, None),
        ({"kind": OrderType.MARKET_ON_CLOSE}, Reason.INVALID_ORDER),
        ({"kind": OrderType.LIMIT_ON_CLOSE}, Reason.INVALID_ORDER),
        ({"kind": OrderType.LIMIT, "time_in_force": TimeInForce.OPG}, Reason.INVALID_ORDER),
    ],
)
def test_auctions_are_within_regular_hours(details: dict[str, Any], expected: Reason | None) -> None:
    """An order in an auction cannot also be one for outside of them; any other may."""
    assert reason(refused(outside_regular_hours=True, **details)) == expected


GTD: dict[str, Any] = {"time_in_force": TimeInForce.GTD}


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({**GTD, "good_till": NOW + SECOND}, None),
        (GTD, Reason.INVALID_TIME),
        ({**GTD, "good_till": NOW}, Reason.INVALID_TIME),
        ({**GTD, "good_till": NOW - SECOND}, Reason.INVALID_TIME),
        ({**GTD, "good_till": NOW + SECOND + TINY}, Reason.INVALID_TIME),
        ({**GTD, "good_till": MAX.replace(microsecond=0)}, Reason.INVALID_TIME),
        ({**GTD, "good_till": MIN}, Reason.INVALID_TIME),
        ({"good_till": NOW + SECOND}, Reason.INVALID_TIME),
        ({"time_in_force": TimeInForce.GTC, "good_till": NOW + SECOND}, Reason.INVALID_TIME),
        ({"good_after": NOW + SECOND}, None),
        ({"good_after": NOW - SECOND}, None),
        ({"good_after": NOW + TINY}, Reason.INVALID_TIME),
        ({"good_after": MAX.replace(microsecond=0)}, Reason.INVALID_TIME),
        ({**GTD, "good_till": NOW + 2 * SECOND, "good_after": NOW + SECOND}, None),
        ({**GTD, "good_till": NOW + SECOND, "good_after": NOW + SECOND}, Reason.INVALID_TIME),
    ],
)
def test_dates_can_be_kept(details: dict[str, Any], expected: Reason | None) -> None:
    """`good_till` with GTD and only there, ahead, after `good_after`; both in whole seconds, and not beyond all measure."""
    assert reason(refused(**details)) == expected


ALGOS: list[tuple[AlgoName, dict[str, str], bool]] = [
    (AlgoName.ADAPTIVE, {}, True),
    *((AlgoName.ADAPTIVE, {"adaptivePriority": one}, True) for one in ("Urgent", "Normal", "Patient")),
    (AlgoName.ADAPTIVE, {"adaptivePriority": "urgent"}, False),
    (AlgoName.ADAPTIVE, {"adaptivepriority": "Urgent"}, False),
    (AlgoName.ADAPTIVE, {"startTime": "10:00:00"}, False),
    (AlgoName.TWAP, {"strategyType": "Matching Midpoint", "allowPastEndTime": "1"}, True),
    (AlgoName.TWAP, {"startTime": "09:45:00 US/Eastern", "endTime": "20261123-21:00:00"}, True),
    (AlgoName.TWAP, {"startTime": "20261123 9:45:00 America/New_York"}, True),
    (AlgoName.TWAP, {"strategyType": "Marketable "}, False),
    (AlgoName.TWAP, {"startTime": "9:45"}, False),
    (AlgoName.TWAP, {"startTime": "25:00:00"}, False),
    (AlgoName.TWAP, {"endTime": ""}, False),
    (AlgoName.TWAP, {"allowPastEndTime": "true"}, False),
    (AlgoName.TWAP, {"maxPctVol": "0.1"}, False),
    (AlgoName.VWAP, {"maxPctVol": "0.1", "noTakeLiq": "0", "startTime": "10:00:00", "endTime": "11:00:00"}, True),
    (AlgoName.VWAP, {"maxPctVol": "10"}, False),
    (AlgoName.VWAP, {"maxPctVol": "nan"}, False),
    (AlgoName.VWAP, {"x" * 64: "y" * 64}, False),
    (AlgoName.VWAP, {"noTakeLiq": "1\n"}, False),
]


@pytest.mark.parametrize(("name", "parameters", "passes"), ALGOS)
def test_an_algorithm_takes_its_own_parameters(name: AlgoName, parameters: dict[str, str], passes: bool) -> None:
    """By name and in their form; everything else would be refused by IBKR later, or misunderstood."""
    refusal = refused(algo=Algo(name=name, parameters=parameters))
    assert reason(refusal) == (None if passes else Reason.INVALID_ORDER)


@pytest.mark.parametrize("name", list(AlgoName))
@pytest.mark.parametrize("kind", list(OrderType))
def test_an_algorithm_works_market_and_limit_orders(kind: OrderType, name: AlgoName) -> None:
    """No others, no combos, and none that end at once."""
    assert reason(refused(kind=kind, algo=Algo(name=name))) == (Reason.INVALID_ORDER if kind in WAITING else None)
    assert reason(refused(algo=Algo(name=name), instrument=COMBO)) is Reason.INVALID_ORDER
    for tif in (TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG):
        assert reason(refused(algo=Algo(name=name), time_in_force=tif)) is Reason.INVALID_ORDER


# Instruments


@pytest.mark.parametrize(
    "instrument", [Instrument(symbol="BRK.B", primary_exchange="NYSE"), PAIR, FUTURE, OPTION, COMBO]
)
def test_each_kind_of_instrument_passes(instrument: Instrument) -> None:
    """With the fields that it needs."""
    assert refused(instrument=instrument) is None


def wrong_instruments() -> Iterator[tuple[Instrument, dict[str, Any]]]:
    """Sound instruments, each with one thing made wrong."""
    stock = Instrument(symbol="AAPL")
    of_option = {"expiry": "20261218", "strike": Decimal(250), "right": "C"}
    extra = {**of_option, "multiplier": "100", "legs": COMBO.legs}
    yield from ((stock, {name: value}) for name, value in extra.items())
    yield from ((PAIR, {name: value}) for name, value in {**extra, "primary_exchange": "X"}.items())
    yield from ((FUTURE, {name: extra[name]}) for name in ("strike", "right", "legs"))
    yield from ((COMBO, {name: extra[name]}) for name in ("expiry", "strike", "right", "multiplier"))
    yield from ((COMBO, {name: "X"}) for name in ("trading_class", "primary_exchange"))
    yield from ((OPTION, {name: empty}) for name, empty in {"expiry": "", "strike": None, "right": ""}.items())
    yield OPTION, {"legs": COMBO.legs}
    yield from ((OPTION, {"expiry": expiry}) for expiry in ("202612", "20261232", "20261300", "00000000"))
    yield from ((OPTION, {"strike": Decimal(strike)}) for strike in ("0", "-1", "NaN", "Infinity", "1e99", "1e-99"))
    yield from ((FUTURE, {"expiry": expiry}) for expiry in ("", "202613", "202600", "20260230"))
    yield from ((FUTURE, {"multiplier": multiplier}) for multiplier in ("0", "000"))
    yield from ((PAIR, {"symbol": symbol}) for symbol in ("USD", "EURO", "E1R", "EU"))
    yield from ((one, {"exchange": ""}) for one in (stock, PAIR, FUTURE, OPTION, COMBO))
    bad = ComboLeg(instrument=msgspec.structs.replace(OPTION, strike=None), side=Side.BUY)
    nested = ComboLeg(instrument=Instrument(symbol="AAPL", security_type="BAG"), side=Side.BUY)
    yield from ((COMBO, {"legs": legs}) for legs in ((), COMBO.legs[:1], (*COMBO.legs, bad), (*COMBO.legs, nested)))


@pytest.mark.parametrize(("instrument", "wrong"), list(wrong_instruments()))
def test_an_instrument_that_cannot_be_is_refused(instrument: Instrument, wrong: dict[str, Any]) -> None:
    """A field that its kind needs is missing, one that it cannot have is set, or one makes no sense."""
    refusal = refused(instrument=msgspec.structs.replace(instrument, **wrong))
    assert reason(refusal) is Reason.INVALID_INSTRUMENT


def test_a_wrong_leg_is_named() -> None:
    """By its number, with what is wrong with it."""
    legs = (COMBO.legs[0], ComboLeg(instrument=msgspec.structs.replace(FUTURE, expiry=""), side=Side.BUY))
    refusal = refused(instrument=msgspec.structs.replace(COMBO, legs=legs))
    assert refusal == Refusal(Reason.INVALID_INSTRUMENT, "leg 2: a future needs its expiry")


def test_an_index_is_not_traded() -> None:
    """Not by itself and not as a leg, however well it is said; the refusal names what can be traded instead."""
    spx = Instrument(symbol="SPX", security_type="IND", exchange="CBOE")
    text = "an index is quoted and not traded: name a future, an option or a fund on it"
    assert refused(instrument=spx) == Refusal(Reason.INVALID_INSTRUMENT, text)
    legs = (ComboLeg(instrument=spx, side=Side.BUY), COMBO.legs[0])
    combo = msgspec.structs.replace(COMBO, legs=legs)
    assert refused(instrument=combo) == Refusal(Reason.INVALID_INSTRUMENT, f"leg 1: {text}")
    assert wrong_with_combo(combo) == "a combo has two legs at least, none of them a combo or an index"
    assert wrong_with_combo(COMBO) is None


# Time


TIMES: list[tuple[dict[str, datetime], Reason | None]] = [
    ({"requested_at": NOW - VALID_FOR}, None),
    ({"requested_at": NOW - VALID_FOR - TINY}, Reason.EXPIRED),
    ({"valid_until": NOW}, None),
    ({"valid_until": NOW - TINY}, Reason.EXPIRED),
    ({"requested_at": NOW - timedelta(days=1), "valid_until": NOW + timedelta(days=1)}, None),
    ({"requested_at": NOW + VALID_FOR}, None),
    ({"requested_at": NOW + VALID_FOR + TINY}, Reason.INVALID_TIME),
    ({"requested_at": NOW + VALID_FOR + TINY, "valid_until": MAX}, Reason.INVALID_TIME),
    ({"requested_at": MAX}, Reason.INVALID_TIME),
    ({"requested_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))}, Reason.INVALID_TIME),
    ({"requested_at": MIN}, Reason.EXPIRED),
    ({"requested_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))}, Reason.EXPIRED),
    ({"valid_until": MAX}, None),
    ({"valid_until": MIN}, Reason.EXPIRED),
]


@pytest.mark.parametrize(("details", "expected"), TIMES)
def test_every_order_has_its_time(details: dict[str, datetime], expected: Reason | None) -> None:
    """Not after it has run out; and not by a clock that is wrong, which would make it valid for longer than was meant.

    The same of a submit, a modify and a what-if, whose order's own time is not looked at.
    """
    asked: dict[str, Any] = {"requested_at": NOW, **details}
    assert reason(refused(**asked)) == expected
    change = ModifyOrder(client_order_id="s-1", quantity=ONE, **asked)
    assert reason(checked(validate_change(change, now=NOW, valid_for=VALID_FOR))) == expected
    what_if = WhatIf(order=submit(requested_at=MIN, valid_until=MIN), **asked)
    assert reason(checked(validate_what_if(what_if, now=NOW, valid_for=VALID_FOR))) == expected


def test_when_a_request_expires() -> None:
    """As it says, else so long after it was asked for; and never beyond what a date can be."""
    assert expiry_of(submit(), VALID_FOR) == NOW + VALID_FOR
    assert expiry_of(submit(valid_until=NOW), VALID_FOR) == NOW
    assert expiry_of(submit(requested_at=MAX), VALID_FOR) == MAX


def test_a_cancel_is_wanted_however_late_it_comes() -> None:
    """Unless it says until when."""
    for kind in (CancelOrder(client_order_id="s-1", requested_at=MIN), CancelAllOrders(requested_at=MIN)):
        assert validate_cancel(kind, now=NOW) is None
        late = msgspec.structs.replace(kind, valid_until=NOW - TINY)
        assert reason(checked(validate_cancel(late, now=NOW))) is Reason.EXPIRED
        assert validate_cancel(msgspec.structs.replace(kind, valid_until=NOW), now=NOW) is None


def test_what_if_judges_its_order() -> None:
    """A preview of what could never be sent is none."""
    asked = WhatIf(order=order(quantity=Decimal(0)), requested_at=NOW)
    assert reason(validate_what_if(asked, now=NOW, valid_for=VALID_FOR)) is Reason.INVALID_QUANTITY


# The instrument's terms, the account


CENTS = ((Decimal(0), Decimal("0.01")),)
STEPPED = ((Decimal(0), Decimal("0.0001")), (Decimal(1), Decimal("0.01")), (Decimal(100), Decimal("0.05")))


@pytest.mark.parametrize(
    ("increments", "price", "passes"),
    [
        (CENTS, "50.00", True),
        (CENTS, "50.005", False),
        (STEPPED, "0.9999", True),
        (STEPPED, "1.0001", False),
        (STEPPED, "1.01", True),
        (STEPPED, "100.01", False),
        (STEPPED, "100.05", True),
        (STEPPED, "99.99", True),
        (CENTS, "9999999.99", True),
        ((), "50.123", True),
        (((Decimal(0), Decimal("0.00005")),), "1.08655", True),
        (((Decimal(0), Decimal("0.00005")),), "1.08652", False),
    ],
)
def test_prices_stand_on_the_tick_of_their_market_rule(
    increments: tuple[tuple[Decimal, Decimal], ...], price: str, passes: bool
) -> None:
    """The step in force where the price is, exactly; a tick that is not known refuses nothing."""
    terms = Terms(con_id=1, increments=increments)
    refusal = checked(check_terms(order(limit_price=Decimal(price)), terms))
    assert reason(refusal) == (None if passes else Reason.INVALID_PRICE)


def test_a_negative_price_stands_on_the_tick_of_the_positive_one() -> None:
    """A combo's credit of 100.05 as its debit."""
    terms = Terms(con_id=0, increments=STEPPED)
    assert check_terms(order(instrument=COMBO, limit_price=Decimal("-100.05")), terms) is None
    assert reason(check_terms(order(instrument=COMBO, limit_price=Decimal("-100.01")), terms)) is Reason.INVALID_PRICE


@pytest.mark.parametrize("kind", [kind for kind in OrderType if PRICED[kind]])
def test_every_price_of_an_order_stands_on_the_tick(kind: OrderType) -> None:
    """Stops and distances, too, each by its name; a per cent stands on none."""
    terms = Terms(con_id=1, increments=CENTS)
    for name in PRICED[kind]:
        refusal = check_terms(order(kind, **{name: Decimal("1.005")}), terms)
        if name == "trailing_percent":
            assert refusal is None
        else:
            assert refusal is not None
            assert refusal.reason is Reason.INVALID_PRICE
            assert refusal.text.startswith(name)


@pytest.mark.parametrize(("side", "passes"), [(Side.BUY, False), (Side.SELL, True)])
def test_the_limit_of_a_trailing_stop_stands_on_the_tick_where_it_begins(side: Side, passes: bool) -> None:
    """Beyond the stop: above it for a BUY, where the step here is the larger one, below it for a SELL."""
    terms = Terms(con_id=1, increments=STEPPED)
    trailing = order(OrderType.TRAIL_LIMIT, side=side, stop_price=Decimal(100), limit_offset=Decimal("0.02"))
    assert (check_terms(trailing, terms) is None) is passes


@pytest.mark.parametrize(
    ("quantity", "step", "passes"), [(100, 1, True), (100, 100, True), (150, 100, False), (7, 0, True)]
)
def test_a_quantity_is_in_whole_steps(quantity: int, step: int, passes: bool) -> None:
    """Some things trade in lots."""
    refusal = check_terms(order(quantity=Decimal(quantity)), Terms(con_id=1, quantity_step=Decimal(step)))
    assert reason(checked(refusal)) == (None if passes else Reason.INVALID_QUANTITY)


def test_one_session_trades_one_account() -> None:
    """Its own may be named or left out."""
    assert check_account("", "DU1") is None
    assert check_account("DU1", "DU1") is None
    assert reason(check_account("U2", "DU1")) is Reason.INVALID_ACCOUNT


# Changes


def change(**details: Any) -> ModifyOrder:
    """A modify of the order of the stories."""
    return ModifyOrder(client_order_id="s-1", **{"requested_at": NOW, **details})


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"quantity": Decimal(50)}, None),
        ({"limit_price": Decimal("49.00")}, None),
        ({"limit_price": Decimal(-1)}, None),
        ({"stop_price": ONE, "trailing_amount": ONE, "time_in_force": TimeInForce.IOC}, None),
        ({"time_in_force": TimeInForce.DAY}, None),
        ({}, Reason.INVALID_ORDER),
        *(({"time_in_force": tif}, Reason.INVALID_ORDER) for tif in TimeInForce if tif not in ("DAY", "IOC")),
        ({"quantity": Decimal(0)}, Reason.INVALID_QUANTITY),
        ({"quantity": Decimal("0.5")}, Reason.INVALID_QUANTITY),
        ({"limit_price": Decimal("NaN")}, Reason.INVALID_PRICE),
        ({"stop_price": Decimal("1e9")}, Reason.INVALID_PRICE),
        ({"trailing_amount": Decimal(0)}, Reason.INVALID_PRICE),
        ({"trailing_percent": Decimal(100)}, Reason.INVALID_PRICE),
    ],
)
def test_a_change_changes_something_to_something(details: dict[str, Any], expected: Reason | None) -> None:
    """At least one field, to what some order could have; a negative price could be a combo's."""
    assert reason(checked(validate_change(change(**details), now=NOW, valid_for=VALID_FOR))) == expected


def test_what_a_change_makes_of_an_order() -> None:
    """What it names is new, the rest stays; the time is the change's."""
    asked = change(limit_price=Decimal(49), requested_at=NOW + SECOND, valid_until=NOW + 2 * SECOND)
    before = submit(valid_until=NOW)
    after = modified(before, asked)
    assert (after.limit_price, after.quantity, after.order_type) == (49, before.quantity, before.order_type)
    assert (after.requested_at, after.valid_until) == (NOW + SECOND, NOW + 2 * SECOND)
    everything: dict[str, Any] = {
        "quantity": TWO,
        "limit_price": ONE,
        "stop_price": ONE,
        "trailing_amount": ONE,
        "trailing_percent": ONE,
        "time_in_force": TimeInForce.IOC,
    }
    assert all(getattr(modified(before, change(**everything)), name) == value for name, value in everything.items())


@pytest.mark.parametrize(
    ("kind", "details", "expected"),
    [
        (OrderType.MARKET, {"limit_price": ONE}, Reason.INVALID_PRICE),
        (OrderType.LIMIT, {"limit_price": Decimal(-1)}, Reason.INVALID_PRICE),
        (OrderType.TRAIL, {"trailing_percent": ONE}, Reason.INVALID_PRICE),
        (OrderType.TRAIL, {"trailing_amount": TWO}, None),
        (OrderType.STOP, {"time_in_force": TimeInForce.IOC}, Reason.INVALID_ORDER),
    ],
)
def test_a_changed_order_is_judged_like_a_new_one(
    kind: OrderType, details: dict[str, Any], expected: Reason | None
) -> None:
    """A price that its type cannot have, a second distance, a time in force that does not fit."""
    assert reason(check_order(modified(order(kind), change(**details)), now=NOW)) == expected


@pytest.mark.parametrize("status", list(OrderStatus))
def test_only_an_order_that_is_known_to_work_is_changed(status: OrderStatus) -> None:
    """IBKR would take the change of an order that never arrived for a new one."""
    refusal = check_modify(msgspec.structs.replace(working(), status=status), submit())
    reasons = {
        OrderStatus.SUBMITTED: None,
        OrderStatus.PARTIALLY_FILLED: None,
        OrderStatus.PENDING_SUBMIT: Reason.NO_ANSWER,
        OrderStatus.UNKNOWN: Reason.NO_ANSWER,
        OrderStatus.PENDING_CANCEL: Reason.CANCEL_REQUESTED,
    }
    assert reason(checked(refusal)) == reasons.get(status, Reason.ORDER_IS_FINAL)


def test_an_order_without_a_permanent_id_is_not_changed() -> None:
    """Whatever its status says."""
    assert reason(check_modify(sent(status=OrderStatus.SUBMITTED), submit())) is Reason.NO_ANSWER


@pytest.mark.parametrize(("quantity", "passes"), [(39, False), (40, False), (41, True), (100, True)])
def test_a_quantity_below_what_is_filled_is_refused(quantity: int, passes: bool) -> None:
    """Nothing would be left to change."""
    record = Story(working()).take(executed(1, 40)).record
    refusal = check_modify(record, submit(quantity=Decimal(quantity)))
    assert reason(refusal) == (None if passes else Reason.INVALID_QUANTITY)


@pytest.mark.parametrize("before", list(TimeInForce))
def test_a_time_in_force_changes_from_day_to_ioc_alone(before: TimeInForce) -> None:
    """IBKR changes no other; the same one again is no change."""
    record = working(request={"time_in_force": before})
    same, other = submit(time_in_force=before), submit(time_in_force=TimeInForce.IOC)
    assert check_modify(record, same) is None
    passes = before in (TimeInForce.DAY, TimeInForce.IOC)
    assert reason(checked(check_modify(record, other))) == (None if passes else Reason.INVALID_ORDER)
