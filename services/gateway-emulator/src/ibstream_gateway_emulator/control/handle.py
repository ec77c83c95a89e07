"""The Gateway in the hands of a Python program: its verbs as methods, and what really happened as rows.

    async with running_gateway(settings) as server:
        control = GatewayControl(server.state)
        await control.lose_acknowledgement(order_ref="a-1")
        ...
        order = await control.wait_for_order(order_ref="a-1", status="Filled")

`remote.RemoteControl` is the same for an emulator in another process.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_gateway_emulator.control import transcript, views
from ibstream_gateway_emulator.control.journal import Direction
from ibstream_gateway_emulator.control.verb_methods import VerbMethods
from ibstream_gateway_emulator.faults import acts, verbs
from ibstream_gateway_emulator.faults.acts import CommandError
from ibstream_gateway_emulator.gateway import Gateway

__all__ = ["CommandError", "Control", "GatewayControl"]

T = TypeVar("T")

POLL_S = 0.02
WITHIN_S = 10.0
"""How long to wait for something unless told otherwise."""


class Control(VerbMethods):
    """The verbs, and the questions."""

    @abstractmethod
    async def clients(self) -> list[views.ClientRow]:
        """The connected clients."""

    @abstractmethod
    async def orders(self) -> list[views.OrderRow]:
        """Every order, as it stands at IBKR; rejected and lost ones, too."""

    @abstractmethod
    async def executions(self) -> list[views.ExecutionRow]:
        """Every execution, by time, whoever was told of it."""

    @abstractmethod
    async def messages(
        self,
        *,
        client_id: int | None = None,
        direction: Direction | None = None,
        name: str | None = None,
        after: int | None = None,
        limit: int = transcript.MESSAGES_AT_ONCE,
    ) -> views.Messages:
        """What was said, the latest `limit` messages: of one client, direction or name, where that is given.

        With `after` the first `limit` that are newer than the message of that number.
        """

    @abstractmethod
    async def faults(self) -> views.FaultsView:
        """What is in force, and what was commanded so far."""

    async def wait_for(
        self, state: Callable[[], Awaitable[T | None]], *, within_s: float = WITHIN_S, what: str = "the state"
    ) -> T:
        """Ask until `state()` is truthy and return it. Raises `TimeoutError` after `within_s` seconds, naming `what`."""
        deadline_s = SYSTEM_CLOCK.monotonic() + within_s
        while not (found := await state()):
            if SYSTEM_CLOCK.monotonic() > deadline_s:
                raise TimeoutError(f"waited {within_s:g} s in vain for {what}")
            await SYSTEM_CLOCK.sleep(POLL_S)
        return found

    async def wait_for_order(
        self, *, order_ref: str, status: str | None = None, within_s: float = WITHIN_S
    ) -> views.OrderRow:
        """The order with this orderRef, once it is there, in that status if one is named. Raises `TimeoutError`.

        Changes of it that were rejected, lost or kept are no orders.
        """

        async def there() -> views.OrderRow | None:
            fitting = (one for one in await self.orders() if one.order_ref == order_ref and not one.is_change)
            return next((one for one in fitting if status in (None, one.status)), None)

        said = f"order {order_ref!r}" + ("" if status is None else f" to be {status}")
        return await self.wait_for(there, within_s=within_s, what=said)

    async def wait_for_client(self, client_id: int, *, within_s: float = WITHIN_S) -> views.ClientRow:
        """The client, once it is connected. Raises `TimeoutError`."""

        async def there() -> views.ClientRow | None:
            return next((one for one in await self.clients() if one.client_id == client_id), None)

        return await self.wait_for(there, within_s=within_s, what=f"client {client_id} to connect")


class GatewayControl(Control):
    """Over a Gateway of this process; to be used on its own event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def command(self, *commanded: verbs.Verb) -> None:
        """Do these verbs, in order. Raises `CommandError` at the first that cannot be done."""
        for verb in commanded:
            acts.command(self._gateway, verb)

    async def clients(self) -> list[views.ClientRow]:
        """The connected clients."""
        return views.clients(self._gateway)

    async def orders(self) -> list[views.OrderRow]:
        """Every order, as it stands at IBKR; rejected and lost ones, too."""
        return views.orders(self._gateway)

    async def executions(self) -> list[views.ExecutionRow]:
        """Every execution, by time, whoever was told of it."""
        return views.executions(self._gateway)

    async def messages(
        self,
        *,
        client_id: int | None = None,
        direction: Direction | None = None,
        name: str | None = None,
        after: int | None = None,
        limit: int = transcript.MESSAGES_AT_ONCE,
    ) -> views.Messages:
        """What was said, as `Control.messages` describes it."""
        return await transcript.messages(
            self._gateway, client_id=client_id, direction=direction, name=name, after=after, limit=limit
        )

    async def faults(self) -> views.FaultsView:
        """What is in force, and what was commanded so far."""
        return views.faults(self._gateway)
