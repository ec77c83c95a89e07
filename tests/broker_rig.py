"""The broker service with its host, over a real Redis, and what it publishes, order by order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, cast

from contract.gateways import SYMBOLS, settings_for
from support import eventually

from ibstream.bus import Bus, BusUnavailable, Publisher
from ibstream.contracts.orders import (
    CommissionCharged,
    OrderEvent,
    OrderFilled,
    OrderRequest,
    OrderStatus,
    OrderStatusChanged,
    Reason,
    RequestRefused,
)
from ibstream.contracts.registry import ORDER_EVENTS, ORDER_REQUESTS, SYSTEM_CONTROL
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.backoff import constant
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.service import ServiceHost, ServiceParts
from ibstream.runtime.settings import Settings
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream_broker.adapters.ibkr import IBKRBrokerAdapter
from ibstream_broker.adapters.quotes import LastQuotes
from ibstream_broker.adapters.simulated import SimulatedBroker
from ibstream_broker.configured import options_of
from ibstream_broker.ports import BrokerPort
from ibstream_broker.service import BrokerService

Step = tuple[OrderStatus, Reason]
OrderStory = OrderStatusChanged | OrderFilled | CommissionCharged
"""The events that are numbered."""


class Orders:
    """Asks for orders and knows what became of them, from the streams alone."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._publisher = Publisher(bus)
        self._events: list[OrderEvent] = []
        self._read_to = "0-0"

    async def send(self, *requests: OrderRequest) -> None:
        """Put requests on the stream."""
        for request in requests:
            await self._publisher.publish(ORDER_REQUESTS, request)

    async def events(self, name: str) -> list[OrderEvent]:
        """Everything told of an order so far."""
        decode = ORDER_EVENTS.codec().decode
        for entry_id, fields in await self.bus.call(self.bus.redis.xrange(ORDER_EVENTS.name, f"({self._read_to}")):
            self._events.append(cast("OrderEvent", decode(fields[b"type"], fields[b"data"])))
            self._read_to = entry_id.decode()
        return [event for event in self._events if getattr(event, "client_order_id", "") == name]

    async def steps(self, name: str) -> list[Step]:
        """Its statuses, in order."""
        return [(one.status, one.reason) for one in await self.events(name) if isinstance(one, OrderStatusChanged)]

    async def fills(self, name: str) -> list[OrderFilled]:
        """Its fills."""
        return [event for event in await self.events(name) if isinstance(event, OrderFilled)]

    async def outcome(self, name: str, *, within_s: float = 15) -> OrderStatusChanged:
        """Wait for the outcome; the story up to it has one, is numbered without a gap, and tells each fill once."""

        async def ended() -> list[OrderStatusChanged]:
            told = await self.events(name)
            return [event for event in told if isinstance(event, OrderStatusChanged) and event.final]

        [outcome] = await eventually(ended, within_s=within_s, what=f"the outcome of {name}")
        await self.check(name)
        assert isinstance(outcome, OrderStatusChanged)
        return outcome

    async def check(self, name: str) -> None:
        """What must hold for every story at any time."""
        told = [event for event in await self.events(name) if isinstance(event, OrderStory)]
        assert [event.seq for event in told] == list(range(1, len(told) + 1))
        assert sum(isinstance(event, OrderStatusChanged) and event.final for event in told) <= 1
        for kind in (OrderFilled, CommissionCharged):
            ids = [event.exec_id for event in told if isinstance(event, kind)]
            assert len(ids) == len(set(ids))

    async def refused(self, name: str) -> RequestRefused:
        """Wait for the refusal of a request about an order."""

        async def refusals() -> list[RequestRefused]:
            return [event for event in await self.events(name) if isinstance(event, RequestRefused)]

        found: list[RequestRefused] = await eventually(refusals, what=f"a refusal about {name}")
        return found[-1]

    async def reaches(self, name: str, status: OrderStatus, *, within_s: float = 15) -> None:
        """Wait until the last step of an order has this status."""

        async def is_there() -> bool:
            steps = await self.steps(name)
            return bool(steps) and steps[-1][0] is status

        await eventually(is_there, within_s=within_s, what=f"{name} {status}")


@dataclass
class Rig:
    """A running broker."""

    host: ServiceHost
    service: BrokerService
    port: BrokerPort
    orders: Orders

    async def ready(self, *, within_s: float = 15) -> None:
        """Wait until orders pass."""
        await eventually(lambda: self.host.state is ConnectionState.READY, within_s=within_s, what="ready")


@contextlib.asynccontextmanager
async def running(
    url: str, settings: Settings, port: BrokerPort, *, quotes_url: str = "", **details: Any
) -> AsyncIterator[Rig]:
    """The service on this Redis and port, until the context ends; it must end cleanly. Quotes may come from another Redis."""
    quiet = settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"port_broker": 0})})
    stop = asyncio.Event()
    async with (
        Bus(url, client_name="broker") as bus,
        Bus(url, client_name="test") as tests,
        Bus(quotes_url or url, client_name="quotes") as quotes_bus,
    ):
        options = replace(options_of(settings), **details)
        quotes = LastQuotes(quotes_bus, settings.feed.shards)
        service = BrokerService(bus, port, options, clock=SYSTEM_CLOCK, quotes=quotes)
        parts = ServiceParts(
            name="broker",
            connection=port,
            synchronise=service.synchronise,
            workers=service.workers,
            delays=constant(0.2),
            slots=1,
            details=service.details,
            on_state=service.on_state,
        )
        host = ServiceHost(quiet, bus, parts, clock=SYSTEM_CLOCK)
        serving = asyncio.create_task(host.run(stop))
        try:
            yield Rig(host, service, port, Orders(tests))
        finally:
            stop.set()
            with contextlib.suppress(BusUnavailable):
                for stream in (
                    ORDER_REQUESTS,
                    SYSTEM_CONTROL,
                ):  # an entry of a type that nobody knows ends a reader's wait
                    await tests.call(tests.redis.xadd(stream.name, {"type": "tests.wake", "data": "{}"}))
            async with asyncio.timeout(15):
                await serving


def simulated_port() -> SimulatedBroker:
    """A matching engine of its own."""
    return SimulatedBroker(MatchingEngine(Market(7)), InstrumentMaster(SYMBOLS), clock=SYSTEM_CLOCK)


def simulated_settings() -> Settings:
    """For a broker without a Gateway."""
    settings = settings_for(14001)
    return settings.model_copy(update={"broker": settings.broker.model_copy(update={"provider": "simulated"})})


def gateway_port(settings: Settings) -> IBKRBrokerAdapter:
    """The real adapter."""
    return IBKRBrokerAdapter(settings, clock=SYSTEM_CLOCK)
