"""Every kind of order and instrument through the whole broker; questions what an order would do; and how long requests last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from contract.brokers import HIGH, LOW, combo, future, option, pair, resting, submit
from integration.broker_cases import (
    EACH,
    Broker,
    answer,
    cancel,
    cancel_all,
    group,
    halt,
    modify,
    over_gateway,
    refusals,
    simulated,
    what_if,
    works,
)
from support import eventually, run

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import (
    Algo,
    AlgoName,
    CommissionCharged,
    GroupKind,
    OrderRequest,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.adapters import ibkr
from ibstream_gateway_emulator.handlers import HANDLERS
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder

S = OrderStatus


def kinds() -> Iterator[Any]:
    """An order of each type and time in force that rests, whatever the market does."""
    ahead = SYSTEM_CLOCK.now().replace(microsecond=0) + timedelta(hours=1)
    trail = {"trailing_amount": Decimal("50.00"), "side": Side.SELL}
    yield pytest.param({"order_type": OrderType.LIMIT, "limit_price": LOW}, id="LMT DAY")
    yield pytest.param({"limit_price": LOW, "time_in_force": TimeInForce.GTC}, id="LMT GTC")
    yield pytest.param({"limit_price": LOW, "time_in_force": TimeInForce.GTD, "good_till": ahead}, id="LMT GTD")
    yield pytest.param({"limit_price": LOW, "time_in_force": TimeInForce.OPG}, id="LMT OPG")
    yield pytest.param({"limit_price": LOW, "outside_regular_hours": True}, id="LMT outside RTH")
    yield pytest.param({"good_after": ahead}, id="MKT later")
    yield pytest.param({"order_type": OrderType.STOP, "stop_price": HIGH}, id="STP")
    yield pytest.param({"order_type": OrderType.STOP_LIMIT, "stop_price": HIGH, "limit_price": LOW}, id="STP LMT")
    yield pytest.param({"order_type": OrderType.TRAIL, **trail}, id="TRAIL amount")
    percent = {"trailing_percent": Decimal("12.5"), "side": Side.SELL}
    yield pytest.param({"order_type": OrderType.TRAIL, **percent}, id="TRAIL percent")
    limited = {**trail, "stop_price": LOW, "limit_offset": Decimal("0.25")}
    yield pytest.param({"order_type": OrderType.TRAIL_LIMIT, **limited}, id="TRAIL LIMIT")
    yield pytest.param({"order_type": OrderType.MARKET_IF_TOUCHED, "stop_price": LOW}, id="MIT")
    yield pytest.param({"order_type": OrderType.LIMIT_IF_TOUCHED, "stop_price": LOW, "limit_price": LOW}, id="LIT")
    yield pytest.param({"order_type": OrderType.MARKET_ON_CLOSE}, id="MOC")
    yield pytest.param({"order_type": OrderType.LIMIT_ON_CLOSE, "limit_price": LOW}, id="LOC")
    yield pytest.param({"order_type": OrderType.RELATIVE, "peg_offset": Decimal("0.01"), "limit_price": LOW}, id="REL")


@EACH
@pytest.mark.parametrize("details", list(kinds()))
def test_every_type_of_order_works_and_is_cancelled(broker: Broker, details: dict[str, Any], redis_url: str) -> None:
    """Taken by the broker and by the executor, and ended when that is asked for."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            await rig.orders.send(submit("a", **{"order_type": OrderType.MARKET, **_typed(details)}))
            await rig.orders.reaches("a", S.SUBMITTED)
            await rig.orders.send(cancel("a"))
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.reason) == (S.CANCELLED, Reason.CANCEL_REQUESTED)
            assert (await rig.orders.steps("a"))[0][0] is S.PENDING_SUBMIT

    run(scenario())


def _typed(details: dict[str, Any]) -> dict[str, Any]:
    """With a limit price and no type it is a limit order."""
    return details if "order_type" in details or "limit_price" not in details else {"order_type": "LMT", **details}


