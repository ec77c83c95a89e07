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

Held = dict[tuple[str, str, int], Decimal]
"""By account, strategy and contract id: what its own fills add up to."""


class OpenInterest:
    """Open orders, working quantities, and the positions of strategies, account by account.

    The journal may hold those of several: what a strategy did on paper must not count against its live budget. What `update`
    and `forget_positions` return is to be journalled.
    """

    def __init__(self) -> None:
        self._open: Counter[tuple[str, str | None]] = Counter()
        self._working: defaultdict[tuple[str, str, Instrument, Side], Decimal] = defaultdict(Decimal)
        self._held: Held = {}

    def load(self, fields: Mapping[bytes, bytes], records: Iterable[OrderRecord]) -> None:
        """Believe the journal: the strategies' positions, and the orders without an outcome."""
        self.__init__()  # type: ignore[misc]
        for name, value in fields.items():
            account, _, rest = name.decode().partition("|")
            strategy, _, con_id = rest.rpartition("|")
            self._held[account, strategy, int(con_id)] = Decimal(value.decode())
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
                key = (record.account, record.request.strategy, con_id)
                self._held[key] = self._held.get(key, ZERO) + quantity
                changed[_field(key)] = str(self._held[key]).encode()
        return changed

    def forget_positions(self, account: str) -> dict[str, bytes]:
        """Let strategies hold nothing in this account: its executor has forgotten all positions. Returns what that changed."""
        gone = [key for key, quantity in self._held.items() if key[0] == account and quantity]
        for key in gone:
            self._held[key] = ZERO
        return {_field(key): b"0" for key in gone}

    def open_orders(self, account: str, strategy: str | None = None) -> int:
        """Orders of the account without an outcome: of all, or of a strategy."""
        return self._open[account, strategy]

    def working(self, account: str, instrument: Instrument, side: Side, strategy: str = "") -> Decimal:
        """What is left to fill on one side in the account, combos' legs included: of all, or of a strategy."""
        return self._working.get((account, strategy, unrouted(instrument), side), ZERO)

    def held(self, account: str, strategy: str, con_id: int) -> Decimal:
        """What a strategy's own fills in the account add up to; negative for a short position."""
        return self._held.get((account, strategy, con_id), ZERO)

    def _count(self, record: OrderRecord, sign: int) -> None:
        if record.is_final:
            return
        request = record.request
        for of in (None, request.strategy):
            self._open[record.account, of] += sign
        left = rest_of(record)
        if not left:
            return
        self._add(record, request.instrument, request.side, sign * left)
        for leg in request.instrument.legs:
            side = leg_side(request.side, leg.side)
            self._add(record, leg.instrument, side, sign * left * leg.ratio)

    def _add(self, record: OrderRecord, instrument: Instrument, side: Side, quantity: Decimal) -> None:
        for whose in ("", record.request.strategy):
            key = (record.account, whose, unrouted(instrument), side)
            self._working[key] += quantity
            if not self._working[key]:
                del self._working[key]


def rest_of(record: OrderRecord) -> Decimal:
    """What is left of an order, as it counts among what works: with a modify that is asked for, the larger; 0 once it ended."""
    if record.is_final:
        return ZERO
    return max(max(record.request.quantity, record.modify_quantity or ZERO) - record.filled, ZERO)


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


def _field(key: tuple[str, str, int]) -> str:
    """Its field in the journal's hash."""
    account, strategy, con_id = key
    return f"{account}|{strategy}|{con_id}"
