"""The stories of an order, one by one: what IBKR says, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from unit.broker.stories import COMBO, NOW, PERM_ID, Story, charged, code, executed, seen, sent, status, submit, working

from ibstream.contracts.orders import (
    CommissionCharged,
    GroupKind,
    OrderFilled,
    OrderStatus,
    OrderStatusChanged,
    OrderType,
    Reason,
    RiskCheck,
    TimeInForce,
)
from ibstream.contracts.system import SettleOrder
from ibstream_broker.domain.inputs import OrderInput
from ibstream_broker.domain.lifecycle import TEXT_CHARACTERS_MAX, Step, folded, risen, settled, status_event, step
from ibstream_broker.domain.modifies import base_of, modify_asked, modify_unsent
from ibstream_broker.domain.reconcile import orphaned, session_lost
from ibstream_broker.domain.records import Link, OrderRecord


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


@pytest.mark.parametrize("shown", [[], [seen("PendingSubmit")], [seen("Inactive"), status("Inactive")]])
@pytest.mark.parametrize("number", [110, 201, 203, 320, 321, 434])
def test_a_refusal_of_a_new_order_is_its_outcome(number: int, shown: list[OrderInput]) -> None:
    """321 and 434 too, with which ib_async leaves an order active for ever; and where it was shown, but never working."""
    [outcome] = Story(sent()).take(*shown, code(number, "no")).outcomes
    assert (outcome.status, outcome.reason, outcome.code) == (
        OrderStatus.REJECTED,
        Reason.REJECTED_BY_IBKR,
        number,
    )


@pytest.mark.parametrize("number", [104, 110, 133, 134, 135, 201, 321, 322, 10147, 10149, 10328, 9999])
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
    story = Story(working()).take(code(322), executed(1, 40))
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


def test_a_change_that_ibkr_has_taken_is_told_once() -> None:
    """A strategy learns that its modify is in force, by a status event with the new terms; repetitions say nothing."""
    story = Story(working())
    before = len(story.events)
    story.take(seen(quantity=Decimal(200)), seen(quantity=Decimal(200)))
    [event] = story.events[before:]
    assert isinstance(event, OrderStatusChanged)
    assert (event.status, event.quantity, event.text) == (OrderStatus.SUBMITTED, 200, "changed")


def test_a_status_tells_the_terms_in_force() -> None:
    """Those that IBKR showed last, and nothing of a modify that is only on its way."""
    story = Story(working())
    story.apply(modify_asked(story.record, submit(quantity=Decimal(200), limit_price=Decimal("51.00"))))
    event = status_event(story.record, NOW)
    assert (event.quantity, event.limit_price, event.time_in_force) == (100, Decimal("50.00"), TimeInForce.DAY)
    story.take(seen(quantity=Decimal(200), limit_price=Decimal("51.00"), time_in_force="IOC"))
    changed = story.events[-1]
    assert isinstance(changed, OrderStatusChanged)
    assert (changed.quantity, changed.limit_price, changed.time_in_force) == (200, Decimal("51.00"), TimeInForce.IOC)
    trailing = sent(request={"order_type": OrderType.TRAIL, "limit_price": None, "trailing_amount": Decimal(2)})
    event = status_event(trailing, NOW)
    assert (event.limit_price, event.stop_price, event.trailing_amount, event.trailing_percent) == (None, None, 2, None)


def test_a_quantity_that_was_overtaken_does_not_end_the_order() -> None:
    """The list showed 200 already; an openOrder of before says 100 once more."""
    story = Story(working()).take(seen(quantity=Decimal(200)), seen(quantity=Decimal(100)), executed(1, 100))
    assert story.outcomes == []
    assert story.record.is_unclear
    story.take(seen(quantity=Decimal(200)), executed(2, 100))
    assert [event.filled for event in story.outcomes] == [200]


def test_of_several_changes_on_their_way_the_largest_counts() -> None:
    """Which of them IBKR takes is not known yet; asked twice changes nothing, and nothing is asked of what has ended."""
    story = Story(working())
    for quantity in (200, 150, 150):
        story.apply(modify_asked(story.record, submit(quantity=Decimal(quantity))))
    assert base_of(story.record).quantity == 150
    assert story.take(executed(1, 150)).outcomes == []
    done = Story(working()).take(executed(1, 100)).record
    assert modify_asked(done, submit(quantity=Decimal(200))) == (done, ())


NEARER: dict[str, Any] = {"limit_price": Decimal("51.00")}
MORE: dict[str, Any] = {"quantity": Decimal(200)}


def asked_twice() -> Story:
    """Another price, and then another quantity, both on their way."""
    story = Story(working())
    for terms in (NEARER, NEARER | MORE):
        story.apply(modify_asked(story.record, submit(**terms)))
    return story


def test_a_modify_builds_on_the_one_that_is_on_its_way() -> None:
    """Until IBKR has shown the terms of the last: the first of two may be shown in between, or news of before be repeated."""
    story = asked_twice()
    assert base_of(Story(working()).record) == submit()
    for price in ("50.00", "51.00"):
        story.take(seen(limit_price=Decimal(price), quantity=Decimal(100)))
        assert base_of(story.record) == submit(**NEARER, **MORE)
    story.take(seen(**NEARER, **MORE))
    assert (story.record.wanted, story.record.request) == (None, submit(**NEARER, **MORE))
    assert story.take(seen(quantity=Decimal(150))).record.wanted is None
    assert base_of(story.record).quantity == 150


@pytest.mark.parametrize("number", [104, 105, 110, 201, 321, 329, 2102, 9999])
def test_a_modify_that_is_refused_is_built_on_no_more(number: int) -> None:
    """By a code that says so, or by one that says nothing clear: then what IBKR shows next are the terms in force."""
    story = asked_twice().take(seen(**NEARER), code(number, "no"), seen(**NEARER, quantity=Decimal(100)))
    assert story.record.wanted is None
    assert base_of(story.record) == submit(**NEARER)


@pytest.mark.parametrize("number", [399, 481, 10349])
def test_advice_takes_back_no_modify(number: int) -> None:
    """It lives, and so may its change."""
    assert base_of(asked_twice().take(code(number, "advice")).record) == submit(**NEARER, **MORE)


@pytest.mark.parametrize("lost", [session_lost, orphaned])
def test_a_modify_is_not_built_on_beyond_its_session(lost: Callable[[OrderRecord, datetime], Step]) -> None:
    """Whether it arrived the lists of the next one tell; and after the outcome nothing is wanted at all."""
    story = asked_twice()
    story.apply(lost(story.record, NOW))
    assert story.record.status is OrderStatus.SUBMITTED
    assert base_of(story.record) == submit()
    assert asked_twice().take(code(202)).record.wanted is None


def test_a_modify_that_was_not_sent_leaves_what_was_wanted_before() -> None:
    """The last of two takes back its own terms alone, the quantity that was never asked for included."""
    first = Story(working())
    first.apply(modify_asked(first.record, submit(**NEARER)))
    before = first.record
    first.apply(modify_asked(first.record, submit(**NEARER, **MORE)))
    first.apply(modify_unsent(first.record, before))
    assert (base_of(first.record), first.record.modify_quantity) == (submit(**NEARER), None)
    assert [event.filled for event in first.take(executed(1, 100)).outcomes] == [100]
    assert modify_unsent(first.record, before) == (first.record, ())


def test_a_modify_that_was_not_sent_brings_nothing_back_that_was_settled() -> None:
    """What was wanted before it was refused, or lost with the session, meanwhile."""
    story = asked_twice()
    before = story.record
    story.apply(modify_asked(story.record, submit(**NEARER, quantity=Decimal(300))))
    story.take(code(201, "no"))
    story.apply(modify_unsent(story.record, before))
    assert (story.record.wanted, story.record.modify_quantity) == (None, Decimal(200))


@pytest.mark.parametrize("terms", [{"trailing_amount": Decimal(2)}, {"trailing_percent": Decimal("1.5")}])
def test_a_trailing_stop_is_shown_by_its_distance(terms: dict[str, Any]) -> None:
    """Its stop moves by itself and says nothing; with the distance, where it was to begin anew is taken over as well."""
    first: dict[str, Any] = {name: value + 1 for name, value in terms.items()}
    details = {"order_type": OrderType.TRAIL, "limit_price": None, "stop_price": Decimal(45)}
    story = Story(working(request={**details, **first}))
    wanted = submit(**{**details, **terms, "stop_price": Decimal(47)})
    story.apply(modify_asked(story.record, wanted))
    assert base_of(story.take(seen(stop_price=Decimal(46), **first)).record) == wanted
    story.take(seen(stop_price=Decimal(46), **terms))
    assert (story.record.wanted, story.record.request) == (None, wanted)


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


@pytest.mark.parametrize("number", [136, 161, 10148])
def test_a_cancel_that_is_refused_leaves_a_working_order_working(number: int) -> None:
    """And in doubt: it may be that it has filled. One that was asked to end has no clear state any more."""
    story = Story(working()).take(code(number, "cannot be cancelled"))
    assert story.statuses == [OrderStatus.SUBMITTED]
    assert story.record.is_unclear
    story = Story(working(cancel_requested=True)).take(status("PendingCancel"), code(number, "cannot be cancelled"))
    assert story.statuses == [OrderStatus.PENDING_CANCEL, OrderStatus.UNKNOWN]


@pytest.mark.parametrize("number", [110, 201, 321])
def test_a_change_that_is_refused_leaves_the_order_to_live_on(number: int) -> None:
    """Unclear until the next word of it; the price that was asked for never counted."""
    story = Story(working()).take(code(number, "no"), status("Submitted"))
    assert story.statuses == [OrderStatus.UNKNOWN, OrderStatus.SUBMITTED]
    assert story.record.request.limit_price == Decimal("50.00")
    assert not story.record.refused


@pytest.mark.parametrize("details", [{"resent": True}, {"cancel_requested": True}])
def test_a_refusal_that_may_mean_another_request_is_unclear(details: dict[str, bool]) -> None:
    """Sent twice, the first copy may live (103 says that its id is known); asked to end, the cancel may be what 321 refuses."""
    for number in (103, 201, 321):
        story = Story(sent(**details)).take(code(number, "no"))
        assert story.statuses == [OrderStatus.UNKNOWN]
        assert story.record.refused


def test_a_refused_change_of_a_partly_filled_order_loses_no_fill() -> None:
    """201 on it, then the rest fills."""
    story = Story(working()).take(executed(1, 40), code(201, "margin"), executed(2, 60))
    assert [fill.quantity for fill in story.fills] == [40, 60]
    assert [event.status for event in story.outcomes] == [OrderStatus.FILLED]


@pytest.mark.parametrize("word", ["ApiPending", "PendingSubmit"])
def test_words_before_an_acknowledgement_are_none(word: str) -> None:
    """The order is on its way, as the journal knows."""
    story = Story(sent()).take(seen(word, perm_id=0), status(word, perm_id=0))
    assert story.events == []
    assert not story.record.acknowledged


def test_an_order_held_for_a_locate_is_alive_and_says_why() -> None:
    """404, then `Inactive` with its reason: told once each, and the shares that are found fill it."""
    held = status("Inactive", why_held="locate")
    story = Story(sent()).take(code(404, "locating shares"), held, held, executed(1, 100))
    assert story.statuses == [OrderStatus.PENDING_SUBMIT, OrderStatus.SUBMITTED, OrderStatus.FILLED]
    assert [getattr(event, "text", "") for event in story.events][:2] == ["locating shares", "held: locate"]


def test_a_warning_that_comes_with_an_order_is_told_once() -> None:
    """IBKR repeats it with every openOrder, between other texts and after every fill."""
    capped, other = seen(text="price capped"), code(399, "held until 09:30")
    story = Story(working()).take(capped, other, capped, other, executed(1, 40), capped, other)
    told = [event.text for event in story.events if isinstance(event, OrderStatusChanged) and event.text]
    assert told == ["price capped", "held until 09:30"]


def test_what_an_open_order_shows_is_what_a_change_came_to() -> None:
    """Quantity, prices and time in force of a stop limit; a DAY order may become IOC."""
    request = {"order_type": OrderType.STOP_LIMIT, "stop_price": Decimal("51.00")}
    shown = seen(quantity=Decimal(60), limit_price=Decimal("52.50"), stop_price=Decimal("52.00"), time_in_force="IOC")
    request_after = Story(working(request=request)).take(shown).record.request
    assert (request_after.quantity, request_after.limit_price, request_after.stop_price) == (60, 52.5, 52)
    assert request_after.time_in_force is TimeInForce.IOC


def test_what_an_open_order_shows_of_prices_that_the_order_has_not_is_not_taken() -> None:
    """A market order's limit of 0, a trailing stop's moving price, a time in force that cannot be asked for."""
    trail = {
        "order_type": OrderType.TRAIL,
        "limit_price": None,
        "stop_price": Decimal(48),
        "trailing_amount": Decimal(2),
    }
    record = working(request=trail)
    shown = seen(quantity=Decimal(100), limit_price=Decimal(0), stop_price=Decimal(49), time_in_force="AUC")
    assert Story(record).take(shown).record.request == record.request
    limit = working()
    assert Story(limit).take(seen(limit_price=Decimal(0), quantity=Decimal(0))).record.request == limit.request


def test_a_combo_for_nothing_is_a_price() -> None:
    """A credit or an even spread: zero and below are prices of combos."""
    record = working(request={"instrument": COMBO, "limit_price": Decimal("0.10")})
    for price in (Decimal(0), Decimal("-0.25")):
        assert Story(record).take(seen(limit_price=price)).record.request.limit_price == price


def test_legs_are_published_and_never_counted() -> None:
    """They move positions; the combo's own execution moves the order."""
    story = Story(working(request={"instrument": COMBO, "quantity": Decimal(10)}))
    leg = msgspec.structs.replace(executed(1, 1000, leg=2), symbol="MSFT")
    story.take(executed(1, 1000, leg=1), leg)
    assert (story.statuses, story.record.filled) == ([], 0)
    story.take(executed(1, 10, kind="BAG"), charged(leg))
    assert [event.status for event in story.outcomes] == [OrderStatus.FILLED]
    assert story.outcomes[0].average_price == Decimal("49.99")
    told = [(fill.leg, fill.con_id, fill.symbol, fill.cumulative_quantity) for fill in story.fills]
    assert told == [(True, 101, "AAPL", 0), (True, 102, "MSFT", 0), (False, 100, "AAPL", 10)]
    assert isinstance(story.events[-1], CommissionCharged)


