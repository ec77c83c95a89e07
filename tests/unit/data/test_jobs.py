"""How the bars of a job are cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ibstream.contracts.data import Bar
from ibstream_data.domain.jobs import chunks

START = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)


def bars(count: int) -> list[Bar]:
    return [Bar(START + timedelta(minutes=number), 1, 2, 0.5, 1.5, 100, 1.2, 3) for number in range(count)]


@given(st.integers(0, 300), st.integers(1, 50))
def test_chunks_hold_every_bar_once_in_order_and_progress_reaches_one(count: int, size: int) -> None:
    """Numbers from 1 without a gap, none too large, progress growing to exactly 1."""
    wanted = bars(count)
    found = list(chunks("job", wanted, size))
    assert [bar for chunk in found for bar in chunk.bars] == wanted
    assert [chunk.seq for chunk in found] == list(range(1, len(found) + 1))
    assert all(0 < len(chunk.bars) <= size for chunk in found)
    progress = [chunk.progress for chunk in found]
    assert progress == sorted(progress)
    assert not found or progress[-1] == 1
