"""The order's life, exhaustively over statuses and inputs, and in random disorder: one outcome, every fill once."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.broker.stories import (
    NOW,
    PERM_ID,
    Story,
    charged,
    check_step,
    code,
    executed,
    seen,
    sent,
    snapshot,
    status,
    working,
)

from ibstream.contracts.orders import CommissionCharged, OrderFilled, OrderStatus, OrderStatusChanged, Reason
from ibstream_broker.domain.inputs import CodeReported, Executed, OrderInput
from ibstream_broker.domain.lifecycle import TEXT_CHARACTERS_MAX, status_event, step
from ibstream_broker.domain.reconcile import reconcile
from ibstream_broker.domain.records import OrderRecord

WORDS = ["ApiPending", "PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel", "Cancelled", "ApiCancelled"]
CODES = [104, 105, 110, 161, 201, 202, 321, 322, 354, 399, 404, 2109, 10147, 10148, 10349, 9999]

INPUTS: list[OrderInput] = [
    *(seen(word) for word in [*WORDS, "Inactive", "Filled"]),
    seen(quantity=Decimal(60)),
    seen(limit_price=Decimal("51.00")),
    seen("PreSubmitted", perm_id=0),
    *(status(word, filled) for word in [*WORDS, "Inactive", "Filled"] for filled in (0, 40, 100)),
    status("Inactive", why_held="locate"),
    *(executed(1, quantity, correction=correction) for quantity in (40, 100, 120) for correction in (1, 2)),
    charged(executed(1, 40)),
    *(code(number, "so it is") for number in CODES),
]

RECORDS: list[OrderRecord] = [
    one
    for order_status in OrderStatus
    for one in (
        sent(status=order_status),
        msgspec.structs.replace(working(), status=order_status),
        msgspec.structs.replace(
            working(), status=order_status, cancel_requested=True, reported_cancelled=True, reported_filled=Decimal(40)
        ),
        msgspec.structs.replace(Story(working()).take(executed(1, 40)).record, status=order_status),
        msgspec.structs.replace(working(), status=order_status, modify_quantity=Decimal(120)),
    )
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda one: f"{one.status}-{one.perm_id}")
def test_every_input_in_every_state_keeps_the_rules(record: OrderRecord) -> None:
    """Over the whole product, and over every pair of inputs: see `check_step` for the rules."""
    for first in INPUTS:
        after, events = step(record, first, NOW)
        check_step(record, after, events)
        for second in INPUTS:
            last, more = step(after, second, NOW)
            check_step(after, last, more)


@pytest.mark.parametrize("record", RECORDS, ids=lambda one: f"{one.status}-{one.perm_id}")
def test_what_is_said_twice_changes_nothing_the_second_time(record: OrderRecord) -> None:
    """IBKR often repeats itself. A code is the exception: it may refuse two requests with the same words."""
    for one in INPUTS:
        if not isinstance(one, CodeReported) or one.advice or one.cancelled:
            after, _ = step(record, one, NOW)
            assert step(after, one, NOW) == (after, ())


def test_a_market_order_from_sent_to_charged() -> None:
    """The usual order of things: acknowledged, executed, filled, charged; numbered without a gap."""
    fill = executed(1, 100)
    story = Story(sent()).take(
        seen("PreSubmitted"), status("PreSubmitted"), seen(), status("Submitted"), fill, seen("Filled"),
        status("Filled", 100), charged(fill),
    )  # fmt: skip
    assert story.statuses == [OrderStatus.SUBMITTED, OrderStatus.FILLED]
    assert [type(event) for event in story.events[1:]] == [OrderFilled, OrderStatusChanged, CommissionCharged]
    assert story.outcomes[0].filled == 100
    assert story.outcomes[0].average_price == Decimal("49.99")
    assert story.outcomes[0].perm_id == PERM_ID


def test_fills_are_counted_from_executions_alone() -> None:
    """A status that says filled waits for the execution; the same one twice counts once."""
    story = Story(working()).take(status("Filled", 100))
    assert story.outcomes == []
    assert story.record.is_unclear
    story.take(executed(1, 100), executed(1, 100))
    assert [event.status for event in story.outcomes] == [OrderStatus.FILLED]
    assert len(story.fills) == 1


def test_a_correction_replaces_its_line() -> None:
    """`.02` stands for `.01`, also after the outcome; an older one that comes late is no news."""
    first, second = executed(1, 100, price="49.99"), executed(1, 100, correction=2, price="50.01")
    story = Story(working()).take(first, second, first)
    assert [(fill.exec_id, fill.replaces_exec_id) for fill in story.fills] == [
        (first.exec_id, ""),
        (second.exec_id, first.exec_id),
    ]
    assert story.record.filled == 100
    assert story.record.average_price == Decimal("50.01")
    assert len(story.outcomes) == 1


def test_executions_without_a_dot_in_their_id_are_still_told_apart() -> None:
    """Nothing documents the form of the id; two must never be taken for corrections of each other."""
    one, two = (msgspec.structs.replace(executed(number, 40), exec_id=f"plain{number}") for number in (1, 2))
    assert Story(working()).take(one, two).record.filled == 80


def test_cancelled_waits_for_the_executions_that_the_same_status_counts() -> None:
    """A fill that raced the cancel is published before the outcome, which counts it."""
    story = Story(working(cancel_requested=True)).take(status("Cancelled", 40), code(202))
    assert story.outcomes == []
    assert story.record.is_unclear
    story.take(executed(1, 40))
    [outcome] = story.outcomes
    assert (outcome.status, outcome.filled, outcome.reason) == (
        OrderStatus.CANCELLED,
        Decimal(40),
        Reason.CANCEL_REQUESTED,
    )


def test_a_cancel_that_lost_its_race_ends_filled() -> None:
    """The whole order filled while the cancel was on its way."""
    story = Story(working(cancel_requested=True))
    story.take(status("PendingCancel"), executed(1, 100), code(10148, "cannot be cancelled, state: Filled"))
    assert [event.status for event in story.outcomes] == [OrderStatus.FILLED]


def test_a_fill_after_the_outcome_is_told_and_changes_no_outcome() -> None:
    """It is money: consumers hear of it, whatever the order was called before."""
    story = Story(working()).take(code(202), executed(1, 40))
    assert [event.status for event in story.outcomes] == [OrderStatus.CANCELLED]
    assert [fill.cumulative_quantity for fill in story.fills] == [Decimal(40)]


@pytest.mark.parametrize("number", [105, 329, 399, 404, 481, 2102, 2109, 10311, 10349])
def test_advice_leaves_a_working_order_as_it_is(number: int) -> None:
    """Told as text, once, however often it comes."""
    story = Story(working()).take(code(number, "advice"), code(number, "advice"))
    assert story.statuses == [OrderStatus.SUBMITTED]
    [event] = story.events
    assert (event.text, event.code, event.final) == ("advice", number, False)  # type: ignore[union-attr]


@pytest.mark.parametrize("number", [110, 201, 203, 320, 321, 434])
def test_a_refusal_of_a_new_order_is_its_outcome(number: int) -> None:
    """321 and 434 too, with which ib_async leaves an order active for ever."""
    [outcome] = Story(sent()).take(code(number, "no")).outcomes
    assert (outcome.status, outcome.reason, outcome.code) == (
        OrderStatus.REJECTED,
        Reason.REJECTED_BY_IBKR,
        number,
    )


@pytest.mark.parametrize("number", [104, 110, 136, 161, 201, 321, 322, 10147, 10148, 10149, 9999])
def test_a_refusal_on_a_working_order_is_unclear(number: int) -> None:
    """It may have refused a change or a cancel; only IBKR's lists tell."""
    story = Story(working()).take(code(number, "no"))
    assert story.statuses == [OrderStatus.UNKNOWN]
    assert story.record.is_unclear