def test_a_correction_of_a_leg_replaces_that_leg() -> None:
    """Five parts in its id; the last one counts."""
    story = Story(working(request={"instrument": COMBO})).take(
        executed(1, 40, leg=1), executed(1, 30, leg=1, correction=2), executed(1, 40, leg=2)
    )
    assert [fill.replaces_exec_id for fill in story.fills] == ["", story.fills[0].exec_id, ""]
    assert len(story.record.executions) == 2


def test_the_tenth_correction_is_newer_than_the_ninth() -> None:
    """The last part is a number, however it is written."""
    ids = [f"0000e0d5.6560a1b2.01.{number}" for number in ("9", "10")]
    first, second = (msgspec.structs.replace(executed(1, 40), exec_id=one) for one in ids)
    assert Story(working()).take(second, first).record.executions["0000e0d5.6560a1b2.01"].exec_id == second.exec_id
    assert [fill.replaces_exec_id for fill in Story(working()).take(first, second).fills] == ["", first.exec_id]


def test_a_correction_that_takes_back_a_fill_takes_it_back_from_the_count_too() -> None:
    """Or the cancel would wait for shares that nobody has traded."""
    story = Story(working(cancel_requested=True))
    story.take(executed(1, 40), status("Submitted", 40), executed(1, 30, correction=2), status("Cancelled", 30))
    [outcome] = story.outcomes
    assert (outcome.status, outcome.filled) == (OrderStatus.CANCELLED, 30)


