"""The judge of the storms by itself: an honest story passes, and every way in which one can be false is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from faults.storm_truth import Evidence, complaints
from msgspec import structs

from ibstream.contracts.base import Message
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import (
    CommissionCharged,
    ExternalOrder,
    OrderFilled,
    OrderStatus,
    OrderStatusChanged,
    Reason,
    RequestRefused,
    Side,
    SubmitOrder,
    WhatIf,
)
from ibstream_gateway_emulator.control.views import ExecutionRow, OrderRow

NOW = datetime(2026, 11, 27, 15, 0, tzinfo=UTC)
AAPL = 265598
TEN, ZERO = Decimal(10), Decimal(0)
ORDER = SubmitOrder(
    client_order_id="a-1",
    strategy="s",
    instrument=Instrument(symbol="AAPL"),
    side=Side.BUY,
    quantity=TEN,
    requested_at=NOW,
)
NEVER = structs.replace(ORDER, client_order_id="a-2")


def status(seq: int, what: OrderStatus, name: str = "a-1", **details: Any) -> OrderStatusChanged:
    final = what in (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED)
    return OrderStatusChanged(client_order_id=name, seq=seq, status=what, final=final, at=NOW, **details)


FILL = OrderFilled(
    client_order_id="a-1",
    seq=2,
    exec_id="e.1.01",
    symbol="AAPL",
    side=Side.BUY,
    quantity=TEN,
    price=Decimal(200),
    cumulative_quantity=TEN,
    account="DU1",
    con_id=AAPL,
    executed_at=NOW,
    at=NOW,
)
OUTCOME = status(3, OrderStatus.FILLED, filled=TEN)
COMMISSION = CommissionCharged(
    client_order_id="a-1", seq=4, exec_id="e.1.01", commission=Decimal(1), currency="USD", at=NOW
)
REJECTED = status(1, OrderStatus.REJECTED, "a-2", reason=Reason.LINK_LOST)
DUPLICATE = RequestRefused(client_order_id="a-1", request="orders.submit.v1", reason=Reason.DUPLICATE, at=NOW)
STRANGER = ExternalOrder(
    perm_id=9, order_ref="by-hand", client_id=41, symbol="AAPL", side=Side.BUY, quantity=TEN, status="Submitted", at=NOW
)
EVENTS: tuple[Message, ...] = (
    status(1, OrderStatus.PENDING_SUBMIT),
    FILL,
    OUTCOME,
    COMMISSION,
    REJECTED,
    DUPLICATE,
    STRANGER,
)


def row(**details: Any) -> OrderRow:
    told: dict[str, Any] = {
        "outcome": "taken",
        "client_id": 1,
        "order_id": 5,
        "order_ref": "a-1",
        "perm_id": 7,
        "symbol": "AAPL",
        "security_type": "STK",
        "action": "BUY",
        "order_type": "MKT",
        "tif": "DAY",
        "quantity": TEN,
        "limit_price": None,
        "aux_price": None,
        "placed": NOW,
        "status": "Filled",
        "filled": TEN,
    }
    return OrderRow(**{**told, **details})


LOST = row(outcome="lost", perm_id=0, status="", filled=ZERO, text="deaf")
HAND = row(client_id=41, order_ref="by-hand", perm_id=9, status="Submitted", filled=ZERO)
EXECUTION = ExecutionRow(
    exec_id="e.1.01",
    time=NOW,
    perm_id=7,
    client_id=1,
    order_id=5,
    order_ref="a-1",
    symbol="AAPL",
    side="BUY",
    quantity=TEN,
    price=Decimal(200),
    commission=Decimal(1),
    realized_pnl=None,
    is_combination=False,
    replaces="",
)
HONEST = Evidence(
    requests=[("1-0", ORDER), ("2-0", NEVER), ("3-0", ORDER)],
    garbage=1,
    events=EVENTS,
    orders=[LOST, row(), HAND],
    executions=[EXECUTION],
    pending=0,
    dead=["unreadable"],
    dead_ids=["4-0"],
    holdings={AAPL: TEN},
    by_fills={AAPL: TEN},
    of_strategies={("s", AAPL): TEN},
    con_ids={"AAPL": AAPL},
    broker=1,
)


def instead(old: Message, *new: Message) -> Callable[[Evidence], Evidence]:
    """The same story with other events in the place of one."""

    def falsify(honest: Evidence) -> Evidence:
        events = list(honest.events)
        at = events.index(old)
        return replace(honest, events=[*events[:at], *new, *events[at + 1 :]])

    return falsify


def but(**changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda honest: replace(honest, **changes)


def test_an_honest_story_passes() -> None:
    """With an order that was lost and sent again, a rejection, a repetition, a stranger, and an entry that nobody can read."""
    assert complaints(HONEST) == []


CORRECTED = structs.replace(FILL, seq=5, exec_id="e.1.02", replaces_exec_id="e.1.01", price=Decimal(201))


def test_a_correction_that_was_told_passes() -> None:
    """Each form once, each naming what it replaces, the last one as IBKR has it."""
    execution = structs.replace(EXECUTION, exec_id="e.1.02", price=Decimal(201), replaces="e.1.01")
    corrected = replace(HONEST, executions=[execution], events=[*EVENTS, CORRECTED])
    assert complaints(corrected) == []


FALSE = {
    "two orders": (but(orders=[row(), row(perm_id=8, order_id=5), HAND]), "2 orders at IBKR"),
    "two order ids": (but(orders=[LOST, row(order_id=6), HAND]), "several order ids"),
    "an order id for two": (
        but(orders=[*HONEST.orders, structs.replace(LOST, order_ref="a-2")]),
        "used for several orders",
    ),
    "sent again though it was there": (
        but(orders=[row(), row(outcome="rejected", code=103), HAND]),
        "2 orders at IBKR",
    ),
    "never asked for": (but(requests=HONEST.requests[1:2]), "nobody asked for it"),
    "no outcome": (instead(OUTCOME, status(3, OrderStatus.UNKNOWN)), "0 outcomes"),
    "two outcomes": (instead(OUTCOME, OUTCOME, status(4, OrderStatus.CANCELLED)), "2 outcomes"),
    "a gap in the numbers": (instead(COMMISSION, structs.replace(COMMISSION, seq=5)), "numbered [1, 2, 3, 5]"),
    "dead that filled": (
        instead(OUTCOME, status(3, OrderStatus.REJECTED, filled=TEN)),
        "it is Filled at IBKR, and is called rejected",
    ),
    "alive that was called dead": (but(orders=[row(status="Submitted"), HAND]), "it is Submitted at IBKR"),
    "filled that never was": (but(orders=[LOST, HAND]), "never was at IBKR, and is called filled"),
    "another quantity": (but(orders=[row(filled=Decimal(9)), HAND]), "9 are filled at IBKR, and 10 were told"),
    "an outcome of another quantity": (
        instead(OUTCOME, status(3, OrderStatus.FILLED, filled=Decimal(9))),
        "says 9 filled, and 10",
    ),
    "an execution twice": (instead(COMMISSION, structs.replace(FILL, seq=4)), "told twice"),
    "an execution not told": (instead(FILL, status(2, OrderStatus.SUBMITTED)), "was never told"),
    "an execution invented": (but(executions=[]), "never happened"),
    "an execution at another price": (
        but(executions=[structs.replace(EXECUTION, price=Decimal(3))]),
        "was told, and it is",
    ),
    "a correction not told": (but(executions=[structs.replace(EXECUTION, exec_id="e.1.02")]), "e.1.02"),
    "a correction that replaces nothing": (
        instead(STRANGER, STRANGER, structs.replace(CORRECTED, replaces_exec_id="")),
        "says that it replaces nothing",
    ),
    "a commission twice": (instead(COMMISSION, COMMISSION, structs.replace(COMMISSION, seq=5)), "was told 2 times"),
    "a commission not told": (instead(COMMISSION), "no commission"),
    "a repetition that nobody answered": (instead(DUPLICATE), "asked for again"),
    "a what-if that nobody answered": (
        but(requests=[*HONEST.requests, ("5-0", WhatIf(order=NEVER, requested_at=NOW))]),
        "what-if was neither answered nor refused",
    ),
    "left pending": (but(pending=2), "2 requests are not acknowledged"),
    "a dead letter too many": (but(dead=["unreadable", "not handled in 5 deliveries"]), "dead letters are"),
    "other holdings": (but(holdings={AAPL: Decimal(3)}), "IBKR holds 3, the fills add up to 10"),
    "a strategy's holdings": (but(of_strategies={}), "the journal says 0"),
    "a stranger not told": (instead(STRANGER), "was never told"),
    "a stranger that was ended": (but(orders=[row(), structs.replace(HAND, status="Cancelled")]), "was ended"),
    "one of ours called a stranger": (
        instead(STRANGER, STRANGER, structs.replace(STRANGER, order_ref="a-1")),
        "called a stranger",
    ),
}


@pytest.mark.parametrize(("falsify", "complaint"), FALSE.values(), ids=FALSE)
def test_a_false_story_is_found_out(falsify: Callable[[Evidence], Evidence], complaint: str) -> None:
    """Each by name."""
    assert any(complaint in one for one in complaints(falsify(HONEST))), complaints(falsify(HONEST))
