"""Cards B-100 to B-109: what only an executor in this process promises: corrections on command, bounds, its own clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from contract.brokers import MARKET, Desk, resting, submit, trading
from contract.gateways import SYMBOLS
from support import run

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Side
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.orders import CancelReason, Event
from ibstream_broker.adapters.simulated import TICK_INTERVAL_S, SimulatedBroker
from ibstream_broker.adapters.simulated_orders import ENDED_KEPT
from ibstream_broker.adapters.stub import ORDERS_KEPT, PaperStubBroker
from ibstream_broker.domain.inputs import AccountValueReported, CodeReported, CommissionReported, Executed, PnlReported
from ibstream_broker.ports import BrokerPort, Placement

D = Decimal
EVENING = datetime(2026, 11, 24, 4, 59, 30, tzinfo=UTC)
"""Half a minute before midnight in New York."""


def executor(engine: MatchingEngine, clock: ManualClock | None = None) -> SimulatedBroker:
    return SimulatedBroker(engine, InstrumentMaster(SYMBOLS), clock=clock or SYSTEM_CLOCK)


async def tick(clock: ManualClock, count: int = 1) -> None:
    """Let the executor look at the market so often."""
    await SYSTEM_CLOCK.sleep(0)  # it may not have begun to wait for the first
    for _ in range(count):
        slept = len(clock.sleeps)
        clock.advance(TICK_INTERVAL_S)
        while len(clock.sleeps) == slept:
            await SYSTEM_CLOCK.sleep(0)


def test_a_correction_takes_the_place_of_what_it_corrects() -> None:
    """B-100: the same id but for its last part, told with its cost; lists have it once, and the position follows."""

    async def scenario() -> None:
        engine = MatchingEngine(MARKET)
        broker = executor(engine)
        async with trading(broker) as desk:
            order_id = await desk.place(submit("c-1"))
            fill = await desk.executed("c-1")
            now_ns = SYSTEM_CLOCK.time_ns()
            broker.tell(engine.correct(fill.exec_id, now_ns, price=fill.price + 1, quantity=D(8)))
            corrected = await desk.hears(Executed, lambda one: one.exec_id.endswith(".02"))
            assert corrected.exec_id.rpartition(".")[0] == fill.exec_id.rpartition(".")[0]
            assert (corrected.order_id, corrected.quantity, corrected.price) == (order_id, 8, fill.price + 1)
            assert corrected.executed_at == fill.executed_at
            assert (await desk.charged(corrected)).commission == 1
            assert (await broker.snapshot()).executions == [corrected]
            assert [one.quantity for one in await broker.positions()] == [8]

    run(scenario())


def test_what_a_correction_made_of_later_earnings_is_told_to_whoever_asks() -> None:
    """B-100: the sale that followed earned another sum; its execution stays as it is."""

    async def scenario() -> None:
        engine = MatchingEngine(MARKET)
        broker = executor(engine)
        async with trading(broker) as desk:
            await desk.place(submit("in"))
            bought = await desk.executed("in")
            await desk.place(submit("out", side=Side.SELL))
            sold = await desk.executed("out")
            earned = (await desk.charged(sold)).realized_pnl
            assert earned is not None
            broker.tell(engine.correct(bought.exec_id, SYSTEM_CLOCK.time_ns(), price=bought.price - 2))
            costs = {one.exec_id: one for one in (await broker.snapshot()).commissions}
            assert costs[sold.exec_id].realized_pnl == earned + 20
            assert sold in (await broker.snapshot()).executions

    run(scenario())


def test_what_the_system_cancels_is_explained() -> None:
    """B-101: with 202 and the reason, before the status."""

    async def scenario() -> None:
        engine = MatchingEngine(MARKET)
        broker = executor(engine)
        async with trading(broker) as desk:
            order_id = await desk.place(resting("s-1"))
            events = engine.cancel(
                order_id, SYSTEM_CLOCK.time_ns(), reason=CancelReason.SYSTEM, text="No reason at all"
            )
            broker.tell(events)
            told = await desk.hears(CodeReported, lambda one: one.cancelled)
            assert (told.order_id, told.code) == (order_id, 202)
            assert "No reason at all" in told.text
            await desk.status(order_id, "Cancelled")

    run(scenario())


@pytest.mark.parametrize(
    ("make", "kept"),
    [
        (lambda: executor(MatchingEngine(MARKET)), ENDED_KEPT),
        (lambda: PaperStubBroker(clock=SYSTEM_CLOCK), ORDERS_KEPT),
    ],
    ids=["simulated", "stub"],
)
def test_only_the_last_of_what_ended_is_remembered(make: object, kept: int) -> None:
    """B-102: so many completed orders, executions and commissions are listed, whatever has passed."""

    async def scenario() -> None:
        assert callable(make)
        port: BrokerPort = make()
        heard = 0

        def count(_: object) -> None:
            nonlocal heard
            heard += 1

        port.listen(count)
        await port.connect(1)
        await port.terms(Instrument(symbol="AAPL"))
        for number in range(kept + 50):
            side = Side.SELL if number % 2 else Side.BUY
            request = submit(f"m-{number}", side=side, quantity=D(1))
            placement = Placement(order_id=port.next_order_id(1), request=request, account=port.account)
            await port.place(placement, session=port.session)
        snapshot = await port.snapshot()
        await port.close()
        assert heard > 4 * kept
        assert len(snapshot.completed_orders) == len(snapshot.executions) == len(snapshot.commissions) == kept
        assert snapshot.completed_orders[-1].order_ref == snapshot.executions[-1].order_ref == f"m-{kept + 49}"

    run(scenario(), timeout_s=120)


def values(desk: Desk, tag: str = "NetLiquidation") -> list[str]:
    return [one.value for one in desk.heard if isinstance(one, AccountValueReported) and one.tag == tag]


def test_account_values_are_told_once_a_second_however_much_is_traded() -> None:
    """B-103: a hundred trades between two ticks are one change of the account, and no trade is none."""

    async def scenario() -> None:
        clock = ManualClock(EVENING)
        async with trading(executor(MatchingEngine(MARKET), clock)) as desk:
            assert len(values(desk, "TotalCashValue")) == 1
            for number in range(100):
                await desk.place(submit(f"m-{number}", quantity=D(1)))
            assert len(values(desk, "TotalCashValue")) == 1
            await tick(clock, 4)
            assert len(values(desk, "TotalCashValue")) == 2
            told = len(desk.heard)
            await tick(clock, 40)
            assert len(desk.heard) == told

    run(scenario())


def test_the_days_profit_begins_anew_at_midnight() -> None:
    """B-104: in New York; what was earned before is not today's, what is held counts from its price then."""

    async def scenario() -> None:
        clock = ManualClock(EVENING)
        async with trading(executor(MatchingEngine(MARKET), clock)) as desk:
            await desk.place(submit("in", quantity=D(20)))
            await desk.place(submit("out", quantity=D(10), side=Side.SELL))
            await tick(clock, 4)
            before = [one for one in desk.heard if isinstance(one, PnlReported) and not one.con_id][-1]
            assert before.daily == pytest.approx((before.realized or 0) + (before.unrealized or 0), abs=D("0.01"))
            assert before.realized
            clock.advance(60)
            desk.heard.clear()
            await desk.place(submit("in-2", quantity=D(1)))
            await tick(clock, 4)
            after = [one for one in desk.heard if isinstance(one, PnlReported)][-2:]
            account, position = sorted(after, key=lambda one: one.con_id)
            assert (account.realized, position.realized) == (0, 0)
            assert account.daily is not None
            assert position.unrealized is not None
            assert abs(account.daily) < 5  # half a minute of ten shares, and a commission

    run(scenario())


