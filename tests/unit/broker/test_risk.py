"""The risk limits: what each refuses, what it lets pass, and that every decision is recorded."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.broker.stories import NOW, submit

from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import GroupKind, OcaType, OrderType, Reason, Side, SubmitOrder
from ibstream.contracts.quotes import Quality
from ibstream_broker.domain.exposure import ORDERS_COUNTED_MAX, Exposure, Holding, OrderRate, after, with_working
from ibstream_broker.domain.limits import Limits, RiskLimits
from ibstream_broker.domain.quotes import LastQuote
from ibstream_broker.domain.risk import Decision, Question, decide, decide_group
from ibstream_broker.domain.risk_checks import UNKNOWN
from ibstream_broker.domain.terms import Terms

STOCK = Terms(con_id=265598)
FIFTY = LastQuote(bid=Decimal("49.90"), ask=Decimal("50.10"), last=Decimal(49), at=NOW)
"""Worth 50."""
LONG = Exposure(account=Holding(position=Decimal(100)), strategy=Holding(position=Decimal(100)))
MARKET: dict[str, Any] = {"order_type": OrderType.MARKET, "limit_price": None}
SELL: dict[str, Any] = {"side": Side.SELL}
PAIR = Instrument(symbol="EUR", security_type="CASH", exchange="IDEALPRO")
OPTION = Instrument(symbol="AAPL", security_type="OPT", expiry="20261218", strike=Decimal(50), right="C")
SPREAD = Instrument(
    symbol="AAPL",
    security_type="BAG",
    legs=(
        ComboLeg(instrument=OPTION, side=Side.BUY, ratio=1),
        ComboLeg(instrument=msgspec.structs.replace(OPTION, strike=Decimal(60)), side=Side.SELL, ratio=2),
    ),
)


def ask(
    request: dict[str, Any] | SubmitOrder,
    *,
    exposure: Exposure | None = None,
    quote: LastQuote | None = FIFTY,
    terms: Terms = STOCK,
    filled: Decimal | None = None,
    **limits: Any,
) -> Decision:
    """What these limits say to an order of 100 AAPL at 50.00 with these details."""
    order = request if isinstance(request, SubmitOrder) else submit(**request)
    question = Question(request=order, terms=terms, exposure=exposure or Exposure(), quote=quote, filled=filled)
    return decide(question, RiskLimits(general=Limits(**limits)), NOW)


def only(limit: str, value: Any) -> dict[str, Any]:
    """One limit."""
    return {limit: value}


def reason(decision: Decision) -> Reason | None:
    """Why, or None; a refusal has exactly one reason, and a check that did not pass."""
    assert (decision.refusal is not None) is any(not check.passed for check in decision.checks)
    if decision.refusal is None:
        return None
    assert 0 < len(decision.refusal.text) < 400
    return decision.refusal.reason


def test_nothing_is_limited_by_default() -> None:
    """On paper; and nothing is recorded then."""
    assert ask({"quantity": Decimal(10) ** 6}, quote=None) == Decision()


# One order


@pytest.mark.parametrize(("quantity", "passes"), [(99, True), (100, True), (101, False)])
def test_quantity(quantity: int, passes: bool) -> None:
    """No more than so much in one order."""
    decision = ask({"quantity": Decimal(quantity)}, order_quantity_max=Decimal(100))
    assert reason(decision) == (None if passes else Reason.RISK_QUANTITY)
    (check,) = decision.checks
    assert (check.limit, check.bound, check.value) == ("order_quantity_max", "100", str(quantity))
    assert (check.passed, check.scope) == (passes, "order")


NOTIONALS: list[tuple[dict[str, Any], str]] = [
    ({}, "5000"),
    (MARKET, "5000"),
    ({**MARKET, "quantity": Decimal(1)}, "50"),
    ({"order_type": OrderType.STOP, "limit_price": None, "stop_price": Decimal("60.5")}, "6050"),
    ({"order_type": OrderType.STOP_LIMIT, "stop_price": Decimal(60), "limit_price": Decimal(61)}, "6100"),
    ({"order_type": OrderType.TRAIL, "limit_price": None, "trailing_amount": Decimal(1)}, "5000"),
    ({"instrument": SPREAD, "limit_price": Decimal("-1.25")}, "125"),
]


@pytest.mark.parametrize(("request_", "notional"), NOTIONALS)
def test_notional(request_: dict[str, Any], notional: str) -> None:
    """Price times quantity: the limit, else the stop, else the last quote; of a credit as of a debit."""
    at_most = ask(request_, order_notional_max=Decimal(notional))
    assert reason(at_most) is None
    assert at_most.checks[0].value == notional
    assert reason(ask(request_, order_notional_max=Decimal(notional) - Decimal("0.01"))) is Reason.RISK_NOTIONAL


def test_notional_counts_the_multiplier() -> None:
    """One contract is worth fifty points' worth of money."""
    terms = Terms(con_id=1, multiplier=Decimal(50))
    future = {"instrument": Instrument(symbol="ES", security_type="FUT", exchange="CME", expiry="202612")}
    decision = ask(
        {**future, "quantity": Decimal(2), "limit_price": Decimal(6000)}, terms=terms, order_notional_max=Decimal(1)
    )
    assert decision.checks[0].value == "600000"


