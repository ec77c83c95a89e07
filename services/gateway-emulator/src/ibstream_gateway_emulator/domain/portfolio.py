"""Positions and account values as messages, and what of them changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

from ibstream.simulation import rules
from ibstream.simulation.account import ZERO, AccountValues, Position
from ibstream.simulation.instruments import listing
from ibstream.simulation.matching import MatchingEngine
from ibstream_gateway_emulator.domain.contracts import eleven
from ibstream_gateway_emulator.protocol.messages import PortfolioValue, PositionData

_CENT = Decimal("0.01")
_COST_PLACES = Decimal("0.00000001")
BASE, USD = "BASE", "USD"
LEDGER_KEYS = frozenset(
    {
        "CashBalance",
        "Currency",
        "NetLiquidationByCurrency",
        "RealizedPnL",
        "StockMarketValue",
        "TotalCashBalance",
        "UnrealizedPnL",
    }
)
"""The values kept per currency."""


class Value(NamedTuple):
    """One account value: its key, the value as text and its currency, empty for what is no money."""

    key: str
    value: str
    currency: str


def account_values(account: str, values: AccountValues) -> list[Value]:
    """All account values, ordered by key."""
    words = [
        Value("AccountCode", account, ""),
        Value("AccountReady", "true", ""),
        Value("AccountType", "INDIVIDUAL", ""),
    ]
    cushion = values.excess_liquidity / values.net_liquidation if values.net_liquidation else ZERO
    words.append(Value("Cushion", f"{cushion:.6f}", ""))
    money = [Value(key, _money(amount), USD) for key, amount in _money_values(values).items()]
    ledger = [
        Value(key, _money(amount), currency)
        for key, amount in _ledger_values(values).items()
        for currency in (BASE, USD)
    ]
    currencies = [Value("Currency", currency, currency) for currency in (BASE, USD)]
    return sorted([*words, *money, *ledger, *currencies])


def _money_values(values: AccountValues) -> dict[str, Decimal]:
    return {
        "AccruedCash": ZERO,
        "AvailableFunds": values.available_funds,
        "BuyingPower": values.buying_power,
        "EquityWithLoanValue": values.net_liquidation,
        "ExcessLiquidity": values.excess_liquidity,
        "FullAvailableFunds": values.available_funds,
        "FullExcessLiquidity": values.excess_liquidity,
        "FullInitMarginReq": values.initial_margin,
        "FullMaintMarginReq": values.maintenance_margin,
        "GrossPositionValue": values.gross_position_value,
        "InitMarginReq": values.initial_margin,
        "MaintMarginReq": values.maintenance_margin,
        "NetLiquidation": values.net_liquidation,
        "SettledCash": values.cash,
        "TotalCashValue": values.cash,
    }


def _ledger_values(values: AccountValues) -> dict[str, Decimal]:
    # All trading here is in USD, which is the base currency too.
    return {
        "CashBalance": values.cash,
        "NetLiquidationByCurrency": values.net_liquidation,
        "RealizedPnL": values.realized_pnl,
        "StockMarketValue": values.stock_value,
        "TotalCashBalance": values.cash,
        "UnrealizedPnL": values.unrealized_pnl,
    }


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


def position_data(account: str, position: Position) -> PositionData:
    """What is held of one symbol."""
    found = listing(position.symbol)
    return PositionData(account, eleven(found, found.primary_exchange), position.quantity, _cost(position.average_cost))


def portfolio_value(account: str, position: Position, engine: MatchingEngine, now_ns: int) -> PortfolioValue:
    """What is held of one symbol and what it is worth at its last trade."""
    found = listing(position.symbol)
    price = rules.to_price(engine.market.quote(position.symbol, now_ns).last)
    return PortfolioValue(
        con_id=found.con_id,
        symbol=found.ib_symbol,
        primary_exchange=found.primary_exchange,
        local_symbol=found.ib_symbol,
        trading_class=found.trading_class,
        quantity=position.quantity,
        market_price=price,
        market_value=position.quantity * price,
        average_cost=_cost(position.average_cost),
        unrealized_pnl=(position.quantity * (price - position.average_cost)).quantize(_CENT),
        realized_pnl=position.realized_pnl.quantize(_CENT),
        account=account,
    )


def _money(amount: Decimal) -> str:
    return f"{amount:.2f}"


def _cost(cost: Decimal) -> Decimal:
    return cost.quantize(_COST_PLACES).normalize()
