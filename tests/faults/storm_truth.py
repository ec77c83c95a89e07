"""What really happened, set against what was told. Pure: evidence in, complaints out.

The truth is the stand-in Gateway's journal: every order and execution, whoever heard of it. What was told is `orders:events`,
what was asked is `orders:requests`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ibstream.contracts.base import Message
from ibstream.contracts.orders import (
    CommissionCharged,
    ExternalOrder,
    OrderFilled,
    OrderStatus,
    OrderStatusChanged,
    Reason,
    RequestRefused,
    SubmitGroup,
    SubmitOrder,
    WhatIf,
    WhatIfAnswered,
)
from ibstream_gateway_emulator.control.views import ExecutionRow, OrderRow

Told = OrderStatusChanged | OrderFilled | CommissionCharged
"""What is numbered."""

_WORD = {
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELLED,
    "ApiCancelled": OrderStatus.CANCELLED,
}
"""What IBKR's words for an end mean."""

ZERO = Decimal(0)


@dataclass(frozen=True)
class Evidence:
    """Everything that can be known after a storm."""

    requests: Sequence[tuple[str, Message]]
    """The stream of requests: entry id and message; what cannot be read is not in it."""
    garbage: int
    """Entries of the stream that cannot be read."""
    events: Sequence[Message]
    orders: Sequence[OrderRow]
    executions: Sequence[ExecutionRow]
    pending: int
    """Entries of the group that are not acknowledged, or were never delivered."""
    dead: Sequence[str]
    """Why each entry is among the dead letters."""
    dead_ids: Sequence[str]
    holdings: Mapping[int, Decimal]
    """By contract id: what IBKR's account holds."""
    by_fills: Mapping[int, Decimal]
    """The same, as the broker's journal has it."""
    of_strategies: Mapping[tuple[str, int], Decimal]
    """By strategy and contract id: what the broker's journal says each one's fills came to."""
    con_ids: Mapping[str, int]
    """By the instrument's key in the stand-in's journal."""
    broker: int
    """The broker's client id."""


@dataclass
class Story:
    """All about one client order id."""

    asked: list[SubmitOrder] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    rows: list[OrderRow] = field(default_factory=list)

    @property
    def outcomes(self) -> list[OrderStatusChanged]:
        """There must be one."""
        return [one for one in self.told if isinstance(one, OrderStatusChanged) and one.final]

    @property
    def fills(self) -> list[OrderFilled]:
        """Every execution told, corrections too."""
        return [one for one in self.told if isinstance(one, OrderFilled)]

    @property
    def taken(self) -> OrderRow | None:
        """The order at IBKR."""
        return next((row for row in self.rows if row.outcome == "taken"), None)


def stories(evidence: Evidence) -> dict[str, Story]:
    """By client order id."""
    found: defaultdict[str, Story] = defaultdict(Story)
    for _, message in evidence.requests:
        for order in orders_of(message):
            found[order.client_order_id].asked.append(order)
    for event in evidence.events:
        if isinstance(event, Told):
            found[event.client_order_id].told.append(event)
    for row in evidence.orders:
        if row.client_id == evidence.broker and not row.is_change:
            found[row.order_ref].rows.append(row)
    return dict(found)


def orders_of(message: Message) -> tuple[SubmitOrder, ...]:
    """The new orders that a request asks for."""
    match message:
        case SubmitOrder():
            return (message,)
        case SubmitGroup():
            return message.orders
        case _:
            return ()


def complaints(evidence: Evidence) -> list[str]:
    """Everything that does not agree; empty where the guarantee held."""
    told = stories(evidence)
    found = [f"{name}: {text}" for name, story in told.items() for text in _of_story(story)]
    found += _of_order_ids(evidence)
    found += _of_executions(evidence)
    found += _of_other_requests(evidence)
    found += _of_the_group(evidence)
    found += _of_holdings(evidence, told)
    found += _of_strangers(evidence)
    return found


# One order.


def _of_story(story: Story) -> Iterator[str]:
    if not story.asked:
        yield f"nobody asked for it: {_brief(story)}"
    yield from _of_rows(story.rows)
    numbers = [one.seq for one in story.told]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"its events are numbered {numbers}"
    if len(story.outcomes) != 1:
        yield f"it has {len(story.outcomes)} outcomes: {_brief(story)}"
        return
    yield from _of_outcome(story, story.outcomes[0])


