"""`Client`: orders, quotes, bars and health over Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import structlog

from ibstream.bus import Bus, BusUnavailable, Publisher
from ibstream.bus.reader import LATEST
from ibstream.client.bars import BarJob
from ibstream.client.errors import OrderUnconfirmedError, OrderUnresolvedError
from ibstream.client.orders import OrderEvents, OrderOutcome, Story
from ibstream.client.quotes import QuoteSubscription
from ibstream.client.requests import (
    BarsDetails,
    Number,
    OrderDetails,
    bars_request,
    checked,
    optional_decimal,
    order_request,
)
from ibstream.client.subscription import Subscription
from ibstream.contracts.base import Codec, Message, UndecodableError, type_of
from ibstream.contracts.data import Bar
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import (
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    OrderEvent,
    Side,
    SubmitOrder,
)
from ibstream.contracts.registry import HEARTBEAT_PATTERN, ORDER_REQUESTS, STATUS_KEY
from ibstream.contracts.system import Heartbeat, ModeChanged
from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream.runtime.settings import Settings, load_settings

PATIENCE_S = 30.0
"""How long a subscription outlives a silent Redis."""

ORDER_DEADLINE_S = 30.0
"""How long `submit_and_wait` waits for an outcome unless told otherwise."""

SETTLE_INTERVALS = 4
SETTLE_MARGIN_S = 1.0
"""The feed's hashes are trusted to hold what its streams held so long ago: a few of its intervals, and a margin."""

_log = structlog.get_logger(__name__)

S = TypeVar("S", bound=Subscription[Any])
M = TypeVar("M", bound=Message)


