"""What the broker answers to groups, what-ifs and cancels, and what operators ask, through the SDK over a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TypeVar

import pytest
from support import run

from ibstream.bus import Bus, Publisher, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.client import (
    Client,
    GroupUnresolvedError,
    InvalidRequestError,
    NoAnswerError,
    OrderUnresolvedError,
    RequestRefusedError,
)
from ibstream.client.orders import Stories
from ibstream.contracts.base import Message
from ibstream.contracts.orders import (
    CancelOrder,
    ExternalOrder,
    OrderEvent,
    OrderStatus,
    OrderStatusChanged,
    Reason,
    RequestRefused,
    Side,
    SubmitGroup,
    WhatIf,
    WhatIfAnswered,
)
from ibstream.contracts.registry import ORDER_EVENTS, ORDER_REQUESTS, SYSTEM_CONTROL
from ibstream.contracts.system import AcceptPositions, Halt, Resume, SettleOrder
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.settings import Settings

T = TypeVar("T")
NOW = SYSTEM_CLOCK.now()
EXTERNAL = ExternalOrder(
    perm_id=7, symbol="TSLA", side=Side.SELL, quantity=Decimal(1), status="Submitted", at=SYSTEM_CLOCK.now()
)


def status(client_order_id: str, status: OrderStatus, *, final: bool = False) -> OrderStatusChanged:
    return OrderStatusChanged(client_order_id=client_order_id, seq=1, status=status, final=final, at=NOW)


def refused(
    client_order_id: str, request: str, reason: Reason, status: OrderStatus | None = None, code: int = 0
) -> RequestRefused:
    return RequestRefused(
        client_order_id=client_order_id, request=request, reason=reason, status=status, code=code, text="why", at=NOW
    )


def against(
    url: str, answer: Callable[[Message], list[OrderEvent]], ask: Callable[[Client], Awaitable[T]]
) -> tuple[T, Message]:
    """Ask while somebody answers the first request with events; returns the result and the request."""

    async def broker(bus: Bus) -> Message:
        async with StreamReader(bus, {ORDER_REQUESTS: BEGINNING}) as reader:
            while not (entries := await reader.read()):
                pass
        for event in answer(entries[0].message):
            await Publisher(bus).publish(ORDER_EVENTS, event)
        return entries[0].message

    async def play() -> tuple[T, Message]:
        async with Bus(url, client_name="test") as bus, Client(url, settings=Settings()) as client:
            answering = asyncio.create_task(broker(bus))
            try:
                result = await ask(client)
                return result, await answering
            finally:
                answering.cancel()

    return run(play(), timeout_s=20)


def test_each_order_of_a_group_has_its_outcome(redis_url: str) -> None:
    """By its id, in the order in which they were asked for, whatever came first; events of others are not heard."""
    heard: list[OrderEvent] = []

    def answer(request: Message) -> list[OrderEvent]:
        assert isinstance(request, SubmitGroup)
        entry, profit, stop = (order.client_order_id for order in request.orders)
        return [
            EXTERNAL,
            status("somebody-elses", OrderStatus.FILLED, final=True),
            status(stop, OrderStatus.CANCELLED, final=True),
            status(entry, OrderStatus.SUBMITTED),
            status(profit, OrderStatus.FILLED, final=True),
            status(entry, OrderStatus.FILLED, final=True),
        ]

    async def ask(client: Client) -> dict[str, OrderStatus]:
        group = client.bracket("AAPL", "BUY", 10, take_profit=300, stop_loss=200, group_id="g")
        outcomes = await client.send_group_and_wait(group, deadline_s=10, on_event=heard.append)
        return {name: outcome.status for name, outcome in outcomes.items()}

    outcomes, _ = against(redis_url, answer, ask)
    assert list(outcomes.items()) == [
        ("g:entry", OrderStatus.FILLED),
        ("g:profit", OrderStatus.FILLED),
        ("g:stop", OrderStatus.CANCELLED),
    ]
    assert len(heard) == 4


def test_a_group_without_its_end_says_where_each_order_stands(redis_url: str) -> None:
    """At the deadline the error has the outcomes so far, and the latest word on the others: they may be working."""

    def answer(_: Message) -> list[OrderEvent]:
        return [status("g:entry", OrderStatus.FILLED, final=True), status("g:profit", OrderStatus.SUBMITTED)]

    async def ask(client: Client) -> object:
        group = client.bracket("AAPL", "BUY", 10, take_profit=300, stop_loss=200, group_id="g")
        return await client.send_group_and_wait(group, deadline_s=1)

    with pytest.raises(GroupUnresolvedError, match="g:profit submitted, g:stop not answered") as caught:
        against(redis_url, answer, ask)
    assert [outcome.status for outcome in caught.value.outcomes.values()] == [OrderStatus.FILLED]
    assert list(caught.value.last) == ["g:profit", "g:stop"]


def test_a_repeated_group_that_ended_ends_the_wait() -> None:
    """The broker refuses the repetition order by order and names the outcome that each had."""
    stories = Stories(["a", "b"])
    assert not stories.tell(refused("a", "orders.submit_group.v1", Reason.DUPLICATE, OrderStatus.FILLED))
    assert not stories.tell(refused("b", "orders.submit_group.v1", Reason.DUPLICATE, OrderStatus.SUBMITTED))
    assert stories.tell(status("b", OrderStatus.CANCELLED, final=True))
    assert [outcome.status for outcome in stories.outcomes.values()] == [OrderStatus.FILLED, OrderStatus.CANCELLED]


def test_a_refused_cancel_ends_no_story() -> None:
    """Somebody else's late cancel says that the order is final, and not with how much filled: its own event does."""
    stories = Stories(["a"])
    assert not stories.tell(refused("a", "orders.cancel.v1", Reason.ORDER_IS_FINAL, OrderStatus.FILLED))
    assert not stories.tell(EXTERNAL)
    assert stories.tell(status("a", OrderStatus.FILLED, final=True))


