"""After a connect: what IBKR lists, set against the journal."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from unit.broker.stories import NOW, PERM_ID, Story, charged, check_step, executed, seen, sent, snapshot, working

from ibstream.contracts.orders import FINAL_STATUSES, CommissionCharged, OrderStatus, Reason
from ibstream_broker.domain.inputs import OrderSeen
from ibstream_broker.domain.reconcile import GONE_AFTER, reconcile, session_lost
from ibstream_broker.domain.records import OrderRecord

UNANSWERED = [OrderStatus.PENDING_SUBMIT, OrderStatus.UNKNOWN]


@pytest.mark.parametrize("status", UNANSWERED)
def test_an_order_that_is_open_is_submitted(status: OrderStatus) -> None:
    """It had arrived; its permanent id is taken over."""
    story = Story(sent(status=status))
    story.apply(reconcile(story.record, snapshot(is_open=[seen()]), NOW))
    assert story.statuses == [OrderStatus.SUBMITTED]
    assert story.record.perm_id == PERM_ID


@pytest.mark.parametrize("status", [*UNANSWERED, OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL])
def test_an_order_that_filled_while_away_is_filled_with_its_executions(status: OrderStatus) -> None:
    """Fills first, then the outcome, then what they cost: one revision."""
    fills = [executed(1, 40), executed(2, 60)]
    story = Story(sent(status=status))
    lists = snapshot(completed=[seen("Filled")], executions=fills, commissions=[charged(fill) for fill in fills])
    story.apply(reconcile(story.record, lists, NOW))
    assert [fill.quantity for fill in story.fills] == [40, 60]
    [outcome] = story.outcomes
    assert (outcome.status, outcome.filled) == (OrderStatus.FILLED, 100)
    assert sum(isinstance(event, CommissionCharged) for event in story.events) == 2
    again = Story(story.record)
    again.apply(reconcile(story.record, lists, NOW))
    assert again.events == []


def test_executions_alone_are_enough() -> None:
    """IBKR may list an order no more and still know its executions."""
    story = Story(sent())
    story.apply(reconcile(story.record, snapshot(executions=[executed(1, 100)]), NOW))
    assert [event.status for event in story.outcomes] == [OrderStatus.FILLED]


def test_a_completed_order_that_did_not_fill_is_cancelled_with_what_it_got() -> None:
    """By us if we asked, else by IBKR."""
    for asked, reason in ((True, Reason.CANCEL_REQUESTED), (False, Reason.CANCELLED_BY_IBKR)):
        story = Story(working(cancel_requested=asked))
        lists = snapshot(completed=[seen("Cancelled", text="Cancelled by Trader")], executions=[executed(1, 40)])
        story.apply(reconcile(story.record, lists, NOW))
        [outcome] = story.outcomes
        assert (outcome.status, outcome.filled, outcome.reason) == (OrderStatus.CANCELLED, 40, reason)


@pytest.mark.parametrize("record", [working(), working(cancel_requested=True)])
def test_an_acknowledged_order_that_is_listed_nowhere_stays_unknown(record: OrderRecord) -> None:
    """It may have filled on a day of which the lists no longer tell: nobody calls it cancelled."""
    story = Story(record)
    for days in range(5):
        story.apply(reconcile(story.record, snapshot(), NOW + timedelta(days=days)))
    assert story.statuses == [OrderStatus.UNKNOWN]
    assert story.outcomes == []


def test_listed_nowhere_is_unknown_at_first_and_gone_when_it_stays_so() -> None:
    """Two snapshots, `GONE_AFTER` apart: a first one may have come before the order did."""
    story = Story(sent())
    story.apply(reconcile(story.record, snapshot(), NOW))
    assert story.statuses == [OrderStatus.UNKNOWN]
    too_early = NOW + GONE_AFTER - timedelta(seconds=1)
    assert reconcile(story.record, snapshot(), too_early) == (story.record, ())
    story.apply(reconcile(story.record, snapshot(), NOW + GONE_AFTER))
    assert [(event.status, event.reason) for event in story.outcomes] == [(OrderStatus.REJECTED, Reason.NO_ANSWER)]


def test_an_order_that_turns_up_after_all_is_alive() -> None:
    """And its absence is forgotten."""
    story = Story(sent())
    story.apply(reconcile(story.record, snapshot(), NOW))
    story.apply(reconcile(story.record, snapshot(is_open=[seen()]), NOW + GONE_AFTER))
    assert story.statuses == [OrderStatus.UNKNOWN, OrderStatus.SUBMITTED]
    assert story.record.missing_since is None


@pytest.mark.parametrize("word", ["PendingSubmit", "Inactive", "PendingCancel"])
def test_an_open_order_without_a_clear_state_stays_unknown_and_is_no_longer_missing(word: str) -> None:
    """Or the next snapshot without it would declare it gone at once."""
    absent = msgspec.structs.replace(working(), status=OrderStatus.UNKNOWN, missing_since=NOW)
    story = Story(absent)
    story.apply(reconcile(absent, snapshot(is_open=[seen(word)]), NOW + GONE_AFTER))
    assert story.record.missing_since is None
    story.apply(reconcile(story.record, snapshot(), NOW + 2 * GONE_AFTER))
    assert story.outcomes == []


def test_orders_are_matched_by_reference_then_by_permanent_id_and_never_by_order_id() -> None:
    """Order ids come again after a rollback."""
    stranger = OrderSeen(order_ref="other", order_id=41, perm_id=5, status="Submitted")
    nameless = OrderSeen(order_ref="", order_id=0, perm_id=PERM_ID, status="Submitted")
    for other in (stranger, OrderSeen(order_ref="", order_id=41, perm_id=5, status="Submitted")):
        after, _ = reconcile(working(), snapshot(is_open=[other]), NOW)
        assert after.status is OrderStatus.UNKNOWN
    after, events = reconcile(working(), snapshot(is_open=[nameless]), NOW)
    assert (after.status, events) == (OrderStatus.SUBMITTED, ())


def test_a_modify_that_was_taken_while_away_shows_in_the_request() -> None:
    """IBKR's open order has the quantity and price that count."""
    changed = seen(quantity=Decimal(60), limit_price=Decimal("49.50"))
    after, _ = reconcile(working(), snapshot(is_open=[changed]), NOW)
    assert (after.request.quantity, after.request.limit_price) == (Decimal(60), Decimal("49.50"))


