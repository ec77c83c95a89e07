"""A step of an order: its record after, and the numbered events that tell of it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime

import msgspec

from ibstream.contracts.orders import FINAL_STATUSES, OrderEvent, OrderStatus, OrderStatusChanged, Reason, RiskCheck
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.states import ImpossibleMove, Trigger, advance

Step = tuple[OrderRecord, tuple[OrderEvent, ...]]
"""The record after, and what to publish. An unchanged record means that there is nothing to do."""

TEXT_CHARACTERS_MAX = 4096
"""As long as a text on the bus may be; IBKR's own are cut to it."""

ADVICE_TOLD_MAX = 8
"""Different pieces of advice remembered per order; what was told before these is told again."""


def published(record: OrderRecord, events: Sequence[OrderEvent]) -> Step:
    """Number the events and count the revision."""
    numbered = tuple(
        event if not hasattr(event, "seq") else msgspec.structs.replace(event, seq=record.seq + number)
        for number, event in enumerate(events, start=1)
    )
    return msgspec.structs.replace(record, revision=record.revision + 1, seq=record.seq + len(events)), numbered


def folded(start: OrderRecord, record: OrderRecord) -> OrderRecord:
    """What several steps from `start` came to, as one revision; `start` itself where nothing was changed."""
    if record.revision == start.revision:
        return start
    return msgspec.structs.replace(record, revision=start.revision + 1)


def silently(before: OrderRecord, after: OrderRecord) -> Step:
    """A change of which nobody is told; no step at all where there is none."""
    return (before, ()) if after == before else published(after, [])


def moved(
    record: OrderRecord,
    status: OrderStatus,
    now: datetime,
    *,
    reason: Reason = Reason.NONE,
    text: str = "",
    code: int = 0,
) -> Step:
    """Give the record a status, and the event that says so. Raises `ImpossibleMove` where it has an outcome."""
    if record.is_final:
        raise ImpossibleMove(f"{record.client_order_id} is {record.status}, which is final: it cannot become {status}")
    changed = msgspec.structs.replace(
        record,
        status=status,
        reason=reason,
        text=text,
        code=code,
        worked=record.has_worked or status in (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED),
        missing_since=None if status is not OrderStatus.UNKNOWN else record.missing_since,
        unknown_since=None if status is not OrderStatus.UNKNOWN else record.unknown_since or now,
        wanted=None if status in FINAL_STATUSES else record.wanted,
    )
    return published(changed, [status_event(changed, now)])


def moved_by(
    before: OrderRecord,
    known: OrderRecord,
    trigger: Trigger,
    now: datetime,
    *,
    reason: Reason = Reason.NONE,
    text: str = "",
    code: int = 0,
) -> Step:
    """Let a trigger move the record; where it leads back to the same state, only what else is `known` is kept."""
    status = advance(known.status, trigger)
    if status is known.status and (known.text, known.code) == (text, code):
        return silently(before, known)
    return moved(known, status, now, reason=reason, text=text, code=code)


def advised(before: OrderRecord, known: OrderRecord, now: datetime, text: str, code: int = 0) -> Step:
    """Tell people a text of IBKR's about an order that stands as it stood; each once."""
    mark = zlib.crc32(f"{code} {text}".encode())
    if not text or mark in known.advice_told:
        return silently(before, known)
    return moved(_noted(known, mark), known.status, now, reason=known.reason, text=text, code=code)


def alive(before: OrderRecord, known: OrderRecord, now: datetime, text: str = "") -> Step:
    """IBKR works the order. Never a step back from a pending cancel, which can still lose its race."""
    works = msgspec.structs.replace(known, worked=True, refused=False)
    status = advance(works.status, Trigger.WORKS_IN_PART if works.filled > 0 else Trigger.WORKS)
    if status is works.status:
        return advised(before, works, now, text)
    return moved(_noted(works, zlib.crc32(f"0 {text}".encode())) if text else works, status, now, text=text)


def ended(before: OrderRecord, known: OrderRecord, now: datetime, *, text: str = "", code: int = 0) -> Step:
    """At an end without having filled whole, once the ledger holds all that a status counted as filled."""
    if known.reported_cancelled and not text:
        text, code = known.text, known.code
    if known.filled < known.reported_filled:
        return silently(before, msgspec.structs.replace(known, reported_cancelled=True, text=text, code=code))
    reason = Reason.CANCEL_REQUESTED if known.cancel_requested else Reason.CANCELLED_BY_IBKR
    return moved(known, advance(known.status, Trigger.ENDED), now, reason=reason, text=text, code=code)


def status_event(record: OrderRecord, now: datetime, risk: tuple[RiskCheck, ...] = ()) -> OrderStatusChanged:
    """The event that tells where the order stands; numbered by `published`."""
    request = record.request
    return OrderStatusChanged(
        client_order_id=record.client_order_id,
        seq=0,
        status=record.status,
        final=record.is_final,
        reason=record.reason,
        text=record.text[:TEXT_CHARACTERS_MAX],
        code=record.code,
        strategy=request.strategy,
        symbol=request.instrument.symbol,
        side=record.side,
        quantity=request.quantity,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        trailing_amount=request.trailing_amount,
        trailing_percent=request.trailing_percent,
        time_in_force=request.time_in_force,
        filled=record.filled,
        average_price=record.average_price,
        account=record.account,
        order_id=record.order_id,
        perm_id=record.perm_id,
        group_id=record.link.group_id if record.link is not None else "",
        risk=risk,
        at=now,
    )


def _noted(record: OrderRecord, mark: int) -> OrderRecord:
    told = (*record.advice_told, mark)[-ADVICE_TOLD_MAX:]
    return msgspec.structs.replace(record, advice_told=told)