def test_a_what_if_is_answered(redis_url: str) -> None:
    """With the order as it would be submitted; statuses of an order of that id are no answer."""

    def answer(request: Message) -> list[OrderEvent]:
        assert isinstance(request, WhatIf)
        answered = WhatIfAnswered(client_order_id="mine", commission=Decimal(1), commission_currency="USD", at=NOW)
        return [status("mine", OrderStatus.SUBMITTED), answered]

    async def ask(client: Client) -> WhatIfAnswered:
        return await client.what_if(client.order("AAPL", "BUY", 10, client_order_id="mine"), deadline_s=10)

    answered, request = against(redis_url, answer, ask)
    assert answered.commission == 1
    assert isinstance(request, WhatIf)
    assert (request.order.client_order_id, request.order.instrument.symbol) == ("mine", "AAPL")


def test_a_refused_what_if_raises_with_its_reason(redis_url: str) -> None:
    """For machines the reason and IBKR's code, for people the text; refusals of other requests are not its own."""

    def answer(_: Message) -> list[OrderEvent]:
        return [
            refused("mine", "orders.cancel.v1", Reason.UNKNOWN_ORDER),
            refused("mine", "orders.what_if.v1", Reason.READ_ONLY_API, code=321),
        ]

    async def ask(client: Client) -> object:
        return await client.what_if(client.order("AAPL", "BUY", 10, client_order_id="mine"), deadline_s=10)

    with pytest.raises(RequestRefusedError, match=r"read_only_api\): why \[321\]") as caught:
        against(redis_url, answer, ask)
    assert (caught.value.reason, caught.value.code) == (Reason.READ_ONLY_API, 321)


def test_a_what_if_nobody_answers(redis_url: str) -> None:
    """The error asks what to look at."""

    async def ask(client: Client) -> object:
        return await client.what_if(client.order("AAPL", "BUY", 10), deadline_s=0.5)

    with pytest.raises(NoAnswerError, match="is the broker running"):
        against(redis_url, lambda _: [], ask)