def test_a_worth_beyond_all_numbers_is_written_out() -> None:
    """The largest order of the largest price and multiplier; no power of ten, and no failure."""
    huge = {"quantity": Decimal(10) ** 8, "limit_price": Decimal(10) ** 7, "instrument": PAIR}
    decision = ask(huge, terms=Terms(con_id=1, multiplier=Decimal(999_999_999)), order_notional_max=Decimal("0.000001"))
    assert decision.checks[0].value == "999999999" + "0" * 15
    assert decision.checks[0].bound == "0.000001"


# Prices against the last quote, worth 50 here; the collar is 10 %


def of(kind: OrderType, side: Side = Side.BUY, **prices: str) -> dict[str, Any]:
    """An order of a type with these prices."""
    told = {name: Decimal(price) for name, price in prices.items()}
    return {"order_type": kind, "side": side, "limit_price": None, **told}


BUY, SOLD = Side.BUY, Side.SELL
COLLARED: list[tuple[dict[str, Any], str, bool]] = [
    (of(OrderType.LIMIT, BUY, limit_price="55"), "10", True),
    (of(OrderType.LIMIT, BUY, limit_price="55.01"), "10.02", False),
    (of(OrderType.LIMIT, BUY, limit_price="1"), "-98", True),
    (of(OrderType.LIMIT, SOLD, limit_price="45"), "10", True),
    (of(OrderType.LIMIT, SOLD, limit_price="44.99"), "10.02", False),
    (of(OrderType.LIMIT, SOLD, limit_price="500"), "-900", True),
    (of(OrderType.LIMIT_ON_CLOSE, BUY, limit_price="56"), "12", False),
    (of(OrderType.MARKET), "0", True),
    (of(OrderType.MARKET_ON_CLOSE), "0", True),
    (of(OrderType.STOP, BUY, stop_price="100"), "-100", True),
    (of(OrderType.STOP, BUY, stop_price="44"), "12", False),
    (of(OrderType.STOP, SOLD, stop_price="30"), "-40", True),
    (of(OrderType.STOP, SOLD, stop_price="500"), "900", False),
    (of(OrderType.STOP_LIMIT, BUY, stop_price="60", limit_price="66"), "10", True),
    (of(OrderType.STOP_LIMIT, BUY, stop_price="60", limit_price="67.2"), "12", False),
    (of(OrderType.STOP_LIMIT, SOLD, stop_price="40", limit_price="35"), "12.5", False),
    (of(OrderType.STOP_LIMIT, SOLD, stop_price="60", limit_price="60"), "20", False),
    (of(OrderType.TRAIL, SOLD, trailing_amount="9"), "0", True),
    (of(OrderType.TRAIL, SOLD, trailing_amount="9", stop_price="60"), "20", False),
    (of(OrderType.TRAIL_LIMIT, SOLD, trailing_percent="5", stop_price="40", limit_offset="5"), "12.5", False),
    (of(OrderType.TRAIL_LIMIT, SOLD, trailing_percent="5", stop_price="40", limit_offset="4"), "10", True),
    (of(OrderType.MARKET_IF_TOUCHED, BUY, stop_price="40"), "-20", True),
    (of(OrderType.MARKET_IF_TOUCHED, BUY, stop_price="60"), "20", False),
    (of(OrderType.MARKET_IF_TOUCHED, SOLD, stop_price="40"), "20", False),
    (of(OrderType.LIMIT_IF_TOUCHED, BUY, stop_price="40", limit_price="41"), "2.5", True),
    (of(OrderType.LIMIT_IF_TOUCHED, BUY, stop_price="40", limit_price="50"), "25", False),
    (of(OrderType.RELATIVE, BUY, peg_offset="0.05", limit_price="90"), "0.1", True),
    (of(OrderType.RELATIVE, BUY, peg_offset="6"), "12", False),
]


