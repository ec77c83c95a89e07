"""The risk limits through the whole broker: what refuses, what it says on the event, and what passes all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from broker_rig import Rig
from contract.brokers import HIGH, LOW, combo, resting, submit
from integration.broker_cases import EACH, Broker, cancel, changed, group, modify, over_gateway, simulated
from support import eventually, run

from ibstream.bus import Bus
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import (
    GroupKind,
    OrderStatus,
    OrderStatusChanged,
    OrderType,
    Reason,
    RiskCheck,
    Side,
    SubmitOrder,
)
from ibstream.contracts.quotes import Quality, Quote, shard_of
from ibstream.contracts.registry import last_quotes_key
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.domain.inputs import PnlReported
from ibstream_broker.domain.limits import Limits, RiskLimits
from ibstream_gateway_emulator.settings import Holding

S = OrderStatus
SHARDS = 8

HOLDING = changed(holdings=(Holding(symbol="AAPL", quantity=Decimal(1000), average_cost=Decimal(50)),))


def general(**limits: Any) -> RiskLimits:
    """The same limits for every strategy."""
    return RiskLimits(general=Limits(**limits))


async def quoted(bus: Bus, symbol: str, price: float, *, age_s: float = 0, quality: Quality = Quality.LIVE) -> None:
    """Put a last quote where the feed puts it."""
    at_ns = SYSTEM_CLOCK.time_ns() - round(age_s * 1e9)
    row = Quote(symbol, price, price, price, time_ns=at_ns, quality=quality)
    await bus.set_fields(last_quotes_key(shard_of(symbol, SHARDS)), {symbol: msgspec.json.encode(row)})


async def checks(rig: Rig, name: str) -> tuple[RiskCheck, ...]:
    """The limits that an order's first event or its rejection says were applied."""
    events = [one for one in await rig.orders.events(name) if isinstance(one, OrderStatusChanged)]
    told = [event for event in events if event.risk]
    assert len(told) <= 1, "they are told once"
    return told[0].risk if told else ()


@dataclass(frozen=True)
class Case:
    """A limit, an order beyond it, one within, and one that only reduces and so passes."""

    limits: dict[str, Any]
    beyond: dict[str, Any]
    within: dict[str, Any]
    reason: Reason
    check: tuple[str, str, str, str]
    """Name, bound, value and scope, as the refusal says them."""
    before: tuple[dict[str, Any], ...] = ()
    """Orders sent and working before."""
    reduces: dict[str, Any] | None = field(default_factory=lambda: {"side": Side.SELL, "quantity": Decimal(900)})


