"""Streams `orders:requests` and `orders:events`: what strategies ask for, and every step of what became of it."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ibstream.contracts.base import Message, Symbol, Text, UtcDatetime
from ibstream.contracts.base import Side as Side  # noqa: PLC0414 - strategies find it here, too
from ibstream.contracts.instrument import Instrument

ClientOrderId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9:_-]{1,32}$(?!\n)",
        description="the strategy's own id of the order; sent to IBKR as orderRef",
    ),
]
Strategy = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$(?!\n)")]
Account = Annotated[str, Meta(max_length=32, description="IBKR account; empty for the session's own")]

GROUP_ORDERS_MAX = 10
"""Orders in one group."""


class OrderType(StrEnum):
    """How the price is found. The values are IBKR's; beside each, the prices it needs and (in brackets) may have."""

    MARKET = "MKT"
    LIMIT = "LMT"
    """`limit_price`."""
    STOP = "STP"
    """`stop_price`: a market order once the price has come there from the better side."""
    STOP_LIMIT = "STP LMT"
    """`stop_price`, `limit_price`: a limit order once the price has come to the stop."""
    TRAIL = "TRAIL"
    """`trailing_amount` or `trailing_percent` [`stop_price`: where the stop begins]: a stop that follows the price."""
    TRAIL_LIMIT = "TRAIL LIMIT"
    """As TRAIL, and `limit_offset`: it becomes a limit order so far beyond the stop. `stop_price` is needed."""
    MARKET_IF_TOUCHED = "MIT"
    """`stop_price`: a market order once the price has come there from the worse side."""
    LIMIT_IF_TOUCHED = "LIT"
    """`stop_price`, `limit_price`: a limit order once the price has come to the first."""
    MARKET_ON_CLOSE = "MOC"
    """In the closing auction. DAY only."""
    LIMIT_ON_CLOSE = "LOC"
    """`limit_price`. In the closing auction. DAY only."""
    RELATIVE = "REL"
    """`peg_offset` [`limit_price`: its cap]: pegged to the near touch, more aggressive by the offset."""


class TimeInForce(StrEnum):
    """How long the order works."""

    DAY = "DAY"
    GTC = "GTC"
    GTD = "GTD"
    """Until `good_till`."""
    IOC = "IOC"
    """What does not fill at once is cancelled."""
    FOK = "FOK"
    """All at once, or nothing."""
    OPG = "OPG"
    """In the next opening auction; MKT and LMT only."""


class AlgoName(StrEnum):
    """IBKR's algorithms that can be asked for."""

    ADAPTIVE = "Adaptive"
    TWAP = "Twap"
    VWAP = "Vwap"


class Algo(msgspec.Struct, frozen=True, kw_only=True):
    """One of IBKR's algorithms, for MKT and LMT orders.

    Parameters, in IBKR's spelling (source: IBKR's API documentation of its algorithms): Adaptive takes `adaptivePriority`
    (`Urgent`, `Normal`, `Patient`); Twap takes `strategyType`, `startTime`, `endTime`, `allowPastEndTime`; Vwap takes
    `maxPctVol`, `startTime`, `endTime`, `allowPastEndTime`, `noTakeLiq`. Others are refused before anything is sent.
    """

    name: AlgoName
    parameters: Annotated[dict[str, Annotated[str, Meta(max_length=64)]], Meta(max_length=16)] = {}


class OrderStatus(StrEnum):
    """Where an order stands. The last three are outcomes: exactly one of them ends every request's story."""

    PENDING_SUBMIT = "pending_submit"
    """Journalled and on its way; IBKR has not spoken yet."""
    SUBMITTED = "submitted"
    """IBKR works it (or holds it for the session to open)."""
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    """The cancel is on its way; the order can still fill."""
    UNKNOWN = "unknown"
    """No clear answer. Reconciliation resolves it; it is never resent blindly."""
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


FINAL_STATUSES = frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED})
"""The outcomes. No status follows one of these."""


