"""Average cost and profit as IBKR counts them: commissions belong to the cost."""

from __future__ import annotations

from decimal import Decimal

from ibstream.simulation.account import SimulatedAccount

D = Decimal


def test_buying_twice_averages_the_cost_with_commissions() -> None:
    account = SimulatedAccount(D(10_000))
    assert account.apply_fill("AAPL", D(10), D(100), D(1)) is None
    assert account.apply_fill("AAPL", D(10), D(110), D(1)) is None
    held = account.position("AAPL")
    assert (held.quantity, held.average_cost) == (20, D("105.1"))
    assert account.cash == D(10_000) - 1000 - 1100 - 2


def test_selling_realizes_the_profit_after_both_commissions() -> None:
    account = SimulatedAccount()
    account.apply_fill("AAPL", D(10), D(100), D(1))
    realized = account.apply_fill("AAPL", D(-4), D(110), D(1))
    assert realized == D(4) * (D(110) - D("100.1")) - 1
    held = account.position("AAPL")
    assert (held.quantity, held.average_cost, held.realized_pnl) == (6, D("100.1"), realized)


def test_a_short_position_gains_when_the_price_falls() -> None:
    account = SimulatedAccount()
    account.apply_fill("AAPL", D(-10), D(100), D(1))
    assert account.position("AAPL").average_cost == D("99.9")
    assert account.values(lambda _: D(90)).unrealized_pnl == D(99)
    assert account.apply_fill("AAPL", D(10), D(90), D(1)) == D(98)
    assert account.position("AAPL").quantity == 0


def test_a_fill_that_turns_the_position_closes_first_and_opens_the_rest() -> None:
    account = SimulatedAccount()
    account.apply_fill("AAPL", D(10), D(100), D(0))
    realized = account.apply_fill("AAPL", D(-15), D(110), D(3))
    assert realized == D(10) * 10 - 2
    held = account.position("AAPL")
    assert (held.quantity, held.average_cost) == (-5, D("109.8"))


def test_values_follow_the_price() -> None:
    account = SimulatedAccount(D(10_000))
    account.apply_fill("AAPL", D(10), D(100), D(1))
    values = account.values(lambda _: D(120))
    assert values.cash == D(8999)
    assert values.net_liquidation == D(10_199)
    assert values.unrealized_pnl == D(199)
    assert values.initial_margin == D(600)
    assert values.available_funds == D(9599)
    assert values.buying_power == D(19_198)


def test_closing_frees_margin_and_opening_binds_it() -> None:
    account = SimulatedAccount()
    account.apply_fill("AAPL", D(10), D(100), D(0))
    assert account.margin_change("AAPL", D(10), D(100)) == D(500)
    assert account.margin_change("AAPL", D(-10), D(100)) == D(-500)
    assert account.margin_change("AAPL", D(-20), D(100)) == D(0)