CASES = {
    "quantity": Case(
        {"order_quantity_max": Decimal(100)},
        {"quantity": Decimal(101)},
        {"quantity": Decimal(100)},
        Reason.RISK_QUANTITY,
        ("order_quantity_max", "100", "101", "order"),
    ),
    "notional": Case(
        {"order_notional_max": Decimal(1000)},
        {"quantity": Decimal(101), "limit_price": Decimal("10.00")},
        {"quantity": Decimal(100), "limit_price": Decimal("10.00")},
        Reason.RISK_NOTIONAL,
        ("order_notional_max", "1000", "1010", "order"),
        reduces={"side": Side.SELL, "quantity": Decimal(900), "limit_price": HIGH},
    ),
    "symbol": Case(
        {"symbols_allowed": frozenset({"AAPL"})},
        {"symbol": "MSFT"},
        {},
        Reason.RISK_SYMBOL,
        ("symbols_allowed", "AAPL", "MSFT", "order"),
        reduces=None,
    ),
    "denied leg": Case(
        {"symbols_denied": frozenset({"MSFT"})},
        {"instrument": combo()},
        {},
        Reason.RISK_SYMBOL,
        ("symbols_denied", "MSFT", "AAPL,MSFT", "order"),
        reduces=None,
    ),
    "short": Case(
        {"short_allowed": False},
        {"side": Side.SELL, "quantity": Decimal(1001), "limit_price": HIGH},
        {"side": Side.SELL, "quantity": Decimal(1000), "limit_price": HIGH},
        Reason.RISK_SHORT,
        ("short_allowed", "false", "-1", "order"),
        reduces=None,
    ),
    "position": Case(
        {"strategy_position_quantity_max": Decimal(50)},
        {"quantity": Decimal(21), "limit_price": LOW},
        {"quantity": Decimal(20), "limit_price": LOW},
        Reason.RISK_POSITION,
        ("strategy_position_quantity_max", "50", "51", "strategy"),
        before=({"quantity": Decimal(30), "limit_price": LOW},),
        reduces={"side": Side.SELL, "quantity": Decimal(40)},
    ),
    "position's worth": Case(
        {"strategy_position_notional_max": Decimal(50)},
        {"quantity": Decimal(51), "limit_price": LOW},
        {"quantity": Decimal(50), "limit_price": LOW},
        Reason.RISK_POSITION,
        ("strategy_position_notional_max", "50", "51", "strategy"),
        reduces=None,
    ),
    "strategy's open orders": Case(
        {"strategy_open_orders_max": 2},
        {"limit_price": LOW},
        {"limit_price": LOW, "strategy": "another"},
        Reason.RISK_OPEN_ORDERS,
        ("strategy_open_orders_max", "2", "3", "strategy"),
        before=({"limit_price": LOW}, {"limit_price": LOW}),
    ),
    "account's open orders": Case(
        {"account_open_orders_max": 2},
        {"limit_price": LOW, "strategy": "another"},
        {"side": Side.SELL, "quantity": Decimal(5)},
        Reason.RISK_OPEN_ORDERS,
        ("account_open_orders_max", "2", "3", "account"),
        before=({"limit_price": LOW}, {"limit_price": LOW}),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_limit_refuses_what_is_beyond_it_and_says_so(case: Case, redis_url: str) -> None:
    """With bound and value on the event; what is within passes with the check on its first event, and so does what reduces."""

    async def scenario() -> None:
        async with over_gateway(redis_url, emulator=HOLDING, limits=general(**case.limits)) as rig:
            orders = rig.orders
            for number, details in enumerate(case.before):
                await orders.send(submit(f"before-{number}", **details))
                await orders.reaches(f"before-{number}", S.SUBMITTED)
            await orders.send(submit("beyond", **case.beyond))
            refused = await orders.outcome("beyond")
            assert (refused.status, refused.reason, refused.order_id) == (S.REJECTED, case.reason, 0)
            [wrong] = [one for one in refused.risk if not one.passed]
            assert (wrong.limit, wrong.bound, wrong.value, wrong.scope) == case.check
            assert f"risk.{wrong.limit}" in refused.text
            passing = {"within": case.within, **({"reduces": case.reduces} if case.reduces else {})}
            for name, details in passing.items():
                await orders.send(submit(name, **details))
                await eventually(lambda n=name: _was_sent(rig, n), what=name)  # type: ignore[misc]
                told = await checks(rig, name)
                assert wrong.limit in {one.limit for one in told}
                assert all(one.passed for one in told)
            assert "beyond" not in rig.placed()

    run(scenario())


async def _was_sent(rig: Rig, name: str) -> bool:
    steps = await rig.orders.steps(name)
    assert S.REJECTED not in {status for status, _ in steps}, steps
    return bool(steps) and steps[-1][0] in (S.SUBMITTED, S.FILLED)


@EACH
def test_a_rate_limit_refuses_the_next_order_of_the_second(broker: Broker, redis_url: str) -> None:
    """Of the strategy; another one's passes until the account's limit; rejected orders do not count."""
    limits = general(strategy_orders_per_s_max=3, account_orders_per_s_max=5)

    async def scenario() -> None:
        async with broker(redis_url, limits=limits) as rig:
            orders = rig.orders
            await rig.port.terms(Instrument(symbol="AAPL"))
            await eventually(lambda: rig.port.capacity() > 10, what="room for all in one second")
            await orders.send(*(resting(f"x-{number}", strategy="x") for number in range(5)))
            for number in (3, 4):
                refused = await orders.outcome(f"x-{number}")
                assert refused.reason is Reason.RISK_ORDER_RATE
            await orders.send(*(resting(f"y-{number}", strategy="y") for number in range(3)))
            last = await orders.outcome("y-2")
            assert last.reason is Reason.RISK_ORDER_RATE
            [wrong] = [one for one in last.risk if not one.passed]
            assert (wrong.limit, wrong.value, wrong.scope) == ("account_orders_per_s_max", "6", "account")
            for name in ("x-0", "x-2", "y-0", "y-1"):
                await orders.reaches(name, S.SUBMITTED)
            await orders.send(cancel("x-0"))  # no limit holds back a cancel
            assert (await orders.outcome("x-0")).status is S.CANCELLED

    run(scenario())


def test_a_strategy_has_limits_of_its_own(redis_url: str) -> None:
    """In the place of the general ones."""
    limits = RiskLimits(
        general=Limits(order_quantity_max=Decimal(10)), strategies={"big": Limits(order_quantity_max=Decimal(1000))}
    )

    async def scenario() -> None:
        async with simulated(redis_url, limits=limits) as rig:
            await rig.orders.send(
                submit("small", quantity=Decimal(11)), submit("big", strategy="big", quantity=Decimal(11))
            )
            assert (await rig.orders.outcome("small")).reason is Reason.RISK_QUANTITY
            assert (await rig.orders.outcome("big")).status is S.FILLED

    run(scenario())


@EACH
def test_a_group_with_one_order_beyond_a_limit_is_refused_whole(broker: Broker, redis_url: str) -> None:
    """The one by the limit, the others because of it; a bracket's children close and so pass what limits openings."""
    limits = general(order_quantity_max=Decimal(100))

    async def scenario() -> None:
        async with broker(redis_url, limits=limits) as rig:
            orders = rig.orders
            await orders.send(group(GroupKind.OCA, resting("a"), resting("b", quantity=Decimal(101))))
            assert (await orders.outcome("b")).reason is Reason.RISK_QUANTITY
            other = await orders.outcome("a")
            assert other.reason is Reason.GROUP_REFUSED
            assert "b" in other.text
            children = [submit(name, side=Side.SELL, limit_price=HIGH) for name in ("d", "e")]
            await orders.send(group(GroupKind.BRACKET, resting("c"), *children, name="second"))
            for name in "cde":
                await orders.reaches(name, S.SUBMITTED)

    run(scenario())


@EACH
def test_a_modify_may_not_do_what_an_order_may_not(broker: Broker, redis_url: str) -> None:
    """The order stands as it stood."""
    limits = general(order_quantity_max=Decimal(100), order_notional_max=Decimal(1000))

    async def scenario() -> None:
        async with broker(redis_url, limits=limits) as rig:
            orders = rig.orders
            await orders.send(resting("a"))
            await orders.reaches("a", S.SUBMITTED)
            await orders.send(modify("a", quantity="101"))
            assert (await orders.refused("a")).reason is Reason.RISK_QUANTITY
            await orders.send(modify("a", quantity="100", limit_price="10.01"))
            await eventually(lambda: _refused(rig, "a", Reason.RISK_NOTIONAL), what="the second refusal")
            await orders.send(modify("a", quantity="100", limit_price="1.01"), cancel("a"))
            outcome = await orders.outcome("a")
            assert (outcome.status, outcome.reason) == (S.CANCELLED, Reason.CANCEL_REQUESTED)

    run(scenario())


async def _refused(rig: Rig, name: str, reason: Reason) -> bool:
    return (await rig.orders.refused(name)).reason is reason


def buying(name: str, price: str, **details: Any) -> SubmitOrder:
    """A limit order to buy MSFT, of which the feed has a quote."""
    return submit(name, **{"symbol": "MSFT", "limit_price": Decimal(price), **details})


def test_the_collar_judges_prices_by_the_last_quote(redis_url: str) -> None:
    """Five per cent around 100: what would trade too dear is refused; what waits far below is not."""

    async def scenario() -> None:
        async with simulated(redis_url, limits=general(price_collar_percent=Decimal(5))) as rig:
            orders = rig.orders
            await quoted(orders.bus, "MSFT", 100.0)
            await orders.send(buying("dear", "105.01"))
            refused = await orders.outcome("dear")
            assert refused.reason is Reason.RISK_PRICE_COLLAR
            [wrong] = [one for one in refused.risk if not one.passed]
            assert (wrong.limit, wrong.bound, wrong.value) == ("price_collar_percent", "5", "5.01")
            stop = {"order_type": OrderType.STOP, "limit_price": None}
            await orders.send(
                buying("fair", "105.00"),
                buying("far", "1.00"),
                submit("cheap", symbol="MSFT", side=Side.SELL, limit_price=Decimal("94.99")),
                buying("stop", "1", stop_price=Decimal("94.00"), **stop),
            )
            for name in ("cheap", "stop"):
                assert (await orders.outcome(name)).reason is Reason.RISK_PRICE_COLLAR
            for name in ("fair", "far"):
                await eventually(lambda n=name: _was_sent(rig, n), what=name)  # type: ignore[misc]

    run(scenario())


@pytest.mark.parametrize(
    "quote",
    [
        lambda bus: quoted(bus, "NVDA", 100.0),
        lambda bus: quoted(bus, "MSFT", 100.0, age_s=61),
        lambda bus: quoted(bus, "MSFT", 100.0, quality=Quality.DELAYED),
        lambda bus: quoted(bus, "MSFT", 100.0, quality=Quality.STALE),
        lambda bus: quoted(bus, "MSFT", 100.0, quality=Quality.FROZEN),
        lambda bus: bus.set_fields(last_quotes_key(shard_of("MSFT", SHARDS)), {"MSFT": b"["}),
    ],
    ids=["none", "old", "delayed", "stale", "frozen", "unreadable"],
)
@pytest.mark.parametrize("is_required", [True, False])
def test_without_a_fresh_live_quote_an_order_passes_only_where_none_is_required(
    quote: Callable[[Bus], Any], is_required: bool, redis_url: str
) -> None:
    """Refused by name, or let through unjudged; the check on the event says that it could not be made."""
    limits = general(price_collar_percent=Decimal(5), require_live_quote=is_required)

    async def scenario() -> None:
        async with simulated(redis_url, limits=limits) as rig:
            await quote(rig.orders.bus)
            await rig.orders.send(buying("a", "1.00"))
            if is_required:
                refused = await rig.orders.outcome("a")
                assert (refused.status, refused.reason) == (S.REJECTED, Reason.RISK_NO_QUOTE)
            else:
                await rig.orders.reaches("a", S.SUBMITTED)
            [check] = await checks(rig, "a")
            assert (check.limit, check.value, check.passed) == ("price_collar_percent", "unknown", not is_required)

    run(scenario())


def test_an_order_that_only_reduces_passes_without_a_quote(redis_url: str) -> None:
    """Getting out is never held up by a feed that is down."""

    async def scenario() -> None:
        limits = general(price_collar_percent=Decimal(5), order_notional_max=Decimal(1))
        async with over_gateway(redis_url, emulator=HOLDING, limits=limits) as rig:
            await rig.orders.send(submit("out", side=Side.SELL, quantity=Decimal(1000)), submit("in"))
            assert (await rig.orders.outcome("out")).status is S.FILLED
            assert (await rig.orders.outcome("in")).reason is Reason.RISK_NO_QUOTE

    run(scenario())


def test_what_is_in_one_batch_counts_together(redis_url: str) -> None:
    """Three orders at once, of which two are within the limit: the third is refused, whatever is filled by then."""

    async def scenario() -> None:
        limits = general(strategy_position_quantity_max=Decimal(25))
        async with over_gateway(redis_url, limits=limits) as rig:
            async with rig.service._ledger._lock:  # so that they are judged together
                await rig.orders.send(*(resting(name) for name in "abc"))
            assert (await rig.orders.outcome("c")).reason is Reason.RISK_POSITION
            assert rig.placed() == ["a", "b"]

    run(scenario())


def test_a_loss_closes_the_account_to_openings(redis_url: str) -> None:
    """By IBKR's own figure of the day: a position that fell since the last close has lost it; orders that reduce pass."""

    async def scenario() -> None:
        limits = general(account_daily_loss_max=Decimal(100))
        async with over_gateway(redis_url, emulator=HOLDING, limits=limits) as rig:
            hear = rig.port._hearing.on_input  # type: ignore[attr-defined]
            rig.port._hearing.on_input = lambda one: None if isinstance(one, PnlReported) else hear(one)  # type: ignore[attr-defined]
            hear(PnlReported(account=rig.port.account, daily=Decimal("-100.01")))
            await eventually(lambda: rig.service._office.risk.daily_pnl == Decimal("-100.01"), what="the loss heard")
            await rig.orders.send(submit("in"), submit("out", side=Side.SELL, quantity=Decimal(10)))
            refused = await rig.orders.outcome("in")
            assert refused.reason is Reason.RISK_LOSS
            [wrong] = [one for one in refused.risk if not one.passed]
            assert (wrong.limit, wrong.bound, wrong.value) == ("account_daily_loss_max", "100", "100.01")
            assert (await rig.orders.outcome("out")).status is S.FILLED

    run(scenario())


def test_limits_are_kept_over_a_restart(redis_url: str) -> None:
    """What works and what a strategy holds is in the journal."""

    async def scenario() -> None:
        limits = general(strategy_position_quantity_max=Decimal(25), strategy_open_orders_max=2)
        emulator = changed(HOLDING)
        async with over_gateway(redis_url, emulator=emulator, limits=limits) as rig:
            state = rig.gateway.state
            await rig.orders.send(submit("held"), resting("works"))
            await rig.orders.outcome("held")
            await rig.orders.reaches("works", S.SUBMITTED)
        async with over_gateway(redis_url, emulator=emulator, state=state, limits=limits) as rig:
            await rig.orders.send(resting("six", quantity=Decimal(6)))
            refused = await rig.orders.outcome("six")
            assert refused.reason is Reason.RISK_POSITION
            [wrong] = [one for one in refused.risk if not one.passed]
            assert wrong.value == "26"
            await rig.orders.send(resting("five", quantity=Decimal(5)))
            await rig.orders.reaches("five", S.SUBMITTED)
            await rig.orders.send(submit("third", instrument=Instrument(symbol="MSFT"), limit_price=LOW))
            assert (await rig.orders.outcome("third")).reason is Reason.RISK_OPEN_ORDERS

    run(scenario())
