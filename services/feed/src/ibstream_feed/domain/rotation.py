"""Taking turns: every symbol once in a round, in order, and how long a round takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

ROUND_S_MIN = 5.0
"""A round begins no sooner after the one before began: a short list is not asked for without pause."""


class Rotation:
    """Symbols that take turns. A round is over when each that was due has had its turn and is done with."""

    def __init__(self) -> None:
        self._symbols: tuple[str, ...] = ()
        self._waiting: deque[str] = deque()
        self._in_hand: set[str] = set()
        self._began_s = -ROUND_S_MIN
        self.round_s = 0.0
        """How long the last whole round took; 0 before there was one."""

    def __len__(self) -> int:
        return len(self._symbols)

    @property
    def in_hand(self) -> int:
        """How many have their turn now."""
        return len(self._in_hand)

    def take(self, symbols: Iterable[str]) -> None:
        """These take turns from now on. A round that has begun goes on, and newcomers join it."""
        before, self._symbols = set(self._symbols), tuple(symbols)
        if not self._waiting and not self._in_hand:
            return
        wanted = set(self._symbols)
        kept = [symbol for symbol in self._waiting if symbol in wanted]
        self._waiting = deque([*kept, *(symbol for symbol in self._symbols if symbol not in before)])

    def next(self, now_s: float, is_due: Callable[[str], bool]) -> str | None:
        """The symbol whose turn it is; None where there is none now. It is in hand until `done`."""
        if not self._waiting and not self._in_hand:
            self._begin(now_s, is_due)
        while self._waiting:
            symbol = self._waiting.popleft()
            if symbol not in self._in_hand and is_due(symbol):
                self._in_hand.add(symbol)
                return symbol
        return None

    def done(self, symbol: str, now_s: float) -> bool:
        """A symbol has had its turn. Returns whether a round is over with it."""
        self._in_hand.discard(symbol)
        if self._waiting or self._in_hand:
            return False
        self.round_s = now_s - self._began_s
        return True

    def _begin(self, now_s: float, is_due: Callable[[str], bool]) -> None:
        if now_s - self._began_s < ROUND_S_MIN:
            return
        due = [symbol for symbol in self._symbols if is_due(symbol)]
        if due:
            self._began_s = now_s
            self._waiting = deque(due)
