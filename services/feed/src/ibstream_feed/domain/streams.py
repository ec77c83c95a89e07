"""Streams of single ticks, bars and books: who gets a slot, when it may be asked for, and what comes of a refusal.

Sources: IBKR's TWS API documentation (June 2025) for the kinds of ticks and for pacing; the budgets are settings.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument

STREAM_KINDS = (DataKind.TICKS, DataKind.BARS, DataKind.DEPTH)
"""What is streamed symbol by symbol; quotes are not."""

TICK_REST_S = 15.5
"""IBKR takes one tick-by-tick request of a kind for one instrument in 15 s; the rest is for what is on its way."""

BAR_REQUESTS_MAX = 55
BAR_WINDOW_S = 600.0
"""IBKR takes 60 new subscriptions to bars in ten minutes, of all programs of the user together; some are left to others. Feed
processes share the rest evenly."""

_AT_LEAST = {DataKind.TICKS: 2, DataKind.BARS: 1, DataKind.DEPTH: 1}
"""What the most demanding stream of a kind takes: ticks of a stock are trades, and bids and asks."""

ALL_TRADES, BID_ASK = "AllLast", "BidAsk"
_TICK_TYPES = {
    "STK": (ALL_TRADES, BID_ASK),
    "FUT": (ALL_TRADES, BID_ASK),
    "CASH": (BID_ASK,),  # pairs have no trades
    "IND": (ALL_TRADES,),  # indices have no bid and ask; IBKR gives those of CME alone
}
_NO_BOOK = ("IND", "BAG")
_NO_BARS = ("BAG",)

Key = tuple[DataKind, str]
"""What a stream is known by: its kind and its symbol."""


def tick_types(security_type: str) -> tuple[str, ...]:
    """The tick-by-tick subscriptions that make up the ticks of an instrument, as IBKR calls them; each takes a slot.

    Empty for options and combos, of which IBKR gives no single ticks.
    """
    return _TICK_TYPES.get(security_type, ())


def bars_of(security_type: str) -> str:
    """Of what bars are made, as IBKR calls it: trades, but the midpoint of pairs, which have none."""
    return "MIDPOINT" if security_type == "CASH" else "TRADES"


@dataclass(frozen=True, slots=True)
class Wish:
    """A stream that somebody wants."""

    kind: DataKind
    symbol: str
    instrument: Instrument
    priority: int
    """1 is served first."""
    since_ms: int
    """When it was first asked for; among equals, who came first."""

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.kind, self.symbol

    @property
    def slots(self) -> int:
        """How many of its kind's slots it takes; 0 for what IBKR does not have."""
        security_type = self.instrument.security_type
        if self.kind is DataKind.TICKS:
            return len(tick_types(security_type))
        without = _NO_BOOK if self.kind is DataKind.DEPTH else _NO_BARS
        return 0 if security_type in without else 1


class Want(Protocol):
    """What somebody holds a lease on."""

    @property
    def symbol(self) -> str:
        """As quotes call it."""
        ...

    @property
    def instrument(self) -> Instrument:
        """What it is the symbol of."""
        ...

    @property
    def data(self) -> DataKind:
        """Which of its data."""
        ...

    @property
    def priority(self) -> int:
        """1 is served first."""
        ...

    @property
    def since_ms(self) -> int:
        """When it was first asked for."""
        ...


def wished(wants: Iterable[Want]) -> dict[Key, Wish]:
    """What is wished of these, quotes left out."""
    wishes = [Wish(one.data, one.symbol, one.instrument, one.priority, one.since_ms) for one in wants]
    return {wish.key: wish for wish in wishes if wish.kind in STREAM_KINDS}


@dataclass(frozen=True, slots=True)
class Grants:
    """Who gets a slot."""

    granted: tuple[Wish, ...]
    """The most wanted first."""
    over: tuple[Wish, ...]
    """No slot is left for these."""


