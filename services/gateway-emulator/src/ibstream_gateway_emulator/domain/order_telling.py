"""What clients are told of an order: from the engine's events to messages, in the order in which Gateways send them.

Recorded from a live paper Gateway, each orderStatus preceded by an openOrder:

    market order    PreSubmitted, execDetails, Filled, commissionReport
    resting         PreSubmitted, Submitted; a GTC limit order Submitted alone
    trailing stop   PreSubmitted (whyHeld `trigger`), Submitted, execDetails, Filled, commissionReport
    cancelled       orderStatus Cancelled, error 202; no openOrder

Where recordings differ, `EmulatorSettings` decides. Not recorded, and so after IBKR's documentation and what users have seen:
children wait as PreSubmitted with whyHeld `child`, or `child,trigger`; of an order that was not transmitted nothing is told.
A cancel of an order that has ended is answered with 10148. What an execution earned anew, because an earlier one was corrected,
is told to whoever asks for executions, and to nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ibstream.simulation.orders import (
    Accepted,
    Cancelled,
    CancelReason,
    Corrected,
    Event,
    Filled,
    Held,
    HoldReason,
    LegFilled,
    OrderType,
    Rebooked,
    Reduced,
    Refused,
    Replaced,
    TimeInForce,
    Working,
)
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.order_record import (
    API_CANCELLED,
    CANCELLED,
    PENDING_SUBMIT,
    PRE_SUBMITTED,
    SUBMITTED,
    Execution,
    OrderRecord,
    commission_report,
    local_time,
)
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.settings import EmulatorSettings

_BY_TRADER = "Cancelled by Trader"
_BY_SYSTEM = "Cancelled by System:"
_WAITING_FOR_A_PRICE = frozenset(
    {
        OrderType.STOP,
        OrderType.STOP_LIMIT,
        OrderType.TRAIL,
        OrderType.TRAIL_LIMIT,
        OrderType.MARKET_IF_TOUCHED,
        OrderType.LIMIT_IF_TOUCHED,
    }
)

Messages = Iterator[Message]


def tell(record: OrderRecord, events: Sequence[Event], settings: EmulatorSettings) -> Messages:
    """The messages about `events` that befell one order one after the other; the record moves along."""
    for place in range(len(events)):
        yield from _about(record, events, place, settings)


def _about(record: OrderRecord, events: Sequence[Event], place: int, settings: EmulatorSettings) -> Messages:
    following = events[place + 1 :]
    match event := events[place]:
        case Accepted():
            record.to_tell = _states_of(record, following, settings)
            yield from _acknowledge(record, following)
        case Held():
            yield from _hold(record, event, is_answer=place > 0)
        case Working():
            yield from _work(record)
        case Replaced():
            yield from _replace(record, following, settings)
        case Reduced():
            record.remaining = event.remaining
            yield from _standing(record)
        case Filled():
            yield from _fill(record, event, following, settings)
        case Corrected():
            yield from _correct(record, event, settings)
        case Rebooked():
            record.rebook(event)
        case Cancelled() | Refused():
            yield from _cancel(record, event, settings)


def _standing(record: OrderRecord) -> Messages:
    yield record.open_order()
    yield record.order_status()


def _states_of(record: OrderRecord, following: Sequence[Event], settings: EmulatorSettings) -> tuple[str, ...]:
    """The states an order goes through until it works. Sources and counter-examples: `EmulatorSettings.acknowledge_as`."""
    if settings.acknowledge_as is not None:
        return settings.acknowledge_as
    fills_at_once = bool(following) and isinstance(following[0], Filled)
    is_usual = record.placed.order_type != OrderType.LIMIT or record.placed.tif != TimeInForce.GTC
    return (PRE_SUBMITTED, SUBMITTED) if is_usual or fills_at_once else (SUBMITTED,)


def _acknowledge(record: OrderRecord, following: Sequence[Event]) -> Messages:
    """The first state; of an order that is held, the hold tells it, with its reason."""
    if following and isinstance(following[0], Held):
        return
    first, *rest = record.to_tell or (PRE_SUBMITTED,)
    record.status, record.to_tell = first, tuple(rest)
    yield from _standing(record)


def _hold(record: OrderRecord, event: Held, *, is_answer: bool) -> Messages:
    """An order that waits; the client is warned of closed hours when it places or changes the order, not every evening."""
    if event.reason is HoldReason.UNTRANSMITTED:
        return
    warns = event.reason is HoldReason.SESSION and (is_answer or record.status == PENDING_SUBMIT)
    record.status, record.to_tell = PRE_SUBMITTED, (SUBMITTED,)
    record.why_held = _why_held(record, event.reason)
    yield from _standing(record)
    if warns and event.until_ns is not None:
        yield codes.not_before(_in_words(record), _with_dashes(event.until_ns)).about(record.order_id)


def _why_held(record: OrderRecord, reason: HoldReason) -> str:
    if reason is HoldReason.PARENT:
        return "child,trigger" if record.placed.order_type in _WAITING_FOR_A_PRICE else "child"
    return "trigger" if reason is HoldReason.TRIGGER else ""


def _work(record: OrderRecord) -> Messages:
    record.why_held = ""
    for status in record.to_tell:
        record.status = status
        yield from _standing(record)
    record.to_tell = ()


def _replace(record: OrderRecord, following: Sequence[Event], settings: EmulatorSettings) -> Messages:
    """A change is told by where the order stands then: held, working, or about to fill."""
    if record.status == PENDING_SUBMIT:
        record.to_tell = _states_of(record, following, settings)
        yield from _acknowledge(record, following)
        return
    record.to_tell = (SUBMITTED,)
    if not (following and isinstance(following[0], Held | Working)):
        yield from _work(record)


def _fill(record: OrderRecord, event: Filled, following: Sequence[Event], settings: EmulatorSettings) -> Messages:
    """The execution, those of a combination's legs, where the order stands now, and what it all cost."""
    if record.status == PENDING_SUBMIT:
        yield from _acknowledge(record, ())
    record.to_tell = ()
    record.book_fill(event)
    fresh = [record.executions[-1]]
    for leg in _legs(following):
        record.book_leg(leg)
        fresh.append(record.executions[-1])
    for execution in fresh:
        yield record.exec_details(execution)
    if settings.open_order_with_fill:
        yield record.open_order()
    yield record.order_status()
    yield from _costs(fresh, settings)


