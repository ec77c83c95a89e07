"""Who is next: cancels before modifies before orders, strategies in turn, and whoever is taken out is gone."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.broker.stories import NOW, submit

from ibstream.contracts.orders import CancelOrder, ModifyOrder, OrderRequest, Reason
from ibstream_broker.domain.lanes import Lane, Lanes, Waiting
from ibstream_broker.domain.refusal import Refusal


def waiting(lane: Lane, strategy: str = "s", *names: str) -> Waiting:
    """A request of a strategy, with the ids of its new orders or of its target."""
    name = names[0] if names else "x"
    requests: dict[Lane, OrderRequest] = {
        Lane.CANCEL: CancelOrder(client_order_id=name, requested_at=NOW),
        Lane.MODIFY: ModifyOrder(client_order_id=name, requested_at=NOW),
        Lane.SUBMIT: submit(client_order_id=name, strategy=strategy),
    }
    ids = tuple(names) if lane is Lane.SUBMIT else ()
    return Waiting(requests[lane], lane, strategy, client_order_ids=ids, target="" if ids else name)


def drained(lanes: Lanes) -> list[Waiting]:
    """Everyone, in the order in which they are served; `peek` never lies."""
    served = []
    while (item := lanes.peek()) is not None:
        assert lanes.take() is item
        served.append(item)
    return served


def test_cancels_overtake_modifies_and_modifies_overtake_orders() -> None:
    """However late they come, and whoever's they are."""
    lanes = Lanes(100)
    items = [waiting(lane, strategy) for strategy in "ab" for lane in reversed(Lane)]
    for item in items:
        lanes.put(item)
    assert [item.lane for item in drained(lanes)] == sorted(item.lane for item in items)
    with pytest.raises(LookupError):
        lanes.take()


def test_a_strategy_with_many_orders_does_not_starve_one_with_few() -> None:
    """The third strategy's only order is third, before 299 of the first's."""
    lanes = Lanes(1000)
    for number in range(300):
        lanes.put(waiting(Lane.SUBMIT, "greedy", f"g{number}"))
    lanes.put(waiting(Lane.SUBMIT, "modest", "m0"))
    lanes.put(waiting(Lane.SUBMIT, "late", "l0"))
    served = [item.strategy for item in drained(lanes)]
    assert served[:3] == ["greedy", "modest", "late"]
    assert served[3:] == ["greedy"] * 299


def test_a_strategy_that_comes_back_waits_for_its_turn_again() -> None:
    """Sending one at a time is no way to the front of the line."""
    lanes = Lanes(1000)
    for name in ("a", "b"):
        for number in range(3):
            lanes.put(waiting(Lane.SUBMIT, name, f"{name}{number}"))
    assert lanes.take().strategy == "a"
    lanes.put(waiting(Lane.SUBMIT, "c", "c0"))
    order = []
    for number in range(1, 4):
        item = lanes.take()
        order.append(item.strategy)
        if item.strategy == "c":
            lanes.put(waiting(Lane.SUBMIT, "c", f"c{number}"))
    assert order == ["b", "a", "c"]
    assert lanes.take().strategy == "b"


def test_an_order_is_found_by_its_id_for_as_long_as_it_waits() -> None:
    """Each of a group, too; of a repeated id the latest; taken or removed it is found no more."""
    lanes = Lanes(100)
    group = waiting(Lane.SUBMIT, "s", "g1", "g2")
    first, again = waiting(Lane.SUBMIT, "s", "a"), waiting(Lane.SUBMIT, "s", "a")
    for item in (group, first, again):
        lanes.put(item)
    assert (lanes.order("g1"), lanes.order("g2"), lanes.order("a")) == (group, group, again)
    assert group in lanes
    assert first not in lanes
    assert lanes.take() is group
    assert lanes.order("g1") is None
    assert group not in lanes
    lanes.remove([again])
    assert lanes.order("a") is None
    assert drained(lanes) == [first]


