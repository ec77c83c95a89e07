"""The executions of an account: their ids, and which were replaced by corrections."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import takewhile

import msgspec

from ibstream.simulation.hashing import splitmix64
from ibstream.simulation.orders import OrderId
from ibstream.simulation.recent import Recent
from ibstream.simulation.tree import NS_PER_S

EXECUTIONS_KEPT = 100_000
"""Executions remembered; older ones can no longer be corrected and are left out of what the day earned."""

_PREFIX_MASK = 0xFFFFFFFF
"""Eight hexadecimal digits."""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One fill of one instrument, as it counts now."""

    exec_id: str
    order_id: OrderId
    symbol: str
    quantity: Decimal
    """Negative for a sale."""
    price: Decimal
    commission: Decimal
    """USD."""
    realized_pnl: Decimal | None
    """In the instrument's currency."""
    usd_rate: Decimal = Decimal(1)
    """USD for one unit of that currency when it executed."""
    time_ns: int
    booking: int
    """Number of the fill in the account."""
    leg: int | None = None
    """Which leg of a combo it is."""


class ExecutionIds:
    """Ids in IBKR's form, different from those of any engine that ran before: they begin with when this one first traded."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._prefix: int | None = None
        self._number = 0

    def next(self, now_ns: int) -> str:
        """Of an order's execution: `0000e0d5.69dd7411.01.01`."""
        if self._prefix is None:
            self._prefix = splitmix64(self._seed ^ splitmix64(now_ns)) & _PREFIX_MASK
        self._number = max(self._number + 1, now_ns // NS_PER_S)
        return f"{self._prefix:08x}.{self._number:08x}.01.01"


def leg_exec_id(exec_id: str, leg: int) -> str:
    """Of a leg of the combo that executed under `exec_id`: `0000e0d5.69dd7411.01.02.01` for the first leg, number 0."""
    stem, _, correction = exec_id.rpartition(".")
    return f"{stem}.{leg + 2:02d}.{correction}"


def corrected_exec_id(exec_id: str) -> str:
    """The id with its last segment counted up."""
    stem, _, correction = exec_id.rpartition(".")
    return f"{stem}.{int(correction) + 1:02d}"


class ExecutionLog:
    """The executions that count, oldest first, at most `EXECUTIONS_KEPT`."""

    def __init__(self) -> None:
        # By the id without its last segment, so that a correction takes the place of what it corrects.
        self._by_stem: Recent[str, Execution] = Recent(EXECUTIONS_KEPT)

    def put(self, execution: Execution) -> None:
        """Remember an execution or its correction, and forget the oldest if there are too many."""
        self._by_stem.put(_stem(execution.exec_id), execution)

    def get(self, exec_id: str) -> Execution | None:
        """The execution with this id, unless it was replaced or is too old."""
        found = self._by_stem.get(_stem(exec_id))
        return found if found is not None and found.exec_id == exec_id else None

    def after(self, old: Execution) -> list[Execution]:
        """What was executed of the same instrument after `old`, oldest first."""
        later = takewhile(lambda one: one.booking > old.booking, reversed(self._by_stem))
        return [one for one in later if one.symbol == old.symbol][::-1]

    def since(self, start_ns: int) -> Iterator[Execution]:
        """What was executed at `start_ns` or later, newest first."""
        for one in reversed(self._by_stem):
            if one.time_ns < start_ns:
                return
            yield one


def _stem(exec_id: str) -> str:
    return exec_id.rpartition(".")[0]
