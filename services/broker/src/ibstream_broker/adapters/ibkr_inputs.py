"""What IBKR tells, in the broker's own words: one function for each kind of callback, none of which remembers anything."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from ibstream.contracts.orders import OrderType, Side
from ibstream.ibkr.contracts import Increments, from_ib_symbol
from ibstream_broker.adapters.ibkr_orders import LIMITED, TRAILING, TRIGGERED
from ibstream_broker.domain.inputs import (
    CommissionReported,
    Executed,
    OrderSeen,
    PnlReported,
    PositionReported,
)
from ibstream_broker.ports import Preview, Terms

if TYPE_CHECKING:
    from ib_async import CommissionReport, Contract, ContractDetails, Execution, Order, OrderState

UNSET = Decimal("1.7e308")
"""IBKR writes numbers it does not have as the greatest double, 1.797e308."""

ZERO, ONE = Decimal(0), Decimal(1)

_SIDES = {"BUY": Side.BUY, "BOT": Side.BUY, "SELL": Side.SELL, "SLD": Side.SELL, "SSHORT": Side.SELL}
_UNLIMITED = frozenset(OrderType) - LIMITED - {OrderType.TRAIL_LIMIT}
"""The types for which IBKR writes a limit of 0 that means nothing."""


def decimal(value: float | Decimal | str | None) -> Decimal | None:
    """A number as IBKR wrote it, None for its "unset"; through its shortest text, so 0.1 stays 0.1."""
    if value is None:
        return None
    try:
        exact = Decimal(str(value))
    except InvalidOperation:  # an empty field
        return None
    if not exact.is_finite() or abs(exact) > UNSET:
        return None
    return Decimal(int(exact)) if exact == exact.to_integral_value() else exact


def order_seen(order_id: int, contract: Contract, order: Order, state: OrderState) -> OrderSeen:
    """From openOrder. `order_id` is 0 for an order of another client, in whose ids it counts."""
    return OrderSeen(
        order_ref=order.orderRef,
        order_id=order_id,
        perm_id=order.permId,
        status=state.status,
        quantity=decimal(order.totalQuantity),
        limit_price=None if order.orderType in _UNLIMITED else decimal(order.lmtPrice),
        stop_price=_stop_price(order),
        trailing_amount=decimal(order.auxPrice) or None if order.orderType in TRAILING else None,
        trailing_percent=decimal(order.trailingPercent) or None if order.orderType in TRAILING else None,
        time_in_force=order.tif,
        text=state.warningText or "",
        client_id=order.clientId,
        symbol=from_ib_symbol(contract.symbol),
        side=_SIDES.get(order.action),
        account=order.account,
    )


def order_completed(contract: Contract, order: Order, state: OrderState) -> OrderSeen:
    """From completedOrder, which tells no order id and no client, and as quantity only what was left unfilled."""
    rest, filled = decimal(order.totalQuantity) or ZERO, decimal(order.filledQuantity) or ZERO
    return OrderSeen(
        order_ref=order.orderRef,
        perm_id=order.permId,
        status=state.status,
        quantity=rest + filled or None,
        time_in_force=order.tif,
        text=state.completedStatus.strip(),
        symbol=from_ib_symbol(contract.symbol),
        side=_SIDES.get(order.action),
        account=order.account,
    )


def executed(order_id: int, contract: Contract, execution: Execution, now: datetime) -> Executed:
    """From execDetails; `now` stands in for a time that could not be read. `order_id` as in `order_seen`."""
    stamp: datetime | str = execution.time
    return Executed(
        exec_id=execution.execId,
        order_ref=execution.orderRef,
        order_id=order_id,
        perm_id=execution.permId,
        symbol=from_ib_symbol(contract.symbol),
        side=_SIDES.get(execution.side, Side.SELL),
        quantity=decimal(execution.shares) or ZERO,
        price=decimal(execution.price) or ZERO,
        account=execution.acctNumber,
        exchange=execution.exchange,
        executed_at=stamp.astimezone(UTC) if isinstance(stamp, datetime) else now,
        con_id=contract.conId,
        security_type=contract.secType,
    )


def commission(report: CommissionReport) -> CommissionReported | None:
    """From commissionReport. None while it is not known: taken for zero it would keep out the true one."""
    charged = decimal(report.commission)
    if charged is None:
        return None
    return CommissionReported(
        exec_id=report.execId,
        commission=charged,
        currency=report.currency,
        realized_pnl=decimal(report.realizedPNL),
    )


def position(account: str, contract: Contract, quantity: float, average_cost: float) -> PositionReported:
    """From position."""
    return PositionReported(
        account=account,
        con_id=contract.conId,
        symbol=from_ib_symbol(contract.symbol),
        security_type=contract.secType,
        currency=contract.currency,
        quantity=decimal(quantity) or ZERO,
        average_cost=decimal(average_cost) or ZERO,
    )


def account_pnl(account: str, daily: float, unrealized: float, realized: float) -> PnlReported:
    """From pnl."""
    return PnlReported(
        account=account, daily=decimal(daily), unrealized=decimal(unrealized), realized=decimal(realized)
    )


def position_pnl(
    account: str, contract: Contract, price: float, value: float, unrealized: float, realized: float
) -> PnlReported:
    """From updatePortfolio."""
    return PnlReported(
        account=account,
        con_id=contract.conId,
        symbol=from_ib_symbol(contract.symbol),
        unrealized=decimal(unrealized),
        realized=decimal(realized),
        market_price=decimal(price),
        market_value=decimal(value),
    )


def preview(state: OrderState) -> Preview:
    """From the openOrder that answers a what-if."""
    return Preview(
        initial_margin_change=decimal(state.initMarginChange),
        initial_margin_after=decimal(state.initMarginAfter),
        maintenance_margin_change=decimal(state.maintMarginChange),
        maintenance_margin_after=decimal(state.maintMarginAfter),
        equity_with_loan_change=decimal(state.equityWithLoanChange),
        equity_with_loan_after=decimal(state.equityWithLoanAfter),
        commission=decimal(state.commission),
        commission_min=decimal(state.minCommission),
        commission_max=decimal(state.maxCommission),
        commission_currency=state.commissionCurrency,
        warning=state.warningText or "",
    )


def terms_of(details: ContractDetails, increments: Increments) -> Terms:
    """What contract details bind an order to. Over its API IBKR trades whole shares and whole units of a currency alone."""
    contract = details.contract
    assert contract is not None  # noqa: S101 - IBKR's details always carry it
    multiplier = decimal(contract.multiplier) or ONE
    step = decimal(details.sizeIncrement) or decimal(details.minSize) or ONE
    return Terms(
        con_id=contract.conId,
        increments=increments,
        multiplier=multiplier / (details.priceMagnifier or 1),
        quantity_step=ONE if contract.secType == "STK" else max(step, ONE),
    )


def terms_of_combo(legs: list[Terms]) -> Terms:
    """A combo's price is per unit of its largest leg. Its tick is its exchange's own, often finer than theirs, and not told."""
    return Terms(con_id=0, multiplier=max((leg.multiplier for leg in legs), default=ONE))


def _stop_price(order: Order) -> Decimal | None:
    if order.orderType in TRAILING:
        return decimal(order.trailStopPrice)
    return decimal(order.auxPrice) if order.orderType in TRIGGERED else None
