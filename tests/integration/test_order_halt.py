"""What closes the gate for everybody, and what passes all the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from broker_rig import Rig, gateway_port, running
from contract.brokers import resting, submit
from contract.gateways import settings_for
from integration.broker_cases import (
    EACH,
    EMULATOR,
    Broker,
    cancel,
    changed,
    halt,
    modify,
    over_gateway,
    placed,
    resume,
    simulated,
    what_if,
    works,
)
from redis_for_tests import KillableServer
from support import eventually, free_port, run

from ibstream.bus import Bus
from ibstream.contracts.orders import OrderRequest, OrderStatus, Reason
from ibstream.contracts.registry import ORDER_FENCE_KEY, SYSTEM_CONTROL
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.adapters.journal import OrderJournal
from ibstream_broker.domain.lifecycle import published, status_event
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.restart_window import RestartWindow
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.server import running_gateway

S = OrderStatus


@EACH
def test_a_halt_stops_orders_and_changes_but_no_cancel(broker: Broker, redis_url: str) -> None:
    """Until somebody resumes; and a question what an order would do is none."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("a"))
            await orders.reaches("a", S.SUBMITTED)
            await halt(rig)
            await orders.send(submit("b"), modify("a", quantity="20"), cancel("a"))
            rejected = await orders.outcome("b")
            assert (rejected.status, rejected.reason) == (S.REJECTED, Reason.HALTED)
            assert "ops" in rejected.text
            assert "drill" in rejected.text
            assert (await orders.refused("a")).reason is Reason.HALTED
            assert (await orders.outcome("a")).status is S.CANCELLED
            await resume(rig)
            await orders.send(submit("c"))
            assert (await orders.outcome("c")).status is S.FILLED

    run(scenario())


@EACH
def test_a_halt_outlives_a_restart(broker: Broker, redis_url: str) -> None:
    """The broker that starts anew takes no order before it knows, even one that was waiting for it."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            await halt(rig)
            orders = rig.orders
            await orders.send(submit("a"))
            assert (await orders.outcome("a")).reason is Reason.HALTED
        async with Bus(redis_url, client_name="test"), broker(redis_url) as rig:
            await rig.orders.send(submit("b"))
            assert (await rig.orders.outcome("b")).reason is Reason.HALTED
            await resume(rig)
            await rig.orders.send(submit("c"))
            assert (await rig.orders.outcome("c")).status is S.FILLED

    run(scenario())


@EACH
def test_a_halt_that_asks_for_it_cancels_what_works(broker: Broker, redis_url: str) -> None:
    """Of every strategy."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            for name, strategy in (("a", "x"), ("b", "y")):
                await orders.send(resting(name, strategy=strategy))
                await orders.reaches(name, S.SUBMITTED)
            await halt(rig, cancel_orders=True)
            for name in ("a", "b"):
                outcome = await orders.outcome(name)
                assert (outcome.status, outcome.reason) == (S.CANCELLED, Reason.CANCEL_REQUESTED)
            assert await works(rig)

    run(scenario())


def test_a_halt_while_the_gateway_is_away_cancels_once_it_is_back(redis_url: str) -> None:
    """And once the broker is back, too, if it was away when the halt was ordered."""

    async def scenario() -> None:
        state, port = Gateway(EMULATOR, SYSTEM_CLOCK), free_port()
        emulator = changed(port=port)
        settings = settings_for(port)
        async with running(redis_url, settings, gateway_port(settings)) as rig:
            async with running_gateway(emulator, state=state):
                await rig.ready()
                await rig.orders.send(resting("a"), resting("b"))
                for name in ("a", "b"):
                    await rig.orders.reaches(name, S.SUBMITTED)
            await eventually(lambda: rig.host.state is not ConnectionState.READY, what="the loss noticed")
            await halt(rig, cancel_orders=True)
            async with running_gateway(emulator, state=state):
                for name in ("a", "b"):
                    assert (await rig.orders.outcome(name)).status is S.CANCELLED
                await resume(rig)
                await rig.orders.send(resting("c"))
                await rig.orders.reaches("c", S.SUBMITTED)
        async with Bus(redis_url, client_name="test") as bus:
            await halt(Rig(rig.host, _Deaf(), rig.port, type(rig.orders)(bus)), cancel_orders=True)  # type: ignore[arg-type]
        async with over_gateway(redis_url, emulator=emulator, state=state) as again:
            assert (await again.orders.outcome("c")).status is S.CANCELLED
            assert placed(state) == ["a", "b", "c"]

    run(scenario(), timeout_s=90)


class _Deaf:
    """A broker that is not there: whoever waits for it to hear of a halt need not."""

    class standing:  # noqa: N801 - stands where the service has an object
        halt = object()


