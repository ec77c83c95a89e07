"""Cancels reach an order wherever it is: looked up, waiting, in hand or working; and what is not there costs nothing."""

from __future__ import annotations

from typing import Any

import pytest
from broker_rig import Rig
from contract.brokers import resting, submit
from integration.broker_cases import (
    Broker,
    all_acknowledged,
    cancel,
    cancel_all,
    group,
    over_gateway,
    pour,
    refusals,
    simulated,
    slow,
    works,
)
from support import eventually, run

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import (
    GroupKind,
    OrderRequest,
    OrderStatus,
    Reason,
    SubmitOrder,
)
from ibstream.contracts.registry import ORDER_REQUESTS
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_gateway_emulator.handlers import HANDLERS
from ibstream_gateway_emulator.protocol.requests import ReqContractDetails

S = OrderStatus


def test_a_cancel_of_an_order_that_waits_ends_it_unsent(redis_url: str) -> None:
    """Under a limit of three messages a second: it was never at IBKR, and is cancelled, not rejected."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            await slow(rig, 3)
            names = [f"o-{number}" for number in range(8)]
            await rig.orders.send(*(resting(name) for name in names), cancel("o-5"), cancel("o-7"))
            for name in ("o-5", "o-7"):
                outcome = await rig.orders.outcome(name)
                assert (outcome.status, outcome.reason) == (S.CANCELLED, Reason.CANCEL_REQUESTED)
                assert outcome.order_id == 0
            await rig.orders.reaches("o-6", S.SUBMITTED)
            assert rig.placed() == [name for name in names if name not in ("o-5", "o-7")]

    run(scenario(), timeout_s=90)


def test_cancelling_one_order_of_a_group_that_waits_ends_the_group_unsent(redis_url: str) -> None:
    """It was to be accepted whole."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            await slow(rig, 2)
            first = [resting(f"o-{number}") for number in range(3)]
            members = [resting("a"), resting("b"), resting("c")]
            await rig.orders.send(*first, group(GroupKind.OCA, *members), cancel("b"))
            asked_for = await rig.orders.outcome("b")
            assert (asked_for.status, asked_for.reason) == (S.CANCELLED, Reason.CANCEL_REQUESTED)
            for name in "ac":
                other = await rig.orders.outcome(name)
                assert (other.status, other.reason) == (S.REJECTED, Reason.GROUP_REFUSED)
            await rig.orders.reaches("o-2", S.SUBMITTED)
            assert rig.placed() == ["o-0", "o-1", "o-2"]

    run(scenario(), timeout_s=90)


