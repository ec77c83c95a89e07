"""After a connect: what IBKR lists, set against the journal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from unit.broker.stories import (
    EPOCH,
    NOW,
    ORDER_ID,
    PERM_ID,
    Story,
    charged,
    check_step,
    code,
    executed,
    listed,
    seen,
    sent,
    snapshot,
    status,
    working,
)

from ibstream.contracts.orders import FINAL_STATUSES, CommissionCharged, OrderStatus, Reason
from ibstream_broker.domain.inputs import Executed, OrderSeen
from ibstream_broker.domain.reconcile import (
    GONE_AFTER,
    Reconciliation,
    external,
    link_lost,
    orphaned,
    reconcile,
    session_lost,
)
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.states import WORDS
from ibstream_broker.domain.steps import Step

UNANSWERED = [OrderStatus.PENDING_SUBMIT, OrderStatus.UNKNOWN]


@pytest.mark.parametrize("status", UNANSWERED)
def test_an_order_that_is_open_is_submitted(status: OrderStatus) -> None:
    """It had arrived; its permanent id is taken over."""
    story = Story(sent(status=status))
    story.apply(reconcile(story.record, listed(is_open=[seen()]), NOW))
    assert story.statuses == [OrderStatus.SUBMITTED]
    assert story.record.perm_id == PERM_ID


@pytest.mark.parametrize("status", [*UNANSWERED, OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL])
def test_an_order_that_filled_while_away_is_filled_with_its_executions(status: OrderStatus) -> None:
    """Fills first, then the outcome, then what they cost: one revision."""
    fills = [executed(1, 40), executed(2, 60)]
    story = Story(sent(status=status))
    lists = listed(completed=[seen("Filled")], executions=fills, commissions=[charged(fill) for fill in fills])
    story.apply(reconcile(story.record, lists, NOW))
    assert [fill.quantity for fill in story.fills] == [40, 60]
    [outcome] = story.outcomes
    assert (outcome.status, outcome.filled) == (OrderStatus.FILLED, 100)
    assert sum(isinstance(event, CommissionCharged) for event in story.events) == 2
    again = Story(story.record)
    again.apply(reconcile(story.record, lists, NOW))
    assert again.events == []


def test_corrections_that_are_listed_count_together() -> None:
    """One grew, the other was taken back: in the order of the list they would for a moment be more than the whole."""
    story = Story(working()).take(executed(1, 1), executed(2, 60))
    lists = listed(is_open=[seen()], executions=[executed(1, 59, correction=2), executed(2, 0, correction=2)])
    story.apply(reconcile(story.record, lists, NOW))
    assert story.outcomes == []
    assert story.record.filled == 59


def test_executions_alone_are_enough() -> None:
    """IBKR may list an order no more and still know its executions."""
    story = Story(sent())
    story.apply(reconcile(story.record, listed(executions=[executed(1, 100)]), NOW))
    assert [event.status for event in story.outcomes] == [OrderStatus.FILLED]


def test_a_completed_order_that_did_not_fill_is_cancelled_with_what_it_got() -> None:
    """By us if we asked, else by IBKR."""
    for asked, reason in ((True, Reason.CANCEL_REQUESTED), (False, Reason.CANCELLED_BY_IBKR)):
        story = Story(working(cancel_requested=asked))
        lists = listed(completed=[seen("Cancelled", text="Cancelled by Trader")], executions=[executed(1, 40)])
        story.apply(reconcile(story.record, lists, NOW))
        [outcome] = story.outcomes
        assert (outcome.status, outcome.filled, outcome.reason) == (OrderStatus.CANCELLED, 40, reason)


@pytest.mark.parametrize("record", [working(), working(cancel_requested=True)])
def test_an_acknowledged_order_that_is_listed_nowhere_stays_unknown(record: OrderRecord) -> None:
    """It may have filled on a day of which the lists no longer tell: nobody calls it cancelled."""
    story = Story(record)
    for days in range(5):
        story.apply(reconcile(story.record, listed(), NOW + timedelta(days=days)))
    assert story.statuses == [OrderStatus.UNKNOWN]
    assert story.outcomes == []


def test_listed_nowhere_is_unknown_at_first_and_gone_when_it_stays_so() -> None:
    """Two snapshots, `GONE_AFTER` apart: a first one may have come before the order did."""
    story = Story(sent())
    story.apply(reconcile(story.record, listed(), NOW))
    assert story.statuses == [OrderStatus.UNKNOWN]
    too_early = NOW + GONE_AFTER - timedelta(seconds=1)
    assert reconcile(story.record, listed(), too_early) == (story.record, ())
    story.apply(reconcile(story.record, listed(), NOW + GONE_AFTER))
    assert [(event.status, event.reason) for event in story.outcomes] == [(OrderStatus.REJECTED, Reason.NO_ANSWER)]


def test_an_order_that_turns_up_after_all_is_alive() -> None:
    """And its absence is forgotten."""
    story = Story(sent())
    story.apply(reconcile(story.record, listed(), NOW))
    story.apply(reconcile(story.record, listed(is_open=[seen()]), NOW + GONE_AFTER))
    assert story.statuses == [OrderStatus.UNKNOWN, OrderStatus.SUBMITTED]
    assert story.record.missing_since is None


@pytest.mark.parametrize("word", ["PendingSubmit", "Inactive", "Suspended"])
def test_an_open_order_without_a_clear_state_stays_unknown_and_is_no_longer_missing(word: str) -> None:
    """Or the next snapshot without it would declare it gone at once."""
    absent = msgspec.structs.replace(working(), status=OrderStatus.UNKNOWN, missing_since=NOW)
    story = Story(absent)
    story.apply(reconcile(absent, listed(is_open=[seen(word)]), NOW + GONE_AFTER))
    assert story.record.missing_since is None
    story.apply(reconcile(story.record, listed(), NOW + 2 * GONE_AFTER))
    assert story.outcomes == []


def test_orders_are_matched_by_reference_then_by_permanent_id_and_never_by_order_id() -> None:
    """Order ids come again after a rollback."""
    stranger = OrderSeen(order_ref="other", order_id=41, perm_id=5, status="Submitted")
    nameless = OrderSeen(order_ref="", order_id=0, perm_id=PERM_ID, status="Submitted")
    for other in (stranger, OrderSeen(order_ref="", order_id=41, perm_id=5, status="Submitted")):
        after, _ = reconcile(working(), listed(is_open=[other]), NOW)
        assert after.status is OrderStatus.UNKNOWN
    after, events = reconcile(working(), listed(is_open=[nameless]), NOW)
    assert (after.status, events) == (OrderStatus.SUBMITTED, ())


def test_a_modify_that_was_taken_while_away_shows_in_the_request() -> None:
    """IBKR's open order has the quantity and price that count."""
    changed = seen(quantity=Decimal(60), limit_price=Decimal("49.50"))
    after, _ = reconcile(working(), listed(is_open=[changed]), NOW)
    assert (after.request.quantity, after.request.limit_price) == (Decimal(60), Decimal("49.50"))