@pytest.mark.parametrize("status", list(OrderStatus))
@pytest.mark.parametrize("acknowledged", [False, True])
def test_what_the_end_of_a_session_makes_of_each_state(status: OrderStatus, acknowledged: bool) -> None:
    """Unknown is what was sent and not acknowledged: the order, or its cancel. The rest stands."""
    record = msgspec.structs.replace(working() if acknowledged else sent(), status=status)
    after, events = session_lost(record, NOW)
    check_step(record, after, events)
    open_question = not acknowledged or status is OrderStatus.PENDING_CANCEL
    if status in FINAL_STATUSES or status is OrderStatus.UNKNOWN or not open_question:
        assert (after, events) == (record, ())
    else:
        assert after.status is OrderStatus.UNKNOWN
        assert after.is_unclear


def test_absence_is_proved_anew_in_every_session() -> None:
    """A Gateway that has just started may not have its lists yet."""
    absent = msgspec.structs.replace(working(), status=OrderStatus.UNKNOWN, missing_since=NOW)
    after, events = session_lost(absent, NOW)
    assert after.missing_since is None
    assert events == ()
    after, _ = reconcile(after, snapshot(), NOW + 10 * GONE_AFTER)
    assert after.status is OrderStatus.UNKNOWN


@pytest.mark.parametrize("lists", [snapshot(), snapshot(is_open=[seen()]), snapshot(completed=[seen("Filled")])])
@pytest.mark.parametrize("status", [one for one in OrderStatus if one not in FINAL_STATUSES])
def test_reconciling_keeps_the_rules_of_every_step(status: OrderStatus, lists: object) -> None:
    """One revision, gapless numbers, at most one outcome, from every state that has none."""
    for record in (sent(status=status), msgspec.structs.replace(working(), status=status)):
        after, events = reconcile(record, lists, NOW)  # type: ignore[arg-type]
        check_step(record, after, events)
