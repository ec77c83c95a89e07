"""Looking instruments up before a request lines up, so that one slow answer holds up nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Reason, SubmitGroup
from ibstream_broker.domain.checks.groups import refusals_of
from ibstream_broker.domain.interest import with_legs
from ibstream_broker.domain.lanes import Waiting
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.ports import BrokerPort, InstrumentRefused

AT_ONCE = 8
"""Look-ups under way; the Gateway answers each in a fraction of a second, and they share its message limit."""


class Lookups:
    """Requests whose instruments are being looked up. Each lines up when all is known, or known to be wrong."""

    def __init__(self, port: BrokerPort, line_up: Callable[[Waiting], None]) -> None:
        self._port = port
        self._line_up = line_up
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[Waiting, asyncio.Task[None]] = {}
        self._orders: dict[str, Waiting] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, item: Waiting, instruments: Sequence[Instrument], group: asyncio.TaskGroup) -> None:
        """Line the item up at once where its instruments are known, else when they are."""
        unknown = [one for one in dict.fromkeys(instruments) if self._port.known_terms(one) is None]
        if not unknown:
            self._line_up(item)
            return
        self._orders.update(dict.fromkeys(item.client_order_ids, item))
        self._tasks[item] = group.create_task(self._look_up(item, unknown), name="look-up")

    def order(self, client_order_id: str) -> Waiting | None:
        """The request for this order, if it is here."""
        return self._orders.get(client_order_id)

    def matching(self, fits: Callable[[Waiting], bool]) -> list[Waiting]:
        """The requests that fit."""
        return [item for item in self._tasks if fits(item)]

    def remove(self, items: Collection[Waiting]) -> None:
        """Give up looking for these."""
        for item in items:
            task = self._forget(item)
            if task is not None:
                task.cancel()

    def clear(self) -> None:
        """Give up all."""
        self.remove(list(self._tasks))

    async def _look_up(self, item: Waiting, instruments: Sequence[Instrument]) -> None:
        wrong: dict[Instrument, Refusal] = {}
        async with self._slots:
            for instrument in instruments:
                try:
                    await self._port.terms(instrument)
                except InstrumentRefused as error:
                    wrong[instrument] = Refusal(error.reason, error.text)
                except ConnectionError as error:
                    wrong[instrument] = Refusal(Reason.GATEWAY_DISCONNECTED, str(error))
        if wrong:
            _refuse(item, wrong)
        if self._forget(item) is not None:
            self._line_up(item)

    def _forget(self, item: Waiting) -> asyncio.Task[None] | None:
        for client_order_id in item.client_order_ids:
            if self._orders.get(client_order_id) is item:
                del self._orders[client_order_id]
        return self._tasks.pop(item, None)


def _refuse(item: Waiting, wrong: Mapping[Instrument, Refusal]) -> None:
    """Of a group the orders in these instruments, and the others because of them; else the request."""
    if not isinstance(item.request, SubmitGroup):
        item.refuse_all(next(iter(wrong.values())))
        return
    orders = {order.client_order_id: with_legs(order.instrument) for order in item.request.orders}
    named = {name: next((wrong[one] for one in parts if one in wrong), None) for name, parts in orders.items()}
    item.refusals = refusals_of(item.request, {name: one for name, one in named.items() if one is not None})