@pytest.mark.parametrize(("request_", "percent", "passes"), COLLARED)
def test_collar(request_: dict[str, Any], percent: str, passes: bool) -> None:
    """Prices on the side where a slip of the keyboard trades at once; those that wait far from the market pass."""
    decision = ask(request_, price_collar_percent=Decimal(10))
    assert reason(decision) == (None if passes else Reason.RISK_PRICE_COLLAR)
    assert decision.checks[0].value == percent


@pytest.mark.parametrize(
    ("quote", "worth"),
    [
        (LastQuote(bid=Decimal(40), ask=Decimal(60), last=Decimal(1), at=NOW), 50),
        (LastQuote(bid=Decimal(40), last=Decimal(50), at=NOW), 50),
        (LastQuote(ask=Decimal(50), at=NOW), 50),
        (LastQuote(bid=Decimal(50), at=NOW), 50),
        (LastQuote(bid=Decimal(-1), ask=Decimal(0), last=Decimal(50), at=NOW), 50),
        (LastQuote(bid=Decimal(-1), ask=Decimal(0), at=NOW), None),
        (LastQuote(at=NOW), None),
    ],
)
def test_what_a_quote_says(quote: LastQuote, worth: int | None) -> None:
    """The middle, else the last trade, else the one side; IBKR's -1 and 0 say nothing."""
    assert quote.price == worth


AGED: dict[str, Any] = {"quote_age_s_max": 5.0}
NO_QUOTES: list[tuple[dict[str, Any], LastQuote | None]] = [
    ({}, None),
    ({}, LastQuote(at=NOW)),
    *(({}, msgspec.structs.replace(FIFTY, quality=one)) for one in Quality if one is not Quality.LIVE),
    (AGED, msgspec.structs.replace(FIFTY, at=NOW - timedelta(seconds=5, microseconds=1))),
]


@pytest.mark.parametrize(("limits", "quote"), NO_QUOTES)
@pytest.mark.parametrize("request_", [{}, MARKET])
def test_without_a_live_quote_no_price_is_judged(
    request_: dict[str, Any], limits: dict[str, Any], quote: LastQuote | None
) -> None:
    """Refused where a live quote is required, a market order, too; else it passes, and the record says that nobody looked."""
    collar = {**limits, "price_collar_percent": Decimal(10)}
    assert reason(ask(request_, quote=quote, **collar)) is Reason.RISK_NO_QUOTE
    passed = ask(request_, quote=quote, **collar, require_live_quote=False)
    assert reason(passed) is None
    assert [check.value for check in passed.checks] == [UNKNOWN]


@pytest.mark.parametrize("age", [timedelta(0), timedelta(seconds=5), -timedelta(seconds=1)])
def test_a_quote_may_be_as_old_as_was_said(age: timedelta) -> None:
    """And of a clock that is a little ahead; without a limit of any age."""
    quote = msgspec.structs.replace(FIFTY, at=NOW - age)
    assert reason(ask({}, quote=quote, price_collar_percent=Decimal(10), **AGED)) is None
    old = msgspec.structs.replace(FIFTY, at=NOW - timedelta(days=9))
    assert reason(ask({}, quote=old, price_collar_percent=Decimal(10), quote_age_s_max=None)) is None


@pytest.mark.parametrize("instrument", [PAIR, OPTION, SPREAD, Instrument(symbol="AAPL", currency="EUR")])
def test_a_quote_of_another_thing_is_none(instrument: Instrument) -> None:
    """An option, a combo or another country's stock has the symbol of a stock and not its price."""
    assert reason(ask({"instrument": instrument}, price_collar_percent=Decimal(10))) is Reason.RISK_NO_QUOTE
    sold = {**MARKET, "instrument": instrument}
    assert reason(ask(sold, order_notional_max=Decimal(1))) is Reason.RISK_NO_QUOTE