@pytest.mark.parametrize("lost", [session_lost, orphaned, link_lost])
@pytest.mark.parametrize("status", list(OrderStatus))
@pytest.mark.parametrize("acknowledged", [False, True])
def test_what_the_end_of_a_session_makes_of_each_state(
    lost: Callable[[OrderRecord, datetime], Step], status: OrderStatus, acknowledged: bool
) -> None:
    """Unknown is what was sent and not answered: the order, or its cancel. The rest stands.

    Where the session broke off, nothing about such an order is provable any more; where only the broker ended, or the Gateway's
    link, it may be.
    """
    record = msgspec.structs.replace(working() if acknowledged else sent(), status=status)
    after, events = lost(record, NOW)
    check_step(record, after, events)
    answered = acknowledged and status in (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)
    if status in FINAL_STATUSES or answered:
        assert (after, events) == (record, ())
        return
    assert after.status is OrderStatus.UNKNOWN
    assert after.is_unclear
    assert after.session_lost is (lost is session_lost)
    assert len(events) == (status is not OrderStatus.UNKNOWN)
    assert lost(after, NOW) == (after, ())


def test_absence_is_proved_anew_in_every_session() -> None:
    """A Gateway that has just started may not have its lists yet."""
    absent = msgspec.structs.replace(working(), status=OrderStatus.UNKNOWN, missing_since=NOW)
    after, events = session_lost(absent, NOW)
    assert after.missing_since is None
    assert events == ()
    after, _ = reconcile(after, listed(), NOW + 10 * GONE_AFTER)
    assert after.status is OrderStatus.UNKNOWN


WORDS_LISTED = [*WORDS, "Suspended"]
DETAILS: list[dict[str, Any]] = [{}, {"executions_complete": False}, {"volatile": True}, {"epoch": EPOCH}]
PLACES: list[dict[str, Any]] = [
    {},
    *({where: [seen(said)]} for where in ("is_open", "completed") for said in WORDS_LISTED),
]
FILLS: list[list[Executed]] = [[], [executed(1, 40)], [executed(1, 100)]]
LISTS = [listed(executions=fills, **place, **details) for place in PLACES for fills in FILLS for details in DETAILS]