def test_202_is_cancelled() -> None:
    """By us or by IBKR, as the journal knows."""
    for asked, reason in ((True, Reason.CANCEL_REQUESTED), (False, Reason.CANCELLED_BY_IBKR)):
        [outcome] = Story(working(cancel_requested=asked)).take(code(202, "Order Canceled - reason:")).outcomes
        assert (outcome.status, outcome.reason, outcome.code) == (OrderStatus.CANCELLED, reason, 202)


def test_inactive_is_unclear_unless_shares_are_being_located() -> None:
    """`Inactive` is mostly a refusal, sometimes an order that waits; ib_async calls it done."""
    assert Story(working()).take(status("Inactive")).statuses == [OrderStatus.UNKNOWN]
    assert Story(sent()).take(status("Inactive", why_held="locate")).statuses == [OrderStatus.SUBMITTED]


def test_a_pending_cancel_is_not_taken_back_by_a_late_status() -> None:
    """Still it can fill."""
    story = Story(working()).take(status("PendingCancel"), status("Submitted"), executed(1, 40))
    assert story.statuses == [OrderStatus.PENDING_CANCEL]


def test_a_part_that_fills_says_nothing_about_the_rest() -> None:
    """What was unclear stays so until IBKR's lists tell."""
    story = Story(working()).take(code(161), executed(1, 40))
    assert story.record.status is OrderStatus.UNKNOWN
    assert story.record.is_unclear
    assert story.take(seen()).record.status is OrderStatus.PARTIALLY_FILLED


