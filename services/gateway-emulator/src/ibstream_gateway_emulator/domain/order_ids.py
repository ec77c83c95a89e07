"""Order ids: every client has a row of its own, and it only ever goes up, unless the Gateway is told to roll it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ibstream_gateway_emulator.domain.bounds import keep_latest

ROWS_MAX = 100_000
"""Clients whose ids are remembered; more of them, and those of the first begin anew."""


@dataclass(slots=True)
class _Row:
    next: int
    """The id that nextValidId tells."""
    floor: int
    """Ids below were used by the client, or seen by it on orders of others."""


class OrderIds:
    """What ids each client may use. `first` tells where the ids of a client begin that has used none yet."""

    def __init__(self, first: Callable[[], int]) -> None:
        self._first = first
        self._rows: dict[int, _Row] = {}

    def next(self, client_id: int) -> int:
        """The id to tell as the next valid one."""
        row = self._rows.get(client_id)
        return self._first() if row is None else row.next

    def reserve(self, client_id: int, count: int) -> int:
        """Skip `count` ids, which the client may use from now on; the next one."""
        row = self._row(client_id)
        row.next += max(count, 0)
        return row.next

    def use(self, client_id: int, order_id: int) -> None:
        """An order came with this id, whatever became of it, or the client saw one of another: new ones must lie above.

        Whether a Gateway takes an id again whose order it refused is not known. A client that relies on it learns here, not
        with money, that it might not.
        """
        row = self._row(client_id)
        row.next = max(row.next, order_id + 1)
        row.floor = max(row.floor, order_id + 1)

    def is_spent(self, client_id: int, order_id: int) -> bool:
        """Whether a new order of the client may not have this id: ids must exceed all that the client used or saw."""
        return order_id < self._row(client_id).floor

    def start_at(self, client_id: int, order_id: int) -> None:
        """Let the client's ids begin at `order_id`."""
        self._enter(client_id, order_id)

    def roll_back(self, by: int, client_id: int | None = None) -> dict[int, int]:
        """Forget the last `by` ids of one client, or of all, as Gateways have been seen to do in a restart.

        Returns, by client, the id from which on ids are issued once more.
        """
        rolled = {one: row for one, row in self._rows.items() if client_id in (None, one)}
        for row in rolled.values():
            row.next = max(row.next - by, 1)
            row.floor = min(row.floor, row.next)
        return {one: row.next for one, row in rolled.items()}

    def _row(self, client_id: int) -> _Row:
        row = self._rows.get(client_id)
        if row is None:
            row = self._enter(client_id, self._first())
        return row

    def _enter(self, client_id: int, first: int) -> _Row:
        row = self._rows[client_id] = _Row(first, first)
        keep_latest(self._rows, ROWS_MAX)
        return row