def test_only_orders_are_found_or_taken_out() -> None:
    """`matching` looks at requests for new orders, and not at what changes others."""
    lanes = Lanes(100)
    items = [waiting(lane, "s", f"{lane.name}{n}") for lane in Lane for n in range(2)]
    for item in items:
        lanes.put(item)
    assert lanes.matching(lambda _: True) == items[4:]
    lanes.remove(lanes.matching(lambda item: item.client_order_ids == ("SUBMIT0",)))
    assert drained(lanes) == [*items[:4], items[5]]


def test_cancels_count_towards_no_bound() -> None:
    """What a strategy may have waiting is orders and modifies."""
    lanes = Lanes(2)
    for lane in Lane:
        lanes.put(waiting(lane))
    assert (len(lanes), lanes.waiting_max) == (2, 2)
    lanes.clear()
    assert (len(lanes), lanes.peek()) == (0, None)


def test_a_refusal_of_the_whole_request_is_noted_for_each_of_its_orders() -> None:
    """Or for its target, where it asks for no new order."""
    refusal = Refusal(Reason.OVERLOADED, "too many")
    group, modify = waiting(Lane.SUBMIT, "s", "g1", "g2"), waiting(Lane.MODIFY, "s", "m")
    for item in (group, modify):
        item.refuse_all(refusal)
    assert group.refusals == {"g1": refusal, "g2": refusal}
    assert modify.refusals == {"m": refusal}


@dataclass
class Model:
    """Lists instead of queues: per lane the strategies in the order of their turns, each with what it wants."""

    lanes: dict[Lane, list[tuple[str, deque[Waiting]]]] = field(default_factory=lambda: {lane: [] for lane in Lane})

    def put(self, item: Waiting) -> None:
        for strategy, queue in self.lanes[item.lane]:
            if strategy == item.strategy:
                queue.append(item)
                return
        self.lanes[item.lane].append((item.strategy, deque([item])))

    def take(self) -> Waiting | None:
        for turns in self.lanes.values():
            if turns:
                strategy, queue = turns.pop(0)
                item = queue.popleft()
                if queue:
                    turns.append((strategy, queue))
                return item
        return None

    def remove(self, items: list[Waiting]) -> None:
        turns = [(s, deque(one for one in queue if one not in items)) for s, queue in self.lanes[Lane.SUBMIT]]
        self.lanes[Lane.SUBMIT] = [(s, queue) for s, queue in turns if queue]

    def all(self) -> list[Waiting]:
        return [item for turns in self.lanes.values() for _, queue in turns for item in queue]


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(list(Lane)), st.sampled_from("abc"), st.integers(1, 3)),
        st.tuples(st.just("take")),
        st.tuples(st.just("remove"), st.integers(0, 5)),
    ),
    max_size=60,
)


@given(ACTS)
def test_the_lanes_serve_as_a_simple_model_does(acts: list[tuple[object, ...]]) -> None:
    """Whatever comes, goes and is taken out, in any order; the count and the index by order id are never wrong."""
    lanes, model, numbers = Lanes(10**6), Model(), iter(range(10**6))
    for act in acts:
        match act:
            case ("put", Lane() as lane, str(strategy), int(size)):
                names = [f"o{next(numbers)}" for _ in range(size)]
                item = waiting(lane, strategy, *names)
                lanes.put(item)
                model.put(item)
            case ("take",):
                expected = model.take()
                assert lanes.peek() is expected
                if expected is not None:
                    assert lanes.take() is expected
            case ("remove", int(at)):
                chosen = lanes.matching(lambda _: True)[at : at + 3]
                lanes.remove(chosen)
                model.remove(chosen)
        left = model.all()
        assert len(lanes) == sum(item.lane is not Lane.CANCEL for item in left)
        assert all((item in lanes) == bool(item.client_order_ids) for item in left)
        for item in left:
            for name in item.client_order_ids:
                assert lanes.order(name) is item
    assert drained(lanes) == [model.take() for _ in model.all()]