def test_a_correction_that_takes_back_everything_leaves_the_order_working() -> None:
    """A busted trade: it fills again later."""
    story = Story(working()).take(executed(1, 40), executed(1, 0, correction=2), executed(2, 100))
    assert [fill.cumulative_quantity for fill in story.fills] == [40, 0, 100]
    assert [event.status for event in story.outcomes] == [OrderStatus.FILLED]


def test_a_correction_can_be_what_fills_the_order() -> None:
    """Grown from 90 to 100."""
    story = Story(working()).take(executed(1, 90), executed(1, 100, correction=2))
    assert story.outcomes[0].filled == 100


def test_a_correction_after_the_outcome_changes_the_ledger_alone() -> None:
    """Consumers hear of the money; the order stays what it was called."""
    story = Story(working()).take(executed(1, 100), executed(1, 90, correction=2))
    assert len(story.outcomes) == 1
    assert [fill.cumulative_quantity for fill in story.fills] == [100, 90]


def test_more_than_was_asked_for_is_filled() -> None:
    """A group without block can overfill; every share is told, and the order ends once."""
    story = Story(working()).take(executed(1, 60), executed(2, 70), status("Filled", 130), executed(3, 10))
    assert [event.filled for event in story.outcomes] == [130]
    assert [fill.cumulative_quantity for fill in story.fills] == [60, 130, 140]


