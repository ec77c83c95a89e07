"""Snapshots under way: what a line is left with by one that is not to be had."""

from __future__ import annotations

import pytest
from support import run

from ibstream.contracts.quotes import Quality
from ibstream_feed.adapters.ibkr_snapshots import Gathering
from ibstream_feed.domain.line import BID, BID_SIZE, DELAYED, LIVE, Line


def delayed() -> Line:
    """A line that shows delayed data of an instrument that is halted."""
    line = Line("AAPL", 0)
    line.values[BID], line.values[BID_SIZE] = b"10", b"1"
    line.is_stale, line.data_type, line.halted = False, DELAYED, True
    return line


def test_what_came_of_it_is_dropped_with_what_was_said_of_it() -> None:
    """The row is as it was, and so is the line."""

    async def scenario() -> None:
        line = delayed()
        row = line.row()
        gathering = Gathering(line)
        gathering.begin()
        line.values[BID] = b"11"
        assert line.row() == row
        gathering.drop(keep_values=False)
        assert (line.row(), line.data_type, line.halted, line.is_gathering) == (row, DELAYED, True, False)

    run(scenario())


@pytest.mark.parametrize("said", [LIVE, DELAYED])
def test_a_subscription_that_was_there_before_goes_on_as_what_it_is(said: int) -> None:
    """IBKR has told its type and its halt, and does not tell them again; whether it told them of the snapshot, or not."""

    async def scenario() -> None:
        line = delayed()
        gathering = Gathering(line)
        gathering.begin()
        line.data_type = said
        line.values[BID], line.values[BID_SIZE] = b"11", b"1"
        gathering.drop(keep_values=True)
        line.known = line.values  # its next tick
        assert (line.row().bid, line.row().halted, line.quality) == (11, True, Quality.DELAYED)

    run(scenario())


def test_a_subscription_that_has_begun_since_is_told_anew() -> None:
    """What stood before the snapshot is not its type."""

    async def scenario() -> None:
        line = delayed()
        gathering = Gathering(line)
        gathering.begin()
        line.begin()
        gathering.drop(keep_values=True)
        line.known = line.values
        assert (line.quality, line.row().halted) == (Quality.LIVE, False)

    run(scenario())
