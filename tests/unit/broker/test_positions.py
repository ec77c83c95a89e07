"""Positions by fills: nothing counted twice or lost, no false alarm, and nothing hidden stays unseen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.broker.positions_model import ACCOUNT, Account, after, execution, listing

from ibstream.contracts.orders import Side
from ibstream_broker.domain.position_lines import GRACE, PositionChange, together
from ibstream_broker.domain.positions import PositionBook
from ibstream_broker.domain.seen_executions import KEPT_FOR, KEPT_MAX

GRACE_S = GRACE.total_seconds()


def followed(**held: int) -> PositionBook:
    """A book that has taken over a first listing at the start."""
    book = PositionBook(ACCOUNT)
    book.judge(listing(**held), asked_at=after(0), now=after(0))
    return book


def disagreeing(*, blocking: bool = True) -> PositionBook:
    """A book of 100 AAPL of which IBKR says 60: somebody has sold 40."""
    book = PositionBook(ACCOUNT, blocking=blocking)
    book.judge(listing(AAPL=100), asked_at=after(0), now=after(0))
    book.judge(listing(AAPL=60), asked_at=after(60), now=after(60), at_once=True)
    assert book.mismatches == 1
    return book


def reloaded(*changes: PositionChange, **details: int) -> PositionBook:
    """A book that has read what these changes wrote."""
    whole = together(changes)
    book = PositionBook(ACCOUNT, **details)  # type: ignore[arg-type]
    book.load({name.encode(): value for name, value in whole.fields.items()})
    return book


# What counts


def test_the_first_listing_is_taken_over_and_executions_count_from_there() -> None:
    """What was held before the broker came is nobody's mismatch."""
    book = followed(AAPL=100)
    book.apply(execution("a.01.01", -30, after(5)), after(5))
    assert (book.quantity(1), book.quantity(2), book.mismatches) == (70, 0, 0)


def test_an_execution_counts_once_however_often_it_is_listed() -> None:
    """The second time nothing is to be written."""
    book = followed()
    assert book.apply(execution("a.01.01", 30, after(5)), after(5))
    assert not book.apply(execution("a.01.01", 30, after(5)), after(60))
    assert book.quantity(1) == 30


@pytest.mark.parametrize("order", [(1, 2, 10), (2, 1, 10), (10, 2, 1), (2, 10, 2)])
def test_the_last_correction_of_an_execution_counts_whatever_comes_first(order: tuple[int, ...]) -> None:
    """`.02` replaces `.01`, and `.10` is younger than `.02`."""
    book = followed()
    sizes = {1: 30, 2: 20, 10: 5}
    for version in order:
        book.apply(execution(f"a.01.{version:02d}", sizes[version], after(20)), after(20))
    assert book.quantity(1) == 5


def test_a_combo_moves_its_legs_and_nothing_itself() -> None:
    """The combo's own execution has no position to change; each leg's has."""
    book = followed()
    assert not book.apply(execution("a.01.01", 2, after(5), security_type="BAG", con_id=7), after(5))
    book.apply(execution("a.02.01", 2, after(5)), after(5))
    book.apply(execution("a.03.01", -2, after(5), con_id=2, symbol="MSFT"), after(5))
    assert (book.quantity(7), book.quantity(1), book.quantity(2)) == (0, 2, -2)


@pytest.mark.parametrize("details", [{"account": "DU2"}, {"con_id": 0}])
def test_what_is_not_of_this_account_or_names_no_contract_changes_nothing(details: dict[str, object]) -> None:
    """An advisor's Gateway tells of several accounts."""
    book = followed()
    assert not book.apply(execution("a.01.01", 30, after(5), **details), after(5))


def test_an_execution_that_the_first_listing_held_is_remembered_only() -> None:
    """Today's executions are listed again after the broker has come: they are in what it took over."""
    book = followed(AAPL=100)
    change = book.apply(execution("a.01.01", 100, after(-600)), after(60))
    assert (book.quantity(1), bool(change.fields)) == (100, True)


def test_bought_and_sold_before_the_first_listing_is_not_held() -> None:
    """Yesterday's purchase is not listed any more, today's sale is: the account was flat when the broker came."""
    book = PositionBook(ACCOUNT)
    book.apply(execution("a.01.01", -100, after(-600)), after(0))
    book.judge(listing(), asked_at=after(0), now=after(0))
    book.judge(listing(), asked_at=after(60), now=after(60))
    assert (book.quantity(1), book.mismatches, book.review_at()) == (0, 0, None)