def test_filled_without_a_quantity_is_looked_up() -> None:
    """Neither alive nor dead can be read from it."""
    story = Story(working()).take(status("Filled", 0))
    assert story.events == []
    assert story.record.is_unclear


def test_an_open_order_that_is_called_ended_is_looked_up() -> None:
    """Only orderStatus, or a list, says how much of it had filled."""
    for word in ("Cancelled", "Filled", "Inactive", "Suspended"):
        story = Story(working()).take(seen(word))
        assert story.events == []
        assert story.record.is_unclear


def test_a_cancel_that_somebody_else_asked_for_is_told() -> None:
    """In TWS, by hand."""
    story = Story(working()).take(status("PendingCancel"), status("Cancelled"))
    assert story.statuses == [OrderStatus.PENDING_CANCEL, OrderStatus.CANCELLED]
    assert story.outcomes[0].reason is Reason.CANCELLED_BY_IBKR


def test_the_reason_of_a_cancel_that_waits_for_its_fills_is_not_forgotten() -> None:
    """202 says it before the last execution is here; advice of an hour ago is no reason."""
    story = Story(working()).take(code(399, "held until 09:30"), status("Submitted", 40), code(202, "by exchange"))
    story.take(status("Cancelled", 40), executed(1, 40))
    assert (story.outcomes[0].text, story.outcomes[0].code) == ("by exchange", 202)
    plain = Story(working()).take(code(399, "held until 09:30"), status("Cancelled", 40), executed(1, 40))
    assert (plain.outcomes[0].text, plain.outcomes[0].code) == ("", 0)


