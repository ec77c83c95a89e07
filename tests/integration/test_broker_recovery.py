"""Reconciling while things happen: a snapshot that an order has outrun must not be the last word on it."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from support import eventually, run

from ibstream.bus import Bus
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import OrderStatus, Side, SubmitOrder
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream.runtime.service import Slot
from ibstream_broker.adapters.journal import OrderJournal
from ibstream_broker.adapters.stub import ACCOUNT, PaperStubBroker
from ibstream_broker.configured import BrokerOptions
from ibstream_broker.domain.inputs import Executed, OrderSeen, Snapshot
from ibstream_broker.domain.lifecycle import published, status_event
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.service import BrokerService

NAME = "half-filled"


class Outrun(PaperStubBroker):
    """Tells of an execution while its lists are being asked for, and takes as long as the broker needs to write it."""

    service: BrokerService

    async def snapshot(self) -> Snapshot:
        """Half of the order filled and the rest cancelled while the broker was away."""
        executed = Executed(
            exec_id="0000e0d5.69dd7411.01.01",
            order_ref=NAME,
            order_id=5,
            perm_id=77,
            symbol="AAPL",
            side=Side.BUY,
            quantity=Decimal(50),
            price=Decimal("100.00"),
            account=ACCOUNT,
            exchange="TEST",
            executed_at=SYSTEM_CLOCK.now(),
        )
        self._on_input(executed)
        await eventually(lambda: self.service.details()["inputs_waiting"] == 0, what="the inbox worked off")
        await eventually(lambda: not self.service._ledger._begun, what="the execution written")
        ended = OrderSeen(order_ref=NAME, perm_id=77, status="Cancelled")
        return Snapshot(open_orders=[], completed_orders=[ended], executions=[executed], commissions=[])


def test_an_order_that_changes_while_the_lists_come_is_looked_up_once_more(redis_url: str) -> None:
    """The execution arrives through the inbox first, so the snapshot is too old for the record: the next one ends it."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            port, stop = Outrun(clock=SYSTEM_CLOCK), asyncio.Event()
            service = port.service = BrokerService(bus, port, BrokerOptions(), clock=SYSTEM_CLOCK)
            request = SubmitOrder(
                client_order_id=NAME,
                strategy="test",
                instrument=Instrument(symbol="AAPL"),
                side=Side.BUY,
                quantity=Decimal(100),
                requested_at=SYSTEM_CLOCK.now(),
            )
            record = OrderRecord(
                request=request,
                entry_id="1-1",
                account=ACCOUNT,
                order_id=5,
                perm_id=77,
                status=OrderStatus.SUBMITTED,
            )
            record, events = published(record, [status_event(record, SYSTEM_CLOCK.now())])
            await OrderJournal(bus, 1).commit([record], events)
            inbox_worker, *_ = service.workers(Slot(0, 1))
            working = asyncio.create_task(inbox_worker(stop))
            await eventually(lambda: service.details()["working_orders"] == 1, what="the journal loaded")
            await port.connect(1)
            await service.synchronise(ConnectionEvent(Trigger.CONNECTED))
            ended = await OrderJournal(bus, 1).load(NAME)
            assert ended is not None
            assert (ended.status, ended.filled) == (OrderStatus.CANCELLED, Decimal(50))
            stop.set()
            await working

    run(scenario())