def test_an_execution_while_the_first_listing_comes_counts_on_top() -> None:
    """It was heard of before the listing was, and happened after that was asked for."""
    book = PositionBook(ACCOUNT)
    book.apply(execution("a.01.01", 5, after(1)), after(1))
    book.judge(listing(AAPL=100), asked_at=after(0), now=after(2))
    assert book.quantity(1) == 105


@pytest.mark.parametrize(("stamp_s", "held"), [(-3, 100), (3, 105)])
def test_what_the_first_listing_held_is_told_by_the_next_where_the_clocks_differ(stamp_s: int, held: int) -> None:
    """By its time the execution was on the other side of the listing: the next quiet one shows where it was."""
    book = followed(AAPL=100)
    stamp = after(stamp_s if held == 105 else -stamp_s)
    book.apply(execution("a.01.01", 5, stamp if held == 100 else after(-3)), after(4))
    wrong = book.quantity(1)
    changes = [book.judge(listing(AAPL=held), asked_at=after(60), now=after(60)), book.review(after(75))]
    assert (int(wrong), book.quantity(1)) == (205 - held, held)
    assert not together(changes).events


# What is a mismatch


def test_a_difference_counts_when_no_execution_has_explained_it_in_time() -> None:
    """A position can be told before the execution that led to it, so the first sight of a difference says nothing."""
    book = followed(AAPL=100)
    assert not book.judge(listing(AAPL=60), asked_at=after(60), now=after(61))
    assert (book.mismatches, book.review_at()) == (0, after(61) + GRACE)
    change = book.review(after(61) + GRACE)
    (event,) = change.events
    assert (event.by_fills, event.by_ibkr, event.agrees) == (100, 60, False)
    assert (book.mismatches, book.review_at()) == (1, None)
    assert not book.judge(listing(AAPL=60), asked_at=after(120), now=after(120)).events
    assert not book.review(after(140)).events


def test_an_execution_told_after_its_position_is_no_mismatch() -> None:
    """IBKR tells the two in either order."""
    book = followed(AAPL=100)
    book.judge(listing(AAPL=60), asked_at=after(60), now=after(61))
    book.apply(execution("a.01.01", -40, after(59)), after(64))
    assert not book.review(after(80)).events


def test_a_position_told_after_its_execution_is_no_mismatch() -> None:
    """The listing lags behind; it was true a moment ago, and nothing need be asked again."""
    book = followed(AAPL=100)
    book.apply(execution("a.01.01", -40, after(58)), after(58))
    book.judge(listing(AAPL=100), asked_at=after(60), now=after(61), at_once=True)
    assert (book.mismatches, book.review_at()) == (0, None)


def test_what_was_hidden_is_found_while_trading_never_pauses() -> None:
    """No moment around the listing fits what it says, however the executions are cut."""
    account = Account(0.0)
    account.restart()
    account.settle()
    account.trade(1, 1, 0, hidden=True)
    for _ in range(20):
        account.trade(1, 10, 0.5)
        account.wait(2)
    account.list_positions(0.0, 0.1)
    for _ in range(10):
        account.trade(1, 10, 0.5)
        account.wait(2)
    assert account.mismatched() == {1}


def test_before_the_gate_opens_a_difference_counts_at_once() -> None:
    """All executions were listed a moment ago, and nothing has moved since."""
    assert disagreeing().mismatches == 1


def test_before_the_gate_opens_what_has_just_moved_is_given_its_time() -> None:
    """The session came back amid the trading."""
    book = followed(AAPL=100)
    book.apply(execution("a.01.01", -10, after(58)), after(60))
    book.judge(listing(AAPL=60), asked_at=after(60), now=after(60), at_once=True)
    assert (book.mismatches, book.review_at()) == (0, after(60) + GRACE)


def test_a_position_in_what_was_never_held_is_a_mismatch() -> None:
    """The first listing told of every instrument, by leaving this one out."""
    book = followed(AAPL=100)
    change = book.judge(listing(AAPL=100, MSFT=50), asked_at=after(60), now=after(60), at_once=True)
    (event,) = change.events
    assert (event.con_id, event.symbol, event.by_fills, event.by_ibkr) == (2, "MSFT", 0, 50)


def test_a_listing_older_than_one_already_judged_says_nothing() -> None:
    """Two were under way, and came in the wrong order."""
    book = followed(AAPL=100)
    book.judge(listing(AAPL=100), asked_at=after(60), now=after(61))
    assert not book.judge(listing(), asked_at=after(55), now=after(62), at_once=True)
    assert book.review_at() is None


