"""What the processes of the benchmark have in common: made-up stocks, and ticks that say when they were written."""

from __future__ import annotations

import itertools
import string
from array import array
from pathlib import Path

HOP_STREAM = "bench:hop"
STAMP_MIN = 1_000_000
"""A size from here on is a stamp: microseconds of CLOCK_MONOTONIC. The sizes of the simulated market are smaller."""
TICKS_PER_UPDATE = 2
"""An update of a symbol is a price with its size, and the size once more, as a Gateway sends it."""


def symbols(count: int) -> tuple[str, ...]:
    """So many made-up stocks."""
    letters = itertools.product(string.ascii_uppercase, repeat=4)
    return tuple("".join(word) for word in itertools.islice(letters, count))


def save(path: str, values: array[int]) -> None:
    """Write numbers for another process of the benchmark."""
    Path(path).write_bytes(values.tobytes())


def load(path: str) -> array[int]:
    """Read them."""
    values = array("q")
    values.frombytes(Path(path).read_bytes())
    return values
