"""Taking turns: every symbol once in a round, in order, and how long that takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream_feed.domain.rotation import ROUND_S_MIN, Rotation

LONG_S = ROUND_S_MIN + 1


def always(_: str) -> bool:
    return True


def rotation(symbols: str) -> Rotation:
    made = Rotation()
    made.take(symbols)
    return made


def turns(made: Rotation, now_s: float, most: int = 99) -> str:
    """Whose turn it is, one after the other, without any being done with."""
    found = ""
    while len(found) < most and (symbol := made.next(now_s, always)) is not None:
        found += symbol
    return found


def test_each_has_one_turn_in_order() -> None:
    """The round is over with the last that is done with, in whatever order they are; then it is told how long it took."""
    made = rotation("ABC")
    assert turns(made, 0.0) == "ABC"
    assert not made.done("B", 1.0)
    assert not made.done("A", 2.0)
    assert made.round_s == 0
    assert made.done("C", 7.5)
    assert made.round_s == 7.5


def test_a_round_begins_when_the_last_is_over_and_not_too_soon() -> None:
    """A short list is not asked for without a pause; a long one is, without one."""
    made = rotation("AB")
    assert turns(made, 0.0) == "AB"
    made.done("A", 1.0)
    assert turns(made, LONG_S) == ""  # B is in hand still
    made.done("B", 2.0)
    assert turns(made, ROUND_S_MIN - 0.1) == ""
    assert turns(made, ROUND_S_MIN) == "AB"


def test_one_that_is_not_due_is_passed_over() -> None:
    """It holds up no other, and is asked about again in the next round."""
    made = rotation("ABC")
    assert [made.next(0.0, "B".__ne__) for _ in range(3)] == ["A", "C", None]
    made.done("A", 1.0)
    assert made.done("C", 1.0)
    assert turns(made, LONG_S) == "ABC"


def test_one_that_is_no_longer_due_when_its_turn_comes_does_not_hold_up_the_round() -> None:
    """The round ends with those that had their turn."""
    made = rotation("AB")
    assert made.next(0.0, always) == "A"
    assert made.next(0.0, "B".__ne__) is None
    assert made.done("A", 3.0)
    assert made.round_s == 3.0


def test_nothing_is_due() -> None:
    """No round begins, and none is told."""
    made = rotation("AB")
    assert made.next(0.0, lambda _: False) is None
    assert made.next(0.1, always) == "A"
    assert rotation("").next(0.0, always) is None


def test_a_newcomer_joins_the_round_and_one_that_left_has_no_turn() -> None:
    """What had its turn already has not another one; what is in hand is done with, wanted or not."""
    made = rotation("ABC")
    assert turns(made, 0.0, 1) == "A"
    made.take("ACD")
    assert len(made) == 3
    assert turns(made, 0.0) == "CD"
    for symbol in "AC":
        made.done(symbol, 1.0)
    assert made.done("D", 1.0)


def test_one_that_left_and_came_back_while_in_hand_is_in_hand_once() -> None:
    """Two snapshots of one symbol are never under way."""
    made = rotation("AB")
    assert turns(made, 0.0, 1) == "A"
    made.take("B")
    made.take("AB")
    assert turns(made, 0.0) == "B"


def test_everything_left_while_in_hand() -> None:
    """The round is over with the last of them; the next begins with those that are wanted by then."""
    made = rotation("AB")
    assert turns(made, 0.0) == "AB"
    made.take("C")
    made.done("A", 1.0)
    assert turns(made, 1.0) == "C"
    made.done("B", 1.0)
    assert made.done("C", 2.0)
    assert turns(made, LONG_S) == "C"


@pytest.mark.parametrize("count", [1, 2, 40])
def test_rounds_follow_each_other_for_ever(count: int) -> None:
    """Each symbol has one turn in each, however many are in hand together."""
    symbols = [f"S{number}" for number in range(count)]
    made, now_s = Rotation(), 0.0
    made.take(symbols)
    for _ in range(3):
        had: list[str] = []
        while len(had) < count:
            hand = [symbol for _ in range(3) if (symbol := made.next(now_s, always)) is not None]
            had += hand
            now_s += LONG_S
            ends = [made.done(symbol, now_s) for symbol in hand]
            assert any(ends) is (len(had) == count)
        assert had == symbols
        assert made.round_s == pytest.approx(LONG_S * -(-count // 3))


steps = st.one_of(
    st.tuples(st.just("take"), st.lists(st.sampled_from("ABCDEF"), unique=True)),
    st.tuples(st.just("next"), st.sets(st.sampled_from("ABCDEF"))),
    st.tuples(st.just("done"), st.integers(0, 5)),
    st.tuples(st.just("passes"), st.floats(0, 20)),
)


@given(st.lists(steps, max_size=60))
def test_whatever_happens_nobody_is_in_hand_twice_and_nobody_starves(
    taken: list[tuple[str, list[str] | set[str] | int | float]],
) -> None:
    """Turns are given to those wanted and due alone; at the end, two rounds reach each that is wanted."""
    made, now_s, wanted, hand = Rotation(), 0.0, list[str](), list[str]()
    for name, value in taken:
        match name, value:
            case "take", list():
                wanted = value
                made.take(wanted)
            case "next", set():
                symbol = made.next(now_s, value.__contains__)
                if symbol is not None:
                    assert symbol in wanted
                    assert symbol in value
                    assert symbol not in hand
                    hand.append(symbol)
            case "done", int() if hand:
                made.done(hand.pop(value % len(hand)), now_s)
            case "passes", float():
                now_s += value
    reached: list[str] = []
    for _ in range(2):
        reached += turns(made, now_s)
        for symbol in {*hand, *reached}:
            made.done(symbol, now_s)
        hand.clear()
        now_s += LONG_S
    reached += turns(made, now_s)
    assert set(wanted) <= set(reached)
