"""What is done about each line: proved over every state, every sight of it and every moment that matters, and in long lives."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream_feed.domain.register import (
    FIRST_TICK_S,
    FRESH_S,
    QUARANTINE_S,
    RETRY_S,
    UNKNOWN_S,
    Do,
    Refusal,
    Register,
    Seen,
    Subscription,
)

STALE_AFTER_S = 60.0
EPOCH_NS = 1_700_000_000_000_000_000
COMPETING = Refusal(SubscriptionOutcome.COMPETING_SESSION, "elsewhere", 10197)
FORBIDDEN = Refusal(SubscriptionOutcome.NO_PERMISSION, "not subscribed", 10089)
UNKNOWN = Refusal(SubscriptionOutcome.UNKNOWN_INSTRUMENT, "no such thing", 200)

NEVER = Seen(time_ns=0, is_stale=True, is_delayed=False, halted=False, is_open=True)
"""Nothing has come yet."""


def ns(at_s: float) -> int:
    """A moment of the monotonic clock in nanoseconds since 1970."""
    return EPOCH_NS + round(at_s * 1e9)


def seen(at_s: float, **more: bool) -> Seen:
    """A line whose newest value came then, in regular hours."""
    return replace(NEVER, time_ns=ns(at_s), is_stale=False, **more)


class Desk:
    """A register with one line, and the clock."""

    def __init__(self) -> None:
        self.register = Register(STALE_AFTER_S)
        self.register.asked("AAPL", 0.0, ns(0.0))

    @property
    def line(self) -> Subscription:
        found = self.register.get("AAPL")
        assert found is not None
        return found

    def review(self, sight: Seen, at_s: float) -> Do:
        return self.register.review(self.line, sight, at_s, ns(at_s))

    def ask_again(self, at_s: float) -> None:
        self.register.asked("AAPL", at_s, ns(at_s))


# Lives of one line, as they are lived.


def test_a_line_that_ticks_is_told_once() -> None:
    """The first tick is told, and those that follow are not; other data than before is."""
    desk = Desk()
    assert desk.review(NEVER, 0.5) is Do.NOTHING
    assert desk.review(seen(1.0), 1.5) is Do.TELL
    assert desk.line.told is SubscriptionOutcome.ACTIVE
    assert desk.review(seen(2.0), 2.5) is Do.NOTHING
    assert desk.review(seen(3.0, is_delayed=True), 3.5) is Do.TELL
    assert desk.line.told is SubscriptionOutcome.DELAYED


@pytest.mark.parametrize("is_open", [True, False])
def test_one_that_never_ticked_is_asked_again_once_and_in_regular_hours_more_often(is_open: bool) -> None:
    """With the exchange open again and again, at growing distances; with it closed once alone, for the last values."""
    desk, asked_s, now_s = Desk(), list[float](), 0.0
    while now_s < 1_200:
        now_s += 0.5
        if desk.review(replace(NEVER, is_open=is_open), now_s) is Do.ASK_AGAIN:
            asked_s.append(now_s)
            desk.ask_again(now_s)
    waits = [later - before for before, later in itertools.pairwise([0.0, *asked_s])]
    assert waits == ([FIRST_TICK_S, *RETRY_S[1:], RETRY_S[-1], RETRY_S[-1]] if is_open else [FIRST_TICK_S])


def test_silence_in_regular_hours_is_asked_about_and_then_stale() -> None:
    """After `stale_after_s`, not before; where nothing comes after that either, the row says so and it is asked for again."""
    desk = Desk()
    desk.review(seen(1.0), 1.0)
    sight = seen(1.0)
    assert desk.review(sight, 1.0 + STALE_AFTER_S) is Do.NOTHING
    assert desk.review(sight, 1.1 + STALE_AFTER_S) is Do.ASK_AGAIN
    desk.ask_again(62.0)
    assert desk.review(sight, 62.0 + FIRST_TICK_S - 0.1) is Do.NOTHING
    assert desk.review(sight, 62.0 + FIRST_TICK_S) is Do.MARK_STALE
    stale = replace(sight, is_stale=True, time_ns=ns(72.0))
    assert desk.review(stale, 72.5) is Do.NOTHING
    assert desk.review(stale, 72.0 + RETRY_S[0]) is Do.ASK_AGAIN
    assert desk.review(seen(103.0), 103.0) is Do.NOTHING  # it ticks again: nothing but the row has to tell
    assert desk.line.tries == 0


@pytest.mark.parametrize("sight", [seen(1.0, is_open=False), seen(1.0, halted=True)])
def test_silence_that_is_expected_is_no_alarm(sight: Seen) -> None:
    """Outside of regular hours, and in a halt."""
    desk = Desk()
    desk.review(sight, 1.0)
    assert {desk.review(sight, at_s) for at_s in (61.5, 600.0, 86_400.0)} == {Do.NOTHING}


def test_a_line_that_is_slow_to_be_asked_again_is_not_stale_before_it_was() -> None:
    """Nothing is said of it as long as it has not been asked for."""
    desk = Desk()
    desk.review(seen(1.0), 1.0)
    assert {desk.review(seen(1.0), at_s) for at_s in (62.0, 90.0, 200.0)} == {Do.ASK_AGAIN}


def test_a_last_tick_before_a_line_was_asked_again_does_not_leave_it_live() -> None:
    """It came from the subscription before; nothing came from the new one, so the row must not go on as live."""
    desk = Desk()
    assert desk.review(NEVER, FIRST_TICK_S) is Do.ASK_AGAIN
    sight = seen(10.2)
    desk.ask_again(10.5)
    assert desk.review(sight, 10.5 + RETRY_S[1] - 0.1) is Do.NOTHING
    assert desk.review(sight, 10.5 + RETRY_S[1]) is Do.MARK_STALE


def test_a_wall_clock_that_is_put_forward_does_not_have_fresh_lines_asked_again() -> None:
    """Silence is what both clocks say is silence."""
    desk = Desk()
    desk.review(seen(1.0), 1.0)
    an_hour_on_ns = ns(3_601.0)
    assert desk.register.review(desk.line, seen(1.0), 2.0, an_hour_on_ns) is Do.NOTHING
    assert desk.register.review(desk.line, seen(1.0), 61.0, an_hour_on_ns) is Do.ASK_AGAIN


def test_what_was_kept_has_to_prove_it() -> None:
    """1102: a line that brings nothing in `FRESH_S` is asked for again, open or not, once; one that does is left in peace."""
    for is_open in (True, False):
        desk = Desk()
        desk.review(seen(1.0), 1.0)
        stale = replace(seen(100.0, is_open=is_open), is_stale=True)
        desk.register.recheck(["AAPL", "MSFT"], 101.0)
        assert desk.review(stale, 101.0 + FRESH_S - 0.1) is Do.NOTHING
        assert desk.review(stale, 101.0 + FRESH_S) is Do.ASK_AGAIN
        desk.ask_again(107.0)
        assert desk.review(stale, 116.9) is Do.NOTHING
        desk = Desk()
        desk.review(seen(1.0), 1.0)
        desk.register.recheck(["AAPL"], 101.0)
        assert desk.review(seen(102.0, is_open=is_open), 107.0) is Do.NOTHING
        assert desk.line.check_s == math.inf


def test_a_recheck_does_not_put_off_what_was_due_sooner() -> None:
    """A line that has waited for its first tick waits no longer for it."""
    desk = Desk()
    desk.register.recheck(["AAPL"], 8.0)
    assert desk.review(NEVER, FIRST_TICK_S) is Do.ASK_AGAIN


def test_an_objection_that_may_pass() -> None:
    """10197: told at once by whoever noted it, asked again after each wait, and told as active when ticks come."""
    desk = Desk()
    desk.review(seen(1.0), 1.0)
    desk.register.objected("AAPL", COMPETING, 2.0, is_final=False)
    stale = replace(seen(2.0), is_stale=True)
    assert desk.review(stale, 31.9) is Do.NOTHING
    assert desk.review(stale, 32.0) is Do.ASK_AGAIN
    desk.ask_again(32.5)
    desk.register.objected("AAPL", COMPETING, 33.0, is_final=False)
    assert desk.review(stale, 33.0 + RETRY_S[1] - 0.1) is Do.NOTHING
    assert desk.review(stale, 33.0 + RETRY_S[1]) is Do.ASK_AGAIN
    desk.ask_again(94.0)
    assert desk.review(seen(95.0), 95.5) is Do.TELL
    assert desk.line.told is SubscriptionOutcome.ACTIVE
    assert desk.line.doubt is None


def test_ticks_from_before_an_objection_do_not_refute_it() -> None:
    """The line may be dead: it is active again with the next tick, and stale and asked for again without one."""
    refused = Refusal(SubscriptionOutcome.REFUSED, "not so", 321)
    desk = Desk()
    desk.review(seen(1.0), 1.0)
    desk.register.objected("AAPL", refused, 5.0, is_final=False)
    assert desk.review(seen(4.9, is_open=False), 5.5) is Do.NOTHING
    assert desk.review(seen(5.1), 5.5) is Do.TELL
    desk = Desk()
    desk.register.objected("AAPL", refused, 5.0, is_final=False)
    sight = seen(4.9, is_open=False)
    assert desk.review(sight, 5.0 + RETRY_S[0]) is Do.MARK_STALE
    stale = replace(sight, is_stale=True, time_ns=ns(35.0))
    assert desk.review(stale, 35.0 + RETRY_S[0]) is Do.ASK_AGAIN


def test_an_objection_that_stands_gives_up_where_nothing_comes() -> None:
    """10089 without delayed ticks."""
    desk = Desk()
    desk.register.objected("AAPL", FORBIDDEN, 1.0, is_final=True)
    assert desk.review(NEVER, 1.0 + FIRST_TICK_S - 0.1) is Do.NOTHING
    assert desk.review(NEVER, 1.0 + FIRST_TICK_S) is Do.GIVE_UP


def test_an_objection_was_a_remark_where_ticks_come_all_the_same() -> None:
    """10089 with delayed ticks; that they cease later, overnight, does not bring it up again."""
    desk = Desk()
    desk.register.objected("AAPL", FORBIDDEN, 1.0, is_final=True)
    assert desk.review(seen(2.0, is_delayed=True), 2.5) is Do.TELL
    assert desk.line.told is SubscriptionOutcome.DELAYED
    assert desk.review(seen(2.0, is_delayed=True, is_open=False), 10_000.0) is Do.NOTHING


def test_an_objection_to_what_was_not_asked_for_is_nobodys() -> None:
    """It was given back meanwhile."""
    desk = Desk()
    desk.register.ended("AAPL")
    desk.register.objected("AAPL", COMPETING, 1.0, is_final=False)
    assert "AAPL" not in desk.register
    assert len(desk.register) == 0


def test_lines_are_kept_in_the_order_in_which_they_were_asked_for() -> None:
    """Asked for again, a line stays where it was."""
    register = Register(STALE_AFTER_S)
    for symbol in ("C", "A", "B", "C"):
        register.asked(symbol, 0.0, ns(0.0))
    assert [one.symbol for one in register] == ["C", "A", "B"]
    register.clear()
    assert list(register) == []


@pytest.mark.parametrize(
    ("why", "for_s", "expected_s"), [(FORBIDDEN, None, QUARANTINE_S), (UNKNOWN, None, UNKNOWN_S), (UNKNOWN, 60.0, 60.0)]
)
def test_a_symbol_is_left_alone_for_its_time(why: Refusal, for_s: float | None, expected_s: float) -> None:
    """An hour for a permission that can be bought, a day for what nobody knows; its line is free at once."""
    desk = Desk()
    desk.register.leave_alone("AAPL", why, 5.0, for_s=for_s)
    assert "AAPL" not in desk.register
    assert not desk.register.can_be_had("AAPL")
    assert desk.register.can_be_had("MSFT")
    assert not desk.register.released(5.0 + expected_s - 0.1)
    assert desk.register.left_alone == 1
    assert desk.register.released(5.0 + expected_s)
    assert desk.register.can_be_had("AAPL")
    assert not desk.register.released(1e9)


def test_a_new_session_forgives_all_but_what_nobody_knows() -> None:
    """Whoever logged in may be allowed more."""
    register = Register(STALE_AFTER_S)
    for symbol, why in (("A", FORBIDDEN), ("B", UNKNOWN), ("C", COMPETING)):
        register.leave_alone(symbol, why, 0.0)
    register.forgive()
    assert [register.can_be_had(symbol) for symbol in "ABC"] == [True, False, True]


# Every state, every sight, every moment that matters.

_STATES = [
    {"told": told, "doubt": doubt, "is_final": doubt is FORBIDDEN, "check_s": check_s, "tries": tries}
    for told in (None, SubscriptionOutcome.ACTIVE, SubscriptionOutcome.DELAYED, SubscriptionOutcome.COMPETING_SESSION)
    for doubt in (None, COMPETING, FORBIDDEN)
    for check_s in (110.0, 150.0, math.inf)
    for tries in (0, 1, 2, 9)
]
_SIGHTS = [
    Seen(time_ns=time_ns, is_stale=is_stale, is_delayed=is_delayed, halted=halted, is_open=is_open)
    for time_ns in (0, ns(99.999), ns(100.0), ns(105.0))
    for is_stale, is_delayed, halted, is_open in itertools.product((False, True), repeat=4)
]
_MOMENTS = (105.0, 109.999, 110.0, 150.0, 160.001, 165.0, 165.001, 1e6)
ASKED_S = 100.0


@pytest.mark.parametrize("state", _STATES, ids=lambda one: f"{one['told']}-{one['check_s']}-{one['tries']}")
def test_what_is_done_follows_from_what_is_known_and_seen(state: dict[str, object]) -> None:
    """The rules that hold of every single look, whatever came before it."""
    for sight, now_s in itertools.product(_SIGHTS, _MOMENTS):
        subscription = Subscription("AAPL", ASKED_S, ns(ASKED_S), **state)  # type: ignore[arg-type]
        before = replace(subscription)
        done = Register(STALE_AFTER_S).review(subscription, sight, now_s, ns(now_s))
        has_ticked = not sight.is_stale and sight.time_ns >= ns(ASKED_S)
        quiet_s = (ns(now_s) - sight.time_ns) / 1e9
        match done:
            case Do.TELL:
                assert has_ticked
                assert subscription.told is not before.told
                delayed = SubscriptionOutcome.DELAYED
                assert (subscription.told is delayed) is sight.is_delayed
            case Do.MARK_STALE:
                assert not has_ticked
                assert not sight.is_stale
                assert now_s >= before.check_s
            case Do.GIVE_UP:
                assert not has_ticked
                assert before.is_final
                assert before.doubt is FORBIDDEN
                assert now_s >= before.check_s
            case Do.ASK_AGAIN if has_ticked:
                assert sight.is_open
                assert not sight.halted
                assert quiet_s > STALE_AFTER_S
            case Do.ASK_AGAIN:
                assert now_s >= before.check_s
                assert sight.is_open or before.tries == 0 or before.doubt is not None
                assert subscription.check_s >= now_s + RETRY_S[0]
            case Do.NOTHING if not has_ticked and now_s < before.check_s:
                was_well = before.check_s == math.inf  # and was then marked stale
                assert subscription == (replace(before, check_s=now_s + FRESH_S) if was_well else before)
        if has_ticked:
            assert done in (Do.TELL, Do.NOTHING, Do.ASK_AGAIN)
            assert (subscription.doubt, subscription.tries, subscription.check_s) == (None, 0, math.inf)
        elif now_s >= before.check_s and done is not Do.GIVE_UP:
            assert (done is Do.MARK_STALE) is not sight.is_stale
            assert subscription.tries == before.tries + 1
            assert now_s < subscription.check_s < math.inf


class LifeOfALine(RuleBasedStateMachine):
    """One line of which anything may come at any time, and a desk that does what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.register = Register(STALE_AFTER_S)
        self.now_s = 1_000.0
        self.sight = NEVER
        self.asked_again_s: list[float] = []
        """Since it ticked, was rechecked, or IBKR objected: each of which is a reason to look sooner."""
        self.is_final = False
        self.given_up = False
        self._ask()

    def _ask(self) -> None:
        self.register.asked("AAPL", self.now_s, ns(self.now_s))
        self.asked_s = self.now_s
        self.is_final = False
        self.sight = replace(self.sight, halted=False)

    @rule(seconds=st.one_of(st.floats(0.1, 1.0), st.floats(1.0, 120.0), st.just(3_600.0)))
    def passes(self, seconds: float) -> None:
        self.now_s += seconds

    @precondition(lambda self: not self.given_up)
    @rule(is_delayed=st.booleans(), halted=st.booleans())
    def ticks(self, is_delayed: bool, halted: bool) -> None:
        self.sight = replace(self.sight, time_ns=ns(self.now_s), is_stale=False, is_delayed=is_delayed, halted=halted)
        self.asked_again_s.clear()

    @rule(is_open=st.booleans())
    def opens_or_closes(self, is_open: bool) -> None:
        self.sight = replace(self.sight, is_open=is_open)

    @precondition(lambda self: not self.given_up)
    @rule(is_final=st.booleans())
    def objects(self, is_final: bool) -> None:
        why = FORBIDDEN if is_final else COMPETING
        self.register.objected("AAPL", why, self.now_s, is_final=is_final)
        self.is_final = is_final
        if not is_final:
            self.sight = replace(self.sight, is_stale=True)
        self.asked_again_s.clear()

    @precondition(lambda self: not self.given_up)
    @rule()
    def rechecks(self) -> None:
        self.sight = replace(self.sight, is_stale=True)
        self.register.recheck(["AAPL"], self.now_s)
        self.asked_again_s.clear()

    @precondition(lambda self: not self.given_up)
    @rule()
    def reviews(self) -> None:
        found = self.register.get("AAPL")
        assert found is not None
        has_ticked = not self.sight.is_stale and self.sight.time_ns >= ns(self.asked_s)
        match self.register.review(found, self.sight, self.now_s, ns(self.now_s)):
            case Do.ASK_AGAIN:
                self._asks_again()
            case Do.MARK_STALE:
                assert not has_ticked
                self.sight = replace(self.sight, is_stale=True, time_ns=ns(self.now_s))
            case Do.GIVE_UP:
                assert self.is_final
                assert not has_ticked
                self.register.leave_alone("AAPL", FORBIDDEN, self.now_s)
                self.given_up = True
            case Do.TELL:
                assert has_ticked
                assert found.told in (SubscriptionOutcome.ACTIVE, SubscriptionOutcome.DELAYED)

    def _asks_again(self) -> None:
        self.asked_again_s.append(self.now_s)
        waits = [later - before for before, later in itertools.pairwise(self.asked_again_s)]
        assert all(wait >= RETRY_S[0] for wait in waits)
        self._ask()

    @precondition(lambda self: self.given_up)
    @rule()
    def is_tried_again(self) -> None:
        if self.register.released(self.now_s):
            self.given_up = False
            self.asked_again_s.clear()
            self._ask()

    @invariant()
    def it_is_asked_for_or_left_alone(self) -> None:
        assert ("AAPL" in self.register) is not self.given_up
        assert self.register.can_be_had("AAPL") is not self.given_up
        assert self.register.left_alone == int(self.given_up)


LifeOfALine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestLifeOfALine = LifeOfALine.TestCase
