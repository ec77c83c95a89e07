"""The simulated executor's memory of orders: those that work, the last of those that ended, and what was executed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from ibstream.contracts.orders import SubmitOrder
from ibstream.simulation.recent import Recent
from ibstream_broker.adapters.simulated_instruments import Traded
from ibstream_broker.adapters.simulated_tickets import LIMITED, TRAILING, WAITING_FOR_A_PRICE
from ibstream_broker.domain.inputs import CommissionReported, Executed, OrderSeen

ENDED_KEPT = 20_000
"""Orders that have ended, executions and commissions that a snapshot still lists; IBKR lists those of the day."""

PENDING_SUBMIT, PRE_SUBMITTED, SUBMITTED = "PendingSubmit", "PreSubmitted", "Submitted"
FILLED, CANCELLED, API_CANCELLED = "Filled", "Cancelled", "ApiCancelled"

StopOf = Callable[[int], Decimal | None]
"""Where the stop of a working order stands now, by order id."""


@dataclass(slots=True)
class Order:
    """One order as the executor knows it. Its permanent id is its order id."""

    request: SubmitOrder
    """As it was asked for last."""
    order_id: int
    traded: Traded
    quantity: Decimal
    """A group can have made it smaller than was asked for."""
    status: str
    """IBKR's word. `PendingSubmit` while it is not transmitted."""
    filled: Decimal = Decimal(0)
    told: bool = False
    """Whether it has been shown as it stands."""


class OrderMemory:
    """Orders by id, executions by id. Everything but the working orders is bounded by `ENDED_KEPT`."""

    def __init__(self, account: str, stop_of: StopOf) -> None:
        self._account = account
        self._stop_of = stop_of
        self._working: dict[int, Order] = {}
        self._ended: Recent[int, Order] = Recent(ENDED_KEPT)
        self._executions: Recent[str, Executed] = Recent(ENDED_KEPT)
        self._commissions: Recent[str, tuple[CommissionReported, Decimal]] = Recent(ENDED_KEPT)
        self.client_id = 0

    def add(self, order: Order) -> None:
        """Remember one that begins to work."""
        self._working[order.order_id] = order

    def end(self, order: Order, status: str) -> None:
        """It works no more."""
        order.status = status
        del self._working[order.order_id]
        self._ended.put(order.order_id, order)

    def find(self, order_id: int) -> Order | None:
        """The order, unless it never was or is forgotten."""
        return self._working.get(order_id) or self._ended.get(order_id)

    def working(self, order_id: int) -> Order | None:
        """The order, if it has not ended."""
        return self._working.get(order_id)

    def ended(self, order_id: int) -> Order | None:
        """The order, if it has ended and is not forgotten."""
        return self._ended.get(order_id)

    def put_execution(self, executed: Executed) -> None:
        """Remember an execution, or its correction in its place."""
        self._executions.put(_stem(executed.exec_id), executed)

    def put_commission(self, charged: CommissionReported, usd_rate: Decimal) -> None:
        """Remember what an execution cost and earned, and USD for one unit of its instrument's currency then."""
        self._commissions.put(_stem(charged.exec_id), (charged, usd_rate))

    def commission(self, exec_id: str) -> tuple[CommissionReported, Decimal] | None:
        """What was put for an execution, unless it is forgotten."""
        return self._commissions.get(_stem(exec_id))

    def open_orders(self) -> list[OrderSeen]:
        """Those that have not ended, oldest first."""
        return [self.seen(order) for order in self._working.values()]

    def completed_orders(self) -> list[OrderSeen]:
        """Those that have ended, without their order ids, as IBKR lists them."""
        return [self.seen(order, is_completed=True) for order in self._ended]

    def executions(self) -> list[Executed]:
        """Those that count, oldest first."""
        return list(self._executions)

    def commissions(self) -> list[CommissionReported]:
        """What they cost."""
        return [charged for charged, _ in self._commissions]

    def seen(self, order: Order, *, is_completed: bool = False) -> OrderSeen:
        """The order as it stands."""
        request, kind = order.request, order.request.order_type
        return OrderSeen(
            order_ref=request.client_order_id,
            order_id=0 if is_completed else order.order_id,
            perm_id=order.order_id,
            status=order.status,
            quantity=order.quantity,
            limit_price=request.limit_price if kind in LIMITED else None,
            stop_price=self._stop_price(order) if kind in WAITING_FOR_A_PRICE else None,
            trailing_amount=request.trailing_amount,
            trailing_percent=request.trailing_percent,
            time_in_force=request.time_in_force.value,
            client_id=0 if is_completed else self.client_id,
            symbol=order.traded.symbol,
            side=request.side,
            account=self._account,
        )

    def _stop_price(self, order: Order) -> Decimal | None:
        """Where it was asked for, or where a trailing stop stands now."""
        moved = self._stop_of(order.order_id) if order.request.order_type in TRAILING else None
        return order.request.stop_price if moved is None else moved


def _stem(exec_id: str) -> str:
    """The id without its last part, which counts corrections."""
    return exec_id.rpartition(".")[0]