def test_currency_pairs_are_followed_and_not_compared() -> None:
    """IBKR's position of a pair is virtual: conversions of its own are in it."""
    book = followed(EUR=20_000)
    pair = execution("a.01.01", 5_000, after(5), con_id=9, symbol="EUR", security_type="CASH")
    book.apply(pair, after(5))
    book.judge(listing(EUR=17), asked_at=after(60), now=after(60), at_once=True)
    assert (book.quantity(9), book.mismatches, book.review_at()) == (25_000, 0, None)


# How it ends


def test_a_mismatch_ends_when_the_execution_turns_up() -> None:
    """It is older than the listing that missed it."""
    book = disagreeing()
    book.apply(execution("z.01.01", 7, after(90)), after(90))
    assert book.mismatches == 1
    (event,) = book.apply(execution("a.01.01", -40, after(30)), after(100)).events
    assert (event.agrees, event.by_fills, event.by_ibkr, book.mismatches) == (True, 67, 67, 0)


def test_a_mismatch_changes_its_figures_as_executions_turn_up_and_is_told_again_by_the_next_listing() -> None:
    """One of two hidden executions is not all of it."""
    book = disagreeing()
    assert not book.apply(execution("a.01.01", -15, after(30)), after(70)).events
    book.judge(listing(AAPL=60), asked_at=after(120), now=after(120))
    (event,) = book.review(after(140)).events
    assert (event.agrees, event.by_fills, event.by_ibkr) == (False, 85, 60)


def test_a_mismatch_ends_when_a_listing_agrees() -> None:
    """IBKR has put right what was wrong on its side."""
    book = disagreeing()
    (event,) = book.judge(listing(AAPL=100), asked_at=after(120), now=after(120)).events
    assert (event.agrees, book.mismatches) == (True, 0)


def test_an_operator_ends_a_mismatch_by_taking_what_ibkr_says() -> None:
    """What is executed since the listing stays on top, and what turns up late is in it already."""
    book = disagreeing()
    book.apply(execution("b.01.01", 5, after(90)), after(90))
    (event,) = book.accept(0, after(100), after(101)).events
    assert (event.agrees, event.by_fills, event.by_ibkr) == (True, 65, 65)
    book.apply(execution("a.01.01", -40, after(30)), after(110))
    assert (book.quantity(1), book.mismatches) == (65, 0)


@pytest.mark.parametrize(("con_id", "at_s"), [(2, 100), (0, 59), (1, 59)])
def test_an_operators_word_about_something_else_or_earlier_ends_nothing(con_id: int, at_s: int) -> None:
    """`system:control` is read from its beginning after a restart: an old word says nothing about what came later."""
    book = disagreeing()
    assert not book.accept(con_id, after(at_s), after(200))
    assert book.mismatches == 1


def test_a_volatile_executor_starts_anew() -> None:
    """A simulated account is empty again after a restart; what was journalled of the one before goes."""
    book = disagreeing()
    change = book.reset(listing(MSFT=3), asked_at=after(100), now=after(100))
    assert change.clear
    assert [event.agrees for event in change.events] == [True]
    assert (book.quantity(1), book.quantity(2), book.mismatches) == (0, 3, 0)
    book.apply(execution("a.01.01", 5, after(101)), after(101))
    assert book.quantity(1) == 5


# What it blocks


@pytest.mark.parametrize(
    ("side", "quantity", "passes"),
    [(Side.BUY, 1, False), (Side.SELL, 60, True), (Side.SELL, 61, False), (Side.SELL, 100, False)],
)
def test_while_it_disagrees_only_what_reduces_ibkrs_position_passes(side: Side, quantity: int, passes: bool) -> None:
    """IBKR says 60, the fills 100: more than 60 sold would open a short position."""
    text = disagreeing().blocks(1, side, Decimal(quantity))
    assert (text is None) is passes
    assert passes or ("100" in text and "60" in text)  # type: ignore[operator]


def test_a_short_position_is_reduced_by_buying() -> None:
    """And made larger by selling; where IBKR says that nothing is held, nothing reduces."""
    book = followed()
    book.judge(listing(AAPL=-10), asked_at=after(60), now=after(60), at_once=True)
    assert book.blocks(1, Side.BUY, Decimal(10)) is None
    assert book.blocks(1, Side.SELL, Decimal(1))
    book = followed(AAPL=10)
    book.judge(listing(), asked_at=after(60), now=after(60), at_once=True)
    assert book.blocks(1, Side.SELL, Decimal(1))
    assert book.blocks(1, Side.BUY, Decimal(1))


