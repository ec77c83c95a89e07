"""How batches are numbered."""

from __future__ import annotations

from ibstream_feed.domain.sequence import Sequence


def test_numbers_have_no_gap_within_an_epoch_and_start_again_with_the_next() -> None:
    """1, 2, 3 … and from 1 again."""
    sequence = Sequence()
    sequence.begin(1000)
    assert [sequence.next() for _ in range(3)] == [1, 2, 3]
    sequence.begin(2000)
    assert (sequence.epoch, sequence.next()) == (2000, 1)


def test_an_epoch_is_always_greater_than_the_one_before() -> None:
    """Also when two begin in one millisecond, or the clock goes back."""
    sequence = Sequence()
    epochs = []
    for time_ms in (1000, 1000, 500, 1002):
        sequence.begin(time_ms)
        epochs.append(sequence.epoch)
    assert epochs == sorted(set(epochs))