@pytest.mark.parametrize("limit", ["order_notional_max", "strategy_position_notional_max"])
def test_a_market_order_is_worth_what_a_live_quote_says(limit: str) -> None:
    """Without one it is refused; where none is required an old one will do, and without any it passes, as recorded."""
    stale = msgspec.structs.replace(FIFTY, quality=Quality.STALE)
    assert reason(ask(MARKET, quote=stale, **only(limit, Decimal(10**9)))) is Reason.RISK_NO_QUOTE
    assert reason(ask({}, quote=None, **only(limit, Decimal(10**9)))) is None, "its own price says what it is worth"
    lenient: dict[str, Any] = {limit: Decimal(100), "require_live_quote": False}
    assert ask(MARKET, quote=stale, **lenient).checks[0].value == "5000"
    assert reason(ask(MARKET, quote=stale, **lenient)) is not None
    blind = ask(MARKET, quote=None, **lenient)
    assert (reason(blind), blind.checks[0].value) == (None, UNKNOWN)


# Symbols, short sales


@pytest.mark.parametrize(
    ("limits", "passes"),
    [
        ({"symbols_allowed": frozenset({"AAPL", "MSFT"})}, True),
        ({"symbols_allowed": frozenset({"MSFT"})}, False),
        ({"symbols_denied": frozenset({"MSFT"})}, True),
        ({"symbols_denied": frozenset({"AAPL", "MSFT"})}, False),
        ({"symbols_allowed": frozenset({"AAPL"}), "symbols_denied": frozenset({"AAPL"})}, False),
    ],
)
@pytest.mark.parametrize("instrument", [Instrument(symbol="AAPL"), OPTION, SPREAD])
def test_symbols(instrument: Instrument, limits: dict[str, Any], passes: bool) -> None:
    """Options and combos go by the symbol of what they are on."""
    decision = ask({"instrument": instrument}, **limits)
    assert reason(decision) == (None if passes else Reason.RISK_SYMBOL)
    assert len(decision.checks) == len(limits)


def test_the_symbols_of_a_combos_legs_count() -> None:
    """Whatever the combo itself is called; and a long list is recorded short."""
    legs = (*SPREAD.legs, ComboLeg(instrument=Instrument(symbol="TSLA"), side=Side.BUY))
    spread = {"instrument": msgspec.structs.replace(SPREAD, legs=legs)}
    decision = ask(spread, symbols_denied=frozenset({"TSLA", *(f"S{number}" for number in range(5000))}))
    assert reason(decision) is Reason.RISK_SYMBOL
    assert decision.checks[0].value == "AAPL,TSLA"
    assert len(decision.checks[0].bound) < 400


def holding(position: int = 0, buy: int = 0, sell: int = 0) -> Holding:
    """So much of one instrument."""
    return Holding(position=Decimal(position), working_buy=Decimal(buy), working_sell=Decimal(sell))


@pytest.mark.parametrize(
    ("request_", "held", "passes"),
    [
        (SELL, holding(100), True),
        (SELL, holding(99), False),
        (SELL, holding(), False),
        (SELL, holding(150, sell=50), True),
        (SELL, holding(150, sell=51), False),
        (SELL, holding(0, buy=1000), False),
        ({}, holding(), True),
        ({}, holding(-500), True),
        ({**SELL, "instrument": PAIR}, holding(), True),
        ({**SELL, "instrument": OPTION}, holding(), False),
    ],
)
def test_short(request_: dict[str, Any], held: Holding, passes: bool) -> None:
    """Nothing is sold that is not held, what sells already included; what may still be bought does not count."""
    decision = ask(request_, exposure=Exposure(account=held), short_allowed=False)
    assert reason(decision) == (None if passes else Reason.RISK_SHORT)
    assert reason(ask(request_, exposure=Exposure(account=held), short_allowed=True)) is None


