"""The commands that ask for something: send, follow, and tell what became of it."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Mapping, Sequence
from typing import Required

from ibstream.cli import formats
from ibstream.cli.queries import client
from ibstream.cli.terminal import EXIT_FAILURE, result, say
from ibstream.client import (
    Client,
    GroupUnresolvedError,
    InvalidRequestError,
    NoAnswerError,
    OrderOutcome,
    OrderUnresolvedError,
    RequestRefusedError,
    combo,
    leg,
)
from ibstream.client.groups import BracketDetails
from ibstream.client.orders import OnEvent, OrderEvents
from ibstream.client.requests import OrderChanges, OrderDetails
from ibstream.contracts.base import type_of
from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import (
    FINAL_STATUSES,
    ExternalOrder,
    ModifyOrder,
    OrderEvent,
    OrderStatus,
    OrderStatusChanged,
    RequestRefused,
    SubmitGroup,
    SubmitOrder,
)

GOOD = frozenset({OrderStatus.FILLED, OrderStatus.PARTIALLY_FILLED, OrderStatus.SUBMITTED})
"""Where a command that sent an order is content to leave it."""

Ending = OrderOutcome | OrderStatusChanged
"""Where an order stood when the wait was over."""

START_HINT = "start it with `ibstream up`"


class OrderArguments(OrderDetails):
    """What `Client.order` takes."""

    instrument: Required[str | Instrument]
    side: Required[str]
    quantity: Required[str]


class BracketArguments(BracketDetails):
    """What `Client.bracket` takes."""

    instrument: Required[str | Instrument]
    side: Required[str]
    quantity: Required[str]


def traded(words: Sequence[str], legs: Sequence[str]) -> str | Instrument:
    """What the words name, in capitals; a combo on the first of them where there are legs."""
    named = " ".join(words).upper()
    return combo(named, [_leg(one) for one in legs]) if legs else named


def _leg(text: str) -> ComboLeg:
    side, *words = text.upper().split() or [""]
    if not words:
        raise InvalidRequestError(f"{text!r} is no leg; one is 'SELL AAPL 20261218 250 C', or 'BUY 100 AAPL'")
    ratio = int(words.pop(0)) if len(words) > 1 and words[0].isdecimal() else 1
    return leg(side, " ".join(words), ratio)


async def send_order(request: OrderArguments, *, wait_s: float, as_json: bool) -> int:
    """Send one order and tell its steps; 0 if it is filled, or worked by IBKR when the wait is over, or not waited for."""
    async with client() as ours:
        order = ours.order(**request)
        say(f"order {order.client_order_id}")
        if wait_s:
            ending = await _follow(ours, order, wait_s, silent=as_json)
        else:
            await ours.send(order)
            ending = None
    if as_json:
        result(formats.as_json(_summary(order.client_order_id, ending)))
    return 0 if ending is None or ending.status in GOOD else EXIT_FAILURE


async def tell_what_if(request: OrderArguments, *, wait_s: float, as_json: bool) -> int:
    """Tell what an order would do to margin, and what it would cost."""
    async with client() as ours:
        answer = await ours.what_if(ours.order(**request), deadline_s=wait_s)
    if as_json:
        result(formats.as_json(answer))
    else:
        for line in formats.what_if_lines(answer):
            result(line)
    return 0


async def send_bracket(request: BracketArguments, *, wait_s: float, as_json: bool) -> int:
    """Send an entry with its exits and tell their steps; 0 if no order of them failed, or none was waited for."""
    async with client() as ours:
        group = ours.bracket(**request)
        say(f"group {group.group_id}: {', '.join(order.client_order_id for order in group.orders)}")
        if wait_s:
            endings = await _follow_group(ours, group, wait_s, silent=as_json)
        else:
            await ours.submit_group(group)
            endings = {}
    if as_json:
        orders = [_summary(order.client_order_id, endings.get(order.client_order_id)) for order in group.orders]
        result(formats.as_json({"group_id": group.group_id, "orders": orders}))
    return 0 if not wait_s or _went_well(group, endings) else EXIT_FAILURE


async def change_order(client_order_id: str, changes: OrderChanges, *, wait_s: float) -> int:
    """Change a working order and tell what is heard of it; 0 unless the change is refused, or nobody is there to take it."""
    async with client() as ours, ours.order_events(client_order_id) as events:
        await ours.modify(client_order_id, **changes)
        if not wait_s:
            return 0
        try:
            async with asyncio.timeout(wait_s):
                await _change_told(events, _teller(silent=False))
        except TimeoutError:
            if not await _broker_lives(ours):
                raise NoAnswerError(f"no broker is alive to change {client_order_id}; {START_HINT}") from None
            say(f"not refused within {wait_s:g} s; what becomes of it is in orders:events")
    return 0


async def cancel_order(client_order_id: str, *, wait_s: float) -> int:
    """Cancel an order and tell its steps; 0 if it is cancelled, or not waited for."""
    async with client() as ours:
        if not wait_s:
            await ours.cancel(client_order_id)
            return 0
        outcome = await ours.cancel_and_wait(client_order_id, deadline_s=wait_s, on_event=_teller(silent=False))
    return 0 if outcome.status is OrderStatus.CANCELLED else EXIT_FAILURE


async def cancel_all_orders(*, strategy: str, symbol: str, instrument: str | None, account: str) -> int:
    """Ask to cancel every order that fits."""
    async with client() as ours:
        await ours.cancel_all(strategy=strategy, symbol=symbol, instrument=instrument, account=account)
        await _say_asked(ours, "asked to cancel every order that fits; what becomes of each is in orders:events")
    return 0


async def halt_trading(why: str, *, who: str, cancel_orders: bool) -> int:
    """Ask to halt trading."""
    async with client() as ours:
        await ours.halt(who or _user(), why, cancel_orders=cancel_orders)
        await _say_asked(ours, "halted: no new orders until `ibstream resume`")
    return 0


async def resume_trading(why: str, *, who: str) -> int:
    """Ask to end a halt."""
    async with client() as ours:
        await ours.resume(who or _user(), why)
        await _say_asked(ours, "resumed")
    return 0


async def accept_held(why: str, *, who: str, account: str, con_id: int) -> int:
    """Ask that IBKR's positions are taken for right."""
    async with client() as ours:
        await ours.accept_positions(who or _user(), why, account=account, con_id=con_id)
        await _say_asked(ours, "asked to take IBKR's positions for right")
    return 0