def test_an_order_of_the_last_session_is_matched_in_the_next() -> None:
    """B-105: it rests while nobody is connected, and nothing is told meanwhile."""

    async def scenario() -> None:
        clock = ManualClock(EVENING)
        engine = MatchingEngine(MARKET)
        async with trading(executor(engine, clock)) as desk:
            order_id = await desk.place(resting("r-1"))
            await desk.port.close()
            told = len(desk.heard)
            clock.advance(60)
            await SYSTEM_CLOCK.sleep(0)
            assert len(desk.heard) == told
            await desk.port.connect(1)
            await tick(clock)
            await desk.status(order_id, "Cancelled")  # a day order, at the end of its day

    run(scenario())


class BrokenEngine(MatchingEngine):
    """One that fails when the market moves."""

    def evaluate(self, now_ns: int) -> list[Event]:
        raise ZeroDivisionError(f"at {now_ns}")


def test_a_matching_that_fails_ends_the_session_loudly() -> None:
    """B-106: whoever waits for the session's next event gets the error; it is not healthy any more."""

    async def scenario() -> None:
        async with trading(executor(BrokenEngine(MARKET))) as desk:
            async with asyncio.timeout(5):
                with pytest.raises(ZeroDivisionError):
                    await desk.port.next_event()
            assert await desk.port.health_check() is False

    run(scenario())


def test_what_was_charged_is_told_once() -> None:
    """B-107: no execution and no cost comes twice, in this process or after a reconnect."""

    async def scenario() -> None:
        async with trading(executor(MatchingEngine(MARKET))) as desk:
            for number in range(20):
                await desk.place(submit(f"m-{number}"))
            await desk.reconnect()
            for kind in (Executed, CommissionReported):
                ids = [one.exec_id for one in desk.heard if isinstance(one, kind)]
                assert len(ids) == len(set(ids)) == 20

    run(scenario())