class Client:
    """One connection to an ibstream system, for one event loop. Use it as an asynchronous context manager.

    Without arguments it finds Redis as the services do: by `config/settings.yaml` and `SA_REDIS__URL`,
    `SA_REDIS__QUOTES_URL`. `strategy` stands on every order. `patience_s`: how long subscriptions wait for a Redis that
    is away before they raise. Methods raise `BusUnavailable` when Redis does not answer, `BusRefused` when it says no,
    and `InvalidRequestError` for a request that no service would understand.
    """

    def __init__(
        self,
        url: str | None = None,
        quotes_url: str | None = None,
        *,
        strategy: str = "client",
        patience_s: float = PATIENCE_S,
        settings: Settings | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        settings = settings or load_settings()
        url, quotes_url = _addresses(url, quotes_url, settings)
        self._bus = Bus(url, client_name="ibstream-client")
        self._quotes_bus = self._bus if quotes_url == url else Bus(quotes_url, client_name="ibstream-client-quotes")
        self._shards = settings.feed.shards
        self._settle_s = SETTLE_INTERVALS * settings.feed.last_values_interval_s + SETTLE_MARGIN_S
        self._publisher = Publisher(self._bus)
        self._strategy = strategy
        self._patience_s = patience_s
        self._clock = clock
        self._subscriptions: list[Subscription[Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every subscription and connection."""
        for subscription in self._subscriptions:
            await subscription.close()
        await self._bus.close()
        if self._quotes_bus is not self._bus:
            await self._quotes_bus.close()

    @property
    def address(self) -> str:
        """Host and port of the bus."""
        return self._bus.address

    async def ping(self) -> None:
        """Return if Redis answers; else raise `BusUnavailable`."""
        await self._bus.ping()

    # Orders

    async def submit(
        self, instrument: str | Instrument, side: Side | str, quantity: Number, **details: Unpack[OrderDetails]
    ) -> str:
        """Ask for one order and return its `client_order_id`, without waiting for the broker.

        `quantity` is in whole shares; `limit_price` makes it a limit order. Raises as `send` does.
        """
        order = self.order(instrument, side, quantity, **details)
        await self.send(order)
        return order.client_order_id

    async def submit_and_wait(
        self,
        instrument: str | Instrument,
        side: Side | str,
        quantity: Number,
        *,
        deadline_s: float = ORDER_DEADLINE_S,
        **details: Unpack[OrderDetails],
    ) -> OrderOutcome:
        """Ask for one order and wait for its outcome, as `send_and_wait` does."""
        return await self.send_and_wait(self.order(instrument, side, quantity, **details), deadline_s=deadline_s)

    def order(
        self, instrument: str | Instrument, side: Side | str, quantity: Number, **details: Unpack[OrderDetails]
    ) -> SubmitOrder:
        """The request that `submit` would write. Raises `InvalidRequestError`."""
        return order_request(instrument, side, quantity, details, strategy=self._strategy, now=self._clock.now())

    async def send(self, order: SubmitOrder) -> None:
        """Write a request made by `order`. Raises `OrderUnconfirmedError` when it is not known whether it was written."""
        try:
            await self._publisher.publish(ORDER_REQUESTS, order)
        except BusUnavailable as error:
            raise OrderUnconfirmedError(order.client_order_id, str(error)) from error

    async def send_and_wait(
        self,
        order: SubmitOrder,
        *,
        deadline_s: float = ORDER_DEADLINE_S,
        on_event: Callable[[OrderEvent], None] | None = None,
    ) -> OrderOutcome:
        """Write a request made by `order` and wait for its outcome; no event between the two can be missed.

        The position in `orders:events` is fixed before the request is written. `on_event` hears each of the order's
        events. Raises `OrderUnresolvedError` when there is no outcome within `deadline_s`: the order may be working.
        Raises `OrderUnconfirmedError` where, on top of that, the write was never confirmed and the broker said nothing.
        """
        story = Story(order.client_order_id)
        unconfirmed: OrderUnconfirmedError | None = None
        try:
            async with asyncio.timeout(deadline_s), self.order_events(order.client_order_id) as events:
                try:
                    await self.send(order)
                except OrderUnconfirmedError as error:
                    unconfirmed = error  # the events will tell
                return await _outcome(story, events, on_event)
        except TimeoutError:
            if unconfirmed is not None and not story.events:
                raise unconfirmed from None
            raise OrderUnresolvedError(order.client_order_id, story.last, deadline_s) from None

    async def modify(
        self, client_order_id: str, *, quantity: Number | None = None, limit_price: Number | None = None
    ) -> None:
        """Ask for another quantity or limit price on a working order; the answer comes with its events."""
        request = ModifyOrder(
            client_order_id=client_order_id,
            quantity=optional_decimal(quantity, what="quantity"),
            limit_price=optional_decimal(limit_price, what="limit price"),
            requested_at=self._clock.now(),
        )
        await self._publisher.publish(ORDER_REQUESTS, checked(ORDER_REQUESTS, request))

    async def cancel(self, client_order_id: str) -> None:
        """Ask to end a working order; it can still fill until its events say otherwise."""
        request = CancelOrder(client_order_id=client_order_id, requested_at=self._clock.now())
        await self._publisher.publish(ORDER_REQUESTS, checked(ORDER_REQUESTS, request))

    async def cancel_all(self, *, strategy: str = "", symbol: str = "", account: str = "") -> None:
        """Ask to end every working order that fits; what is left empty fits all."""
        request = CancelAllOrders(strategy=strategy, symbol=symbol, account=account, requested_at=self._clock.now())
        await self._publisher.publish(ORDER_REQUESTS, checked(ORDER_REQUESTS, request))

    def order_events(self, client_order_id: str | None = None, *, start: str = LATEST) -> OrderEvents:
        """The events of one order, or of all, from the entry after `start` (`BEGINNING`: all that is kept)."""
        return self._held(
            OrderEvents(
                self._bus,
                client_order_id=client_order_id,
                start=start,
                patience_s=self._patience_s,
                clock=self._clock,
            )
        )

    # Market data

    def quotes(self, symbols: Collection[str] | None = None) -> QuoteSubscription:
        """Quotes of all symbols, or of some: a `QuoteSnapshot`, then `QuoteBatch`es in order, `Gap` and `EpochChanged`
        where continuity broke."""
        return self._held(
            QuoteSubscription(
                self._quotes_bus,
                shards=self._shards,
                symbols=symbols,
                settle_s=self._settle_s,
                patience_s=self._patience_s,
                clock=self._clock,
            )
        )

    async def bars(
        self, instrument: str | Instrument, *, deadline_s: float = 120.0, **details: Unpack[BarsDetails]
    ) -> list[Bar]:
        """Historical bars, oldest first, all at once. What it raises: see `bar_job`."""
        async with self.bar_job(instrument, deadline_s=deadline_s, **details) as chunks:
            return [bar async for chunk in chunks for bar in chunk.bars]

    def bar_job(
        self, instrument: str | Instrument, *, deadline_s: float = 120.0, **details: Unpack[BarsDetails]
    ) -> BarJob:
        """Historical bars, chunk by chunk as they come.

        Iterating raises `JobFailedError` with the service's reason, or `NoAnswerError` after `deadline_s`; this call
        raises `InvalidRequestError`.
        """
        request = bars_request(instrument, details, now=self._clock.now())
        job = BarJob(self._bus, request, deadline_s=deadline_s, patience_s=self._patience_s, clock=self._clock)
        return self._held(job)

    # The system

    async def status(self) -> ModeChanged | None:
        """The system's mode and why; None where the watchdog is silent, or speaks a newer version."""
        value = await self._bus.get(STATUS_KEY)
        return None if value is None else _decode(ModeChanged, STATUS_KEY, value)

    async def heartbeats(self) -> list[Heartbeat]:
        """Every service instance that is alive, by service and instance; one that cannot be read is left out, with a warning."""
        values = await self._bus.values_matching(HEARTBEAT_PATTERN)
        read = [_decode(Heartbeat, key, value) for key, value in values.items()]
        return sorted((beat for beat in read if beat is not None), key=lambda beat: (beat.service, beat.instance))

    def _held(self, subscription: S) -> S:
        """Remember what to close, and forget what is."""
        self._subscriptions = [held for held in self._subscriptions if not held.closed]
        self._subscriptions.append(subscription)
        return subscription


async def _outcome(story: Story, events: OrderEvents, on_event: Callable[[OrderEvent], None] | None) -> OrderOutcome:
    async for event in events:
        outcome = story.tell(event)
        if on_event is not None:
            on_event(event)
        if outcome is not None:
            return outcome
    raise AssertionError("order events never end")


def _addresses(url: str | None, quotes_url: str | None, settings: Settings) -> tuple[str, str]:
    """An explicit `url` stands for quotes too, unless `quotes_url` says otherwise."""
    if url is not None:
        return url, quotes_url or url
    return settings.redis.bus_url, quotes_url or settings.redis.quotes_bus_url


def _decode(kind: type[M], key: str, value: bytes) -> M | None:
    try:
        message = Codec(kind).decode(type_of(kind).encode(), value)
    except UndecodableError as error:
        _log.warning("client.undecodable_value", key=key, error=str(error))
        return None
    assert isinstance(message, kind)  # noqa: S101 - the codec knows one type
    return message
