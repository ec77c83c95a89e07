"""What has been asked of IBKR, what came of it, and what is to be done about what did not come."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ibstream.contracts.feed import SubscriptionOutcome

FIRST_TICK_S = 10.0
"""A line on which nothing has come so long after it was asked for is silent."""

FRESH_S = 5.0
"""After a link or a farm came back with its subscriptions kept, a line that brings nothing so long is asked for again."""

RETRY_S = (30.0, 60.0, 120.0, 300.0)
"""How long to wait before a line is asked for again, from try to try; the last one for ever."""

QUARANTINE_S = 3600.0
"""How long a symbol that IBKR will not give is left alone: permissions can be bought meanwhile."""

UNKNOWN_S = 86_400.0
"""The same for one that IBKR does not know."""


class Do(StrEnum):
    """What a line needs."""

    NOTHING = "nothing"
    TELL = "tell"
    """It brings what it should, for the first time since it was asked for, or as other data than before."""
    ASK_AGAIN = "ask_again"
    MARK_STALE = "mark_stale"
    """It was asked for again and brought nothing."""
    GIVE_UP = "give_up"
    """IBKR said why nothing would come, and nothing came: it gives its line to another."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a subscription cannot be had."""

    outcome: SubscriptionOutcome
    text: str
    code: int


@dataclass(slots=True)
class Subscription:
    """One line that was asked for."""

    symbol: str
    asked_s: float
    """When, or when IBKR objected, in the clock's monotonic seconds; what came before that does not count."""
    asked_ns: int
    """The same moment in nanoseconds since 1970, to compare with a line's time."""
    told: SubscriptionOutcome | None = None
    """What was last said of it; None where nothing has come yet since it was asked for."""
    doubt: Refusal | None = None
    """What IBKR objected; where ticks come all the same, it was a remark."""
    is_final: bool = False
    """Whether the objection stands for a long time."""
    check_s: float = math.inf
    """When to look whether anything has come."""
    tries: int = 0
    """How often it was asked for again without bringing anything."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A line as it stands when it is looked at."""

    time_ns: int
    """Of its newest value, or since when it is stale."""
    is_stale: bool
    is_delayed: bool
    halted: bool
    is_open: bool
    """Whether its exchange is in regular hours."""


@dataclass(slots=True)
class _Quarantined:
    until_s: float
    why: Refusal


