"""One order as the Gateway knows it, and the messages that tell of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from ibstream.simulation.instruments import Listing
from ibstream.simulation.orders import Filled
from ibstream.simulation.sessions import NEW_YORK, from_ns
from ibstream_gateway_emulator.domain.contracts import TIME_ZONE, eleven
from ibstream_gateway_emulator.protocol.fields import DOUBLE_MAX
from ibstream_gateway_emulator.protocol.messages import CommissionReport, ExecDetails, OrderStatus
from ibstream_gateway_emulator.protocol.open_order import CompletedOrder, OpenOrder, OrderState, OrderTerms
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder

PRE_SUBMITTED, SUBMITTED, PENDING_CANCEL = "PreSubmitted", "Submitted", "PendingCancel"
FILLED, CANCELLED = "Filled", "Cancelled"
_CENT = Decimal("0.01")
_PRICE_PLACES = Decimal("0.00000001")
_ADDED, _REMOVED = 1, 2
"""Liquidity codes of an execution."""


@dataclass(slots=True)
class OrderRecord:
    """An order of one client. `perm_id` is its identity in the account, (`client_id`, `order_id`) that of the client."""

    perm_id: int
    client_id: int
    order_id: int
    account: str
    listing: Listing
    placed: PlaceOrder
    """As the client sent it last."""
    remaining: Decimal
    status: str = PRE_SUBMITTED
    filled: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    last_price: Decimal = Decimal(0)
    completed_ns: int = 0
    """When it ended, nanoseconds since the epoch; 0 while it works."""
    completed_status: str = ""
    executions: list[Filled] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        """Whether the order still works."""
        return not self.completed_ns

    def book_fill(self, fill: Filled) -> None:
        """Take over what a fill changed."""
        self.executions.append(fill)
        self.filled, self.remaining = fill.cumulative_quantity, fill.remaining
        self.average_price, self.last_price = fill.average_price, fill.price
        if fill.remaining:
            self.status = SUBMITTED
        else:
            self.end(FILLED, fill.time_ns, f"Filled Size: {fill.cumulative_quantity:f}")

    def end(self, status: str, now_ns: int, explanation: str) -> None:
        """The order's last state."""
        self.status, self.completed_ns, self.completed_status = status, now_ns, explanation

    def open_order(self) -> OpenOrder:
        """The order and its state."""
        return OpenOrder(
            order_id=self.order_id,
            client_id=self.client_id,
            terms=self.terms(self.quantity),
            state=OrderState(status=self.status),
        )

    @property
    def quantity(self) -> Decimal:
        """Shares ordered."""
        return self.filled + self.remaining

    def order_status(self, *, status: str = "", client_id: int | None = None) -> OrderStatus:
        """Where the order stands, or another `status`; under another `client_id` where another client ended it."""
        return OrderStatus(
            order_id=self.order_id,
            status=status or self.status,
            filled=self.filled,
            remaining=self.remaining,
            average_fill_price=_plain(self.average_price),
            perm_id=self.perm_id,
            last_fill_price=_plain(self.last_price),
            client_id=self.client_id if client_id is None else client_id,
        )

    def completed_order(self) -> CompletedOrder:
        """The order after its end. Like a Gateway it tells as quantity what was left unfilled."""
        return CompletedOrder(
            terms=self.terms(self.remaining),
            status=self.status,
            filled=self.filled,
            completed_time=local_time(self.completed_ns),
            completed_status=self.completed_status,
        )

    def exec_details(self, fill: Filled, req_id: int = -1) -> ExecDetails:
        """One execution; `req_id` only where it was asked for."""
        exchange = "ISLAND" if self.listing.primary_exchange == "NASDAQ" else self.listing.primary_exchange
        return ExecDetails(
            req_id=req_id,
            order_id=self.order_id,
            contract=eleven(self.listing, exchange),
            exec_id=fill.exec_id,
            time=local_time(fill.time_ns),
            account=self.account,
            exchange=exchange,
            side="BOT" if fill.side == "BUY" else "SLD",
            shares=fill.quantity,
            price=fill.price,
            perm_id=self.perm_id,
            client_id=self.client_id,
            cumulative_quantity=fill.cumulative_quantity,
            average_price=_plain(fill.average_price),
            order_ref=self.placed.order_ref,
            last_liquidity=_ADDED if fill.added_liquidity else _REMOVED,
        )

    def terms(self, quantity: Decimal) -> OrderTerms:
        """What was ordered, with `quantity` in its place."""
        return OrderTerms(
            contract=eleven(self.listing, self.placed.contract.exchange or "SMART", strike="0", right="?"),
            action=self.placed.action,
            quantity=quantity,
            order_type=self.placed.order_type,
            limit_price=self.placed.limit_price if self.placed.order_type == "LMT" else None,
            tif=self.placed.tif or "DAY",
            account=self.account,
            order_ref=self.placed.order_ref,
            perm_id=self.perm_id,
            outside_rth=self.placed.outside_rth,
        )


def commission_report(fill: Filled) -> CommissionReport:
    """What an execution cost; the profit it realized is unset where it closed nothing."""
    realized = DOUBLE_MAX if fill.realized_pnl is None else _plain(fill.realized_pnl)
    return CommissionReport(fill.exec_id, _plain(fill.commission), "USD", realized)


def local_time(time_ns: int) -> str:
    """A time as Gateways write it: `20260413 15:27:04 US/Eastern`."""
    return f"{from_ns(time_ns).astimezone(NEW_YORK):%Y%m%d %H:%M:%S} {TIME_ZONE}"


def to_cents(value: Decimal) -> Decimal:
    """An amount of money as statements write it."""
    return value.quantize(_CENT)


def _plain(value: Decimal) -> Decimal:
    """Without the digits a division leaves behind, and without trailing zeros."""
    return value.quantize(_PRICE_PLACES).normalize()