def test_what_never_reached_the_gateway_is_not_sent_again_while_halted(redis_url: str) -> None:
    """It would be provable, and in time: the halt rejects it all the same, also right after a restart."""

    async def scenario() -> None:
        state = Gateway(EMULATOR, SYSTEM_CLOCK)
        async with over_gateway(redis_url, state=state) as rig:
            await halt(rig)
            epoch = rig.service._office.epoch
        async with Bus(redis_url, client_name="test") as bus:
            until = SYSTEM_CLOCK.now() + timedelta(seconds=60)
            record = OrderRecord(
                request=resting("a"), entry_id="1-1", account="DU9000001", order_id=50, epoch=epoch, valid_until=until
            )
            record, events = published(record, [status_event(record, SYSTEM_CLOCK.now())])
            await OrderJournal(bus, int(await bus.get(ORDER_FENCE_KEY) or 0)).commit([record], events)
        async with over_gateway(redis_url, state=state) as rig:
            outcome = await rig.orders.outcome("a", within_s=30)
            assert (outcome.status, outcome.reason) == (S.REJECTED, Reason.HALTED)
            assert placed(state) == []

    run(scenario(), timeout_s=90)


def around_now(offset_s: float) -> RestartWindow:
    """A restart so many seconds from now, on the minute before it."""
    at = (SYSTEM_CLOCK.now() + timedelta(seconds=offset_s)).astimezone(UTC)
    return RestartWindow(time(at.hour, at.minute, at.second), ZoneInfo("UTC"))


def test_before_a_restart_nothing_is_sent_and_a_new_session_after_it_opens_the_gate(redis_url: str) -> None:
    """Cancels pass; modifies do not. The session from before the restart is not trusted after it either."""

    async def scenario() -> None:
        state, port = Gateway(EMULATOR, SYSTEM_CLOCK), free_port()
        emulator = changed(port=port)
        settings = settings_for(port)
        async with running(redis_url, settings, gateway_port(settings)) as rig:
            async with running_gateway(emulator, state=state):
                await rig.ready()
                orders = rig.orders
                await orders.send(resting("a"))
                await orders.reaches("a", S.SUBMITTED)
                rig.service.standing.window = around_now(+2.5)
                await orders.send(submit("b"), modify("a", quantity="20"), cancel("a"))
                rejected = await orders.outcome("b")
                assert (rejected.status, rejected.reason) == (S.REJECTED, Reason.RESTART_WINDOW)
                assert (await orders.refused("a")).reason is Reason.RESTART_WINDOW
                assert (await orders.outcome("a")).status is S.CANCELLED
                window = rig.service.standing.window
                await eventually(lambda: _is_past(window), what="the time of the restart")
                await orders.send(submit("c"))
                assert (await orders.outcome("c")).reason is Reason.RESTART_WINDOW
            await eventually(lambda: rig.host.state is not ConnectionState.READY, what="the restart noticed")
            async with running_gateway(emulator, state=state):
                await rig.ready()
                await orders.send(submit("d"))
                assert (await orders.outcome("d")).status is S.FILLED
                assert placed(state) == ["a", "d"]

    run(scenario(), timeout_s=90)


def _is_past(window: RestartWindow) -> bool:
    now = SYSTEM_CLOCK.now()
    return now.time() > window.at


@pytest.mark.parametrize("kind", ["order", "modify", "what-if", "cancel"])
def test_a_read_only_api_refuses_by_name_until_the_session_is_new(kind: str, redis_url: str) -> None:
    """The first request finds out; those after it are refused without being sent. An order that works stands."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("works"))
            await orders.reaches("works", S.SUBMITTED)
            rig.command(verbs.ReadOnlyApi())
            first: dict[str, OrderRequest] = {
                "order": resting("first"),
                "modify": modify("works", quantity="20"),
                "what-if": what_if(resting("first")),
                "cancel": cancel("works"),
            }
            await orders.send(first[kind])
            if kind == "order":
                outcome = await orders.outcome("first", within_s=30)
                assert (outcome.status, outcome.reason, outcome.code) == (S.REJECTED, Reason.REJECTED_BY_IBKR, 321)
            await eventually(lambda: rig.service.standing.read_only, what="the mode noticed")
            sent = rig.placed()
            await orders.send(submit("second"), modify("works", quantity="30"), what_if(submit("asked")))
            assert (await orders.outcome("second")).reason is Reason.READ_ONLY_API
            for name in ("works", "asked"):
                assert (await orders.refused(name)).reason is Reason.READ_ONLY_API
            assert rig.placed() == sent
            rig.command(verbs.Clear(fault="read_only_api"))
            rig.command(verbs.DropConnection())
            await eventually(lambda: not rig.service.standing.read_only, what="another session")
            await rig.ready()
            await orders.send(submit("third"))
            assert (await orders.outcome("third")).status is S.FILLED
            if kind != "cancel":
                assert (await orders.steps("works"))[-1][0] is S.SUBMITTED

    run(scenario(), timeout_s=90)


@pytest.mark.parametrize(("durability", "is_refused"), [("required", True), ("auto", False), ("off", False)])
def test_a_redis_that_keeps_nothing_is_refused_where_the_settings_require_more(
    private_server: Callable[[], KillableServer], durability: str, is_refused: bool
) -> None:
    """By name; else it is traded on, and the heartbeat says what is not known."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            await bus.call(bus.redis.config_set("appendonly", "no"))
            async with simulated(server.url, durability=durability) as rig:
                await rig.orders.send(submit("a"))
                outcome = await rig.orders.outcome("a")
                assert (outcome.reason is Reason.JOURNAL_NOT_DURABLE) is is_refused
                assert (outcome.status is S.REJECTED) is is_refused
                assert rig.service.details()["journal"] == "not known to be on disk"

    run(scenario())


