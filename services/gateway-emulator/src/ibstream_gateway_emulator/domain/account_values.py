"""The values of the account by key and currency, and what of them changed.

All amounts of the simulated account are USD; they are told in the account's base currency. Every instrument here is traded in
USD but for currency pairs, so other currencies have cash and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

from ibstream.simulation.account import ZERO, AccountValues

BASE = "BASE"
"""The currency under which a ledger's totals are told, in the account's base currency."""
LEDGER_KEYS = frozenset(
    {
        "CashBalance",
        "Currency",
        "ExchangeRate",
        "FuturesPNL",
        "NetLiquidationByCurrency",
        "OptionMarketValue",
        "RealCurrency",
        "RealizedPnL",
        "StockMarketValue",
        "TotalCashBalance",
        "UnrealizedPnL",
    }
)
"""The values kept per currency."""
_USD = "USD"


class Value(NamedTuple):
    """One account value: its key, the value as text and its currency, empty for what is no money."""

    key: str
    value: str
    currency: str


class Rates(NamedTuple):
    """What money is counted in."""

    base: str
    """The account's base currency."""
    usd_of: dict[str, Decimal]
    """USD for one unit of each currency that the account knows, base currency included."""

    def in_base(self, usd: Decimal) -> Decimal:
        """An amount of USD in the base currency."""
        return usd / self.usd_of[self.base]


def account_values(account: str, values: AccountValues, rates: Rates) -> list[Value]:
    """All account values, ordered by key."""
    words = {
        "AccountCode": account,
        "AccountReady": "true",
        "AccountType": "INDIVIDUAL",
        "Cushion": _share(values.excess_liquidity, values.net_liquidation, 6),
        "DayTradesRemaining": "-1",
        "Leverage": _share(values.gross_position_value, values.net_liquidation, 2),
        "LookAheadNextChange": "0",
    }
    found = [Value(key, word, "") for key, word in words.items()]
    found += [Value(key, _money(rates.in_base(usd)), rates.base) for key, usd in _amounts(values).items()]
    found += _ledger(BASE, rates.base, _totals(values), rates.usd_of[rates.base], Decimal(1))
    for currency, rate in rates.usd_of.items():
        amounts = _cash(values.balances.get(currency, ZERO) * rate)
        if currency == _USD:
            amounts |= _holdings(values)
            amounts["NetLiquidationByCurrency"] += values.stock_value + values.option_value + values.futures_pnl
        found += _ledger(currency, currency, amounts, rate, rates.in_base(rate))
    return sorted(found)


class ValueFeed:
    """The account values one client follows: all at first, then those that changed."""

    def __init__(self, follows: Callable[[Value], bool] = lambda _: True) -> None:
        self._follows = follows
        self._told: dict[tuple[str, str], str] = {}

    def changed(self, values: Iterable[Value]) -> Iterator[Value]:
        """Those of `values` that are followed and not as last told."""
        for value in values:
            slot = (value.key, value.currency)
            if self._follows(value) and self._told.get(slot) != value.value:
                self._told[slot] = value.value
                yield value


def named(keys: Iterable[str]) -> Callable[[Value], bool]:
    """Whether a value has one of these keys."""
    wanted = frozenset(keys)
    return lambda value: value.key in wanted


def summarised(tags: str) -> Callable[[Value], bool]:
    """Whether a value is asked for by the tags of an account summary.

    Besides plain keys, `$LEDGER` asks for the values kept per currency in the base currency, `$LEDGER:USD` for those in one
    currency, `$LEDGER:ALL` for those in all.
    """
    wanted = [tag.strip() for tag in tags.split(",")]
    ledgers = {tag.partition(":")[2] or BASE for tag in wanted if tag.partition(":")[0] == "$LEDGER"}

    def follows(value: Value) -> bool:
        if value.key in LEDGER_KEYS:
            return value.currency in ledgers or "ALL" in ledgers
        return value.key in wanted

    return follows


def _amounts(values: AccountValues) -> dict[str, Decimal]:
    """The account's own amounts. Margins do not change with the hour here, so looking ahead shows nothing new."""
    funds = {
        "AvailableFunds": values.available_funds,
        "ExcessLiquidity": values.excess_liquidity,
        "InitMarginReq": values.initial_margin,
        "MaintMarginReq": values.maintenance_margin,
    }
    return {
        **{prefix + key: amount for prefix in ("", "Full", "LookAhead") for key, amount in funds.items()},
        "AccruedCash": ZERO,
        "BuyingPower": values.buying_power,
        "EquityWithLoanValue": values.equity_with_loan,
        "GrossPositionValue": values.gross_position_value,
        "NetLiquidation": values.net_liquidation,
        "RegTEquity": values.equity_with_loan,
        "RegTMargin": values.initial_margin,
        "SettledCash": values.cash,
        "TotalCashValue": values.cash,
    }


def _cash(usd: Decimal) -> dict[str, Decimal]:
    zeros = dict.fromkeys(("FuturesPNL", "OptionMarketValue", "RealizedPnL", "StockMarketValue", "UnrealizedPnL"), ZERO)
    return {"CashBalance": usd, "NetLiquidationByCurrency": usd, "TotalCashBalance": usd, **zeros}


def _holdings(values: AccountValues) -> dict[str, Decimal]:
    return {
        "FuturesPNL": values.futures_pnl,
        "OptionMarketValue": values.option_value,
        "RealizedPnL": values.realized_pnl,
        "StockMarketValue": values.stock_value,
        "UnrealizedPnL": values.unrealized_pnl,
    }


def _totals(values: AccountValues) -> dict[str, Decimal]:
    return {**_cash(values.cash), **_holdings(values), "NetLiquidationByCurrency": values.net_liquidation}


def _ledger(currency: str, real: str, usd: dict[str, Decimal], rate: Decimal, to_base: Decimal) -> Iterator[Value]:
    """The values of one currency: amounts given in USD, of which `rate` make one unit that is worth `to_base`."""
    yield Value("Currency", currency, currency)
    yield Value("RealCurrency", real, currency)
    yield Value("ExchangeRate", f"{to_base:.6f}", currency)
    for key, amount in usd.items():
        yield Value(key, _money(amount / rate), currency)


def _share(part: Decimal, whole: Decimal, places: int) -> str:
    return f"{part / whole if whole else ZERO:.{places}f}"


def _money(amount: Decimal) -> str:
    return f"{amount:.2f}"
