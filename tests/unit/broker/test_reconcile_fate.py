"""What is sent again and what is not: decided from lists that prove it, and tried against a model of the Gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.broker.stories import EPOCH, NOW, PERM_ID, Story, executed, listed, seen, sent, working

from ibstream.contracts.orders import FINAL_STATUSES, GroupKind, OrderStatus, Reason
from ibstream_broker.domain.fate import Decision, Fate, fate, given_up, never_reached, resending
from ibstream_broker.domain.inputs import OrderSeen
from ibstream_broker.domain.reconcile import GONE_AFTER, Reconciliation, orphaned, reconcile, session_lost
from ibstream_broker.domain.records import Link, OrderRecord

FLOOR, ORDER_ID = 40, 41
UNTIL = NOW + timedelta(seconds=30)
LATE = UNTIL + timedelta(seconds=1)


def lost(**details: Any) -> OrderRecord:
    """An order that was journalled by a broker which then ended; nothing was heard of it."""
    return sent(**{"valid_until": UNTIL, "status": OrderStatus.UNKNOWN, **details})


def lists(**details: Any) -> Reconciliation:
    """The Gateway has seen no id from this order's on."""
    return listed(**{"next_order_id": ORDER_ID, **details})


def decided(record: OrderRecord, at: Reconciliation, now: Any = NOW, **details: Any) -> Fate:
    return fate(record, at, now, **{"floor": FLOOR, **details}).fate


@pytest.mark.parametrize("status", list(OrderStatus))
def test_only_an_order_without_an_answer_can_have_never_reached(status: OrderStatus) -> None:
    """Pending or unknown, and never acknowledged."""
    waits = status in (OrderStatus.PENDING_SUBMIT, OrderStatus.PENDING_CANCEL, OrderStatus.UNKNOWN)
    assert never_reached(lost(status=status), lists(), floor=FLOOR) is waits
    assert not never_reached(lost(status=status, perm_id=PERM_ID), lists(), floor=FLOOR)


@pytest.mark.parametrize(
    ("record", "at", "floor"),
    [
        (lost(session_lost=True), lists(), FLOOR),
        (lost(resent=True), lists(), FLOOR),
        (lost(worked=True), lists(), FLOOR),
        (lost(order_id=0), lists(), FLOOR),
        (lost(epoch=EPOCH + 1), lists(), FLOOR),
        (lost(), lists(next_order_id=ORDER_ID + 1), FLOOR),
        (lost(), lists(next_order_id=0), FLOOR),
        (lost(), lists(next_order_id=FLOOR - 1), FLOOR),
        (lost(), lists(), 0),
        (lost(), lists(), ORDER_ID + 1),
        (lost(), lists(executions_complete=False), FLOOR),
        (lost(), lists(volatile=True), FLOOR),
        (lost(), lists(is_open=[seen()]), FLOOR),
        (lost(), lists(completed=[seen("Cancelled")]), FLOOR),
        (lost(), lists(executions=[executed(1, 40)]), FLOOR),
        (lost(), lists(is_open=[OrderSeen(order_ref="", order_id=ORDER_ID, perm_id=9, status="Submitted")]), FLOOR),
    ],
)
def test_what_makes_it_unprovable(record: OrderRecord, at: Reconciliation, floor: int) -> None:
    """Each alone: then the order waits, or was found, and is never sent again."""
    assert never_reached(lost(), lists(), floor=FLOOR)
    assert not never_reached(record, at, floor=floor)
    for now in (NOW, LATE):
        assert decided(record, at, now, floor=floor) in (Fate.WAIT, Fate.FOUND)


def test_an_order_that_never_reached_is_sent_again_within_its_time_and_rejected_after_it() -> None:
    """To the second; without a time it has none left."""
    assert decided(lost(), lists(), UNTIL) is Fate.RESEND
    late = fate(lost(), lists(), LATE, floor=FLOOR)
    assert (late.fate, late.reason) == (Fate.REJECT, Reason.EXPIRED)
    assert decided(lost(valid_until=None), lists()) is Fate.REJECT


@pytest.mark.parametrize("details", [{}, {"cancel_requested": True}])
def test_giving_up_is_an_outcome_with_its_reason(details: dict[str, bool]) -> None:
    """Rejected; cancelled where somebody wanted it so."""
    record = lost(**details)
    story = Story(record)
    story.apply(given_up(record, fate(record, lists(), LATE, floor=FLOOR), LATE))
    [outcome] = story.outcomes
    expected = (OrderStatus.CANCELLED, Reason.CANCEL_REQUESTED) if details else (OrderStatus.REJECTED, Reason.EXPIRED)
    assert (outcome.status, outcome.reason) == expected
    assert "never reached" in outcome.text or "before it reached" in outcome.text