def _of_rows(rows: Sequence[OrderRow]) -> Iterator[str]:
    """At most one order, whatever was lost on the way before; and all under one order id."""
    arrived = [row for row in rows if row.outcome != "lost"]
    if len(arrived) > 1:
        yield f"{len(arrived)} orders at IBKR: {[(row.outcome, row.order_id, row.code, row.text) for row in arrived]}"
    if any(row.outcome == "kept" for row in rows):
        yield "the Gateway still keeps it"
    if len({row.order_id for row in rows}) > 1:
        yield f"sent under several order ids: {[(row.outcome, row.order_id) for row in rows]}"


def _of_order_ids(evidence: Evidence) -> Iterator[str]:
    """An order id means one order for ever: what comes about it must not be taken for news of another one."""
    named: defaultdict[int, set[str]] = defaultdict(set)
    for row in evidence.orders:
        if row.client_id == evidence.broker:
            named[row.order_id].add(row.order_ref)
    for order_id, names in named.items():
        if len(names) > 1:
            yield f"order id {order_id} was used for several orders: {sorted(names)}"


def _of_outcome(story: Story, outcome: OrderStatusChanged) -> Iterator[str]:
    taken = story.taken
    if taken is None:
        never_lived = outcome.status is OrderStatus.REJECTED or (
            outcome.status is OrderStatus.CANCELLED and outcome.reason is Reason.CANCEL_REQUESTED
        )
        if not never_lived:
            yield f"it never was at IBKR, and is called {outcome.status} ({outcome.reason}, {outcome.text})"
        return
    if _WORD.get(taken.status) is not outcome.status:
        yield f"it is {taken.status} at IBKR, and is called {outcome.status} ({outcome.reason}, {outcome.text})"
    latest = {_base(fill.exec_id): fill for fill in story.fills if not fill.leg}
    filled = sum((fill.quantity for fill in latest.values()), ZERO)
    if filled != taken.filled:
        yield f"{taken.filled} are filled at IBKR, and {filled} were told"
    before = [fill for fill in story.fills if not fill.leg and fill.seq < outcome.seq]
    counted = sum((one.quantity for one in {_base(fill.exec_id): fill for fill in before}.values()), ZERO)
    if outcome.filled != counted:
        yield f"its outcome says {outcome.filled} filled, and {counted} were told before it"


# Executions.


def _base(exec_id: str) -> str:
    """An execution's id without the part that counts corrections."""
    return exec_id.rpartition(".")[0]


def _of_executions(evidence: Evidence) -> Iterator[str]:
    fills: defaultdict[str, list[OrderFilled]] = defaultdict(list)
    for event in evidence.events:
        if isinstance(event, OrderFilled):
            fills[_base(event.exec_id)].append(event)
    ours = {_base(row.exec_id): row for row in evidence.executions if row.client_id == evidence.broker}
    for base, told in fills.items():
        if base not in ours:
            yield f"{told[0].client_order_id}: execution {told[0].exec_id} never happened"
    for base, row in ours.items():
        yield from (f"{row.order_ref}: {text}" for text in _of_execution(row, fills.get(base, [])))
    yield from _of_commissions(evidence, ours)


def _of_execution(row: ExecutionRow, told: Sequence[OrderFilled]) -> Iterator[str]:
    """Told once in each of its forms, the last one as it counts now."""
    if not told:
        yield f"execution {row.exec_id} was never told"
        return
    ids = [fill.exec_id for fill in told]
    if len(set(ids)) < len(ids):
        yield f"an execution was told twice: {ids}"
    for before, after in zip(ids, told[1:], strict=False):
        if after.replaces_exec_id != before or after.exec_id <= before:
            yield f"{after.exec_id} came after {before} and says that it replaces {after.replaces_exec_id or 'nothing'}"
    if told[0].replaces_exec_id:
        yield f"{told[0].exec_id} was told first and says that it replaces {told[0].replaces_exec_id}"
    last = told[-1]
    said = (last.exec_id, last.client_order_id, last.side, last.quantity, last.price)
    if said != (row.exec_id, row.order_ref, row.side, row.quantity, row.price):
        yield f"{said} was told, and it is {row.exec_id, row.order_ref, row.side, row.quantity, row.price}"


