"""A mapping with a bound: what was put in last is remembered, the oldest is forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most `kept` values by key, in the order of their first coming. A value put under a known key takes its place."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._values: OrderedDict[K, V] = OrderedDict()

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[V]:
        return iter(self._values.values())

    def __reversed__(self) -> Iterator[V]:
        return reversed(self._values.values())

    def get(self, key: K) -> V | None:
        """The value, unless it never came or is forgotten."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Remember a value, and forget the oldest if there are too many."""
        self._values[key] = value
        while len(self._values) > self._kept:
            self._values.popitem(last=False)