@pytest.mark.parametrize("status", list(OrderStatus))
def test_reconciling_keeps_the_rules_of_every_step(status: OrderStatus) -> None:
    """From every state, with every list: one revision, gapless numbers, one outcome; the same lists again change nothing."""
    since = NOW - GONE_AFTER
    for record in (
        sent(status=status),
        sent(status=status, missing_since=since, refused=True),
        sent(status=status, cancel_requested=True, missing_since=since),
        msgspec.structs.replace(working(doubted=True, reported_filled=Decimal(40)), status=status),
    ):
        for lists in LISTS:
            after, events = reconcile(record, lists, NOW)
            check_step(record, after, events)
            assert reconcile(after, lists, NOW) == (after, ())


@pytest.mark.parametrize("before", UNANSWERED)
def test_what_a_simulated_market_does_not_list_is_gone_at_once(before: OrderStatus) -> None:
    """It forgets everything when it ends: there is no day before of which it no longer tells."""
    lists = listed(volatile=True)
    for record, outcome, reason in (
        (sent(status=before), OrderStatus.REJECTED, Reason.NO_ANSWER),
        (sent(status=before, cancel_requested=True), OrderStatus.CANCELLED, Reason.CANCEL_REQUESTED),
        (working(), OrderStatus.CANCELLED, Reason.CANCELLED_BY_IBKR),
        (working(cancel_requested=True), OrderStatus.CANCELLED, Reason.CANCEL_REQUESTED),
        (Story(working()).take(executed(1, 40)).record, OrderStatus.CANCELLED, Reason.CANCELLED_BY_IBKR),
    ):
        story = Story(record)
        story.apply(reconcile(record, lists, NOW))
        [told] = story.outcomes
        assert (told.status, told.reason, told.filled) == (outcome, reason, record.filled)
        assert "forgot" in told.text


def test_a_simulated_order_that_is_listed_lives() -> None:
    """Or was just executed: its own fills come first."""
    assert reconcile(working(), listed(volatile=True, is_open=[seen()]), NOW)[1] == ()
    filled, _ = reconcile(sent(), listed(volatile=True, executions=[executed(1, 100)]), NOW)
    assert filled.status is OrderStatus.FILLED


@pytest.mark.parametrize("record", [sent(), working(), sent(refused=True)])
def test_absence_from_an_unfinished_list_of_executions_proves_nothing(record: OrderRecord) -> None:
    """It may have filled: unknown, however long it lasts; the clock starts with a list that is whole."""
    story = Story(record)
    for days in range(3):
        story.apply(reconcile(story.record, listed(executions_complete=False), NOW + timedelta(days=days)))
    assert story.statuses == [OrderStatus.UNKNOWN]
    assert story.record.missing_since is None


def test_a_cancelled_order_waits_for_a_whole_list_of_what_its_status_counted() -> None:
    """Its outcome says how much it got; what no whole list has is older than the lists, and is not waited for."""
    story = Story(working(reported_filled=Decimal(40)))
    story.apply(reconcile(story.record, listed(completed=[seen("Cancelled")], executions_complete=False), NOW))
    assert story.outcomes == []
    assert story.record.is_unclear
    story.apply(reconcile(story.record, listed(completed=[seen("Cancelled")]), NOW))
    assert [event.filled for event in story.outcomes] == [0]


def test_an_order_of_this_very_session_may_still_be_on_its_way() -> None:
    """Journalled, waiting for its turn: nothing is concluded from its absence while it may be sent, then all as always."""
    until = NOW + timedelta(seconds=30)
    for record in (sent(valid_until=until), sent(valid_until=until, status=OrderStatus.PENDING_CANCEL)):
        for details in ({}, {"volatile": True}):
            lists = listed(epoch=EPOCH, **details)
            assert reconcile(record, lists, until) == (record, ())
            assert reconcile(record, lists, until + timedelta(seconds=1))[0] != record


def test_a_new_order_that_was_refused_and_is_listed_nowhere_was_refused() -> None:
    """The code that could have meant another request meant the order, as it turns out: with its text."""
    story = Story(sent(resent=True)).take(code(201, "margin"))
    story.apply(reconcile(story.record, listed(), NOW))
    story.apply(reconcile(story.record, listed(), NOW + GONE_AFTER))
    [outcome] = story.outcomes
    assert (outcome.status, outcome.reason) == (OrderStatus.REJECTED, Reason.REJECTED_BY_IBKR)
    assert (outcome.text, outcome.code) == ("margin", 201)