@pytest.mark.parametrize("outcome", [OrderStatus.REJECTED, OrderStatus.CANCELLED])
@pytest.mark.parametrize(
    "happened", [seen(), seen("PreSubmitted"), status("Submitted"), status("Inactive", why_held="locate")]
)
def test_an_order_that_was_called_dead_and_works_has_risen(outcome: OrderStatus, happened: OrderInput) -> None:
    """Its outcome stands; somebody has to cancel it."""
    record = msgspec.structs.replace(sent(), status=outcome)
    assert risen(record, happened)
    assert not risen(working(), happened)
    assert Story(record).take(happened).outcomes == []


@pytest.mark.parametrize("outcome", [OrderStatus.REJECTED, OrderStatus.CANCELLED, OrderStatus.FILLED])
@pytest.mark.parametrize(
    "happened",
    [seen("Cancelled"), seen("PendingCancel"), status("Inactive"), status("Filled", 100), executed(1, 40), code(161)],
)
def test_what_does_not_say_that_it_works_raises_nobody(outcome: OrderStatus, happened: OrderInput) -> None:
    """A late fill is published, and is no life."""
    assert not risen(msgspec.structs.replace(working(), status=outcome), happened)


def test_a_filled_order_rises_only_with_a_greater_quantity() -> None:
    """A change that came through at the last moment; a late `Submitted` is an echo."""
    record = Story(working()).take(executed(1, 100)).record
    assert not risen(record, status("Submitted", 100))
    assert not risen(record, seen(quantity=Decimal(100)))
    assert risen(record, seen(quantity=Decimal(200)))


