"""The broker on a real Redis, over the matching engine and over a Gateway: one request, at most one order, one outcome."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from broker_rig import Orders, Rig, gateway_port, running, simulated_port, simulated_settings
from contract.brokers import resting, submit
from contract.gateways import SYMBOLS, settings_for
from redis_for_tests import KillableServer
from support import eventually, free_port, run

from ibstream.bus import Bus
from ibstream.contracts.base import type_of
from ibstream.contracts.orders import (
    CancelOrder,
    CommissionCharged,
    ModifyOrder,
    OrderStatus,
    Reason,
    SubmitOrder,
)
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream_broker import recovery as recovery_module
from ibstream_broker.adapters.journal import OrderJournal
from ibstream_broker.adapters.simulated import SimulatedBroker
from ibstream_broker.domain import reconcile as reconcile_module
from ibstream_broker.domain.inputs import Executed
from ibstream_broker.domain.lifecycle import published, status_event
from ibstream_broker.domain.records import OrderRecord
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

EMULATOR = EmulatorSettings(symbols=SYMBOLS, port=0, tick_interval_ms=50)
S = OrderStatus

Broker = Callable[[str], AbstractAsyncContextManager[Rig]]


@contextlib.asynccontextmanager
async def simulated(url: str) -> AsyncIterator[Rig]:
    async with running(url, simulated_settings(), simulated_port()) as rig:
        await rig.ready()
        yield rig


@contextlib.asynccontextmanager
async def over_gateway(url: str) -> AsyncIterator[Rig]:
    async with running_gateway(EMULATOR) as gateway:
        settings = settings_for(gateway.port)
        async with running(url, settings, gateway_port(settings)) as rig:
            await rig.ready()
            yield rig


EACH = pytest.mark.parametrize("broker", [simulated, over_gateway])


def cancel(name: str) -> CancelOrder:
    return CancelOrder(client_order_id=name, requested_at=SYSTEM_CLOCK.now())


def modify(name: str, quantity: str | None = None, limit_price: str | None = None) -> ModifyOrder:
    return ModifyOrder(
        client_order_id=name,
        quantity=None if quantity is None else Decimal(quantity),
        limit_price=None if limit_price is None else Decimal(limit_price),
        requested_at=SYSTEM_CLOCK.now(),
    )


def placed(state: Gateway) -> list[str]:
    """The reference of every order that ever reached this Gateway."""
    return [record.placed.order_ref for record in state.orders.records]


@EACH
def test_a_market_order_has_a_whole_story(broker: Broker, redis_url: str) -> None:
    """On its way, at IBKR, filled, charged."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            await rig.orders.send(submit("a"))
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.filled, outcome.symbol) == (S.FILLED, 10, "AAPL")
            [fill] = await rig.orders.fills("a")
            assert outcome.average_price == fill.price
            assert (await rig.orders.steps("a"))[0][0] is S.PENDING_SUBMIT

            async def charged() -> bool:
                return any(isinstance(event, CommissionCharged) for event in await rig.orders.events("a"))

            await eventually(charged, what="the commission")
            await rig.orders.check("a")

    run(scenario())


