"""What really happened to orders, whoever was told of it: what the journal is made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ibstream.simulation.orders import Event
from ibstream_gateway_emulator.domain import order_journal
from ibstream_gateway_emulator.domain.codes import Code
from ibstream_gateway_emulator.domain.order_book import OrderRecords
from ibstream_gateway_emulator.domain.order_journal import REFUSED_KEPT, JournalExecution, JournalOrder
from ibstream_gateway_emulator.domain.order_record import OrderRecord
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.settings import EmulatorSettings


class OrderLog:
    """The orders of `records`, and those that were refused.

    Where a method takes `unseen`, these events have happened at IBKR, too, but the Gateway has not heard of them.
    """

    def __init__(self, records: OrderRecords, faults: Faults, settings: Callable[[], EmulatorSettings]) -> None:
        self._records = records
        self._faults = faults
        self._settings = settings
        self._refused: deque[JournalOrder] = deque(maxlen=REFUSED_KEPT)
        self._refusals = 0

    @property
    def refusals_dropped(self) -> int:
        """Rejected orders and changes that are no longer remembered."""
        return self._refusals - len(self._refused)

    def refused(self, client_id: int, order: PlaceOrder, code: Code, now_ns: int) -> None:
        """Remember an order, or a change, that was not taken. What only asks what an order would do is neither."""
        if order.what_if:
            return
        is_change = self._records.of_client(client_id, order.order_id) is not None
        acknowledged = self.is_acknowledged(client_id, order)
        self._refusals += 1
        self._refused.append(
            order_journal.rejected(client_id, order, code, now_ns, is_change=is_change, acknowledged=acknowledged)
        )

    def is_acknowledged(self, client_id: int, order: PlaceOrder) -> bool:
        """Whether the client is told of the order by itself at the moment."""
        return (client_id, order.order_id) not in self._faults.unacknowledged

    def orders(self, unseen: Iterable[Event] = ()) -> list[JournalOrder]:
        """Every order that was taken or rejected, as far back as is remembered, in the order in which they came."""
        known = [*self._refused, *map(order_journal.taken, self._after(unseen))]
        return sorted(known, key=lambda order: (order.placed_ns, order.perm_id))

    def executions(self, unseen: Iterable[Event] = ()) -> list[JournalExecution]:
        """Every execution that counts, order by order, as far back as is remembered."""
        return [order_journal.execution(record, one) for record in self._after(unseen) for one in record.executions]

    def find(self, unseen: Iterable[Event] = (), **facts: Any) -> OrderRecord:
        """The only order that fits these facts as it stands at IBKR; `facts` and errors as `OrderRecords.find`'s."""
        return self._records.find(among=self._after(unseen), **facts)

    def _after(self, unseen: Iterable[Event]) -> list[OrderRecord]:
        return order_journal.after(self._records, unseen, self._settings())
