"""A bracket's exits stay no larger than its parent, whichever of them a modify is about."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from unit.broker.stories import submit, working

from ibstream.contracts.orders import GroupKind, OrderStatus, Reason, Side
from ibstream_broker.domain.records import Link, OrderRecord
from ibstream_broker.domain.validation import check_in_bracket


def member(name: str, *, quantity: int, parent: str = "", kind: GroupKind = GroupKind.BRACKET) -> OrderRecord:
    """One order of the group."""
    request = submit(client_order_id=name, quantity=Decimal(quantity), side=Side.SELL if parent else Side.BUY)
    link = Link(group_id="g", kind=kind, parent=parent, members=("entry", "profit", "stop"))
    return msgspec.structs.replace(working(), request=request, link=link)


ENTRY = member("entry", quantity=100)
PROFIT = member("profit", quantity=50, parent="entry")
STOP = member("stop", quantity=100, parent="entry")
GROUP = [ENTRY, PROFIT, STOP]


@pytest.mark.parametrize(
    ("record", "quantity", "passes"),
    [
        (PROFIT, 100, True),
        (PROFIT, 101, False),
        (STOP, 1, True),
        (ENTRY, 100, True),
        (ENTRY, 99, False),
        (ENTRY, 500, True),
    ],
)
def test_exits_are_never_for_more_than_the_parent(record: OrderRecord, quantity: int, passes: bool) -> None:
    """Larger exits would open what the limits on opening orders never saw."""
    wanted = msgspec.structs.replace(record.request, quantity=Decimal(quantity))
    refusal = check_in_bracket(record, wanted, GROUP)
    assert (refusal is None) is passes
    assert refusal is None or refusal.reason is Reason.INVALID_QUANTITY


def test_an_exit_that_has_ended_binds_nobody() -> None:
    """Its parent may become smaller than it was."""
    ended = [ENTRY, PROFIT, msgspec.structs.replace(STOP, status=OrderStatus.CANCELLED)]
    assert check_in_bracket(ENTRY, msgspec.structs.replace(ENTRY.request, quantity=Decimal(50)), ended) is None


def test_orders_that_are_in_no_bracket_are_as_large_as_they_like() -> None:
    """Alone, or in an OCA group."""
    alone = msgspec.structs.replace(PROFIT, link=None)
    oca = member("profit", quantity=50, parent="", kind=GroupKind.OCA)
    for record in (alone, oca):
        wanted = msgspec.structs.replace(record.request, quantity=Decimal(1000))
        assert check_in_bracket(record, wanted, [record]) is None