class Reason(StrEnum):
    """Why an order was refused, ended or is unclear: a closed list for machines. `text` has the sentence for people."""

    NONE = ""
    # The gate: not now.
    GATEWAY_DISCONNECTED = "gateway_disconnected"
    LINK_LOST = "link_lost"
    """The Gateway has lost its link to IBKR."""
    RECONCILING = "reconciling"
    HALTED = "halted"
    RESTART_WINDOW = "restart_window"
    """The Gateway is about to restart, or has just done so: what is sent now may be lost."""
    READ_ONLY_API = "read_only_api"
    """The Gateway's API is in read-only mode."""
    JOURNAL_NOT_DURABLE = "journal_not_durable"
    """Redis cannot promise to keep what is written, and the settings require it."""
    OVERLOADED = "overloaded"
    """More requests wait than the broker keeps in memory."""
    UNHANDLED = "unhandled"
    """The broker ended again and again while it handled the request, which now lies among the dead letters."""
    POSITION_MISMATCH = "position_mismatch"
    """The fills do not add up to what IBKR says is held of this instrument; only orders that reduce it pass."""
    # The request itself.
    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    AMBIGUOUS_INSTRUMENT = "ambiguous_instrument"
    INVALID_INSTRUMENT = "invalid_instrument"
    """A field that its kind of instrument needs is missing, or one that it cannot have is set."""
    INVALID_QUANTITY = "invalid_quantity"
    INVALID_PRICE = "invalid_price"
    """A price that the order type needs is missing, one that it cannot have is set, or it is off the price tick."""
    INVALID_ORDER = "invalid_order"
    """Type, time in force, algo or hours do not go together."""
    INVALID_GROUP = "invalid_group"
    INVALID_ACCOUNT = "invalid_account"
    INVALID_TIME = "invalid_time"
    GROUP_REFUSED = "group_refused"
    """Another order of its group was refused, so none was sent."""
    UNKNOWN_ORDER = "unknown_order"
    ORDER_IS_FINAL = "order_is_final"
    # Risk limits.
    RISK_QUANTITY = "risk_quantity"
    RISK_NOTIONAL = "risk_notional"
    RISK_PRICE_COLLAR = "risk_price_collar"
    """The price is too far from the last quote."""
    RISK_NO_QUOTE = "risk_no_quote"
    """There is no quote to judge the price by, or only an old or delayed one."""
    RISK_ORDER_RATE = "risk_order_rate"
    RISK_OPEN_ORDERS = "risk_open_orders"
    RISK_SYMBOL = "risk_symbol"
    RISK_SHORT = "risk_short"
    RISK_POSITION = "risk_position"
    RISK_LOSS = "risk_loss"
    # How it went.
    REJECTED_BY_IBKR = "rejected_by_ibkr"
    CANCELLED_BY_IBKR = "cancelled_by_ibkr"
    CANCEL_REQUESTED = "cancel_requested"
    NO_ANSWER = "no_answer"
    SETTLED_BY_OPERATOR = "settled_by_operator"
    """It had stayed unknown, and a person said what became of it; `text` has who and why."""


class SubmitOrder(Message, frozen=True, kw_only=True, tag="orders.submit.v1"):
    """Ask for one order. A repeated `client_order_id` is answered with the first order's state and never sent again.

    Prices are in the instrument's currency per unit, on its price tick; which of them an order type needs, `OrderType` says.
    """

    client_order_id: ClientOrderId
    strategy: Strategy
    instrument: Instrument
    side: Side
    quantity: Decimal
    """Shares, contracts, combos, or units of a pair's first currency. Whole: IBKR takes no fractions of stocks over its API."""
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    """Of a combo it may be zero or negative: a credit."""
    stop_price: Decimal | None = None
    """Where a stop or a touched order triggers, or a trailing stop begins."""
    trailing_amount: Decimal | None = None
    """How far behind the price a trailing stop stays."""
    trailing_percent: Decimal | None = None
    """The same in per cent: 1.5 for 1.5 %."""
    limit_offset: Decimal | None = None
    """How far beyond the stop the limit of a TRAIL LIMIT lies; positive."""
    peg_offset: Decimal | None = None
    """How much more aggressive than the near touch a REL order is; not negative."""
    time_in_force: TimeInForce = TimeInForce.DAY
    good_till: UtcDatetime | None = None
    """When a GTD order ends; whole seconds."""
    good_after: UtcDatetime | None = None
    """Not worked before; whole seconds."""
    outside_regular_hours: bool = False
    algo: Algo | None = None
    account: Account = ""
    requested_at: UtcDatetime
    valid_until: UtcDatetime | None = None
    """Not sent to IBKR after this time. Default: `broker.order_valid_for_s` after `requested_at`."""


