"""An order that is small for the account is taken without a look at every position, and never wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from ibstream.contracts.orders import Side
from ibstream.simulation.account import SimulatedAccount
from ibstream.simulation.hashing import splitmix64
from ibstream.simulation.market import Market, Quote
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.orders import Filled, Leg, OrderType, Rejected, Ticket, WhatIf
from ibstream.simulation.rules import INSUFFICIENT_FUNDS
from ibstream.simulation.sessions import to_ns

T = TypeVar("T")

START_NS = to_ns(datetime(2026, 11, 23, 15, 0, tzinfo=UTC))
KEYS = ("AAPL", "MSFT", "NVDA", "EUR.USD", "USD.JPY", "ESZ2026", "AAPL  261218C00250000", "AAPL  261218P00250000")
COMBO = (Leg(symbol="AAPL", side=Side.BUY), Leg(symbol="MSFT", side=Side.SELL, ratio=2))


class CountingMarket(Market):
    """A market that counts what it is asked."""

    asked = 0

    def quote(self, symbol: str, time_ns: int) -> Quote:
        self.asked += 1
        return super().quote(symbol, time_ns)


def can_afford(engine: MatchingEngine, ticket: Ticket, now_ns: int) -> bool:
    """The rule, with every position valued: the available funds cover margin and premium."""
    told = engine.what_if(ticket, now_ns)
    assert isinstance(told, WhatIf)
    premium = told.equity_with_loan_before - told.equity_with_loan_after - told.commission_max
    needed = told.initial_margin_after - told.initial_margin_before + premium
    return needed <= max(engine.values(now_ns).available_funds, Decimal(0)) or needed <= 0


def pick(order_id: int, what: int, choices: Sequence[T]) -> T:
    """One of the choices, another for each order and each thing to choose, and always the same."""
    return choices[splitmix64(order_id << 8 | what) % len(choices)]


def any_ticket(order_id: int) -> Ticket:
    key = pick(order_id, 1, (*KEYS, "combo"))
    size = 20_000 if "." in key else 1 if key == "ESZ2026" or "  " in key else 40
    return Ticket(
        order_id=order_id,
        symbol=key,
        side=pick(order_id, 2, (Side.BUY, Side.BUY, Side.SELL)),
        quantity=Decimal(size * pick(order_id, 3, range(1, 40))),
        legs=COMBO if key == "combo" else (),
    )


def test_the_verdict_is_that_of_valuing_every_position() -> None:
    """Over thousands of orders in all kinds of instruments, fills, corrections and steps of time, both ways."""
    verdicts = {True: 0, False: 0}
    engine, now_ns = MatchingEngine(Market(7), SimulatedAccount(Decimal(400_000))), START_NS
    for order_id in range(1, 3_000):
        now_ns += pick(order_id, 4, (0, 1_000_000, 40_000_000, 400_000_000))
        ticket = any_ticket(order_id)
        affordable = can_afford(engine, ticket, now_ns)
        events = engine.submit(ticket, now_ns)
        first = events[0]
        assert (isinstance(first, Rejected) and first.code == INSUFFICIENT_FUNDS.code) != affordable
        verdicts[affordable] += 1
        fills = [one for one in events if isinstance(one, Filled) and not one.combo]
        if fills and not order_id % 10:
            engine.correct(
                fills[0].exec_id, now_ns, price=fills[0].price * pick(order_id, 5, (Decimal("0.9"), Decimal(2)))
            )
    assert min(verdicts.values()) > 300


def test_an_account_that_was_preset_meanwhile_is_looked_at_anew() -> None:
    """A position that was not traded but put there counts at once."""
    account = SimulatedAccount(Decimal(100_000))
    engine = MatchingEngine(Market(7), account)
    small = Ticket(order_id=1, symbol="AAPL", side=Side.BUY, quantity=Decimal(1))
    assert not isinstance(engine.submit(small, START_NS)[0], Rejected)
    account.hold("MSFT", Decimal(-100_000), Decimal(400))
    again = Ticket(order_id=2, symbol="AAPL", side=Side.BUY, quantity=Decimal(1))
    assert isinstance(engine.submit(again, START_NS + 1)[0], Rejected)


def quotes_for_orders(positions: int) -> int:
    """What a hundred small orders within a tenth of a second ask the market in an account of so many positions."""
    market = CountingMarket(7)
    account = SimulatedAccount(Decimal(1_000_000_000))
    for number in range(positions):
        account.hold(f"S{number}", Decimal(10), Decimal(100))
    engine = MatchingEngine(market, account)
    for order_id in range(100):
        if order_id == 1:
            market.asked = 0  # the first has looked at everything
        limit = Decimal("1.00") if order_id % 2 else None
        kind = OrderType.LIMIT if limit else OrderType.MARKET
        ticket = Ticket(
            order_id=order_id, symbol="AAPL", side=Side.BUY, quantity=Decimal(1), order_type=kind, limit_price=limit
        )
        engine.submit(ticket, START_NS + order_id * 1_000_000)
    return market.asked


def test_an_order_costs_no_more_where_much_is_held() -> None:
    """The market is asked as often in an account of 400 positions as in one of 4."""
    assert quotes_for_orders(400) == quotes_for_orders(4) > 0