class Register:
    """Subscriptions by symbol, in the order in which they were asked for; and those symbols that are left alone."""

    def __init__(self, stale_after_s: float) -> None:
        self._stale_after_s = stale_after_s
        self._open: dict[str, Subscription] = {}
        self._reasked: dict[str, Subscription] = {}
        self._quarantine: dict[str, _Quarantined] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._open

    def __iter__(self) -> Iterator[Subscription]:
        return iter(list(self._open.values()))

    def get(self, symbol: str) -> Subscription | None:
        """The subscription of a symbol; None where it has none."""
        return self._open.get(symbol)

    def asked(self, symbol: str, now_s: float, now_ns: int) -> None:
        """A line was asked for, for the first time or again."""
        before = self._open.get(symbol) or self._reasked.pop(symbol, None)
        new = Subscription(symbol, now_s, now_ns)
        if before is not None:
            new.told, new.tries = before.told, before.tries
        new.check_s = now_s + (_wait_s(new.tries) if new.tries else FIRST_TICK_S)
        self._open[symbol] = new

    def reasked(self, symbol: str) -> None:
        """A line is given back in order to be asked for again: what was told of it, and how often it was tried, is kept."""
        subscription = self._open.pop(symbol, None)
        if subscription is not None:
            self._reasked[symbol] = subscription

    def ended(self, symbol: str) -> None:
        """A line was given back, or refused."""
        self._open.pop(symbol, None)
        self._reasked.pop(symbol, None)

    def clear(self) -> None:
        """The session is over, or IBKR has lost all subscriptions (1101)."""
        self._open.clear()
        self._reasked.clear()

    def unheard(self, symbol: str) -> None:
        """Somebody new wants a symbol: that it brings what it should is told again."""
        subscription = self._open.get(symbol)
        if subscription is not None:
            subscription.told = None

    def recheck(self, symbols: Iterable[str], now_s: float) -> None:
        """Subscriptions are said to have been kept: what brings nothing within `FRESH_S` was not."""
        for symbol in symbols:
            subscription = self._open.get(symbol)
            if subscription is not None:
                subscription.check_s = min(subscription.check_s, now_s + FRESH_S)

    def objected(self, symbol: str, why: Refusal, now_s: float, *, is_final: bool) -> None:
        """IBKR objected to a line, and may send ticks all the same; whether it does is looked at after a while.

        Of an objection that may pass, what came before it says nothing: only ticks after it prove that the line lives.
        """
        subscription = self._open.get(symbol)
        if subscription is None:
            return
        subscription.doubt, subscription.is_final = why, is_final
        subscription.check_s = now_s + (FIRST_TICK_S if is_final else _wait_s(subscription.tries))
        if not is_final:
            subscription.told = why.outcome
            subscription.asked_ns += round((now_s - subscription.asked_s) * 1e9)
            subscription.asked_s = now_s

    # Symbols left alone.

    def leave_alone(self, symbol: str, why: Refusal, now_s: float, *, for_s: float | None = None) -> None:
        """Do not ask for a symbol for a long time, or for so long."""
        self.ended(symbol)
        if for_s is None:
            for_s = UNKNOWN_S if why.outcome is SubscriptionOutcome.UNKNOWN_INSTRUMENT else QUARANTINE_S
        self._quarantine[symbol] = _Quarantined(now_s + for_s, why)

    def can_be_had(self, symbol: str) -> bool:
        """Whether a symbol may be asked for."""
        return symbol not in self._quarantine

    def why_left_alone(self, symbol: str) -> Refusal | None:
        """Why a symbol is not asked for; None where it may be."""
        one = self._quarantine.get(symbol)
        return None if one is None else one.why

    def released(self, now_s: float) -> bool:
        """Let go of those that were left alone long enough. Returns whether there were any."""
        over = [symbol for symbol, one in self._quarantine.items() if one.until_s <= now_s]
        for symbol in over:
            del self._quarantine[symbol]
        return bool(over)

    def forgive(self) -> None:
        """A new session: whoever logged in may be allowed more. What IBKR does not know it will not know now, either."""
        self._quarantine = {
            symbol: one
            for symbol, one in self._quarantine.items()
            if one.why.outcome is SubscriptionOutcome.UNKNOWN_INSTRUMENT
        }

    @property
    def left_alone(self) -> int:
        """How many symbols are not asked for."""
        return len(self._quarantine)

    # What a line needs.

    def review(self, subscription: Subscription, seen: Seen, now_s: float, now_ns: int) -> Do:
        """Look at one line, and note what is done about it."""
        if not seen.is_stale and seen.time_ns >= subscription.asked_ns:
            return self._heard(subscription, seen, now_s, now_ns)
        if subscription.check_s == math.inf:  # it was well, and then somebody marked it stale
            subscription.check_s = now_s + FRESH_S
        if now_s < subscription.check_s:
            return Do.NOTHING
        return self._silent(subscription, seen, now_s)

    def _heard(self, subscription: Subscription, seen: Seen, now_s: float, now_ns: int) -> Do:
        outcome = SubscriptionOutcome.DELAYED if seen.is_delayed else SubscriptionOutcome.ACTIVE
        subscription.doubt, subscription.tries, subscription.check_s = None, 0, math.inf
        if subscription.told is not outcome:
            subscription.told = outcome
            return Do.TELL
        quiet_s = (now_ns - seen.time_ns) / 1e9
        is_suspicious = quiet_s > self._stale_after_s and seen.is_open and not seen.halted
        return Do.ASK_AGAIN if is_suspicious and now_s - subscription.asked_s > self._stale_after_s else Do.NOTHING

    def _silent(self, subscription: Subscription, seen: Seen, now_s: float) -> Do:
        if subscription.doubt is not None and subscription.is_final:
            return Do.GIVE_UP
        subscription.check_s = now_s + _wait_s(subscription.tries)
        subscription.tries += 1
        if not seen.is_stale:  # it was asked for to see whether it lives: it does not
            return Do.MARK_STALE
        # With the exchange closed nothing need come; but after a loss one full set of values is asked for once.
        return Do.ASK_AGAIN if seen.is_open or subscription.tries == 1 or subscription.doubt is not None else Do.NOTHING


def _wait_s(tries: int) -> float:
    return RETRY_S[min(tries, len(RETRY_S) - 1)]