@pytest.mark.parametrize(
    ("side", "legs", "passes"),
    [
        (Side.BUY, (holding(), holding(200)), True),
        (Side.BUY, (holding(), holding(199)), False),
        (Side.BUY, (), False),
        (Side.SELL, (holding(100), holding()), True),
        (Side.SELL, (holding(99), holding()), False),
        (Side.SELL, (holding(99), holding(-200)), False),
    ],
)
def test_a_combo_sells_no_leg_short(side: Side, legs: tuple[Holding, ...], passes: bool) -> None:
    """By its side and ratio; what is held of legs that nobody knows is nothing."""
    decision = ask({"instrument": SPREAD, "side": side}, exposure=Exposure(legs=legs), short_allowed=False)
    assert reason(decision) == (None if passes else Reason.RISK_SHORT)


# A strategy and the account


@pytest.mark.parametrize(
    ("request_", "held", "position"),
    [
        ({}, holding(), 100),
        ({}, holding(20, buy=30), 150),
        ({}, holding(20, sell=500), 120),
        ({}, holding(-20), 80),
        (SELL, holding(20, buy=500), 80),
        (SELL, holding(-20, sell=30), 150),
        (SELL, holding(250, sell=400), 250),
    ],
)
def test_strategy_position(request_: dict[str, Any], held: Holding, position: int) -> None:
    """Long or short, once everything on the order's side has filled, and nothing of the other."""
    exposure, bound = Exposure(strategy=held), Decimal(position)
    assert ask(request_, exposure=exposure, strategy_position_quantity_max=bound).checks[0].value == str(position)
    assert reason(ask(request_, exposure=exposure, strategy_position_quantity_max=bound)) is None
    assert reason(ask(request_, exposure=exposure, strategy_position_quantity_max=bound - 1)) is Reason.RISK_POSITION
    money = ask(request_, exposure=exposure, strategy_position_notional_max=bound * 50 - 1)
    assert reason(money) is Reason.RISK_POSITION
    assert {check.scope for check in money.checks} == {"strategy"}


COUNTED = Exposure(
    strategy_open_orders=3,
    account_open_orders=7,
    strategy_orders_last_s=2,
    account_orders_last_s=5,
    daily_pnl=Decimal(-100),
)


@pytest.mark.parametrize(
    ("limit", "count", "expected"),
    [
        ("strategy_open_orders_max", 3, Reason.RISK_OPEN_ORDERS),
        ("account_open_orders_max", 7, Reason.RISK_OPEN_ORDERS),
        ("strategy_orders_per_s_max", 2, Reason.RISK_ORDER_RATE),
        ("account_orders_per_s_max", 5, Reason.RISK_ORDER_RATE),
    ],
)
def test_counts(limit: str, count: int, expected: Reason) -> None:
    """One more than there are must be within the limit."""
    assert reason(ask({}, exposure=COUNTED, **only(limit, count + 1))) is None
    decision = ask({}, exposure=COUNTED, **only(limit, count))
    assert reason(decision) is expected
    (check,) = decision.checks
    assert (check.limit, check.bound, check.value) == (limit, str(count), str(count + 1))
    assert check.scope == limit.partition("_")[0]


@pytest.mark.parametrize(
    ("pnl", "passes", "value"),
    [
        ("-99.99", True, "99.99"),
        ("-100", False, "100"),
        ("-5000", False, "5000"),
        ("250", True, "0"),
        (None, False, UNKNOWN),
    ],
)
def test_daily_loss(pnl: str | None, passes: bool, value: str) -> None:
    """Once so much is lost nothing is opened any more; nor while IBKR has not said how the day stands."""
    exposure = Exposure(daily_pnl=None if pnl is None else Decimal(pnl))
    decision = ask({}, exposure=exposure, account_daily_loss_max=Decimal(100))
    assert reason(decision) == (None if passes else Reason.RISK_LOSS)
    assert (decision.checks[0].value, decision.checks[0].scope) == (value, "account")


def test_a_strategy_is_judged_by_its_own_limits() -> None:
    """Looser or tighter than those of the others."""
    limits = RiskLimits(
        general=Limits(order_quantity_max=Decimal(10)), strategies={"s": Limits(order_quantity_max=Decimal(100))}
    )
    mine = Question(request=submit(), terms=STOCK, exposure=Exposure())
    other = msgspec.structs.replace(mine, request=submit(strategy="other"))
    assert decide(mine, limits, NOW).refusal is None
    assert reason(decide(other, limits, NOW)) is Reason.RISK_QUANTITY