def _of_commissions(evidence: Evidence, ours: Mapping[str, ExecutionRow]) -> Iterator[str]:
    charged = Counter(event.exec_id for event in evidence.events if isinstance(event, CommissionCharged))
    for exec_id, times in charged.items():
        if times > 1:
            yield f"the commission of {exec_id} was told {times} times"
        if _base(exec_id) not in ours:
            yield f"a commission of {exec_id} was told, which never happened"
    told = {_base(exec_id) for exec_id in charged}
    for base, row in ours.items():
        if not row.is_combination and base not in told:
            yield f"{row.order_ref}: no commission of {row.exec_id} was told"


# Requests that ask for no order.


def _of_other_requests(evidence: Evidence) -> Iterator[str]:
    """What-ifs are answered or refused; an id that came again was refused."""
    answered = {event.client_order_id for event in evidence.events if isinstance(event, WhatIfAnswered)}
    refusals = [event for event in evidence.events if isinstance(event, RequestRefused)]
    refused = {(event.client_order_id, event.request, event.reason) for event in refusals}
    asked_before: set[str] = set()
    for _, message in evidence.requests:
        if isinstance(message, WhatIf):
            name = message.order.client_order_id
            if name not in answered and not any((one, kind) == (name, "orders.what_if.v1") for one, kind, _ in refused):
                yield f"{name}: its what-if was neither answered nor refused"
        for order in orders_of(message):
            name = order.client_order_id
            if name in asked_before and not any(one == name and why is Reason.DUPLICATE for one, _, why in refused):
                yield f"{name}: it was asked for again, and nobody said so"
            asked_before.add(name)


def _of_the_group(evidence: Evidence) -> Iterator[str]:
    if evidence.pending:
        yield f"{evidence.pending} requests are not acknowledged"
    if len(set(evidence.dead_ids)) != evidence.garbage or len(evidence.dead) != evidence.garbage:
        yield f"{evidence.garbage} entries could not be read, and the dead letters are {list(evidence.dead)}"


# Holdings, and what is not ours.


def _of_holdings(evidence: Evidence, told: Mapping[str, Story]) -> Iterator[str]:
    for con_id in evidence.holdings.keys() | evidence.by_fills.keys():
        held, counted = evidence.holdings.get(con_id, ZERO), evidence.by_fills.get(con_id, ZERO)
        if held != counted:
            yield f"contract {con_id}: IBKR holds {held}, the fills add up to {counted}"
    truly: defaultdict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for row in evidence.executions:
        if row.client_id == evidence.broker and not row.is_combination and row.order_ref in told:
            strategy = next((order.strategy for order in told[row.order_ref].asked), "nobody")
            truly[strategy, evidence.con_ids[row.symbol]] += row.quantity if row.side == "BUY" else -row.quantity
    for key in truly.keys() | evidence.of_strategies.keys():
        if truly.get(key, ZERO) != evidence.of_strategies.get(key, ZERO):
            yield f"{key}: its fills came to {truly.get(key, ZERO)}, the journal says {evidence.of_strategies.get(key, ZERO)}"


def _of_strangers(evidence: Evidence) -> Iterator[str]:
    """Orders of others are told, and left alone; none of ours is called a stranger."""
    told = {event.order_ref for event in evidence.events if isinstance(event, ExternalOrder)}
    for row in evidence.orders:
        if row.client_id != evidence.broker and row.outcome == "taken":
            if row.order_ref not in told:
                yield f"{row.order_ref} of client {row.client_id} was never told"
            if row.status == "Cancelled":
                yield f"{row.order_ref} of client {row.client_id} was ended"
            told.discard(row.order_ref)
    for name in told:
        yield f"{name or 'an order without a name'} was called a stranger, and is none"


def _brief(story: Story) -> str:
    steps = [f"{one.status}/{one.reason}" for one in story.told if isinstance(one, OrderStatusChanged)]
    return f"told {steps}, at IBKR {[(row.outcome, row.status, row.text) for row in story.rows]}"
