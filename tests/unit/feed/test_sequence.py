"""How batches are numbered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ibstream_feed.domain.sequence import Sequence


def test_numbers_have_no_gap_within_an_epoch_and_start_again_with_the_next() -> None:
    """1, 2, 3 … and from 1 again."""
    sequence = Sequence()
    sequence.begin(1000)
    assert [sequence.next() for _ in range(3)] == [1, 2, 3]
    sequence.begin(2000)
    assert (sequence.epoch, sequence.next()) == (2000, 1)


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=1))
def test_an_epoch_is_named_after_the_time_but_always_greater_than_any_before(steps: list[tuple[int, int]]) -> None:
    """Also when two begin in one millisecond, the clock goes back, or the shard's writer before had a clock that was ahead."""
    sequence, before = Sequence(), 0
    for time_ms, after in steps:
        sequence.begin(time_ms, after=after)
        assert sequence.epoch > max(before, after)
        assert sequence.epoch == time_ms or time_ms <= max(before, after)
        before = sequence.epoch