def test_what_somebody_wants_to_end_is_not_sent_again() -> None:
    """Asked for before it ever left."""
    record = lost(cancel_requested=True, status=OrderStatus.PENDING_CANCEL)
    assert fate(record, lists(), NOW, floor=FLOOR).reason is Reason.CANCEL_REQUESTED


@pytest.mark.parametrize("status", [OrderStatus.PENDING_SUBMIT, OrderStatus.UNKNOWN])
def test_an_order_is_sent_again_once(status: OrderStatus) -> None:
    """It is journalled first, in the session that sends it; a broker that then ends leaves nothing provable."""
    story = Story(lost(status=status))
    story.apply(resending(story.record, NOW, epoch=EPOCH + 1))
    assert (story.record.status, story.record.epoch) == (OrderStatus.PENDING_SUBMIT, EPOCH + 1)
    assert story.statuses == [OrderStatus.PENDING_SUBMIT][: status is OrderStatus.UNKNOWN]
    story.apply(orphaned(story.record, NOW))
    assert decided(story.record, lists(epoch=EPOCH + 2)) is Fate.WAIT


def test_found_is_what_has_an_outcome_or_an_answer_or_is_listed() -> None:
    """`reconcile` says the rest."""
    for status in FINAL_STATUSES:
        assert decided(lost(status=status), lists()) is Fate.FOUND
    assert decided(working(), lists()) is Fate.FOUND
    assert decided(lost(), lists(is_open=[seen()])) is Fate.FOUND


# Groups: three orders with the ids 41 to 43, sent in that order.

NAMES = ("p", "t", "s")


def group(kind: GroupKind, **first: Any) -> list[OrderRecord]:
    """A bracket's parent and children, or three orders of an OCA group, all of them lost; `first` is about the first."""
    return [
        lost(
            request={"client_order_id": name},
            order_id=ORDER_ID + number,
            link=Link(
                group_id="g",
                kind=kind,
                members=NAMES,
                parent="p" if kind is GroupKind.BRACKET and number else "",
                transmit=kind is GroupKind.OCA or number == 2,
            ),
            **(first if number == 0 else {}),
        )
        for number, name in enumerate(NAMES)
    ]


def listed_as(name: str, word: str) -> OrderSeen:
    return msgspec.structs.replace(seen(word, perm_id=PERM_ID + NAMES.index(name)), order_ref=name)


def all_decided(members: list[OrderRecord], at: Reconciliation, now: Any = NOW) -> list[Fate]:
    return [fate(one, at, now, floor=FLOOR, group=members).fate for one in members]


@pytest.mark.parametrize("kind", list(GroupKind))
def test_a_group_of_which_nothing_arrived_is_sent_again_whole(kind: GroupKind) -> None:
    """Within its time; after it, none of it."""
    assert all_decided(group(kind), lists()) == 3 * [Fate.RESEND]
    assert all_decided(group(kind), lists(), LATE) == 3 * [Fate.REJECT]


def test_the_rest_of_a_bracket_is_sent_while_its_parent_is_held() -> None:
    """The Gateway holds what was not transmitted: in time the rest follows, after that the parent must go."""
    at = lists(next_order_id=ORDER_ID + 1, is_open=[listed_as("p", "PendingSubmit")])
    assert all_decided(group(GroupKind.BRACKET), at) == [Fate.FOUND, Fate.RESEND, Fate.RESEND]
    assert all_decided(group(GroupKind.BRACKET), at, LATE) == [Fate.CANCEL, Fate.REJECT, Fate.REJECT]


def test_the_last_child_alone_follows_where_it_alone_is_missing() -> None:
    """Parent and take-profit are held; the stop completes them."""
    held = [listed_as("p", "PendingSubmit"), listed_as("t", "PendingSubmit")]
    at = lists(next_order_id=ORDER_ID + 2, is_open=held)
    assert all_decided(group(GroupKind.BRACKET), at) == [Fate.FOUND, Fate.FOUND, Fate.RESEND]
    assert all_decided(group(GroupKind.BRACKET), at, LATE) == [Fate.CANCEL, Fate.FOUND, Fate.REJECT]


def test_a_parent_that_is_held_unlisted_gets_no_children_and_is_cancelled_in_the_end() -> None:
    """Its id is used up and no list has it: it may be held, or gone. A child would have a parent or none."""
    at = lists(next_order_id=ORDER_ID + 1)
    assert all_decided(group(GroupKind.BRACKET), at) == [Fate.WAIT, Fate.WAIT, Fate.WAIT]
    assert all_decided(group(GroupKind.BRACKET), at, LATE) == [Fate.CANCEL, Fate.REJECT, Fate.REJECT]


