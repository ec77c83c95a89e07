"""Which executions were heard of, so that none counts twice however often IBKR lists it."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from ibstream_broker.domain.position_lines import GRACE, SeenExecution, split_exec_id

KEPT_FOR = timedelta(days=8)
"""IBKR lists executions of seven days at most."""
KEPT_MAX = 100_000
"""Executions remembered; of older ones only the time of the last is known, and all up to it count as seen."""
NEWEST = 3 * GRACE
FORGOTTEN_AT_ONCE_MAX = 100


class SeenExecutions:
    """In the order in which they were heard of; a correction keeps the place of what it corrects."""

    def __init__(self, seen: Iterable[SeenExecution] = (), *, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._seen: OrderedDict[str, SeenExecution] = OrderedDict()
        self._of: defaultdict[int, dict[str, SeenExecution]] = defaultdict(dict)
        self._newest: datetime | None = None
        self.put_all(sorted(seen, key=lambda one: one.executed_at))

    def __len__(self) -> int:
        return len(self._seen)

    def get(self, field: str) -> SeenExecution | None:
        """The execution in this field of the journal; None where it was never heard of, or is forgotten."""
        return self._seen.get(field)

    def knows(self, seen: SeenExecution | None, exec_id: str) -> bool:
        """Whether that is this execution already, or a later correction of it."""
        return seen is not None and split_exec_id(seen.exec_id)[1] >= split_exec_id(exec_id)[1]

    def put_all(self, seen: Iterable[SeenExecution]) -> None:
        """Remember the newest form of each."""
        for one in seen:
            self._seen[one.field] = self._of[one.con_id][one.field] = one
            self._newest = one.executed_at if self._newest is None else max(self._newest, one.executed_at)

    def newest(self) -> list[SeenExecution]:
        """Those of the last moments before the newest one."""
        return [one for one in self._seen.values() if self._newest and self._newest - one.executed_at <= NEWEST]

    def by_instrument(self) -> dict[int, list[SeenExecution]]:
        """All of them, by contract id."""
        return {con_id: list(seen.values()) for con_id, seen in self._of.items()}

    def around(self, con_id: int, at: datetime) -> list[SeenExecution]:
        """Those of an instrument that no clock tells for certain to be before or after an instant, oldest first."""
        close = [one for one in self._of.get(con_id, {}).values() if abs(one.executed_at - at) <= GRACE]
        return sorted(close, key=lambda one: one.executed_at)

    def forget_old(self) -> list[SeenExecution]:
        """Forget what IBKR lists no more, and what is too much; returns the forgotten ones, a few at a time."""
        gone: list[SeenExecution] = []
        while self._seen and len(gone) < FORGOTTEN_AT_ONCE_MAX:
            field, oldest = next(iter(self._seen.items()))
            assert self._newest is not None  # noqa: S101 - there is one
            if len(self._seen) <= self._kept_max and self._newest - oldest.executed_at <= KEPT_FOR:
                break
            gone.append(self._seen.pop(field))
            del self._of[oldest.con_id][field]
            if not self._of[oldest.con_id]:
                del self._of[oldest.con_id]
        return gone
