"""What is held, by fills and by IBKR: mismatches are told and close the gate for one instrument; others' orders are let be."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from contract.brokers import combo, resting, submit
from contract.ib_async_terminal import connected, limit
from integration.broker_cases import (
    EMULATOR,
    GatewayRig,
    accept_positions,
    cancel,
    cancel_all,
    changed,
    mismatches,
    modify,
    over_gateway,
    simulated,
    strangers,
    works,
)
from support import eventually, run

from ibstream.bus import Bus
from ibstream.contracts.orders import OrderStatus, Reason, Side
from ibstream.contracts.portfolio import PositionMismatch
from ibstream.contracts.registry import STRATEGY_POSITIONS_KEY, order_positions_key
from ibstream.runtime import metrics
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker import recovery as recovery_module
from ibstream_broker.domain import position_lines as lines_module
from ibstream_broker.domain import positions as positions_module
from ibstream_broker.domain.lifecycle import moved
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.settings import Holding

S = OrderStatus
AAPL_ID = 265598

HOLDING = changed(holdings=(Holding(symbol="AAPL", quantity=Decimal(100), average_cost=Decimal(50)),))


def hidden_trade(state: Gateway, quantity: int, symbol: str = "AAPL") -> None:
    """What the account holds changes, and no execution tells of it."""
    state.engine.account.apply_fill(symbol, Decimal(quantity), Decimal(50), Decimal(0))


async def reconnects(rig: GatewayRig) -> None:
    """The session ends, and there is another."""
    before = rig.port.session
    rig.command(verbs.DropConnection(client_id=1))
    await eventually(lambda: rig.port.session > before, what="another session")
    await rig.ready()


async def another_second() -> None:
    """Executions are told by the second: what follows is not of the same one as the listing before."""
    later = SYSTEM_CLOCK.now() + timedelta(seconds=1.1)
    await eventually(lambda: SYSTEM_CLOCK.now() > later, what="another second")


def gauge() -> float:
    """The metric of mismatches."""
    [sample] = next(iter(metrics.POSITION_MISMATCHES.collect())).samples
    return float(sample.value)


def test_a_hidden_trade_is_told_and_blocks_what_would_enlarge_until_it_is_accepted(redis_url: str) -> None:
    """Found at the next connect. Orders that reduce what is held pass, however, in other instruments all do."""

    async def scenario() -> None:
        async with over_gateway(redis_url, emulator=HOLDING) as rig:
            orders = rig.orders
            hidden_trade(rig.gateway.state, -40)
            await reconnects(rig)
            [told] = await mismatches(rig)
            assert (told.symbol, told.con_id, told.by_fills, told.by_ibkr) == ("AAPL", AAPL_ID, 100, 60)
            assert not told.agrees
            assert gauge() == rig.service.details()["position_mismatches"] == 1
            await another_second()
            await orders.send(
                submit("buys"),
                submit("turns", side=Side.SELL, quantity=Decimal(61)),
                submit("reduces", side=Side.SELL, quantity=Decimal(10)),
                submit("other", symbol="MSFT"),
            )
            for name in ("buys", "turns"):
                outcome = await orders.outcome(name)
                assert (outcome.status, outcome.reason) == (S.REJECTED, Reason.POSITION_MISMATCH), name
                assert "60" in outcome.text
            for name in ("reduces", "other"):
                assert (await orders.outcome(name)).status is S.FILLED
            await accept_positions(rig)
            await eventually(lambda: rig.service.details()["position_mismatches"] == 0, what="the word taken")
            agreed = await eventually(lambda: _agreement(rig), what="the end of it told")
            assert (agreed.by_fills, agreed.by_ibkr, agreed.agrees) == (50, 50, True)
            assert gauge() == 0
            await orders.send(submit("buys-again"))
            assert (await orders.outcome("buys-again")).status is S.FILLED

    run(scenario())


async def _agreement(rig: GatewayRig) -> PositionMismatch | None:
    return next((one for one in await mismatches(rig) if one.agrees), None)


def test_a_combo_is_blocked_by_either_of_its_legs(redis_url: str) -> None:
    """It would buy AAPL, which adds up, and sell MSFT, which does not."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            hidden_trade(rig.gateway.state, -5, "MSFT")
            await reconnects(rig)
            await rig.orders.send(submit("a", instrument=combo(), quantity=Decimal(1)), submit("b"))
            assert (await rig.orders.outcome("a")).reason is Reason.POSITION_MISMATCH
            assert (await rig.orders.outcome("b")).status is S.FILLED

    run(scenario())


