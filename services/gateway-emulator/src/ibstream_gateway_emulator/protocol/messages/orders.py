"""What becomes of orders. openOrder and completedOrder, the longest, are in `protocol.open_order`."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from ibstream_gateway_emulator.protocol.base import Message
from ibstream_gateway_emulator.protocol.fields import DOUBLE_MAX, Contract11, Number
from ibstream_gateway_emulator.protocol.kinds import Since, UnsetAs


class OrderStatus(Message, frozen=True, kw_only=True):
    """Where an order stands."""

    HEAD = (3,)
    order_id: int
    status: str
    filled: Decimal
    remaining: Decimal
    average_fill_price: Number
    perm_id: int
    parent_id: int = 0
    last_fill_price: Number
    client_id: int
    why_held: str = ""
    market_cap_price: Number = 0


class OpenOrderEnd(Message, frozen=True):
    """All open orders are out."""

    HEAD = (53, 1)


class CompletedOrdersEnd(Message, frozen=True):
    """All completed orders are out."""

    HEAD = (102,)


class OrderBound(Message, frozen=True):
    """An order entered by hand got an order id of a client of the API."""

    HEAD = (100,)
    perm_id: int
    client_id: int
    order_id: int


class ExecDetails(Message, frozen=True, kw_only=True):
    """One execution; `req_id` is -1 where it was not asked for.

    `side` is BOT or SLD; `time` is `20260413 15:27:04 US/Eastern`; `last_liquidity` 1 added, 2 removed, 3 routed out, 0 unknown.
    """

    HEAD = (11,)
    req_id: int
    order_id: int
    contract: Contract11
    exec_id: str
    time: str
    account: str
    exchange: str
    side: str
    shares: Decimal
    price: Decimal
    perm_id: int
    client_id: int
    liquidation: int = 0
    cumulative_quantity: Decimal
    average_price: Number
    order_ref: str = ""
    ev_rule: str = ""
    ev_multiplier: str = ""
    model_code: str = ""
    last_liquidity: int = 0
    pending_price_revision: Annotated[bool, Since(178)] = False


class ExecDetailsEnd(Message, frozen=True):
    """All executions asked for are out."""

    HEAD = (55, 1)
    req_id: int


class CommissionReport(Message, frozen=True):
    """What an execution cost, and what it realized; None where it closed nothing."""

    HEAD = (59, 1)
    exec_id: str
    commission: Number
    currency: str
    realized_pnl: Annotated[Number | None, UnsetAs(DOUBLE_MAX)] = None
    yield_: Annotated[Number | None, UnsetAs(DOUBLE_MAX)] = None
    yield_redemption_date: str = ""