def test_other_instruments_are_not_blocked_and_a_report_blocks_nothing() -> None:
    """`broker.on_position_mismatch: report` only tells."""
    assert disagreeing().blocks(2, Side.BUY, Decimal(1)) is None
    reporting = disagreeing(blocking=False)
    assert (reporting.mismatches, reporting.blocks(1, Side.BUY, Decimal(1))) == (1, None)


# What is journalled


def test_a_mismatch_stands_through_a_restart_and_can_be_told_again() -> None:
    """It blocks before the first listing of the new life, and ends there as it would have here."""
    book = PositionBook(ACCOUNT)
    changes = [
        book.judge(listing(AAPL=100), asked_at=after(0), now=after(0)),
        book.judge(listing(AAPL=60), asked_at=after(60), now=after(60), at_once=True),
    ]
    again = reloaded(*changes)
    assert again.blocks(1, Side.BUY, Decimal(1))
    assert [(one.by_fills, one.by_ibkr) for one in again.disagreements(after(70))] == [(100, 60)]
    assert again.apply(execution("a.01.01", -40, after(30)), after(100)).events


def test_each_execution_journals_a_line_and_itself_however_many_came_before() -> None:
    """The journal of a busy day is not written again with each fill."""
    book = followed()
    sizes = []
    for number in range(300):
        change = book.apply(execution(f"{number}.01.01", 1, after(60 + number)), after(60 + number))
        assert set(change.fields) == {"1", f"1:{number}.01"}
        sizes.append(sum(map(len, change.fields.values())))
    assert max(sizes) < 1.1 * min(sizes)


def test_what_ibkr_lists_no_more_is_forgotten() -> None:
    """After eight days; IBKR lists seven."""
    book = followed()
    old, young = after(60), after(61)
    book.apply(execution("a.01.01", 1, old), old)
    book.apply(execution("b.01.01", 1, young), young)
    late = young + KEPT_FOR
    change = book.apply(execution("c.01.01", 1, late), late)
    assert change.removed == ("1:a.01",)
    assert book.quantity(1) == 3


def test_no_more_executions_are_remembered_than_the_bound_and_forgotten_ones_still_count_once() -> None:
    """Of forgotten ones the time is kept, also through a restart."""
    assert KEPT_MAX >= 10_000
    book = PositionBook(ACCOUNT, seen_max=3)
    changes = [book.judge(listing(), asked_at=after(0), now=after(0))]
    changes += [book.apply(execution(f"{number}.01.01", 1, after(60 + number)), after(100)) for number in range(10)]
    whole = together(changes)
    assert sum(":" in name for name in whole.fields) == 3
    again = reloaded(whole, seen_max=3)
    for one in (book, again):
        for number in range(10):
            one.apply(execution(f"{number}.01.01", 1, after(60 + number)), after(200))
        assert one.quantity(1) == 10


def test_an_instrument_that_is_held_no_more_is_forgotten_when_its_executions_are() -> None:
    """Expired options do not pile up."""
    book = followed(AAPL=5)
    book.apply(execution("a.01.01", -5, after(60)), after(60))
    days = [after(60) + timedelta(days=day) for day in range(1, 10)]
    changes = [book.judge(listing(), asked_at=at, now=at) for at in days]
    assert together(changes[:7]).removed == ()
    assert together(changes).removed == ("1",)
    assert book.quantity(1) == 0


def test_changes_put_together_say_what_the_last_of_them_says() -> None:
    """A field removed and set again is set; what was before a clearing is gone, but for the events."""
    setting, removing = PositionChange(fields={"1": b"a"}), PositionChange(removed=("1",))
    assert together([setting, removing]) == PositionChange(removed=("1",))
    assert together([removing, setting]) == setting
    assert together([setting, PositionChange(clear=True)]) == PositionChange(clear=True)
    assert not together([])


# Random lives

CON_IDS = st.sampled_from([1, 2, 3])
SIZES = st.sampled_from([-50, -20, -10, 10, 20, 50])
DELAYS = st.sampled_from([0.0, 0.3, 1.0, 3.0])

Act = Callable[[Account], object]


def _quiet_acts() -> st.SearchStrategy[Act]:
    """Everything that may happen without an execution being hidden."""
    corrections = st.builds(
        lambda index, size, delay: lambda it: it.correct(index, size, delay), st.integers(0, 9), SIZES, DELAYS
    )
    return st.one_of(_first_acts(), corrections)