def _legs(following: Sequence[Event]) -> Iterator[LegFilled]:
    for event in following:
        if not isinstance(event, LegFilled):
            return
        yield event


def _costs(executions: Sequence[Execution], settings: EmulatorSettings) -> Messages:
    if settings.tell_commission:
        yield from (commission_report(one) for one in executions if not one.is_combination)


def _correct(record: OrderRecord, event: Corrected, settings: EmulatorSettings) -> Messages:
    corrected = record.book_correction(event)
    yield record.exec_details(corrected)
    if record.is_live and not record.remaining:
        record.end_filled(event.time_ns)
        yield from _standing(record)
    yield from _costs([corrected], settings)


def _cancel(record: OrderRecord, event: Cancelled | Refused, settings: EmulatorSettings) -> Messages:
    if isinstance(event, Refused):
        yield codes.order_finished(record.order_id, record.status).about(record.order_id)
        return
    was_sent = record.status != PENDING_SUBMIT
    by_trader = event.reason is CancelReason.REQUESTED
    # The line break belongs to it, as recorded in completed_orders_cancelled_system_live.
    explanation = _BY_TRADER if by_trader else f"{_BY_SYSTEM}{event.text}\n"
    record.remaining = event.remaining
    record.end(CANCELLED if was_sent else API_CANCELLED, event.time_ns, explanation)
    yield record.order_status()
    if settings.tell_cancel_202:
        yield codes.order_cancelled(event.text).about(record.order_id)


def _with_dashes(time_ns: int) -> str:
    """`2026-11-24 09:30:00 US/Eastern`, as this warning alone writes a time."""
    text = local_time(time_ns)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def _in_words(record: OrderRecord) -> str:
    """`BUY 1 AAPL NASDAQ.NMS`."""
    contract = record.contract
    return f"{record.placed.action} {record.quantity:f} {contract.symbol} {contract.venue}"