# Every limit at once

TIGHT: dict[str, Any] = {
    "order_quantity_max": Decimal(1),
    "order_notional_max": Decimal(1),
    "price_collar_percent": Decimal(1),
    "symbols_allowed": frozenset({"MSFT"}),
    "symbols_denied": frozenset({"AAPL"}),
    "short_allowed": False,
    "strategy_position_quantity_max": Decimal(1),
    "strategy_position_notional_max": Decimal(1),
    "strategy_open_orders_max": 1,
    "account_open_orders_max": 1,
    "strategy_orders_per_s_max": 1,
    "account_orders_per_s_max": 1,
    "account_daily_loss_max": Decimal(1),
}
NOT_FOR_SIZE = (
    "symbols_allowed",
    "symbols_denied",
    "price_collar_percent",
    "strategy_orders_per_s_max",
    "account_orders_per_s_max",
)
"""Those that also hold for orders that only reduce."""


def test_every_limit_is_recorded_once() -> None:
    """Those that passed and those that did not, whatever refused first."""
    decision = ask({"quantity": Decimal(10**5), **SELL, "limit_price": Decimal(1)}, exposure=COUNTED, **TIGHT)
    assert sorted(check.limit for check in decision.checks) == sorted(TIGHT)
    assert not any(check.passed for check in decision.checks)
    assert reason(decision) is Reason.RISK_SYMBOL


def closing(exposure: Exposure) -> Exposure:
    """The same with everything counted that could be held against an order."""
    return msgspec.structs.replace(COUNTED, account=exposure.account, strategy=exposure.strategy, legs=exposure.legs)


@pytest.mark.parametrize("quote", [FIFTY, None])
@pytest.mark.parametrize("request_", [SELL, {**SELL, **MARKET}])
def test_an_order_that_only_reduces_passes_every_limit_of_size(
    request_: dict[str, Any], quote: LastQuote | None
) -> None:
    """Nobody is kept in a position: not by size, open orders, a loss, nor for want of a quote."""
    decision = ask(request_, exposure=closing(LONG), quote=quote, **TIGHT)
    failed = {check.limit for check in decision.checks if not check.passed}
    assert failed <= set(NOT_FOR_SIZE) - {"price_collar_percent"}
    loose = {name: value for name, value in TIGHT.items() if name not in NOT_FOR_SIZE}
    assert reason(ask(request_, exposure=closing(LONG), quote=quote, **loose, price_collar_percent=Decimal(1))) is None


def test_a_wrong_price_does_not_pass_because_it_reduces() -> None:
    """A position sold at a tenth of its worth is no smaller mistake than one bought so."""
    decision = ask({**SELL, "limit_price": Decimal(5)}, exposure=LONG, price_collar_percent=Decimal(10))
    assert reason(decision) is Reason.RISK_PRICE_COLLAR


REDUCING: list[tuple[Side, Holding, int, bool]] = [
    (Side.SELL, holding(100), 100, True),
    (Side.SELL, holding(100), 101, False),
    (Side.SELL, holding(100, sell=40), 60, True),
    (Side.SELL, holding(100, sell=40), 61, False),
    (Side.SELL, holding(100, buy=1000), 100, True),
    (Side.BUY, holding(100), 1, False),
    (Side.BUY, holding(-100), 100, True),
    (Side.BUY, holding(-100, buy=1), 100, False),
    (Side.SELL, holding(-100), 1, False),
    (Side.SELL, holding(0), 1, False),
    (Side.BUY, holding(0), 1, False),
]


@pytest.mark.parametrize(("side", "held", "quantity", "reduces"), REDUCING)
def test_what_only_reduces(side: Side, held: Holding, quantity: int, reduces: bool) -> None:
    """On the other side than the position, and no more than it with all that works on that side."""
    assert held.reduces(side, Decimal(quantity)) is reduces


@given(
    st.integers(-50, 50),
    st.lists(st.integers(1, 60)),
    st.lists(st.integers(1, 60)),
    st.integers(1, 60),
    st.sampled_from(Side),
)
def test_a_reducing_order_never_enlarges_nor_turns_over(
    position: int, buys: list[int], sells: list[int], quantity: int, side: Side
) -> None:
    """Whatever fills of it and of everything else on its side, in any part."""
    held = holding(position, sum(buys), sum(sells))
    if held.reduces(side, Decimal(quantity)):
        worst = held.at_worst(side, Decimal(quantity))
        assert abs(worst) < abs(position)
        assert worst * position >= 0