def test_what_works_already_counts_towards_what_reduces(redis_url: str) -> None:
    """60 are held: 40 may be sold after 20, and not one more; a modify may not do what an order may not."""

    async def scenario() -> None:
        async with over_gateway(redis_url, emulator=HOLDING) as rig:
            orders = rig.orders
            hidden_trade(rig.gateway.state, -40)
            await reconnects(rig)
            details: dict[str, Any] = {"side": Side.SELL, "limit_price": Decimal("9000.00")}
            await orders.send(submit("a", quantity=Decimal(20), **details))
            await orders.reaches("a", S.SUBMITTED)
            await orders.send(
                submit("b", quantity=Decimal(41), **details), submit("c", quantity=Decimal(40), **details)
            )
            assert (await orders.outcome("b")).reason is Reason.POSITION_MISMATCH
            await orders.reaches("c", S.SUBMITTED)
            await orders.send(modify("c", quantity="41"))
            assert (await orders.refused("c")).reason is Reason.POSITION_MISMATCH
            await orders.send(modify("c", quantity="30"))
            await eventually(lambda: rig.order("c").placed.quantity == 30, what="the smaller quantity")
            await orders.send(cancel_all())
            assert (await orders.outcome("c")).status is S.CANCELLED

    run(scenario())


def test_a_mismatch_outlives_a_restart_of_the_broker(redis_url: str) -> None:
    """And an operator's word that was given before it does not count for one that came later."""

    async def scenario() -> None:
        state = Gateway(HOLDING, SYSTEM_CLOCK)
        async with over_gateway(redis_url, state=state) as rig:
            await accept_positions(rig)
        hidden_trade(state, -40)
        for name in ("a", "b"):
            async with over_gateway(redis_url, state=state) as rig:
                assert rig.service.details()["position_mismatches"] == 1
                [told, *_] = await eventually(lambda: mismatches(rig), what="the mismatch told")
                assert (told.by_fills, told.by_ibkr, told.agrees) == (100, 60, False)
                await rig.orders.send(submit(name))
                assert (await rig.orders.outcome(name)).reason is Reason.POSITION_MISMATCH
                assert rig.placed() == []

    run(scenario())


def test_strategies_hold_nothing_any_more_where_the_executor_has_forgotten(redis_url: str) -> None:
    """A simulated account is empty after a restart of the broker; what a strategy held in another account stays."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await bus.set_fields(STRATEGY_POSITIONS_KEY, {f"U1|test|{AAPL_ID}": b"7"})
            for name in ("before", "after"):
                async with simulated(redis_url) as rig:
                    held = await bus.hash(STRATEGY_POSITIONS_KEY)
                    field = f"{rig.port.account}|test|{AAPL_ID}".encode()
                    assert held.get(field, b"0") == b"0", "at the beginning of either life"
                    await rig.orders.send(submit(name))
                    await rig.orders.reaches(name, S.FILLED)
                    held = await bus.hash(STRATEGY_POSITIONS_KEY)
                    assert (held[field], held[f"U1|test|{AAPL_ID}".encode()]) == (b"10", b"7")

    run(scenario())


def test_where_mismatches_are_only_reported_nothing_is_blocked(redis_url: str) -> None:
    """Setting `report`: the event and the metric are there, and the order passes."""

    async def scenario() -> None:
        async with over_gateway(redis_url, emulator=HOLDING, broker={"on_position_mismatch": "report"}) as rig:
            hidden_trade(rig.gateway.state, -40)
            await reconnects(rig)
            assert len(await mismatches(rig)) == 1
            await rig.orders.send(submit("a"))
            assert (await rig.orders.outcome("a")).status is S.FILLED

    run(scenario())


def test_fills_while_away_are_recovered_and_no_mismatch(redis_url: str) -> None:
    """The broker was gone; the executions explain what is held now."""

    async def scenario() -> None:
        state = Gateway(HOLDING, SYSTEM_CLOCK)
        async with over_gateway(redis_url, state=state) as rig:
            await rig.orders.send(resting("a"))
            await rig.orders.reaches("a", S.SUBMITTED)
        await another_second()
        record = state.orders.records.find(order_ref="a")
        assert state.orders.told(state.engine.modify(record.perm_id, state.now_ns(), limit_price=Decimal("5000.00")))
        async with over_gateway(redis_url, state=state) as rig:
            assert (await rig.orders.outcome("a")).status is S.FILLED
            assert len(await rig.orders.fills("a")) == 1
            assert await mismatches(rig) == []
            line = (await rig.orders.bus.hash(order_positions_key("DU9000001")))[str(AAPL_ID).encode()]
            assert b'"quantity":"110"' in line

    run(scenario())


def test_orders_of_another_client_are_told_once_per_status_and_never_touched(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Working, then filled; a cancel of everything is not about them; and what they trade counts towards what is held."""
    monkeypatch.setattr(recovery_module, "SOON_S", 0.2)

    async def scenario() -> None:
        options = {"reconcile_interval_s": 0.5}
        async with over_gateway(redis_url, **options) as rig, connected(rig.gateway, 7) as terminal:  # type: ignore[arg-type]
            theirs = terminal.place(limit("BUY", 30, 1.0, orderRef="by-hand"))
            await eventually(lambda: _statuses(rig, "by-hand"), what="the order of another")
            await rig.orders.send(resting("ours"))
            await rig.orders.reaches("ours", S.SUBMITTED)
            await rig.orders.send(cancel_all(), cancel("by-hand"))
            assert (await rig.orders.outcome("ours")).status is S.CANCELLED
            assert (await rig.orders.refused("by-hand")).reason is Reason.UNKNOWN_ORDER
            assert await works(rig, "by-hand")
            rig.command(verbs.Fill(perm_id=theirs.order.permId))
            await eventually(lambda: _is_told(rig, "by-hand", "Filled"), what="its end")
            assert await _statuses(rig, "by-hand") == ["Submitted", "Filled"]
            [first, _] = [one for one in await strangers(rig) if one.order_ref == "by-hand"]
            assert (first.symbol, first.side, first.quantity, first.client_id) == ("AAPL", Side.BUY, 30, 7)
            await eventually(lambda: rig.service._office.positions.quantity(AAPL_ID) == 30, what="their trade counted")
            await reconnects(rig)
            assert rig.service.details()["position_mismatches"] == 0
            assert await rig.orders.fills("by-hand") == []

    run(scenario())