def test_the_group_and_the_risk_checks_stand_on_the_event() -> None:
    """Every status tells its group; the checks are told where they were made."""
    link = Link(group_id="g-1", kind=GroupKind.OCA, members=("s-1", "s-2"))
    check = RiskCheck(limit="order_quantity_max", bound="100", value="100", passed=True)
    story = Story(sent(link=link)).take(status("Submitted"))
    assert [event.group_id for event in story.events] == ["g-1"]  # type: ignore[union-attr]
    assert status_event(story.record, NOW, (check,)).risk == (check,)
    assert status_event(story.record, NOW).risk == ()


def test_steps_can_be_folded_into_one_revision() -> None:
    """As the journal commits them; nothing done is no revision."""
    start = after = working()
    for one in (executed(1, 40), charged(executed(1, 40)), status("Submitted", 40)):
        after, _ = step(after, one, NOW)
    assert after.revision == start.revision + 3
    assert folded(start, after) == msgspec.structs.replace(after, revision=start.revision + 1)
    assert folded(start, start) is start


LATER = NOW + timedelta(days=3)


def said(outcome: Any = "filled", at: datetime = LATER) -> SettleOrder:
    """An operator's word."""
    return SettleOrder(who="ops", why="by the statement", client_order_id="s-1", status=outcome, at=at)


@pytest.mark.parametrize("outcome", ["filled", "cancelled", "rejected"])
def test_an_operator_ends_an_order_that_stays_unknown(outcome: str) -> None:
    """With who and why; no fill is made up. Heard again at the next start, it means nothing more."""
    story = Story(working()).take(code(322, "what?"))
    story.apply(settled(story.record, said(outcome), LATER))
    [event] = story.outcomes
    assert (event.status, event.reason, event.filled) == (OrderStatus(outcome), Reason.SETTLED_BY_OPERATOR, 0)
    assert event.text == "settled by ops: by the statement"
    assert settled(story.record, said("cancelled"), LATER) == (story.record, ())


@pytest.mark.parametrize("order_status", [one for one in OrderStatus if one is not OrderStatus.UNKNOWN])
def test_an_operator_ends_nothing_else(order_status: OrderStatus) -> None:
    """What has a clear state is IBKR's to end."""
    record = msgspec.structs.replace(working(), status=order_status)
    assert settled(record, said(), LATER) == (record, ())


def test_an_operators_word_does_not_outlive_what_it_was_about() -> None:
    """Spoken when the order was unknown before, or of an older one under its id. And what filled was not rejected."""
    story = Story(working()).take(code(322, "what?"), seen(), executed(1, 40))
    record, _ = step(story.record, code(322, "again?"), LATER)
    assert (record.status, record.unknown_since) == (OrderStatus.UNKNOWN, LATER)
    for word in (said(at=LATER - timedelta(seconds=1)), said("rejected")):
        assert settled(record, word, LATER) == (record, ())
    assert settled(record, said("cancelled"), LATER)[0].filled == 40
