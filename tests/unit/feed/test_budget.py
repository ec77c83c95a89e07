"""The budget of lines: what is configured, what IBKR gives, and how it grows back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ibstream_feed.domain.budget import GROW_LINES, GROW_S_MAX, GROW_S_MIN, LineBudget


def refused(lines: int, in_use: int, at_s: float = 0.0) -> LineBudget:
    """A budget of which IBKR gave less."""
    budget = LineBudget(lines)
    budget.refused(in_use, at_s)
    return budget


def test_what_is_configured_may_be_used() -> None:
    """Until IBKR says otherwise."""
    budget = LineBudget(100)
    assert budget.lines == 100
    assert not budget.review(1e9)


def test_a_refusal_shrinks_it_to_what_was_in_use() -> None:
    """There is no further line while 40 are in use: 40 are to be had."""
    budget = refused(100, 40)
    assert budget.lines == 40


def test_a_refusal_never_lets_it_grow() -> None:
    """More are in use for a moment, while lines are given back: that is no word of more lines."""
    budget = refused(100, 40)
    budget.refused(60, 1.0)
    assert budget.lines == 40
    budget.refused(0, 2.0)
    assert budget.lines == 0


def test_it_grows_in_steps_that_double_until_it_is_whole() -> None:
    """After each wait by twice as many lines, not before; whole, it does not grow any more."""
    budget = refused(100, 20, at_s=100.0)
    at_s = 100.0
    for expected in (25, 35, 55, 95, 100):
        assert not budget.review(at_s + GROW_S_MIN - 0.001)
        at_s += GROW_S_MIN
        assert budget.review(at_s)
        assert budget.lines == expected
    assert not budget.review(at_s + 10 * GROW_S_MAX)


def test_each_growth_that_is_refused_doubles_the_wait() -> None:
    """What is asked for in vain is asked for ever more seldom; a burst of refusals counts once."""
    budget, at_s, wait_s = refused(50, 40), 0.0, GROW_S_MIN
    for _ in range(8):
        assert not budget.review(at_s + wait_s - 0.001)
        at_s += wait_s
        assert budget.review(at_s)
        assert budget.lines == 40 + GROW_LINES
        for in_use in (42, 41, 40):
            budget.refused(in_use, at_s)
        assert budget.lines == 40
        wait_s = min(2 * wait_s, GROW_S_MAX)
    assert wait_s == GROW_S_MAX


def test_a_refusal_long_after_the_last_growth_is_a_new_one() -> None:
    """The lines were there meanwhile; somebody else has taken them since."""
    budget = refused(50, 47)
    assert budget.review(GROW_S_MIN)
    assert budget.lines == 50
    at_s = GROW_S_MIN + GROW_S_MAX + 1
    budget.refused(30, at_s)
    assert budget.review(at_s + GROW_S_MIN)


def test_a_new_session_begins_with_what_is_configured() -> None:
    """Whoever had the lines may have gone."""
    budget = refused(50, 10)
    budget.begin()
    assert budget.lines == 50


def test_more_processes_share_the_lines() -> None:
    """Less is configured then, and what IBKR gave still bounds it when there is more again."""
    budget = refused(100, 60)
    budget.set(50)
    assert budget.lines == 50
    budget.set(100)
    assert budget.lines == 60


steps = st.one_of(
    st.tuples(st.just("refused"), st.integers(0, 120)),
    st.tuples(st.just("set"), st.integers(0, 120)),
    st.tuples(st.just("passes"), st.floats(0, 400)),
    st.tuples(st.just("begin"), st.none()),
)


@given(st.lists(steps, max_size=20))
def test_whatever_happens_it_is_within_bounds(taken: list[tuple[str, float | None]]) -> None:
    """Never below 0, never above what is configured; it grows in reviews alone, and no more than doubles."""
    budget, configured, now_s = LineBudget(100), 100, 0.0
    for name, value in taken:
        before = budget.lines
        if name == "refused":
            budget.refused(int(value or 0), now_s)
            assert budget.lines <= min(before, int(value or 0))
        elif name == "set":
            configured = int(value or 0)
            budget.set(configured)
        elif name == "begin":
            budget.begin()
            assert budget.lines == configured
        else:
            now_s += value or 0.0
            has_grown = budget.review(now_s)
            assert before <= budget.lines <= before + (before + GROW_LINES if has_grown else 0)
        assert 0 <= budget.lines <= configured
