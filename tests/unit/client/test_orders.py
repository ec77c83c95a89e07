"""Orders through the SDK over a real Redis: what is written, what is refused before, and how an outcome is found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest
from redis_for_tests import KillableServer
from support import run

from ibstream.bus import Bus, BusUnavailable, Publisher, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.client import (
    Client,
    InvalidRequestError,
    OrderOutcome,
    OrderUnconfirmedError,
    OrderUnresolvedError,
    option,
)
from ibstream.contracts.orders import (
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    OrderEvent,
    OrderFilled,
    OrderStatus,
    OrderStatusChanged,
    OrderType,
    Reason,
    RequestRefused,
    Side,
    SubmitOrder,
    TimeInForce,
)
from ibstream.contracts.registry import ORDER_EVENTS, ORDER_REQUESTS
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.settings import Settings

Answer = Callable[[SubmitOrder], list[OrderEvent]]


def status(order_id: str, status: OrderStatus, seq: int = 1, filled: int = 0, **more: object) -> OrderStatusChanged:
    return OrderStatusChanged(
        client_order_id=order_id,
        seq=seq,
        status=status,
        final=status in (OrderStatus.FILLED, OrderStatus.REJECTED),
        filled=Decimal(filled),
        at=SYSTEM_CLOCK.now(),
        **more,  # type: ignore[arg-type]
    )


def filled(order: SubmitOrder) -> list[OrderEvent]:
    """The story of a market order, among events of others."""
    fill = OrderFilled(
        client_order_id=order.client_order_id,
        seq=2,
        exec_id="e1",
        symbol="AAPL",
        side=Side.BUY,
        quantity=Decimal(10),
        price=Decimal("1.5"),
        cumulative_quantity=Decimal(10),
        account="DU1",
        executed_at=SYSTEM_CLOCK.now(),
        at=SYSTEM_CLOCK.now(),
    )
    return [
        status("somebody-elses", OrderStatus.REJECTED),
        status(order.client_order_id, OrderStatus.SUBMITTED),
        fill,
        status(order.client_order_id, OrderStatus.FILLED, 3, 10, average_price=Decimal("1.5")),
    ]


async def broker(bus: Bus, answer: Answer) -> None:
    """Answers one order."""
    async with StreamReader(bus, {ORDER_REQUESTS: BEGINNING}) as reader:
        while not (entries := await reader.read()):
            pass
        request = entries[0].message
        assert isinstance(request, SubmitOrder)
        for event in answer(request):
            await Publisher(bus).publish(ORDER_EVENTS, event)


def against(url: str, answer: Answer, ask: Callable[[Client], Awaitable[OrderOutcome]]) -> OrderOutcome:
    async def play() -> OrderOutcome:
        async with Bus(url, client_name="test") as bus, Client(url, settings=Settings()) as client:
            answering = asyncio.create_task(broker(bus, answer))
            try:
                return await ask(client)
            finally:
                answering.cancel()

    return run(play(), timeout_s=20)


def test_the_outcome_is_the_orders_own(redis_url: str) -> None:
    """The final status with its fills and price; events of other orders are not part of the story."""
    outcome = against(redis_url, filled, lambda client: client.submit_and_wait("AAPL", "BUY", 10, deadline_s=10))
    assert (outcome.status, outcome.filled, outcome.average_price) == (OrderStatus.FILLED, Decimal(10), Decimal("1.5"))
    assert [event.seq for event in outcome.events if isinstance(event, OrderStatusChanged | OrderFilled)] == [1, 2, 3]


def test_events_are_told_as_they_come(redis_url: str) -> None:
    """`on_event` hears every event of the order, the last one included."""
    heard: list[OrderEvent] = []

    async def ask(client: Client) -> OrderOutcome:
        return await client.send_and_wait(client.order("AAPL", "BUY", 10), deadline_s=10, on_event=heard.append)

    outcome = against(redis_url, filled, ask)
    assert tuple(heard) == outcome.events


def test_an_order_without_an_outcome_says_where_it_stands(redis_url: str) -> None:
    """At the deadline the error carries the latest status: the order may be working, and nobody may take it for dead."""
    with pytest.raises(OrderUnresolvedError, match="submitted") as caught:
        against(
            redis_url,
            lambda order: [status(order.client_order_id, OrderStatus.SUBMITTED)],
            lambda client: client.submit_and_wait("AAPL", "BUY", 10, deadline_s=1),
        )
    assert caught.value.last is not None


def test_a_repeated_submit_of_an_ended_order_ends_the_wait(redis_url: str) -> None:
    """The broker refuses the repetition and names the outcome that the order had; waiting on would be in vain."""

    def refuse(order: SubmitOrder) -> list[OrderEvent]:
        refused = RequestRefused(
            client_order_id=order.client_order_id,
            request="orders.submit.v1",
            reason=Reason.DUPLICATE,
            status=OrderStatus.CANCELLED,
            at=SYSTEM_CLOCK.now(),
        )
        return [refused]

    outcome = against(redis_url, refuse, lambda client: client.submit_and_wait("AAPL", "BUY", 10, deadline_s=10))
    assert (outcome.status, outcome.reason) == (OrderStatus.CANCELLED, Reason.DUPLICATE)


def test_what_is_written_is_what_was_asked(redis_url: str) -> None:
    """Submit, modify, cancel and cancel-all arrive as the contracts say, with exact decimals and an aware time."""

    async def play() -> list[object]:
        async with Client(redis_url, strategy="pairs", settings=Settings()) as client:
            order_id = await client.submit("BRK.B", "SELL", 3, limit_price="412.05", time_in_force="GTC")
            await client.modify(order_id, limit_price="412.10")
            await client.cancel(order_id)
            await client.cancel_all(symbol="AAPL")
            await client.cancel_all(instrument="AAPL 20261218 250 C")
        async with Bus(redis_url, client_name="test") as bus, StreamReader(bus, {ORDER_REQUESTS: BEGINNING}) as reader:
            return [entry.message for entry in await reader.read()]

    submit, modify, cancel, cancel_all, one = run(play())
    assert isinstance(submit, SubmitOrder)
    assert (submit.strategy, submit.instrument.symbol, submit.side) == ("pairs", "BRK.B", Side.SELL)
    assert (submit.order_type, submit.limit_price) == (OrderType.LIMIT, Decimal("412.05"))
    assert (submit.time_in_force, submit.quantity) == (TimeInForce.GTC, Decimal(3))
    assert isinstance(modify, ModifyOrder)
    assert (modify.limit_price, modify.quantity) == (Decimal("412.10"), None)
    assert isinstance(cancel, CancelOrder)
    assert cancel.client_order_id == modify.client_order_id == submit.client_order_id
    assert isinstance(cancel_all, CancelAllOrders)
    assert (cancel_all.symbol, cancel_all.strategy) == ("AAPL", "")
    assert isinstance(one, CancelAllOrders)
    assert (one.instrument, one.symbol) == (option("AAPL", "20261218", 250, "C"), "")


@pytest.mark.parametrize(
    ("instrument", "side", "quantity", "details", "named"),
    [
        ("aapl", "BUY", 1, {}, "symbol"),
        ("AAPL", "HOLD", 1, {}, "side"),
        ("AAPL", "BUY", "ten", {}, "quantity"),
        ("AAPL", "BUY", "NaN", {}, "quantity"),
        ("AAPL", "BUY", 1.5, {}, "quantity"),
        ("AAPL", "BUY", 1, {"limit_price": 0.1}, "limit price"),
        ("AAPL", "BUY", 1, {"client_order_id": "x" * 33}, "client_order_id"),
        ("AAPL", "BUY", 1, {"time_in_force": "FOREVER"}, "time_in_force"),
    ],
)
def test_what_no_broker_would_understand_is_not_written(
    redis_url: str, instrument: str, side: str, quantity: object, details: dict[str, object], named: str
) -> None:
    """The mistake is told to whoever made it, by the field's name, and the stream stays empty."""

    async def play() -> None:
        async with Client(redis_url, settings=Settings()) as client, Bus(redis_url, client_name="test") as bus:
            with pytest.raises(InvalidRequestError, match=named):
                await client.submit(instrument, side, quantity, **details)  # type: ignore[arg-type]
            assert await bus.redis.exists(ORDER_REQUESTS.name) == 0

    run(play())


