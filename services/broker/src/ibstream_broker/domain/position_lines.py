"""What the position book knows, line by line, and how it is journalled.

    account               `AccountLine`      when the account's positions were first taken over
    <con_id>              `PositionLine`     what the fills add up to, and whether IBKR says so too
    <con_id>:<exec id>    `SeenExecution`    an execution that must not be counted again; its id without the last part

These are the fields of one hash. Each value is small and each execution changes two of them, however many came before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import Side
from ibstream.contracts.portfolio import PositionMismatch

GRACE = timedelta(seconds=10)
"""How far apart an execution and the position that it leads to may be told, in either order, the difference between IBKR's
clock and ours, and its whole seconds, included."""

NOT_COMPARED = frozenset({"CASH", "BAG"})
"""A currency pair's position at IBKR is virtual: automatic conversions are in it, and people may set it (source: TWS users'
guide, "FX Portfolio - Virtual FX Position"). A combo has none of its own: its legs have."""

ACCOUNT_FIELD = "account"
ZERO = Decimal(0)


class AccountLine(msgspec.Struct, frozen=True, kw_only=True):
    """Since when an account's positions are followed."""

    since: datetime
    """When the first listing was asked for: what was not in it was not held then."""
    forgotten_until: datetime | None = None
    """An execution of this time or before that is not among the seen ones was seen and forgotten."""


class SeenExecution(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that was heard of."""

    con_id: int
    symbol: str
    security_type: str
    exec_id: str
    """Its last correction's."""
    quantity: Decimal
    """Negative where it sold."""
    executed_at: datetime
    counted: bool
    """False where the quantity that was taken over from IBKR holds it already, as it then was."""
    then: Decimal = ZERO
    """What it was then: its first form's quantity. Corrections since come on top."""

    @property
    def on_top(self) -> Decimal:
        """What it adds to the quantity that was taken over."""
        return self.quantity if self.counted else self.quantity - self.then

    @property
    def field(self) -> str:
        """Where it is journalled."""
        return seen_field(self.con_id, self.exec_id)


class PositionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument of an account."""

    con_id: int
    symbol: str
    security_type: str
    quantity: Decimal = ZERO
    """What was taken over from IBKR, and every execution since. Negative for a short position."""
    since: datetime
    """When the listing was asked for from which the quantity was taken over."""
    settled: bool = False
    """Whether it is certain which executions that listing held: a later one has been judged."""
    last_moved_at: datetime | None = None
    """When it was executed last, or a correction was heard of."""
    difference: Decimal = ZERO
    """What IBKR holds beyond the quantity; 0 while no mismatch is told."""
    listed_at: datetime | None = None
    """When the listing had come that shows the difference."""
    told: Decimal = ZERO
    """The difference as it was told last."""
    told_at: datetime | None = None
    """When the mismatch was told first."""

    @property
    def by_ibkr(self) -> Decimal:
        """What IBKR holds: the listing that showed the difference, and every execution since."""
        return self.quantity + self.difference

    @property
    def is_compared(self) -> bool:
        """Whether IBKR's word and the fills must agree."""
        return self.security_type not in NOT_COMPARED

    def rested(self, asked_at: datetime) -> bool:
        """Whether nothing moved so close to a listing that it may or may not be in it."""
        return self.last_moved_at is None or self.last_moved_at < asked_at - GRACE

    def is_over(self, before: datetime) -> bool:
        """Whether nothing is held, and nothing has happened since then."""
        at_rest = self.settled and not (self.quantity or self.difference)
        return at_rest and max(self.since, self.last_moved_at or self.since) < before

    def settling(self, asked_at: datetime) -> PositionLine:
        """The line after a listing was judged that was asked for then."""
        return msgspec.structs.replace(self, settled=self.settled or asked_at - self.since >= 2 * GRACE)

    def only_reduces(self, side: Side, quantity: Decimal) -> bool:
        """Whether an order makes what IBKR holds smaller, and does not turn it over."""
        opposite = Side.SELL if self.by_ibkr > 0 else Side.BUY
        return side is opposite and quantity <= abs(self.by_ibkr)

    def agreeing(self) -> PositionLine:
        """The line once IBKR says the same."""
        return msgspec.structs.replace(self, difference=ZERO, listed_at=None, told=ZERO, told_at=None)

    def disagreeing(self, difference: Decimal, listed_at: datetime, now: datetime) -> PositionLine:
        """The line once a difference counts as a mismatch."""
        told_at = self.told_at or now
        return msgspec.structs.replace(
            self, difference=difference, listed_at=listed_at, told=difference, told_at=told_at
        )

    def mismatch(self, account: str, now: datetime) -> PositionMismatch:
        """The event that says how it stands."""
        return PositionMismatch(
            account=account,
            con_id=self.con_id,
            symbol=self.symbol,
            by_fills=self.quantity,
            by_ibkr=self.by_ibkr,
            agrees=not self.difference,
            at=now,
        )


class PositionChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be journalled and told after something happened to positions."""

    events: tuple[PositionMismatch, ...] = ()
    fields: dict[str, bytes] = {}
    """To be set in the hash."""
    removed: tuple[str, ...] = ()
    """To be removed from it."""
    clear: bool = False
    """The hash is emptied first."""

    def __bool__(self) -> bool:
        return bool(self.events or self.fields or self.removed or self.clear)


NOTHING = PositionChange()


def together(changes: Iterable[PositionChange]) -> PositionChange:
    """Several changes, in the order in which they happened, as one."""
    events: list[PositionMismatch] = []
    fields: dict[str, bytes] = {}
    removed: dict[str, None] = {}
    clear = False
    for one in changes:
        events += one.events
        if one.clear:
            clear = True
            fields.clear()
            removed.clear()
        for name in one.removed:
            fields.pop(name, None)
            removed[name] = None
        for name in one.fields:
            removed.pop(name, None)
        fields.update(one.fields)
    return PositionChange(events=tuple(events), fields=fields, removed=tuple(removed), clear=clear)


def split_exec_id(exec_id: str) -> tuple[str, int]:
    """What all corrections of an execution share, and which of them this is: `…01.02` is the second form of `…01`."""
    stem, _, number = exec_id.rpartition(".")
    return (stem, int(number)) if stem and number.isdecimal() else (exec_id, 0)


def seen_field(con_id: int, exec_id: str) -> str:
    """The field of the hash in which an execution is journalled."""
    return f"{con_id}:{split_exec_id(exec_id)[0]}"


Journalled = AccountLine | PositionLine | SeenExecution

_encoder = msgspec.json.Encoder()


def journalled(*values: Journalled) -> dict[str, bytes]:
    """The fields of the hash that hold these."""
    return {_field(value): _encoder.encode(value) for value in values}


def _field(value: Journalled) -> str:
    match value:
        case AccountLine():
            return ACCOUNT_FIELD
        case PositionLine():
            return str(value.con_id)
        case _:
            return value.field


def from_journal(fields: Mapping[bytes, bytes]) -> list[Journalled]:
    """Everything in the hash. Raises `msgspec.DecodeError` where it holds something else."""
    return [msgspec.json.decode(value, type=_kind(name)) for name, value in fields.items()]


def _kind(name: bytes) -> type[Journalled]:
    if name == ACCOUNT_FIELD.encode():
        return AccountLine
    return SeenExecution if b":" in name else PositionLine
