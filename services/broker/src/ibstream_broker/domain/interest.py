"""What works and what each strategy holds, kept up with every step: exposure without looking at all orders. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Side
from ibstream_broker.domain.exposure import ZERO, leg_side
from ibstream_broker.domain.records import OrderRecord

Held = dict[tuple[str, int], Decimal]
"""By strategy and contract id: what its own fills add up to."""


class OpenInterest:
    """Open orders, working quantities, and the positions of strategies. What `update` returns is to be journalled."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._working: defaultdict[tuple[str, Instrument, Side], Decimal] = defaultdict(Decimal)
        self._held: Held = {}

    def load(self, fields: Mapping[bytes, bytes], records: Iterable[OrderRecord]) -> None:
        """Believe the journal: the strategies' positions, and the orders without an outcome."""
        self.__init__()  # type: ignore[misc]
        for name, value in fields.items():
            strategy, _, con_id = name.decode().rpartition("|")
            self._held[strategy, int(con_id)] = Decimal(value.decode())
        for record in records:
            self._count(record, 1)

    def update(self, before: OrderRecord | None, after: OrderRecord | None) -> dict[str, bytes]:
        """Take a step of an order in, or with the two exchanged back out. Returns the positions that it changed."""
        if before is not None:
            self._count(before, -1)
        if after is not None:
            self._count(after, 1)
        if before is not None and after is not None and before.executions is after.executions:
            return {}
        moved = _signed(after)
        for con_id, quantity in _signed(before).items():
            moved[con_id] -= quantity
        record = after or before
        assert record is not None  # noqa: S101 - a step has at least one side
        changed: dict[str, bytes] = {}
        for con_id, quantity in moved.items():
            if quantity:
                key = (record.request.strategy, con_id)
                self._held[key] = self._held.get(key, ZERO) + quantity
                changed[f"{key[0]}|{con_id}"] = str(self._held[key]).encode()
        return changed

    def open_orders(self, strategy: str | None = None) -> int:
        """Orders without an outcome: of all, or of a strategy."""
        return self._open.total() if strategy is None else self._open[strategy]

    def working(self, instrument: Instrument, side: Side, strategy: str = "") -> Decimal:
        """What is left to fill on one side, combos' legs included: of all, or of a strategy."""
        return self._working.get((strategy, unrouted(instrument), side), ZERO)

    def held(self, strategy: str, con_id: int) -> Decimal:
        """What a strategy's own fills add up to; negative for a short position."""
        return self._held.get((strategy, con_id), ZERO)

    def _count(self, record: OrderRecord, sign: int) -> None:
        if record.is_final:
            return
        request = record.request
        self._open[request.strategy] += sign
        left = max(request.quantity, record.modify_quantity or ZERO) - record.filled
        if left <= 0:
            return
        self._add(request.strategy, request.instrument, request.side, sign * left)
        for leg in request.instrument.legs:
            side = leg_side(request.side, leg.side)
            self._add(request.strategy, leg.instrument, side, sign * left * leg.ratio)

    def _add(self, strategy: str, instrument: Instrument, side: Side, quantity: Decimal) -> None:
        for whose in ("", strategy):
            key = (whose, unrouted(instrument), side)
            self._working[key] += quantity
            if not self._working[key]:
                del self._working[key]


def unrouted(instrument: Instrument) -> Instrument:
    """The instrument, however it is routed."""
    return msgspec.structs.replace(instrument, exchange="", primary_exchange="")


def with_legs(instrument: Instrument) -> tuple[Instrument, ...]:
    """All that must be known of to trade it: the legs of a combo, and the instrument itself."""
    return (*(leg.instrument for leg in instrument.legs), instrument)


def _signed(record: OrderRecord | None) -> defaultdict[int, Decimal]:
    """What an order's executions did to positions, by contract id; a combo's own did nothing."""
    moved: defaultdict[int, Decimal] = defaultdict(Decimal)
    if record is None:
        return moved
    is_combo = bool(record.request.instrument.legs)
    for one in record.executions.values():
        if one.leg or not is_combo:
            moved[one.con_id] += one.signed_quantity
    return moved
