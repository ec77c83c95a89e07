"""Hashes that give the same number in every process, on every platform, for ever.

Python's own `hash` is salted per process, so it cannot found a market that several processes must agree on.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

_MASK = (1 << 64) - 1
_LANE = 128
"""Bits of a lane in `splitmix64_run`: room for the product of two numbers of 64 bits."""


def splitmix64(state: int) -> int:
    """The SplitMix64 output for `state`: 64 well-mixed bits (Steele, Lea and Flood, 2014)."""
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


def splitmix64_run(state: int, count: int) -> tuple[int, ...]:
    """`splitmix64` of `state`, `state + 1` and so on, `count` in all.

    All are computed side by side in one large integer, each in a lane of its own: a third of the time for a dozen.
    """
    ones, ramp, mask, unpack = _lanes(count)
    lanes = ((state + 0x9E3779B97F4A7C15) * ones + ramp) & mask
    lanes = ((lanes ^ (lanes >> 30)) & mask) * 0xBF58476D1CE4E5B9 & mask
    lanes = ((lanes ^ (lanes >> 27)) & mask) * 0x94D049BB133111EB & mask
    # What the last shift leaves in the upper half of a lane is not read.
    return unpack((lanes ^ (lanes >> 31)).to_bytes(count * _LANE // 8, "little"))


class _Lanes(NamedTuple):
    ones: int
    """1 in every lane."""
    ramp: int
    """0, 1, 2 and so on."""
    mask: int
    """The lower 64 bits of every lane."""
    unpack: Callable[[bytes], tuple[Any, ...]]
    """The lower 64 bits of every lane, from bytes."""


@cache
def _lanes(count: int) -> _Lanes:
    places = [_LANE * lane for lane in range(count)]
    return _Lanes(
        sum(1 << place for place in places),
        sum(lane << place for lane, place in enumerate(places)),
        sum(_MASK << place for place in places),
        struct.Struct("<" + "Q8x" * count).unpack,
    )


def stable_hash(text: str) -> int:
    """64 bits of the text's BLAKE2b digest."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def signed_unit(bits: int, shift: int) -> float:
    """16 of the `bits`, from `shift` upwards, as a number in [-1, 1)."""
    return ((bits >> shift) & 0xFFFF) / 32768.0 - 1.0
