"""Leases that Redis may have lost: how long each counts on, and beside what: pure decisions."""

from __future__ import annotations

import msgspec
import pytest

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument
from ibstream_feed.domain.leases import Lease, Leases
from ibstream_feed.domain.remembered import KEPT_MS_MAX, Remembered

LOST_MS = 1_000_000
LEAST_MS = 5_000


def lease(consumer: str = "a", asked_ms: int = 900_000, ttl_s: float = 60, priority: int = 5) -> Lease:
    """A lease on quotes of a stock, by when it was asked for last."""
    return Lease(
        since_ms=800_000,
        expires_ms=asked_ms + round(ttl_s * 1000),
        request_id=f"{asked_ms}-3",
        consumer=consumer,
        instrument=Instrument(symbol="AAPL"),
        data=DataKind.QUOTES,
        priority=priority,
    )


def remembered(*leases: Lease) -> Remembered:
    """These, lost at `LOST_MS`."""
    return Remembered().also(leases, LOST_MS, least_ms=LEAST_MS)


def in_force(kept: Remembered, told: Leases, now_ms: int) -> list[tuple[str, int]]:
    """Consumer and priority of each lease whose time is not over."""
    return [(one.consumer, one.priority) for one in kept.beside(told) if one.expires_ms > now_ms]


@pytest.mark.parametrize(("ttl_s", "kept_ms"), [(60, 60_000), (0.5, LEAST_MS), (86_400, KEPT_MS_MAX), (120, 120_000)])
def test_each_lasts_on_for_as_long_as_it_was_asked_for(ttl_s: float, kept_ms: int) -> None:
    """From the loss, whenever it was asked for last; a few seconds at least, two minutes at most."""
    kept = remembered(lease(ttl_s=ttl_s))
    assert kept.over(LOST_MS + kept_ms - 1) == []
    assert in_force(kept, Leases(), LOST_MS + kept_ms - 1) == [("a", 5)]
    assert kept.over(LOST_MS + kept_ms) == [lease(ttl_s=ttl_s)]
    assert in_force(kept, Leases(), LOST_MS + kept_ms) == []


def test_a_second_loss_does_not_make_it_longer() -> None:
    """It counts as long again as it was asked for, not as it was remembered."""
    kept = remembered(lease(ttl_s=10))
    again = kept.also(kept, LOST_MS + 9_000, least_ms=LEAST_MS)
    assert again.over(LOST_MS + 19_000 - 1) == []
    assert len(again.over(LOST_MS + 19_000)) == 1
    assert len(kept.over(LOST_MS + 10_000)) == 1


def test_what_redis_says_is_no_worse_for_what_is_remembered() -> None:
    """Of two that are the same lease the terms asked for last count, and the later end."""
    renewed = lease(asked_ms=LOST_MS + 1, priority=1, ttl_s=1)
    older = lease(asked_ms=899_999, priority=9)
    assert in_force(remembered(lease()), Leases([renewed]), LOST_MS + 59_000) == [("a", 1)]
    assert in_force(remembered(lease()), Leases([older]), LOST_MS + 59_000) == [("a", 5)]
    longer = lease(asked_ms=LOST_MS + 1, ttl_s=600)
    assert list(remembered(lease()).beside(Leases([longer]))) == [longer]
    both = remembered(lease()).beside(Leases([lease("b")]))
    assert {one.consumer: one.expires_ms for one in both} == {"a": LOST_MS + 60_000, "b": 960_000}


def test_who_is_absent_and_who_is_let_go() -> None:
    """Those that Redis does not know are asked about; without some of them the others stay."""
    kept = remembered(lease("a"), lease("b"))
    assert len(kept) == 2
    assert kept.absent_from(Leases([lease("a", asked_ms=1)])) == [lease("b")]
    assert list(kept.without([lease("b")])) == [lease("a")]
    assert kept.without([]) is kept
    assert len(kept) == 2


def test_what_redis_has_lost() -> None:
    """It says nothing of a lease, or an earlier word than known: by their numbers, not their text. What is over is not lost."""
    known = Leases([lease("a"), lease("b"), lease("c"), lease("d"), lease("over", ttl_s=1)])
    second = msgspec.structs.replace(lease("d"), request_id="900000-10")
    later = Leases([lease("a"), lease("b", asked_ms=99_999), second])
    assert [one.consumer for one in known.unknown_to(later, LOST_MS - 50_000)] == ["b", "c"]