@pytest.mark.parametrize("durability", ["required", "auto"])
def test_a_redis_with_an_append_only_file_is_traded_on(redis_url: str, durability: str) -> None:
    """And said to be durable."""

    async def scenario() -> None:
        async with simulated(redis_url, durability=durability) as rig:
            await rig.orders.send(submit("a"))
            assert (await rig.orders.outcome("a")).status is S.FILLED
            assert rig.service.details()["journal"] == "on disk"

    run(scenario())


def test_a_broker_that_has_lost_its_slot_sends_nothing(redis_url: str) -> None:
    """It has journalled the order already, and finds in the last moment that another may be active."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            await rig.orders.send(resting("a"))
            await rig.orders.reaches("a", S.SUBMITTED)
            rig.service._office.held = lambda: False
            await rig.orders.send(resting("b"), cancel("a"))
            outcome = await rig.orders.outcome("b")
            assert (outcome.status, outcome.reason) == (S.REJECTED, Reason.GATEWAY_DISCONNECTED)
            assert (await rig.orders.refused("a")).reason is Reason.GATEWAY_DISCONNECTED
            assert rig.placed() == ["a"]
            assert await works(rig, "a")
            assert (await rig.orders.steps("a"))[-1][0] is S.SUBMITTED

    run(scenario())


@pytest.mark.parametrize(("durability", "reason"), [("auto", Reason.NONE), ("required", Reason.JOURNAL_NOT_DURABLE)])
def test_a_redis_that_keeps_nothing_from_now_on(
    private_server: Callable[[], KillableServer], durability: str, reason: Reason
) -> None:
    """Its append-only file is switched off under a running broker: the order on its way has one outcome, as the settings say."""

    async def scenario() -> None:
        async with private_server() as server, simulated(server.url, durability=durability) as rig:
            await rig.orders.send(submit("before"))
            await rig.orders.outcome("before")
            await rig.orders.bus.call(rig.orders.bus.redis.config_set("appendonly", "no"))
            await rig.orders.send(submit("a"))
            outcome = await rig.orders.outcome("a", within_s=30)
            assert await eventually(lambda: rig.service.details()["journal"] != "on disk", what="the loss noticed")
            await rig.ready()
            await rig.orders.send(submit("b"))
            later = await rig.orders.outcome("b")
            assert later.reason is reason
            assert (later.status is S.FILLED) is (reason is Reason.NONE)
            traded = len((await rig.port.snapshot()).completed_orders)
            assert traded == sum(one.status is S.FILLED for one in (outcome, later)) + 1

    run(scenario(), timeout_s=90)


def test_what_cannot_be_read_on_the_control_stream_hides_no_halt(redis_url: str) -> None:
    """Not before it and not after it, for a broker that runs and for one that starts."""

    async def scenario() -> None:
        async with simulated(redis_url) as rig:
            bus = rig.orders.bus
            bad: dict[Any, Any] = {"type": "system.halt.v1", "data": b"{"}
            unknown: dict[Any, Any] = {"type": "system.halt.v9", "data": b"{}"}
            for fields in (bad, unknown):
                await bus.call(bus.redis.xadd(SYSTEM_CONTROL.name, fields))
            await halt(rig)
            for fields in (bad, unknown):
                await bus.call(bus.redis.xadd(SYSTEM_CONTROL.name, fields))
            await rig.orders.send(submit("a"))
            assert (await rig.orders.outcome("a")).reason is Reason.HALTED
        async with simulated(redis_url) as rig:
            await rig.orders.send(submit("b"))
            assert (await rig.orders.outcome("b")).reason is Reason.HALTED

    run(scenario())


def test_a_cancel_that_waits_for_the_link_is_refused_when_its_time_is_over(redis_url: str) -> None:
    """And not when the link is back, which can be hours later; one without a time goes out then."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("a"), resting("b"))
            for name in "ab":
                await orders.reaches(name, S.SUBMITTED)
            rig.command(verbs.LoseLink())
            await eventually(lambda: rig.host.state is ConnectionState.DEGRADED, what="the loss noticed")
            until = SYSTEM_CLOCK.now() + timedelta(seconds=1)
            await orders.send(cancel("a", valid_until=until), cancel("b"))
            refused = await orders.refused("a")
            assert (refused.reason, refused.status) == (Reason.EXPIRED, S.SUBMITTED)
            rig.command(verbs.RestoreLink())
            assert (await orders.outcome("b")).status is S.CANCELLED
            assert await works(rig, "a")

    run(scenario())