def test_what_is_not_provable_of_one_is_not_done_for_the_others() -> None:
    """The session broke off under the parent."""
    members = group(GroupKind.BRACKET, session_lost=True)
    assert all_decided(members, lists()) == 3 * [Fate.WAIT]


def test_a_bracket_with_a_cancelled_parent_is_not_completed() -> None:
    """It was to end before it was whole."""
    held = [listed_as("p", "PendingSubmit")]
    for asked in ({"cancel_requested": True}, {"status": OrderStatus.CANCELLED}):
        decisions = all_decided(group(GroupKind.BRACKET, **asked), lists(next_order_id=ORDER_ID + 1, is_open=held))
        assert Fate.RESEND not in decisions
    rejected = group(GroupKind.BRACKET)
    rejected[1] = msgspec.structs.replace(rejected[1], status=OrderStatus.REJECTED)
    at = lists(next_order_id=ORDER_ID + 1, is_open=held)
    assert all_decided(rejected, at) == [Fate.CANCEL, Fate.FOUND, Fate.REJECT]


def test_a_bracket_that_is_being_sent_is_left_alone() -> None:
    """In this very session the rest is on its way."""
    members = [msgspec.structs.replace(one, epoch=EPOCH + 1) for one in group(GroupKind.BRACKET)]
    at = lists(next_order_id=ORDER_ID + 1, is_open=[listed_as("p", "PendingSubmit")])
    assert all_decided(members, at, LATE) == [Fate.FOUND, Fate.WAIT, Fate.WAIT]
    members[1] = msgspec.structs.replace(members[1], status=OrderStatus.REJECTED)
    assert all_decided(members, at) == [Fate.FOUND, Fate.FOUND, Fate.WAIT]


def test_a_working_parent_is_never_cancelled_for_a_lost_child() -> None:
    """It may have filled: what protects it is for people to say."""
    at = lists(next_order_id=ORDER_ID + 2, is_open=[listed_as("p", "Submitted")])
    assert all_decided(group(GroupKind.BRACKET), at, LATE)[0] is Fate.FOUND


@pytest.mark.parametrize(
    "details",
    [
        {"is_open": [listed_as("p", "Submitted")], "executions": [msgspec.structs.replace(executed(1, 40), order_ref="p")]},
        {"completed": [listed_as("p", "Filled")]},
        {"completed": [listed_as("p", "Cancelled")]},
    ],
)  # fmt: skip
def test_once_one_of_an_oca_group_has_filled_or_ended_the_others_are_not_sent(details: dict[str, Any]) -> None:
    """That ends the group at IBKR: a late member would be alone, and trade a second time."""
    at = lists(next_order_id=ORDER_ID + 1, **details)
    assert all_decided(group(GroupKind.OCA), at) == [Fate.FOUND, Fate.REJECT, Fate.REJECT]
    assert (
        fate(group(GroupKind.OCA)[1], at, NOW, floor=FLOOR, group=group(GroupKind.OCA)).reason is Reason.GROUP_REFUSED
    )


def test_the_rest_of_an_oca_group_joins_one_that_works() -> None:
    """Nothing has filled; one whose state is unclear keeps the others back."""
    at = lists(next_order_id=ORDER_ID + 1, is_open=[listed_as("p", "Submitted")])
    assert all_decided(group(GroupKind.OCA), at) == [Fate.FOUND, Fate.RESEND, Fate.RESEND]
    unlisted = lists(next_order_id=ORDER_ID + 1)
    assert all_decided(group(GroupKind.OCA), unlisted) == 3 * [Fate.WAIT]
    inactive = lists(next_order_id=ORDER_ID + 1, is_open=[listed_as("p", "Inactive")])
    assert all_decided(group(GroupKind.OCA), inactive) == [Fate.FOUND, Fate.WAIT, Fate.WAIT]


def test_a_group_is_not_decided_on_without_all_of_its_members() -> None:
    """A record that is not at hand may have filled."""
    members = group(GroupKind.OCA)
    assert fate(members[1], lists(), NOW, floor=FLOOR, group=members[1:]).fate is Fate.WAIT


# The model: what the Gateway really got, whatever the broker knows.


