"""One order's story in IBKR's words, for tests of the domain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import (
    FINAL_STATUSES,
    OrderEvent,
    OrderFilled,
    OrderStatus,
    OrderStatusChanged,
    OrderType,
    Side,
    SubmitOrder,
)
from ibstream.ibkr.codes import CodeClass, Verdict, classify, order_verdict
from ibstream_broker.domain.inputs import (
    CodeReported,
    CommissionReported,
    Executed,
    OrderInput,
    OrderSeen,
    Snapshot,
    StatusReported,
)
from ibstream_broker.domain.lifecycle import Step, published, status_event, step
from ibstream_broker.domain.reconcile import Reconciliation
from ibstream_broker.domain.records import OrderRecord

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
ORDER_ID, PERM_ID = 41, 7_000_001
EPOCH = 1
"""The session in which the orders of these stories were sent."""

COMBO = Instrument(
    symbol="AAPL",
    security_type="BAG",
    legs=(
        ComboLeg(instrument=Instrument(symbol="AAPL"), side=Side.BUY),
        ComboLeg(instrument=Instrument(symbol="MSFT"), side=Side.SELL),
    ),
)


def submit(**details: Any) -> SubmitOrder:
    """A limit order for 100 AAPL at 50.00."""
    told: dict[str, Any] = {
        "client_order_id": "s-1",
        "strategy": "s",
        "instrument": Instrument(symbol="AAPL"),
        "side": Side.BUY,
        "quantity": Decimal(100),
        "order_type": OrderType.LIMIT,
        "limit_price": Decimal("50.00"),
        "requested_at": NOW,
        **details,
    }
    return SubmitOrder(**told)


def sent(**details: Any) -> OrderRecord:
    """Its record as it is when the order goes out: journalled, one event told."""
    request = submit(**details.pop("request", {}))
    record = OrderRecord(request=request, entry_id="1-1", account="DU1", order_id=ORDER_ID, epoch=EPOCH)
    journalled, _ = published(record, [status_event(record, NOW)])
    return msgspec.structs.replace(journalled, **details)


def working(**details: Any) -> OrderRecord:
    """Its record once IBKR works it."""
    return sent(status=OrderStatus.SUBMITTED, perm_id=PERM_ID, worked=True, **details)


def seen(status: str = "Submitted", *, perm_id: int = PERM_ID, **details: Any) -> OrderSeen:
    """An openOrder."""
    return OrderSeen(order_ref="s-1", order_id=ORDER_ID, perm_id=perm_id, status=status, **details)


def status(word: str, filled: int = 0, *, perm_id: int = PERM_ID, why_held: str = "") -> StatusReported:
    """An orderStatus."""
    return StatusReported(order_id=ORDER_ID, perm_id=perm_id, status=word, filled=Decimal(filled), why_held=why_held)


def executed(
    number: int, quantity: int, *, correction: int = 1, price: str = "49.99", leg: int = 0, kind: str = "STK"
) -> Executed:
    """An execDetails: `correction` counts from 1, so does the `leg` of a combo; `kind` is the security type."""
    part = f".{leg + 1:02}" if leg else ""
    return Executed(
        exec_id=f"0000e0d5.6560a1b2.{number:02}{part}.{correction:02}",
        order_ref="s-1",
        order_id=ORDER_ID,
        perm_id=PERM_ID,
        symbol="AAPL",
        side=Side.BUY,
        quantity=Decimal(quantity),
        price=Decimal(price),
        account="DU1",
        exchange="ISLAND",
        executed_at=NOW,
        con_id=100 + leg,
        security_type=kind,
    )


def charged(execution: Executed) -> CommissionReported:
    """Its commissionReport."""
    return CommissionReported(exec_id=execution.exec_id, commission=Decimal("1.00"), currency="USD")


def code(number: int, text: str = "") -> CodeReported:
    """A code on the order's id, as an adapter reads it."""
    verdict = order_verdict(number, text, acknowledged=False)
    return CodeReported(
        order_id=ORDER_ID,
        code=number,
        text=text,
        cancelled=verdict is Verdict.CANCELLED,
        dead_if_new=verdict is Verdict.DEAD,
        advice=verdict is Verdict.ALIVE,
        cancel_refused=verdict is Verdict.CANCEL_REFUSED,
        change_refused=classify(number, text) is CodeClass.MODIFY_REJECTED,
    )


def snapshot(
    *,
    is_open: Iterable[OrderSeen] = (),
    completed: Iterable[OrderSeen] = (),
    executions: Iterable[Executed] = (),
    commissions: Iterable[CommissionReported] = (),
    **details: Any,
) -> Snapshot:
    """What IBKR lists."""
    return Snapshot(
        open_orders=list(is_open),
        completed_orders=list(completed),
        executions=list(executions),
        commissions=list(commissions),
        **details,
    )


def listed(*, epoch: int = EPOCH + 1, **details: Any) -> Reconciliation:
    """The same, prepared: asked for in the session after that of the orders."""
    return Reconciliation(snapshot(**details), epoch=epoch)


@dataclass
class Story:
    """A record that takes inputs, and everything that was published of it; checks what must hold at every step."""

    record: OrderRecord
    events: list[OrderEvent] = field(default_factory=list)

    def take(self, *inputs: OrderInput) -> Story:
        """Apply inputs in order."""
        for one in inputs:
            self.apply(step(self.record, one, NOW))
        return self

    def apply(self, change: Step) -> None:
        """Believe a step, if it is one that may be."""
        after, events = change
        check_step(self.record, after, events)
        self.record = after
        self.events += events

    @property
    def outcomes(self) -> list[OrderStatusChanged]:
        """Every event that claims to be final."""
        return [event for event in self.events if isinstance(event, OrderStatusChanged) and event.final]

    @property
    def statuses(self) -> list[OrderStatus]:
        """The statuses told, in order."""
        return [event.status for event in self.events if isinstance(event, OrderStatusChanged)]

    @property
    def fills(self) -> list[OrderFilled]:
        """The fills told, in order."""
        return [event for event in self.events if isinstance(event, OrderFilled)]


def check_step(before: OrderRecord, after: OrderRecord, events: Iterable[OrderEvent]) -> None:
    """What holds for every step there is: one revision, gapless `seq`, no step without a change, no second outcome."""
    events = list(events)
    if after.revision == before.revision:
        assert (after, events) == (before, []), "a change that would never be written"
        return
    assert after.revision == before.revision + 1
    assert msgspec.structs.replace(after, revision=before.revision, seq=before.seq) != before or events, "no change"
    assert [getattr(event, "seq", None) for event in events] == list(range(before.seq + 1, after.seq + 1))
    finals = [event for event in events if isinstance(event, OrderStatusChanged) and event.final]
    if before.status in FINAL_STATUSES:
        assert after.status is before.status, "an outcome was taken back"
        assert not any(isinstance(event, OrderStatusChanged) for event in events), "a status after the outcome"
    else:
        assert len(finals) == (after.status in FINAL_STATUSES)
    told = [event for event in events if isinstance(event, OrderStatusChanged)]
    assert not told or told[-1].status is after.status