class GroupKind(StrEnum):
    """How the orders of a group hang together."""

    BRACKET = "bracket"
    """The first is the parent. The others, on its opposite side, work once it has filled; one of them filling ends the rest."""
    OCA = "oca"
    """One cancels all: what fills of one ends or reduces the others, as `oca_type` says."""


class OcaType(StrEnum):
    """What a fill does to the other orders of an OCA group."""

    CANCEL = "cancel"
    """Any fill cancels the others (IBKR's type 1, with block: no overfill)."""
    REDUCE = "reduce"
    """The others shrink in proportion at once (type 2, with block)."""
    REDUCE_WITHOUT_BLOCK = "reduce_without_block"
    """The others shrink in proportion later (type 3); the group can overfill."""


class SubmitGroup(Message, frozen=True, kw_only=True, tag="orders.submit_group.v1"):
    """Ask for several orders that hang together: all of them are accepted, or none.

    Each order has its own `client_order_id` and its own outcome. When one cannot be accepted all are rejected: that one with
    its reason, the others with `group_refused`.
    """

    group_id: ClientOrderId
    """Sent to IBKR as ocaGroup of an OCA group."""
    kind: GroupKind
    oca_type: OcaType = OcaType.CANCEL
    orders: Annotated[tuple[SubmitOrder, ...], Meta(min_length=2, max_length=GROUP_ORDERS_MAX)]
    """All of one strategy and account; of a bracket all in one instrument."""
    requested_at: UtcDatetime
    valid_until: UtcDatetime | None = None
    """For all of them; what the orders themselves say is not looked at."""


class ModifyOrder(Message, frozen=True, kw_only=True, tag="orders.modify.v1"):
    """Ask for another quantity, price or time in force on a working order. What is None stays as it is."""

    client_order_id: ClientOrderId
    quantity: Decimal | None = None
    """The whole quantity, what is filled already included."""
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trailing_amount: Decimal | None = None
    trailing_percent: Decimal | None = None
    time_in_force: TimeInForce | None = None
    """DAY or IOC; IBKR changes no other."""
    requested_at: UtcDatetime
    valid_until: UtcDatetime | None = None
    """As of a submit."""


class CancelOrder(Message, frozen=True, kw_only=True, tag="orders.cancel.v1"):
    """Ask to end a working order, or one that waits to be sent."""

    client_order_id: ClientOrderId
    requested_at: UtcDatetime
    valid_until: UtcDatetime | None = None
    """Default: for ever. A late cancel is still wanted."""


class CancelAllOrders(Message, frozen=True, kw_only=True, tag="orders.cancel_all.v1"):
    """Ask to end every working order that fits and was asked for before this; a field left empty fits all."""

    strategy: Annotated[str, Meta(max_length=32)] = ""
    symbol: Annotated[str, Meta(max_length=32)] = ""
    """Every instrument of this symbol, options and futures on it included."""
    instrument: Instrument | None = None
    """One instrument, however it is routed."""
    account: Account = ""
    requested_at: UtcDatetime
    valid_until: UtcDatetime | None = None
    """Default: for ever."""


class WhatIf(Message, frozen=True, kw_only=True, tag="orders.what_if.v1"):
    """Ask what an order would do to margin, and what it would cost; nothing is sent to work.

    The answer is `WhatIfAnswered` or `RequestRefused`, with the order's `client_order_id`, which is not used up by it.
    """

    order: SubmitOrder
    requested_at: UtcDatetime
    valid_until: UtcDatetime | None = None
    """As of a submit."""


OrderRequest = SubmitOrder | SubmitGroup | ModifyOrder | CancelOrder | CancelAllOrders | WhatIf


class RiskCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One risk limit as it was applied to an order."""

    limit: str
    """The setting, without `risk.`: `order_notional_max`, …"""
    bound: str
    """Its value."""
    value: str
    """What the order would have made of it."""
    passed: bool
    scope: Literal["order", "strategy", "account"] = "order"


CHANGED = "changed"
"""The text of the status event that tells that IBKR has taken other terms; the event names them."""


class OrderStatusChanged(Message, frozen=True, kw_only=True, tag="orders.status.v1"):
    """A step of an order. `seq` counts the order's events from 1 without a gap, fills and commissions included."""

    client_order_id: ClientOrderId
    seq: int
    status: OrderStatus
    final: bool
    """True for an outcome; nothing but late commissions follows."""
    reason: Reason = Reason.NONE
    text: Text = ""
    code: int = 0
    """IBKR's code where it gave one, else 0."""
    strategy: str = ""
    symbol: str = ""
    side: Side | None = None
    quantity: Decimal = Decimal(0)
    """With the next five: the terms in force as IBKR has shown them last; until it has shown the order, as it was asked for."""
    limit_price: Decimal | None = None
    """None where the order has none."""
    stop_price: Decimal | None = None
    """Where a stop or a touched order triggers; of a trailing stop where it began, not where it stands now."""
    trailing_amount: Decimal | None = None
    trailing_percent: Decimal | None = None
    time_in_force: TimeInForce | None = None
    """None on events of before it was told."""
    filled: Decimal = Decimal(0)
    average_price: Decimal | None = None
    account: str = ""
    order_id: int = 0
    """IBKR's order id in this client id; not an identity across Gateway restarts."""
    perm_id: int = 0
    """IBKR's permanent id; 0 until acknowledged."""
    group_id: str = ""
    """The group it was submitted in."""
    risk: tuple[RiskCheck, ...] = ()
    """On the first event of an order, and on a refusal by a limit: every limit that was applied."""
    at: UtcDatetime


class OrderFilled(Message, frozen=True, kw_only=True, tag="orders.fill.v1"):
    """One execution. The ledger's key is `exec_id`; a correction carries the id of what it replaces."""

    client_order_id: ClientOrderId
    seq: int
    exec_id: str
    replaces_exec_id: str = ""
    symbol: Symbol
    side: Side
    quantity: Decimal
    price: Decimal
    cumulative_quantity: Decimal
    """Filled so far, this execution included. Executions of legs do not count: the combo's own do."""
    account: str
    exchange: str = ""
    perm_id: int = 0
    con_id: int = 0
    """IBKR's contract id of what was traded; 0 where the executor has none."""
    leg: bool = False
    """One leg's execution of a combo: it changed a position, while the combo's own execution did not."""
    executed_at: UtcDatetime
    at: UtcDatetime


class CommissionCharged(Message, frozen=True, kw_only=True, tag="orders.commission.v1"):
    """What IBKR charged for one execution; may come after the order's outcome."""

    client_order_id: ClientOrderId
    seq: int
    exec_id: str
    commission: Decimal
    currency: str
    realized_pnl: Decimal | None = None
    at: UtcDatetime


class RequestRefused(Message, frozen=True, kw_only=True, tag="orders.refused.v1"):
    """A modify or cancel that could not be done, or a repeated submit. The order itself stands as it stood."""

    client_order_id: ClientOrderId
    request: str
    """The type of the request that was refused."""
    reason: Reason
    text: Text = ""
    code: int = 0
    status: OrderStatus | None = None
    """Where the order stands, if there is one."""
    at: UtcDatetime


class WhatIfAnswered(Message, frozen=True, kw_only=True, tag="orders.what_if_answer.v1"):
    """What IBKR says an order would do. Money is in the account's base currency, commissions in `commission_currency`.

    What IBKR does not say is None.
    """

    client_order_id: ClientOrderId
    initial_margin_change: Decimal | None = None
    initial_margin_after: Decimal | None = None
    maintenance_margin_change: Decimal | None = None
    maintenance_margin_after: Decimal | None = None
    equity_with_loan_change: Decimal | None = None
    equity_with_loan_after: Decimal | None = None
    commission: Decimal | None = None
    """Where it is certain; else it lies between the next two."""
    commission_min: Decimal | None = None
    commission_max: Decimal | None = None
    commission_currency: str = ""
    warning: Text = ""
    at: UtcDatetime


class ExternalOrder(Message, frozen=True, kw_only=True, tag="orders.external.v1"):
    """An order at IBKR that no request of ours asked for: entered by hand or by another client. Never touched.

    Told when it is first seen and when its status changes.
    """

    perm_id: int
    order_ref: str = ""
    client_id: int = 0
    symbol: str
    side: Side
    quantity: Decimal
    status: str
    """IBKR's word."""
    account: str = ""
    at: UtcDatetime


OrderEvent = OrderStatusChanged | OrderFilled | CommissionCharged | RequestRefused | WhatIfAnswered | ExternalOrder
