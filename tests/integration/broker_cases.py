"""A running broker over either executor, and the requests that tests of it ask with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import pytest
from broker_rig import Rig, gateway_port, running, simulated_port, simulated_settings
from contract.gateways import SYMBOLS, settings_for
from support import eventually

from ibstream.bus import Bus, Publisher
from ibstream.contracts.base import Message, encode, type_of
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import (
    CancelAllOrders,
    CancelOrder,
    ExternalOrder,
    GroupKind,
    ModifyOrder,
    OrderRequest,
    RequestRefused,
    SubmitGroup,
    SubmitOrder,
    WhatIf,
    WhatIfAnswered,
)
from ibstream.contracts.portfolio import PositionMismatch
from ibstream.contracts.registry import ORDER_EVENTS, ORDER_REQUESTS, PORTFOLIO_EVENTS, SYSTEM_CONTROL, Stream
from ibstream.contracts.system import AcceptPositions, Halt, Resume
from ibstream.ibkr.pacing import Window
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.settings import Settings
from ibstream_gateway_emulator.domain.order_record import OrderRecord as PlacedOrder
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

EMULATOR = EmulatorSettings(symbols=SYMBOLS, port=0, tick_interval_ms=50)

M = TypeVar("M", bound=Message)


@dataclass
class GatewayRig(Rig):
    """A running broker, and the stand-in Gateway that it trades at."""

    gateway: GatewayServer

    def command(self, verb: verbs.Verb) -> None:
        """Have the Gateway do something."""
        self.gateway.command(verb)

    def placed(self) -> list[str]:
        """The reference of every order that ever reached the Gateway, in the order in which they came."""
        return placed(self.gateway.state)

    def order(self, name: str) -> PlacedOrder:
        """The Gateway's record of an order."""
        found: PlacedOrder = self.gateway.state.orders.records.find(order_ref=name)
        return found


def placed(state: Gateway) -> list[str]:
    """The reference of every order that ever reached this Gateway."""
    return [record.placed.order_ref for record in state.orders.records]


def with_broker(settings: Settings, **details: Any) -> Settings:
    """The settings with others in section `broker`."""
    return settings.model_copy(update={"broker": settings.broker.model_copy(update=details)})


@contextlib.asynccontextmanager
async def simulated(url: str, **options: Any) -> AsyncIterator[Rig]:
    """The broker over the matching engine, ready. `options` are those of `BrokerOptions`."""
    async with running(url, simulated_settings(), simulated_port(), **options) as rig:
        await rig.ready()
        yield rig