def _first_acts() -> st.SearchStrategy[Act]:
    """All of that but corrections, which nobody can place if they come in the very second of the first listing."""
    return st.one_of(
        st.builds(lambda con, size, delay: lambda it: it.trade(con, size, delay), CON_IDS, SIZES, DELAYS),
        st.builds(lambda size, delay: lambda it: it.combo(size, delay), SIZES, DELAYS),
        st.builds(lambda seconds: lambda it: it.wait(seconds), st.sampled_from([0.1, 0.7, 2.0, 6.0, 11.0, 40.0])),
        st.builds(lambda lag, takes: lambda it: it.list_positions(lag, takes), DELAYS, DELAYS),
        st.builds(lambda lag: lambda it: it.restart(lag_s=lag), DELAYS),
        st.builds(lambda con, size: lambda it: it.crash(con, size), CON_IDS, SIZES),
        st.just(lambda it: it.snapshot()),
    )


def _hidden_acts() -> st.SearchStrategy[Act]:
    """Of sizes that no trades that are told can add up to."""
    return st.builds(
        lambda con, size: lambda it: it.trade(con, size, 0.0, hidden=True), CON_IDS, st.sampled_from([1, 3])
    )


def lived(skew_s: float, before: list[Act], acts: list[Act]) -> Account:
    """An account after a random life: some of it before the broker came."""
    account = Account(skew_s)
    for act in before:
        act(account)
    account.restart()
    for act in acts:
        act(account)
    account.settle()
    return account


SKEWS = st.sampled_from([-2.0, -0.4, 0.0, 1.3, 2.0])
QUIET = st.lists(_quiet_acts(), max_size=25)


@settings(deadline=None, max_examples=300)
@given(SKEWS, st.lists(_first_acts(), max_size=4), QUIET)
def test_without_a_hidden_execution_no_alarm_is_ever_given_and_every_position_is_right(
    skew_s: float, before: list[Act], acts: list[Act]
) -> None:
    """Late reports, lagging and reordered listings, corrections, combos, crashes and clocks that differ are no mismatch."""
    account = lived(skew_s, before, acts)
    assert (account.told, account.wrong()) == ([], set())


@settings(deadline=None, max_examples=300)
@given(SKEWS, QUIET, _hidden_acts(), QUIET, st.booleans(), QUIET)
def test_a_hidden_execution_is_found_and_ends_when_accepted_or_when_it_turns_up(
    skew_s: float, before: list[Act], hide: Act, after_it: list[Act], accepts: bool, at_last: list[Act]
) -> None:
    """And nothing else is; told turn by turn, and counted once also where it turns up after it was accepted."""
    account = lived(skew_s, [], [*before, hide, *after_it])
    (hidden,) = (one for one in account.trades if one.hidden)
    assert account.mismatched() == account.wrong() == {hidden.con_id}
    assert account.book.blocks(hidden.con_id, Side.BUY, Decimal(10**6))
    if accepts:
        now = after(account.now_s)
        account.write(account.book.accept(0, now, now))
        assert (account.mismatched(), account.wrong()) == (set(), set())
    for act in at_last:
        act(account)
    hidden.hidden = False
    account.settle()
    account.restart()
    assert (account.mismatched(), account.wrong()) == (set(), set())
    assert {event.con_id for event in account.told} == {hidden.con_id}
    told = [event for event in account.told if event.con_id == hidden.con_id]
    assert not told[0].agrees
    assert all(one.agrees != other.agrees or not other.agrees for one, other in pairwise(told))
    assert told[-1].agrees


@pytest.mark.parametrize("hides", [False, True], ids=["all is well", "another instrument does not agree"])
def test_a_correction_that_is_heard_before_what_it_corrects_gives_no_alarm(hides: bool) -> None:
    """A listing of the moment between the two shows the quantity that was corrected, which is heard of last."""
    account = lived(0.0, [], [lambda it: it.trade(2, 1, 0.0, hidden=True)] if hides else [])
    account.trade(1, -20, 0.3)
    account.list_positions(0.0, 0.0)
    account.correct(0, -50, 0.0)
    account.snapshot()
    account.settle()
    assert {event.con_id for event in account.told} == ({2} if hides else set())
    assert account.book.quantity(1) == -50


def test_a_listing_that_agrees_by_chance_settles_nothing() -> None:
    """Amid trading, an execution that is not heard of yet hides one that the baseline did not hold: both are told apart later."""
    acts: list[Act] = [
        lambda it: it.crash(2, -10),  # in the very moment of the first listing: nobody knows whether that held it
        lambda it: it.wait(40.0),
        lambda it: it.trade(2, 10, 0.3),
        lambda it: it.list_positions(0.0, 0.0),
    ]
    account = lived(-2.0, [], acts)
    assert (account.told, account.wrong()) == ([], set())
