"""What a test or a fault may order the engine to do, and what an order would do before it is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msgspec.structs import replace

from ibstream.simulation import profit
from ibstream.simulation.account import SimulatedAccount
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.orders import (
    Cancelled,
    CancelReason,
    Corrected,
    Filled,
    Leg,
    OrderType,
    Rebooked,
    Refused,
    Rejected,
    Replaced,
    Side,
    Ticket,
    TimeInForce,
    WhatIf,
)
from ibstream.simulation.sessions import day_window, new_york_date, to_ns
from ibstream.simulation.view import MarketView

D = Decimal
MARKET = Market(7)
VIEW = MarketView(MARKET)
NOW_NS = to_ns(datetime(2026, 11, 23, 17, 0, tzinfo=UTC))
CALL = "AAPL  261218C00400000"


def engine(cash: int = 1_000_000) -> MatchingEngine:
    return MatchingEngine(MARKET, SimulatedAccount(D(cash)))


def market(order_id: int = 1, side: Side = Side.BUY, quantity: int = 100, symbol: str = "AAPL") -> Ticket:
    return Ticket(order_id=order_id, symbol=symbol, side=side, quantity=D(quantity))


def resting(order_id: int = 1, quantity: int = 100) -> Ticket:
    return Ticket(
        order_id=order_id,
        symbol="AAPL",
        side=Side.BUY,
        quantity=D(quantity),
        order_type=OrderType.LIMIT,
        limit_price=D("1.00"),
        time_in_force=TimeInForce.GTC,
    )


def test_a_fill_on_command_has_the_price_and_size_it_is_told() -> None:
    book = engine()
    book.submit(resting(), NOW_NS)
    (fill,) = book.fill_now(1, NOW_NS, price=D("3.21"), quantity=D(40))
    assert isinstance(fill, Filled)
    assert (fill.price, fill.quantity, fill.remaining) == (D("3.21"), 40, 60)
    (last,) = book.fill_now(1, NOW_NS)
    assert isinstance(last, Filled)
    assert (last.price, last.remaining) == (resting().limit_price, 0), "without a price, never beyond the limit"
    assert book.working == ()


@pytest.mark.parametrize("quantity", [D(0), D(-1), D(101)])
def test_a_fill_on_command_never_exceeds_what_remains(quantity: Decimal) -> None:
    book = engine()
    book.submit(resting(), NOW_NS)
    (refused,) = book.fill_now(1, NOW_NS, quantity=quantity)
    assert isinstance(refused, Refused)
    assert book.account.position("AAPL").quantity == 0


def test_the_system_can_cancel_a_live_order() -> None:
    book = engine()
    book.submit(resting(1), NOW_NS)
    (ended,) = book.cancel(1, NOW_NS, reason=CancelReason.SYSTEM, text="Cancelled by System: halt")
    assert isinstance(ended, Cancelled)
    assert (ended.reason, ended.text) == (CancelReason.SYSTEM, "Cancelled by System: halt")
    assert book.working == ()


def test_only_a_cancel_is_answered_by_the_words_for_cancels() -> None:
    book = engine()
    answers = [
        *book.cancel(9, NOW_NS),
        *book.modify(9, NOW_NS),
        *book.replace(resting(9), NOW_NS),
        *book.fill_now(9, NOW_NS),
    ]
    assert [one.code for one in answers if isinstance(one, Refused)] == [10147, 135, 135, 201]


def test_cancel_all_ends_every_order() -> None:
    book = engine()
    for number in range(5):
        book.submit(resting(number), NOW_NS)
    assert [event.order_id for event in book.cancel_all(NOW_NS)] == list(range(5))
    assert book.working == ()


def test_a_correction_replaces_the_execution_in_order_and_account() -> None:
    book = engine()
    _, fill = book.submit(market(), NOW_NS)
    assert isinstance(fill, Filled)
    (corrected,) = book.correct(fill.exec_id, NOW_NS + 1, price=fill.price - 1)
    assert isinstance(corrected, Corrected)
    assert fill.exec_id.endswith(".01")
    assert corrected.exec_id == fill.exec_id[:-1] + "2"
    assert (corrected.replaces, corrected.price, corrected.executed_ns) == (fill.exec_id, fill.price - 1, NOW_NS)
    assert book.account.cash == 1_000_000 - 100 * (fill.price - 1) - corrected.commission
    assert book.account.position("AAPL").average_cost == fill.price - 1 + corrected.commission / 100
    ended = book.ended(1)
    assert ended is not None
    assert ended.average_price == fill.price - 1
    (again,) = book.correct(corrected.exec_id, NOW_NS + 2, price=fill.price)
    assert isinstance(again, Corrected)
    assert again.exec_id.endswith(".03")
    assert book.account.cash == 1_000_000 - 100 * fill.price - fill.commission


def test_a_corrected_quantity_changes_commission_and_what_later_sales_realized() -> None:
    book = engine()
    _, bought = book.submit(market(quantity=1000), NOW_NS)
    assert isinstance(bought, Filled)
    book.submit(market(2, Side.SELL, 500), NOW_NS)
    (corrected,) = book.correct(bought.exec_id, NOW_NS, quantity=D(600))
    assert isinstance(corrected, Corrected)
    assert (bought.commission, corrected.commission) == (D("5.00"), D("3.00"))
    assert book.account.position("AAPL").quantity == 100
    assert (corrected.cumulative_quantity, corrected.remaining) == (600, 400)
    assert book.order(1) is None, "an order that has ended stays so"


def test_a_correction_reaches_what_later_executions_earned() -> None:
    """The account, the day's profit and the events agree; executions before it, and of other instruments, are left alone."""
    book = engine()
    book.submit(market(1, quantity=10), NOW_NS)
    _, bought = book.submit(market(2, quantity=10), NOW_NS)
    book.submit(market(3, quantity=10, symbol="MSFT"), NOW_NS)
    book.submit(market(4, Side.SELL, 10, symbol="MSFT"), NOW_NS)
    sold = [book.submit(market(number, Side.SELL, 10), NOW_NS)[1] for number in (5, 6)]
    assert isinstance(bought, Filled)
    corrected, *rebooked = book.correct(bought.exec_id, NOW_NS, price=bought.price - 50)
    assert isinstance(corrected, Corrected)
    told = {one.exec_id: one.realized_pnl for one in rebooked if isinstance(one, Rebooked)}
    before = {one.exec_id: one.realized_pnl for one in sold if isinstance(one, Filled)}
    assert list(told) == list(before)
    gained = [(told[exec_id] or 0) - (pnl or 0) for exec_id, pnl in before.items()]
    assert gained == [250, 250], "both sales close at the average cost, which is 25 a share lower"
    realized = book.account.position("AAPL").realized_pnl
    assert sum(pnl or 0 for pnl in told.values()) == realized
    assert book.profits(NOW_NS)["AAPL"].realized == realized
    assert book.profits(NOW_NS)["MSFT"].realized == book.account.position("MSFT").realized_pnl


