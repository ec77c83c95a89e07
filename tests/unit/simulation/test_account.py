"""Average cost and profit as IBKR counts them: commissions belong to the cost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ibstream.simulation import account as accounts
from ibstream.simulation.account import SimulatedAccount, usd_rate
from ibstream.simulation.impact import Deal, impact_of

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
    assert impact_of(account, [Deal("AAPL", D(10), D(100))], lambda _: D(100)).initial_margin == D(500)
    assert impact_of(account, [Deal("AAPL", D(-10), D(100))], lambda _: D(100)).initial_margin == D(-500)
    assert impact_of(account, [Deal("AAPL", D(-20), D(100))], lambda _: D(100)).initial_margin == D(0)


def test_a_future_moves_cash_only_by_what_its_price_moves() -> None:
    """As a paper Gateway booked one MES in April 2026: bought at 7039.50, sold at 7039.25, 0.62 each way, -2.49 in all."""
    account = SimulatedAccount(D(100_000))
    account.apply_fill("MESM2026", D(1), D("7039.5"), D("0.62"))
    assert account.cash == D("99999.38")
    assert account.position("MESM2026").average_cost == D("35198.12")
    held = account.values(lambda _: D("7039.25"))
    assert (held.futures_pnl, held.stock_value, held.gross_position_value) == (D("-1.25"), 0, 0)
    assert held.net_liquidation == D("99998.13")
    assert account.apply_fill("MESM2026", D(-1), D("7039.25"), D("0.62")) == D("-2.49")
    assert account.cash == D(100_000) - D("2.49")
    assert account.position("MESM2026").entry_value == 0


def test_a_future_that_turns_settles_what_it_closes() -> None:
    account = SimulatedAccount(D(100_000))
    account.apply_fill("ESZ2026", D(2), D(6000), D(0))
    account.apply_fill("ESZ2026", D(-3), D(6010), D(0))
    assert account.cash == D(101_000)
    assert account.position("ESZ2026").entry_value == -6010 * 50


def test_an_option_is_paid_for_a_hundred_times_and_lends_nothing() -> None:
    account = SimulatedAccount(D(10_000))
    call = "AAPL  261218C00250000"
    account.apply_fill(call, D(2), D("3.20"), D("1.30"))
    values = account.values(lambda symbol: D("4.00") if symbol == call else D(250))
    assert account.cash == D(10_000) - 640 - D("1.30")
    assert values.option_value == 800
    assert values.unrealized_pnl == D("158.70")
    assert values.initial_margin == 0
    assert values.available_funds == account.cash


@pytest.mark.parametrize(
    ("symbol", "underlying", "expected"),
    [
        ("AAPL  261218C00250000", "250", "5400"),  # at the money: premium and 20 % of the underlying
        ("AAPL  261218C00250000", "240", "4200"),  # ten out of the money
        ("AAPL  261218C00250000", "150", "1900"),  # far out: 10 % of the underlying
        ("AAPL  261218P00250000", "400", "2900"),  # far out: 10 % of the strike
    ],
)
def test_a_short_option_binds_premium_and_a_share_of_the_underlying(
    symbol: str, underlying: str, expected: str
) -> None:
    account = SimulatedAccount(D(100_000))
    account.apply_fill(symbol, D(-1), D("4.00"), D(0))
    values = account.values(lambda key: D("4.00") if key == symbol else D(underlying))
    assert values.initial_margin == D(expected)


def test_a_currency_pair_moves_two_balances() -> None:
    account = SimulatedAccount(D(100_000))
    account.apply_fill("EUR.USD", D(20_000), D("1.10"), D(2))
    assert account.balances == {"USD": D(77_998), "EUR": D(20_000)}
    values = account.values(lambda _: D("1.20"))
    assert values.net_liquidation == D(101_998)
    assert values.unrealized_pnl == D(1_998)
    assert (values.stock_value, values.gross_position_value) == (0, 0)


def test_a_pair_paid_in_yen_is_valued_at_the_dollars_rate() -> None:
    account = SimulatedAccount(D(100_000))
    account.apply_fill("USD.JPY", D(1000), D(150), D(2), rate=1 / D(150))
    assert account.balances["JPY"] == -150_000
    assert account.balances["USD"] == 100_998
    assert account.values(lambda _: D(150)).net_liquidation == D(99_998)
    assert usd_rate("JPY", lambda _: D(200)) == D("0.005")


def test_positions_can_be_there_from_the_start() -> None:
    account = SimulatedAccount(D(1000))
    account.hold("AAPL", D(10), D("99.50"))
    assert account.cash == 1000
    assert account.apply_fill("AAPL", D(-10), D(100), D(1)) == D(4)


def test_a_fill_can_be_booked_anew_as_if_it_had_always_been_so() -> None:
    account, other = SimulatedAccount(), SimulatedAccount()
    account.apply_fill("AAPL", D(10), D(100), D(1))
    account.apply_fill("AAPL", D(-4), D(110), D(1))
    account.rebook(0, D(10), D(90), D(1))
    other.apply_fill("AAPL", D(10), D(90), D(1))
    other.apply_fill("AAPL", D(-4), D(110), D(1))
    assert account.positions == other.positions
    assert account.cash == other.cash


def test_only_so_many_fills_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "JOURNAL_KEPT", 2)
    account = SimulatedAccount()
    for price in (100, 101, 102):
        account.apply_fill("AAPL", D(1), D(price), D(0))
    assert [account.is_kept(number) for number in range(4)] == [False, True, True, False]
    account.rebook(1, D(1), D(201), D(0))
    assert account.position("AAPL").average_cost == D(403) / 3
    with pytest.raises(IndexError):
        account.rebook(0, D(1), D(1), D(0))