@dataclass
class Gateway:
    """A Gateway that takes orders, and can forget ids that it gave, and orders that it had not passed on."""

    next_id: int = FLOOR + 1
    arrived: list[str] = field(default_factory=list)
    orders: dict[str, OrderSeen] = field(default_factory=dict)
    has_lists: bool = True

    def take(self, record: OrderRecord, word: str) -> None:
        name = record.client_order_id
        self.arrived.append(name)
        self.orders[name] = OrderSeen(order_ref=name, order_id=record.order_id, perm_id=record.order_id, status=word)
        self.next_id = max(self.next_id, record.order_id + 1)

    def start_anew(self) -> None:
        """With its ids reset, and its lists not there yet."""
        self.next_id, self.has_lists = 1, False

    def lists(self, epoch: int, *, complete: bool) -> Reconciliation:
        if not self.has_lists:
            self.has_lists = True
            return listed(epoch=epoch, next_order_id=self.next_id)
        is_open = [one for one in self.orders.values() if one.status in ("Submitted", "PendingSubmit")]
        fills = [
            msgspec.structs.replace(executed(one.order_id, 100), order_ref=one.order_ref, perm_id=one.perm_id)
            for one in self.orders.values()
            if one.status == "Filled"
        ]
        done = [one for one in self.orders.values() if one.status in ("Filled", "Cancelled")]
        return listed(
            is_open=is_open,
            completed=done,
            executions=fills,
            epoch=epoch,
            executions_complete=complete,
            next_order_id=self.next_id,
        )


@dataclass
class Broker:
    """What the journal holds, and a session in which it may send."""

    gateway: Gateway
    stories: list[Story]
    epoch: int = EPOCH
    floor: int = FLOOR + 1

    def recover(self, now: Any, *, complete: bool, sends: int) -> list[Decision]:
        """What a service does after a connect; it ends after `sends` of what it journalled to be sent again went out."""
        self.epoch += 1
        at = self.gateway.lists(self.epoch, complete=complete)
        records = [story.record for story in self.stories]
        decisions = [fate(one, at, now, floor=self.floor) for one in records]
        for story, decision in zip(self.stories, decisions, strict=True):
            if decision.fate is Fate.RESEND:
                assert story.record.client_order_id not in self.gateway.arrived, "it had arrived"
                story.apply(resending(story.record, now, epoch=self.epoch))
                if sends > 0:
                    self.gateway.take(story.record, "Submitted")
                sends -= 1
            elif decision.fate is Fate.REJECT:
                story.apply(given_up(story.record, decision, now))
            else:
                story.apply(reconcile(story.record, at, now))
        return decisions


WORDS = st.sampled_from(["Submitted", "Filled", "Cancelled"])


@settings(max_examples=500, deadline=None)
@given(
    words=st.lists(WORDS, max_size=4),
    unsent=st.integers(0, 4),
    acknowledged=st.integers(0, 4),
    broke_off=st.booleans(),
    back=st.integers(0, 6),
    anew=st.booleans(),
    complete=st.booleans(),
    late=st.booleans(),
    sends=st.integers(0, 4),
)
def test_whatever_arrived_and_whenever_brokers_end_no_order_arrives_twice(
    *,
    words: list[str],
    unsent: int,
    acknowledged: int,
    broke_off: bool,
    back: int,
    anew: bool,
    complete: bool,
    late: bool,
    sends: int,
) -> None:
    """Orders that arrived, then some that did not; the Gateway's ids go back; the broker ends again while it sends anew.

    In the end each order arrived at most once, and has the outcome that is true of it or works.
    """
    gateway = Gateway()
    stories = [
        Story(lost(request={"client_order_id": f"s-{n}"}, order_id=FLOOR + 1 + n, status=OrderStatus.PENDING_SUBMIT))
        for n in range(len(words) + unsent)
    ]
    broker = Broker(gateway, stories)
    for number, word in enumerate(words):
        gateway.take(stories[number].record, word)
        if number < acknowledged:
            stories[number].take(gateway.orders[f"s-{number}"])
            broker.floor = stories[number].record.order_id + 1
    gateway.next_id -= min(back, gateway.next_id - 1)
    if anew:
        gateway.start_anew()
    for story in stories:
        story.apply((session_lost if broke_off else orphaned)(story.record, NOW))
    now = LATE if late else NOW
    decisions = broker.recover(now, complete=complete, sends=sends)
    if complete and not late and not (broke_off or back or anew):
        assert [one.fate for one in decisions[len(words) :]] == unsent * [Fate.RESEND]
    for story in stories:
        story.apply(orphaned(story.record, now))
    for round_number in range(1, 3):
        broker.recover(now + round_number * GONE_AFTER, complete=True, sends=4)
    assert len(gateway.arrived) == len(set(gateway.arrived))
    for story in stories:
        assert len(story.outcomes) <= 1
        true = gateway.orders.get(story.record.client_order_id)
        expected = {
            "Filled": OrderStatus.FILLED,
            "Cancelled": OrderStatus.CANCELLED,
            "Submitted": OrderStatus.SUBMITTED,
        }
        assert story.record.status is (expected[true.status] if true is not None else OrderStatus.REJECTED)