def test_a_correction_that_changes_nothing_later_says_nothing_of_it() -> None:
    book = engine()
    _, bought = book.submit(market(1), NOW_NS)
    book.submit(market(2), NOW_NS)
    assert isinstance(bought, Filled)
    assert [type(one) for one in book.correct(bought.exec_id, NOW_NS, price=bought.price + 1)] == [Corrected]


def test_execution_ids_of_a_fast_run_do_not_come_again_in_the_next() -> None:
    """A hundred executions in a second, and an engine that starts within the seconds that these would have counted to."""
    ids: set[str] = set()
    for start_ns, trades in ((NOW_NS, 100), (NOW_NS + 10 * 10**9, 100), (NOW_NS + 20 * 10**9 + 1, 100)):
        book = engine()
        events = [event for number in range(trades) for event in book.submit(market(number, quantity=1), start_ns)]
        ids |= {event.exec_id for event in events if isinstance(event, Filled)}
    assert len(ids) == 300
    assert all(len(part) == length for one in ids for part, length in zip(one.split("."), (8, 8, 2, 2), strict=True))


def test_the_same_seed_and_time_give_the_same_execution_ids() -> None:
    (_, first), (_, second) = (engine().submit(market(), NOW_NS) for _ in range(2))
    assert isinstance(first, Filled)
    assert first == second


def test_a_correction_can_complete_a_live_order() -> None:
    book = engine()
    book.submit(resting(), NOW_NS)
    (fill,) = book.fill_now(1, NOW_NS, quantity=D(60))
    assert isinstance(fill, Filled)
    (corrected,) = book.correct(fill.exec_id, NOW_NS, quantity=D(100))
    assert isinstance(corrected, Corrected)
    assert corrected.remaining == 0
    assert book.working == ()