@pytest.mark.parametrize(
    ("legs", "side", "reduces"),
    [
        ((holding(-100), holding(200)), Side.BUY, True),
        ((holding(-100), holding(199)), Side.BUY, False),
        ((holding(100), holding(-200)), Side.SELL, True),
        ((holding(100), holding(200)), Side.SELL, False),
        ((holding(-100),), Side.BUY, False),
        ((), Side.BUY, False),
    ],
)
def test_a_combo_reduces_when_each_leg_does(legs: tuple[Holding, ...], side: Side, reduces: bool) -> None:
    """By its own side and ratio; never when what is held is not known."""
    exposure = Exposure(account=holding(-1000), legs=legs)
    spread = {"instrument": SPREAD, "side": side}
    decision = ask(spread, exposure=exposure, order_quantity_max=Decimal(1))
    assert reason(decision) == (None if reduces else Reason.RISK_QUANTITY)


def test_a_strategy_may_always_close_what_is_its_own() -> None:
    """Its own limits let it, even where the account as a whole is turned over; those of the order and the account hold."""
    exposure = msgspec.structs.replace(COUNTED, account=holding(0), strategy=holding(100))
    own = {name: TIGHT[name] for name in TIGHT if name.startswith("strategy_") and "_per_s_" not in name}
    assert reason(ask(SELL, exposure=exposure, **own)) is None
    assert reason(ask(SELL, exposure=exposure, account_open_orders_max=1)) is Reason.RISK_OPEN_ORDERS
    assert reason(ask(SELL, exposure=exposure, short_allowed=False)) is Reason.RISK_SHORT


# Changes


def test_a_change_is_judged_by_what_is_left_of_it() -> None:
    """Its quantity and price as a new order's, its position by what has not filled yet; it is no further open order."""
    wanted = submit(quantity=Decimal(150))
    exposure = msgspec.structs.replace(COUNTED, strategy=holding(40))
    limits: dict[str, Any] = {"strategy_open_orders_max": 1, "account_open_orders_max": 1}
    decision = ask(wanted, exposure=exposure, filled=Decimal(40), **limits, strategy_position_quantity_max=Decimal(150))
    assert reason(decision) is None
    assert [check.value for check in decision.checks] == ["150"]
    assert reason(ask(wanted, filled=Decimal(40), order_quantity_max=Decimal(149))) is Reason.RISK_QUANTITY


def test_taking_an_order_out_of_the_exposure_undoes_putting_it_in() -> None:
    """To judge a change, what is left of its order is taken out first."""
    for request in (submit(), submit(**SELL), submit(instrument=SPREAD)):
        legs = tuple(holding(number) for number, _ in enumerate(request.instrument.legs))
        before = Exposure(account=holding(5, 1, 2), strategy=holding(4, 1, 1), legs=legs)
        there = with_working(before, request, Decimal(60))
        assert there != before
        assert with_working(there, request, Decimal(-60)) == before


# Groups


def group(
    *orders: dict[str, Any],
    kind: GroupKind = GroupKind.OCA,
    oca_type: OcaType = OcaType.CANCEL,
    exposure: Exposure | None = None,
    **limits: Any,
) -> list[Reason | None]:
    """Why each order of a group is refused."""
    questions = [
        Question(request=submit(**one), terms=STOCK, exposure=exposure or Exposure(), quote=FIFTY) for one in orders
    ]
    return [reason(one) for one in decide_group(kind, oca_type, questions, RiskLimits(general=Limits(**limits)), NOW)]


@pytest.mark.parametrize("limit", ["strategy_orders_per_s_max", "account_orders_per_s_max", "strategy_open_orders_max"])
def test_the_earlier_orders_of_a_group_count(limit: str) -> None:
    """As open orders and as sent ones."""
    assert group({}, {}, {}, **only(limit, 3)) == [None, None, None]
    refused = Reason.RISK_OPEN_ORDERS if "open" in limit else Reason.RISK_ORDER_RATE
    assert group({}, {}, {}, **only(limit, 2)) == [None, None, refused]