@pytest.mark.parametrize("how", ["one", "all", "stop"])
def test_a_look_up_that_is_not_answered_holds_up_nobody_else(
    how: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its order can be cancelled unsent; and the broker stops in good time."""
    handle = HANDLERS[ReqContractDetails]

    def silent(*told: Any) -> Any:
        asked = [one.contract.symbol for one in told if isinstance(one, ReqContractDetails)]
        return iter(()) if asked == ["MSFT"] else handle(*told)

    monkeypatch.setitem(HANDLERS, ReqContractDetails, silent)

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            orders = rig.orders
            await orders.send(*(resting(f"slow-{number}", symbol="MSFT") for number in range(3)), submit("quick"))
            assert (await orders.outcome("quick", within_s=5)).status is S.FILLED
            assert rig.service.details()["requests_waiting"] == 3
            if how == "stop":
                return
            cancels = [cancel(f"slow-{number}") for number in range(3)] if how == "one" else [cancel_all(symbol="MSFT")]
            await orders.send(*cancels)
            for number in range(3):
                outcome = await orders.outcome(f"slow-{number}", within_s=5)
                assert (outcome.status, outcome.reason) == (S.CANCELLED, Reason.CANCEL_REQUESTED)
            assert rig.placed() == ["quick"]
            assert rig.service.details()["requests_waiting"] == 0

    run(scenario())


BY: dict[str, dict[str, object]] = {
    "strategy": {"strategy": "x"},
    "symbol": {"symbol": "MSFT"},
    "strategy and symbol": {"strategy": "x", "symbol": "MSFT"},
    "instrument": {"instrument": Instrument(symbol="MSFT", exchange="ISLAND")},
    "another instrument of the symbol": {"instrument": Instrument(symbol="MSFT", currency="EUR")},
    "account": {"account": "DU9000001"},
    "another account": {"account": "DU7"},
    "all": {},
}
FITTING = {
    "strategy": "acAC",
    "symbol": "bcBC",
    "strategy and symbol": "cC",
    "instrument": "bcBC",
    "another instrument of the symbol": "",
    "account": "abcABC",
    "another account": "",
    "all": "abcABC",
}


@pytest.mark.parametrize("by", BY)
def test_cancel_all_ends_working_and_waiting_orders_that_fit_and_no_other(by: str, redis_url: str) -> None:
    """Small letters work when it is asked for, capital ones wait for room; what was asked for after it is not meant."""
    fitting = set(FITTING[by])
    terms = {"a": ("x", "AAPL"), "b": ("y", "MSFT"), "c": ("x", "MSFT")}

    def order(name: str) -> SubmitOrder:
        strategy, symbol = terms[name.lower()]
        return resting(name, strategy=strategy, symbol=symbol)

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            orders = rig.orders
            await orders.send(*(order(name) for name in "abc"))
            for name in "abc":
                await orders.reaches(name, S.SUBMITTED)
            await slow(rig, 8, "AAPL", "MSFT")
            waiting = [order(name) for name in "ABC"]
            await orders.send(*waiting, cancel_all(**BY[by]), resting("later", strategy="x"))
            for name in fitting:
                outcome = await orders.outcome(name, within_s=30)
                assert (outcome.status, outcome.reason) == (S.CANCELLED, Reason.CANCEL_REQUESTED), name
            for name in {*"abcABC", "later"} - fitting:
                await orders.reaches(name, S.SUBMITTED, within_s=30)
            assert not fitting & {*"ABC"} & {*rig.placed()}

    run(scenario(), timeout_s=120)


@pytest.mark.parametrize("broker", [simulated, over_gateway])
def test_an_order_in_hand_is_reached_by_a_cancel_of_all(broker: Broker, redis_url: str) -> None:
    """It waits no more and is not journalled yet: the batch with it is held up by another write."""

    async def scenario() -> None:
        async with broker(redis_url) as rig:
            await rig.port.terms(Instrument(symbol="AAPL"))
            ledger = rig.service._ledger
            async with ledger._lock:  # as a write would hold it
                await rig.orders.send(resting("a"))
                await eventually(lambda: rig.service._desk._reception.in_hand, what="the order in hand")
                await rig.orders.send(cancel_all(strategy="test"))
                await eventually(lambda: _read(rig, 2), what="the cancel taken in")
            assert (await rig.orders.outcome("a")).status is S.CANCELLED
            assert await works(rig)

    run(scenario())


async def _read(rig: Rig, count: int) -> bool:
    """Whether so many requests were given out to the broker."""
    bus = rig.orders.bus
    [told] = await bus.call(bus.redis.xinfo_groups(ORDER_REQUESTS.name))
    return bool(told["entries-read"] >= count)


def test_cancels_of_nothing_take_no_room_from_those_of_something(redis_url: str) -> None:
    """2,000 cancels of orders that do not exist, and 2,000 of one: each is answered, and none waits for a message to IBKR."""

    async def scenario() -> None:
        async with over_gateway(redis_url) as rig:
            orders = rig.orders
            await orders.send(resting("a"))
            await orders.reaches("a", S.SUBMITTED)
            await slow(rig, 2)
            nothing: list[OrderRequest] = [cancel(f"n-{number}") for number in range(2000)]
            await pour(orders.bus, [*nothing, *(cancel("a") for _ in range(2000))])
            asked_at = SYSTEM_CLOCK.monotonic()
            assert (await orders.outcome("a")).status is S.CANCELLED
            for number in (0, 1999):
                assert (await orders.refused(f"n-{number}")).reason is Reason.UNKNOWN_ORDER
            await eventually(lambda: all_acknowledged(orders.bus), within_s=20, what="all of them done")
            assert SYSTEM_CLOCK.monotonic() - asked_at < 15
            for number in range(2000):
                assert len(await refusals(rig, f"n-{number}")) == 1

    run(scenario(), timeout_s=120)