def share(kind: DataKind, slots: int, peers: int) -> int:
    """How many of the user's slots a process may ask for that shares them with others: its even part, but no less than one
    stream takes. Where that makes more than there are, IBKR refuses who comes last, and the budget shrinks."""
    return min(slots, max(_AT_LEAST[kind], slots // max(1, peers)))


def grant(wishes: Iterable[Wish], slots: Mapping[DataKind, int]) -> Grants:
    """Share out the slots of each kind by priority, then by who asked first.

    A wish that needs more than what is left does not hold up a smaller one behind it: it comes first again the next time.
    """
    left = dict(slots)
    granted: list[Wish] = []
    over: list[Wish] = []
    for wish in sorted(wishes, key=lambda one: (one.priority, one.since_ms, one.symbol)):
        fits = wish.slots <= left.get(wish.kind, 0)
        (granted if fits else over).append(wish)
        if fits:
            left[wish.kind] -= wish.slots
    return Grants(tuple(granted), tuple(over))


class Pace:
    """When a stream may be asked for, so that IBKR does not refuse it for coming too soon. Outlives sessions, as IBKR's does."""

    def __init__(self) -> None:
        self._ticks_asked_s: dict[str, float] = {}
        self._bars_asked_s: deque[float] = deque(maxlen=BAR_REQUESTS_MAX)
        self._bar_requests_max = BAR_REQUESTS_MAX

    def share(self, peers: int) -> None:
        """So many processes ask from now on."""
        self._bar_requests_max = max(1, BAR_REQUESTS_MAX // max(1, peers))

    def wait_s(self, wish: Wish, now_s: float) -> float:
        """How long it has to wait; 0 where it may be asked for now."""
        if wish.kind is DataKind.TICKS:
            return max(0.0, self._ticks_asked_s.get(wish.symbol, -math.inf) + TICK_REST_S - now_s)
        if wish.kind is DataKind.BARS and len(self._bars_asked_s) >= self._bar_requests_max:
            return max(0.0, self._bars_asked_s[-self._bar_requests_max] + BAR_WINDOW_S - now_s)
        return 0.0

    def asked(self, wish: Wish, now_s: float) -> None:
        """It is asked for now."""
        if wish.kind is DataKind.BARS:
            self._bars_asked_s.append(now_s)
        elif wish.kind is DataKind.TICKS:
            recent = {symbol: at for symbol, at in self._ticks_asked_s.items() if at + TICK_REST_S > now_s}
            self._ticks_asked_s = {**recent, wish.symbol: now_s}


class Fate(StrEnum):
    """What a code means for the stream it came about."""

    KEEP = "keep"
    """A remark: it streams on."""
    AGAIN = "again"
    """It has ended, and can be had again."""
    TOO_FAST = "too_fast"
    """It was asked for too soon."""
    FULL = "full"
    """All slots are in use, by whomever: there are fewer than were thought."""
    ELSEWHERE = "elsewhere"
    """Another login of the user has the data."""
    REFUSED = "refused"
    FORBIDDEN = "forbidden"
    """It is not subscribed at IBKR."""


_AGAIN_S = (1.0, 5.0, 15.0, 60.0)
_REST_S = {Fate.ELSEWHERE: 60.0, Fate.REFUSED: 300.0, Fate.FORBIDDEN: 3600.0}
_TOO_FAST_S = {DataKind.TICKS: TICK_REST_S, DataKind.BARS: BAR_WINDOW_S, DataKind.DEPTH: TICK_REST_S}


class Setbacks:
    """Streams that could not be had, and until when each is left alone."""

    def __init__(self) -> None:
        self._until_s: dict[Key, float] = {}
        self._tries: dict[Key, int] = {}

    def note(self, key: Key, fate: Fate, now_s: float) -> None:
        """It could not be had. One that merely ended is asked for again soon, and later each time that nothing came of it."""
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        if fate is Fate.FULL:
            return  # the budget holds it back
        again_s = _AGAIN_S[min(tries, len(_AGAIN_S)) - 1]
        self._until_s[key] = now_s + (_TOO_FAST_S[key[0]] if fate is Fate.TOO_FAST else _REST_S.get(fate, again_s))

    def hold(self, key: Key, now_s: float) -> bool:
        """Whether it is to be left alone still."""
        return self._until_s.get(key, -math.inf) > now_s

    def overcome(self, key: Key) -> None:
        """It streams."""
        self._until_s.pop(key, None)
        self._tries.pop(key, None)

    def keep_only(self, keys: Iterable[Key]) -> None:
        """Nobody wants the others any more: whoever asks anew is served anew."""
        for gone in self._tries.keys() - set(keys):
            self.overcome(gone)

    def forgive(self) -> None:
        """A new session: what was refused in the one before may be had in this one."""
        self._until_s.clear()
        self._tries.clear()
