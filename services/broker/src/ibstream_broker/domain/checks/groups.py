"""How the orders of a group fit together.

Only what cannot work is refused. IBKR names no rule for auction orders, algorithms or market orders in groups, so they pass: an
OCA group of a limit and a market-on-close order is a common way out of a position.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ibstream.contracts.orders import GroupKind, Reason, SubmitGroup, SubmitOrder
from ibstream_broker.domain.checks.times import AT_ONCE
from ibstream_broker.domain.refusal import Refusal, shown


def wrong_in_group(group: SubmitGroup) -> dict[str, Refusal]:
    """By client order id, what does not fit the rest of the group; empty where all fit."""
    wrong: dict[str, Refusal] = {}
    for order, text in _misfits(group):
        wrong.setdefault(order.client_order_id, Refusal(Reason.INVALID_GROUP, text))
    return wrong


def refusals_of(group: SubmitGroup, wrong: Mapping[str, Refusal]) -> dict[str, Refusal]:
    """A refusal for every order of a group of which these are refused: those their own, the others `group_refused`."""
    first, why = next(iter(wrong.items()))
    rest = Refusal(Reason.GROUP_REFUSED, f"order {first} of its group was refused: {why.text}")
    return {order.client_order_id: wrong.get(order.client_order_id, rest) for order in group.orders}


def _misfits(group: SubmitGroup) -> Iterator[tuple[SubmitOrder, str]]:
    first, *others = group.orders
    times_named = Counter(order.client_order_id for order in group.orders)
    account = next((order.account for order in group.orders if order.account), "")
    for order in group.orders:
        if times_named[order.client_order_id] > 1:
            yield order, "another order of its group has the same client_order_id: each needs its own"
        if order.strategy != first.strategy:
            yield order, f"it is of strategy {order.strategy}, the group's first of {first.strategy}: send two groups"
        if order.account not in ("", account):
            yield order, f"it is for account {order.account}, another of its group for {account}: send two groups"
    for order in others if group.kind is GroupKind.BRACKET else group.orders:
        if order.time_in_force in AT_ONCE:
            text = f"an order with {order.time_in_force} ends at once and cannot wait for others of a group: use DAY or GTC"
            yield order, text
    if group.kind is GroupKind.BRACKET:
        for child in others:
            yield from ((child, text) for text in _wrong_with_child(first, child))


def _wrong_with_child(parent: SubmitOrder, child: SubmitOrder) -> Iterator[str]:
    if child.instrument != parent.instrument:
        yield "a bracket is in one instrument: its parent names another"
    if child.side is parent.side:
        yield f"a bracket's children close what its parent opens: make it the opposite of {parent.side}"
    if child.quantity > parent.quantity:
        yield f"quantity {shown(child.quantity)} is more than its parent's {shown(parent.quantity)}"
