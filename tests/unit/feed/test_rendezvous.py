"""Who owns which shard: everyone computes the same, nobody has more than its share, and little moves."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream_feed.domain.rendezvous import _pairs, owners

SHARDS = st.integers(1, 64)
NAMES = st.text("abcdefgh:/0123456789", min_size=1, max_size=12)
WEIGHTS = st.floats(0.5, 10_000)
MEMBERS = st.dictionaries(NAMES, WEIGHTS, min_size=1, max_size=12)
SEVERAL = st.dictionaries(NAMES, WEIGHTS, min_size=2, max_size=12)


def shares(shards: int, members: dict[str, float]) -> dict[str, Fraction]:
    """What each would own if shards could be cut."""
    total = sum(map(Fraction, members.values()))
    return {member: shards * Fraction(weight) / total for member, weight in members.items()}


def sure(shards: int, members: dict[str, float]) -> dict[int, str]:
    """The shards whose best member has them among the best that fill its share, rounded down."""
    best_first = _pairs(shards, members)
    best_of = {shard: member for _, member, shard in reversed(best_first)}
    chosen = {
        member: [shard for _, one, shard in best_first if one == member][: math.floor(share)]
        for member, share in shares(shards, members).items()
    }
    return {shard: member for shard, member in best_of.items() if shard in chosen[member]}


def equal(count: int, prefix: str = "gateway:4002/") -> dict[str, float]:
    return {f"{prefix}{number}": 100 / count for number in range(count)}


def moved(before: tuple[str, ...], after: tuple[str, ...]) -> set[int]:
    return {shard for shard, (one, other) in enumerate(zip(before, after, strict=True)) if one != other}


@given(SHARDS, MEMBERS)
def test_every_shard_has_an_owner_and_every_member_its_exact_share_rounded(
    shards: int, members: dict[str, float]
) -> None:
    """Down or up, whatever the weights: so nobody is idle who could have a whole shard, and nobody has one too many."""
    owned = owners(shards, members)
    assert len(owned) == shards
    assert set(owned) <= members.keys()
    counted = Counter(owned)
    for member, share in shares(shards, members).items():
        assert math.floor(share) <= counted[member] <= math.ceil(share)


@given(SHARDS, MEMBERS, st.data())
def test_the_order_of_the_members_does_not_matter(shards: int, members: dict[str, float], data: st.DataObject) -> None:
    """Redis tells them in any order."""
    names = data.draw(st.permutations(sorted(members)))
    assert owners(shards, {name: members[name] for name in names}) == owners(shards, members)


def test_every_process_and_every_release_computes_the_same() -> None:
    """Python's own hash differs from process to process. These lists may only change with a release that stops all feeds."""
    three = owners(8, equal(3))
    assert "".join(owner[-1] for owner in three) == "02012101"
    mixed = owners(8, {"a:4002/0": 100, "b:4002/0": 50, "b:4002/1": 50})
    assert [owner[0] + owner[-1] for owner in mixed] == ["a0", "b1", "a0", "a0", "b1", "b0", "b0", "a0"]
    code = f"from ibstream_feed.domain.rendezvous import owners; print(owners(8, {equal(3)!r}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == repr(three)


@given(SHARDS, SEVERAL, st.data())
def test_a_shard_stays_that_was_a_sure_match_when_another_member_leaves(
    shards: int, members: dict[str, float], data: st.DataObject
) -> None:
    """What moves was the leaver's, or had been placed where room was left. The same holds for a join, backwards."""
    leaver = data.draw(st.sampled_from(sorted(members)))
    before = owners(shards, members)
    after = owners(shards, {member: weight for member, weight in members.items() if member != leaver})
    kept = sure(shards, members)
    assert all(before[shard] == member for shard, member in kept.items())
    may_move = {shard for shard, owner in enumerate(before) if owner == leaver or shard not in kept}
    assert moved(before, after) <= may_move
    assert {shard for shard, owner in enumerate(before) if owner == leaver} <= moved(before, after)


@given(st.integers(0, 10_000), st.integers(1, 64))
def test_of_two_members_one_takes_over_and_nothing_else_moves(number: int, shards: int) -> None:
    """And when the second joins, the first keeps its half, rounded."""
    pair = {f"{number}/0": 50.0, f"{number}/1": 50.0}
    both = owners(shards, pair)
    for member in pair:
        alone = owners(shards, {member: 100.0})
        assert moved(both, alone) == {shard for shard, owner in enumerate(both) if owner != member}


def test_little_more_than_what_must_moves() -> None:
    """Of eight shards, evened out exactly, a leave or join moves on average not one and a half beyond the leaver's own."""
    for count in range(2, 9):
        beyond = []
        for group in range(40):
            members = equal(count, f"{group}/")
            before = owners(8, members)
            for leaver in members:
                after = owners(8, {member: 1.0 for member in members if member != leaver})
                beyond.append(len(moved(before, after)) - before.count(leaver))
        assert min(beyond) >= 0
        assert sum(beyond) / len(beyond) < 1.5, count


def test_a_member_with_twice_the_lines_has_twice_the_shards() -> None:
    """As two Gateways with different users bring different numbers of lines."""
    counted = Counter(owners(12, {"a": 200.0, "b": 100.0, "c": 100.0}))
    assert counted == {"a": 6, "b": 3, "c": 3}


def test_pairs_are_spread_as_the_weights_say() -> None:
    """The best member of a shard is one with three times the weight three times as often."""
    first = Counter(_pairs(1, {f"{number}/heavy": 3.0, f"{number}/light": 1.0})[0][1][-5:] for number in range(4000))
    assert first["heavy"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_scores_fall() -> None:
    """Best first, each pair once."""
    pairs = _pairs(8, equal(3))
    assert all(one[0] >= other[0] for one, other in pairwise(pairs))
    assert len({(member, shard) for _, member, shard in pairs}) == 24


def test_without_members_there_are_no_owners() -> None:
    """Nobody lives, so nothing is anyone's."""
    assert owners(8, {}) == ()


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_a_weight_must_be_more_than_nothing(weight: float) -> None:
    """A member without lines can serve nobody: that is a setting to be refused, not to be shared."""
    with pytest.raises(ValueError, match="weights must be more than 0"):
        owners(8, {"a": 1.0, "b": weight})