def test_the_children_of_a_bracket_close_what_it_opens() -> None:
    """They are no short sale and no larger position, and they pass where the parent does."""
    limits = {**TIGHT, "short_allowed": False, "order_quantity_max": Decimal(100), "order_notional_max": Decimal(5000)}
    limits |= {"strategy_position_quantity_max": Decimal(100), "strategy_position_notional_max": Decimal(5000)}
    sizes = {name: value for name, value in limits.items() if name not in (*NOT_FOR_SIZE, "account_daily_loss_max")}
    children = ({**SELL, "limit_price": Decimal(60)}, {**SELL, **of(OrderType.STOP, Side.SELL, stop_price="40")})
    assert group({}, *children, kind=GroupKind.BRACKET, **sizes) == [None, None, None]
    assert group({"quantity": Decimal(101)}, *children, kind=GroupKind.BRACKET, **sizes) == [
        Reason.RISK_QUANTITY,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("oca_type", "second"),
    [(OcaType.CANCEL, None), (OcaType.REDUCE, None), (OcaType.REDUCE_WITHOUT_BLOCK, Reason.RISK_SHORT)],
)
def test_an_oca_group_that_cannot_overfill_trades_once(oca_type: OcaType, second: Reason | None) -> None:
    """Two ways out of one position are no short sale, unless both can fill."""
    ways_out = (SELL, {**SELL, **of(OrderType.STOP, Side.SELL, stop_price="40")})
    assert group(*ways_out, oca_type=oca_type, exposure=LONG, short_allowed=False) == [None, second]


def test_an_oca_group_over_two_instruments_adds_nothing_up() -> None:
    """What one holds of the other is nothing; only the orders are counted."""
    both: tuple[dict[str, Any], ...] = ({}, {"instrument": Instrument(symbol="MSFT")})
    limits = only("strategy_position_quantity_max", Decimal(100))
    assert group(*both, oca_type=OcaType.REDUCE_WITHOUT_BLOCK, **limits) == [None, None]
    assert group({}, {}, oca_type=OcaType.REDUCE_WITHOUT_BLOCK, **limits) == [None, Reason.RISK_POSITION]


def test_what_comes_after_an_order() -> None:
    """It works on its side, and is an order of its strategy and of the account."""
    then = after(Exposure(), submit())
    assert then.account == then.strategy == holding(0, buy=100)
    counts = (
        then.account_open_orders,
        then.strategy_open_orders,
        then.account_orders_last_s,
        then.strategy_orders_last_s,
    )
    assert counts == (1, 1, 1, 1)
    assert after(Exposure(), submit(), same_instrument=False).account == Holding()


# The rate


def test_orders_of_the_last_second() -> None:
    """Each counts for exactly one second, for its strategy and for all."""
    rate = OrderRate()
    assert (rate.of_account(0.0), rate.of_strategy("a", 0.0)) == (0, 0)
    rate.count("a", 10.0)
    rate.count("b", 10.5)
    rate.count("a", 10.5)
    assert (rate.of_account(10.999), rate.of_strategy("a", 10.999), rate.of_strategy("b", 10.999)) == (3, 2, 1)
    assert (rate.of_account(11.0), rate.of_strategy("a", 11.0)) == (2, 1)
    assert (rate.of_account(11.5), rate.of_strategy("a", 11.5), rate.of_strategy("b", 11.5)) == (0, 0, 0)


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from("abc"))))
def test_the_rate_is_what_a_count_over_everything_says(sent: list[tuple[float, str]]) -> None:
    """Whatever came when."""
    rate = OrderRate()
    for number, (at, strategy) in enumerate(ordered := sorted(sent)):
        rate.count(strategy, at)
        recent = [one for one in ordered[: number + 1] if one[0] > at - 1.0]
        assert rate.of_account(at) == len(recent)
        assert rate.of_strategy(strategy, at) == sum(one[1] == strategy for one in recent)


def test_the_rate_remembers_so_many_and_no_more() -> None:
    """Its memory has an end, far beyond what any limit allows."""
    rate = OrderRate()
    for _ in range(ORDERS_COUNTED_MAX + 5):
        rate.count("a", 1.0)
    assert rate.of_account(1.0) == rate.of_strategy("a", 1.0) == ORDERS_COUNTED_MAX
