"""Whether the machine may have stood still, by two clocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ibstream_feed.domain.standstill import JUMP_NS, Standstill

START_NS = 1_700_000_000_000_000_000


def test_while_both_clocks_go_nothing_is_distrusted() -> None:
    """However far apart the looks are, and whatever the offset."""
    seen = Standstill(3.0)
    assert not any(seen.is_possible(START_NS + int(at_s * 1e9), 50 + at_s) for at_s in (0.0, 0.1, 7200.0, 7200.0))


def test_after_a_standstill_nothing_is_trusted_for_so_long() -> None:
    """By the monotonic clock, from when it was seen; and then all is as before."""
    seen = Standstill(3.0)
    assert not seen.is_possible(START_NS, 50.0)
    woken_ns = START_NS + 60 * JUMP_NS
    found = [seen.is_possible(woken_ns + int(after_s * 1e9), 50.0 + after_s) for after_s in (0.0, 1.0, 2.9, 3.1, 9.0)]
    assert found == [True, True, True, False, False]


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(-0.9, 0.9)), min_size=1))
def test_small_corrections_of_the_time_of_day_are_none(steps: list[tuple[float, float]]) -> None:
    """Nor is one that sets it back."""
    seen = Standstill(3.0)
    monotonic_s, ahead_s = 5.0, 0.0
    for passed_s, corrected_s in [(0.0, 0.0), *steps, (1.0, -3600.0)]:
        monotonic_s += passed_s
        ahead_s += corrected_s
        assert not seen.is_possible(START_NS + int((monotonic_s + ahead_s) * 1e9), monotonic_s)
