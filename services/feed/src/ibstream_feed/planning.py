"""What is wanted of this process, and the plan that follows from it: made anew with everything that changes either."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.contracts.quotes import shard_of
from ibstream.runtime import metrics
from ibstream.runtime.settings import FeedSettings
from ibstream_feed.domain.budget import LineBudget
from ibstream_feed.domain.leases import Want
from ibstream_feed.domain.plan import NOTHING, Plan, Wanted, plan

OnPlan = Callable[[Plan, Plan], None]
"""Called with the plan before and the new one, whether or not they differ."""


class Planner:
    """Leases and the feed's list, of the shards that are ours, shared out over the lines that there are."""

    def __init__(
        self,
        listed: Sequence[Instrument],
        *,
        settings: FeedSettings,
        can_be_had: Callable[[str], bool],
        on_plan: OnPlan,
    ) -> None:
        """`can_be_had` says whether there is any point in asking for a symbol now."""
        self._listed = [Wanted(quote_symbol(one), one, is_leased=False) for one in listed]
        self._settings = settings
        self._can_be_had = can_be_had
        self._on_plan = on_plan
        self._leased: Sequence[Want] = ()
        self._owned: set[int] = set()
        self._peers = 1
        self._reserved = 0
        self.budget = LineBudget(settings.market_data_lines)
        """The lines of this process. Whoever changes it calls `renew`."""
        self.plan: Plan = NOTHING
        """The plan in force."""

    def desire(self, leased: Sequence[Want]) -> None:
        """These are leased from now on, the most wanted first."""
        self._leased = leased
        self.renew()

    def own(self, shards: Iterable[int]) -> None:
        """This process writes these shards from now on, too."""
        self._owned.update(shards)
        self.renew()

    def disown(self, shards: Iterable[int]) -> None:
        """This process writes these shards no longer."""
        self._owned.difference_update(shards)
        self.renew()

    def share(self, peers: int) -> None:
        """So many processes share the Gateway's lines and messages from now on."""
        self._peers = max(1, peers)
        self.budget.begin()
        self._set_budget()

    def reserve(self, lines: int) -> None:
        """So many lines are taken by bars, which use them as quotes do."""
        if lines != self._reserved:
            self._reserved = lines
            self._set_budget()

    def renew(self) -> None:
        """Make the plan anew."""
        before = self.plan
        self.plan = plan(
            [one for one in self._all_wanted() if self.owns(one.symbol)],
            lines=self.budget.lines,
            sampling_lines=self.sampling_lines,
            can_be_had=self._can_be_had,
        )
        metrics.LINE_BUDGET.set(self.budget.lines)
        self._on_plan(before, self.plan)

    @property
    def requests_per_s(self) -> int:
        """How many messages a second are this process's."""
        return max(1, self._settings.requests_per_s // self._peers)

    @property
    def sampling_lines(self) -> int:
        """How many lines are kept for snapshots; one at least, unless none are to be."""
        lines = self._settings.sampling_lines
        return max(1, lines // self._peers) if lines else 0

    def owns(self, symbol: str) -> bool:
        """Whether the symbol's shard is this process's."""
        return shard_of(symbol, self._settings.shards) in self._owned

    def wanted(self, shard: int) -> set[str]:
        """The symbols of a shard that are wanted, whoever's it is."""
        return {one.symbol for one in self._all_wanted() if shard_of(one.symbol, self._settings.shards) == shard}

    def _set_budget(self) -> None:
        self.budget.set(max(0, self._settings.market_data_lines // self._peers - self._reserved))
        self.renew()

    def _all_wanted(self) -> Iterable[Wanted]:
        yield from (Wanted(one.symbol, one.instrument, is_leased=True) for one in self._leased)
        yield from self._listed
