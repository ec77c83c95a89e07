"""One order as the Gateway knows it, and the messages that tell of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from ibstream.simulation.instruments import Listing
from ibstream.simulation.orders import Corrected, Filled, LegFilled, Rebooked
from ibstream.simulation.sessions import NEW_YORK, from_ns
from ibstream_gateway_emulator.domain.contracts import TIME_ZONE
from ibstream_gateway_emulator.domain.order_contract import OrderContract
from ibstream_gateway_emulator.protocol.completed_order import CompletedOrder
from ibstream_gateway_emulator.protocol.messages import CommissionReport, ExecDetails, OrderStatus
from ibstream_gateway_emulator.protocol.open_order import OpenOrder
from ibstream_gateway_emulator.protocol.order_terms import OrderState, OrderTerms
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder

PENDING_SUBMIT, PRE_SUBMITTED, SUBMITTED, PENDING_CANCEL = "PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel"
FILLED, CANCELLED, API_CANCELLED = "Filled", "Cancelled", "ApiCancelled"
_PRICE_PLACES = Decimal("0.00000001")
_ADDED, _REMOVED = 1, 2
"""Liquidity codes of an execution."""

Fill = Filled | LegFilled | Corrected


@dataclass(slots=True)
class Execution:
    """One execution that counts: of the order itself, or of one leg of its combination."""

    fill: Fill
    executed_ns: int
    leg: Listing | None = None

    @property
    def is_combination(self) -> bool:
        """Whether it stands for the executions of the legs, which have the costs."""
        return isinstance(self.fill, Filled) and self.fill.combo


@dataclass(slots=True)
class OrderRecord:
    """An order of one client. `perm_id` is its identity in the account, (`client_id`, `order_id`) that of the client."""

    perm_id: int
    client_id: int
    order_id: int
    account: str
    contract: OrderContract
    placed: PlaceOrder
    """As the client sent it last."""
    remaining: Decimal
    placed_ns: int
    """When it came, nanoseconds since the epoch."""
    parent: OrderRecord | None = None
    acknowledged: bool = True
    """Whether its client was told of it by itself when it came."""
    status: str = PENDING_SUBMIT
    why_held: str = ""
    to_tell: tuple[str, ...] = ()
    """The states that are still to be told when it begins to work."""
    filled: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    last_price: Decimal = Decimal(0)
    stop_price: Decimal | None = None
    """Where a trailing stop lies now."""
    completed_ns: int = 0
    """When it ended, nanoseconds since the epoch; 0 while it works."""
    completed_status: str = ""
    executions: list[Execution] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        """Whether the order still works."""
        return not self.completed_ns

    @property
    def is_trailing(self) -> bool:
        """Whether its stop follows the price."""
        return self.placed.order_type.startswith("TRAIL")

    @property
    def quantity(self) -> Decimal:
        """Shares, contracts or units ordered."""
        return self.filled + self.remaining

    def book_fill(self, fill: Filled) -> None:
        """Take over what an execution changed."""
        self.executions.append(Execution(fill, fill.time_ns))
        self.filled, self.remaining = fill.cumulative_quantity, fill.remaining
        self.average_price, self.last_price = fill.average_price, fill.price
        self.why_held = ""
        if fill.remaining:
            self.status = SUBMITTED
        else:
            self.end_filled(fill.time_ns)

    def book_leg(self, fill: LegFilled) -> None:
        """Take over the execution of a leg."""
        self.executions.append(Execution(fill, fill.time_ns, self.contract.legs[fill.leg]))

    def book_correction(self, fill: Corrected) -> Execution:
        """Put a correction in the place of what it replaces."""
        place = next(n for n, one in enumerate(self.executions) if one.fill.exec_id == fill.replaces)
        self.executions[place] = corrected = Execution(fill, fill.executed_ns, self.executions[place].leg)
        if corrected.leg is None:
            self.filled, self.remaining = fill.cumulative_quantity, fill.remaining
            self.average_price, self.last_price = fill.average_price, fill.price
        return corrected

    def rebook(self, event: Rebooked) -> None:
        """Note what an execution earned after all. The execution is replaced, as others may share it."""
        place = next(n for n, one in enumerate(self.executions) if one.fill.exec_id == event.exec_id)
        old = self.executions[place]
        fill = msgspec.structs.replace(old.fill, realized_pnl=event.realized_pnl)
        self.executions[place] = Execution(fill, old.executed_ns, old.leg)

    def end_filled(self, now_ns: int) -> None:
        """All of it is executed."""
        self.end(FILLED, now_ns, f"Filled Size: {self.filled:f}")

    def end(self, status: str, now_ns: int, explanation: str) -> None:
        """The order's last state."""
        self.status, self.completed_ns, self.completed_status = status, now_ns, explanation
        self.why_held = ""

    def open_order(self, state: OrderState | None = None) -> OpenOrder:
        """The order and where it stands; or, with another `state`, what became of asking about it."""
        return OpenOrder(
            order_id=self.order_id,
            client_id=self.client_id,
            terms=self._terms(self.quantity),
            state=state or OrderState(status=self.status),
            what_if=state is not None,
        )

    def order_status(self, *, status: str = "", client_id: int | None = None) -> OrderStatus:
        """Where the order stands, or another `status`; under another `client_id` where another client ended it."""
        return OrderStatus(
            order_id=self.order_id,
            status=status or self.status,
            filled=self.filled,
            remaining=self.remaining,
            average_fill_price=plain(self.average_price),
            perm_id=self.perm_id,
            parent_id=self.placed.parent_id,
            last_fill_price=plain(self.last_price),
            client_id=self.client_id if client_id is None else client_id,
            why_held=self.why_held,
        )

    def completed_order(self) -> CompletedOrder:
        """The order after its end. Like a Gateway it tells as quantity what was left unfilled."""
        return CompletedOrder(
            terms=self._terms(self.remaining),
            status=self.status,
            filled=self.filled,
            completed_time=local_time(self.completed_ns),
            completed_status=self.completed_status,
        )

    def exec_details(self, execution: Execution, req_id: int = -1) -> ExecDetails:
        """One execution; `req_id` only where it was asked for."""
        fill, leg = execution.fill, execution.leg
        return ExecDetails(
            req_id=req_id,
            order_id=self.order_id,
            contract=self.contract.of_execution(leg),
            exec_id=fill.exec_id,
            time=local_time(execution.executed_ns),
            account=self.account,
            exchange=self.contract.traded_on(leg),
            side="BOT" if fill.side == "BUY" else "SLD",
            shares=fill.quantity,
            price=plain(fill.price),
            perm_id=self.perm_id,
            client_id=self.client_id,
            cumulative_quantity=fill.cumulative_quantity,
            average_price=plain(fill.average_price),
            order_ref=self.placed.order_ref,
            last_liquidity=_ADDED if isinstance(fill, Filled) and fill.added_liquidity else _REMOVED,
        )

    def _terms(self, quantity: Decimal) -> OrderTerms:
        placed = self.placed
        return OrderTerms(
            contract=self.contract.of_order(),
            action=placed.action,
            quantity=quantity,
            order_type=placed.order_type,
            limit_price=None if placed.order_type == "MKT" else placed.limit_price,
            aux_price=placed.aux_price,
            tif=placed.tif or "DAY",
            account=self.account,
            perm_id=self.perm_id,
            attributes=placed.attributes | self._own_attributes(),
        )

    def _own_attributes(self) -> dict[str, Any]:
        """What the Gateway adds to what the client said."""
        added: dict[str, Any] = {}
        if self.contract.legs_text:
            added["comboLegsDescrip"] = self.contract.legs_text
        if self.stop_price is not None:
            added["trailStopPrice"] = self.stop_price
        if self.parent is not None:
            # Recorded in completed_orders_cancelled_system_live: a child's group is named after its parent.
            added["parentPermId"] = self.parent.perm_id
            added["ocaGroup"] = self.placed.oca_group or str(self.parent.perm_id)
        return added


def commission_report(execution: Execution) -> CommissionReport:
    """What an execution cost and what it earned, in USD both; the profit is unset where it closed nothing."""
    fill = execution.fill
    realized = None if fill.realized_pnl is None else plain(fill.realized_pnl * fill.usd_rate)
    return CommissionReport(fill.exec_id, plain(fill.commission), "USD", realized)


def local_time(time_ns: int) -> str:
    """A time as Gateways write it: `20260413 15:27:04 US/Eastern`."""
    return f"{from_ns(time_ns).astimezone(NEW_YORK):%Y%m%d %H:%M:%S} {TIME_ZONE}"


def plain(value: Decimal) -> Decimal:
    """Without the digits a division leaves behind, and without trailing zeros."""
    return value.quantize(_PRICE_PLACES).normalize()