@EACH
@pytest.mark.parametrize(
    ("details", "status"),
    [
        ({"limit_price": HIGH, "time_in_force": TimeInForce.IOC}, S.FILLED),
        ({"limit_price": LOW, "time_in_force": TimeInForce.IOC}, S.CANCELLED),
        ({"limit_price": HIGH, "time_in_force": TimeInForce.FOK}, S.FILLED),
        ({"limit_price": LOW, "time_in_force": TimeInForce.FOK}, S.CANCELLED),
        ({"algo": Algo(name=AlgoName.ADAPTIVE, parameters={"adaptivePriority": "Urgent"})}, S.FILLED),
        ({"order_type": OrderType.STOP, "stop_price": LOW}, S.FILLED),
    ],
    ids=["IOC fills", "IOC ends", "FOK fills", "FOK ends", "Adaptive", "STP triggered"],
)
def test_orders_that_end_at_once(broker: Broker, details: dict[str, Any], status: OrderStatus, redis_url: str) -> None:
    """Filled, or cancelled by IBKR without anybody's asking."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            await rig.orders.send(submit("a", **_typed(details)))
            outcome = await rig.orders.outcome("a", within_s=25)
            assert outcome.status is status
            if status is S.CANCELLED:
                assert outcome.reason is Reason.CANCELLED_BY_IBKR

    run(scenario())


INSTRUMENTS: dict[str, tuple[Instrument, str, int]] = {
    "stock": (Instrument(symbol="BRK.B"), "10", 1),
    "pair": (pair(), "25000", 1),
    "future": (future(), "1", 1),
    "option": (option(), "2", 1),
    "combo": (combo(exchange="NASDAQ"), "3", 3),
}


@EACH
@pytest.mark.parametrize("kind", INSTRUMENTS)
def test_every_kind_of_instrument_fills_and_is_charged(broker: Broker, kind: str, redis_url: str) -> None:
    """With its executions, of a combo those of its legs too, each once, and what each cost."""
    instrument, quantity, executions = INSTRUMENTS[kind]

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            await rig.orders.send(submit("a", instrument=instrument, quantity=Decimal(quantity)))
            outcome = await rig.orders.outcome("a")
            assert (outcome.status, outcome.filled, outcome.symbol) == (S.FILLED, Decimal(quantity), instrument.symbol)
            await eventually(lambda: _charged(rig, "a"), what="the commissions")
            fills = await rig.orders.fills("a")
            assert len(fills) == executions
            assert sum(fill.quantity for fill in fills if not fill.leg) == Decimal(quantity)
            legs = [(fill.side, fill.quantity) for fill in fills if fill.leg]
            assert legs == ([(Side.BUY, 3), (Side.SELL, 6)] if instrument.legs else [])
            assert all(fill.con_id for fill in fills if fill.leg or not instrument.legs)

    run(scenario())


async def _charged(rig: Any, name: str) -> bool:
    events = await rig.orders.events(name)
    charged = {event.exec_id for event in events if isinstance(event, CommissionCharged)}
    fills = await rig.orders.fills(name)
    parts = [fill for fill in fills if fill.leg] or fills
    return bool(fills) and {fill.exec_id for fill in parts} <= charged


@EACH
@pytest.mark.parametrize("kind", INSTRUMENTS)
def test_a_question_is_answered_and_leaves_nothing_behind(broker: Broker, kind: str, redis_url: str) -> None:
    """Margin and commission; no order works or is listed, and its id is not used up."""
    instrument, quantity, _ = INSTRUMENTS[kind]
    order = submit("a", instrument=instrument, quantity=Decimal(quantity))

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            await rig.orders.send(what_if(order))
            told = await answer(rig, "a")
            assert told.initial_margin_after is not None
            assert told.initial_margin_change is not None
            bounds = told.commission_min, told.commission_max
            assert told.commission is not None or None not in bounds
            snapshot = await rig.port.snapshot()
            assert (snapshot.open_orders, snapshot.completed_orders, snapshot.executions) == ([], [], [])
            assert await rig.orders.steps("a") == []
            assert rig.service.details()["working_orders"] == 0
            await rig.orders.send(order)
            assert (await rig.orders.outcome("a")).status is S.FILLED

    run(scenario())


@EACH
@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"quantity": Decimal("0.5")}, Reason.INVALID_QUANTITY),
        ({"limit_price": Decimal("1.005")}, Reason.INVALID_PRICE),
        ({"symbol": "NOPE"}, Reason.UNKNOWN_INSTRUMENT),
        ({"account": "U7"}, Reason.INVALID_ACCOUNT),
        ({"instrument": combo()}, Reason.REJECTED_BY_IBKR),
        ({"time_in_force": TimeInForce.GTD}, Reason.INVALID_TIME),
    ],
    ids=["fraction", "tick", "unknown", "account", "SMART combo", "no date"],
)
def test_a_question_that_cannot_be_answered_is_refused(
    broker: Broker, details: dict[str, Any], reason: Reason, redis_url: str
) -> None:
    """By the same rules as the order, and by IBKR where only IBKR knows, with its code."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            await rig.orders.send(what_if(submit("a", **details)))
            refused = await rig.orders.refused("a")
            assert (refused.reason, refused.request, refused.status) == (reason, "orders.what_if.v1", None)
            assert refused.code == (360 if reason is Reason.REJECTED_BY_IBKR else 0)
            assert refused.text
            assert await works(rig)

    run(scenario())


