"""Listening in on ib_async: each of the wrapper's callbacks is heard before the library makes its own sense of it.

ib_async's `Trade` objects are not used: their status is changed by codes that mean something else (10349 makes a live order
`Cancelled`). The broker's own state machine hears everything exactly as IBKR said it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibstream.ibkr.codes import CodeClass, Verdict, classify, order_verdict
from ibstream.runtime.clock import Clock
from ibstream_broker.adapters import ibkr_inputs as inputs
from ibstream_broker.adapters.coded import code_reported
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    CommissionReported,
    Executed,
    OrderSeen,
    StatusReported,
)
from ibstream_broker.ports import OnInput, OrderRefused, Preview

if TYPE_CHECKING:
    from ib_async import IB, CommissionReport, Contract, Execution, Order, OrderState

_TAPPED = (
    *("openOrder", "orderStatus", "execDetails", "commissionReport", "completedOrder", "nextValidId"),
    *("position", "updateAccountValue", "updatePortfolio", "pnl"),
)


@dataclass
class Gathered:
    """What came in while a snapshot was being taken."""

    open_orders: dict[tuple[int, int], OrderSeen] = field(default_factory=dict)
    """By permanent id and order id, as shown last: an order that changes meanwhile is shown again."""
    completed_orders: list[OrderSeen] = field(default_factory=list)
    executions: list[Executed] = field(default_factory=list)
    commissions: list[CommissionReported] = field(default_factory=list)


class Hearing:
    """Turns callbacks into inputs, and keeps what is waited for: a snapshot, previews, the next order id."""

    def __init__(self, account: Callable[[], str], *, clock: Clock) -> None:
        self._account = account
        """The account whose values, positions and profits are told; empty before it is known, and then none are."""
        self._clock = clock
        self._gathered: Gathered | None = None
        self._previews: dict[int, asyncio.Future[Preview]] = {}
        """By the order id under which each was asked for."""
        self._next_id: asyncio.Future[int] | None = None
        self._ids_owed = 0
        """Answers about the next order id that nobody waits for any more. They come in the order of the questions."""
        self.on_input: OnInput = lambda _: None
        """Where inputs go."""
        self.client_id = 0
        """Whose order ids are ours."""

    def begin(self, client_id: int) -> None:
        """A session is about to be made, in which nothing is owed yet."""
        self.client_id, self._next_id, self._ids_owed = client_id, None, 0

    def tap(self, ib: IB) -> None:
        """Listen in on a new ib_async object; called before it is connected."""
        from ib_async.client import Client

        for name in _TAPPED:
            setattr(ib.wrapper, name, _tapped(getattr(self, f"_on_{name}"), getattr(ib.wrapper, name)))
        ib.client = Client(ib.wrapper)  # its decoder binds the wrapper's methods when it is made
        ib.client.apiEnd += ib.disconnectedEvent

    def gather(self) -> Gathered:
        """Collect from now on what a snapshot asks for. One snapshot at a time."""
        self._gathered = Gathered()
        return self._gathered

    def stop_gathering(self) -> None:
        """The snapshot is complete, or given up."""
        self._gathered = None

    def expect_preview(self, order_id: int) -> asyncio.Future[Preview]:
        """What will answer a what-if under this id; fails with `OrderRefused`."""
        answer = self._previews[order_id] = asyncio.get_running_loop().create_future()
        return answer

    def forget_preview(self, order_id: int) -> None:
        """Nobody waits for it any more."""
        self._previews.pop(order_id, None)

    def expect_next_id(self) -> asyncio.Future[int]:
        """What will answer a question for the next order id. One question at a time."""
        self._next_id = asyncio.get_running_loop().create_future()
        return self._next_id

    def forget_next_id(self) -> None:
        """Nobody waits any more: an answer that is still to come must not be taken for that of the next question."""
        if self._next_id is not None:
            self._next_id = None
            self._ids_owed += 1

    def on_code(self, request_id: int, code: int, text: str) -> None:
        """A code on an id. Requests and orders share one counter: where it is no order's, no record is found for it."""
        if request_id <= 0 or classify(code, text) is CodeClass.BENIGN:
            return
        preview = self._previews.get(request_id)
        if preview is None:
            self.on_input(code_reported(request_id, code, text))
        elif not preview.done() and order_verdict(code, text, acknowledged=False) is not Verdict.ALIVE:
            preview.set_exception(OrderRefused(code, text))

    def _on_openOrder(self, order_id: int, contract: Contract, order: Order, state: OrderState) -> None:  # noqa: N802
        if order.whatIf:
            preview = self._previews.get(order_id)
            if preview is not None and not preview.done():
                preview.set_result(inputs.preview(state))
            return
        seen = inputs.order_seen(self._own(order_id, order.clientId), contract, order, state)
        if self._gathered is not None:
            self._gathered.open_orders[seen.perm_id, seen.order_id] = seen
        self.on_input(seen)

    def _on_completedOrder(self, contract: Contract, order: Order, state: OrderState) -> None:  # noqa: N802
        if self._gathered is not None:
            self._gathered.completed_orders.append(inputs.order_completed(contract, order, state))

    def _on_orderStatus(self, order_id: int, status: str, filled: float, *rest: Any) -> None:  # noqa: N802
        _remaining, _average, perm_id, _parent, _last, client_id, why_held, *_ = rest
        if client_id == self.client_id:
            self.on_input(
                StatusReported(
                    order_id=order_id,
                    perm_id=perm_id,
                    status=status,
                    filled=inputs.decimal(filled) or Decimal(0),
                    why_held=why_held,
                )
            )

    def _on_execDetails(self, _request_id: int, contract: Contract, execution: Execution) -> None:  # noqa: N802
        order_id = self._own(execution.orderId, execution.clientId)
        executed = inputs.executed(order_id, contract, execution, self._clock.now())
        if self._gathered is not None:
            self._gathered.executions.append(executed)
        self.on_input(executed)

    def _on_commissionReport(self, report: CommissionReport) -> None:  # noqa: N802
        reported = inputs.commission(report)
        if reported is None:
            return
        if self._gathered is not None:
            self._gathered.commissions.append(reported)
        self.on_input(reported)

    def _on_nextValidId(self, order_id: int) -> None:  # noqa: N802
        if self._ids_owed:
            self._ids_owed -= 1
        elif self._next_id is not None:
            self._next_id.set_result(order_id)
            self._next_id = None

    def _on_position(self, account: str, contract: Contract, quantity: float, average_cost: float) -> None:
        if self._is_ours(account):
            self.on_input(inputs.position(account, contract, quantity, average_cost))

    def _on_updateAccountValue(self, tag: str, value: str, currency: str, account: str) -> None:  # noqa: N802
        if self._is_ours(account):
            self.on_input(AccountValueReported(account=account, tag=tag, value=value, currency=currency))

    def _on_updatePortfolio(self, contract: Contract, *told: Any) -> None:  # noqa: N802
        _quantity, price, value, _cost, unrealized, realized, account = told
        if self._is_ours(account):
            self.on_input(inputs.position_pnl(account, contract, price, value, unrealized, realized))

    def _on_pnl(self, _request_id: int, daily: float, unrealized: float, realized: float) -> None:
        self.on_input(inputs.account_pnl(self._account(), daily, unrealized, realized))

    def _own(self, order_id: int, client_id: int) -> int:
        """The order id where it is one of ours; else 0, as it counts among another client's."""
        return order_id if client_id == self.client_id else 0

    def _is_ours(self, account: str) -> bool:
        return account == self._account()


def _tapped(ours: Callable[..., None], theirs: Callable[..., None]) -> Callable[..., None]:
    def both(*arguments: Any) -> None:
        ours(*arguments)
        theirs(*arguments)

    return both
