"""Account values, portfolio, positions, profit and loss."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from ibstream_gateway_emulator.protocol.base import Message
from ibstream_gateway_emulator.protocol.fields import DOUBLE_MAX, Contract11, Number
from ibstream_gateway_emulator.protocol.kinds import UnsetAs

Amount = Annotated[Number | None, UnsetAs(DOUBLE_MAX)]
"""An amount of money; None where it is not known."""


class PositionData(Message, frozen=True):
    """What is held of one instrument."""

    HEAD = (61, 3)
    account: str
    contract: Contract11
    quantity: Decimal
    average_cost: Number


class PositionEnd(Message, frozen=True):
    """All positions are out; changes follow."""

    HEAD = (62, 1)


class PositionMulti(Message, frozen=True):
    """What is held of one instrument, under a request id."""

    HEAD = (71, 1)
    req_id: int
    account: str
    contract: Contract11
    quantity: Decimal
    average_cost: Number
    model_code: str = ""


class PositionMultiEnd(Message, frozen=True):
    """All positions under a request id are out; changes follow."""

    HEAD = (72, 1)
    req_id: int


class AccountValue(Message, frozen=True):
    """One value of the account."""

    HEAD = (6, 2)
    key: str
    value: str
    currency: str
    account: str


class PortfolioValue(Message, frozen=True, kw_only=True):
    """What is held of one instrument, and what it is worth. The contract is told with its primary exchange and no other."""

    HEAD = (7, 8)
    con_id: int
    symbol: str
    security_type: str = "STK"
    last_trade_date: str = ""
    strike: str = "0.0"
    right: str = ""
    multiplier: str = ""
    primary_exchange: str
    currency: str = "USD"
    local_symbol: str
    trading_class: str
    quantity: Decimal
    market_price: Number
    market_value: Number
    average_cost: Number
    unrealized_pnl: Number
    realized_pnl: Number
    account: str


class AccountUpdateTime(Message, frozen=True):
    """When the account values were computed, hh:mm in the gateway's time zone."""

    HEAD = (8, 1)
    time: str


class AccountDownloadEnd(Message, frozen=True):
    """All account values and portfolio items are out; changes follow."""

    HEAD = (54, 1)
    account: str


class AccountSummary(Message, frozen=True):
    """One value of a summary."""

    HEAD = (63, 1)
    req_id: int
    account: str
    tag: str
    value: str
    currency: str


class AccountSummaryEnd(Message, frozen=True):
    """The summary is complete; changes follow."""

    HEAD = (64, 1)
    req_id: int


class AccountUpdateMulti(Message, frozen=True):
    """One value of the account under a request id."""

    HEAD = (73, 1)
    req_id: int
    account: str
    model_code: str
    key: str
    value: str
    currency: str


class AccountUpdateMultiEnd(Message, frozen=True):
    """All values under a request id are out; changes follow."""

    HEAD = (74, 1)
    req_id: int


class PnL(Message, frozen=True):
    """The account's profit and loss of the day, of what is held, and of what was sold today."""

    HEAD = (94,)
    req_id: int
    daily: Amount
    unrealized: Amount = None
    realized: Amount = None


class PnLSingle(Message, frozen=True):
    """The same of one instrument, with how much of it is held and what that is worth."""

    HEAD = (95,)
    req_id: int
    quantity: Decimal
    daily: Amount
    unrealized: Amount
    realized: Amount
    value: Amount
