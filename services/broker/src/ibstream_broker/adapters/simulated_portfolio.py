"""What the simulated account holds, is worth and earns, told when it has changed and no more often than needed."""

from __future__ import annotations

from decimal import Decimal

from ibstream.simulation.account import AccountValues, Position, market_value, unrealized_pnl
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.rules import to_price
from ibstream.simulation.sessions import day_window, new_york_date
from ibstream_broker.adapters.simulated_instruments import InstrumentBook
from ibstream_broker.domain.inputs import AccountValueReported, PnlReported, PositionReported
from ibstream_broker.ports import OnInput

BASE_CURRENCY = "USD"
VALUES_INTERVAL_NS = 1_000_000_000
"""After trades, account values and profits are told at most so often."""
REFRESH_INTERVAL_NS = 180 * 1_000_000_000
"""Without trades they follow the market so often, as IBKR's account updates do."""
_CENT = Decimal("0.01")
_COST_PLACES = Decimal("0.00000001")


class SimulatedPortfolio:
    """Reads the engine's account. Set `on_input` before the first report."""

    def __init__(self, account: str, engine: MatchingEngine, instruments: InstrumentBook, now_ns: int) -> None:
        self._account = account
        self._engine = engine
        self._instruments = instruments
        self._touched: set[str] = set()
        self._told: dict[str, str] = {}
        self._told_ns = self._refreshed_ns = 0
        self.on_input: OnInput = lambda _: None
        self._day_ends_ns = 0
        self._start_of_day(now_ns)

    def begin(self, now_ns: int) -> None:
        """Tell everything: a session begins."""
        self._told.clear()
        self._tell_all(now_ns)

    def roll(self, now_ns: int) -> None:
        """Begin a new day at New York's midnight. Must be called before the day's first trade."""
        if now_ns >= self._day_ends_ns:
            self._start_of_day(now_ns)

    def traded(self, key: str) -> None:
        """Something of this instrument was traded: tell what is held of it; what that is worth follows with `step`."""
        self._touched.add(key)
        self.on_input(self.position(self._engine.account.position(key)))

    def step(self, now_ns: int) -> None:
        """Tell what is due."""
        if now_ns - self._refreshed_ns >= REFRESH_INTERVAL_NS:
            self._tell_all(now_ns)
        elif self._touched and now_ns - self._told_ns >= VALUES_INTERVAL_NS:
            self._tell(now_ns)

    def positions(self) -> list[PositionReported]:
        """All that is held."""
        return [self.position(one) for one in self._engine.account.positions.values() if one.quantity]

    def position(self, held: Position) -> PositionReported:
        """What is held of one instrument."""
        traded = self._instruments.traded(held.symbol)
        return PositionReported(
            account=self._account,
            con_id=traded.con_id,
            symbol=traded.symbol,
            security_type=traded.security_type,
            currency=traded.currency,
            quantity=held.quantity,
            average_cost=held.average_cost.quantize(_COST_PLACES).normalize(),
        )

    def _tell_all(self, now_ns: int) -> None:
        self._refreshed_ns = now_ns
        self._touched.update(key for key, held in self._engine.account.positions.items() if held.quantity)
        self._tell(now_ns)

    def _tell(self, now_ns: int) -> None:
        self._told_ns = now_ns
        values = self._engine.values(now_ns)
        for tag, amount in _amounts(values).items():
            value = f"{amount:.2f}"
            if self._told.get(tag) != value:
                self._told[tag] = value
                self.on_input(AccountValueReported(account=self._account, tag=tag, value=value, currency=BASE_CURRENCY))
        self.on_input(self._profit(values))
        for key in self._touched:
            self.on_input(self._profit_of(self._engine.account.position(key), now_ns))
        self._touched.clear()

    def _profit(self, values: AccountValues) -> PnlReported:
        """The account's, in its base currency."""
        return PnlReported(
            account=self._account,
            daily=(values.net_liquidation - self._opening.net_liquidation).quantize(_CENT),
            unrealized=values.unrealized_pnl.quantize(_CENT),
            realized=(values.realized_pnl - self._opening.realized_pnl).quantize(_CENT),
        )

    def _profit_of(self, held: Position, now_ns: int) -> PnlReported:
        """One position's, in its instrument's currency."""
        traded = self._instruments.traded(held.symbol)
        price = to_price(self._engine.market.quote(held.symbol, now_ns).last, held.symbol)
        return PnlReported(
            account=self._account,
            con_id=traded.con_id,
            symbol=traded.symbol,
            unrealized=unrealized_pnl(held, price).quantize(_CENT),
            realized=(held.realized_pnl - self._realized_before.get(held.symbol, Decimal(0))).quantize(_CENT),
            market_price=price,
            market_value=market_value(held, price).quantize(_CENT),
        )

    def _start_of_day(self, now_ns: int) -> None:
        """Remember how the account stood at midnight; nothing has been traded since."""
        starts_ns, self._day_ends_ns = day_window(new_york_date(now_ns))
        self._opening = self._engine.values(starts_ns - 1)
        held = self._engine.account.positions.items()
        self._realized_before = {key: one.realized_pnl for key, one in held if one.realized_pnl}


def _amounts(values: AccountValues) -> dict[str, Decimal]:
    """By IBKR's tags, USD."""
    return {
        "NetLiquidation": values.net_liquidation,
        "EquityWithLoanValue": values.equity_with_loan,
        "TotalCashValue": values.cash,
        "GrossPositionValue": values.gross_position_value,
        "InitMarginReq": values.initial_margin,
        "MaintMarginReq": values.maintenance_margin,
        "AvailableFunds": values.available_funds,
        "ExcessLiquidity": values.excess_liquidity,
        "BuyingPower": values.buying_power,
    }
