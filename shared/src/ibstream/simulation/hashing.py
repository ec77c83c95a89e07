"""Hashes that give the same number in every process, on every platform, for ever.

Python's own `hash` is salted per process, so it cannot found a market that several processes must agree on.
"""

from __future__ import annotations

import hashlib

_MASK = (1 << 64) - 1


def splitmix64(state: int) -> int:
    """The SplitMix64 output for `state`: 64 well-mixed bits (Steele, Lea and Flood, 2014)."""
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


def stable_hash(text: str) -> int:
    """64 bits of the text's BLAKE2b digest."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def signed_unit(bits: int, shift: int) -> float:
    """16 of the `bits`, from `shift` upwards, as a number in [-1, 1)."""
    return ((bits >> shift) & 0xFFFF) / 32768.0 - 1.0
