"""Positions, portfolio items, profit and loss as messages."""

from __future__ import annotations

from decimal import Decimal

from ibstream.simulation.account import Position, market_value, unrealized_pnl
from ibstream.simulation.instruments import Listing
from ibstream.simulation.profit import Profit
from ibstream_gateway_emulator.domain.account_values import Rates
from ibstream_gateway_emulator.domain.contracts import eleven, multiplier_text, strike_text
from ibstream_gateway_emulator.protocol.messages import PnL, PnLSingle, PortfolioValue, PositionData, PositionMulti

_CENT = Decimal("0.01")
_PNL_PLACES = Decimal("0.0001")
_COST_PLACES = Decimal("0.00000001")


def position_data(account: str, found: Listing, position: Position) -> PositionData:
    """What is held of one instrument."""
    return PositionData(account, eleven(found, _exchange(found)), position.quantity, _cost(position.average_cost))


def position_multi(req_id: int, account: str, model: str, found: Listing, position: Position) -> PositionMulti:
    """The same under a request id."""
    contract, cost = eleven(found, _exchange(found)), _cost(position.average_cost)
    return PositionMulti(req_id, account, contract, position.quantity, cost, model)


def portfolio_value(account: str, found: Listing, position: Position, price: Decimal) -> PortfolioValue:
    """What is held of one instrument and what it is worth at `price`, in the instrument's currency."""
    return PortfolioValue(
        con_id=found.con_id,
        symbol=found.ib_symbol,
        security_type=found.security_type,
        last_trade_date=found.last_trade_date,
        strike=strike_text(found) or "0",
        right=found.right or "0",
        multiplier=multiplier_text(found),
        primary_exchange=found.primary_exchange or (found.exchange if found.security_type == "FUT" else ""),
        currency=found.currency,
        local_symbol=found.local_symbol,
        trading_class=found.trading_class,
        quantity=position.quantity,
        market_price=price,
        market_value=market_value(position, price).quantize(_CENT),
        average_cost=_cost(position.average_cost),
        unrealized_pnl=unrealized_pnl(position, price).quantize(_CENT),
        realized_pnl=position.realized_pnl.quantize(_CENT),
        account=account,
    )


def pnl(req_id: int, profit: Profit, rates: Rates) -> PnL:
    """The account's profit and loss, in its base currency."""
    return PnL(req_id, *(_amount(one, rates) for one in (profit.daily, profit.unrealized, profit.realized)))


def pnl_single(req_id: int, position: Position, profit: Profit | None, rates: Rates) -> PnLSingle:
    """One instrument's profit and loss; nothing is known of one that is neither held nor was traded today."""
    if profit is None:
        return PnLSingle(req_id, position.quantity, None, None, None, None)
    return PnLSingle(req_id, position.quantity, *(_amount(one, rates) for one in profit))


def _amount(usd: Decimal, rates: Rates) -> Decimal:
    return rates.in_base(usd).quantize(_PNL_PLACES)


def _exchange(found: Listing) -> str:
    """As recorded: the primary exchange of a stock, nothing for futures and options."""
    return found.primary_exchange


def _cost(cost: Decimal) -> Decimal:
    return cost.quantize(_COST_PLACES).normalize()