async def _statuses(rig: GatewayRig, name: str) -> list[str]:
    return [one.status for one in await strangers(rig) if one.order_ref == name]


async def _is_told(rig: GatewayRig, name: str, status: str) -> bool:
    return status in await _statuses(rig, name)


@pytest.mark.parametrize("when", ["while it lives", "after a restart"])
def test_an_order_that_rises_again_after_its_outcome_is_ended_and_told(when: str, redis_url: str) -> None:
    """It was called rejected, and works at IBKR: its strategy relies on the outcome, so it is put down, and that is told."""

    async def scenario() -> None:
        state = Gateway(EMULATOR, SYSTEM_CLOCK)
        before = metrics.ORDERS_RISEN._value.get()
        async with over_gateway(redis_url, state=state) as rig:
            await rig.orders.send(resting("a"))
            await rig.orders.reaches("a", S.SUBMITTED)
            await _call_dead(rig, "a")
            if when == "while it lives":
                await rig.port.snapshot()
                await _is_put_down(rig)
        if when == "after a restart":
            async with over_gateway(redis_url, state=state) as rig:
                await _is_put_down(rig)
        assert metrics.ORDERS_RISEN._value.get() > before

    run(scenario())


async def _call_dead(rig: GatewayRig, name: str) -> None:
    """Give a working order the outcome of one that IBKR refused."""
    async with rig.service._ledger.changing() as change:
        record = change.now(name)
        assert record is not None
        change.step(moved(record, S.REJECTED, SYSTEM_CLOCK.now(), reason=Reason.NO_ANSWER))


async def _is_put_down(rig: GatewayRig) -> None:
    await eventually(lambda: works(rig), what="the order ended at the Gateway")
    told = await strangers(rig)
    assert {(one.order_ref, one.status) for one in told} == {("a", "Submitted")}
    outcome = await rig.orders.outcome("a")
    assert (outcome.status, outcome.reason) == (S.REJECTED, Reason.NO_ANSWER)


def test_a_hidden_trade_is_found_while_the_session_lasts_and_its_end_too(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the listings that are asked for again and again; when the sums agree again, orders pass without anybody's word."""
    for module in (positions_module, lines_module):
        monkeypatch.setattr(module, "GRACE", timedelta(seconds=0.5))

    async def scenario() -> None:
        async with over_gateway(redis_url, emulator=HOLDING, reconcile_interval_s=0.5) as rig:
            hidden_trade(rig.gateway.state, -40)
            [told] = await eventually(lambda: mismatches(rig), within_s=15, what="the mismatch told")
            assert (told.by_fills, told.by_ibkr, told.agrees) == (100, 60, False)
            await rig.orders.send(submit("a"))
            assert (await rig.orders.outcome("a")).reason is Reason.POSITION_MISMATCH
            hidden_trade(rig.gateway.state, 40)
            agreed = await eventually(lambda: _agreement(rig), within_s=15, what="its end told")
            assert (agreed.by_fills, agreed.by_ibkr) == (100, 100)
            assert len(await mismatches(rig)) == 2
            await rig.orders.send(submit("b"))
            assert (await rig.orders.outcome("b")).status is S.FILLED

    run(scenario())