def test_a_question_holds_up_no_order(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Gateway does not answer it; an order behind it goes out at once, and the question ends in a refusal."""
    monkeypatch.setattr(ibkr, "WHAT_IF_TIMEOUT_S", 3.0)
    handle = HANDLERS[PlaceOrder]

    def silent(*told: Any) -> Any:
        is_question = any(isinstance(one, PlaceOrder) and one.what_if for one in told)
        return iter(()) if is_question else handle(*told)

    monkeypatch.setitem(HANDLERS, PlaceOrder, silent)

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            await rig.orders.send(what_if(resting("a")), submit("b"))
            assert (await rig.orders.outcome("b")).status is S.FILLED
            assert await refusals(rig, "a") == [], "the order waited for the question"
            refused = await rig.orders.refused("a")
            assert refused.reason is Reason.GATEWAY_DISCONNECTED

    run(scenario())


def test_a_question_passes_while_trading_is_halted(redis_url: str) -> None:
    """Nothing would be sent to work."""

    async def scenario() -> None:
        async with simulated(redis_url) as rig:
            await halt(rig)
            await rig.orders.send(what_if(submit("a")))
            assert (await answer(rig, "a")).initial_margin_change is not None

    run(scenario())


@EACH
def test_every_request_has_its_time(broker: Broker, redis_url: str) -> None:
    """What is late is refused by name, whatever it is; a cancel without a time is wanted for ever."""
    now = SYSTEM_CLOCK.now()
    late: dict[str, Any] = {"valid_until": now - timedelta(seconds=1), "requested_at": now - timedelta(seconds=5)}
    old: dict[str, Any] = {"requested_at": now - timedelta(seconds=31)}

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("works"))
            await orders.reaches("works", S.SUBMITTED)
            requests: list[OrderRequest] = []
            for number, when in enumerate((late, old)):
                requests += [
                    submit(f"o-{number}", **when),
                    group(GroupKind.OCA, resting(f"g-{number}"), resting(f"h-{number}"), **when),
                    what_if(submit(f"w-{number}"), **when),
                    modify("works", quantity="20", **when),
                ]
            await orders.send(*requests, cancel("works", **late), cancel_all(**late))
            for number in range(2):
                for name in (f"o-{number}", f"g-{number}", f"h-{number}"):
                    outcome = await orders.outcome(name)
                    assert (outcome.status, outcome.reason) == (S.REJECTED, Reason.EXPIRED)
                assert (await orders.refused(f"w-{number}")).reason is Reason.EXPIRED
            await eventually(lambda: _refusals(rig, "works", 4), what="every refusal")
            told = [(one.request, one.reason) for one in await refusals(rig, "works")]
            assert sorted(told) == [
                ("orders.cancel.v1", Reason.EXPIRED),
                ("orders.cancel_all.v1", Reason.EXPIRED),
                ("orders.modify.v1", Reason.EXPIRED),
                ("orders.modify.v1", Reason.EXPIRED),
            ]
            assert await works(rig, "works")
            await orders.send(cancel("works", **old))
            assert (await orders.outcome("works")).status is S.CANCELLED

    run(scenario())


async def _refusals(rig: Any, name: str, count: int) -> bool:
    return len(await refusals(rig, name)) == count
