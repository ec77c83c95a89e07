"""Who gets a line and who takes turns: leases first, then the list in its order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ibstream.contracts.instrument import Instrument
from ibstream_feed.domain.plan import NOTHING, Plan, Wanted, plan

NAMES = tuple("ABCDEFGH")


def wanted(*symbols: str, is_leased: bool = False) -> list[Wanted]:
    return [Wanted(symbol, Instrument(symbol=symbol), is_leased) for symbol in symbols]


def names(group: tuple[Wanted, ...]) -> str:
    return "".join(one.symbol for one in group)


def shares(made: Plan) -> tuple[str, str, str]:
    """Who is streamed, sampled and left out."""
    return names(made.streamed), names(made.sampled), names(made.left_out)


def test_all_are_streamed_where_the_lines_suffice() -> None:
    """No line is kept for snapshots that nobody needs."""
    assert shares(plan(wanted(*"ABC"), lines=3, sampling_lines=2)) == ("ABC", "", "")


def test_where_they_do_not_some_are_kept_for_snapshots_of_the_rest() -> None:
    """The most wanted are streamed; one symbol too many costs as many of them as lines are kept."""
    assert shares(plan(wanted(*"ABCD"), lines=3, sampling_lines=2)) == ("A", "BCD", "")


def test_without_lines_for_snapshots_the_rest_is_left_out() -> None:
    """Then every line streams."""
    assert shares(plan(wanted(*"ABCD"), lines=3, sampling_lines=0)) == ("ABC", "", "D")


def test_fewer_lines_than_are_kept_for_snapshots_are_all_used_for_them() -> None:
    """IBKR gives a few lines alone: every symbol is sampled, and none starves."""
    assert shares(plan(wanted(*"ABC"), lines=2, sampling_lines=10)) == ("", "ABC", "")


def test_with_no_line_at_all_everything_takes_turns() -> None:
    """A snapshot may be given all the same; where none is wanted, there is nothing to ask with."""
    assert shares(plan(wanted(*"AB"), lines=0, sampling_lines=10)) == ("", "AB", "")
    assert shares(plan(wanted(*"AB"), lines=0, sampling_lines=0)) == ("", "", "AB")


def test_of_a_symbol_that_is_named_twice_the_first_counts() -> None:
    """A lease on a symbol of the list takes its place before the list, and is no second subscription."""
    made = plan([*wanted("C", is_leased=True), *wanted(*"ABC")], lines=3, sampling_lines=1)
    assert shares(made) == ("CAB", "", "")
    assert made.streamed[0].is_leased


def test_what_cannot_be_had_takes_no_line_and_no_turn() -> None:
    """Its line goes to the next; it is still one of those that are wanted."""
    made = plan(wanted(*"ABCD"), lines=3, sampling_lines=1, can_be_had=lambda symbol: symbol != "B")
    assert shares(made) == ("ACD", "", "B")
    assert made.symbols == set("ABCD")


def test_nothing_is_wanted() -> None:
    """The plan before the first."""
    assert plan([], lines=100, sampling_lines=10) == NOTHING
    assert NOTHING.symbols == set()


@given(
    leased=st.lists(st.sampled_from(NAMES), max_size=5),
    listed=st.lists(st.sampled_from(NAMES), max_size=8),
    lines=st.integers(0, 8),
    sampling_lines=st.integers(0, 4),
    refused=st.sets(st.sampled_from(NAMES)),
)
def test_whatever_is_wanted(
    leased: list[str], listed: list[str], lines: int, sampling_lines: int, refused: set[str]
) -> None:
    """Each symbol has one place; lines are never exceeded, and never idle; the order is kept, across the groups, too."""
    both = [*wanted(*leased, is_leased=True), *wanted(*listed)]
    made = plan(both, lines=lines, sampling_lines=sampling_lines, can_be_had=lambda symbol: symbol not in refused)
    streamed, sampled, left_out = shares(made)
    order = list(dict.fromkeys([*leased, *listed]))
    assert sorted(streamed + sampled + left_out) == sorted(order)
    to_have = [symbol for symbol in order if symbol not in refused]
    rest = [symbol for symbol in left_out if symbol not in refused]
    assert [*streamed, *sampled, *rest] == to_have
    kept = min(sampling_lines, max(1, lines)) if sampled else 0
    assert len(streamed) == min(len(to_have), max(0, lines - kept))
    assert not sampled or kept
    assert not (sampled and rest)
    assert {one.symbol for one in made.streamed if one.is_leased} == set(streamed) & set(leased)