def test_a_larger_quantity_that_was_asked_for_keeps_the_order_alive() -> None:
    """The old quantity's last fill can overtake the news that the change was taken: 100 more are at the exchange."""
    record = msgspec.structs.replace(working(), modify_quantity=Decimal(200))
    story = Story(record).take(executed(1, 100))
    assert story.outcomes == []
    assert story.record.is_unclear
    story.take(seen(quantity=Decimal(200)), executed(2, 100))
    assert [event.status for event in story.outcomes] == [OrderStatus.FILLED]
    assert story.record.filled == 200


def test_a_larger_quantity_that_came_too_late_ends_with_the_old_one() -> None:
    """IBKR's status says that it was whole."""
    record = msgspec.structs.replace(working(), modify_quantity=Decimal(200))
    story = Story(record).take(executed(1, 100), code(104, "Cannot modify a filled order."), status("Filled", 100))
    [outcome] = story.outcomes
    assert (outcome.status, outcome.filled, outcome.quantity) == (OrderStatus.FILLED, 100, 100)


def test_a_smaller_quantity_that_is_filled_already_ends_the_order() -> None:
    """The last fill came before the news of the change; no other will come."""
    story = Story(working()).take(executed(1, 60), seen(quantity=Decimal(60)))
    assert story.record.is_unclear
    assert [event.status for event in story.take(status("Filled", 60)).outcomes] == [OrderStatus.FILLED]


def test_long_texts_are_cut_to_what_the_contract_takes() -> None:
    """Or the event could not be read by anybody."""
    record = sent(text="x" * (TEXT_CHARACTERS_MAX + 1))
    event = status_event(record, NOW)
    assert len(msgspec.json.decode(msgspec.json.encode(event), type=type(event)).text) == TEXT_CHARACTERS_MAX


