"""What is wanted of one process, and what it may have of the Gateway's lines and messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import shard_of
from ibstream.runtime.settings import FeedSettings
from ibstream_feed.domain.leases import Want
from ibstream_feed.domain.plan import Plan
from ibstream_feed.planning import Planner

SHARDS = 4
LISTED = [Instrument(symbol=f"S{number}") for number in range(20)]


class Plans:
    """A planner, and the plans it has told of."""

    def __init__(self, **chosen: int) -> None:
        self.told: list[tuple[Plan, Plan]] = []
        self.refused: set[str] = set()
        self.planner = Planner(
            LISTED,
            settings=FeedSettings(shards=SHARDS, **chosen),
            can_be_had=lambda symbol: symbol not in self.refused,
            on_plan=lambda before, plan: self.told.append((before, plan)),
        )
        self.planner.own(range(SHARDS))

    def names(self) -> list[str]:
        """What has a line, in order."""
        return [one.symbol for one in self.planner.plan.streamed]


def want(symbol: str) -> Want:
    return Want(symbol, Instrument(symbol=symbol), DataKind.QUOTES, 5, 1)


def test_leases_come_before_the_list() -> None:
    plans = Plans(market_data_lines=3, sampling_lines=0)
    plans.planner.desire([want("LEASED"), want("S7")])
    assert plans.names() == ["LEASED", "S7", "S0"]
    assert [one.is_leased for one in plans.planner.plan.streamed] == [True, True, False]


def test_each_plan_is_told_with_the_one_before() -> None:
    """Whether or not they differ: what stands behind it may have changed."""
    plans = Plans()
    plans.planner.renew()
    (_, first), (before, second) = plans.told
    assert before is first
    assert second == first
    assert plans.planner.plan is second


def test_only_what_is_of_our_shards_is_planned() -> None:
    plans = Plans()
    plans.planner.disown([0, 2])
    assert plans.planner.plan.symbols == {one.symbol for one in LISTED if shard_of(one.symbol, SHARDS) in (1, 3)}
    assert plans.planner.wanted(0) == {one.symbol for one in LISTED if shard_of(one.symbol, SHARDS) == 0}


@pytest.mark.parametrize(
    ("peers", "lines", "sampling", "requests"), [(0, 100, 10, 15), (1, 100, 10, 15), (8, 12, 1, 1), (32, 3, 1, 1)]
)
def test_what_the_gateway_has_is_shared(peers: int, lines: int, sampling: int, requests: int) -> None:
    """Lines and messages evenly; a message a second and a line for snapshots are every process's."""
    planner = Plans().planner
    planner.share(peers)
    assert (planner.budget.lines, planner.sampling_lines, planner.requests_per_s) == (lines, sampling, requests)


def test_without_lines_for_snapshots_no_number_of_processes_has_one() -> None:
    planner = Plans(sampling_lines=0).planner
    planner.share(8)
    assert planner.sampling_lines == 0


def test_what_was_found_of_lines_does_not_hold_when_others_share_them() -> None:
    """The plan follows at once."""
    plans = Plans(market_data_lines=20, sampling_lines=0)
    plans.planner.budget.refused(1, now_s=0.0)
    plans.planner.renew()
    assert plans.names() == ["S0"]
    plans.planner.share(2)
    assert len(plans.names()) == plans.planner.budget.lines == 10


def test_lines_that_bars_take_are_no_budget_of_quotes() -> None:
    """A word that changes nothing makes no new plan."""
    plans = Plans(market_data_lines=10, sampling_lines=0)
    plans.planner.reserve(4)
    assert len(plans.names()) == 6
    told = len(plans.told)
    plans.planner.reserve(4)
    assert len(plans.told) == told
    plans.planner.reserve(11)
    assert plans.names() == []


def test_what_cannot_be_had_takes_no_line() -> None:
    plans = Plans(market_data_lines=2, sampling_lines=0)
    plans.refused.add("S0")
    plans.planner.renew()
    assert plans.names() == ["S1", "S2"]


@given(lines=st.integers(1, 200), sampling=st.integers(0, 20), requests=st.integers(1, 60), peers=st.integers(1, 32))
def test_no_more_is_shared_out_than_there_is(lines: int, sampling: int, requests: int, peers: int) -> None:
    """Of lines never; of messages only where there are fewer than processes, which settings refuse."""
    plans = Plans(market_data_lines=lines, sampling_lines=sampling, requests_per_s=requests)
    plans.planner.share(peers)
    assert plans.planner.budget.lines * peers <= lines
    assert plans.planner.requests_per_s * peers <= max(requests, peers)
    assert len(plans.planner.plan.streamed) <= plans.planner.budget.lines
    assert plans.planner.plan.symbols == {one.symbol for one in LISTED}
