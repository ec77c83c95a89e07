"""What clients share and there is only so much of: market data lines, books, tick-by-tick subscriptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable

from ibstream_gateway_emulator.domain.codes import Code, RequestError


class Slots:
    """Counts what is in use. The same thing taken twice uses one slot until both have given it back."""

    def __init__(self, allowed: Callable[[], int | None], refusal: Callable[[int], Code]) -> None:
        self._allowed = allowed
        self._refusal = refusal
        self._used: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._used)

    def take(self, what: Hashable) -> None:
        """Use a slot. Raises `RequestError` if there is none left."""
        allowed = self._allowed()
        if allowed is not None and what not in self._used and len(self._used) >= allowed:
            raise RequestError(self._refusal(allowed))
        self._used[what] += 1

    def free(self, what: Hashable) -> None:
        """Give it back."""
        self._used[what] -= 1
        if not self._used[what]:
            del self._used[what]