FILLS = [executed(1, 30), executed(2, 30), executed(3, 40)]
FILLED_STORY: list[OrderInput] = [
    seen("PreSubmitted"),
    status("PreSubmitted"),
    seen(),
    status("Submitted"),
    code(399, "Warning: your order will not be placed at the exchange until 09:30"),
    code(10349, "Order TIF was set to DAY based on order preset."),
    FILLS[0],
    charged(FILLS[0]),
    status("Submitted", 30),
    executed(1, 30, correction=2),
    FILLS[1],
    charged(FILLS[1]),
    FILLS[2],
    status("Filled", 100),
    seen("Filled"),
    charged(FILLS[2]),
]
CANCELLED_STORY: list[OrderInput] = [
    seen(),
    status("Submitted"),
    code(2109, "Outside RTH is ignored"),
    FILLS[0],
    charged(FILLS[0]),
    status("PendingCancel", 30),
    FILLS[1],
    status("Cancelled", 60),
    code(202, "Order Canceled - reason:"),
    charged(FILLS[1]),
]


@st.composite
def disordered(draw: st.DrawFn, story: list[OrderInput]) -> list[OrderInput]:
    """The whole story, with repetitions, in any order."""
    repeated = draw(st.lists(st.sampled_from(story), max_size=8))
    return draw(st.permutations([*story, *repeated]))


@settings(max_examples=300, deadline=None)
@given(disordered(FILLED_STORY))
def test_a_filled_order_told_in_any_disorder(inputs: list[OrderInput]) -> None:
    """Exactly one outcome, and the right one; every execution once, its correction in its place."""
    story = Story(sent()).take(*inputs)
    assert [event.status for event in story.outcomes] == [OrderStatus.FILLED]
    assert story.record.filled == 100
    _check_fills(story, inputs)


@settings(max_examples=300, deadline=None)
@given(disordered(CANCELLED_STORY))
def test_a_cancelled_order_told_in_any_disorder(inputs: list[OrderInput]) -> None:
    """Exactly one outcome; both fills told, none lost to the race with the cancel.

    202 carries no count of what was filled: where it overtakes everything, the fills are told after the outcome.
    """
    story = Story(working(cancel_requested=True)).take(*inputs)
    assert [event.status for event in story.outcomes] == [OrderStatus.CANCELLED]
    assert story.record.filled == 60
    _check_fills(story, inputs)


ENDS = [status(word, filled) for word in ("Cancelled", "ApiCancelled") for filled in (0, 40, 60, 100)]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*FILLED_STORY, *CANCELLED_STORY, *INPUTS]), max_size=30),
    st.sampled_from(["open", "filled", "cancelled"]),
)
def test_whatever_was_heard_a_snapshot_settles_it(inputs: list[OrderInput], stands: str) -> None:
    """Any part of any story, then IBKR's lists: an order without an outcome is alive if they say so, else it has one."""
    story = Story(sent()).take(*inputs)
    had = len(story.outcomes)
    lists = {
        "open": snapshot(is_open=[seen()], executions=FILLS[:1]),
        "filled": snapshot(completed=[seen("Filled")], executions=FILLS),
        "cancelled": snapshot(completed=[seen("Cancelled")], executions=FILLS[:1]),
    }[stands]
    if not had:
        story.apply(reconcile(story.record, lists, NOW))
    if had:
        assert len(story.outcomes) == had == 1
    elif stands == "open":
        ended = any(one in inputs for one in ENDS) or story.record.filled >= story.record.request.quantity
        assert not story.outcomes or ended
        assert story.record.status is not OrderStatus.UNKNOWN
    else:
        assert len(story.outcomes) == 1
    _check_fills(story, inputs)


def _check_fills(story: Story, inputs: list[OrderInput]) -> None:
    """Every execution id at most once, and in each line the newest that was heard."""
    ids = [fill.exec_id for fill in story.fills]
    assert len(ids) == len(set(ids))
    heard = {one.exec_id for one in inputs if isinstance(one, Executed)}
    newest = {exec_id.rpartition(".")[0]: exec_id for exec_id in sorted(heard)}
    assert set(newest.values()) <= set(ids)
    commissions = [event.exec_id for event in story.events if isinstance(event, CommissionCharged)]
    assert len(commissions) == len(set(commissions))
