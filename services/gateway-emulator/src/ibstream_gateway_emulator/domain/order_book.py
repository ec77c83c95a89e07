"""The orders that a Gateway knows, found by every id they have, and for how long it knows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import islice

from ibstream.simulation.sessions import day_window, new_york_date
from ibstream_gateway_emulator.domain.order_record import Execution, OrderRecord

FINISHED_KEPT = 100_000
"""Finished orders that are remembered at most, however short the time; the oldest are dropped first."""
DAYS_KEPT = 2
"""Finished orders are dropped once the day of their end, and the one after, are over."""
_SATURDAY = 5


def order_day(time_ns: int) -> date:
    """The day whose lists show an order that ended at `time_ns`: New York's, and on a weekend the Monday after.

    Recorded in completed_orders_cancelled_system_live: what was cancelled on Saturday is still told on Sunday.
    """
    day = new_york_date(time_ns)
    return day + timedelta(days=max(7 - day.weekday(), 0)) if day.weekday() >= _SATURDAY else day


class UnknownOrderError(LookupError):
    """No order fits what was said about it, or several do. The text says which."""


class OrderRecords:
    """Every order by its permId and by its client's id of it, oldest first."""

    def __init__(self) -> None:
        self._by_perm_id: dict[int, OrderRecord] = {}
        self._by_client: dict[tuple[int, int], OrderRecord] = {}
        self._pruned_on = date.min

    def __len__(self) -> int:
        return len(self._by_perm_id)

    def __iter__(self) -> Iterator[OrderRecord]:
        return iter(tuple(self._by_perm_id.values()))

    def add(self, record: OrderRecord) -> None:
        """Take in a new order; the last one of a client's id is found by it."""
        self._by_perm_id[record.perm_id] = record
        self._by_client[record.client_id, record.order_id] = record

    def by_perm_id(self, perm_id: int) -> OrderRecord | None:
        """The order with this permId; None if it is not remembered."""
        return self._by_perm_id.get(perm_id)

    def of_client(self, client_id: int, order_id: int) -> OrderRecord | None:
        """The order that the client knows under this id."""
        return self._by_client.get((client_id, order_id))

    def live(self) -> list[OrderRecord]:
        """The orders that have not ended."""
        return [record for record in self._by_perm_id.values() if record.is_live]

    def release_ids(self, issued_from: dict[int, int]) -> None:
        """Forget whose ids those of finished orders were, from the given one on, by client: they are issued once more."""
        for (client_id, order_id), record in list(self._by_client.items()):
            if order_id >= issued_from.get(client_id, order_id + 1) and not record.is_live:
                del self._by_client[client_id, order_id]

    def find(
        self,
        *,
        perm_id: int | None = None,
        order_ref: str | None = None,
        client_id: int | None = None,
        order_id: int | None = None,
        among: Iterable[OrderRecord] | None = None,
    ) -> OrderRecord:
        """The only order that fits all that is given: a working one, or where none fits, a finished one.

        `among` are the orders as they stand elsewhere; None: as they stand here. Raises `UnknownOrderError`.
        """
        wanted = {"perm_id": perm_id, "order_ref": order_ref, "client_id": client_id, "order_id": order_id}
        given = {name: value for name, value in wanted.items() if value is not None}
        known = self if among is None else among
        fitting = [one for one in known if all(_fact(one, name) == value for name, value in given.items())]
        found = [one for one in fitting if one.is_live] or fitting
        if len(found) != 1:
            said = ", ".join(f"{name}={value}" for name, value in given.items()) or "nothing"
            raise UnknownOrderError(f"{len(found) or 'no'} orders fit {said}; name exactly one, best by perm_id")
        return found[0]

    def completed_on(self, day: date) -> Iterator[OrderRecord]:
        """The orders that ended on this day, in the sense of `order_day`."""
        return (one for one in self if not one.is_live and order_day(one.completed_ns) == day)

    def executions(self, start_ns: int, end_ns: int) -> Iterator[tuple[OrderRecord, Execution]]:
        """The executions in this span of time, with their orders."""
        for record in self:
            for execution in record.executions:
                if start_ns <= execution.executed_ns < end_ns:
                    yield record, execution

    def prune(self, now_ns: int) -> None:
        """Drop finished orders that are too old or too many; looks for old ones once a day."""
        today = new_york_date(now_ns)
        if today != self._pruned_on:
            self._pruned_on = today
            oldest_ns = day_window(today - timedelta(days=DAYS_KEPT - 1))[0]
            self._drop(one for one in self if not one.is_live and one.completed_ns < oldest_ns)
        surplus = len(self) - FINISHED_KEPT
        if surplus > 0:
            finished = (one for one in self._by_perm_id.values() if not one.is_live)
            self._drop(list(islice(finished, surplus)))

    def _drop(self, dropped: Iterable[OrderRecord]) -> None:
        for record in dropped:
            del self._by_perm_id[record.perm_id]
            if self.of_client(record.client_id, record.order_id) is record:
                del self._by_client[record.client_id, record.order_id]


def _fact(record: OrderRecord, name: str) -> object:
    return record.placed.order_ref if name == "order_ref" else getattr(record, name)
