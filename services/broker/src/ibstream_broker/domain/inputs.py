"""What can happen to an order, in the broker's own words; adapters translate IBKR's callbacks into these."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import Side


class OrderSeen(msgspec.Struct, frozen=True, kw_only=True):
    """IBKR showed the order as it has it (openOrder), or in the list of today's completed ones."""

    order_ref: str
    order_id: int = 0
    perm_id: int
    status: str
    """IBKR's word: `PreSubmitted`, `Submitted`, `Filled`, `Cancelled`, `Inactive`, …"""
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    """IBKR's auxPrice where the type has a stop or a trigger."""
    trailing_amount: Decimal | None = None
    trailing_percent: Decimal | None = None
    """How far behind a trailing stop stays; of the two, that which it was asked for with."""
    time_in_force: str = ""
    text: str = ""
    """A warning that came with it."""
    client_id: int = 0
    """Whose it is; 0 where it is not told."""
    symbol: str = ""
    side: Side | None = None
    account: str = ""


class StatusReported(msgspec.Struct, frozen=True, kw_only=True):
    """IBKR's orderStatus. Often repeated; fills are not counted from it."""

    order_id: int
    perm_id: int
    status: str
    filled: Decimal
    why_held: str = ""


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    """One execution (execDetails), live or recovered; or the correction of one."""

    exec_id: str
    order_ref: str
    order_id: int
    perm_id: int
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    account: str
    exchange: str
    executed_at: datetime
    con_id: int = 0
    """IBKR's contract id of what was traded: a leg's own, for the leg of a combo."""
    security_type: str = "STK"
    """Of what was traded: `BAG` for a combo as such, which changes no position; its legs' executions do."""


class CommissionReported(msgspec.Struct, frozen=True, kw_only=True):
    """What an execution cost; may come before the execution itself."""

    exec_id: str
    commission: Decimal
    currency: str
    realized_pnl: Decimal | None = None


class CodeReported(msgspec.Struct, frozen=True, kw_only=True):
    """IBKR's code on the id of an order. What it means depends on whether the order was acknowledged."""

    order_id: int
    code: int
    text: str
    cancelled: bool
    """It says that the order ended (202)."""
    dead_if_new: bool
    """It refuses a new order; on a working one it is unclear."""
    advice: bool
    """The order lives as it was; the text is for people."""
    cancel_refused: bool = False
    """A cancel did nothing: the order stands as it stood, or has filled (10148, 161, 136)."""
    change_refused: bool = False
    """A modify did nothing: the order works as it did (105, 328, 329, 2102)."""


OrderInput = OrderSeen | StatusReported | Executed | CommissionReported | CodeReported


class PositionReported(msgspec.Struct, frozen=True, kw_only=True):
    """What the account holds of one contract."""

    account: str
    con_id: int
    symbol: str
    security_type: str
    currency: str
    quantity: Decimal
    average_cost: Decimal


class AccountValueReported(msgspec.Struct, frozen=True, kw_only=True):
    """One of IBKR's account values."""

    account: str
    tag: str
    value: str
    currency: str


class PnlReported(msgspec.Struct, frozen=True, kw_only=True):
    """Profit and loss, of the account (`con_id` 0) or of one position."""

    account: str
    con_id: int = 0
    symbol: str = ""
    daily: Decimal | None = None
    unrealized: Decimal | None = None
    realized: Decimal | None = None
    market_price: Decimal | None = None
    market_value: Decimal | None = None


class PositionsListed(msgspec.Struct, frozen=True, kw_only=True):
    """All that the account holds, as listed after a connect: what is not in it is no longer held."""

    account: str
    positions: list[PositionReported]


PortfolioInput = PositionReported | PositionsListed | AccountValueReported | PnlReported


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything IBKR says after a connect: open orders of all clients, today's completed ones, today's executions."""

    open_orders: list[OrderSeen]
    completed_orders: list[OrderSeen]
    executions: list[Executed]
    commissions: list[CommissionReported]
    next_order_id: int = 0
    """Every order id that reached the executor lies below it; 0 where it does not say."""
    executions_complete: bool = True
    """False where the executor never ended the list: what is missing in it may have happened all the same."""
    volatile: bool = False
    """The executor forgets everything when it ends, as a simulated one does: what it does not list does not exist any more."""
