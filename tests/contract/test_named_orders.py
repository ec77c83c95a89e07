"""Orders that inputs name, on a real Redis: one read for all of a batch, and none for strangers that are known as such."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from support import run
from unit.broker.stories import NOW, executed, seen, sent, status

from ibstream.bus import Bus
from ibstream.contracts.orders import OrderStatus
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker import named as named_module
from ibstream_broker.domain.inputs import Executed, OrderSeen
from ibstream_broker.domain.lifecycle import moved, published, status_event
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.ledger import OrderLedger
from ibstream_broker.named import NamedOrders


class CountingBus(Bus):
    """Notes of how many keys each read was."""

    def __init__(self, url: str) -> None:
        super().__init__(url, client_name="test")
        self.reads: list[int] = []

    async def field_of_each(self, keys: Sequence[str], name: str) -> list[bytes | None]:
        """As the bus does it."""
        self.reads.append(len(keys))
        return await super().field_of_each(keys, name)


def order(name: str) -> OrderRecord:
    """Not journalled yet."""
    fresh = sent(request={"client_order_id": name})
    return msgspec.structs.replace(fresh, revision=0, seq=0)


async def ended(url: str, *names: str) -> None:
    """These orders were cancelled in another life of the broker."""
    async with Bus(url, client_name="before") as bus:
        ledger = OrderLedger(bus, clock=SYSTEM_CLOCK)
        async with ledger.changing() as change:
            for name in names:
                record = order(name)
                change.step(published(record, [status_event(record, NOW)]))
                change.step(moved(change.now(name) or record, OrderStatus.CANCELLED, NOW))


def fill(name: str, number: int = 1) -> Executed:
    return msgspec.structs.replace(executed(number, 10), order_ref=name)


def shown(name: str, word: str = "Submitted") -> OrderSeen:
    return msgspec.structs.replace(seen(word), order_ref=name)


def test_a_batch_is_one_read_and_strangers_are_asked_for_once(redis_url: str) -> None:
    """Executions and working orders; what ended at IBKR or bears no reference of ours is not asked for."""

    async def scenario() -> None:
        await ended(redis_url, "a", "b")
        async with CountingBus(redis_url) as bus:
            ledger = OrderLedger(bus, clock=SYSTEM_CLOCK)
            named = NamedOrders(ledger)
            batch = [fill("a"), fill("a", 2), shown("b"), fill("theirs"), shown("over", "Cancelled"), status("Filled")]
            for _ in range(3):
                await named.have_at_hand([*batch, fill(""), shown("")])
                found = {one.order_ref: await named.find(one) for one in batch if isinstance(one, Executed | OrderSeen)}
                assert {name for name, record in found.items() if record is not None} == {"a", "b"}
            assert bus.reads == [3]
            assert ledger.book.get("b") == found["b"]

    run(scenario())


def test_a_reference_that_becomes_an_orders_is_found(redis_url: str) -> None:
    """The book is asked first, and what another broker may have journalled is looked up anew."""

    async def scenario() -> None:
        async with CountingBus(redis_url) as bus:
            ledger = OrderLedger(bus, clock=SYSTEM_CLOCK)
            named = NamedOrders(ledger)
            assert await named.find(fill("a")) is None
            async with ledger.changing() as change:
                change.step(published(order("a"), [status_event(order("a"), NOW)]))
            await named.have_at_hand([fill("a")])
            ledger.book.discard("a")
            assert await named.find(fill("a")) is not None, "it had left the book"
            assert await named.find(fill("b")) is None
            await ended(redis_url, "b")
            named.clear()
            assert await named.find(fill("b")) is not None

    run(scenario())


def test_strangers_are_bounded(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than are remembered, those not heard of for longest are asked for again."""
    monkeypatch.setattr(named_module, "UNKNOWN_KEPT_MAX", 2)

    async def scenario() -> None:
        async with CountingBus(redis_url) as bus:
            named = NamedOrders(OrderLedger(bus, clock=SYSTEM_CLOCK))
            await named.have_at_hand([fill("x"), fill("y")])
            await named.have_at_hand([fill("x"), fill("z")])
            assert bus.reads == [2, 1]
            await named.have_at_hand([fill("x"), fill("z")])
            assert bus.reads == [2, 1]
            await named.have_at_hand([fill("y")])
            assert bus.reads == [2, 1, 1]

    run(scenario())
