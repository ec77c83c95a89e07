"""Cards B-82 and B-95 to B-99: what is held, what the account is worth, what it earns; for every executor."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from contract.brokers import (
    EVERY,
    HIGH,
    MATCHING,
    Broker,
    future,
    option,
    pair,
    submit,
)
from support import run

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Side
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    PnlReported,
    PositionReported,
)

D = Decimal


def _of(con_id: int) -> Callable[[PositionReported], bool]:
    return lambda one: one.con_id == con_id


def _closed(con_id: int) -> Callable[[PnlReported], bool]:
    return lambda one: one.con_id == con_id and bool(one.realized)


OTHERS = [
    (pair(), D(20_000), ("CASH", "EUR", "USD", 1)),
    (future("ES"), D(1), ("FUT", "ES", "USD", 50)),
    (option(), D(2), ("OPT", "AAPL", "USD", 100)),
    (Instrument(symbol="BRK.B"), D(3), ("STK", "BRK.B", "USD", 1)),
]


@MATCHING
def test_other_instruments_are_traded_and_held_under_their_own_names(broker: Broker) -> None:
    """B-82: symbol, kind and contract id as in the terms; the cost of a position counts the multiplier."""

    async def scenario() -> None:
        async with broker() as desk:
            for number, (instrument, quantity, (kind, symbol, currency, multiplier)) in enumerate(OTHERS):
                await desk.place(submit(f"i-{number}", instrument=instrument, quantity=quantity))
                fill = await desk.executed(f"i-{number}")
                con_id = (await desk.port.terms(instrument)).con_id
                assert (fill.security_type, fill.symbol, fill.con_id, fill.quantity) == (kind, symbol, con_id, quantity)
                held = await desk.hears(PositionReported, _of(con_id))
                assert (held.security_type, held.symbol, held.currency) == (kind, symbol, currency)
                assert held.quantity == quantity
                assert held.average_cost == pytest.approx(fill.price * multiplier, rel=D("0.02"))

    run(scenario())


@EVERY
def test_positions_follow_the_fills(broker: Broker) -> None:
    """B-95: as events while they happen, and as a list, asked for anew, after a reconnect too; none of what is closed."""

    async def scenario() -> None:
        async with broker() as desk:
            assert await desk.port.positions() == []
            await desk.place(submit("p-1"))
            await desk.hears(PositionReported, lambda one: one.quantity == 10)
            await desk.place(submit("p-2", symbol="MSFT", side=Side.SELL, quantity=D(3)))
            await desk.hears(PositionReported, lambda one: one.quantity == -3)
            await desk.place(submit("p-3", symbol="NVDA"))
            await desk.place(submit("p-4", symbol="NVDA", side=Side.SELL))
            await desk.hears(PositionReported, lambda one: (one.symbol, one.quantity) == ("NVDA", 0))
            for _ in range(2):
                held = {one.symbol: one for one in await desk.port.positions()}
                assert {symbol: one.quantity for symbol, one in held.items()} == {"AAPL": 10, "MSFT": -3}
                assert all(one.average_cost > 0 and one.con_id > 0 for one in held.values())
                assert {one.account for one in held.values()} == {desk.port.account}
                await desk.reconnect()

    run(scenario())


@EVERY
def test_account_values_are_told(broker: Broker) -> None:
    """B-96: at least what the account is worth, at the beginning of a session."""

    async def scenario() -> None:
        async with broker() as desk:
            worth = await desk.hears(AccountValueReported, lambda one: one.tag == "NetLiquidation")
            assert Decimal(worth.value) == 1_000_000
            assert (worth.account, worth.currency) == (desk.port.account, "USD")

    run(scenario())


@MATCHING
def test_account_values_follow_the_trades(broker: Broker) -> None:
    """B-96: cash is less by what was bought, and the position binds margin."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.place(submit("v-1", quantity=D(100)))
            fill = await desk.executed("v-1")
            left = 1_000_000 - 100 * fill.price - 1
            await desk.hears(
                AccountValueReported,
                lambda one: one.tag == "TotalCashValue" and D(one.value) == left.quantize(D("0.01")),
            )
            await desk.hears(AccountValueReported, lambda one: one.tag == "InitMarginReq" and D(one.value) > 0)

    run(scenario())


@EVERY
def test_profit_and_loss_of_the_account_is_told(broker: Broker) -> None:
    """B-97: in every session, once it is reconciled: the ids lifted, the positions asked for."""

    async def scenario() -> None:
        async with broker() as desk:
            desk.port.next_order_id(1)
            await desk.port.positions()
            told = await desk.hears(PnlReported, lambda one: one.con_id == 0)
            assert (told.account, told.daily, told.unrealized, told.realized) == (desk.port.account, 0, 0, 0)

    run(scenario())


@MATCHING
def test_profit_and_loss_follow_the_trades(broker: Broker) -> None:
    """B-98: of a position what it is worth now and what it earned; of the account what the day brought."""

    async def scenario() -> None:
        async with broker() as desk:
            desk.port.next_order_id(1)
            await desk.port.positions()
            await desk.place(submit("in", quantity=D(20)))
            con_id = (await desk.executed("in")).con_id
            held = await desk.hears(PnlReported, lambda one: one.con_id == con_id)
            assert held.symbol == "AAPL"
            assert held.market_price is not None
            assert held.market_value == 20 * held.market_price
            await desk.place(submit("out", quantity=D(20), side=Side.SELL))
            earned = (await desk.charged(await desk.executed("out"))).realized_pnl
            assert earned is not None
            for of in (con_id, 0):
                closed = await desk.hears(PnlReported, _closed(of))
                assert closed.realized == pytest.approx(earned, abs=D("0.01"))
            day = await desk.hears(PnlReported, lambda one: one.con_id == 0 and bool(one.realized))
            assert day.daily == pytest.approx(earned, abs=D("0.01"))  # nothing is held, so the day is what was closed

    run(scenario())


@MATCHING
def test_a_position_that_is_closed_is_worth_nothing(broker: Broker) -> None:
    """B-98: its last report says so."""

    async def scenario() -> None:
        async with broker() as desk:
            await desk.place(submit("in", limit_price=HIGH))
            con_id = (await desk.executed("in")).con_id
            await desk.place(submit("out", side=Side.SELL))
            await desk.executed("out")
            gone = await desk.hears(PnlReported, lambda one: (one.con_id, one.market_value) == (con_id, 0))
            assert gone.unrealized == 0

    run(scenario())