def test_a_cancel_waits_for_the_outcome(redis_url: str) -> None:
    """Which may be that the order filled first; a pending cancel is not the end."""

    def answer(request: Message) -> list[OrderEvent]:
        assert isinstance(request, CancelOrder)
        return [status("mine", OrderStatus.PENDING_CANCEL), status("mine", OrderStatus.FILLED, final=True)]

    outcome, _ = against(redis_url, answer, lambda client: client.cancel_and_wait("mine", deadline_s=10))
    assert outcome.status is OrderStatus.FILLED


def test_a_cancel_that_cannot_be_raises(redis_url: str) -> None:
    """An order that nobody asked for, or one that ended before: the refusal says so."""
    late = refused("mine", "orders.cancel.v1", Reason.ORDER_IS_FINAL, OrderStatus.FILLED)
    with pytest.raises(RequestRefusedError) as caught:
        against(redis_url, lambda _: [late], lambda client: client.cancel_and_wait("mine", deadline_s=10))
    assert (caught.value.reason, caught.value.refused.status) == (Reason.ORDER_IS_FINAL, OrderStatus.FILLED)


def test_a_cancel_without_an_outcome_says_where_the_order_stands(redis_url: str) -> None:
    """Outside the exchange's hours it may take until they begin."""
    pending = status("mine", OrderStatus.PENDING_CANCEL)
    with pytest.raises(OrderUnresolvedError, match="pending_cancel"):
        against(redis_url, lambda _: [pending], lambda client: client.cancel_and_wait("mine", deadline_s=1))


def test_events_of_some_orders_or_of_all(redis_url: str) -> None:
    """Orders that are not ours have no id and are told where all are asked for."""

    async def play() -> None:
        async with (
            Bus(redis_url, client_name="test") as bus,
            Client(redis_url, settings=Settings()) as client,
            client.order_events("a", "b") as some,
            client.order_events() as every,
        ):
            for event in (EXTERNAL, status("c", OrderStatus.FILLED), status("b", OrderStatus.FILLED)):
                await Publisher(bus).publish(ORDER_EVENTS, event)
            assert await anext(some) == status("b", OrderStatus.FILLED)
            assert await anext(every) == EXTERNAL

    run(play())


def test_what_operators_ask_is_written_as_they_say_it(redis_url: str) -> None:
    """Halt with or without cancels, resume, accept: who and why stand on each."""

    async def play() -> list[Message]:
        async with Client(redis_url, settings=Settings()) as client:
            await client.halt("ops", "news")
            await client.halt("ops", "outage", cancel_orders=True)
            await client.resume("ops", "over")
            await client.accept_positions("ops", "transferred in", account="DU1", con_id=265598)
            await client.settle_order("ops", "by the statement", "a-1", OrderStatus.FILLED)
            with pytest.raises(InvalidRequestError, match="why"):
                await client.halt("ops", "x" * 5000)
            for name, status in (("a-1", "submitted"), ("a-1", "nonsense"), ("no id", "filled")):
                with pytest.raises(InvalidRequestError):
                    await client.settle_order("ops", "why", name, status)
        async with Bus(redis_url, client_name="test") as bus, StreamReader(bus, {SYSTEM_CONTROL: BEGINNING}) as reader:
            return [entry.message for entry in await reader.read()]

    halt, hard, resume, accept, settle = run(play())
    assert isinstance(halt, Halt)
    assert (halt.who, halt.why, halt.cancel_orders) == ("ops", "news", False)
    assert isinstance(hard, Halt)
    assert hard.cancel_orders
    assert isinstance(resume, Resume)
    assert resume.why == "over"
    assert isinstance(accept, AcceptPositions)
    assert (accept.account, accept.con_id, accept.why) == ("DU1", 265598, "transferred in")
    assert isinstance(settle, SettleOrder)
    assert (settle.client_order_id, settle.status, settle.why) == ("a-1", "filled", "by the statement")
