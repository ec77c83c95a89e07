"""The arithmetic of a position: what an execution makes of it, and what a first listing held already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import Side
from ibstream_broker.domain.inputs import Executed, PositionReported
from ibstream_broker.domain.position_lines import GRACE, ZERO, PositionLine, SeenExecution


def as_seen(
    executed: Executed, before: SeenExecution | None, now: datetime, is_new: Callable[[int, datetime], bool]
) -> SeenExecution:
    """An execution to be remembered; as a correction it keeps what is known of the one before.

    `is_new` says of a contract id and a time whether such an execution comes on top of what is held.
    """
    executed_at = min(executed.executed_at, now)
    return SeenExecution(
        con_id=executed.con_id,
        symbol=executed.symbol,
        security_type=executed.security_type,
        exec_id=executed.exec_id,
        quantity=executed.quantity if executed.side is Side.BUY else -executed.quantity,
        executed_at=before.executed_at if before else executed_at,
        counted=before.counted if before else is_new(executed.con_id, executed_at),
    )


def after_execution(line: PositionLine, moved: Decimal, executed_at: datetime, moved_at: datetime) -> PositionLine:
    """The line once an execution, or a correction of one (heard of at `moved_at`), has moved the quantity by so much.

    One that is older than the listing which showed a difference explains so much of it.
    """
    latest = moved_at if line.last_moved_at is None else max(moved_at, line.last_moved_at)
    line = msgspec.structs.replace(line, quantity=line.quantity + moved, last_moved_at=latest)
    if line.listed_at is None or executed_at > line.listed_at:
        return line
    left = line.difference - moved
    return msgspec.structs.replace(line, difference=left) if left else line.agreeing()


def told_apart(seen: Sequence[SeenExecution], line: PositionLine, by_ibkr: Decimal) -> list[SeenExecution] | None:
    """The executions around the time of the baseline, told apart anew into those it holds and those after it, so that the
    quantity is what IBKR says; None where no way of telling them apart does that.

    By their times alone this cannot be told: IBKR's clock is not ours, and it stamps whole seconds.
    """
    close = sorted((one for one in seen if abs(one.executed_at - line.since) <= GRACE), key=lambda one: one.executed_at)
    rest = line.quantity - sum((one.quantity for one in close if one.counted), ZERO)
    for held in range(len(close) + 1):
        if rest + sum((one.quantity for one in close[held:]), ZERO) == by_ibkr:
            return [msgspec.structs.replace(one, counted=at >= held) for at, one in enumerate(close)]
    return None


def taken_over(held: PositionReported, at: datetime) -> PositionLine:
    """The line of an instrument that the account's first listing, asked for then, shows."""
    return PositionLine(
        con_id=held.con_id,
        symbol=held.symbol,
        security_type=held.security_type,
        quantity=held.quantity,
        since=at,
    )


def with_later(line: PositionLine, seen: Sequence[SeenExecution]) -> tuple[PositionLine, list[SeenExecution]]:
    """A line taken over, with those of the executions heard of so far on top that came after it, and these, now counted."""
    moved_at = [one.executed_at for one in seen]
    later = [msgspec.structs.replace(one, counted=True) for one in seen if one.executed_at > line.since]
    quantity = line.quantity + sum((one.quantity for one in later), ZERO)
    return msgspec.structs.replace(line, quantity=quantity, last_moved_at=max(moved_at, default=None)), later
