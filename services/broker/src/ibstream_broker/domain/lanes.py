"""Who is next: cancels before modifies before new orders, and strategies in turn. Pure.

IBKR takes so many messages a second; what waits for its turn waits here, in memory, and no more than `waiting_max` of it.
ib_async's own queue is first in, first out: a cancel there would wait behind every order.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from ibstream.contracts.orders import OrderRequest
from ibstream_broker.domain.refusal import Refusal


class Lane(IntEnum):
    """In the order in which they are served."""

    CANCEL = 0
    MODIFY = 1
    SUBMIT = 2


@dataclass(eq=False)
class Waiting:
    """One request on its way, from the stream to IBKR."""

    request: OrderRequest
    lane: Lane
    strategy: str
    entry_id: str = ""
    """Where it stands on the stream; empty for what the broker asks of itself."""
    messages: int = 1
    """How many messages it takes to IBKR."""
    client_order_ids: tuple[str, ...] = ()
    """The new orders it asks for."""
    target: str = ""
    """The order that a cancel or a modify is about."""
    taken_at: float = 0.0
    """When it was taken from the stream, on the monotonic clock."""
    refusals: dict[str, Refusal] = field(default_factory=dict)
    """What was found against it before its turn came, by client order id."""
    on_done: list[Callable[[], None]] = field(default_factory=list)
    """Told when it is done, beside whoever acknowledges its entry."""

    def refuse_all(self, refusal: Refusal) -> None:
        """Note a refusal that is about the whole request."""
        for client_order_id in self.client_order_ids or (self.target,):
            self.refusals[client_order_id] = refusal


class _FairQueue:
    """First in, first out per strategy; strategies in turn."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[Waiting]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, item: Waiting) -> None:
        self._queues.setdefault(item.strategy, deque()).append(item)
        self._count += 1

    def peek(self) -> Waiting | None:
        return next(iter(self._queues.values()))[0] if self._queues else None

    def take(self) -> Waiting:
        """Take what `peek` shows; its strategy goes to the end of the line."""
        strategy, queue = next(iter(self._queues.items()))
        item = queue.popleft()
        self._count -= 1
        if queue:
            self._queues.move_to_end(strategy)
        else:
            del self._queues[strategy]
        return item

    def remove(self, items: set[Waiting]) -> None:
        for strategy, queue in list(self._queues.items()):
            kept = deque(item for item in queue if item not in items)
            self._count -= len(queue) - len(kept)
            if kept:
                self._queues[strategy] = kept
            else:
                del self._queues[strategy]

    def __iter__(self) -> Iterator[Waiting]:
        return (item for queue in self._queues.values() for item in queue)


class Lanes:
    """The requests that wait. Orders that wait are found by their id, so that a cancel reaches them before they are sent."""

    def __init__(self, waiting_max: int) -> None:
        self._lanes = {lane: _FairQueue() for lane in Lane}
        self._orders: dict[str, Waiting] = {}
        self.waiting_max = waiting_max
        """How many requests may wait; cancels come on top, one per order at most."""

    def clear(self) -> None:
        """Nobody waits any more."""
        self._lanes = {lane: _FairQueue() for lane in Lane}
        self._orders.clear()

    def __contains__(self, item: Waiting) -> bool:
        return any(self._orders.get(one) is item for one in item.client_order_ids)

    def __len__(self) -> int:
        """Requests that wait, cancels left out: they come on top."""
        return len(self._lanes[Lane.MODIFY]) + len(self._lanes[Lane.SUBMIT])

    def put(self, item: Waiting) -> None:
        """Line up at the end of the item's lane."""
        self._lanes[item.lane].put(item)
        self._orders.update(dict.fromkeys(item.client_order_ids, item))

    def peek(self, without: Collection[Lane] = ()) -> Waiting | None:
        """Who is next, some lanes left out; None where nobody waits."""
        heads = (queue.peek() for lane, queue in self._lanes.items() if lane not in without)
        return next((item for item in heads if item is not None), None)

    def head(self, lane: Lane) -> Waiting | None:
        """Who is next in one lane; None where nobody waits there."""
        return self._lanes[lane].peek()

    def take(self, without: Collection[Lane] = ()) -> Waiting:
        """Take who `peek` shows; `LookupError` where nobody waits."""
        for lane, queue in self._lanes.items():
            if lane not in without and len(queue):
                return self._gone(queue.take())
        raise LookupError("nobody waits")

    def remove(self, items: Collection[Waiting]) -> None:
        """Take submits out of the line, all in one pass."""
        self._lanes[Lane.SUBMIT].remove(set(items))
        for item in items:
            self._gone(item)

    def order(self, client_order_id: str) -> Waiting | None:
        """The request for this order, if it waits."""
        return self._orders.get(client_order_id)

    def matching(self, fits: Callable[[Waiting], bool]) -> list[Waiting]:
        """The submits that fit."""
        return [item for item in self._lanes[Lane.SUBMIT] if fits(item)]

    def _gone(self, item: Waiting) -> Waiting:
        for client_order_id in item.client_order_ids:
            if self._orders.get(client_order_id) is item:
                del self._orders[client_order_id]
        return item
