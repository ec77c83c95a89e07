"""Looking at every line, again and again: what flows, what is silent, what has grown old."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.quotes import Quality
from ibstream.runtime.clock import Clock
from ibstream_feed.contracts import Contracts
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.line import DELAYED, DELAYED_FROZEN, Line
from ibstream_feed.domain.register import Do, Register, Seen, Subscription

SAMPLE_AGE_S_MIN = 120.0
SAMPLE_AGE_ROUNDS = 3
"""A sampled row is stale when it is older than so many rounds, and than `SAMPLE_AGE_S_MIN`."""

_LATE = (DELAYED, DELAYED_FROZEN)
_ACTIVE, _DELAYED = SubscriptionOutcome.ACTIVE, SubscriptionOutcome.DELAYED


class Watch:
    """Sees what the register cannot know: how lines stand, and whether their exchanges are open."""

    def __init__(
        self, book: QuoteBook, register: Register, contracts: Contracts, *, stale_after_s: float, clock: Clock
    ) -> None:
        """`stale_after_s`: how long a line may be silent before it is looked at closely."""
        self._book = book
        self._register = register
        self._contracts = contracts
        self._stale_after_s = stale_after_s
        self._clock = clock

    def look(
        self, symbols: Collection[str], is_cut_off: Callable[[str], bool]
    ) -> Iterator[tuple[Line, Subscription, Do]]:
        """Every line of these symbols that needs something; from one that is cut off nothing is expected."""
        now_s, now_ns = self._clock.monotonic(), self._clock.time_ns()
        fresh_since_ns = now_ns - round(self._stale_after_s * 1e9)
        for subscription in self._register:
            line = self._book.get(subscription.symbol)
            if line is None or subscription.symbol not in symbols or self._flows(line, subscription, fresh_since_ns):
                continue
            if line.is_stale and is_cut_off(line.symbol):
                continue
            do = self._register.review(subscription, self._seen(line), now_s, now_ns)
            if do is not Do.NOTHING:
                yield line, subscription, do

    def old_samples(self, round_s: float) -> list[Line]:
        """Sampled lines that could not be renewed for several rounds of `round_s`; with the exchange closed, they are good."""
        age_s = max(SAMPLE_AGE_S_MIN, SAMPLE_AGE_ROUNDS * round_s)
        oldest_ns = self._clock.time_ns() - round(age_s * 1e9)
        return [
            line
            for line in self._book
            if line.is_sampled and line.time_ns < oldest_ns and self._contracts.trades(line.symbol) is not False
        ]

    def orphans(self) -> list[Line]:
        """Lines that nobody looks after, neither asked for nor sampled, and that a late tick has revived."""
        return [line for line in self._book if not (line.is_stale or line.is_sampled or line.symbol in self._register)]

    def figures(self) -> dict[str, int]:
        """How many rows are stale, and how many are delayed."""
        qualities = [line.quality for line in self._book]
        stale = qualities.count(Quality.STALE)
        late = qualities.count(Quality.DELAYED) + qualities.count(Quality.DELAYED_FROZEN)
        return {"stale": stale, "delayed": late}

    @staticmethod
    def _flows(line: Line, subscription: Subscription, fresh_since_ns: int) -> bool:
        """Whether all is as it was said to be: so it is with nearly every line, and that is seen at once."""
        return (
            line.time_ns >= fresh_since_ns
            and line.time_ns >= subscription.asked_ns
            and not line.is_stale
            and subscription.check_s == math.inf
            and subscription.told is (_DELAYED if line.data_type in _LATE else _ACTIVE)
        )

    def _seen(self, line: Line) -> Seen:
        return Seen(
            time_ns=line.time_ns,
            is_stale=line.is_stale,
            is_delayed=line.data_type in _LATE,
            halted=line.halted,
            is_open=self._contracts.in_regular_hours(line.symbol),
        )