def test_a_lost_write_names_the_order(private_server: Callable[[], KillableServer]) -> None:
    """Without an answer from Redis the order may or may not exist: the error says under which id to repeat it."""

    async def play() -> None:
        server = private_server()
        await server.start()
        async with Client(server.url, settings=Settings()) as client:
            await client.ping()
            await server.kill()
            with pytest.raises(OrderUnconfirmedError, match="same id") as caught:
                await client.submit("AAPL", "BUY", 1, client_order_id="mine")
            assert caught.value.client_order_id == "mine"
            with pytest.raises(BusUnavailable):
                await client.submit_and_wait("AAPL", "BUY", 1, deadline_s=2)
            with pytest.raises(OrderUnconfirmedError, match="group both") as caught:
                await client.submit_group(client.bracket("AAPL", "BUY", 1, take_profit=9, group_id="both"))
            assert caught.value.client_order_id == "both"

    run(play())


def test_events_from_the_beginning_or_from_now(redis_url: str) -> None:
    """`start` chooses: all that is kept, or what is written after entering."""

    async def play() -> tuple[OrderEvent, OrderEvent]:
        async with Bus(redis_url, client_name="test") as bus, Client(redis_url, settings=Settings()) as client:
            publisher = Publisher(bus)
            await publisher.publish(ORDER_EVENTS, status("old", OrderStatus.FILLED))
            async with client.order_events() as now, client.order_events(start=BEGINNING) as kept:
                await publisher.publish(ORDER_EVENTS, status("new", OrderStatus.FILLED))
                return await anext(now), await anext(kept)

    first, last = run(play())
    assert isinstance(first, OrderStatusChanged)
    assert isinstance(last, OrderStatusChanged)
    assert (first.client_order_id, last.client_order_id) == ("new", "old")