@EACH
def test_a_repeated_id_is_answered_and_never_sent_again(broker: Broker, redis_url: str) -> None:
    """While the order works and after its end, also with another quantity."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("a"), resting("a"), submit("a", quantity=Decimal(50)))
            await orders.reaches("a", S.SUBMITTED)
            assert (await orders.refused("a")).reason is Reason.DUPLICATE
            await orders.send(cancel("a"))
            await orders.outcome("a")
            await orders.send(resting("a"))
            await eventually(lambda: _refusals(orders, "a", 3), what="three refusals")
            assert (await orders.refused("a")).status is S.CANCELLED
            assert len((await rig.port.snapshot()).completed_orders) == 1

    run(scenario())


async def _refusals(orders: Orders, name: str, count: int) -> bool:
    refused = [event for event in await orders.events(name) if type_of(event) == "orders.refused.v1"]
    return len(refused) == count


@EACH
def test_what_cannot_be_an_order_is_rejected_once_with_a_reason(broker: Broker, redis_url: str) -> None:
    """And nothing is sent. A poisoned request never stops the ones behind it."""
    now = SYSTEM_CLOCK.now()
    far = now.replace(year=9999)
    bad: dict[str, tuple[SubmitOrder, Reason]] = {
        "nan": (submit("nan", quantity=Decimal("NaN")), Reason.INVALID_QUANTITY),
        "huge": (submit("huge", quantity=Decimal("1e999999")), Reason.INVALID_QUANTITY),
        "half": (submit("half", quantity=Decimal("0.5")), Reason.INVALID_QUANTITY),
        "tick": (resting("tick", limit_price=Decimal("1.005")), Reason.INVALID_PRICE),
        "infinite": (resting("infinite", limit_price=Decimal("Infinity")), Reason.INVALID_PRICE),
        "late": (submit("late", valid_until=now - timedelta(seconds=1)), Reason.EXPIRED),
        "old": (submit("old", requested_at=now - timedelta(seconds=31)), Reason.EXPIRED),
        "future": (submit("future", requested_at=far), Reason.INVALID_TIME),
        "account": (submit("account", account="U0"), Reason.INVALID_ACCOUNT),
        "unknown": (submit("unknown", symbol="NOPE"), Reason.UNKNOWN_INSTRUMENT),
    }

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            await rig.orders.send(*(request for request, _ in bad.values()), submit("good"))
            for name, (_, reason) in bad.items():
                outcome = await rig.orders.outcome(name)
                assert (outcome.status, outcome.reason, outcome.order_id) == (S.REJECTED, reason, 0)
                assert outcome.text
            assert (await rig.orders.outcome("good")).status is S.FILLED
            assert [one.order_ref for one in (await rig.port.snapshot()).completed_orders] == ["good"]

    run(scenario())


@EACH
def test_cancels_and_changes_of_resting_orders(broker: Broker, redis_url: str) -> None:
    """A change is taken over; a cancel ends the order; what cannot be done is refused, and the order stands."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("a"))
            await orders.reaches("a", S.SUBMITTED)
            for wrong in (modify("a", "0"), modify("a", limit_price="0"), modify("a", "NaN"), modify("a", "1.5")):
                before = len(await orders.events("a"))
                await orders.send(wrong)
                await eventually(lambda n=before: _more(orders, "a", n), what="a refusal")  # type: ignore[misc]
                assert (await orders.refused("a")).reason in (Reason.INVALID_QUANTITY, Reason.INVALID_PRICE)
            await orders.send(modify("a", "20", "1.25"))

            async def changed() -> bool:
                [listed] = (await rig.port.snapshot()).open_orders
                return (listed.quantity, listed.limit_price) == (20, Decimal("1.25"))

            await eventually(changed, what="the change")
            await orders.send(cancel("a"))
            outcome = await orders.outcome("a")
            assert (outcome.status, outcome.reason, outcome.quantity) == (S.CANCELLED, Reason.CANCEL_REQUESTED, 20)
            await orders.send(cancel("a"), cancel("nobody"), modify("nobody", "5"))
            assert (await orders.refused("a")).reason is Reason.ORDER_IS_FINAL
            assert (await orders.refused("nobody")).reason is Reason.UNKNOWN_ORDER
            await orders.check("a")

    run(scenario())


async def _more(orders: Orders, name: str, than: int) -> bool:
    return len(await orders.events(name)) > than


def test_without_a_gateway_every_order_is_rejected_once_and_the_service_lives(redis_url: str) -> None:
    """And takes orders by itself as soon as there is one."""

    async def scenario() -> None:
        port = free_port()
        settings = settings_for(port)
        async with running(redis_url, settings, gateway_port(settings)) as rig:
            await rig.orders.send(*(submit(f"o-{number}") for number in range(5)))
            for number in range(5):
                outcome = await rig.orders.outcome(f"o-{number}")
                assert (outcome.status, outcome.reason) == (S.REJECTED, Reason.GATEWAY_DISCONNECTED)
                assert [status for status, _ in await rig.orders.steps(f"o-{number}")] == [S.REJECTED]
            async with running_gateway(msgspec.structs.replace(EMULATOR, port=port)) as gateway:
                await rig.ready()
                await rig.orders.send(submit("o-0"), submit("new"))
                assert (await rig.orders.outcome("new")).status is S.FILLED
                assert (await rig.orders.refused("o-0")).reason is Reason.DUPLICATE
                assert placed(gateway.state) == ["new"]

    run(scenario())


