"""`Continuity` is the proof that a consumer missed nothing: it must be silent on the whole and exact on every hole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ibstream.client import Continuity, EpochChanged, Gap, Repeated

BATCHES = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=200)
"""(shard, whether the feed begins a new epoch before this batch)."""


def written(plan: list[tuple[int, bool]]) -> list[tuple[int, int, int]]:
    """What a feed writes: (shard, epoch, seq), seq from 1 without a gap within a shard's epoch."""
    epochs: dict[int, int] = {}
    seqs: dict[int, int] = {}
    batches = []
    for shard, is_new in plan:
        if is_new or shard not in epochs:
            epochs[shard] = epochs.get(shard, 0) + 1
            seqs[shard] = 0
        seqs[shard] += 1
        batches.append((shard, epochs[shard], seqs[shard]))
    return batches


@given(BATCHES)
def test_silent_while_nothing_is_missed(plan: list[tuple[int, bool]]) -> None:
    """Every batch in order: no gap, no repeat, and one epoch report for each epoch after a shard's first."""
    continuity, batches = Continuity(), written(plan)
    reports = [report for batch in batches for report in continuity.observe(*batch)]
    new_epochs = len({(shard, epoch) for shard, epoch, _ in batches}) - len({shard for shard, _, _ in batches})
    assert [type(report) for report in reports] == [EpochChanged] * new_epochs
    assert continuity.unbroken is (new_epochs == 0)
    assert continuity.missed == 0


@given(BATCHES, st.data())
def test_names_exactly_what_is_missing(plan: list[tuple[int, bool]], data: st.DataObject) -> None:
    """Batches taken away at random are named, all of them and no others, as far as a later batch of their epoch shows it."""
    batches = written(plan)
    seen = [batch for batch in batches if data.draw(st.booleans())]
    continuity = Continuity()
    reports = [report for batch in seen for report in continuity.observe(*batch)]
    named = {
        (report.shard, report.epoch, seq)
        for report in reports
        if isinstance(report, Gap)
        for seq in range(report.first, report.last + 1)
    }
    assert named == provable(batches, seen)
    assert continuity.missed == len(named)


def provable(batches: list[tuple[int, int, int]], seen: list[tuple[int, int, int]]) -> set[tuple[int, int, int]]:
    """The missing batches that lie between a shard's first seen batch and the last seen batch of their own epoch."""
    first = {shard: (epoch, seq) for shard, epoch, seq in reversed(seen)}
    last = {(shard, epoch): seq for shard, epoch, seq in seen}
    return {
        (shard, epoch, seq)
        for shard, epoch, seq in set(batches) - set(seen)
        if shard in first and (epoch, seq) > first[shard] and seq < last.get((shard, epoch), 0)
    }


def test_a_gap_says_where() -> None:
    """After 4 comes 8: batches 5 to 7 are missing, and the count goes on from 8."""
    continuity = Continuity()
    continuity.observe(2, 10, 4)
    assert continuity.observe(2, 10, 8) == [Gap(2, 10, 5, 7)]
    assert continuity.observe(2, 10, 9) == []
    assert (continuity.gaps, continuity.missed) == (1, 3)


def test_a_new_epoch_that_is_joined_late_is_also_a_gap() -> None:
    """The first batches of the new epoch are known to be missing; the end of the old one cannot be known."""
    continuity = Continuity()
    continuity.observe(0, 10, 4)
    assert continuity.observe(0, 11, 3) == [EpochChanged(0, 10, 11), Gap(0, 11, 1, 2)]


def test_a_lower_epoch_is_a_change_too() -> None:
    """A feed whose epochs began again from a lower number must be heard, not taken for an echo of the past."""
    continuity = Continuity()
    continuity.observe(0, 10, 4)
    assert continuity.observe(0, 3, 1) == [EpochChanged(0, 10, 3)]


def test_a_repeat_does_not_move_the_count() -> None:
    """A batch that comes again is reported, and its successor is still expected once."""
    continuity = Continuity()
    continuity.observe(0, 1, 1)
    continuity.observe(0, 1, 2)
    assert continuity.observe(0, 1, 2) == [Repeated(0, 1, 2, 3)]
    assert continuity.observe(0, 1, 3) == []
    assert not continuity.unbroken