def test_an_inactive_order_that_completed_was_refused_unless_it_had_worked() -> None:
    """IBKR lists refused orders as completed, and calls them inactive."""
    lists = listed(completed=[seen("Inactive", text="margin")])
    assert reconcile(sent(), lists, NOW)[0].status is OrderStatus.REJECTED
    assert reconcile(working(), lists, NOW)[0].status is OrderStatus.CANCELLED


def test_a_doubt_is_settled_by_the_list() -> None:
    """A cancel was refused and the order works; once more in doubt, it is looked up once more."""
    story = Story(working()).take(code(161, "no"))
    assert story.record.doubted
    story.apply(reconcile(story.record, listed(is_open=[seen()]), NOW))
    assert not story.record.is_unclear
    assert story.statuses == [OrderStatus.SUBMITTED]
    assert story.take(seen("Inactive")).record.doubted


def test_a_cancel_that_is_listed_as_pending_is_pending() -> None:
    """After a reconnect it is known again that it arrived."""
    story = Story(msgspec.structs.replace(working(), status=OrderStatus.UNKNOWN))
    story.apply(reconcile(story.record, listed(is_open=[seen("PendingCancel")]), NOW))
    assert story.statuses == [OrderStatus.PENDING_CANCEL]


def test_an_order_in_both_lists_has_completed_between_them() -> None:
    """The lists are not of one moment; but another order under the same reference is another order."""
    both = listed(is_open=[seen()], completed=[seen("Cancelled")])
    assert reconcile(working(), both, NOW)[0].status is OrderStatus.CANCELLED
    forked = listed(is_open=[seen(perm_id=PERM_ID + 1)], completed=[seen("Cancelled")])
    assert not reconcile(working(), forked, NOW)[0].is_final


def test_two_working_orders_under_one_reference_are_shown() -> None:
    """A modify that IBKR took for a new order: whoever looks has to cancel both."""
    lists = listed(is_open=[seen(), seen(perm_id=PERM_ID + 1)])
    assert [one.perm_id for one in lists.twins(working())] == [PERM_ID, PERM_ID + 1]
    assert lists.open_order(working()) == seen()
    assert lists.twins(sent(request={"client_order_id": "s-2"})) == []


def test_a_final_order_takes_its_late_fills_and_nothing_else() -> None:
    """What was executed while nobody listened is published, whatever the order was called."""
    story = Story(working()).take(status("Cancelled"))
    lists = listed(is_open=[seen()], executions=[executed(1, 40)], commissions=[charged(executed(1, 40))])
    story.apply(reconcile(story.record, lists, NOW))
    assert [fill.quantity for fill in story.fills] == [40]
    assert len(story.outcomes) == 1


def test_orders_that_nobody_here_asked_for_are_external() -> None:
    """By reference where there is one, by permanent id where not; each once, as it works now."""
    by_hand = OrderSeen(order_ref="", perm_id=5, status="Submitted")
    others = OrderSeen(order_ref="x", perm_id=6, status="Submitted", client_id=9)
    unnumbered = [OrderSeen(order_ref="y", perm_id=0, order_id=number, status="PendingSubmit") for number in (1, 2)]
    ours = [seen(), OrderSeen(order_ref="", perm_id=PERM_ID, status="Filled")]
    done = msgspec.structs.replace(others, status="Filled")
    lists = listed(is_open=[*ours[:1], by_hand, others, *unnumbered], completed=[done, *ours[1:]])
    is_ours = {("s-1", PERM_ID), ("", PERM_ID)}.__contains__
    assert external(lists, lambda *ids: is_ours(ids)) == [by_hand, others, *unnumbered]


def test_a_thousand_orders_are_reconciled_without_looking_at_each_other() -> None:
    """The work grows with the orders, not with their product: references are looked up, never compared one by one."""
    looked_at = 0

    class Counted(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal looked_at
            looked_at += 1
            return str.__eq__(self, other)

    count = 1_000
    orders = [
        msgspec.structs.replace(seen(perm_id=number), order_ref=Counted(f"s-{number}")) for number in range(1, count)
    ]
    fills = [
        msgspec.structs.replace(executed(number, 40), order_ref=Counted(f"s-{number}")) for number in range(1, count)
    ]
    lists = Reconciliation(snapshot(is_open=orders, executions=fills), epoch=EPOCH + 1)
    for number in range(1, count):
        record = working(request={"client_order_id": f"s-{number}"}, order_id=ORDER_ID + number)
        assert reconcile(record, lists, NOW)[0].filled == 40
    assert looked_at < 10 * count