def test_a_gateway_that_dies_and_returns_loses_no_order_and_no_fill(redis_url: str) -> None:
    """One rests through it and can be cancelled; one fills while nobody listens, and that is told exactly once."""

    async def scenario() -> None:
        async with running_gateway(EMULATOR) as gateway:
            state = gateway.state
            settings = settings_for(gateway.port)
            async with running(redis_url, settings, gateway_port(settings)) as rig:
                await rig.ready()
                orders = rig.orders
                await orders.send(resting("rests"), resting("fills", symbol="MSFT"))
                for name in ("rests", "fills"):
                    await orders.reaches(name, S.SUBMITTED)
                await gateway.stop()
                await eventually(lambda: rig.host.state is not ConnectionState.READY, what="the loss noticed")
                await orders.send(submit("refused"))
                assert (await orders.outcome("refused")).reason is Reason.GATEWAY_DISCONNECTED
                _market_comes_to(state, "fills")
                again = GatewayServer(state, host="127.0.0.1", port=gateway.port)
                await again.start()
                try:
                    await rig.ready()
                    outcome = await orders.outcome("fills")
                    assert (outcome.status, outcome.filled) == (S.FILLED, 10)
                    assert len(await orders.fills("fills")) == 1
                    await orders.send(cancel("rests"))
                    assert (await orders.outcome("rests")).status is S.CANCELLED
                    assert sorted(placed(state)) == ["fills", "rests"]
                finally:
                    await again.stop()

    run(scenario())


def _market_comes_to(state: Gateway, name: str) -> None:
    """The order fills at the exchange, and nobody is connected to hear of it."""
    record = state.orders.records.find(order_ref=name)
    events = state.engine.modify(record.perm_id, state.now_ns(), limit_price=Decimal("5000.00"))
    assert state.orders.told(events)
    assert record.status == "Filled"


