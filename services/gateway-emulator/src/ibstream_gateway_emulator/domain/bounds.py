"""Memory that grows with who comes along is bounded: the oldest is forgotten."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def keep_latest(remembered: dict[K, V], most: int) -> None:
    """Drop the entries that were entered first until there are `most` or fewer."""
    while len(remembered) > most:
        del remembered[next(iter(remembered))]