def test_what_cannot_be_corrected_is_refused() -> None:
    book = engine()
    _, fill = book.submit(market(), NOW_NS)
    assert isinstance(fill, Filled)
    legs = (Leg(symbol="AAPL", side=Side.BUY), Leg(symbol="MSFT", side=Side.SELL))
    _, _, leg, _ = book.submit(Ticket(order_id=2, symbol="c", side=Side.BUY, quantity=D(1), legs=legs), NOW_NS)
    book.correct(fill.exec_id, NOW_NS, price=D(1))
    wrong = [fill.exec_id, "nonsense", getattr(leg, "exec_id", "")]
    answers = [book.correct(exec_id, NOW_NS, price=D(1))[0] for exec_id in wrong]
    answers += book.correct(fill.exec_id[:-1] + "2", NOW_NS, quantity=D(101))
    assert [type(one) for one in answers] == [Refused] * 4


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"side": Side.SELL}, 105),
        ({"symbol": "MSFT"}, 105),
        ({"order_type": OrderType.MARKET}, 329),
        ({"algo": "Twap"}, 440),
        ({"transmit": False}, 105),
        ({"limit_price": D("1.001")}, 110),
    ],
)
def test_only_price_size_and_time_of_an_order_can_change(change: dict[str, object], code: int) -> None:
    book = engine()
    book.submit(resting(), NOW_NS)
    before = book.working
    (refused,) = book.replace(replace(resting(), **change), NOW_NS)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert book.working == before


def test_a_day_order_can_become_immediate_or_cancel() -> None:
    book = engine()
    book.submit(resting(), NOW_NS)
    replaced, ended = book.replace(replace(resting(), time_in_force=TimeInForce.IOC), NOW_NS)
    assert isinstance(replaced, Replaced)
    assert isinstance(ended, Cancelled)
    assert ended.reason is CancelReason.IMMEDIATE_OR_CANCEL


def test_what_if_tells_margin_equity_and_commission_and_changes_nothing() -> None:
    book = engine()
    before = book.values(NOW_NS)
    told = book.what_if(market(), NOW_NS)
    assert isinstance(told, WhatIf)
    value = VIEW.top_of("AAPL", NOW_NS).ask * 100
    assert told.initial_margin_after - told.initial_margin_before == value / 2
    assert told.maintenance_margin_after - told.maintenance_margin_before == value / 4
    assert told.commission == D("1.00")
    assert told.equity_with_loan_after == told.equity_with_loan_before - 1
    assert told.warning_text == ""
    assert (book.working, book.values(NOW_NS)) == ((), before)


def test_what_if_warns_of_missing_funds_and_rejects_nonsense() -> None:
    told = engine(1000).what_if(market(), NOW_NS)
    assert isinstance(told, WhatIf)
    assert "insufficient" in told.warning_text
    assert isinstance(engine().what_if(market(quantity=0), NOW_NS), Rejected)


def test_what_if_of_a_long_option_costs_its_premium_and_of_a_short_one_binds_more() -> None:
    book = engine()
    long = book.what_if(market(symbol=CALL, quantity=1), NOW_NS)
    short = book.what_if(market(symbol=CALL, quantity=1, side=Side.SELL), NOW_NS)
    assert isinstance(long, WhatIf)
    assert isinstance(short, WhatIf)
    top = VIEW.top_of(CALL, NOW_NS)
    assert long.initial_margin_after == 0
    assert long.equity_with_loan_after == 1_000_000 - 100 * top.ask - 1
    assert short.initial_margin_after == 100 * (top.bid + D("0.2") * VIEW.last("AAPL", NOW_NS))


def test_daily_profit_is_what_net_liquidation_gained_since_midnight() -> None:
    account = SimulatedAccount(D(1_000_000))
    account.hold("MSFT", D(50), D("20"))
    account.hold("ESZ2026", D(1), D(300_000))
    book = MatchingEngine(MARKET, account)
    midnight_ns = day_window(new_york_date(NOW_NS))[0]
    begun = book.values(midnight_ns - 1).net_liquidation
    book.submit(market(1, quantity=300), midnight_ns - 10)
    begun = book.values(midnight_ns - 1).net_liquidation
    book.submit(market(2, Side.SELL, 100), NOW_NS)
    book.submit(market(3, quantity=2, symbol="ESZ2026"), NOW_NS)
    book.submit(market(4, quantity=1, symbol=CALL), NOW_NS)
    later_ns = NOW_NS + 3600 * 10**9
    found = book.profits(later_ns)
    assert set(found) == {"AAPL", "MSFT", "ESZ2026", CALL}
    total = profit.total(found)
    assert abs(total.daily - (book.values(later_ns).net_liquidation - begun)) < D("1e-9")
    assert abs(total.unrealized - book.values(later_ns).unrealized_pnl) < D("1e-9")
    assert profit.total({}).daily == 0