def test_an_order_that_never_left_is_resolved_and_mistaken_for_nothing_else(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journalled by a broker that died before it sent: unknown, then rejected, never sent by its successor.

    Requests share the counter of the order ids, and the Gateway's does not know of this one: an answer to a request must
    not be taken for the order's. An order of another account is not touched at all.
    """

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus, running_gateway(EMULATOR) as gateway:
            for name, account, order_id in (("never-left", "DU9000001", 6), ("other", "DU7", 7)):
                await _journal(bus, submit(name), account, order_id)
            settings = settings_for(gateway.port)
            async with running(redis_url, settings, gateway_port(settings)) as rig:
                await rig.ready()
                orders = rig.orders
                unknown = [f"NOPE{letter}" for letter in "ABCDEFGH"]
                await orders.send(*(submit(symbol, symbol=symbol) for symbol in unknown))
                for symbol in unknown:
                    assert (await orders.outcome(symbol)).reason is Reason.UNKNOWN_INSTRUMENT
                assert (await orders.steps("never-left"))[-1][0] is S.UNKNOWN
                await orders.send(modify("never-left", "50"), cancel("other"))
                assert (await orders.refused("never-left")).reason is Reason.NO_ANSWER
                assert (await orders.refused("other")).reason is Reason.INVALID_ACCOUNT
                monkeypatch.setattr(reconcile_module, "GONE_AFTER", timedelta(seconds=0.2))
                outcome = await orders.outcome("never-left")
                assert (outcome.status, outcome.reason, outcome.code) == (S.REJECTED, Reason.NO_ANSWER, 0)
                assert (await orders.steps("other"))[-1][0] is S.UNKNOWN
                assert placed(gateway.state) == []

    monkeypatch.setattr(recovery_module, "SOON_S", 0.2)
    run(scenario())


async def _journal(bus: Bus, request: SubmitOrder, account: str, order_id: int) -> None:
    record = OrderRecord(request=request, entry_id="1-1", account=account, order_id=order_id)
    record, events = published(record, [status_event(record, SYSTEM_CLOCK.now())])
    await OrderJournal(bus, 0).commit([record], events)


class FreezesRedis(SimulatedBroker):
    """Stops the server in the moment between the last look at an order and its journal entry."""

    server: KillableServer | None = None

    def next_order_id(self, at_least: int) -> int:
        """The next number; the first request to come finds Redis frozen behind it."""
        if self.server is not None:
            self.server.signal(signal.SIGSTOP)
            self.server = None
        return super().next_order_id(at_least)


@pytest.mark.parametrize(("valid_for_s", "status"), [(0.8, S.REJECTED), (30.0, S.FILLED)])
def test_an_order_whose_time_ran_out_while_it_was_journalled_is_not_sent(
    private_server: Callable[[], KillableServer], valid_for_s: float, status: OrderStatus
) -> None:
    """Redis stood still for longer than the order was good for; if it was still good, it goes out, once."""

    async def scenario() -> None:
        port = FreezesRedis(MatchingEngine(Market(7)), InstrumentMaster(SYMBOLS), clock=SYSTEM_CLOCK)
        async with private_server() as server, running(server.url, simulated_settings(), port) as rig:
            await rig.ready()
            port.server = server
            until = SYSTEM_CLOCK.now() + timedelta(seconds=valid_for_s)
            await rig.orders.send(submit("a", valid_until=until))
            await eventually(lambda: port.server is None, what="the frozen moment")
            await SYSTEM_CLOCK.sleep(1.0)  # not for a state: the time that passes is the test
            server.signal(signal.SIGCONT)
            outcome = await rig.orders.outcome("a")
            assert outcome.status is status
            assert outcome.reason is (Reason.EXPIRED if status is S.REJECTED else Reason.NONE)
            completed = (await port.snapshot()).completed_orders
            assert len(completed) == (status is S.FILLED)

    run(scenario())


def test_a_fill_after_the_end_is_told_even_by_a_broker_that_never_knew_the_order(redis_url: str) -> None:
    """The order ended in an earlier life of the broker; the journal still knows it."""

    async def scenario() -> None:
        async with simulated(redis_url) as rig:
            await rig.orders.send(resting("a"))
            await rig.orders.reaches("a", S.SUBMITTED)
            await rig.orders.send(cancel("a"))
            await rig.orders.outcome("a")
            [event] = [one for one in await rig.orders.events("a") if getattr(one, "final", False)]
        async with simulated(redis_url) as rig:
            late = Executed(
                exec_id="0000e0d5.6560a1b2.01.01",
                order_ref="a",
                order_id=0,
                perm_id=event.perm_id,  # type: ignore[union-attr]
                symbol="AAPL",
                side=submit("a").side,
                quantity=Decimal(3),
                price=Decimal("1.00"),
                account="SIMULATED",
                exchange="ISLAND",
                executed_at=SYSTEM_CLOCK.now(),
            )
            stranger = replace_ref(late, "nobody's")
            for one in (stranger, late, late):
                rig.port._teller.on_input(one)  # type: ignore[attr-defined]
            await eventually(lambda: rig.orders.fills("a"), what="the fill")
            await rig.orders.send(submit("b"))
            await rig.orders.outcome("b")
            assert [fill.quantity for fill in await rig.orders.fills("a")] == [3]
            await rig.orders.check("a")
            assert await rig.orders.events("nobody's") == []

    run(scenario())


def replace_ref(executed: Executed, name: str) -> Executed:
    return msgspec.structs.replace(executed, order_ref=name, exec_id="0000e0d5.6560a1b2.02.01")


def test_redis_dies_and_returns_and_nothing_is_lost_or_doubled(
    private_server: Callable[[], KillableServer],
) -> None:
    """Killed in the middle of the orders; what was asked for before has one outcome each, and at most one order."""

    async def scenario() -> None:
        async with private_server() as server, running_gateway(EMULATOR) as gateway:
            settings = settings_for(gateway.port)
            async with running(server.url, settings, gateway_port(settings)) as rig:
                await rig.ready()
                names = [f"o-{number}" for number in range(12)]
                await rig.orders.send(*(submit(name) for name in names))
                await eventually(lambda: len(placed(gateway.state)) >= 3, what="the first orders")
                await server.kill()
                await server.start()
                for name in names:
                    outcome = await rig.orders.outcome(name, within_s=25)
                    traded = outcome.status is S.FILLED
                    assert placed(gateway.state).count(name) == traded, (name, outcome)
                    assert len(await rig.orders.fills(name)) == traded

    run(scenario())