@contextlib.asynccontextmanager
async def over_gateway(
    url: str,
    *,
    emulator: EmulatorSettings = EMULATOR,
    state: Gateway | None = None,
    broker: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[GatewayRig]:
    """The broker over a stand-in Gateway, ready. `broker` are settings of that section."""
    async with running_gateway(emulator, state=state) as gateway:
        settings = with_broker(settings_for(gateway.port), **(broker or {}))
        async with running(url, settings, gateway_port(settings), **options) as rig:
            await rig.ready()
            yield GatewayRig(rig.host, rig.service, rig.port, rig.orders, gateway)


Broker = Callable[..., AbstractAsyncContextManager[Rig]]
EACH = pytest.mark.parametrize("broker", [simulated, over_gateway])


def cancel(name: str, **details: Any) -> CancelOrder:
    """Ask to end an order."""
    return CancelOrder(**{"client_order_id": name, "requested_at": SYSTEM_CLOCK.now(), **details})


def cancel_all(**details: Any) -> CancelAllOrders:
    """Ask to end all that fit."""
    return CancelAllOrders(**{"requested_at": SYSTEM_CLOCK.now(), **details})


def modify(name: str, **details: Any) -> ModifyOrder:
    """Ask for other terms; numbers as text."""
    told: dict[str, Any] = {"client_order_id": name, "requested_at": SYSTEM_CLOCK.now(), **details}
    is_number = {key: isinstance(value, str) and value[0].isdigit() for key, value in details.items()}
    told |= {key: Decimal(value) for key, value in details.items() if is_number[key]}
    return ModifyOrder(**told)


def group(kind: GroupKind, *orders: SubmitOrder, name: str = "group", **details: Any) -> SubmitGroup:
    """Ask for orders that hang together."""
    return SubmitGroup(
        **{"group_id": name, "kind": kind, "orders": orders, "requested_at": SYSTEM_CLOCK.now(), **details}
    )


def what_if(order: SubmitOrder, **details: Any) -> WhatIf:
    """Ask what an order would do."""
    return WhatIf(**{"order": order, "requested_at": SYSTEM_CLOCK.now(), **details})


async def halt(rig: Rig, *, cancel_orders: bool = False) -> None:
    """Halt trading, and wait until the broker has heard of it."""
    order = Halt(who="ops", why="drill", cancel_orders=cancel_orders, at=SYSTEM_CLOCK.now())
    await Publisher(rig.orders.bus).publish(SYSTEM_CONTROL, order)
    await eventually(lambda: rig.service.standing.halt is not None, what="the halt")


async def resume(rig: Rig) -> None:
    """End a halt, and wait until the broker has heard of it."""
    await Publisher(rig.orders.bus).publish(SYSTEM_CONTROL, Resume(who="ops", at=SYSTEM_CLOCK.now()))
    await eventually(lambda: rig.service.standing.halt is None, what="the end of the halt")


async def accept_positions(rig: Rig, **details: Any) -> None:
    """Take IBKR's word for what is held."""
    order = AcceptPositions(**{"who": "ops", "why": "checked", "at": SYSTEM_CLOCK.now(), **details})
    await Publisher(rig.orders.bus).publish(SYSTEM_CONTROL, order)


async def on_stream(rig: Rig, stream: Stream, kind: type[M]) -> list[M]:
    """Every message of a kind on a stream."""
    decode = stream.codec().decode
    bus, tag = rig.orders.bus, str(kind.__struct_config__.tag).encode()
    entries = await bus.call(bus.redis.xrange(stream.name))
    found = [decode(tag, fields[b"data"]) for _, fields in entries if fields[b"type"] == tag]
    return [one for one in found if isinstance(one, kind)]


async def strangers(rig: Rig) -> list[ExternalOrder]:
    """What was told of orders that are not ours, or should not be."""
    return await on_stream(rig, ORDER_EVENTS, ExternalOrder)


async def mismatches(rig: Rig) -> list[PositionMismatch]:
    """What was told of positions that do not add up."""
    return await on_stream(rig, PORTFOLIO_EVENTS, PositionMismatch)


async def refusals(rig: Rig, name: str) -> list[RequestRefused]:
    """Every refusal about an order so far."""
    return [event for event in await rig.orders.events(name) if isinstance(event, RequestRefused)]


async def answer(rig: Rig, name: str) -> WhatIfAnswered:
    """Wait for the answer to a what-if."""

    async def answers() -> list[WhatIfAnswered]:
        return [event for event in await rig.orders.events(name) if isinstance(event, WhatIfAnswered)]

    found: list[WhatIfAnswered] = await eventually(answers, within_s=15, what=f"the answer to {name}")
    return found[-1]


async def works(rig: Rig, *names: str) -> bool:
    """Whether exactly these orders work at the executor."""
    listed = [seen.order_ref for seen in (await rig.port.snapshot()).open_orders]
    return sorted(listed) == sorted(names)


def changed(settings: EmulatorSettings = EMULATOR, **details: Any) -> EmulatorSettings:
    """The stand-in Gateway's settings with others."""
    return msgspec.structs.replace(settings, **details)


async def pour(bus: Bus, requests: list[OrderRequest]) -> None:
    """Put many requests on the stream as fast as Redis takes them."""
    for start in range(0, len(requests), 1000):
        pipeline = bus.redis.pipeline(transaction=False)
        for request in requests[start : start + 1000]:
            pipeline.xadd(ORDER_REQUESTS.name, {"type": type_of(request), "data": encode(request)})
        await bus.call(pipeline.execute())


async def slow(rig: Rig, per_s: int, *symbols: str) -> None:
    """From now on so many messages a second, and none in the first; instruments are known, so that all of them are orders."""
    for symbol in symbols or ("AAPL",):
        await rig.port.terms(Instrument(symbol=symbol))
    window = Window(per_s, SYSTEM_CLOCK)
    for _ in range(per_s):
        await window.take()
    rig.port._session._window = window  # type: ignore[attr-defined]


async def all_acknowledged(bus: Bus) -> bool:
    """Whether every request on the stream is done."""
    [told] = await bus.call(bus.redis.xinfo_groups(ORDER_REQUESTS.name))
    return bool(told["pending"] == 0 and told["lag"] == 0)
