"""The arithmetic of a position: what an execution makes of it, and what a first listing held already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import Side
from ibstream_broker.domain.inputs import Executed, PositionReported
from ibstream_broker.domain.position_lines import GRACE, ZERO, PositionLine, SeenExecution

WAYS_MAX = 1000
"""Quantities that a baseline may have led to, by which of the executions around it were in it."""


def signed(executed: Executed) -> Decimal:
    """By how much an execution moves a position; negative where it sells."""
    return executed.quantity if executed.side is Side.BUY else -executed.quantity


def as_seen(
    executed: Executed, before: SeenExecution | None, now: datetime, is_new: Callable[[int, datetime], bool]
) -> SeenExecution:
    """An execution to be remembered; as a correction it keeps what is known of the one before.

    `is_new` says of a contract id and a time whether such an execution comes on top of what is held.
    """
    executed_at = min(executed.executed_at, now)
    quantity = signed(executed)
    return SeenExecution(
        con_id=executed.con_id,
        symbol=executed.symbol,
        security_type=executed.security_type,
        exec_id=executed.exec_id,
        quantity=quantity,
        executed_at=before.executed_at if before else executed_at,
        counted=before.counted if before else is_new(executed.con_id, executed_at),
        then=before.then if before else quantity,
    )


def after_execution(line: PositionLine, moved: Decimal, executed_at: datetime, moved_at: datetime) -> PositionLine:
    """The line once an execution, or a correction of one (heard of at `moved_at`), has moved the quantity by so much.

    One that is older than the listing which showed a difference explains so much of it. One of the time at which the quantity
    was taken over makes uncertain again what that held.
    """
    if abs(executed_at - line.since) <= GRACE:
        line = msgspec.structs.replace(line, settled=False)
    latest = moved_at if line.last_moved_at is None else max(moved_at, line.last_moved_at)
    line = msgspec.structs.replace(line, quantity=line.quantity + moved, last_moved_at=latest)
    if line.listed_at is None or executed_at > line.listed_at:
        return line
    left = line.difference - moved
    return msgspec.structs.replace(line, difference=left) if left else line.agreeing()


def told_apart(close: Sequence[SeenExecution], quantity: Decimal, by_ibkr: Decimal) -> list[SeenExecution] | None:
    """The executions around the time of the baseline, told apart anew into those it holds and those after it, so that the
    quantity is what IBKR says; None where no way of telling them apart does that.

    By their times alone this cannot be told: IBKR's clock is not ours, and it stamps whole seconds.
    """
    rest = quantity - sum((one.on_top for one in close), ZERO)
    ways: dict[Decimal, list[SeenExecution]] = {rest: []}
    for one in close:
        forms = [
            msgspec.structs.replace(one, counted=True),
            msgspec.structs.replace(one, counted=False, then=one.quantity),
            msgspec.structs.replace(one, counted=False),
        ]
        ways = {total + form.on_top: [*chosen, form] for form in forms for total, chosen in ways.items()}
        if len(ways) > WAYS_MAX:
            return None
    return ways.get(by_ibkr)


def as_held(seen: Sequence[SeenExecution], since: datetime) -> list[SeenExecution]:
    """Executions as a quantity that is taken over from a listing of that time holds them, or does not."""
    return [msgspec.structs.replace(one, counted=one.executed_at > since, then=one.quantity) for one in seen]


def taken_over(held: PositionReported, at: datetime) -> PositionLine:
    """The line of an instrument that the account's first listing, asked for then, shows."""
    return PositionLine(
        con_id=held.con_id,
        symbol=held.symbol,
        security_type=held.security_type,
        quantity=held.quantity,
        since=at,
    )


def with_later(line: PositionLine, seen: Sequence[SeenExecution]) -> PositionLine:
    """A line taken over, with the executions heard of so far that came after it on top."""
    quantity = line.quantity + sum((one.on_top for one in seen), ZERO)
    return msgspec.structs.replace(line, quantity=quantity, last_moved_at=max(one.executed_at for one in seen))