async def settle(client_order_id: str, status: str, why: str, *, who: str, wait_s: float) -> int:
    """Give an order that stays unknown its outcome; 0 once it has it, or where it was not waited for."""
    async with client() as ours, ours.order_events(client_order_id) as events:
        await ours.settle_order(who or _user(), why, client_order_id, status)
        if not wait_s:
            await _say_asked(ours, f"asked to settle {client_order_id}")
            return 0
        try:
            async with asyncio.timeout(wait_s):
                await _ended(events, _teller(silent=False))
        except TimeoutError:
            if not await _broker_lives(ours):
                text = f"no broker is alive to settle {client_order_id}; one does it when it starts; {START_HINT}"
                raise NoAnswerError(text) from None
            say(
                f"not settled within {wait_s:g} s: only an order that is unknown can be; its events tell where it stands"
            )
            return EXIT_FAILURE
    return 0


async def _ended(events: OrderEvents, tell: OnEvent) -> None:
    """Return when the order's outcome is out."""
    async for event in events:
        tell(event)
        if isinstance(event, OrderStatusChanged) and event.final:
            return


async def _follow(ours: Client, order: SubmitOrder, wait_s: float, *, silent: bool) -> Ending:
    try:
        return await ours.send_and_wait(order, deadline_s=wait_s, on_event=_teller(silent=silent))
    except OrderUnresolvedError as error:
        if error.last is None or error.last.status not in GOOD:
            raise
        say(f"still being worked after {wait_s:g} s; its events go on in orders:events")
        return error.last


async def _follow_group(ours: Client, group: SubmitGroup, wait_s: float, *, silent: bool) -> Mapping[str, Ending]:
    tell = _teller(silent=silent, named=True)
    try:
        return await ours.send_group_and_wait(group, deadline_s=wait_s, on_event=tell)
    except GroupUnresolvedError as error:
        last = {name: status for name, status in error.last.items() if status is not None}
        if len(last) < len(error.last) or any(status.status not in GOOD for status in last.values()):
            raise
        say(f"still being worked after {wait_s:g} s; its events go on in orders:events")
        return {**error.outcomes, **last}


async def _change_told(events: OrderEvents, tell: OnEvent) -> None:
    """Return when the order's next status is out; raise `RequestRefusedError` when the change is refused."""
    async for event in events:
        tell(event)
        if isinstance(event, RequestRefused) and event.request == type_of(ModifyOrder):
            raise RequestRefusedError(event)
        if isinstance(event, OrderStatusChanged):
            return


def _went_well(group: SubmitGroup, endings: Mapping[str, Ending]) -> bool:
    """The entry is filled or works, and no exit was rejected: of the exits, one ends the other."""
    entry, *exits = [endings[order.client_order_id].status for order in group.orders]
    return entry in GOOD and OrderStatus.REJECTED not in exits


def _teller(*, silent: bool, named: bool = False) -> OnEvent:
    """Writes each event as a line, with its order's name where there are several."""

    def tell(event: OrderEvent) -> None:
        name = f"{event.client_order_id} " if named and not isinstance(event, ExternalOrder) else ""
        if not silent:
            result(name + formats.event_line(event))

    return tell


def _summary(client_order_id: str, ending: Ending | None) -> dict[str, object]:
    if ending is None:
        return {"client_order_id": client_order_id, "status": None}
    return {
        "client_order_id": client_order_id,
        "status": ending.status,
        "final": ending.status in FINAL_STATUSES,
        "filled": ending.filled,
        "average_price": ending.average_price,
        "reason": ending.reason,
        "text": ending.text,
    }


async def _say_asked(ours: Client, text: str) -> None:
    say(
        text
        if await _broker_lives(ours)
        else f"{text}; no broker is alive, and one does it when it starts; {START_HINT}"
    )


async def _broker_lives(ours: Client) -> bool:
    return any(beat.service == "broker" for beat in await ours.heartbeats())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a list of users
        return "operator"
