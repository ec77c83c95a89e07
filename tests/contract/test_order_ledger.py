"""The ledger over a real Redis: the book never falls behind the journal, whatever is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from decimal import Decimal

import pytest
from redis_for_tests import KillableServer
from support import run

from ibstream.bus import Bus
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import OrderStatus, Side, SubmitOrder
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.domain.lifecycle import moved, published, status_event
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.ledger import OrderLedger


def new_order() -> OrderRecord:
    request = SubmitOrder(
        client_order_id="o1",
        strategy="test",
        instrument=Instrument(symbol="AAPL"),
        side=Side.BUY,
        quantity=Decimal(10),
        requested_at=SYSTEM_CLOCK.now(),
    )
    return OrderRecord(request=request, entry_id="1-1")


def test_a_write_whose_task_is_cancelled_is_finished_before_the_next_change(
    private_server: Callable[[], KillableServer],
) -> None:
    """Redis hangs, the writer is cancelled (its link was lost, say), Redis wakes: the next step follows on from what it wrote."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            ledger = OrderLedger(bus, clock=SYSTEM_CLOCK)
            record = new_order()
            await ledger.write(published(record, [status_event(record, SYSTEM_CLOCK.now())]))
            async with server.frozen():
                begun = asyncio.create_task(_move(ledger, OrderStatus.SUBMITTED))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(begun), timeout=0.2)
                begun.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await begun
            await _move(ledger, OrderStatus.PENDING_CANCEL)
            stored = await ledger.journal.load("o1")
            assert stored == ledger.book.get("o1")
            assert stored is not None
            assert (stored.revision, stored.seq, stored.status) == (3, 3, OrderStatus.PENDING_CANCEL)

    run(scenario())


async def _move(ledger: OrderLedger, status: OrderStatus) -> None:
    async with ledger.changing():
        record = ledger.book.get("o1")
        assert record is not None
        await ledger.write(moved(record, status, SYSTEM_CLOCK.now()))
